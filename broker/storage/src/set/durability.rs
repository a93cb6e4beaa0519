//! Two ways of being durable, and the change from one to the other.
//!
//! With fsync durability the commit log is the truth and a log's files follow; with page-cache durability the files are, from
//! where the last checkpoint left them. What a start believes is what the commit log was told last (`entry.durability`), and
//! appends go by that; what the owner wishes is in the configuration. Invariant: the two are made one only at a moment when
//! both truths say the same: to page-cache when the files hold no byte that is not the log's, to fsync when they hold every byte,
//! synced. A finished checkpoint is such a moment. A log that was truncated goes by the commit log until then, whatever was
//! asked for. Not here: what a start makes of it (dir/page_cache.rs).

use super::LogSet;
use super::commit::Flushed;
use super::log::Log;
use crate::entry::{Durability, LogId};

impl Log {
    /// What was asked for is not what the commit log was told.
    pub(super) fn is_changing(&self) -> bool {
        self.entry.durability != self.config().durability
    }

    /// Its appends go to its files only, and a start reads them there.
    pub(super) fn bypasses_commit_log(&self) -> bool {
        self.entry.durability == Durability::PageCache
    }

    /// Nothing of it is on its way to the files, or in the page cache only.
    fn is_settled(&self) -> bool {
        self.due.is_empty() && self.dues_written == self.dues_pushed && self.unsynced.is_empty()
    }
}

impl LogSet {
    /// Notes whether the log's durability has to change; the next checkpoint sees to it.
    pub(super) fn adjust_durability(&mut self, id: LogId) {
        match self.logs[&id].is_changing() {
            true => {
                self.changing.insert(id);
                self.changed.insert(id);
                self.checkpoint.hurry();
            }
            false => drop(self.changing.remove(&id)),
        }
    }

    /// A log that was promised fsync has records that are only in the page cache. They are not acknowledged, and new ones wait, or
    /// it would never catch up.
    pub(super) fn awaits_durability(&self) -> bool {
        self.changing
            .iter()
            .any(|id| self.logs[id].bypasses_commit_log())
    }

    /// A checkpoint is done: the commit log is told of the durability that was asked for, where that is true now.
    pub(super) fn change_durabilities(&mut self) {
        for id in std::mem::take(&mut self.changing) {
            let log = &self.logs[&id];
            let is_ready = match log.config().durability {
                Durability::Fsync => log.is_settled(),
                // A truncation begins with no checkpoint under way, so this one has its cuts; what was appended since is in the
                // commit log, in front of what tells it to.
                Durability::PageCache => true,
            };
            match is_ready {
                true => self.tell_durability(id),
                false => self.adjust_durability(id),
            }
        }
    }

    /// The commit log is told; files are written to only behind that.
    pub(super) fn tell_durability(&mut self, id: LogId) {
        let log = self.logs.get_mut(&id).expect("the caller has found it");
        log.entry.durability = log.config().durability;
        if log.flushed_end < log.written_end {
            log.flushed_end = log.written_end;
            self.untold.push(Flushed {
                log: id,
                end_offset: log.flushed_end,
            });
        }
        let group = self.put_frame(id);
        let log = self.logs.get_mut(&id).expect("it was just there");
        log.first_group = group;
    }
}
