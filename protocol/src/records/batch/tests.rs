//! Tests of `header` and `batch`: the header byte by byte, patching, splitting.

use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::records::{BatchBuilder, BatchOptions, Codec, Producer, sequence_plus};

fn sample() -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 7,
        partition_leader_epoch: 3,
        producer: Some(Producer {
            id: 9,
            epoch: 1,
            base_sequence: i32::MAX,
        }),
        transactional: true,
        ..BatchOptions::default()
    });
    builder.append(1000, Some(b"k"), Some(b"v"), []).unwrap();
    builder
        .append(1002, None, None, [(&b"h"[..], None)])
        .unwrap();
    builder.build().unwrap()
}

#[test]
fn every_field_has_its_place() {
    let view = BatchView::new(sample()).unwrap();
    view.check_crc().unwrap();
    let header = *view.header();
    assert_eq!(
        (
            header.last_offset(),
            header.next_offset(),
            header.last_sequence()
        ),
        (8, 9, 0)
    );
    assert_eq!(header.codec(), Codec::None);
    assert_eq!(header.encode(), sample()[..HEADER_LEN]);
    assert_eq!(view.to_bytes(), sample());
    expect![[r#"
        BatchHeader {
            base_offset: 7,
            batch_length: 68,
            partition_leader_epoch: 3,
            crc: 3302397398,
            attributes: Attributes(
                16,
            ),
            last_offset_delta: 1,
            base_timestamp: 1000,
            max_timestamp: 1002,
            producer_id: 9,
            producer_epoch: 1,
            base_sequence: 2147483647,
            record_count: 2,
        }
    "#]]
    .assert_debug_eq(&header);
}

fn check(bytes: &[u8], expect: Expect) {
    let lines: Vec<_> = batches(Bytes::copy_from_slice(bytes))
        .map(|batch| match batch {
            Ok(batch) => match batch.check_crc() {
                Ok(()) => format!("{} bytes", batch.size()),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        })
        .collect();
    expect.assert_eq(&lines.join("\n"));
}

fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = sample().to_vec();
    bytes[at] = byte;
    bytes
}

#[test]
fn bad_batches_are_told_apart() {
    let one = sample();
    let two = [&one[..], &one[..]].concat();
    check(&[], expect![[""]]);
    check(
        &two,
        expect![[r#"
            80 bytes
            80 bytes"#]],
    );
    check(
        &two[..two.len() - 1],
        expect![[r#"
            80 bytes
            batch at byte 80 is torn: needs 80 bytes, 79 are there"#]],
    );
    check(
        &one[..16],
        expect!["batch at byte 0 is torn: needs 17 bytes, 16 are there"],
    );
    check(
        &one[..60],
        expect!["batch at byte 0 is torn: needs 61 bytes, 60 are there"],
    );
    check(
        &with(16, 0),
        expect!["batch at byte 0 has magic 0: formats before 2 are not supported"],
    );
    check(
        &with(16, 1),
        expect!["batch at byte 0 has magic 1: formats before 2 are not supported"],
    );
    check(&with(16, 3), expect!["batch at byte 0 has unknown magic 3"]);
    check(
        &with(8, 0xff),
        expect!["batch at byte 0 declares the impossible length -16777148"],
    );
    check(
        &with(8, 0x7f),
        expect!["batch at byte 0 is torn: needs 2130706512 bytes, 80 are there"],
    );
    check(
        &with(11, 48),
        expect!["batch at byte 0 declares the impossible length 48"],
    );
    check(
        &with(22, 5),
        expect!["batch at byte 0 uses unknown compression codec 5"],
    );
    check(&with(79, 1), expect!["80 bytes"]);
    // Offset and leader epoch are outside the checksum.
    check(&with(7, 99), expect!["80 bytes"]);
    check(&with(15, 99), expect!["80 bytes"]);
}

#[test]
fn one_batch_only() {
    let more = [&sample()[..], b"x"].concat();
    assert!(matches!(
        BatchView::new(more.into()),
        Err(BatchError::Length { .. })
    ));
}

#[test]
fn stamping_leaves_the_checksum() {
    let mut view = BatchView::new(sample()).unwrap();
    view.stamp(1 << 40, 77);
    let mut patched = sample().to_vec();
    patch_base_offset(&mut patched, 1 << 40);
    patch_leader_epoch(&mut patched, 77);
    assert_eq!(view.to_bytes(), patched);
    view.check_crc().unwrap();
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_plus(i32::MAX, 1), 0);
    assert_eq!(sequence_plus(i32::MAX - 1, 3), 1);
    assert_eq!(sequence_plus(5, 0), 5);
}

proptest! {
    #[test]
    fn new_timestamps_keep_the_checksum_right(
        value in proptest::collection::vec(any::<u8>(), 0..3000), max: i64, append: bool
    ) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(5, None, Some(&value), []).unwrap();
        let mut view = BatchView::new(builder.build().unwrap()).unwrap();
        let timestamp_type = if append { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        view.set_timestamps(timestamp_type, max);
        prop_assert!(view.check_crc().is_ok());
        let read = BatchView::new(view.to_bytes()).unwrap();
        prop_assert_eq!(read.header().max_timestamp, max);
        prop_assert_eq!(read.header().attributes.timestamp_type(), timestamp_type);
    }

    #[test]
    fn header_round_trip(head in proptest::array::uniform32(any::<u8>()), tail in proptest::array::uniform29(any::<u8>())) {
        let mut bytes: [u8; HEADER_LEN] = [&head[..], &tail[..]].concat().try_into().unwrap();
        bytes[8] &= 0x0f;
        bytes[9] |= 1;
        bytes[16] = 2;
        bytes[22] &= 0xfb;
        let header = BatchHeader::parse(&bytes).unwrap();
        prop_assert_eq!(header.encode(), bytes);
    }

    #[test]
    fn splitting_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let total: usize = batches(Bytes::from(bytes.clone())).map_while(Result::ok).map(|b| b.size()).sum();
        prop_assert!(total <= bytes.len());
    }
}
