//! The records of a batch one at a time, in constant memory.
//!
//! Compressed records are decompressed into a window that slides over them: it holds one piece and, while it is read,
//! one record. Invariant: the window grows as bytes arrive, never by what a record declares.

use super::compression::{Codec, DecompressError, Decompressor};
use super::header::BatchHeader;
use super::record::{Base, Record, RecordError, RecordFault, body_len, check_end};
use super::varint::read_i32;

/// Records of a batch one at a time; the memory held is one record and one piece of decompressed bytes.
/// Each record borrows from the stream, so it is used before the next one is read.
pub struct RecordStream<'a> {
    base: Base,
    source: Source<'a>,
    index: i32,
}

enum Source<'a> {
    Memory(&'a [u8]),
    Compressed(Pieces<'a>),
}

impl<'a> RecordStream<'a> {
    pub(super) fn new(
        header: &BatchHeader,
        body: &'a [u8],
        bytes_max: usize,
    ) -> Result<Self, DecompressError> {
        let source = match header.codec() {
            Codec::None => Source::Memory(body),
            _ if header.record_count == 0 && body.is_empty() => Source::Memory(body),
            codec => Source::Compressed(Pieces::new(Decompressor::new(codec, body, bytes_max)?)),
        };
        Ok(Self {
            base: Base::of(header),
            source,
            index: 0,
        })
    }

    /// The next record; `None` when exactly the declared number was read and nothing follows.
    /// After an error the stream is not to be used again.
    #[expect(
        clippy::should_implement_trait,
        reason = "the record borrows from the stream, which Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        let Self {
            base,
            source,
            index,
        } = self;
        if *index >= base.declared {
            let nothing_left = match source {
                Source::Memory(rest) => rest.is_empty(),
                Source::Compressed(pieces) => pieces.ensure(1)?.is_empty(),
            };
            check_end(base.declared, nothing_left)?;
            return Ok(None);
        }
        let malformed = |fault| RecordError::Malformed {
            index: *index,
            fault,
        };
        let available = match source {
            Source::Memory(rest) => rest,
            Source::Compressed(pieces) => pieces.ensure(5)?,
        };
        if available.is_empty() {
            return Err(RecordError::Missing {
                declared: base.declared,
                found: *index,
            });
        }
        let (len, after) = read_i32(available).ok_or(malformed(RecordFault::Length))?;
        let prefix = available.len() - after.len();
        let size = prefix + body_len(len).ok_or(malformed(RecordFault::Length))?;
        let whole = match source {
            Source::Memory(rest) => {
                let (whole, after) = rest
                    .split_at_checked(size)
                    .ok_or(malformed(RecordFault::Length))?;
                *rest = after;
                whole
            }
            Source::Compressed(pieces) => {
                pieces.take(size)?.ok_or(malformed(RecordFault::Length))?
            }
        };
        let record = base.record(&whole[prefix..], size).map_err(malformed)?;
        *index += 1;
        Ok(Some(record))
    }
}

/// A sliding window over decompressed bytes. Grows as bytes arrive, never by what a record declares.
struct Pieces<'a> {
    decompressor: Decompressor<'a>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
}

// Large enough that a read costs little beside the decompression of what it returns.
const PIECE: usize = 32 * 1024;

impl<'a> Pieces<'a> {
    fn new(decompressor: Decompressor<'a>) -> Self {
        Self {
            decompressor,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            ended: false,
        }
    }

    /// The bytes at hand, at least `want` unless the stream ends before.
    fn ensure(&mut self, want: usize) -> Result<&[u8], DecompressError> {
        while self.end - self.start < want && !self.ended {
            if self.start > 0 && self.end + PIECE > self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end + PIECE > self.buffer.len() {
                // Doubling, so that one huge record is moved a few times only.
                let len = (self.buffer.len() * 2).max(self.end + PIECE);
                self.buffer.resize(len, 0);
            }
            let read = self.decompressor.read(&mut self.buffer[self.end..])?;
            self.end += read;
            self.ended = read == 0;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Exactly `len` bytes, consumed; `None` when the stream ends before.
    fn take(&mut self, len: usize) -> Result<Option<&[u8]>, DecompressError> {
        // A length that cannot come true within the budget is not waited for.
        if len > (self.end - self.start).saturating_add(self.decompressor.left()) {
            return Err(self.decompressor.over_budget());
        }
        if self.ensure(len)?.len() < len {
            return Ok(None);
        }
        let from = self.start;
        self.start += len;
        Ok(Some(&self.buffer[from..from + len]))
    }
}
