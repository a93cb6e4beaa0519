//! Checkpoints: what was written out becomes durable in its own files, so that the commit log can be used again.
//!
//! ```text
//! idle ──capture──▶ draining ──all written out──▶ syncing ──all synced──▶ writing the manifest ──▶ idle, groups released
//! ```
//! The capture takes the state of every changed log at the end of one group. Whatever comes later is replayed on top of it, so
//! nothing waits for a checkpoint except room in the commit log.

use std::collections::{BTreeMap, VecDeque};

use super::LogSet;
use super::flight::Flight;
use crate::disk::{DiskOp, Lane};
use crate::entry::{Entry, LogId};

/// fdatasyncs of one checkpoint at a time: enough to keep a disk busy, few enough that commits get their turn.
const SYNCS_AT_ONCE: usize = 2;

pub(super) struct Checkpoint {
    phase: Phase,
    is_hurried: bool,
    last_ms: i64,
}

enum Phase {
    Idle,
    /// Waits until the group is durable and these logs have written out what they had at the capture.
    Draining {
        captured: Captured,
        waiting: BTreeMap<LogId, u64>,
    },
    Syncing {
        captured: Captured,
        rest: VecDeque<(Option<LogId>, DiskOp)>,
    },
    Writing {
        sequence: u64,
    },
}

struct Captured {
    sequence: u64,
    /// The last group that tells of the removal of a log that was captured. What the released groups have of it is not in its
    /// files, so it must be gone for good before they are.
    last_removal: u64,
    entries: BTreeMap<LogId, Entry>,
    removed: Vec<LogId>,
}

impl Checkpoint {
    pub(super) fn idle() -> Self {
        Self {
            phase: Phase::Idle,
            is_hurried: false,
            last_ms: i64::MIN,
        }
    }

    /// Have one as soon as possible.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether it cannot go on before this group is durable.
    pub(super) fn waits_for(&self, sequence: u64) -> bool {
        match &self.phase {
            Phase::Draining { captured, .. } | Phase::Syncing { captured, .. } => {
                captured.needed() >= sequence
            }
            Phase::Idle | Phase::Writing { .. } => false,
        }
    }

    /// A log is gone, as `group` tells: a checkpoint under way must not bring it back.
    pub(super) fn forget(&mut self, id: LogId, group: u64) {
        if let Phase::Draining { waiting, .. } = &mut self.phase {
            waiting.remove(&id);
        }
        match &mut self.phase {
            Phase::Draining { captured, .. } | Phase::Syncing { captured, .. } => {
                if captured.entries.remove(&id).is_some() {
                    captured.last_removal = group;
                }
            }
            Phase::Idle | Phase::Writing { .. } => {}
        }
    }
}

impl Captured {
    /// The last group that must be durable before the manifest is written.
    fn needed(&self) -> u64 {
        self.sequence.max(self.last_removal)
    }
}

impl LogSet {
    /// Begins a checkpoint when one is due.
    pub(super) fn begin_checkpoint(&mut self, now_ms: i64) {
        if !self.checkpoint.is_idle() || self.has_no_space || self.health().is_dead() {
            return;
        }
        if self.checkpoint.last_ms == i64::MIN {
            self.checkpoint.last_ms = now_ms;
        }
        let is_full =
            self.ring.used_bytes() > self.commit_log_bytes_max / 3 && !self.changed.is_empty();
        let is_time = now_ms.saturating_sub(self.checkpoint.last_ms) >= self.limits.checkpoint_ms
            && !self.changed.is_empty();
        if !(is_full || is_time || self.checkpoint.is_hurried) {
            return;
        }
        self.checkpoint.is_hurried = false;
        self.checkpoint.last_ms = now_ms;
        let sequence = self.queue.close_group();
        let mut captured = Captured {
            sequence,
            last_removal: 0,
            entries: BTreeMap::new(),
            removed: Vec::new(),
        };
        let mut waiting = BTreeMap::new();
        for id in std::mem::take(&mut self.changed) {
            let Some(log) = self.logs.get_mut(&id) else {
                captured.removed.push(id);
                continue;
            };
            let due = log.take_unindexed(sequence);
            for due in due {
                self.push_due(id, due, now_ms);
            }
            let log = &self.logs[&id];
            captured.entries.insert(id, log.described());
            waiting.insert(id, log.dues_pushed);
        }
        self.checkpoint.phase = Phase::Draining { captured, waiting };
        self.checkpoint_step(now_ms);
    }

    /// Goes on as far as it can.
    pub(super) fn checkpoint_step(&mut self, now_ms: i64) {
        match &mut self.checkpoint.phase {
            Phase::Idle | Phase::Writing { .. } => {}
            Phase::Draining { captured, waiting } => {
                waiting.retain(|id, target| {
                    self.logs
                        .get(id)
                        .is_some_and(|log| log.dues_written < *target)
                });
                self.urgent
                    .extend(waiting.keys().filter(|id| !self.logs[id].due.is_empty()));
                let is_drained = waiting.is_empty() && self.queue.durable() >= captured.sequence;
                if is_drained {
                    self.begin_syncing();
                    self.checkpoint_step(now_ms);
                } else {
                    self.write_out(now_ms);
                }
            }
            Phase::Syncing { captured, rest } => {
                let under_way = self
                    .flights
                    .count(|flight| matches!(flight, Flight::Sync(_)));
                for _ in under_way..SYNCS_AT_ONCE {
                    let Some((log, op)) = rest.pop_front() else {
                        break;
                    };
                    self.flights
                        .start(Flight::Sync(log), self.dir.disk().submit(Lane::Any, op));
                }
                // A directory that neither the manifest nor the commit log knows is somebody's gift (dir/kafka.rs): before a
                // log is forgotten, its directory must have the name of a deleted one, durably.
                let needed = captured.needed();
                let is_awaited = |flight: &Flight| match flight {
                    Flight::Sync(_) => true,
                    Flight::Retiring(group) => *group <= needed,
                    _ => false,
                };
                let is_told = self.queue.durable() >= needed;
                if is_told && rest.is_empty() && self.flights.count(is_awaited) == 0 {
                    self.write_manifest();
                }
            }
        }
    }

    fn begin_syncing(&mut self) {
        let Phase::Draining { captured, .. } =
            std::mem::replace(&mut self.checkpoint.phase, Phase::Idle)
        else {
            unreachable!("only a drained checkpoint syncs");
        };
        let mut rest = VecDeque::new();
        let mut makes_dirs = false;
        for id in captured.entries.keys() {
            let Some(log) = self.logs.get_mut(id) else {
                continue;
            };
            if log.unsynced.is_empty() {
                continue;
            }
            // One after the other on one thread: a log's small index syncs ride on the journal commit of its data.
            let mut steps: Vec<DiskOp> = std::mem::take(&mut log.unsynced)
                .into_iter()
                .map(DiskOp::SyncData)
                .collect();
            steps.push(DiskOp::SyncDir(log.dir.to_path_buf()));
            log.unsynced_records = 0;
            makes_dirs |= !log.has_durable_dir;
            rest.push_back((Some(*id), DiskOp::Sequence(steps)));
        }
        if makes_dirs {
            rest.push_back((None, DiskOp::SyncDir(self.dir.path().to_owned())));
        }
        self.checkpoint.phase = Phase::Syncing { captured, rest };
    }

    fn write_manifest(&mut self) {
        let Phase::Syncing { captured, .. } =
            std::mem::replace(&mut self.checkpoint.phase, Phase::Idle)
        else {
            unreachable!("only a synced checkpoint is written down");
        };
        let Captured {
            sequence,
            mut entries,
            removed,
            ..
        } = captured;
        for (id, entry) in &mut entries {
            if let Some(log) = self.logs.get_mut(id) {
                log.has_durable_dir = log.entry.has_dir;
                entry.has_dir = log.entry.has_dir;
            }
        }
        let completion = self
            .dir
            .write_manifest(self.lane, sequence, entries.values(), &removed);
        self.flights.start(Flight::Manifest, completion);
        self.checkpoint.phase = Phase::Writing { sequence };
    }

    /// The manifest could not be written for lack of space: the next one says the same and more.
    pub(super) fn checkpoint_is_lost(&mut self) {
        self.checkpoint.phase = Phase::Idle;
        self.checkpoint.hurry();
    }

    /// The manifest is durable.
    pub(super) fn checkpoint_is_done(&mut self) {
        if let Phase::Writing { sequence } =
            std::mem::replace(&mut self.checkpoint.phase, Phase::Idle)
        {
            self.ring.release(sequence);
            self.released = sequence;
            self.change_durabilities();
        }
    }
}
