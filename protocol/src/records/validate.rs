//! What a leader checks before it appends what a client sent, and what it changes: timestamps and codec.
//!
//! One pass: header rules, checksum, then every record (uncompressed ones where they lie, compressed ones streamed
//! under a budget). Stricter than Kafka where it renumbers, believes or stumbles: offset deltas must be 0, 1, 2 …;
//! LogAppendTime, a delete horizon, and a transaction without producer id are never a client's to send.
//!
//! Invariant: a batch that comes out has as many readable records as it declares, dense offsets, a right
//! maxTimestamp and a right checksum. Not here: producer state and sequences (broker/storage), authorisation.

use bytes::Bytes;

use crate::ErrorCode;

use super::batch::{BatchView, batches};
use super::builder::recompressed;
use super::compression::{Codec, Compression, DecompressError};
use super::header::{BatchError, BatchHeader, NO_TIMESTAMP, TimestampType};
use super::record::{Record, RecordError};

/// What the topic and the request version ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `max.message.bytes`: largest batch, as sent and as written.
    pub batch_bytes_max: usize,
    /// `cleanup.policy` contains compact: every record needs a key.
    pub compacted: bool,
    /// `message.timestamp.*`.
    pub timestamps: TimestampRule,
    /// `compression.type`: `None` keeps the producer's codec; else batches with another codec are recompressed.
    pub compression: Option<Compression>,
    /// False for Produce below 7, which knows no zstd.
    pub zstd_allowed: bool,
    /// Most bytes a batch may have decompressed. Bounds time, and memory: one record at a time is held, or all of
    /// them when they are recompressed.
    pub decompressed_bytes_max: usize,
}

/// Whose time counts, and how far from `now_ms` (wall clock) a producer's may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampRule {
    /// The producer's. Records without timestamp (-1) pass.
    CreateTime {
        /// Wall clock now.
        now_ms: i64,
        /// How far in the past; i64::MAX for any.
        before_max_ms: i64,
        /// How far in the future.
        after_max_ms: i64,
    },
    /// The leader's.
    LogAppendTime {
        /// Wall clock now: the timestamp of every record.
        now_ms: i64,
    },
}

/// A record that breaks a rule of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Position in the batch, from 0 (Produce 8: `batch_index`).
    pub batch_index: i32,
    /// Which rule.
    pub kind: RejectionKind,
}

/// Which rule of the topic a record breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectionKind {
    /// No key on a compacted topic. INVALID_RECORD.
    #[error("a compacted topic takes no record without a key")]
    NullKey,
    /// Only leaders write LogAppendTime; every record of the batch is named. INVALID_TIMESTAMP.
    #[error("a producer may not send LogAppendTime")]
    TimestampType,
    /// Too far from the broker's clock. INVALID_TIMESTAMP.
    #[error("timestamp {timestamp} is outside {min}..={max}")]
    Timestamp {
        /// The record's.
        timestamp: i64,
        /// Earliest allowed.
        min: i64,
        /// Latest allowed.
        max: i64,
    },
}

impl RejectionKind {
    /// INVALID_TIMESTAMP rather than INVALID_RECORD.
    pub fn is_timestamp(self) -> bool {
        match self {
            Self::NullKey => false,
            Self::TimestampType | Self::Timestamp { .. } => true,
        }
    }
}

/// Why a leader does not append. The wire code is named at each variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    /// Torn, magic 0 or 1: INVALID_RECORD. Impossible length, wrong checksum, unknown magic or codec: CORRUPT_MESSAGE.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Produce takes exactly one batch per partition. INVALID_RECORD.
    #[error("a partition must be sent exactly one batch, found {found}")]
    BatchCount {
        /// 0, or 2 for "more than one".
        found: usize,
    },
    /// Larger than the topic allows. MESSAGE_TOO_LARGE.
    #[error("batch of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLarge {
        /// The batch, possibly after recompression.
        bytes: usize,
        /// max.message.bytes.
        bytes_max: usize,
    },
    /// The header contradicts itself or is not a client's. INVALID_RECORD.
    #[error("{0}")]
    Header(HeaderFault),
    /// zstd from a request version that has none. UNSUPPORTED_COMPRESSION_TYPE.
    #[error("zstd needs Produce version 7 or later")]
    ZstdNotAllowed,
    /// Decompressed larger than the budget. MESSAGE_TOO_LARGE, so that a producer splits the batch.
    #[error("batch decompresses to more than {bytes_max} bytes")]
    DecompressedTooLarge {
        /// The budget.
        bytes_max: usize,
    },
    /// Records unreadable or not as many as declared. INVALID_RECORD.
    #[error(transparent)]
    Records(RecordError),
    /// Offset deltas are not 0, 1, 2 … INVALID_RECORD.
    #[error("record {batch_index} of the batch has offset delta {offset_delta}")]
    OffsetDelta {
        /// Position in the batch, from 0.
        batch_index: i32,
        /// What it says.
        offset_delta: i32,
    },
    /// Records break a rule of the topic: INVALID_TIMESTAMP when any rejection is one, else INVALID_RECORD; with the list
    /// (at most [`REJECTIONS_MAX`]) in the response from Produce 8 on.
    #[error("{} records rejected{}", .0.len(), first(.0))]
    Rejected(Vec<Rejection>),
}

impl ValidateError {
    /// What the produce response says of the partition: Kafka's code, except where Kafka stumbles and says
    /// UNKNOWN_SERVER_ERROR.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Batch(BatchError::OldMagic { .. } | BatchError::Torn { .. }) => {
                ErrorCode::INVALID_RECORD
            }
            Self::Batch(_) => ErrorCode::CORRUPT_MESSAGE,
            Self::TooLarge { .. } | Self::DecompressedTooLarge { .. } => {
                ErrorCode::MESSAGE_TOO_LARGE
            }
            Self::ZstdNotAllowed => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            Self::Rejected(all) if all.iter().any(|rejection| rejection.kind.is_timestamp()) => {
                ErrorCode::INVALID_TIMESTAMP
            }
            Self::BatchCount { .. }
            | Self::Header(_)
            | Self::Records(_)
            | Self::OffsetDelta { .. }
            | Self::Rejected(_) => ErrorCode::INVALID_RECORD,
        }
    }
}

fn first(rejections: &[Rejection]) -> String {
    rejections
        .first()
        .map(|first| format!(", first at index {}: {}", first.batch_index, first.kind))
        .unwrap_or_default()
}

/// A batch header that no client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Clients count offsets from 0.
    #[error("base offset must be 0, is {0}")]
    BaseOffset(i64),
    /// recordCount must be positive and fit lastOffsetDelta.
    #[error("record count {record_count} does not fit last offset delta {last_offset_delta}")]
    Count {
        /// recordCount.
        record_count: i32,
        /// lastOffsetDelta.
        last_offset_delta: i32,
    },
    /// Only brokers write control batches.
    #[error("clients may not write control batches")]
    Control,
    /// Only the cleaner sets one.
    #[error("clients may not set a delete horizon")]
    DeleteHorizon,
    /// An idempotent batch needs a sequence.
    #[error("batch with producer id {producer_id} has base sequence {base_sequence}")]
    Sequence {
        /// producerId.
        producer_id: i64,
        /// baseSequence.
        base_sequence: i32,
    },
    /// Transactions need a producer id.
    #[error("transactional batch without producer id")]
    TransactionalWithoutProducer,
}

/// Enough to see what is wrong; bounds the response to a hostile batch.
pub const REJECTIONS_MAX: usize = 1000;

/// Checks what a client sent for one partition. Returns the batch to append: same bytes, or with corrected
/// timestamps, or recompressed. Offset and leader epoch are stamped later.
pub fn validate(records: Bytes, rules: &Rules) -> Result<BatchView, ValidateError> {
    let mut batch = only_batch(records)?;
    // Before the checksum, which costs a pass over the bytes.
    check_size(batch.size(), rules)?;
    check_header(batch.header(), rules)?;
    batch.check_crc()?;
    let recompress = rules
        .compression
        .filter(|target| target.codec != batch.header().codec());
    let max_timestamp = check_records(&batch, rules)?;
    match rules.timestamps {
        TimestampRule::CreateTime { .. } => {
            batch.set_timestamps(TimestampType::CreateTime, max_timestamp)
        }
        TimestampRule::LogAppendTime { now_ms } => {
            batch.set_timestamps(TimestampType::LogAppendTime, now_ms)
        }
    }
    let Some(target) = recompress else {
        return Ok(batch);
    };
    let records = batch
        .records(rules.decompressed_bytes_max)
        .map_err(RecordError::from)
        .map_err(records_error)?;
    let (header, body) = recompressed(batch.header(), records.data(), target).map_err(|bytes| {
        ValidateError::TooLarge {
            bytes,
            bytes_max: rules.batch_bytes_max,
        }
    })?;
    check_size(header.size(), rules)?;
    Ok(BatchView::from_parts(header, body))
}

fn only_batch(records: Bytes) -> Result<BatchView, ValidateError> {
    let mut batches = batches(records);
    let batch = batches
        .next()
        .ok_or(ValidateError::BatchCount { found: 0 })??;
    match batches.next() {
        None => Ok(batch),
        Some(Ok(_)) => Err(ValidateError::BatchCount { found: 2 }),
        Some(Err(error)) => Err(error.into()),
    }
}

fn check_size(bytes: usize, rules: &Rules) -> Result<(), ValidateError> {
    if bytes > rules.batch_bytes_max {
        return Err(ValidateError::TooLarge {
            bytes,
            bytes_max: rules.batch_bytes_max,
        });
    }
    Ok(())
}

fn check_header(header: &BatchHeader, rules: &Rules) -> Result<(), ValidateError> {
    let fault = |fault| Err(ValidateError::Header(fault));
    let BatchHeader {
        record_count,
        last_offset_delta,
        producer_id,
        base_sequence,
        ..
    } = *header;
    if header.base_offset != 0 {
        return fault(HeaderFault::BaseOffset(header.base_offset));
    }
    if record_count <= 0 || last_offset_delta != record_count - 1 {
        return fault(HeaderFault::Count {
            record_count,
            last_offset_delta,
        });
    }
    if header.attributes.is_control() {
        return fault(HeaderFault::Control);
    }
    if header.attributes.has_delete_horizon() {
        return fault(HeaderFault::DeleteHorizon);
    }
    if header.has_producer_id() && base_sequence < 0 {
        return fault(HeaderFault::Sequence {
            producer_id,
            base_sequence,
        });
    }
    if header.attributes.is_transactional() && !header.has_producer_id() {
        return fault(HeaderFault::TransactionalWithoutProducer);
    }
    if header.codec() == Codec::Zstd && !rules.zstd_allowed {
        return Err(ValidateError::ZstdNotAllowed);
    }
    Ok(())
}

/// Walks every record; returns the largest timestamp.
fn check_records(batch: &BatchView, rules: &Rules) -> Result<i64, ValidateError> {
    let mut records = batch
        .stream(rules.decompressed_bytes_max)
        .map_err(RecordError::from)
        .map_err(records_error)?;
    let timestamp_type = batch.header().attributes.timestamp_type();
    let mut rejections = Vec::new();
    let mut max_timestamp = NO_TIMESTAMP;
    let mut batch_index = 0;
    while let Some(record) = records.next().map_err(records_error)? {
        if record.offset_delta != batch_index {
            return Err(ValidateError::OffsetDelta {
                batch_index,
                offset_delta: record.offset_delta,
            });
        }
        max_timestamp = max_timestamp.max(record.timestamp);
        if let Some(kind) = rejection(&record, timestamp_type, rules) {
            rejections.push(Rejection { batch_index, kind });
            if rejections.len() == REJECTIONS_MAX {
                break;
            }
        }
        batch_index += 1;
    }
    if rejections.is_empty() {
        Ok(max_timestamp)
    } else {
        Err(ValidateError::Rejected(rejections))
    }
}

fn rejection(record: &Record<'_>, sent: TimestampType, rules: &Rules) -> Option<RejectionKind> {
    if rules.compacted && record.key.is_none() {
        return Some(RejectionKind::NullKey);
    }
    if sent == TimestampType::LogAppendTime {
        return Some(RejectionKind::TimestampType);
    }
    let timestamp = record.timestamp;
    let TimestampRule::CreateTime {
        now_ms,
        before_max_ms,
        after_max_ms,
    } = rules.timestamps
    else {
        return None;
    };
    let (min, max) = (
        now_ms.saturating_sub(before_max_ms),
        now_ms.saturating_add(after_max_ms),
    );
    let fits = timestamp == NO_TIMESTAMP || (min..=max).contains(&timestamp);
    (!fits).then_some(RejectionKind::Timestamp {
        timestamp,
        min,
        max,
    })
}

fn records_error(error: RecordError) -> ValidateError {
    match error {
        RecordError::Decompress(DecompressError::OverBudget { bytes_max }) => {
            ValidateError::DecompressedTooLarge { bytes_max }
        }
        error => ValidateError::Records(error),
    }
}

#[cfg(test)]
mod tests;
