//! Planning reads: from the tail buffers at once, or a [`ColdRead`] to be run elsewhere.

use bytes::{Bytes, BytesMut};
use ottla_protocol::records::BatchView;

use super::log::{Log, TailBatch};
use super::{LogSet, NoSuchLog};
use crate::damage::Damage;
use crate::entry::LogId;
use crate::reader::{ColdRead, Fetched, LogReader, ReadError, Segments};

/// Slices up to this size are copied together: more parts would cost more than the copy.
const JOIN_BYTES_MAX: usize = 2048;

/// Most bytes that one batch may take decompressed during a time lookup.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

/// How a fetch is served.
pub enum Read {
    /// From memory.
    Ready(Fetched),
    /// From disk.
    Cold(Box<ColdRead>),
}

impl LogSet {
    /// Reads whole batches from the one that holds `from`, up to `bytes_max` but at least one (KIP-74), and none that ends
    /// behind `upper` (high watermark, last stable offset, or flushed end). Nothing when `from` is at or behind `upper`.
    pub fn read(
        &self,
        id: LogId,
        from: i64,
        bytes_max: usize,
        upper: i64,
    ) -> Result<Read, ReadError> {
        let out_of_range = |log_start, end| ReadError::OffsetOutOfRange {
            offset: from,
            log_start,
            end,
        };
        let log = self.logs.get(&id).ok_or(out_of_range(0, 0))?;
        if from < log.local_start() || from > log.end() {
            return Err(out_of_range(log.log_start(), log.end()));
        }
        if from >= upper {
            return Ok(Read::Ready(Fetched::nothing_at(from)));
        }
        match log.tail.front() {
            Some(oldest) if oldest.base_offset <= from => {
                Ok(Read::Ready(hot(log, from, bytes_max, upper)))
            }
            oldest => {
                let upper = oldest
                    .map_or(upper, |oldest| upper.min(oldest.base_offset))
                    .min(log.written_end);
                Ok(Read::Cold(Box::new(ColdRead {
                    segments: self.segments(log),
                    hints: log.hints.clone(),
                    from,
                    bytes_max,
                    upper,
                })))
            }
        }
    }

    /// A snapshot for lookups that may need the disk.
    pub fn reader(&self, id: LogId) -> Result<LogReader, NoSuchLog> {
        let log = self.logs.get(&id).ok_or(NoSuchLog(id))?;
        let first = log
            .tail
            .partition_point(|batch| batch.next_offset <= log.written_end);
        Ok(LogReader {
            segments: self.segments(log),
            unwritten: log.tail.iter().skip(first).map(whole).collect(),
            log_start: log.log_start(),
            epochs: log.state().epochs.clone(),
            recent_txns: log.recent_txns(),
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        })
    }

    /// A read found bytes that are not what was written: the log must not lead any more.
    pub fn mark_damaged(&mut self, id: LogId, damage: Damage) -> Result<(), NoSuchLog> {
        self.logs
            .get_mut(&id)
            .ok_or(NoSuchLog(id))?
            .damage_with(damage);
        self.changed.insert(id);
        Ok(())
    }

    fn segments(&self, log: &Log) -> Segments {
        let state = log.state();
        Segments {
            disk: self.dir.disk().clone(),
            dir: log.dir.clone(),
            sealed: state.sealed.clone(),
            active: state.active.clone(),
            recent_offsets: log.unindexed.offsets.clone(),
            recent_times: log.unindexed.times.clone(),
            written_end: log.written_end,
            index_interval_bytes: log.config().index_interval_bytes,
        }
    }
}

fn hot(log: &Log, from: i64, bytes_max: usize, upper: i64) -> Fetched {
    let first = log.tail.partition_point(|batch| batch.next_offset <= from);
    let mut fetched = Fetched::nothing_at(from);
    let mut joined = Joined::default();
    let mut bytes = 0;
    for batch in log.tail.range(first..) {
        if batch.next_offset > upper || (bytes > 0 && bytes + batch.len() > bytes_max) {
            break;
        }
        bytes += batch.len();
        if batch.len() <= JOIN_BYTES_MAX {
            joined.add(batch);
            continue;
        }
        joined.finish(&mut fetched);
        for slice in batch.slices.iter().filter(|slice| !slice.is_empty()) {
            fetched.push(batch.base_offset, batch.next_offset, slice.clone());
        }
    }
    joined.finish(&mut fetched);
    fetched
}

/// Small batches being copied into one part.
#[derive(Default)]
struct Joined {
    bytes: BytesMut,
    offsets: Option<(i64, i64)>,
    only: Option<Bytes>,
}

impl Joined {
    fn add(&mut self, batch: &TailBatch) {
        let base_offset = self
            .offsets
            .map_or(batch.base_offset, |(base_offset, _)| base_offset);
        // A single one is shared, not copied.
        let is_first = self.offsets.is_none() && batch.slices[1].is_empty();
        self.offsets = Some((base_offset, batch.next_offset));
        if is_first {
            self.only = Some(batch.slices[0].clone());
            return;
        }
        if let Some(only) = self.only.take() {
            self.bytes.extend_from_slice(&only);
        }
        batch
            .slices
            .iter()
            .for_each(|slice| self.bytes.extend_from_slice(slice));
    }

    fn finish(&mut self, fetched: &mut Fetched) {
        if let Some((base_offset, next_offset)) = self.offsets.take() {
            let part = self
                .only
                .take()
                .unwrap_or_else(|| self.bytes.split().freeze());
            fetched.push(base_offset, next_offset, part);
        }
    }
}

/// A tail batch in one piece, for lookups inside it.
fn whole(batch: &TailBatch) -> BatchView {
    let bytes = match batch.slices[1].is_empty() {
        true => batch.slices[0].clone(),
        false => batch.slices.concat().into(),
    };
    BatchView::new(bytes).expect("the tail holds whole batches that were parsed before")
}
