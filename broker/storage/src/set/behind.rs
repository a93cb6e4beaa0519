//! Write-out: what is durable in the commit log follows into segments through the page cache, coalesced.
//!
//! Lazy, because nobody waits for it: a log is written out when it has enough for one good write, when it has waited long
//! enough, when its buffers are needed, or for a checkpoint. Logs with page-cache durability are written out at every
//! submit, and are flushed when that is done. Nothing is taken off the queue before it is written, so a full disk only delays.

use std::collections::VecDeque;

use super::LogSet;
use super::commit::Flushed;
use super::flight::Flight;
use super::log::{Due, DueWrite, Log};
use crate::atomic_file;
use crate::disk::{DiskOp, File, OpenMode};
use crate::entry::{Durability, LogId};
use crate::layout::render_partition_metadata;
use crate::names::PARTITION_METADATA;

/// Most bytes of one write-out, so that a small log never waits long behind big ones.
const BYTES_MAX: usize = 4 << 20;

/// Most logs of one write-out.
const LOGS_MAX: usize = 256;

/// A write-out under way.
pub(super) struct WriteOut {
    parts: Vec<Part>,
}

struct Part {
    log: LogId,
    /// Taken off the log's queue; put back when the write fails for lack of space.
    dues: VecDeque<Due>,
    makes_dir: bool,
    syncs: bool,
    incarnation: u32,
}

impl LogSet {
    /// Begins a write-out if none is under way and any log is ready for one.
    pub(super) fn write_out(&mut self, now_ms: i64) {
        if self.write_out.is_some()
            || self.behind.is_empty()
            || self.has_no_space
            || self.health().is_dead()
        {
            return;
        }
        let (mut parts, mut steps, mut bytes) = (Vec::new(), Vec::new(), 0);
        for id in self.ready_logs(now_ms) {
            if bytes >= BYTES_MAX || parts.len() >= LOGS_MAX {
                break;
            }
            if let Some(part) = self.take_part(id, now_ms, &mut steps) {
                bytes += part.dues.iter().map(Due::bytes).sum::<usize>();
                parts.push(part);
            }
        }
        if parts.is_empty() {
            return;
        }
        self.write_out = Some(WriteOut { parts });
        self.flights.start(
            Flight::WriteOut,
            self.dir
                .disk()
                .submit(self.behind_lane(), DiskOp::Sequence(steps)),
        );
    }

    fn ready_logs(&self, now_ms: i64) -> Vec<LogId> {
        let too_much = self.behind_bytes > self.limits.tail_bytes_max / 2;
        let is_ready = |id: &LogId| {
            let log = &self.logs[id];
            let waited = now_ms.saturating_sub(log.due_since_ms) >= self.limits.write_out_ms;
            too_much || waited || log.bypasses_commit_log()
        };
        // The urgent ones first; then those that are ready by their own.
        let urgent = self.urgent.iter().copied();
        urgent
            .chain(
                self.behind
                    .iter()
                    .filter(|id| !self.urgent.contains(id) && is_ready(id))
                    .copied(),
            )
            .collect()
    }

    /// Takes what is durable off a log's queue and adds its writes to `steps`.
    fn take_part(&mut self, id: LogId, now_ms: i64, steps: &mut Vec<DiskOp>) -> Option<Part> {
        let durable = self.queue.durable();
        let log = self.logs.get_mut(&id)?;
        let count = log
            .due
            .iter()
            .take_while(|due| due.group <= durable)
            .count();
        if count == 0 {
            return None;
        }
        let dues: VecDeque<Due> = log.due.drain(..count).collect();
        let taken: usize = dues.iter().map(Due::bytes).sum();
        log.due_bytes -= taken;
        log.due_since_ms = now_ms;
        self.behind_bytes -= taken;
        self.urgent.remove(&id);
        if log.due.is_empty() {
            self.behind.remove(&id);
        }
        let makes_dir = !log.entry.has_dir;
        if makes_dir {
            make_dir(log, steps);
        }
        let syncs = needs_sync(log, &dues, now_ms);
        write_steps(&dues, steps);
        if syncs {
            let mut files = log.unsynced.clone();
            for file in dues.iter().filter_map(batches_file) {
                if !files.iter().any(|known| known.same_handle(file)) {
                    files.push(file.clone());
                }
            }
            steps.extend(files.into_iter().map(DiskOp::SyncData));
            // What is synced must be found, too: a new segment, a new directory.
            steps.push(DiskOp::SyncDir(log.dir.to_path_buf()));
            if !log.has_durable_dir {
                steps.push(DiskOp::SyncDir(self.dir.path().to_owned()));
            }
        }
        Some(Part {
            log: id,
            incarnation: log.incarnation,
            dues,
            makes_dir,
            syncs,
        })
    }

    /// The write-out under way is done.
    pub(super) fn written_out(&mut self, now_ms: i64, flushed: &mut Vec<Flushed>) {
        let write_out = self
            .write_out
            .take()
            .expect("only a write-out under way is answered");
        for part in write_out.parts {
            let Some(log) = self.logs.get_mut(&part.log) else {
                continue;
            };
            log.entry.has_dir |= part.makes_dir;
            log.note_dues_written(part.dues.len() as u64);
            if part.incarnation != log.incarnation {
                continue;
            }
            for due in part.dues {
                note_written(log, due, now_ms);
            }
            if part.syncs {
                log.unsynced_records = 0;
            }
            // On the way to fsync it has to wait for a checkpoint.
            let is_enough = log.bypasses_commit_log() && !log.is_changing();
            if is_enough && log.written_end > log.flushed_end {
                log.flushed_end = log.written_end.min(log.end());
                flushed.push(Flushed {
                    log: part.log,
                    end_offset: log.flushed_end,
                });
            }
        }
        self.evict();
        self.checkpoint_step(now_ms);
    }

    /// The write-out under way found no space: everything goes back to the front of its queue.
    pub(super) fn put_back(&mut self) {
        let write_out = self
            .write_out
            .take()
            .expect("only a write-out under way is answered");
        for part in write_out.parts {
            let Some(log) = self.logs.get_mut(&part.log) else {
                continue;
            };
            if part.incarnation != log.incarnation {
                log.note_dues_written(part.dues.len() as u64);
                continue;
            }
            let bytes: usize = part.dues.iter().map(Due::bytes).sum();
            log.due_bytes += bytes;
            self.behind_bytes += bytes;
            for due in part.dues.into_iter().rev() {
                log.due.push_front(due);
            }
            self.behind.insert(part.log);
            self.urgent.insert(part.log);
        }
    }

    /// Gives up the oldest tail buffers while there are too many. What is not written out yet is hurried instead.
    pub(super) fn evict(&mut self) {
        while self.tail_bytes > self.limits.tail_bytes_max {
            let Some(&id) = self.tail_order.front() else {
                break;
            };
            if let Some(log) = self.logs.get_mut(&id)
                && let Some(oldest) = log.tail.front()
            {
                if oldest.next_offset > log.written_end {
                    self.urgent.insert(id);
                    break;
                }
                let freed = oldest.len();
                log.tail.pop_front();
                self.tail_bytes -= freed;
            }
            self.tail_order.pop_front();
        }
    }
}

/// The directory appears with its first write: topics without records cost no inode.
fn make_dir(log: &Log, steps: &mut Vec<DiskOp>) {
    let metadata = File::new(log.dir.join(PARTITION_METADATA), OpenMode::Create);
    let text = render_partition_metadata(log.entry.topic_id)
        .into_bytes()
        .into();
    steps.push(DiskOp::CreateDir(log.dir.to_path_buf()));
    steps.push(DiskOp::Write {
        file: metadata.clone(),
        at: 0,
        slices: vec![text],
    });
    steps.push(DiskOp::SyncData(metadata));
}

fn needs_sync(log: &Log, dues: &VecDeque<Due>, now_ms: i64) -> bool {
    if log.config().durability == Durability::Fsync {
        return false;
    }
    let records = |due: &Due| match &due.what {
        DueWrite::Batches { records, .. } => *records,
        _ => 0,
    };
    let unsynced: i64 = log.unsynced_records + dues.iter().map(records).sum::<i64>();
    let waited = now_ms.saturating_sub(log.unsynced_since_ms);
    unsynced >= log.config().flush_messages || (unsynced > 0 && waited >= log.config().flush_ms)
}

fn batches_file(due: &Due) -> Option<&File> {
    match &due.what {
        DueWrite::Batches { file, .. } => Some(file),
        _ => None,
    }
}

fn write_steps(dues: &VecDeque<Due>, steps: &mut Vec<DiskOp>) {
    let mut last_end = None;
    for due in dues {
        match &due.what {
            DueWrite::Batches {
                file,
                at,
                slices,
                len,
                ..
            } => {
                match steps.last_mut() {
                    // Runs of several groups that continue each other are one system call.
                    Some(DiskOp::Write {
                        file: last,
                        slices: all,
                        ..
                    }) if last.same_handle(file) && last_end == Some(*at) => {
                        all.extend_from_slice(slices);
                    }
                    _ => steps.push(DiskOp::Write {
                        file: file.clone(),
                        at: *at,
                        slices: slices.clone(),
                    }),
                }
                last_end = Some(*at + *len as u64);
            }
            DueWrite::Entries { file, at, bytes } => {
                steps.push(DiskOp::Write {
                    file: file.clone(),
                    at: *at,
                    slices: vec![bytes.clone()],
                });
            }
            DueWrite::Whole { path, file, bytes } => {
                steps.extend(atomic_file::unsynced_steps(path, file, bytes.clone()))
            }
            DueWrite::Cut { file, len } => steps.push(DiskOp::Truncate {
                file: file.clone(),
                len: *len,
            }),
            DueWrite::Remove { path } => {
                // Truncating first makes a file that is not there one that is, so the removal cannot fail for its lack.
                steps.push(DiskOp::Truncate {
                    file: File::new(path.clone(), OpenMode::Create),
                    len: 0,
                });
                steps.push(DiskOp::RemoveFile(path.clone()));
            }
        }
    }
}

fn note_written(log: &mut Log, due: Due, now_ms: i64) {
    match due.what {
        DueWrite::Batches {
            file,
            end_offset,
            records,
            ..
        } => {
            log.written_end = end_offset.min(log.end());
            if log.unsynced_records == 0 {
                log.unsynced_since_ms = now_ms;
            }
            log.unsynced_records += records;
            log.note_unsynced(&file);
        }
        DueWrite::Entries { file, .. }
        | DueWrite::Cut { file, .. }
        | DueWrite::Whole { file, .. } => log.note_unsynced(&file),
        DueWrite::Remove { .. } => {}
    }
}
