//! The logs of one owner in one log directory, and the group commit that makes them durable together.
//!
//! ```text
//! append ─▶ group being collected ─submit─▶ commit log (write + fdatasync) ─▶ Flushed ─▶ the owner acknowledges
//!    │                                                                          │
//!    └─▶ tail buffers (hot reads)                             write-out behind ◀┘  page-cache writes into segments
//!                                                                  │
//!                                          checkpoint: fdatasync segments, manifest, release commit log
//! ```
//! Synchronous and single-owner: nothing here blocks or locks; the disk answers through [`LogSet::next`] and
//! [`LogSet::apply`]. Invariant, for every log: `written_end <= flushed_end <= end` (with page-cache durability written
//! and flushed are one), the tail buffers hold at least everything above `written_end`, and nothing in a segment file lies above the
//! commit log's durable end. Not here: opening and recovery (dir/), replication.

mod append;
mod behind;
mod checkpoint;
mod commit;
mod durability;
mod flight;
mod handover;
mod log;
mod read;
mod retention;
mod truncate;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use bytes::BytesMut;
use ottla_protocol::Uuid;

use crate::commit::{Frame, Ring};
use crate::dir::{Health, LogDir, OpenedLog};
use crate::disk::Lane;
use crate::entry::{Entry, LogId};
use crate::names::{LogName, retired_dir};
use crate::state::LogState;

pub(crate) use append::marker_of;
pub use append::{AppendError, AppendedRecords};
pub use commit::{CommitFigures, Flushed};
pub use flight::Progress;
pub use log::{Log, LogConfig, RetentionPolicy};
pub use read::Read;
pub use retention::DeleteRecordsError;
pub use truncate::TruncateError;

use behind::WriteOut;
use checkpoint::Checkpoint;
use commit::Queue;
use flight::Flights;
use log::Due;

/// Sizes and times of one owner's share of a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the commit log. A third of it full starts a checkpoint.
    pub commit_log_bytes_max: u64,
    /// First chunk of the commit log. Small, because it is zeroed before the first acknowledgement.
    pub chunk_bytes_first: u64,
    /// Largest chunk; each is twice the one before up to here.
    pub chunk_bytes_max: u64,
    /// A group is closed when it has this many bytes.
    pub group_bytes_max: usize,
    /// Received batches kept for hot reads. Never less than what is not written out yet.
    pub tail_bytes_max: usize,
    /// A log with this much to write out is written out at once.
    pub write_out_bytes: usize,
    /// … and with anything at all after this time.
    pub write_out_ms: i64,
    /// Time between checkpoints while anything changes.
    pub checkpoint_ms: i64,
    /// Time between looks at retention (`log.retention.check.interval.ms`).
    pub retention_check_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commit_log_bytes_max: 256 << 20,
            chunk_bytes_first: 2 << 20,
            chunk_bytes_max: 32 << 20,
            group_bytes_max: 8 << 20,
            tail_bytes_max: 16 << 20,
            // Measured (ADR 1): below this the cost per write dominates.
            write_out_bytes: 128 << 10,
            write_out_ms: 1000,
            checkpoint_ms: 30_000,
            retention_check_ms: 300_000,
        }
    }
}

/// See the module.
pub struct LogSet {
    dir: LogDir,
    lane: u16,
    limits: Limits,
    logs: BTreeMap<LogId, Log>,
    queue: Queue,
    ring: Ring,
    flights: Flights,
    write_out: Option<WriteOut>,
    checkpoint: Checkpoint,
    /// Logs with anything to write out.
    behind: BTreeSet<LogId>,
    /// Logs to be written out now, whatever they have.
    urgent: BTreeSet<LogId>,
    behind_bytes: usize,
    /// Every batch in tail buffers, oldest first.
    tail_order: VecDeque<LogId>,
    tail_bytes: usize,
    /// Logs changed since the last checkpoint began.
    changed: BTreeSet<LogId>,
    /// Logs whose configured durability is not yet the one that the commit log was told.
    changing: BTreeSet<LogId>,
    /// Last group that a checkpoint released.
    released: u64,
    /// Files and directories to be removed at a time.
    removals: Vec<Removal>,
    /// Memory for batch headers and small batches.
    arena: BytesMut,
    next_retention_ms: i64,
    next_expiry_ms: i64,
    space_seen_ms: i64,
    /// The limit of the commit log, less on a small disk.
    commit_log_bytes_max: u64,
    /// Bytes that may still be taken of the disk: what is looked at every few seconds can be gone in one. `None` until
    /// it was first looked at.
    space_left: Option<u64>,
    /// A write found no space: nothing is written until there is some again.
    has_no_space: bool,
    /// Flushed offsets that a truncation came across and the owner has not been told yet.
    untold: Vec<Flushed>,
}

struct Removal {
    due_ms: i64,
    /// Not before this group is durable.
    after_group: u64,
    /// Nor before a checkpoint has released that group: a start reads the logs with page-cache durability from their files,
    /// beginning where the last checkpoint left them.
    after_checkpoint: bool,
    /// Nor before these writes of the log are done, lest one of them make the file again.
    after_due: Option<(LogId, u64)>,
    path: PathBuf,
    is_dir: bool,
}

impl Removal {
    /// A file of this log.
    fn is_of(&self, id: LogId) -> bool {
        self.after_due.is_some_and(|(log, _)| log == id)
    }
}

/// A log that cannot be named because it is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no log number {}", .0.0)]
pub struct NoSuchLog(pub LogId);

impl LogSet {
    pub(crate) fn new(
        dir: LogDir,
        lane: u16,
        limits: Limits,
        ring: Ring,
        next_sequence: u64,
    ) -> Self {
        Self {
            dir,
            lane,
            limits,
            logs: BTreeMap::new(),
            queue: Queue::new(next_sequence),
            ring,
            flights: Flights::default(),
            write_out: None,
            checkpoint: Checkpoint::idle(),
            behind: BTreeSet::new(),
            urgent: BTreeSet::new(),
            behind_bytes: 0,
            tail_order: VecDeque::new(),
            tail_bytes: 0,
            changed: BTreeSet::new(),
            changing: BTreeSet::new(),
            released: next_sequence - 1,
            removals: Vec::new(),
            arena: BytesMut::new(),
            next_retention_ms: 0,
            next_expiry_ms: 0,
            space_seen_ms: 0,
            commit_log_bytes_max: limits.commit_log_bytes_max,
            space_left: None,
            has_no_space: false,
            untold: Vec::new(),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &LogDir {
        &self.dir
    }

    /// Takes over a log that was there at the start.
    pub fn adopt(&mut self, opened: OpenedLog, config: LogConfig) -> LogId {
        let id = opened.entry.id;
        self.logs
            .insert(id, Log::new(opened.entry, config, self.dir.path()));
        // Opening has synced what it found, so there is nothing to wait for.
        if self.logs[&id].is_changing() {
            self.tell_durability(id);
        }
        id
    }

    /// A new, empty log. It is durable with the next group commit; its directory appears when it is first written to,
    /// or at a clean stop.
    pub fn create(
        &mut self,
        name: LogName,
        topic_id: Uuid,
        config: LogConfig,
        now_ms: i64,
    ) -> LogId {
        let id = self.dir.next_log_id();
        let entry = Entry {
            id,
            name,
            topic_id,
            has_dir: false,
            durability: config.durability,
            is_stale_for_kafka: true,
            high_watermark: 0,
            damage: None,
            state: LogState::new(0, now_ms),
        };
        self.logs
            .insert(id, Log::new(entry, config, self.dir.path()));
        let group = self.put_frame(id);
        if let Some(log) = self.logs.get_mut(&id) {
            log.first_group = group;
        }
        id
    }

    /// Another configuration from now on.
    pub fn configure(&mut self, id: LogId, config: LogConfig) -> Result<(), NoSuchLog> {
        let log = self.logs.get_mut(&id).ok_or(NoSuchLog(id))?;
        log.configure(config);
        self.adjust_durability(id);
        Ok(())
    }

    /// The topic is deleted: the log is gone at once, its directory is renamed as Kafka renames it once
    /// that is durable, and removed after `file.delete.delay.ms`.
    pub fn remove(&mut self, id: LogId, now_ms: i64) -> Result<(), NoSuchLog> {
        self.take_away(id, &Frame::Remove(id), "delete", Some(now_ms))
    }

    /// The log is not this broker's: its directory is renamed `-stray` and kept.
    pub fn retire_stray(&mut self, id: LogId) -> Result<(), NoSuchLog> {
        self.take_away(id, &Frame::SetAside(id), "stray", None)
    }

    fn take_away(
        &mut self,
        id: LogId,
        frame: &Frame,
        suffix: &str,
        delete_from_ms: Option<i64>,
    ) -> Result<(), NoSuchLog> {
        let log = self.logs.remove(&id).ok_or(NoSuchLog(id))?;
        let group = self.queue.frame(frame);
        self.behind.remove(&id);
        self.urgent.remove(&id);
        self.changing.remove(&id);
        self.behind_bytes -= log.due_bytes;
        self.tail_bytes -= log.tail_bytes();
        self.changed.insert(id);
        let to = self
            .dir
            .path()
            .join(retired_dir(&log.entry.name, log.entry.topic_id, suffix));
        self.checkpoint.forget(id, group);
        // Its old segments go with the directory. By path they would be those of a log made since under the same name.
        self.removals.retain(|removal| !removal.is_of(id));
        // A write-out under way may be making the directory just now, so it is renamed even if it never was there.
        self.queue.after(
            group,
            commit::Then::Rename {
                from: log.dir.to_path_buf(),
                to: to.clone(),
            },
        );
        if let Some(now_ms) = delete_from_ms {
            let due_ms = now_ms.saturating_add(log.config().file_delete_delay_ms);
            self.removals.push(Removal {
                due_ms,
                after_group: group,
                after_checkpoint: false,
                after_due: None,
                path: to,
                is_dir: true,
            });
        }
        Ok(())
    }

    /// One log.
    pub fn log(&self, id: LogId) -> Option<&Log> {
        self.logs.get(&id)
    }

    /// All logs, by number.
    pub fn logs(&self) -> impl Iterator<Item = (LogId, &Log)> {
        self.logs.iter().map(|(&id, log)| (id, log))
    }

    /// On becoming leader: batches of `leader_epoch` begin at the log end.
    pub fn begin_epoch(&mut self, id: LogId, leader_epoch: i32) -> Result<(), NoSuchLog> {
        let log = self.logs.get_mut(&id).ok_or(NoSuchLog(id))?;
        let end = log.end();
        if log.entry.state.epochs.begin(leader_epoch, end) {
            log.entry.is_stale_for_kafka = true;
            self.changed.insert(id);
        }
        Ok(())
    }

    /// How far the log is committed. Kept in memory; written to Kafka's checkpoint file by [`LogDir`].
    pub fn set_high_watermark(&mut self, id: LogId, high_watermark: i64) -> Result<(), NoSuchLog> {
        self.logs
            .get_mut(&id)
            .ok_or(NoSuchLog(id))?
            .set_high_watermark(high_watermark);
        Ok(())
    }

    /// More is waiting for the disk than memory allows: stop taking produce requests until it is false again.
    pub fn backlogged(&self) -> bool {
        self.tail_bytes > 2 * self.limits.tail_bytes_max
            || self.queue.bytes() > 4 * self.limits.group_bytes_max
            || self.awaits_durability()
    }

    fn health(&self) -> Health {
        self.dir.health()
    }

    fn commit_lane(&self) -> Lane {
        Lane::Ordered(u32::from(self.lane) * 2 + 1)
    }

    fn behind_lane(&self) -> Lane {
        Lane::Ordered(u32::from(self.lane) * 2 + 2)
    }

    /// Queues the whole description of a log.
    fn put_frame(&mut self, id: LogId) -> u64 {
        self.changed.insert(id);
        let log = &self.logs[&id];
        self.queue.frame(&Frame::Put(Box::new(log.entry.clone())))
    }

    /// Queues something to be written to a log's files.
    fn push_due(&mut self, id: LogId, due: Due, now_ms: i64) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let bytes = due.bytes();
        log.push_due(due, now_ms);
        self.behind_bytes += bytes;
        self.behind.insert(id);
        if log.due_bytes >= self.limits.write_out_bytes {
            self.urgent.insert(id);
        }
    }
}
