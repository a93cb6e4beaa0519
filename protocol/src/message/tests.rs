//! What the generated code does with versions, on real messages. That all of them are right is
//! e2e/tests/codec_oracle.rs's to prove.

use super::*;
use crate::messages::fetch_request::{FetchRequest, FetchTopic, ReplicaState};
use crate::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use crate::metadata_records::PartitionChangeRecord;
use crate::{Bytes, Str, UnknownTags, Uuid};

fn encode(message: &impl Message, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.finish().into_bytes())
}

fn decode<M: Message>(bytes: Bytes, version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(bytes), version)
}

#[test]
fn defaults_are_the_schemas() {
    let fetch = FetchRequest::default();
    assert_eq!(
        (fetch.replica_id, fetch.max_bytes, fetch.session_epoch),
        (-1, i32::MAX, -1)
    );
    assert_eq!(MetadataRequest::default().topics, Some(Vec::new()));
    assert_eq!(PartitionChangeRecord::default().leader, -2);
}

#[test]
fn fields_outside_a_version_are_dropped_or_refused() {
    let fetch = FetchRequest {
        rack_id: Str::from_static("r1"),
        session_id: 4,
        ..FetchRequest::default()
    };
    let old: FetchRequest = decode(encode(&fetch, 4).unwrap(), 4).unwrap();
    assert_eq!(old, FetchRequest::default(), "both are ignorable");
    let replica = FetchRequest {
        replica_id: 3,
        ..FetchRequest::default()
    };
    assert!(encode(&replica, 14).is_ok());
    assert_eq!(
        encode(&replica, 15),
        Err(EncodeError::FieldNotInVersion {
            field: "replica_id",
            version: 15
        })
    );
    assert_eq!(encode(&fetch, 3), Err(EncodeError::UnsupportedVersion(3)));
    assert_eq!(
        decode::<FetchRequest>(Bytes::new(), 19),
        Err(DecodeError::UnsupportedVersion(19))
    );
}

#[test]
fn null_is_a_matter_of_version() {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(
        encode(&all, 0),
        Err(EncodeError::NullNotInVersion {
            field: "topics",
            version: 0
        })
    );
    assert_eq!(decode(encode(&all, 1).unwrap(), 1), Ok(all));
    let null = Bytes::from_static(&[0xff; 4]);
    assert_eq!(
        decode::<MetadataRequest>(null, 0),
        Err(DecodeError::UnexpectedNull)
    );
}

#[test]
fn tagged_fields_are_written_only_when_set() {
    let plain = FetchRequest {
        topics: vec![FetchTopic::default()],
        ..FetchRequest::default()
    };
    let state = ReplicaState {
        replica_id: 2,
        replica_epoch: 9,
        unknown_tagged_fields: UnknownTags::NONE,
    };
    let tagged = FetchRequest {
        replica_state: state,
        ..plain.clone()
    };
    let (plain_bytes, tagged_bytes) = (encode(&plain, 17).unwrap(), encode(&tagged, 17).unwrap());
    // Tag, size, replica id, replica epoch, and the count of its own tags.
    assert_eq!(tagged_bytes.len() - plain_bytes.len(), 1 + 1 + 4 + 8 + 1);
    assert_eq!(decode(tagged_bytes, 17), Ok(tagged));
    assert_eq!(decode(plain_bytes, 17), Ok(plain));
}

#[test]
fn a_known_tag_in_a_version_without_it_is_an_error() {
    let mut bytes = encode(&FetchRequest::default(), 12).unwrap().to_vec();
    assert_eq!(bytes.pop(), Some(0), "no tags yet");
    bytes.extend([1, 1, 0]);
    let read = decode::<FetchRequest>(bytes.into(), 12);
    assert_eq!(
        read,
        Err(DecodeError::TagNotInVersion {
            tag: 1,
            version: 12
        })
    );
}

#[test]
fn unknown_tags_pass_through_flexible_versions_only() {
    let mut topic = MetadataRequestTopic {
        topic_id: Uuid::ZERO,
        name: Some("t".into()),
        ..Default::default()
    };
    topic
        .unknown_tagged_fields
        .push(77, Bytes::from_static(b"later"));
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        ..MetadataRequest::default()
    };
    assert_eq!(
        decode(encode(&request, 12).unwrap(), 12),
        Ok(request.clone())
    );
    let refused = EncodeError::FieldNotInVersion {
        field: "unknown_tagged_fields",
        version: 8,
    };
    assert_eq!(encode(&request, 8), Err(refused));
}

#[test]
fn requests_know_their_key_and_response() {
    fn facts<R: Request>() -> (ApiKey, (i16, i16)) {
        (R::KEY, R::VERSIONS)
    }
    assert_eq!(facts::<FetchRequest>(), (ApiKey::Fetch, (4, 18)));
    assert!(FetchRequest::is_flexible(12) && !FetchRequest::is_flexible(11));
}
