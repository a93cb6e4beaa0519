//! Writes one batch: records go uncompressed into a buffer, `build` compresses them and seals the header.
//!
//! Invariant: what is built passes `validate` and `check_crc`; offsets only grow. Not here: when a batch is full
//! (the client's accumulator, the coordinator's linger).

use bytes::Bytes;

use super::compression::{Compression, compress};
use super::header::{
    Attributes, BATCH_OVERHEAD, BatchHeader, HEADER_LEN, NO_PARTITION_LEADER_EPOCH,
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType,
};
use super::varint::{len_i32, len_i64, write_i32, write_i64};

/// Identity of an idempotent producer in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence of the first record; -1 in transaction markers.
    pub base_sequence: i32,
}

/// What is known of a batch before its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// 0 in what clients send.
    pub base_offset: i64,
    /// -1 in what clients send.
    pub partition_leader_epoch: i32,
    /// Codec and level.
    pub compression: Compression,
    /// Set: the batch has LogAppendTime and this time, in ms.
    pub append_time_ms: Option<i64>,
    /// Set: an idempotent or transactional producer writes.
    pub producer: Option<Producer>,
    /// Part of a transaction.
    pub transactional: bool,
    /// Holds control records.
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            compression: Compression::default(),
            append_time_ms: None,
            producer: None,
            transactional: false,
            control: false,
        }
    }
}

/// Why a batch cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A batch without records says nothing.
    #[error("a batch needs at least one record")]
    Empty,
    /// Record or batch beyond what 31 bits of length can say.
    #[error("{bytes} bytes are more than a batch can hold")]
    TooLarge {
        /// Bytes wanted.
        bytes: usize,
    },
    /// Offsets must grow within a batch and fit 31 bits from its base.
    #[error("offset delta {delta} does not follow {last}")]
    OffsetOrder {
        /// Delta of the record before, -1 for none.
        last: i32,
        /// Delta wanted.
        delta: i32,
    },
}

/// See the module.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    options: BatchOptions,
    records: Vec<u8>,
    record_count: i32,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            records: Vec::new(),
            record_count: 0,
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Appends at the next offset; returns that offset. Timestamp in ms, -1 for none. On error nothing changed.
    pub fn append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>), IntoIter: Clone>,
    ) -> Result<i64, BuildError> {
        let delta = self.last_offset_delta.saturating_add(1);
        self.append_at(delta, timestamp, key, value, headers)
    }

    /// As `append`, at an offset with a gap before it (a compacted batch).
    pub fn append_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>), IntoIter: Clone>,
    ) -> Result<i64, BuildError> {
        if offset_delta <= self.last_offset_delta {
            return Err(BuildError::OffsetOrder {
                last: self.last_offset_delta,
                delta: offset_delta,
            });
        }
        let headers = headers.into_iter();
        let base_timestamp = if self.record_count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let header_count = headers.clone().count();
        let len = 1
            + len_i64(timestamp_delta)
            + len_i32(offset_delta)
            + field_len(key)
            + field_len(value)
            + len_i32(header_count as i32)
            + headers
                .clone()
                .map(|(key, value)| field_len(Some(key)) + field_len(value))
                .sum::<usize>();
        // Checked before the casts below mean anything: every length inside is smaller than `len`.
        let bytes = HEADER_LEN + self.records.len() + 5 + len;
        if i32::try_from(bytes).is_err() {
            return Err(BuildError::TooLarge { bytes });
        }
        let out = &mut self.records;
        write_i32(len as i32, out);
        out.push(0);
        write_i64(timestamp_delta, out);
        write_i32(offset_delta, out);
        write_field(key, out);
        write_field(value, out);
        write_i32(header_count as i32, out);
        for (key, value) in headers {
            write_field(Some(key), out);
            write_field(value, out);
        }
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = offset_delta;
        self.record_count += 1;
        Ok(self.options.base_offset + i64::from(offset_delta))
    }

    /// Records appended so far.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the batch so far, header included, as if it were not compressed.
    pub fn uncompressed_size(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// The finished batch.
    pub fn build(self) -> Result<Bytes, BuildError> {
        if self.record_count == 0 {
            return Err(BuildError::Empty);
        }
        let options = &self.options;
        let mut out = Vec::with_capacity(HEADER_LEN + self.records.len());
        out.resize(HEADER_LEN, 0);
        compress(options.compression, &self.records, &mut out);
        let batch_length = i32::try_from(out.len() - BATCH_OVERHEAD)
            .map_err(|_| BuildError::TooLarge { bytes: out.len() })?;
        let mut header = self.header(batch_length);
        header.seal(&out[HEADER_LEN..]);
        out[..HEADER_LEN].copy_from_slice(&header.encode());
        Ok(out.into())
    }

    fn header(&self, batch_length: i32) -> BatchHeader {
        let options = &self.options;
        let timestamp_type = if options.append_time_ms.is_some() {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        };
        let producer = options.producer.unwrap_or(Producer {
            id: NO_PRODUCER_ID,
            epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
        });
        BatchHeader {
            base_offset: options.base_offset,
            batch_length,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: Attributes::default()
                .with_codec(options.compression.codec)
                .with_timestamp_type(timestamp_type)
                .with_transactional(options.transactional)
                .with_control(options.control),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: options.append_time_ms.unwrap_or(self.max_timestamp),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: producer.base_sequence,
            record_count: self.record_count,
        }
    }
}

/// The same batch with its records under another codec: header fields stay, checksum and length are new.
/// `records` is the uncompressed records region. `Err` is the size of a batch beyond what 31 bits can say.
pub(super) fn recompressed(
    header: &BatchHeader,
    records: &[u8],
    compression: Compression,
) -> Result<(BatchHeader, Bytes), usize> {
    let mut body = Vec::new();
    compress(compression, records, &mut body);
    let bytes = HEADER_LEN + body.len();
    let mut header = *header;
    header.batch_length = i32::try_from(bytes - BATCH_OVERHEAD).map_err(|_| bytes)?;
    header.attributes = header.attributes.with_codec(compression.codec);
    header.seal(&body);
    Ok((header, body.into()))
}

fn field_len(field: Option<&[u8]>) -> usize {
    match field {
        None => len_i32(-1),
        Some(bytes) => len_i32(bytes.len() as i32) + bytes.len(),
    }
}

fn write_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => write_i32(-1, out),
        Some(bytes) => {
            write_i32(bytes.len() as i32, out);
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
