//! Reads a frame front to back.
//!
//! Invariant: nothing is allocated before the bytes that justify it are known to be there. Strings
//! and byte fields are slices of the frame. An array's count is checked against the bytes left
//! (each element has a minimal size), and every allocation is taken from a budget of
//! 64 × frame + 64 KiB: honest frames stay below it by construction (`Message::SIZE_MIN` is checked
//! against the size in memory when the code is compiled), hostile ones that promise much at every
//! level of nesting run out of it.

use bytes::Bytes;

use super::plain::Plain;
use super::{DecodeError, Records, Str, UnknownTags, Uuid};
use crate::Message;

/// Bytes of memory that one byte of the wire may cost.
const ALLOCATION_PER_BYTE: usize = 64;
/// What any frame may cost, however short.
const ALLOCATION_FLOOR: usize = 64 * 1024;
/// Unknown tagged fields of one struct. Kafka's richest struct has nine tags; a crowd is an attack.
const UNKNOWN_TAGS_MAX: usize = 64;
/// Longest string: the length is an int16 in old versions and bounded alike in new ones.
pub(super) const STRING_MAX: usize = 0x7fff;

/// A frame and a place in it.
#[derive(Debug)]
pub struct Reader {
    frame: Bytes,
    at: usize,
    /// End of what may be read now: of the frame, or of the tagged field we are in.
    end: usize,
    budget: usize,
}

/// A walk over the tagged fields of one struct.
#[derive(Debug)]
pub(crate) struct Tags {
    left: usize,
    previous: Option<u32>,
    outer_end: usize,
}

impl Reader {
    /// Starts at the front of a frame (or of a record's key or value).
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let end = frame.len();
        let budget = end
            .saturating_mul(ALLOCATION_PER_BYTE)
            .saturating_add(ALLOCATION_FLOOR);
        Self {
            frame,
            at: 0,
            end,
            budget,
        }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// The message must end here. Errors: `TrailingBytes`.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            rest => Err(DecodeError::TrailingBytes(rest)),
        }
    }

    /// An int8.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// A bool: any byte but 0 is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// An int16.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// An uint16.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// An int32.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// An uint32.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// An int64.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// A float64.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// A uuid.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid)
    }

    /// An unsigned varint of at most 5 bytes.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.fixed::<1>()?[0];
            // The fifth byte has room for four bits; Kafka drops the others, and so do we.
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A string.
    pub fn string(&mut self, flexible: bool) -> Result<Str, DecodeError> {
        self.nullable_string(flexible)?
            .ok_or(DecodeError::UnexpectedNull)
    }

    /// A string or null.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Str>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            length(self.i16()?.into())?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length > STRING_MAX {
            return Err(DecodeError::BadLength(length as i64));
        }
        self.take(length).and_then(Str::from_utf8).map(Some)
    }

    /// A byte field, a slice of the frame.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flexible)?
            .ok_or(DecodeError::UnexpectedNull)
    }

    /// A byte field or null.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.length(flexible)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// Record batches, unread.
    pub fn records(&mut self, flexible: bool) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes(flexible)?.map(Records::Bytes))
    }

    /// An array of structs.
    pub fn array<T: Message>(
        &mut self,
        flexible: bool,
        version: i16,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flexible, version)?
            .ok_or(DecodeError::UnexpectedNull)
    }

    /// An array of structs, or null.
    pub fn nullable_array<T: Message>(
        &mut self,
        flexible: bool,
        version: i16,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        const {
            assert!(
                size_of::<T>() <= ALLOCATION_PER_BYTE * T::SIZE_MIN,
                "box the rare fields of this struct"
            )
        };
        let Some(count) = self.count(flexible, T::SIZE_MIN, size_of::<T>())? else {
            return Ok(None);
        };
        let mut array = Vec::with_capacity(count);
        for _ in 0..count {
            array.push(T::decode(self, version)?);
        }
        Ok(Some(array))
    }

    /// An array of plain values, each at least `SIZE_MIN` bytes on the wire.
    pub fn list<T: Plain>(&mut self, flexible: bool) -> Result<Vec<T>, DecodeError> {
        self.nullable_list(flexible)?
            .ok_or(DecodeError::UnexpectedNull)
    }

    /// An array of plain values, or null.
    pub fn nullable_list<T: Plain>(
        &mut self,
        flexible: bool,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        const { assert!(size_of::<T>() <= ALLOCATION_PER_BYTE * T::SIZE_MIN) };
        let Some(count) = self.count(flexible, T::SIZE_MIN, size_of::<T>())? else {
            return Ok(None);
        };
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(T::read(self, flexible)?);
        }
        Ok(Some(list))
    }

    /// A struct or null: one byte says which.
    pub fn nullable_struct<T: Message>(&mut self, version: i16) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 {
            return Ok(None);
        }
        T::decode(self, version).map(Some)
    }

    /// A struct or null in a tagged field, where the byte that says which is 0 or 1.
    pub fn nullable_tagged_struct<T: Message>(
        &mut self,
        version: i16,
    ) -> Result<Option<T>, DecodeError> {
        if self.uvarint()? == 0 {
            return Ok(None);
        }
        T::decode(self, version).map(Some)
    }

    /// The tagged fields of a struct that knows none: all are kept. Versions that are not flexible
    /// have no place for them.
    pub(crate) fn unknown_tags(&mut self, flexible: bool) -> Result<UnknownTags, DecodeError> {
        let mut kept = UnknownTags::NONE;
        if flexible {
            let mut tags = self.tags()?;
            while let Some(tag) = self.next_tag(&mut tags)? {
                self.keep_tag(&tags, tag, &mut kept)?;
                self.end_tag(&tags, tag)?;
            }
        }
        Ok(kept)
    }

    /// Starts on the tagged fields of a struct.
    pub(crate) fn tags(&mut self) -> Result<Tags, DecodeError> {
        let left = self.uvarint()? as usize;
        if left > self.remaining() / 2 {
            return Err(DecodeError::CountBeyondFrame {
                count: left,
                remaining: self.remaining(),
            });
        }
        Ok(Tags {
            left,
            previous: None,
            outer_end: self.end,
        })
    }

    /// The next tag; its content is what can be read until `end_tag`.
    pub(crate) fn next_tag(&mut self, tags: &mut Tags) -> Result<Option<u32>, DecodeError> {
        if tags.left == 0 {
            return Ok(None);
        }
        tags.left -= 1;
        let tag = self.uvarint()?;
        if let Some(previous) = tags.previous.replace(tag)
            && previous >= tag
        {
            return Err(DecodeError::TagOrder { tag, previous });
        }
        let size = self.uvarint()? as usize;
        self.require(size)?;
        self.end = self.at + size;
        Ok(Some(tag))
    }

    /// Keeps a tag that this version does not know.
    pub(crate) fn keep_tag(
        &mut self,
        tags: &Tags,
        tag: u32,
        kept: &mut UnknownTags,
    ) -> Result<(), DecodeError> {
        if kept.is_empty() {
            let count = tags.left + 1;
            if count > UNKNOWN_TAGS_MAX {
                return Err(DecodeError::TooManyUnknownTags);
            }
            self.charge(UnknownTags::allocation(count))?;
            kept.reserve(count);
        }
        let data = self.take(self.remaining())?;
        kept.push(tag, data);
        Ok(())
    }

    /// Ends a tagged field. Errors: `TagSize` when its content was shorter than announced.
    pub(crate) fn end_tag(&mut self, tags: &Tags, tag: u32) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => {
                self.end = tags.outer_end;
                Ok(())
            }
            unread => Err(DecodeError::TagSize { tag, unread }),
        }
    }

    /// The count of an array whose elements have at least `size_min` bytes here and `size` in
    /// memory: checked against the bytes left, and paid for.
    fn count(
        &mut self,
        flexible: bool,
        size_min: usize,
        size: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.length(flexible)? else {
            return Ok(None);
        };
        let remaining = self.remaining();
        if count > remaining / size_min {
            return Err(DecodeError::CountBeyondFrame { count, remaining });
        }
        self.charge(count * size)?;
        Ok(Some(count))
    }

    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            self.compact_length()
        } else {
            length(self.i32()?)
        }
    }

    /// Compact lengths are written plus one, so that 0 is null.
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    fn charge(&mut self, size: usize) -> Result<(), DecodeError> {
        self.budget = self
            .budget
            .checked_sub(size)
            .ok_or(DecodeError::AllocationLimit)?;
        Ok(())
    }

    fn require(&self, needed: usize) -> Result<(), DecodeError> {
        let remaining = self.remaining();
        if needed > remaining {
            return Err(DecodeError::Truncated { needed, remaining });
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.require(length)?;
        let start = self.at;
        self.at += length;
        Ok(self.frame.slice(start..self.at))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.require(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.frame[self.at..self.at + N]);
        self.at += N;
        Ok(bytes)
    }
}

fn length(length: i32) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length)
            .map(Some)
            .map_err(|_| DecodeError::BadLength(length.into())),
    }
}

#[cfg(test)]
mod tests;
