//! The fixed 61-byte header of a batch: every field, its place, its checksum.
//!
//! ```text
//! 0 baseOffset i64 | 8 batchLength i32 | 12 partitionLeaderEpoch i32 | 16 magic i8 = 2 | 17 crc u32
//! 21 attributes i16 | 23 lastOffsetDelta i32 | 27 baseTimestamp i64 | 35 maxTimestamp i64
//! 43 producerId i64 | 51 producerEpoch i16 | 53 baseSequence i32 | 57 recordCount i32 | 61 records
//! ```
//! Big-endian. batchLength counts what follows it. The CRC-32C covers byte 21 to the end, so a leader stamps
//! base offset and leader epoch without touching the checksum.
//!
//! Invariant: a parsed header has magic 2, a length of at least a header, and a known codec.

use super::compression::Codec;

/// Bytes of the fixed header, up to the first record.
pub const HEADER_LEN: usize = 61;
/// Bytes in front of what batchLength counts: baseOffset and batchLength itself.
pub const BATCH_OVERHEAD: usize = 12;
/// The only format version spoken here.
pub const MAGIC: i8 = 2;
/// Leader epoch of a batch that no leader has stamped.
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;
/// Producer id of a batch without idempotence.
pub const NO_PRODUCER_ID: i64 = -1;
/// Producer epoch that goes with `NO_PRODUCER_ID`.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// Base sequence that goes with `NO_PRODUCER_ID`, and of control batches.
pub const NO_SEQUENCE: i32 = -1;
/// Timestamp of a record whose producer gave none.
pub const NO_TIMESTAMP: i64 = -1;

const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
// What a message of magic 0 declares at least; anything shorter has no magic byte to look at.
const LENGTH_MIN_OLD: i32 = 14;

/// Why bytes are not a batch. `position` is where the batch starts in the bytes that were split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside the batch. Normal at the end of a size-limited fetch and of a torn log.
    #[error("batch at byte {position} is torn: needs {needed} bytes, {available} are there")]
    Torn {
        /// Byte at which the batch starts.
        position: usize,
        /// Bytes the batch needs: the size it declares, or 17 (61) while length (header) are incomplete.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// A message set of Kafka before 0.11 (magic 0 or 1).
    #[error("batch at byte {position} has magic {magic}: formats before 2 are not supported")]
    OldMagic {
        /// Byte at which the batch starts.
        position: usize,
        /// 0 or 1.
        magic: i8,
    },
    /// A format that does not exist.
    #[error("batch at byte {position} has unknown magic {magic}")]
    UnknownMagic {
        /// Byte at which the batch starts.
        position: usize,
        /// What was found.
        magic: i8,
    },
    /// batchLength cannot be: negative, or less than a header.
    #[error("batch at byte {position} declares the impossible length {length}")]
    Length {
        /// Byte at which the batch starts.
        position: usize,
        /// What was found.
        length: i32,
    },
    /// Codec bits 5 to 7 of the attributes.
    #[error("batch at byte {position} uses unknown compression codec {id}")]
    UnknownCodec {
        /// Byte at which the batch starts.
        position: usize,
        /// What was found.
        id: u8,
    },
    /// The checksum does not fit the bytes.
    #[error(
        "batch with base offset {base_offset} is corrupt: stored checksum {stored:#010x}, computed {computed:#010x}"
    )]
    Crc {
        /// Base offset as stored (not covered by the checksum).
        base_offset: i64,
        /// Checksum in the header.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
}

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer; each record has its own.
    #[default]
    CreateTime,
    /// The leader at append: every record has the batch's maxTimestamp.
    LogAppendTime,
}

/// The 16 attribute bits of a batch. Bits 7 and up are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(i16);

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// From the wire; `Err` gives codec bits that name no codec.
    pub fn from_bits(bits: i16) -> Result<Self, u8> {
        let id = (bits & Self::CODEC) as u8;
        Codec::from_id(id).map(|_| Self(bits)).ok_or(id)
    }

    /// As on the wire.
    pub fn bits(self) -> i16 {
        self.0
    }

    /// How the records are compressed.
    pub fn codec(self) -> Codec {
        Codec::from_id((self.0 & Self::CODEC) as u8)
            .expect("from_bits and with_codec let only known codecs in")
    }

    /// Who set the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction (data or its marker).
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Holds control records, never shown to consumers.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// The cleaner has set a delete horizon: baseTimestamp holds it, and timestamp deltas count from it.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same bits with another codec.
    pub fn with_codec(self, codec: Codec) -> Self {
        Self((self.0 & !Self::CODEC) | i16::from(codec.id()))
    }

    /// The same bits with another timestamp type.
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with(
            Self::LOG_APPEND_TIME,
            timestamp_type == TimestampType::LogAppendTime,
        )
    }

    /// The same bits, marked as part of a transaction or not.
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(Self::TRANSACTIONAL, on)
    }

    /// The same bits, marked as control batch or not.
    pub fn with_control(self, on: bool) -> Self {
        self.with(Self::CONTROL, on)
    }

    /// The same bits, with or without delete horizon.
    pub fn with_delete_horizon(self, on: bool) -> Self {
        self.with(Self::DELETE_HORIZON, on)
    }

    fn with(self, bit: i16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// The fixed header, every field. Field names and meaning are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record when the batch was first written (compaction keeps it).
    pub base_offset: i64,
    /// Bytes after this field: the whole batch less `BATCH_OVERHEAD`.
    pub batch_length: i32,
    /// Epoch of the leader that appended, -1 before that. Clients send anything here.
    pub partition_leader_epoch: i32,
    /// CRC-32C of byte 21 to the end, as stored.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Offset of the last record (also when compaction removed it) less base_offset.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, or the delete horizon. Record deltas count from here.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, or the append time.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 without idempotence and in control batches.
    pub base_sequence: i32,
    /// Records really in the batch; may be 0 after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may end inside the records. `Torn` counts as if the
    /// whole batch had to be there only when fewer than 61 bytes are.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        parse_at(bytes, 0)
    }

    /// As on the wire; `crc` is written as it stands in the field.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        out[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[16] = MAGIC as u8;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.bits().to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        BATCH_OVERHEAD + self.batch_length as usize
    }

    /// Offset of the last record, inclusive. Saturates for hostile headers.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence of the last record, wrapping from i32::MAX to 0; -1 when there is no sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            sequence_plus(self.base_sequence, self.last_offset_delta)
        }
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Codec {
        self.attributes.codec()
    }

    /// Sent by an idempotent or transactional producer.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// When the cleaner may drop tombstones and markers of this batch, in wall-clock ms.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }

    /// Sets `crc` for this header and the records after it. One pass over `body`.
    pub fn seal(&mut self, body: &[u8]) {
        self.crc = crc32c::crc32c_append(self.head_crc(), body);
    }

    /// Gives the batch other timestamps (type and maximum) and corrects a *valid* checksum without reading the
    /// records: CRCs are linear, so the change of the header is shifted over the length of the records.
    pub fn set_timestamps(&mut self, timestamp_type: TimestampType, max_timestamp: i64) {
        self.amend(|header| {
            header.attributes = header.attributes.with_timestamp_type(timestamp_type);
            header.max_timestamp = max_timestamp;
        });
    }

    fn amend(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.head_crc();
        change(self);
        let after = self.head_crc();
        if before != after {
            self.crc = crc32c::crc32c_combine(before ^ after, self.crc, self.size() - HEADER_LEN);
        }
    }

    pub(super) fn head_crc(&self) -> u32 {
        crc32c::crc32c(&self.encode()[CRC_FROM..])
    }
}

/// Adds to a sequence number: after i32::MAX comes 0, never a negative number.
pub fn sequence_plus(sequence: i32, delta: i32) -> i32 {
    ((i64::from(sequence) + i64::from(delta)) & i64::from(i32::MAX)) as i32
}

pub(super) fn parse_at(bytes: &[u8], position: usize) -> Result<BatchHeader, BatchError> {
    let torn = |needed| BatchError::Torn {
        position,
        needed,
        available: bytes.len(),
    };
    let Some(prefix) = bytes.first_chunk::<CRC_AT>() else {
        return Err(torn(CRC_AT));
    };
    let length = i32::from_be_bytes(array(prefix, 8));
    if length < LENGTH_MIN_OLD {
        return Err(BatchError::Length { position, length });
    }
    match prefix[16] as i8 {
        MAGIC => {}
        magic @ (0 | 1) => return Err(BatchError::OldMagic { position, magic }),
        magic => return Err(BatchError::UnknownMagic { position, magic }),
    }
    if (length as usize) < HEADER_LEN - BATCH_OVERHEAD {
        return Err(BatchError::Length { position, length });
    }
    let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(torn(HEADER_LEN));
    };
    let attributes = Attributes::from_bits(i16::from_be_bytes(array(head, 21)))
        .map_err(|id| BatchError::UnknownCodec { position, id })?;
    Ok(BatchHeader {
        base_offset: i64::from_be_bytes(array(head, 0)),
        batch_length: length,
        partition_leader_epoch: i32::from_be_bytes(array(head, 12)),
        crc: u32::from_be_bytes(array(head, CRC_AT)),
        attributes,
        last_offset_delta: i32::from_be_bytes(array(head, 23)),
        base_timestamp: i64::from_be_bytes(array(head, 27)),
        max_timestamp: i64::from_be_bytes(array(head, 35)),
        producer_id: i64::from_be_bytes(array(head, 43)),
        producer_epoch: i16::from_be_bytes(array(head, 51)),
        base_sequence: i32::from_be_bytes(array(head, 53)),
        record_count: i32::from_be_bytes(array(head, 57)),
    })
}

fn array<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
    head[at..at + N]
        .try_into()
        .expect("every field lies inside the header")
}
