//! Fetches that wait for data: which ones, for which partitions, until when. Pure.
//!
//! Invariant: a waiter is listed under each of its partitions and under its deadline, or nowhere.
//! Not here: deciding whether a waiter has enough (the owner reads and decides).

use std::collections::{BTreeMap, BTreeSet};

use super::{Fetch, PartitionId};
use crate::rt::Instant;

/// Names a waiter; ids only grow, so the oldest waiter of a partition is served first.
pub type WaiterId = u64;

/// All fetches of one owner that wait.
#[derive(Default)]
pub struct Waiters {
    next_id: WaiterId,
    fetches: BTreeMap<WaiterId, Fetch>,
    by_partition: BTreeMap<PartitionId, BTreeSet<WaiterId>>,
    by_deadline: BTreeSet<(Instant, WaiterId)>,
}

impl Waiters {
    /// Lists `fetch` under its partitions and its deadline.
    pub fn add(&mut self, fetch: Fetch) {
        let id = self.next_id;
        self.next_id += 1;
        for want in &fetch.wants {
            self.by_partition
                .entry(want.partition)
                .or_default()
                .insert(id);
        }
        self.by_deadline.insert((fetch.deadline, id));
        self.fetches.insert(id, fetch);
    }

    /// Those that wait for `partition`, oldest first.
    pub fn of(&self, partition: PartitionId) -> Vec<WaiterId> {
        self.by_partition
            .get(&partition)
            .map(|ids| ids.iter().copied().collect())
            .unwrap_or_default()
    }

    /// What `id` waits for.
    pub fn fetch(&self, id: WaiterId) -> Option<&Fetch> {
        self.fetches.get(&id)
    }

    /// Takes `id` out.
    pub fn remove(&mut self, id: WaiterId) -> Option<Fetch> {
        let fetch = self.fetches.remove(&id)?;
        self.by_deadline.remove(&(fetch.deadline, id));
        for want in &fetch.wants {
            if let Some(ids) = self.by_partition.get_mut(&want.partition) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_partition.remove(&want.partition);
                }
            }
        }
        Some(fetch)
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out one waiter whose deadline has come.
    pub fn expired(&mut self, now: Instant) -> Option<Fetch> {
        let (deadline, id) = *self.by_deadline.first()?;
        if deadline > now {
            None
        } else {
            self.remove(id)
        }
    }
}
