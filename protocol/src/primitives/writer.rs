//! Writes a frame front to back.
//!
//! Small things go into one buffer; byte fields of 4 KiB and more that somebody else already holds
//! (`Bytes`) are not copied: the writer notes where they belong, and `finish` slices the buffer
//! around them. So a Fetch response costs the memory of its headers, whatever it carries.

use bytes::Bytes;

use super::plain::Plain;
use super::reader::STRING_MAX;
use super::{EncodeError, Records, Str, UnknownTag, UnknownTags, Uuid};
use crate::Message;

/// From here on a shared byte field becomes a chunk of its own: below, one more entry in the
/// socket's iovec costs more than the copy.
const SHARED_MIN: usize = 4096;

/// What goes to the socket: chunks in order.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The chunks; none is empty.
    pub chunks: Vec<Bytes>,
    /// Their length together.
    pub len: usize,
}

impl Frame {
    /// One contiguous piece; copies only when there are several chunks.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        match self.chunks.len() {
            0 => Bytes::new(),
            1 => self.chunks.swap_remove(0),
            _ => self.chunks.concat().into(),
        }
    }
}

/// A frame in the making.
#[derive(Debug, Default)]
pub struct Writer {
    small: Vec<u8>,
    /// Shared pieces, each with the place in `small` that it precedes.
    shared: Vec<(usize, Bytes)>,
    shared_len: usize,
    /// Set inside tagged fields, whose size is inserted afterwards: pieces must not move.
    contiguous: bool,
}

/// The tagged fields of one struct in the making.
#[derive(Debug)]
pub(crate) struct TagWriter<'a> {
    writer: &'a mut Writer,
    unknown: &'a [UnknownTag],
    count: u32,
}

impl Writer {
    /// An empty frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.small.len() + self.shared_len
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame.
    #[must_use]
    pub fn finish(self) -> Frame {
        let len = self.len();
        let small = Bytes::from(self.small);
        let mut chunks = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut from = 0;
        for (to, bytes) in self.shared {
            if from < to {
                chunks.push(small.slice(from..to));
                from = to;
            }
            chunks.push(bytes);
        }
        if from < small.len() {
            chunks.push(small.slice(from..));
        }
        Frame { chunks, len }
    }

    /// The frame with its length written over the first four bytes, which the caller wrote as a
    /// placeholder. Errors: `TooLong` above 2 GiB.
    pub(crate) fn finish_prefixed(mut self) -> Result<Frame, EncodeError> {
        let length = int32(self.len() - 4)?;
        self.small[..4].copy_from_slice(&length.to_be_bytes());
        Ok(self.finish())
    }

    /// An int8.
    pub fn i8(&mut self, value: i8) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A bool.
    pub fn bool(&mut self, value: bool) {
        self.i8(value.into());
    }

    /// An int16.
    pub fn i16(&mut self, value: i16) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An uint16.
    pub fn u16(&mut self, value: u16) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An int32.
    pub fn i32(&mut self, value: i32) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An uint32.
    pub fn u32(&mut self, value: u32) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An int64.
    pub fn i64(&mut self, value: i64) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A float64.
    pub fn f64(&mut self, value: f64) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A uuid.
    pub fn uuid(&mut self, value: Uuid) {
        self.small.extend_from_slice(&value.0);
    }

    /// An unsigned varint.
    pub fn uvarint(&mut self, value: u32) {
        let (bytes, len) = uvarint(value);
        self.small.extend_from_slice(&bytes[..len]);
    }

    /// A string. Errors: `TooLong` above 32767 bytes.
    pub fn string(&mut self, value: &Str, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_string(Some(value), flexible)
    }

    /// A string or null.
    pub fn nullable_string(
        &mut self,
        value: Option<&Str>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        let length = value.map(|text| text.len());
        match length.unwrap_or(0) {
            too_long if too_long > STRING_MAX => return Err(EncodeError::TooLong(too_long)),
            _ if flexible => self.length(length, flexible)?,
            known => self.i16(if length.is_some() { known as i16 } else { -1 }),
        }
        if let Some(text) = value {
            self.small.extend_from_slice(text.as_str().as_bytes());
        }
        Ok(())
    }

    /// A byte field.
    pub fn bytes(&mut self, value: &Bytes, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(value), flexible)
    }

    /// A byte field or null.
    pub fn nullable_bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        self.length(value.map(Bytes::len), flexible)?;
        if let Some(bytes) = value {
            self.raw(bytes);
        }
        Ok(())
    }

    /// Record batches or null.
    pub fn records(&mut self, value: Option<&Records>, flexible: bool) -> Result<(), EncodeError> {
        self.length(value.map(Records::len), flexible)?;
        for part in value.map_or(&[][..], Records::parts) {
            self.raw(part);
        }
        Ok(())
    }

    /// An array of structs.
    pub fn array<T: Message>(
        &mut self,
        items: &[T],
        flexible: bool,
        version: i16,
    ) -> Result<(), EncodeError> {
        self.length(Some(items.len()), flexible)?;
        items.iter().try_for_each(|item| item.encode(self, version))
    }

    /// An array of structs, or null.
    pub fn nullable_array<T: Message>(
        &mut self,
        items: Option<&[T]>,
        flexible: bool,
        version: i16,
    ) -> Result<(), EncodeError> {
        match items {
            Some(items) => self.array(items, flexible, version),
            None => self.length(None, flexible),
        }
    }

    /// An array of plain values.
    pub fn list<T: Plain>(&mut self, items: &[T], flexible: bool) -> Result<(), EncodeError> {
        self.length(Some(items.len()), flexible)?;
        items.iter().try_for_each(|item| item.write(self, flexible))
    }

    /// An array of plain values, or null.
    pub fn nullable_list<T: Plain>(
        &mut self,
        items: Option<&[T]>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match items {
            Some(items) => self.list(items, flexible),
            None => self.length(None, flexible),
        }
    }

    /// A struct or null: one byte says which.
    pub fn nullable_struct<T: Message>(
        &mut self,
        value: Option<&T>,
        version: i16,
    ) -> Result<(), EncodeError> {
        self.i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| value.encode(self, version))
    }

    /// A struct or null in a tagged field, where the byte that says which is 0 or 1.
    pub fn nullable_tagged_struct<T: Message>(
        &mut self,
        value: Option<&T>,
        version: i16,
    ) -> Result<(), EncodeError> {
        self.uvarint(value.is_some().into());
        value.map_or(Ok(()), |value| value.encode(self, version))
    }

    /// Bytes without a length.
    pub fn raw(&mut self, bytes: &Bytes) {
        if bytes.len() >= SHARED_MIN && !self.contiguous {
            self.shared.push((self.small.len(), bytes.clone()));
            self.shared_len += bytes.len();
        } else {
            self.small.extend_from_slice(bytes);
        }
    }

    /// The tagged fields of a struct that knows none.
    pub(crate) fn unknown_tags(&mut self, unknown: &UnknownTags) -> Result<(), EncodeError> {
        self.tags(unknown, |_| Ok(()))
    }

    /// The tagged fields of a struct: `known` puts its own in ascending order, and the unknown ones
    /// are written between them.
    pub(crate) fn tags(
        &mut self,
        unknown: &UnknownTags,
        known: impl FnOnce(&mut TagWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let outer = std::mem::replace(&mut self.contiguous, true);
        let start = self.small.len();
        let mut tags = TagWriter {
            writer: self,
            unknown: unknown.as_slice(),
            count: 0,
        };
        known(&mut tags)?;
        tags.put_unknown_below(None)?;
        let count = tags.count;
        self.insert_uvarint(start, count);
        self.contiguous = outer;
        Ok(())
    }

    fn insert_uvarint(&mut self, at: usize, value: u32) {
        let (bytes, len) = uvarint(value);
        self.small.splice(at..at, bytes[..len].iter().copied());
    }

    fn length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let value = length.map_or(Ok(-1), int32)?;
        if flexible {
            // Compact lengths are written plus one, so that 0 is null; i32::MAX + 1 fits the u32.
            self.uvarint(value.wrapping_add(1) as u32);
        } else {
            self.i32(value);
        }
        Ok(())
    }
}

impl TagWriter<'_> {
    /// Writes one tagged field; its size is found by writing it.
    pub(crate) fn put(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_unknown_below(Some(tag))?;
        self.count += 1;
        self.writer.uvarint(tag);
        let start = self.writer.small.len();
        content(self.writer)?;
        let size = int32(self.writer.small.len() - start)?;
        self.writer.insert_uvarint(start, size as u32);
        Ok(())
    }

    fn put_unknown_below(&mut self, known: Option<u32>) -> Result<(), EncodeError> {
        while let [first, rest @ ..] = self.unknown {
            if known.is_some_and(|known| first.tag > known) {
                break;
            }
            if known == Some(first.tag) || rest.first().is_some_and(|next| next.tag <= first.tag) {
                return Err(EncodeError::TagOrder(first.tag));
            }
            self.unknown = rest;
            self.count += 1;
            self.writer.uvarint(first.tag);
            self.writer.uvarint(int32(first.data.len())? as u32);
            self.writer.small.extend_from_slice(&first.data);
        }
        Ok(())
    }
}

fn int32(length: usize) -> Result<i32, EncodeError> {
    i32::try_from(length).map_err(|_| EncodeError::TooLong(length))
}

fn uvarint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    loop {
        bytes[len] = value as u8 & 0x7f;
        value >>= 7;
        len += 1;
        if value == 0 {
            return (bytes, len);
        }
        bytes[len - 1] |= 0x80;
    }
}

#[cfg(test)]
mod tests;
