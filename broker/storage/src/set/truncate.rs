//! Truncation: a follower, or a raft replica, gives up what its leader does not have.
//!
//! The commit log is told first, so that a crash in between finds the shorter log and cuts the files again. Asynchronous,
//! because producers and indexes as of the earlier offset must be read from disk; rare enough for that.

use super::LogSet;
use super::NoSuchLog;
use super::log::{Due, DueWrite};
use crate::dir::DirError;
use crate::entry::{Durability, LogId};
use crate::index::{OFFSET_ENTRY_LEN, TIME_ENTRY_LEN, TXN_ENTRY_LEN};
use crate::names::SegmentFile;
use crate::rewind::{Rereading, SegmentEntries};
use crate::state::LogState;

/// Why a log was not truncated.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// There is no such log.
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
    /// The directory is out of use.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// What must be read again cannot be.
    #[error("truncation cannot read the log again: {0}")]
    Io(#[from] std::io::Error),
}

impl LogSet {
    /// Drops every batch that ends behind `offset`. Returns the new end: `offset`, or the batch boundary before it.
    pub async fn truncate_to(
        &mut self,
        id: LogId,
        offset: i64,
        now_ms: i64,
    ) -> Result<i64, TruncateError> {
        let log = self.logs.get_mut(&id).ok_or(NoSuchLog(id))?;
        let end = log.end();
        if offset >= end {
            // An epoch that this replica began as leader, and wrote nothing in, is not its new leader's.
            log.entry.state.epochs.truncate_end(end);
            log.entry.is_stale_for_kafka = true;
            self.changed.insert(id);
            return Ok(end);
        }
        if offset <= log.log_start() {
            self.truncate_fully_and_start_at(id, offset, now_ms).await?;
            return Ok(offset);
        }
        // With everything in its files, one way of reading serves all cases.
        self.settle(now_ms).await?;
        let log = &self.logs[&id];
        let rereading = Rereading {
            disk: &**self.dir.disk(),
            dir: &log.dir,
            index_interval_bytes: log.config().index_interval_bytes,
            checks_crc: false,
        };
        let (state, entries) = rereading.rewind(log.state(), offset).await?;
        let end = state.end();
        self.replace(id, state, entries, now_ms);
        Ok(end)
    }

    /// Drops everything; the log goes on, empty, at `offset` (a follower whose leader has nothing that it has, a snapshot).
    pub async fn truncate_fully_and_start_at(
        &mut self,
        id: LogId,
        offset: i64,
        now_ms: i64,
    ) -> Result<(), TruncateError> {
        self.logs.get(&id).ok_or(NoSuchLog(id))?;
        // A checkpoint under way may count on writes that would be dropped here.
        self.settle(now_ms).await?;
        self.replace(
            id,
            LogState::new(offset, now_ms),
            SegmentEntries::default(),
            now_ms,
        );
        Ok(())
    }

    fn replace(&mut self, id: LogId, state: LogState, entries: SegmentEntries, now_ms: i64) {
        let log = self.logs.get_mut(&id).expect("the caller has found it");
        self.tail_bytes -= log.tail_bytes();
        self.behind_bytes -= log.due_bytes;
        log.forget_dues();
        self.queue.strike_ends(log);
        let before = std::mem::replace(&mut log.entry.state, state);
        log.renew_files();
        log.entry.is_stale_for_kafka = true;
        // Until its files are cut, durably, a start must not take what lies in them behind the end for the log's.
        log.entry.durability = Durability::Fsync;
        let end = log.end();
        log.flushed_end = end;
        log.written_end = end;
        let high_watermark = log.high_watermark();
        log.set_high_watermark(high_watermark);
        for flushed in self.untold.iter_mut().filter(|flushed| flushed.log == id) {
            flushed.end_offset = flushed.end_offset.min(end);
        }
        let group = self.put_frame(id);
        self.adjust_durability(id);
        // Old segments that wait for their removal may have the names of segments to come: they go first.
        let (waiting, others) = std::mem::take(&mut self.removals)
            .into_iter()
            .partition(|removal| removal.is_of(id));
        self.removals = others;
        let waiting: Vec<super::Removal> = waiting;
        for removal in waiting {
            let what = DueWrite::Remove { path: removal.path };
            self.push_due(id, Due { group, what }, now_ms);
        }
        for due in self.cuts(id, &before, entries, group) {
            self.push_due(id, due, now_ms);
        }
    }

    /// Files that go, and the active segment's cut to what the state says.
    fn cuts(&self, id: LogId, before: &LogState, entries: SegmentEntries, group: u64) -> Vec<Due> {
        let log = &self.logs[&id];
        let stays = |base| {
            log.state()
                .segments()
                .any(|segment| segment.base_offset == base)
        };
        let mut writes = Vec::new();
        for segment in before
            .segments()
            .filter(|segment| !stays(segment.base_offset))
        {
            writes.extend(SegmentFile::ALL.map(|kind| DueWrite::Remove {
                path: kind.path(&log.dir, segment.base_offset),
            }));
        }
        let active = &log.state().active;
        let base = active.base_offset;
        if active.len == 0 {
            // A snapshot of an earlier branch may have this very name, and would be believed.
            let path = SegmentFile::Snapshot.path(&log.dir, base);
            let producers = log.producers().to_snapshot().into();
            writes.push(DueWrite::whole(path, producers));
        }
        let mut offsets = Vec::with_capacity(entries.offsets.len() * OFFSET_ENTRY_LEN);
        entries
            .offsets
            .iter()
            .for_each(|&entry| crate::index::put_offset_entry(&mut offsets, base, entry));
        let mut times = Vec::with_capacity(entries.times.len() * TIME_ENTRY_LEN);
        entries
            .times
            .iter()
            .for_each(|&entry| crate::index::put_time_entry(&mut times, base, entry));
        let mut txns = Vec::with_capacity(entries.txns.len() * TXN_ENTRY_LEN);
        entries
            .txns
            .iter()
            .for_each(|txn| crate::index::put_txn_entry(&mut txns, txn));
        writes.push(DueWrite::Cut {
            file: log.files.log.clone(),
            len: u64::from(active.len),
        });
        for (file, bytes) in [
            (&log.files.index, offsets),
            (&log.files.time, times),
            (&log.files.txn, txns),
        ] {
            let len = bytes.len() as u64;
            if len > 0 {
                writes.push(DueWrite::Entries {
                    file: file.clone(),
                    at: 0,
                    bytes: bytes.into(),
                });
            }
            writes.push(DueWrite::Cut {
                file: file.clone(),
                len,
            });
        }
        writes.into_iter().map(|what| Due { group, what }).collect()
    }
}
