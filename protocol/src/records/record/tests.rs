//! Tests of `record` and `stream`: what is read, and that nothing hostile is believed. Both readers must agree on everything.

use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::records::{BatchBuilder, BatchOptions, BatchView, RecordStream};

const BUDGET: usize = 1 << 20;

fn header(record_count: i32) -> BatchHeader {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 100,
        ..BatchOptions::default()
    });
    builder.append(1000, None, None, []).unwrap();
    let mut header = *BatchView::new(builder.build().unwrap()).unwrap().header();
    header.record_count = record_count;
    header
}

/// Reads `data` as the records of a batch, uncompressed by both readers and compressed by the stream.
fn check(record_count: i32, data: &[u8], expect: Expect) {
    let header = header(record_count);
    let mut iter_lines = Vec::new();
    for item in RecordIter::new(&header, data) {
        iter_lines.push(line(item));
    }
    assert_eq!(stream_lines(&header, data), iter_lines);
    let declares_more_than_the_budget =
        read_i32(data).is_some_and(|(len, _)| len as i64 > BUDGET as i64);
    for codec in Codec::ALL {
        let mut body = Vec::new();
        crate::records::compress(codec, data, &mut body);
        let mut header = header;
        header.attributes = header.attributes.with_codec(codec);
        let lines = stream_lines(&header, &body);
        if declares_more_than_the_budget && codec != Codec::None {
            let budget = DecompressError::OverBudget { bytes_max: BUDGET };
            assert_eq!(lines, [budget.to_string()], "{codec:?}");
        } else {
            assert_eq!(lines, iter_lines, "{codec:?}");
        }
    }
    expect.assert_eq(&iter_lines.join("\n"));
}

fn stream_lines(header: &BatchHeader, body: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut stream = RecordStream::new(header, body, BUDGET).unwrap();
    loop {
        match stream.next() {
            Ok(Some(record)) => lines.push(line(Ok(record))),
            Ok(None) => return lines,
            Err(error) => {
                lines.push(line(Err(error)));
                return lines;
            }
        }
    }
}

fn line(item: Result<Record<'_>, RecordError>) -> String {
    match item {
        Ok(r) => {
            let text = |bytes: Option<&[u8]>| {
                bytes.map_or("null".into(), |bytes| bytes.escape_ascii().to_string())
            };
            format!(
                "{} @{} {}={} {:?} ({} bytes)",
                r.offset,
                r.timestamp,
                text(r.key),
                text(r.value),
                r.headers,
                r.size
            )
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn records_as_they_are() {
    // length, attributes, timestamp delta, offset delta, key, value, headers
    check(
        1,
        &[12, 0, 0, 0, 1, 1, 0],
        expect!["100 @1000 null=null [] (7 bytes)"],
    );
    check(
        1,
        &[12, 0, 0, 0, 0, 0, 0],
        expect!["100 @1000 = [] (7 bytes)"],
    );
    check(
        2,
        &[16, 0, 1, 0, 2, b'k', 2, b'v', 0, 12, 0, 4, 2, 1, 1, 0],
        expect![[r#"
            100 @999 k=v [] (9 bytes)
            101 @1002 null=null [] (7 bytes)"#]],
    );
    // Duplicate header keys, a null value, a key that is not UTF-8.
    check(
        1,
        &[
            34, 0, 0, 0, 1, 1, 6, 2, b'h', 2, b'1', 2, b'h', 1, 2, 0xff, 0, 0,
        ],
        expect!["record 0 of the batch: bytes left over inside the record"],
    );
    check(
        1,
        &[
            32, 0, 0, 0, 1, 1, 6, 2, b'h', 2, b'1', 2, b'h', 1, 2, 0xff, 0,
        ],
        expect![[
            r#"100 @1000 null=null [("h", Some("1")), ("h", None), ("\\xff", Some(""))] (17 bytes)"#
        ]],
    );
}

#[test]
fn hostile_records_are_refused() {
    check(0, &[], expect![[""]]);
    check(-1, &[], expect!["batch declares -1 records"]);
    check(
        0,
        &[12, 0, 0, 0, 1, 1, 0],
        expect!["bytes follow the last of 0 declared records"],
    );
    check(
        2,
        &[12, 0, 0, 0, 1, 1, 0],
        expect![[r#"
            100 @1000 null=null [] (7 bytes)
            batch declares 2 records but holds 1"#]],
    );
    check(
        1,
        &[10, 0, 0, 0, 1, 1],
        expect!["record 0 of the batch: impossible record length"],
    );
    check(
        1,
        &[14, 0, 0, 0, 1, 1, 0],
        expect!["record 0 of the batch: impossible record length"],
    );
    check(
        1,
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        expect!["record 0 of the batch: impossible record length"],
    );
    // 2 GiB declared.
    check(
        1,
        &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0],
        expect!["record 0 of the batch: impossible record length"],
    );
    check(
        1,
        &[12, 0, 0x80, 0x80, 0x80, 0x80, 0x80],
        expect!["record 0 of the batch: torn timestamp or offset delta"],
    );
    check(
        1,
        &[12, 0, 0, 0, 3, 1, 0],
        expect!["record 0 of the batch: impossible key length"],
    );
    check(
        1,
        &[12, 0, 0, 0, 40, 1, 0],
        expect!["record 0 of the batch: impossible key length"],
    );
    check(
        1,
        &[12, 0, 0, 0, 1, 3, 0],
        expect!["record 0 of the batch: impossible value length"],
    );
    check(
        1,
        &[12, 0, 0, 0, 1, 1, 1],
        expect!["record 0 of the batch: impossible header count"],
    );
    check(
        1,
        &[12, 0, 0, 0, 1, 1, 2],
        expect!["record 0 of the batch: impossible header count"],
    );
    check(
        1,
        &[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f],
        expect!["record 0 of the batch: impossible header count"],
    );
    check(
        1,
        &[16, 0, 0, 0, 1, 1, 2, 1, 0],
        expect!["record 0 of the batch: impossible header key length"],
    );
    check(
        1,
        &[16, 0, 0, 0, 1, 1, 2, 0, 3],
        expect!["record 0 of the batch: impossible header value length"],
    );
}

#[test]
fn append_time_counts_for_every_record() {
    let mut builder = BatchBuilder::new(BatchOptions {
        append_time_ms: Some(5000),
        ..BatchOptions::default()
    });
    builder.append(1, None, None, []).unwrap();
    builder.append(2, None, None, []).unwrap();
    let records = BatchView::new(builder.build().unwrap())
        .unwrap()
        .records(BUDGET)
        .unwrap();
    assert_eq!(
        records
            .iter()
            .map(|r| r.unwrap().timestamp)
            .collect::<Vec<_>>(),
        [5000, 5000]
    );
}

#[test]
fn parts_are_shared_not_copied() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder
        .append(
            1,
            Some(b"key"),
            Some(b"value"),
            [(&b"a"[..], None), (b"a", Some(&b"2"[..]))],
        )
        .unwrap();
    let records = BatchView::new(builder.build().unwrap())
        .unwrap()
        .records(BUDGET)
        .unwrap();
    let record = records.iter().next().unwrap().unwrap();
    let value = record.value.unwrap();
    let shared = records.share(value);
    assert_eq!(shared.as_ptr(), value.as_ptr());
    assert_eq!(record.headers.last(b"a"), Some(Some(&b"2"[..])));
    assert_eq!(
        (
            record.headers.len(),
            record.headers.is_empty(),
            record.headers.last(b"b")
        ),
        (2, false, None)
    );
}

#[test]
fn a_large_record_streams_whole() {
    let value: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: codec.into(),
            ..BatchOptions::default()
        });
        builder.append(1, None, Some(b"small"), []).unwrap();
        builder.append(1, None, Some(&value), []).unwrap();
        builder.append(1, None, Some(b"last"), []).unwrap();
        let view = BatchView::new(builder.build().unwrap()).unwrap();
        let mut stream = view.stream(BUDGET).unwrap();
        assert_eq!(stream.next().unwrap().unwrap().value, Some(&b"small"[..]));
        assert_eq!(stream.next().unwrap().unwrap().value, Some(&value[..]));
        assert_eq!(stream.next().unwrap().unwrap().value, Some(&b"last"[..]));
        assert_eq!(stream.next().unwrap(), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_both_readers_agree(
        data in proptest::collection::vec(any::<u8>(), 0..200), record_count in -1..20i32, codec in 0u8..5
    ) {
        let mut header = header(record_count);
        let iter: Vec<_> = RecordIter::new(&header, &data).map(line).collect();
        prop_assert_eq!(&stream_lines(&header, &data), &iter);
        header.attributes = header.attributes.with_codec(Codec::from_id(codec).unwrap());
        // As the body of a compressed batch it is nearly always garbage: an error, no panic.
        let _ = stream_lines(&header, &data);
        let _ = BatchRecords::new(&header, &Bytes::from(data), BUDGET).map(|records| records.iter().count());
    }
}
