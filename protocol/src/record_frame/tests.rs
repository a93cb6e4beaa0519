//! Records of each kind of topic, good and bad.

use crate::coordinator_records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use crate::metadata_records::{FeatureLevelRecord, MetadataRecord, NoOpRecord};
use crate::remote_log_records::RemoteLogRecord;
use crate::{Bytes, DecodeError, EncodeError};

#[test]
fn a_metadata_record_says_what_it_is() {
    let level = FeatureLevelRecord {
        name: "metadata.version".into(),
        feature_level: 30,
        ..Default::default()
    };
    let record = MetadataRecord::from(level);
    let value = record.encode(0).unwrap();
    assert_eq!(value, b"\x01\x0c\x00\x11metadata.version\x00\x1e\x00"[..]);
    assert_eq!(MetadataRecord::type_and_version(&value), Ok((12, 0)));
    assert_eq!(
        (record.key(), record.name(), record.versions()),
        (12, "FeatureLevelRecord", 0..=0)
    );
    assert_eq!(MetadataRecord::decode(value), Ok(record));
}

#[test]
fn what_is_not_understood_is_not_guessed() {
    let decode = |bytes: &'static [u8]| MetadataRecord::decode(Bytes::from_static(bytes));
    let no_op = MetadataRecord::from(NoOpRecord::default());
    assert_eq!(decode(&[1, 20, 0, 0]), Ok(no_op.clone()));
    assert_eq!(no_op.encode(1), Err(EncodeError::UnsupportedVersion(1)));
    assert_eq!(decode(&[0, 20, 0, 0]), Err(DecodeError::UnknownFrame(0)));
    assert_eq!(decode(&[2, 20, 0, 0]), Err(DecodeError::UnknownFrame(2)));
    // 6, 13 and 16 are gaps; 29 is Kafka 4.4's.
    for gap in [&[1, 6, 0, 0], &[1, 29, 0, 0]] {
        assert_eq!(decode(gap), Err(DecodeError::UnknownType(gap[1].into())));
    }
    assert_eq!(
        decode(&[1, 20, 1, 0]),
        Err(DecodeError::UnsupportedVersion(1))
    );
    assert_eq!(
        decode(&[1, 20, 0, 0, 0]),
        Err(DecodeError::TrailingBytes(1))
    );
    assert_eq!(
        decode(&[1, 20, 0]),
        Err(DecodeError::Truncated {
            needed: 1,
            remaining: 0
        })
    );
    let huge = RemoteLogRecord::decode(Bytes::from_static(&[1, 0x80, 0x80, 0x04, 0]));
    assert_eq!(huge, Err(DecodeError::UnknownType(0x1_0000)));
}

#[test]
fn a_coordinator_record_is_a_key_and_a_value() {
    let key = OffsetCommitKey {
        group: "g".into(),
        topic: "t".into(),
        partition: 3,
    };
    let value = OffsetCommitValue {
        offset: 42,
        ..Default::default()
    };
    let record = GroupRecord::OffsetCommit(key.clone(), Some(value));
    let (key_bytes, value_bytes) = (
        record.encode_key().unwrap(),
        record.encode_value(3).unwrap(),
    );
    assert_eq!(key_bytes, b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03"[..]);
    assert_eq!(
        value_bytes.as_ref().map(|bytes| bytes[..2].to_vec()),
        Some(vec![0, 3])
    );
    assert_eq!(
        GroupRecord::decode(key_bytes.clone(), value_bytes),
        Ok(record)
    );
    let deleted = GroupRecord::OffsetCommit(key, None);
    assert_eq!(deleted.encode_value(3), Ok(None));
    assert_eq!(GroupRecord::decode(key_bytes.clone(), None), Ok(deleted));
    let unknown = GroupRecord::decode(Bytes::from_static(&[0, 99]), None);
    assert_eq!(unknown, Err(DecodeError::UnknownType(99)));
    let too_new = GroupRecord::decode(key_bytes, Some(Bytes::from_static(&[0, 5])));
    assert_eq!(too_new, Err(DecodeError::UnsupportedVersion(5)));
}
