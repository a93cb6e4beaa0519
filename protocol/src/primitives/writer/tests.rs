//! Bytes written by hand, beside ours.

use super::*;
use crate::Reader;

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish().into_bytes().to_vec()
}

#[test]
fn lengths_in_both_dialects() {
    let text = Str::from("ab");
    assert_eq!(
        written(|it| it.string(&text, false).unwrap()),
        b"\x00\x02ab"
    );
    assert_eq!(written(|it| it.string(&text, true).unwrap()), b"\x03ab");
    assert_eq!(
        written(|it| it.nullable_string(None, false).unwrap()),
        b"\xff\xff"
    );
    assert_eq!(
        written(|it| it.nullable_string(None, true).unwrap()),
        b"\x00"
    );
    assert_eq!(
        written(|it| it.nullable_bytes(None, false).unwrap()),
        b"\xff\xff\xff\xff"
    );
    assert_eq!(
        written(|it| it.list(&[1i16, -1], true).unwrap()),
        b"\x03\x00\x01\xff\xff"
    );
    assert_eq!(
        written(|it| it.uvarint(u32::MAX)),
        [0xff, 0xff, 0xff, 0xff, 0x0f]
    );
}

#[test]
fn long_strings_are_refused() {
    let text = Str::from("x".repeat(0x8000));
    for flexible in [false, true] {
        assert_eq!(
            Writer::new().string(&text, flexible),
            Err(EncodeError::TooLong(0x8000))
        );
    }
}

#[test]
fn large_shared_bytes_are_not_copied() {
    let large = Bytes::from(vec![7; SHARED_MIN]);
    let mut writer = Writer::new();
    writer.i32(1);
    writer.bytes(&large, false).unwrap();
    writer
        .records(
            Some(&Records::Parts(vec![
                large.clone(),
                large.slice(..9),
                large.clone(),
            ])),
            true,
        )
        .unwrap();
    let frame = writer.finish();
    let lengths: Vec<usize> = frame.chunks.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [8, 4096, 2, 4096, 9, 4096]);
    assert_eq!(frame.len, lengths.iter().sum::<usize>());
    assert_eq!(frame.chunks[1].as_ptr(), large.as_ptr());
    let mut reader = Reader::new(frame.into_bytes());
    assert_eq!((reader.i32(), reader.bytes(false)), (Ok(1), Ok(large)));
    assert_eq!(
        reader.records(true).unwrap().map(|records| records.len()),
        Some(2 * SHARED_MIN + 9)
    );
}

#[test]
fn tags_are_counted_sized_and_merged() {
    let mut unknown = UnknownTags::NONE;
    unknown.push(1, Bytes::from_static(b"u"));
    unknown.push(200, Bytes::new());
    let bytes = written(|it| {
        it.tags(&unknown, |tags| {
            tags.put(0, |it| it.string(&Str::from("a"), true))?;
            // A tagged field with tagged fields of its own, and larger than what is shared elsewhere.
            tags.put(2, |it| {
                it.tags(&UnknownTags::NONE, |_| Ok(()))?;
                it.bytes(&Bytes::from(vec![9; SHARED_MIN]), true)
            })
        })
        .unwrap();
        it.i8(5);
    });
    let head = [
        &[4, 0, 2, 2, b'a', 1, 1, b'u', 2][..],
        &[0x83, 0x20],
        &[0],
        &[0x81, 0x20],
        &[9],
    ]
    .concat();
    assert_eq!(bytes[..head.len()], head);
    assert_eq!(bytes[head.len() + SHARED_MIN - 1..], [0xc8, 0x01, 0, 5]);
}

#[test]
fn unknown_tags_must_not_collide_or_turn_back() {
    let tags = |numbers: &[u32]| {
        let mut tags = UnknownTags::NONE;
        numbers
            .iter()
            .for_each(|number| tags.push(*number, Bytes::new()));
        tags
    };
    assert_eq!(
        Writer::new().unknown_tags(&tags(&[4, 4])),
        Err(EncodeError::TagOrder(4))
    );
    assert_eq!(
        Writer::new().unknown_tags(&tags(&[5, 4])),
        Err(EncodeError::TagOrder(5))
    );
    let collision = Writer::new().tags(&tags(&[3]), |known| known.put(3, |_| Ok(())));
    assert_eq!(collision, Err(EncodeError::TagOrder(3)));
}
