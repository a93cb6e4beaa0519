//! One record batch as bytes: split, check, stamp.
//!
//! Invariant: a `BatchView` holds exactly the bytes of one batch. Its checksum is checked only when asked
//! (`check_crc`): readers of their own disk need not pay it twice. Not here: the header's fields (`header`).

use bytes::Bytes;

use super::compression::DecompressError;
use super::header::{BatchError, BatchHeader, HEADER_LEN, TimestampType, parse_at};
use super::record::BatchRecords;
use super::stream::RecordStream;

/// Exactly one batch: its parsed header and its bytes, shared, never copied.
///
/// The header is the truth about the first 61 bytes: a caller may change it (stamp offsets, timestamps) and then
/// writes `header().encode()` followed by `body()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchView {
    header: BatchHeader,
    body: Bytes,
}

impl BatchView {
    /// `bytes` must be exactly one batch. Errors as `batches`; more bytes than the batch is `Length`.
    pub fn new(bytes: Bytes) -> Result<Self, BatchError> {
        let header = whole_at(&bytes, 0)?;
        if header.size() != bytes.len() {
            return Err(BatchError::Length {
                position: 0,
                length: header.batch_length,
            });
        }
        Ok(Self {
            header,
            body: bytes.slice(HEADER_LEN..),
        })
    }

    /// The fixed header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records as stored, compressed or not.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.header.size()
    }

    /// Recomputes the CRC-32C over the batch.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c_append(self.header.head_crc(), &self.body);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::Crc {
            base_offset: self.header.base_offset,
            stored: self.header.crc,
            computed,
        })
    }

    /// What a leader does at append: gives the batch its place in the log. The checksum stays as it is.
    pub fn stamp(&mut self, base_offset: i64, leader_epoch: i32) {
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = leader_epoch;
    }

    /// See [`BatchHeader::set_timestamps`]; the checksum must have been valid before.
    pub fn set_timestamps(&mut self, timestamp_type: TimestampType, max_timestamp: i64) {
        self.header.set_timestamps(timestamp_type, max_timestamp);
    }

    /// Appends the batch as it stands to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header.encode());
        out.extend_from_slice(&self.body);
    }

    /// Copies the batch as it stands into bytes of its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.size());
        self.write_to(&mut out);
        out.into()
    }

    /// Walks the records one at a time in constant memory; compressed records are decompressed piece by piece,
    /// never more than `bytes_max` in all.
    pub fn stream(&self, bytes_max: usize) -> Result<RecordStream<'_>, DecompressError> {
        RecordStream::new(&self.header, &self.body, bytes_max)
    }

    /// Decompresses the whole batch (at most `bytes_max`) so that records can be borrowed from it. Uncompressed
    /// batches are shared, not copied, and have no limit.
    pub fn records(&self, bytes_max: usize) -> Result<BatchRecords, DecompressError> {
        BatchRecords::new(&self.header, &self.body, bytes_max)
    }

    pub(super) fn from_parts(header: BatchHeader, body: Bytes) -> Self {
        assert_eq!(
            header.size(),
            HEADER_LEN + body.len(),
            "a header must declare the length of its records"
        );
        Self { header, body }
    }
}

/// Splits bytes into batches. After an error the iterator is at its end: what follows cannot be found.
pub fn batches(bytes: Bytes) -> Batches {
    Batches {
        bytes,
        position: 0,
        failed: false,
    }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    bytes: Bytes,
    position: usize,
    failed: bool,
}

impl Batches {
    /// Where the next batch starts; after an error, where the bad one starts.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl Iterator for Batches {
    type Item = Result<BatchView, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.position == self.bytes.len() {
            return None;
        }
        let start = self.position;
        match whole_at(&self.bytes[start..], start) {
            Ok(header) => {
                self.position = start + header.size();
                Some(Ok(BatchView {
                    header,
                    body: self.bytes.slice(start + HEADER_LEN..self.position),
                }))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

fn whole_at(bytes: &[u8], position: usize) -> Result<BatchHeader, BatchError> {
    let header = parse_at(bytes, position)?;
    if header.size() > bytes.len() {
        return Err(BatchError::Torn {
            position,
            needed: header.size(),
            available: bytes.len(),
        });
    }
    Ok(header)
}

/// Writes another base offset into the first bytes of a batch. Panics when `batch` is shorter than a header.
pub fn patch_base_offset(batch: &mut [u8], base_offset: i64) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
}

/// Writes another leader epoch into the first bytes of a batch. Panics when `batch` is shorter than a header.
pub fn patch_leader_epoch(batch: &mut [u8], leader_epoch: i32) {
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

#[cfg(test)]
mod tests;
