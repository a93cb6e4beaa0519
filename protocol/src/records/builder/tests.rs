//! Tests of `builder`: what goes in comes out, for every codec and flag.

use proptest::prelude::*;

use super::*;
use crate::records::{BatchView, Codec, TimestampType};

#[test]
fn refusals() {
    assert_eq!(
        BatchBuilder::new(BatchOptions::default()).build(),
        Err(BuildError::Empty)
    );
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 10,
        ..BatchOptions::default()
    });
    assert_eq!(builder.append_at(3, 0, None, None, []), Ok(13));
    assert_eq!(
        builder.append_at(3, 0, None, None, []),
        Err(BuildError::OffsetOrder { last: 3, delta: 3 })
    );
    assert_eq!(builder.append(0, None, None, []), Ok(14));
    assert_eq!(
        builder.append_at(i32::MAX, 0, None, None, []),
        Ok(10 + i64::from(i32::MAX))
    );
    assert!(builder.append(0, None, None, []).is_err());
    assert_eq!(builder.record_count(), 3);
}

#[test]
fn flags_and_times() {
    let mut builder = BatchBuilder::new(BatchOptions {
        append_time_ms: Some(99),
        control: true,
        partition_leader_epoch: 4,
        ..BatchOptions::default()
    });
    builder.append(50, Some(b"k"), None, []).unwrap();
    let size = builder.uncompressed_size();
    let bytes = builder.build().unwrap();
    assert_eq!(bytes.len(), size);
    let view = BatchView::new(bytes).unwrap();
    let header = view.header();
    assert_eq!(
        header.attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
    assert!(header.attributes.is_control() && !header.attributes.is_transactional());
    assert_eq!(
        (
            header.base_timestamp,
            header.max_timestamp,
            header.partition_leader_epoch
        ),
        (50, 99, 4)
    );
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (-1, -1, -1)
    );
    assert!(!header.has_producer_id());
}

type Field = Option<Vec<u8>>;
type Headers = Vec<(Vec<u8>, Field)>;

fn field() -> impl Strategy<Value = Field> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

fn record() -> impl Strategy<Value = (i64, Field, Field, Headers)> {
    let header = (proptest::collection::vec(any::<u8>(), 0..10), field());
    (
        any::<i64>(),
        field(),
        field(),
        proptest::collection::vec(header, 0..4),
    )
}

proptest! {
    #[test]
    fn round_trip(
        records in proptest::collection::vec(record(), 1..30), codec in 0u8..5, base_offset in 0..i64::MAX / 2,
        id in 0i64.., epoch in 0i16.., base_sequence in 0i32..,
    ) {
        let codec = Codec::from_id(codec).unwrap();
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset,
            compression: codec.into(),
            producer: Some(Producer { id, epoch, base_sequence }),
            ..BatchOptions::default()
        });
        for (timestamp, key, value, headers) in &records {
            let headers = headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
            builder.append(*timestamp, key.as_deref(), value.as_deref(), headers).unwrap();
        }
        let view = BatchView::new(builder.build().unwrap()).unwrap();
        view.check_crc().unwrap();
        prop_assert_eq!(view.header().codec(), codec);
        prop_assert_eq!(view.header().max_timestamp, records.iter().map(|r| r.0).max().unwrap().max(-1));
        let read = view.records(1 << 20).unwrap();
        let read: Vec<_> = read.iter().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), records.len());
        for (i, (got, (timestamp, key, value, headers))) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(got.offset, base_offset + i as i64);
            prop_assert_eq!(got.timestamp, *timestamp);
            prop_assert_eq!(got.sequence, crate::records::sequence_plus(base_sequence, i as i32));
            prop_assert_eq!(got.key, key.as_deref());
            prop_assert_eq!(got.value, value.as_deref());
            let got: Vec<_> = got.headers.iter().map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&got, headers);
        }
    }
}
