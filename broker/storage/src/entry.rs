//! One log as the manifest and the commit log write it down: identity and whole state.
//!
//! Own binary form, big-endian, always inside a checksum of its container. Pure. Decoding never panics and
//! allocates in proportion to the bytes that are there.

use std::sync::Arc;

use bytes::{Buf, BufMut, TryGetError};
use ottla_protocol::{Str, Uuid};

use crate::damage::Damage;
use crate::epochs::{EpochCache, EpochStart};
use crate::index::TimeEntry;
use crate::names::LogName;
use crate::producers::{Producer, Producers, SentBatch};
use crate::segment::Segment;
use crate::state::LogState;

/// Numbers a log inside its log directory; never used twice, so that old frames cannot hit a new log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// What acknowledged means for a log (`ottla.durability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// On disk, by way of the commit log.
    #[default]
    Fsync,
    /// In the page cache of this machine, as in Apache Kafka.
    PageCache,
}

/// A log of a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number.
    pub id: LogId,
    /// Name.
    pub name: LogName,
    /// Topic id, as in `partition.metadata`.
    pub topic_id: Uuid,
    /// The directory exists. A log that was never written to has none.
    pub has_dir: bool,
    /// Durability of its appends.
    pub durability: Durability,
    /// Its directory lacks files that Apache Kafka reads (epochs, snapshot, end of the time index): they are
    /// written at a clean stop.
    pub is_stale_for_kafka: bool,
    /// High watermark as of the checkpoint.
    pub high_watermark: i64,
    /// Why it must not lead.
    pub damage: Option<Damage>,
    /// The rest.
    pub state: LogState,
}

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the description of a log: {0}")]
pub struct Undecodable(pub &'static str);

impl From<TryGetError> for Undecodable {
    fn from(_: TryGetError) -> Self {
        Undecodable("it ends too early")
    }
}

const HAS_DIR: u8 = 1;
const PAGE_CACHE: u8 = 2;
const STALE_FOR_KAFKA: u8 = 4;

/// Bytes of one segment in this form; a count is held against it before anything is allocated.
const SEGMENT_LEN: usize = 72;

impl Entry {
    /// Appends the entry's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.id.0);
        put_text(out, &self.name.topic);
        out.put_i32(self.name.partition);
        out.put_slice(&self.topic_id.0);
        let page_cache = if self.durability == Durability::PageCache {
            PAGE_CACHE
        } else {
            0
        };
        let has_dir = if self.has_dir { HAS_DIR } else { 0 };
        out.put_u8(
            has_dir
                | page_cache
                | if self.is_stale_for_kafka {
                    STALE_FOR_KAFKA
                } else {
                    0
                },
        );
        out.put_i64(self.high_watermark);
        put_damage(out, self.damage.as_ref());
        put_state(out, &self.state);
    }

    /// Reads one entry from the front of `bytes`.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, Undecodable> {
        let id = LogId(bytes.try_get_u32()?);
        let topic = take_text(bytes)?;
        let partition = bytes.try_get_i32()?;
        let mut topic_id = [0; 16];
        bytes.try_copy_to_slice(&mut topic_id)?;
        let flags = bytes.try_get_u8()?;
        Ok(Self {
            id,
            name: LogName { topic, partition },
            topic_id: Uuid(topic_id),
            has_dir: flags & HAS_DIR != 0,
            durability: if flags & PAGE_CACHE != 0 {
                Durability::PageCache
            } else {
                Durability::Fsync
            },
            is_stale_for_kafka: flags & STALE_FOR_KAFKA != 0,
            high_watermark: bytes.try_get_i64()?,
            damage: take_damage(bytes)?,
            state: take_state(bytes)?,
        })
    }
}

const DAMAGED: u8 = 1;
const LOST: u8 = 2;

fn put_damage(out: &mut Vec<u8>, damage: Option<&Damage>) {
    match damage {
        None => out.put_u8(0),
        Some(damage) => {
            out.put_u8(if damage.may_heal() { DAMAGED } else { LOST });
            put_text(out, &damage.to_string());
        }
    }
}

fn take_damage(bytes: &mut &[u8]) -> Result<Option<Damage>, Undecodable> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        DAMAGED => Ok(Some(Damage::Noted(take_text(bytes)?.to_string()))),
        LOST => Ok(Some(Damage::Lost(take_text(bytes)?.to_string()))),
        _ => Err(Undecodable("a damage of unknown kind")),
    }
}

/// Appends a string with its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("topic and cluster names are below 64 KiB");
    out.put_u16(len);
    out.put_slice(text.as_bytes());
}

/// Reads a string with its length.
pub(crate) fn take_text(bytes: &mut &[u8]) -> Result<Str, Undecodable> {
    let len = usize::from(bytes.try_get_u16()?);
    let text = bytes
        .get(..len)
        .ok_or(Undecodable("a text ends too early"))?;
    let text = std::str::from_utf8(text).map_err(|_| Undecodable("a text is not UTF-8"))?;
    let text = Str::from(text);
    bytes.advance(len);
    Ok(text)
}

fn put_state(out: &mut Vec<u8>, state: &LogState) {
    out.put_i64(state.log_start);
    out.put_i64(state.local_start);
    out.put_u32(state.sealed.len() as u32);
    state
        .segments()
        .for_each(|segment| put_segment(out, segment));
    out.put_u32(state.epochs.entries().len() as u32);
    for entry in state.epochs.entries() {
        out.put_i32(entry.epoch);
        out.put_i64(entry.start_offset);
    }
    put_producers(out, &state.producers);
}

fn take_state(bytes: &mut &[u8]) -> Result<LogState, Undecodable> {
    let (log_start, local_start) = (bytes.try_get_i64()?, bytes.try_get_i64()?);
    let count = take_count(bytes, SEGMENT_LEN)?;
    let sealed = (0..count)
        .map(|_| take_segment(bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let active = take_segment(bytes)?;
    let mut last = None;
    for segment in sealed.iter().chain([&active]) {
        if segment.end_offset < segment.base_offset
            || last.is_some_and(|end| segment.base_offset < end)
        {
            return Err(Undecodable("segments overlap"));
        }
        last = Some(segment.end_offset);
    }
    let count = take_count(bytes, 12)?;
    let epochs = (0..count)
        .map(|_| {
            Ok(EpochStart {
                epoch: bytes.try_get_i32()?,
                start_offset: bytes.try_get_i64()?,
            })
        })
        .collect::<Result<Vec<_>, Undecodable>>()?;
    let producers = take_producers(bytes)?;
    Ok(LogState {
        log_start,
        local_start,
        sealed: Arc::new(sealed),
        active,
        epochs: EpochCache::from_entries(epochs),
        producers,
    })
}

fn take_count(bytes: &mut &[u8], size_min: usize) -> Result<usize, Undecodable> {
    let count = bytes.try_get_u32()? as usize;
    match count.checked_mul(size_min) {
        Some(needed) if needed <= bytes.len() => Ok(count),
        _ => Err(Undecodable("a count goes beyond its bytes")),
    }
}

fn put_segment(out: &mut Vec<u8>, segment: &Segment) {
    let before = out.len();
    out.put_i64(segment.base_offset);
    out.put_i64(segment.end_offset);
    out.put_u32(segment.len);
    out.put_i64(segment.created_ms);
    out.put_i64(segment.first_timestamp);
    out.put_i64(segment.latest.timestamp);
    out.put_u32((segment.latest.offset - segment.base_offset) as u32);
    out.put_u32(segment.index_entries);
    out.put_u32(segment.time_entries);
    out.put_i64(segment.time_indexed);
    out.put_u32(segment.txn_entries);
    out.put_u32(segment.bytes_unindexed);
    debug_assert_eq!(out.len() - before, SEGMENT_LEN);
}

fn take_segment(bytes: &mut &[u8]) -> Result<Segment, Undecodable> {
    let base_offset = bytes.try_get_i64()?;
    Ok(Segment {
        base_offset,
        end_offset: bytes.try_get_i64()?,
        len: bytes.try_get_u32()?,
        created_ms: bytes.try_get_i64()?,
        first_timestamp: bytes.try_get_i64()?,
        latest: TimeEntry {
            timestamp: bytes.try_get_i64()?,
            offset: base_offset.saturating_add(i64::from(bytes.try_get_u32()?)),
        },
        index_entries: bytes.try_get_u32()?,
        time_entries: bytes.try_get_u32()?,
        time_indexed: bytes.try_get_i64()?,
        txn_entries: bytes.try_get_u32()?,
        bytes_unindexed: bytes.try_get_u32()?,
    })
}

fn put_producers(out: &mut Vec<u8>, producers: &Producers) {
    out.put_u32(producers.iter().count() as u32);
    for (id, producer) in producers.iter() {
        out.put_i64(id);
        out.put_i16(producer.epoch);
        out.put_i32(producer.coordinator_epoch);
        out.put_i64(producer.last_timestamp);
        out.put_i64(producer.txn_first_offset.unwrap_or(-1));
        out.put_u8(producer.batches.len() as u8);
        for batch in &producer.batches {
            out.put_i32(batch.last_sequence);
            out.put_i64(batch.last_offset);
            out.put_i32(batch.offset_delta);
            out.put_i64(batch.timestamp);
        }
    }
    out.put_u32(producers.ended().count() as u32);
    for (first_offset, marker) in producers.ended() {
        out.put_i64(first_offset);
        out.put_i64(marker);
    }
}

fn take_producers(bytes: &mut &[u8]) -> Result<Producers, Undecodable> {
    let mut producers = Producers::default();
    for _ in 0..take_count(bytes, 31)? {
        let id = bytes.try_get_i64()?;
        let (epoch, coordinator_epoch) = (bytes.try_get_i16()?, bytes.try_get_i32()?);
        let (last_timestamp, first_offset) = (bytes.try_get_i64()?, bytes.try_get_i64()?);
        let mut producer = Producer {
            epoch,
            coordinator_epoch,
            last_timestamp,
            txn_first_offset: (first_offset >= 0).then_some(first_offset),
            batches: Default::default(),
        };
        for _ in 0..bytes.try_get_u8()? {
            producer.batches.push_back(SentBatch {
                last_sequence: bytes.try_get_i32()?,
                last_offset: bytes.try_get_i64()?,
                offset_delta: bytes.try_get_i32()?,
                timestamp: bytes.try_get_i64()?,
            });
        }
        producers.restore(id, producer);
    }
    for _ in 0..take_count(bytes, 16)? {
        producers.restore_ended(bytes.try_get_i64()?, bytes.try_get_i64()?);
    }
    Ok(producers)
}

#[cfg(test)]
pub(crate) mod tests;
