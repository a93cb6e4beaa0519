//! Records to batches of the metadata log and back.
//!
//! A metadata record's key is null and its value says its type and version; batches are uncompressed and
//! at most 8 MiB (what Kafka's readers accept). Not here: control records, which belong to the quorum
//! (broker/raft), and the place a batch gets in the log.

use crate::record::VersionedRecord;
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::{
    BatchBuilder, BatchOptions, BatchView, BuildError, DecompressError, RecordError,
};
use ottla_protocol::{Bytes, DecodeError, EncodeError};
use thiserror::Error;

/// Largest batch of the metadata log: Kafka's readers allocate no more.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most records that are put in one batch where a list may be cut.
const BATCH_RECORDS_MAX: i32 = 10_000;

/// Why records do not become batches.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeBatchError {
    /// A record cannot be said in the version it is paired with: a bug of who made it.
    #[error("{record} version {version}: {error}")]
    Record {
        /// Name of the record.
        record: &'static str,
        /// Its version.
        version: i16,
        /// What cannot be said.
        error: EncodeError,
    },
    /// Records that must become one batch are larger than one may be.
    #[error("an atomic batch of {bytes} bytes is larger than {BATCH_BYTES_MAX}")]
    TooLarge {
        /// Bytes of the batch.
        bytes: usize,
    },
    /// Beyond what a batch can hold.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Why a batch is not one of metadata records. All mean: this log cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeBatchError {
    /// A record is broken.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The batch cannot be decompressed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record has no value.
    #[error("metadata record at offset {offset} has no value")]
    NoValue {
        /// Its offset.
        offset: i64,
    },
    /// The value is not a record that this version knows.
    #[error(
        "metadata record at offset {offset} (type {key}, version {version}): {error}; a newer version wrote it, upgrade Ottla first"
    )]
    Unknown {
        /// Its offset.
        offset: i64,
        /// Its type, -1 if even that cannot be read.
        key: i16,
        /// Its version, -1 if even that cannot be read.
        version: i16,
        /// What is wrong.
        error: DecodeError,
    },
}

/// The records as batches, all but `base_offset` as in `options`; offsets go on from batch to batch. With
/// `atomic` exactly one batch, else as many as 8 MiB and 10,000 records each demand. No records, no batch.
pub fn encode_batches(
    records: &[VersionedRecord],
    atomic: bool,
    options: BatchOptions,
    timestamp_ms: i64,
) -> Result<Vec<Bytes>, EncodeBatchError> {
    let mut packer = Packer::new(options, if atomic { usize::MAX } else { BATCH_BYTES_MAX });
    let mut batches = Vec::new();
    for record in records {
        batches.extend(packer.push(record, timestamp_ms, atomic)?);
    }
    batches.extend(packer.finish()?);
    match batches
        .iter()
        .map(Bytes::len)
        .find(|bytes| *bytes > BATCH_BYTES_MAX)
    {
        Some(bytes) => Err(EncodeBatchError::TooLarge { bytes }),
        None => Ok(batches),
    }
}

/// The metadata records of one data batch, each with its offset.
pub fn decode_batch(batch: &BatchView) -> Result<Vec<(i64, MetadataRecord)>, DecodeBatchError> {
    let records = batch.records(BATCH_BYTES_MAX * 4)?;
    let mut decoded = Vec::new();
    for record in &records {
        let record = record?;
        let offset = record.offset;
        let value = records.share(record.value.ok_or(DecodeBatchError::NoValue { offset })?);
        let (key, version) = MetadataRecord::type_and_version(&value).unwrap_or((-1, -1));
        let unknown = |error| DecodeBatchError::Unknown {
            offset,
            key,
            version,
            error,
        };
        decoded.push((offset, MetadataRecord::decode(value).map_err(unknown)?));
    }
    Ok(decoded)
}

/// Fills one batch after the other.
pub(crate) struct Packer {
    options: BatchOptions,
    bytes_max: usize,
    open: Option<BatchBuilder>,
}

impl Packer {
    pub(crate) fn new(options: BatchOptions, bytes_max: usize) -> Self {
        Self {
            options,
            bytes_max,
            open: None,
        }
    }

    /// Adds a record; returns the batch that had no room for it.
    pub(crate) fn push(
        &mut self,
        record: &VersionedRecord,
        timestamp_ms: i64,
        atomic: bool,
    ) -> Result<Option<Bytes>, EncodeBatchError> {
        let VersionedRecord { record, version } = record;
        let value = record
            .encode(*version)
            .map_err(|error| EncodeBatchError::Record {
                record: record.name(),
                version: *version,
                error,
            })?;
        let is_full = self.open.as_ref().is_some_and(|open| {
            let bytes = open.uncompressed_size() + value.len() + 32;
            bytes > self.bytes_max || (!atomic && open.record_count() >= BATCH_RECORDS_MAX)
        });
        let full = if is_full { self.finish()? } else { None };
        let open = self
            .open
            .get_or_insert_with(|| BatchBuilder::new(self.options));
        open.append(timestamp_ms, None, Some(&value), [])?;
        Ok(full)
    }

    /// The last batch.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, EncodeBatchError> {
        let Some(open) = self.open.take() else {
            return Ok(None);
        };
        self.options.base_offset += i64::from(open.record_count());
        Ok(Some(open.build()?))
    }

    /// Offset that the next batch begins with.
    pub(crate) fn next_offset(&self) -> i64 {
        self.options.base_offset
    }
}
