//! What has been handed out for appending and is not committed yet, and who waits for it.
//!
//! Invariant: entries are in log order, so the high watermark releases a prefix. A read that may have seen uncommitted state waits
//! with the newest append of its group, so nobody is ever told of an offset that a crash could take back. Waiting ends after a while
//! (the waiting are told that it is not known); the entry itself stays until it is committed or the coordinator resigns.

use crate::call::{AppendId, Reply};
use bytes::Bytes;
use ottla_protocol::Str;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What to do once an append is committed, or has failed.
#[derive(Clone, Debug)]
pub(crate) enum AfterCommit {
    /// Nobody waits.
    Nothing,
    /// Send this reply.
    Reply(Reply),
    /// The leader's assignment is durable: hand it to the members, if the group is still in that generation.
    Assignment {
        generation: i32,
        assignments: BTreeMap<Str, Bytes>,
    },
}

/// One append on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: AppendId,
    /// `None` for records of many groups (expired offsets, deleted topics); no reply depends on those.
    pub(crate) group: Option<Str>,
    pub(crate) after: AfterCommit,
    /// Reads that wait for it.
    pub(crate) readers: Vec<Reply>,
    /// Offset after the last record; `None` until the shell has appended.
    end_offset: Option<i64>,
    /// Monotonic; `None` when nobody waits any more.
    deadline_ms: Option<i64>,
}

/// The queue of appends on their way.
#[derive(Debug, Default)]
pub(crate) struct InFlights {
    queue: VecDeque<InFlight>,
    newest_by_group: BTreeMap<Str, AppendId>,
    deadlines: BTreeSet<(i64, AppendId)>,
}

impl InFlights {
    pub(crate) fn push(
        &mut self,
        id: AppendId,
        group: Option<Str>,
        after: AfterCommit,
        deadline_ms: i64,
    ) {
        if let Some(group) = &group {
            self.newest_by_group.insert(group.clone(), id);
        }
        let deadline_ms = match after {
            AfterCommit::Nothing => None,
            AfterCommit::Reply(_) | AfterCommit::Assignment { .. } => Some(deadline_ms),
        };
        self.deadlines
            .extend(deadline_ms.map(|deadline_ms| (deadline_ms, id)));
        self.queue.push_back(InFlight {
            id,
            group,
            after,
            readers: Vec::new(),
            end_offset: None,
            deadline_ms,
        });
    }

    /// Notes where an append ended.
    pub(crate) fn appended(&mut self, id: AppendId, end_offset: i64) {
        if let Some(entry) = self.entry(id) {
            entry.end_offset = Some(end_offset);
        }
    }

    /// Takes one append out of the queue, wherever it stands: it has failed.
    pub(crate) fn take(&mut self, id: AppendId) -> Option<InFlight> {
        let index = self.position(id)?;
        let entry = self.queue.remove(index)?;
        self.forget(&entry);
        Some(entry)
    }

    /// The oldest append that the high watermark has passed.
    pub(crate) fn pop_committed(&mut self, high_watermark: i64) -> Option<InFlight> {
        let end_offset = self.queue.front()?.end_offset?;
        if end_offset > high_watermark {
            None
        } else {
            self.pop()
        }
    }

    /// Takes the waiting (not the entry) of one append whose time is over: its group, what would have followed, and the reads.
    pub(crate) fn pop_due(
        &mut self,
        now_ms: i64,
    ) -> Option<(Option<Str>, AfterCommit, Vec<Reply>)> {
        let (deadline_ms, id) = *self.deadlines.first()?;
        if deadline_ms > now_ms {
            return None;
        }
        self.deadlines.pop_first();
        let entry = self.entry(id)?;
        entry.deadline_ms = None;
        let after = std::mem::replace(&mut entry.after, AfterCommit::Nothing);
        Some((
            entry.group.clone(),
            after,
            std::mem::take(&mut entry.readers),
        ))
    }

    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    pub(crate) fn pop(&mut self) -> Option<InFlight> {
        let entry = self.queue.pop_front()?;
        self.forget(&entry);
        Some(entry)
    }

    /// Lets a read of `group` wait until everything that it may have seen is committed; gives it back when nothing is on its way.
    pub(crate) fn wait_with_newest(
        &mut self,
        group: &Str,
        reply: Reply,
        deadline_ms: i64,
    ) -> Option<Reply> {
        let Some(id) = self.newest_by_group.get(group).copied() else {
            return Some(reply);
        };
        let Some(entry) = self.entry(id) else {
            return Some(reply);
        };
        entry.readers.push(reply);
        if entry.deadline_ms.is_none() {
            entry.deadline_ms = Some(deadline_ms);
            self.deadlines.insert((deadline_ms, id));
        }
        None
    }

    fn forget(&mut self, entry: &InFlight) {
        if let Some(deadline_ms) = entry.deadline_ms {
            self.deadlines.remove(&(deadline_ms, entry.id));
        }
        if let Some(group) = &entry.group
            && self.newest_by_group.get(group) == Some(&entry.id)
        {
            self.newest_by_group.remove(group);
        }
    }

    fn entry(&mut self, id: AppendId) -> Option<&mut InFlight> {
        self.position(id)
            .and_then(|index| self.queue.get_mut(index))
    }

    fn position(&self, id: AppendId) -> Option<usize> {
        self.queue.binary_search_by_key(&id, |entry| entry.id).ok()
    }
}
