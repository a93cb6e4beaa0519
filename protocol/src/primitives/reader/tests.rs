//! What frames may hold, and what they may cost.

use super::*;
use crate::EncodeError;

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

/// The smallest struct there is: one byte and no tags.
#[derive(Debug, PartialEq)]
struct Grain(i8);

impl Message for Grain {
    const SIZE_MIN: usize = 1;

    fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
        reader.i8().map(Self)
    }

    fn encode(&self, writer: &mut crate::Writer, _: i16) -> Result<(), EncodeError> {
        writer.i8(self.0);
        Ok(())
    }
}

/// As dear as a struct may be: 64 bytes of memory for one of the wire, if its array is empty.
struct Sack {
    _grains: Vec<Grain>,
    _memory: [u64; 5],
}

impl Message for Sack {
    const SIZE_MIN: usize = 1;

    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            _grains: reader.array(true, version)?,
            _memory: [0; 5],
        })
    }

    fn encode(&self, _: &mut crate::Writer, _: i16) -> Result<(), EncodeError> {
        Ok(())
    }
}

#[test]
fn integers_are_big_endian_and_need_all_their_bytes() {
    let mut it = reader(&[0, 1, 0xff, 0xff, 0xff, 0xfe, 7]);
    assert_eq!((it.i16(), it.i32(), it.bool()), (Ok(1), Ok(-2), Ok(true)));
    assert_eq!(
        it.i8(),
        Err(DecodeError::Truncated {
            needed: 1,
            remaining: 0
        })
    );
    assert_eq!(
        reader(&[0; 15]).uuid(),
        Err(DecodeError::Truncated {
            needed: 16,
            remaining: 15
        })
    );
}

#[test]
fn varints_end_after_five_bytes() {
    assert_eq!(reader(&[0xac, 0x02]).uvarint(), Ok(300));
    assert_eq!(
        reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(),
        Ok(u32::MAX)
    );
    assert_eq!(
        reader(&[0x80; 6]).uvarint(),
        Err(DecodeError::VarintTooLong)
    );
}

#[test]
fn strings_are_slices_of_the_frame() {
    let frame = Bytes::from_static(b"\x00\x05topic\xff\xff");
    let mut it = Reader::new(frame.clone());
    let topic = it.string(false).unwrap();
    assert_eq!(topic, "topic");
    assert_eq!(topic.as_bytes().as_ptr(), frame[2..].as_ptr());
    assert_eq!(it.nullable_string(false), Ok(None));
    assert_eq!(
        reader(b"\x06topic").nullable_string(true),
        Ok(Some("topic".into()))
    );
    assert_eq!(
        reader(b"\x00").string(true),
        Err(DecodeError::UnexpectedNull)
    );
    assert_eq!(
        reader(b"\xff\xfe").string(false),
        Err(DecodeError::BadLength(-2))
    );
    assert_eq!(
        reader(b"\x03\xc3\x28").string(true),
        Err(DecodeError::NotUtf8)
    );
    assert_eq!(
        reader(&[0x81, 0x80, 0x02]).string(true),
        Err(DecodeError::BadLength(0x8000))
    );
}

#[test]
fn a_count_is_believed_only_as_far_as_bytes_go() {
    let bomb = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let refused = Err(DecodeError::CountBeyondFrame {
        count: 0x7fff_ffff,
        remaining: 4,
    });
    assert_eq!(reader(&bomb).list::<i32>(false), refused);
    assert_eq!(
        reader(&[0, 0, 0, 1, 0, 0, 0, 9]).list::<i32>(false),
        Ok(vec![9])
    );
    assert_eq!(
        reader(&[3, 5, 6]).array::<Grain>(true, 0),
        Ok(vec![Grain(5), Grain(6)])
    );
    assert_eq!(reader(&[0]).nullable_array::<Grain>(true, 0), Ok(None));
}

#[test]
fn promises_at_every_level_run_out_of_budget() {
    const SIZE: usize = 20_000;
    // Ten sacks in a row promise nearly all that is left, and each but the last keeps its promise.
    let mut frame = vec![0x01; SIZE];
    frame[..3].copy_from_slice(&[0xd8, 0x9b, 0x01]);
    let read = reader(&frame).array::<Sack>(true, 0);
    assert!(
        read.is_ok_and(|sacks| sacks.len() == 19_927),
        "the dearest honest frame is within its budget"
    );
    // The same again behind it: twice 64 times the frame is too much.
    let mut it = reader(&frame);
    assert!(it.array::<Sack>(true, 0).is_ok());
    it.at = 0;
    assert_eq!(
        it.array::<Sack>(true, 0).err(),
        Some(DecodeError::AllocationLimit)
    );
}

#[test]
fn unknown_tags_are_kept_in_order() {
    let kept = reader(&[2, 3, 1, 0xaa, 9, 0]).unknown_tags(true).unwrap();
    let tags: Vec<(u32, &[u8])> = kept
        .as_slice()
        .iter()
        .map(|tag| (tag.tag, &tag.data[..]))
        .collect();
    assert_eq!(tags, [(3, &[0xaa][..]), (9, &[])]);
    assert!(reader(&[]).unknown_tags(false).unwrap().is_empty());
    for previous in [3, 4] {
        let repeated = reader(&[2, previous, 0, 3, 0]).unknown_tags(true);
        assert_eq!(
            repeated,
            Err(DecodeError::TagOrder {
                tag: 3,
                previous: previous.into()
            })
        );
    }
    let crowd: Vec<u8> = [65]
        .into_iter()
        .chain((0..65).flat_map(|tag| [tag, 0]))
        .collect();
    assert_eq!(
        reader(&crowd).unknown_tags(true),
        Err(DecodeError::TooManyUnknownTags)
    );
}

#[test]
fn a_tagged_field_ends_where_it_says() {
    let mut it = reader(&[1, 0, 4, 0, 0, 0, 7, 9]);
    let mut tags = it.tags().unwrap();
    assert_eq!(it.next_tag(&mut tags), Ok(Some(0)));
    // Its content cannot be read past its end, though the frame goes on.
    assert_eq!(
        it.i64(),
        Err(DecodeError::Truncated {
            needed: 8,
            remaining: 4
        })
    );
    assert_eq!(it.i16(), Ok(0));
    assert_eq!(
        it.end_tag(&tags, 0),
        Err(DecodeError::TagSize { tag: 0, unread: 2 })
    );
    assert_eq!(it.i16(), Ok(7));
    assert_eq!(it.end_tag(&tags, 0), Ok(()));
    assert_eq!((it.next_tag(&mut tags), it.remaining()), (Ok(None), 1));
    assert_eq!(it.expect_end(), Err(DecodeError::TrailingBytes(1)));
}
