//! `<offset>.snapshot`: the producers of a log as of an offset, in Kafka's form (version 1).
//!
//! `i16 version | u32 CRC-32C of the rest | i32 count | count × (i64 id, i16 epoch, i32 last sequence, i64 last offset,
//! i32 offset delta, i64 timestamp, i32 coordinator epoch, i64 first offset of the open transaction)`, big-endian.
//! Only the last batch of a producer is in it; a producer known by markers alone has last offset -1.
//! Not here: the manifest, which keeps the whole window.

use bytes::{Buf, BufMut};
use ottla_protocol::records::NO_SEQUENCE;

use super::{Producer, Producers, SentBatch};

const VERSION: i16 = 1;
const CRC_FROM: usize = 6;
const ENTRY_LEN: usize = 46;

/// A snapshot that cannot be used; the state is then rebuilt from batches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Too short for what it announces.
    #[error("the producer snapshot has {len} bytes, {needed} are needed")]
    Short {
        /// Bytes there.
        len: usize,
        /// Bytes announced.
        needed: usize,
    },
    /// Another version.
    #[error("the producer snapshot has version {0}, 1 is known")]
    Version(i16),
    /// Damaged.
    #[error(
        "the producer snapshot is corrupt: stored checksum {stored:#010x}, computed {computed:#010x}"
    )]
    Crc {
        /// In the file.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
}

impl Producers {
    /// The file's bytes.
    pub fn to_snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CRC_FROM + 4 + self.by_id.len() * ENTRY_LEN);
        out.put_i16(VERSION);
        out.put_u32(0);
        out.put_i32(self.by_id.len() as i32);
        for (&id, producer) in &self.by_id {
            let none = SentBatch {
                last_sequence: NO_SEQUENCE,
                last_offset: -1,
                offset_delta: 0,
                timestamp: producer.last_timestamp,
            };
            let last = producer.batches.back().copied().unwrap_or(none);
            out.put_i64(id);
            out.put_i16(producer.epoch);
            out.put_i32(last.last_sequence);
            out.put_i64(last.last_offset);
            out.put_i32(last.offset_delta);
            out.put_i64(producer.last_timestamp);
            out.put_i32(producer.coordinator_epoch);
            out.put_i64(producer.txn_first_offset.unwrap_or(-1));
        }
        let crc = crc32c::crc32c(&out[CRC_FROM..]);
        out[2..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads such a file.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let short = |needed| SnapshotError::Short {
            len: bytes.len(),
            needed,
        };
        if bytes.len() < CRC_FROM + 4 {
            return Err(short(CRC_FROM + 4));
        }
        let mut rest = bytes;
        let version = rest.get_i16();
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let (stored, computed) = (rest.get_u32(), crc32c::crc32c(&bytes[CRC_FROM..]));
        if stored != computed {
            return Err(SnapshotError::Crc { stored, computed });
        }
        let count = rest.get_i32().max(0) as usize;
        if rest.len() != count.saturating_mul(ENTRY_LEN) {
            return Err(short(CRC_FROM + 4 + count.saturating_mul(ENTRY_LEN)));
        }
        let mut producers = Self::default();
        for _ in 0..count {
            let (id, epoch, last_sequence) = (rest.get_i64(), rest.get_i16(), rest.get_i32());
            let (last_offset, offset_delta, timestamp) =
                (rest.get_i64(), rest.get_i32(), rest.get_i64());
            let (coordinator_epoch, first_offset) = (rest.get_i32(), rest.get_i64());
            let last = (last_offset >= 0).then_some(SentBatch {
                last_sequence,
                last_offset,
                offset_delta,
                timestamp,
            });
            let txn_first_offset = (first_offset >= 0).then_some(first_offset);
            let producer = Producer {
                epoch,
                coordinator_epoch,
                last_timestamp: timestamp,
                txn_first_offset,
                batches: last.into_iter().collect(),
            };
            producers.restore(id, producer);
        }
        Ok(producers)
    }
}
