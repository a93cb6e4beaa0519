//! Tests of `validate` (and `search`, which works on the same batches).

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::records::{
    BatchBuilder, BatchOptions, OffsetAtTime, Producer, first_at_or_after, offset_of_max_timestamp,
};

const NOW: i64 = 1_000_000;

fn rules() -> Rules {
    Rules {
        batch_bytes_max: 10_000,
        compacted: false,
        timestamps: TimestampRule::CreateTime {
            now_ms: NOW,
            before_max_ms: i64::MAX,
            after_max_ms: 1000,
        },
        compression: None,
        zstd_allowed: true,
        decompressed_bytes_max: 100_000,
    }
}

fn batch(options: BatchOptions, records: &[(i64, Option<&[u8]>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key) in records {
        builder
            .append(*timestamp, *key, Some(b"value"), [])
            .unwrap();
    }
    builder.build().unwrap()
}

fn plain(codec: Codec) -> Bytes {
    let options = BatchOptions {
        compression: codec.into(),
        ..BatchOptions::default()
    };
    batch(
        options,
        &[
            (NOW, Some(b"a")),
            (NOW + 2, None),
            (NOW + 1, None),
            (NOW + 2, None),
        ],
    )
}

/// The batch with another header and a right checksum.
fn forged(bytes: &Bytes, change: impl Fn(&mut BatchHeader)) -> Bytes {
    let view = BatchView::new(bytes.clone()).unwrap();
    let mut header = *view.header();
    change(&mut header);
    header.seal(view.body());
    [&header.encode()[..], view.body()].concat().into()
}

fn check(bytes: Bytes, rules: &Rules, expect: Expect) {
    let text = match validate(bytes, rules) {
        Ok(batch) => {
            batch.check_crc().unwrap();
            let header = batch.header();
            format!(
                "{} {:?} max {}",
                header.codec().name(),
                header.attributes.timestamp_type(),
                header.max_timestamp
            )
        }
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&text);
}

#[test]
fn good_batches_pass_unchanged() {
    for codec in Codec::ALL {
        let bytes = plain(codec);
        let valid = validate(bytes.clone(), &rules()).unwrap();
        assert_eq!(valid.to_bytes(), bytes);
        // Not even copied.
        assert_eq!(valid.body().as_ptr(), bytes[61..].as_ptr());
    }
}

#[test]
fn shapes_that_are_refused() {
    let one = plain(Codec::None);
    let r = rules();
    check(
        Bytes::new(),
        &r,
        expect!["a partition must be sent exactly one batch, found 0"],
    );
    check(
        [one.clone(), one.clone()].concat().into(),
        &r,
        expect!["a partition must be sent exactly one batch, found 2"],
    );
    check(
        [&one[..], b"x"].concat().into(),
        &r,
        expect!["batch at byte 110 is torn: needs 17 bytes, 1 are there"],
    );
    check(
        one.slice(..80),
        &r,
        expect!["batch at byte 0 is torn: needs 110 bytes, 80 are there"],
    );
    let mut damaged = one.to_vec();
    damaged[100] ^= 1;
    check(
        damaged.into(),
        &r,
        expect![
            "batch with base offset 0 is corrupt: stored checksum 0x14c4e277, computed 0xdf9299d2"
        ],
    );
    check(
        one.clone(),
        &Rules {
            batch_bytes_max: 109,
            ..r
        },
        expect!["batch of 110 bytes exceeds the limit of 109"],
    );
    check(
        forged(&one, |h| h.base_offset = 3),
        &r,
        expect!["base offset must be 0, is 3"],
    );
    check(
        forged(&one, |h| h.record_count = 3),
        &r,
        expect!["record count 3 does not fit last offset delta 3"],
    );
    check(
        forged(&one, |h| (h.record_count, h.last_offset_delta) = (0, -1)),
        &r,
        expect!["record count 0 does not fit last offset delta -1"],
    );
    check(
        forged(&one, |h| {
            (h.record_count, h.last_offset_delta) = (i32::MIN, i32::MAX)
        }),
        &r,
        expect!["record count -2147483648 does not fit last offset delta 2147483647"],
    );
    check(
        forged(&one, |h| (h.record_count, h.last_offset_delta) = (5, 4)),
        &r,
        expect!["batch declares 5 records but holds 4"],
    );
    check(
        forged(&one, |h| (h.record_count, h.last_offset_delta) = (3, 2)),
        &r,
        expect!["bytes follow the last of 3 declared records"],
    );
    check(
        forged(&one, |h| h.attributes = h.attributes.with_control(true)),
        &r,
        expect!["clients may not write control batches"],
    );
    check(
        forged(&one, |h| {
            h.attributes = h.attributes.with_delete_horizon(true)
        }),
        &r,
        expect!["clients may not set a delete horizon"],
    );
    check(
        forged(&one, |h| {
            h.attributes = h.attributes.with_transactional(true)
        }),
        &r,
        expect!["transactional batch without producer id"],
    );
    check(
        forged(&one, |h| h.producer_id = 4),
        &r,
        expect!["batch with producer id 4 has base sequence -1"],
    );
    check(
        forged(&one, |h| {
            h.attributes = h.attributes.with_codec(Codec::Gzip)
        }),
        &r,
        expect!["gzip records cannot be decompressed: invalid gzip header"],
    );
    check(
        plain(Codec::Zstd),
        &Rules {
            zstd_allowed: false,
            ..r
        },
        expect!["zstd needs Produce version 7 or later"],
    );
    for codec in [Codec::None, Codec::Lz4] {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: codec.into(),
            ..BatchOptions::default()
        });
        builder.append_at(1, NOW, None, None, []).unwrap();
        let shifted = forged(&builder.build().unwrap(), |h| h.last_offset_delta = 0);
        check(
            shifted,
            &r,
            expect!["record 0 of the batch has offset delta 1"],
        );
    }
}

#[test]
fn bombs_are_refused() {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: Codec::Zstd.into(),
        ..BatchOptions::default()
    });
    builder
        .append(NOW, None, Some(&[0; 5_000_000]), [])
        .unwrap();
    check(
        builder.build().unwrap(),
        &rules(),
        expect!["batch decompresses to more than 100000 bytes"],
    );
}

#[test]
fn rules_of_the_topic() {
    let one = plain(Codec::Snappy);
    let r = rules();
    check(
        one.clone(),
        &Rules {
            compacted: true,
            ..r
        },
        expect![[
            r#"3 records rejected, first at index 1: a compacted topic takes no record without a key"#
        ]],
    );
    let late = TimestampRule::CreateTime {
        now_ms: NOW,
        before_max_ms: 10,
        after_max_ms: 1,
    };
    check(
        one.clone(),
        &Rules {
            timestamps: late,
            ..r
        },
        expect![[
            r#"2 records rejected, first at index 1: timestamp 1000002 is outside 999990..=1000001"#
        ]],
    );
    let old = batch(
        BatchOptions::default(),
        &[
            (NOW - 11, None),
            (-1, None),
            (i64::MIN, None),
            (i64::MAX, None),
        ],
    );
    let Err(ValidateError::Rejected(rejections)) = validate(
        old,
        &Rules {
            timestamps: late,
            ..r
        },
    ) else {
        panic!()
    };
    assert_eq!(
        rejections.iter().map(|r| r.batch_index).collect::<Vec<_>>(),
        [0, 2, 3]
    );
    let many: Vec<(i64, Option<&[u8]>)> = vec![(NOW, None); 1200];
    let Err(ValidateError::Rejected(rejections)) = validate(
        batch(BatchOptions::default(), &many),
        &Rules {
            compacted: true,
            batch_bytes_max: 1 << 20,
            ..r
        },
    ) else {
        panic!()
    };
    assert_eq!(rejections.len(), REJECTIONS_MAX);
}

#[test]
fn timestamps_are_put_right() {
    let r = rules();
    let leaders = forged(&plain(Codec::None), |h| {
        h.set_timestamps(TimestampType::LogAppendTime, NOW)
    });
    check(
        leaders,
        &r,
        expect![[r#"4 records rejected, first at index 0: a producer may not send LogAppendTime"#]],
    );
    // A producer that lies about the maximum.
    check(
        forged(&plain(Codec::None), |h| h.max_timestamp = 5),
        &r,
        expect!["none CreateTime max 1000002"],
    );
    let append = Rules {
        timestamps: TimestampRule::LogAppendTime { now_ms: 77 },
        ..r
    };
    check(
        plain(Codec::Gzip),
        &append,
        expect!["gzip LogAppendTime max 77"],
    );
    check(
        batch(BatchOptions::default(), &[(-1, None)]),
        &r,
        expect!["none CreateTime max -1"],
    );
}

#[test]
fn the_topic_s_codec_wins() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let producer = Some(Producer {
                id: 1,
                epoch: 2,
                base_sequence: 3,
            });
            let options = BatchOptions {
                compression: from.into(),
                producer,
                ..BatchOptions::default()
            };
            let bytes = batch(options, &[(NOW, Some(b"a")), (NOW + 1, None)]);
            let valid = validate(
                bytes.clone(),
                &Rules {
                    compression: Some(to.into()),
                    ..rules()
                },
            )
            .unwrap();
            valid.check_crc().unwrap();
            assert_eq!(valid.header().codec(), to);
            assert_eq!(valid.header().base_sequence, 3);
            let read = |view: &BatchView| view.records(1000).unwrap().data().clone();
            assert_eq!(read(&valid), read(&BatchView::new(bytes).unwrap()));
        }
    }
    let zeros = {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: Codec::Gzip.into(),
            ..BatchOptions::default()
        });
        builder.append(NOW, None, Some(&[0; 20_000]), []).unwrap();
        builder.build().unwrap()
    };
    check(
        zeros,
        &Rules {
            compression: Some(Codec::None.into()),
            ..rules()
        },
        expect!["batch of 20072 bytes exceeds the limit of 10000"],
    );
}

#[test]
fn time_lookups_answer_with_records() {
    for codec in Codec::ALL {
        let mut view = BatchView::new(plain(codec)).unwrap();
        view.stamp(500, 1);
        let at = |offset, timestamp| Some(OffsetAtTime { offset, timestamp });
        assert_eq!(
            first_at_or_after(&view, 0, 0, 10_000).unwrap(),
            at(500, NOW)
        );
        assert_eq!(
            first_at_or_after(&view, NOW + 1, 0, 10_000).unwrap(),
            at(501, NOW + 2)
        );
        assert_eq!(
            first_at_or_after(&view, NOW + 1, 502, 10_000).unwrap(),
            at(502, NOW + 1)
        );
        assert_eq!(first_at_or_after(&view, NOW + 3, 0, 10_000).unwrap(), None);
        assert_eq!(first_at_or_after(&view, 0, 504, 10_000).unwrap(), None);
        assert_eq!(
            offset_of_max_timestamp(&view, 10_000).unwrap(),
            at(501, NOW + 2)
        );
        view.set_timestamps(TimestampType::LogAppendTime, 9_000_000);
        assert_eq!(
            offset_of_max_timestamp(&view, 10_000).unwrap(),
            at(500, 9_000_000)
        );
    }
}

proptest! {
    #[test]
    fn damage_is_always_noticed(at in 0usize..110, bit in 0u32..8, codec in 0u8..5) {
        let mut bytes = plain(Codec::from_id(codec).unwrap()).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let leader_epoch = (12..16).contains(&at);
        prop_assert_eq!(validate(bytes.into(), &rules()).is_ok(), leader_epoch);
    }

    #[test]
    fn forged_records_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), count in 1..5i32, codec in 0u8..5) {
        let codec = Codec::from_id(codec).unwrap();
        let header = forged_header(body.len(), count, codec, &body);
        let bytes: Bytes = [&header.encode()[..], &body].concat().into();
        let _ = validate(bytes, &rules());
        let mut compressed = Vec::new();
        crate::records::compress(codec, &body, &mut compressed);
        let header = forged_header(compressed.len(), count, codec, &compressed);
        let _ = validate([&header.encode()[..], &compressed].concat().into(), &rules());
    }
}

fn forged_header(len: usize, record_count: i32, codec: Codec, body: &[u8]) -> BatchHeader {
    let mut header = *BatchView::new(plain(codec)).unwrap().header();
    header.batch_length = (len + 49) as i32;
    (header.record_count, header.last_offset_delta) = (record_count, record_count - 1);
    header.seal(body);
    header
}
