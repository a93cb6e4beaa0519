//! Records inside a batch: walked where they lie, keys, values and headers borrowed.
//!
//! ```text
//! varint length | i8 attributes (unused) | varlong timestampDelta | varint offsetDelta
//! varint keyLength (-1 null) key | varint valueLength (-1 null) value
//! varint headerCount { varint keyLength key | varint valueLength (-1 null) value }
//! ```
//! Headers are a list: order and duplicates are the producer's. Header keys should be UTF-8, but nothing forces a
//! producer, so they stay bytes here.
//!
//! Two readers share this parser: `RecordIter` over records that lie in memory, `RecordStream` (`stream`) over a batch
//! that is decompressed piece by piece. Invariant: a yielded record was parsed to its last byte, so its headers cannot
//! fail. Not here: rules about what a record may hold (`validate`).

use bytes::Bytes;

use super::compression::{Codec, DecompressError, decompress};
use super::header::{BatchHeader, TimestampType, sequence_plus};
use super::varint::{read_i32, read_i64};

// attributes, timestampDelta, offsetDelta, keyLength, valueLength, headerCount: a byte each at least.
const RECORD_BODY_MIN: usize = 6;
// keyLength and valueLength: a byte each at least.
const HEADER_MIN: usize = 2;

/// Which part of a record does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Declared length is negative, below the minimum, or beyond the batch.
    #[error("impossible record length")]
    Length,
    /// Timestamp or offset delta does not end in time.
    #[error("torn timestamp or offset delta")]
    Delta,
    /// Key length below -1 or beyond the record.
    #[error("impossible key length")]
    Key,
    /// Value length below -1 or beyond the record.
    #[error("impossible value length")]
    Value,
    /// Header count negative or beyond the record.
    #[error("impossible header count")]
    HeaderCount,
    /// Header key null or beyond the record.
    #[error("impossible header key length")]
    HeaderKey,
    /// Header value length below -1 or beyond the record.
    #[error("impossible header value length")]
    HeaderValue,
    /// The record declares more bytes than its parts have.
    #[error("bytes left over inside the record")]
    LeftOver,
}

/// Why the records of a batch cannot be read. All of them mean the batch is bad, not the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record is malformed.
    #[error("record {index} of the batch: {fault}")]
    Malformed {
        /// Position in the batch, from 0.
        index: i32,
        /// What does not fit.
        fault: RecordFault,
    },
    /// The records end before the declared count.
    #[error("batch declares {declared} records but holds {found}")]
    Missing {
        /// recordCount of the header.
        declared: i32,
        /// Whole records found.
        found: i32,
    },
    /// Bytes follow the last declared record.
    #[error("bytes follow the last of {declared} declared records")]
    Trailing {
        /// recordCount of the header.
        declared: i32,
    },
    /// recordCount is negative.
    #[error("batch declares {declared} records")]
    NegativeCount {
        /// recordCount of the header.
        declared: i32,
    },
    /// The compressed records cannot be decompressed, or only beyond the budget.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Absolute offset.
    pub offset: i64,
    /// Milliseconds since the epoch, or -1; for LogAppendTime the append time of the batch.
    pub timestamp: i64,
    /// Sequence of an idempotent producer (wraps), else -1.
    pub sequence: i32,
    /// Offset less the batch's base offset, as stored.
    pub offset_delta: i32,
    /// Absent for tombstone-less plain logs; required on compacted topics.
    pub key: Option<&'a [u8]>,
    /// Absent in tombstones.
    pub value: Option<&'a [u8]>,
    /// The producer's headers.
    pub headers: Headers<'a>,
    /// Bytes of the record uncompressed, length field included.
    pub size: usize,
}

/// The headers of one record, in the producer's order, duplicates kept.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keys (not always UTF-8) and values (`None` is null).
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map(move |_| {
            let (key, after) = read_field(rest).expect("walked when the record was parsed");
            let (value, after) = read_field(after).expect("walked when the record was parsed");
            rest = after;
            (
                key.expect("null keys were refused when the record was parsed"),
                value,
            )
        })
    }

    /// The last value under `key`, as Java's `lastHeader`.
    pub fn last(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter()
            .filter(|(k, _)| *k == key)
            .last()
            .map(|(_, value)| value)
    }
}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_list()
            .entries(self.iter().map(|(key, value)| (text(key), value.map(text))))
            .finish()
    }
}

/// What the records of one batch have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    offset: i64,
    sequence: i32,
    timestamp: i64,
    append_time: Option<i64>,
    pub(super) declared: i32,
}

impl Base {
    pub(super) fn of(header: &BatchHeader) -> Self {
        let append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        Self {
            offset: header.base_offset,
            sequence: header.base_sequence,
            timestamp: header.base_timestamp,
            append_time: append_time.then_some(header.max_timestamp),
            declared: header.record_count,
        }
    }

    /// Parses the record whose body (after the length) is `body`.
    pub(super) fn record<'a>(
        &self,
        body: &'a [u8],
        size: usize,
    ) -> Result<Record<'a>, RecordFault> {
        let (_, rest) = body.split_first().ok_or(RecordFault::Length)?;
        let (timestamp_delta, rest) = read_i64(rest).ok_or(RecordFault::Delta)?;
        let (offset_delta, rest) = read_i32(rest).ok_or(RecordFault::Delta)?;
        let (key, rest) = read_field(rest).ok_or(RecordFault::Key)?;
        let (value, rest) = read_field(rest).ok_or(RecordFault::Value)?;
        let headers = read_headers(rest)?;
        Ok(Record {
            offset: self.offset.wrapping_add(i64::from(offset_delta)),
            timestamp: self
                .append_time
                .unwrap_or(self.timestamp.wrapping_add(timestamp_delta)),
            sequence: if self.sequence < 0 {
                -1
            } else {
                sequence_plus(self.sequence, offset_delta)
            },
            offset_delta,
            key,
            value,
            headers,
            size,
        })
    }
}

/// A nullable run of bytes with its varint length in front.
fn read_field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (len, rest) = read_i32(bytes)?;
    if len == -1 {
        return Some((None, rest));
    }
    let (field, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((Some(field), rest))
}

fn read_headers(bytes: &[u8]) -> Result<Headers<'_>, RecordFault> {
    let (count, rest) = read_i32(bytes).ok_or(RecordFault::HeaderCount)?;
    let count = usize::try_from(count).map_err(|_| RecordFault::HeaderCount)?;
    if count > rest.len() / HEADER_MIN {
        return Err(RecordFault::HeaderCount);
    }
    let mut left = rest;
    for _ in 0..count {
        left = match read_field(left) {
            Some((Some(_), after)) => after,
            _ => return Err(RecordFault::HeaderKey),
        };
        (_, left) = read_field(left).ok_or(RecordFault::HeaderValue)?;
    }
    if !left.is_empty() {
        return Err(RecordFault::LeftOver);
    }
    Ok(Headers { count, bytes: rest })
}

/// Records that lie in memory, uncompressed. Ends after the first error.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    base: Base,
    rest: &'a [u8],
    index: i32,
    done: bool,
}

impl<'a> RecordIter<'a> {
    /// `data` is the records region of the batch with this header, decompressed.
    pub fn new(header: &BatchHeader, data: &'a [u8]) -> Self {
        Self {
            base: Base::of(header),
            rest: data,
            index: 0,
            done: false,
        }
    }

    fn step(&mut self) -> Result<Option<Record<'a>>, RecordError> {
        if self.index >= self.base.declared {
            check_end(self.base.declared, self.rest.is_empty())?;
            return Ok(None);
        }
        let malformed = |fault| RecordError::Malformed {
            index: self.index,
            fault,
        };
        if self.rest.is_empty() {
            return Err(RecordError::Missing {
                declared: self.base.declared,
                found: self.index,
            });
        }
        let (len, after) = read_i32(self.rest).ok_or(malformed(RecordFault::Length))?;
        let body_len = body_len(len).ok_or(malformed(RecordFault::Length))?;
        let (body, rest) = after
            .split_at_checked(body_len)
            .ok_or(malformed(RecordFault::Length))?;
        let size = self.rest.len() - rest.len();
        let record = self.base.record(body, size).map_err(malformed)?;
        self.rest = rest;
        self.index += 1;
        Ok(Some(record))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

pub(super) fn body_len(len: i32) -> Option<usize> {
    usize::try_from(len)
        .ok()
        .filter(|&len| len >= RECORD_BODY_MIN)
}

pub(super) fn check_end(declared: i32, nothing_left: bool) -> Result<(), RecordError> {
    if declared < 0 {
        return Err(RecordError::NegativeCount { declared });
    }
    if !nothing_left {
        return Err(RecordError::Trailing { declared });
    }
    Ok(())
}

/// A batch's records, decompressed as a whole, to borrow from or to slice without copying.
#[derive(Debug, Clone)]
pub struct BatchRecords {
    header: BatchHeader,
    data: Bytes,
}

impl BatchRecords {
    pub(super) fn new(
        header: &BatchHeader,
        body: &Bytes,
        bytes_max: usize,
    ) -> Result<Self, DecompressError> {
        let data = match header.codec() {
            Codec::None => body.clone(),
            // Compaction leaves empty batches behind; no codec has an empty stream.
            _ if header.record_count == 0 && body.is_empty() => Bytes::new(),
            codec => decompress(codec, body, bytes_max)?.into(),
        };
        Ok(Self {
            header: *header,
            data,
        })
    }

    /// Header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records one after the other, as `record` describes them.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Walks the records.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.data)
    }

    /// Shares a part (key, value) that was borrowed from these records. Panics for any other slice.
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.data.slice_ref(part)
    }
}

impl<'a> IntoIterator for &'a BatchRecords {
    type Item = Result<Record<'a>, RecordError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
