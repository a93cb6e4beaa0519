//! How far the others are, as the leader knows it from their fetches.
//!
//! A voter's fetch offset is its acknowledgement: everything before is flushed there. An observer's says
//! only where it is. Invariant: nothing here outlives the leadership it was learned in.

use std::collections::{BTreeMap, BTreeSet};

use crate::voters::{ReplicaKey, VoterSet};

/// Who has not fetched for this long is forgotten; Kafka's bound.
const SESSION_MS: i64 = 300_000;

/// The time, twice: timeouts go by the one, what people read by the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub monotonic_ms: i64,
    /// Wall clock.
    pub wall_ms: i64,
}

/// One replica as the leader sees it: a line of `kafka-metadata-quorum describe --replication`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Who.
    pub key: ReplicaKey,
    /// End of its log; −1 if it has not fetched in this epoch.
    pub end_offset: i64,
    /// Wall clock of its last fetch, ms; −1 for none.
    pub last_fetch_ms: i64,
    /// Wall clock when it last had everything, ms; −1 for never.
    pub last_caught_up_ms: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Followers {
    by_key: BTreeMap<ReplicaKey, Progress>,
    /// Voters that fetched since a majority last had.
    fetched: BTreeSet<i32>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    end_offset: i64,
    last_fetch: Now,
    /// The leader's end at that fetch.
    end_at_last_fetch: i64,
    last_caught_up_ms: i64,
}

impl Followers {
    /// `replica` fetched from `offset` of a log that ends at `log_end`.
    pub(crate) fn fetched(&mut self, replica: ReplicaKey, offset: i64, log_end: i64, now: Now) {
        let before = self.by_key.get(&replica);
        let caught_up_before = before.map_or(-1, |progress| progress.last_caught_up_ms);
        // Caught up: at the end now, or where the end was when it fetched last, as of then.
        let last_caught_up_ms = if offset >= log_end {
            now.wall_ms
        } else {
            before
                .filter(|progress| offset >= progress.end_at_last_fetch)
                .map_or(caught_up_before, |progress| progress.last_fetch.wall_ms)
        };
        let progress = Progress {
            end_offset: offset,
            last_fetch: now,
            end_at_last_fetch: log_end,
            last_caught_up_ms,
        };
        self.by_key.insert(replica, progress);
        self.by_key
            .retain(|_, progress| now.monotonic_ms - progress.last_fetch.monotonic_ms < SESSION_MS);
    }

    /// True if with this fetch a majority has fetched since the last time this was true. `own` counts as one.
    pub(crate) fn completes_majority(&mut self, replica: ReplicaKey, voters: &VoterSet) -> bool {
        if voters.contains(replica) {
            self.fetched.insert(replica.id);
        }
        let complete = self.fetched.len() + 1 >= majority(voters);
        if complete {
            self.fetched.clear();
        }
        complete
    }

    /// The offset before which a majority of voters has everything, counting `own` with `own_flushed`.
    pub(crate) fn majority_offset(
        &self,
        voters: &VoterSet,
        own: ReplicaKey,
        own_flushed: i64,
    ) -> i64 {
        let mut ends: Vec<i64> = voters
            .keys()
            .map(|key| {
                if key == own {
                    own_flushed
                } else {
                    self.by_key
                        .get(&key)
                        .map_or(-1, |progress| progress.end_offset)
                }
            })
            .collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(majority(voters) - 1).copied().unwrap_or(-1)
    }

    /// Voters other than `own` that have not fetched since `since` (monotonic ms).
    pub(crate) fn silent(&self, voters: &VoterSet, own: ReplicaKey, since: i64) -> Vec<ReplicaKey> {
        let silent = |key: &ReplicaKey| {
            self.by_key
                .get(key)
                .is_none_or(|progress| progress.last_fetch.monotonic_ms <= since)
        };
        voters
            .keys()
            .filter(|key| *key != own && silent(key))
            .collect()
    }

    /// Voters other than `own`, those with the longest logs first.
    pub(crate) fn by_log(&self, voters: &VoterSet, own: ReplicaKey) -> Vec<ReplicaKey> {
        let mut others: Vec<ReplicaKey> = voters.keys().filter(|key| *key != own).collect();
        others.sort_by_key(|key| (std::cmp::Reverse(self.view(*key).end_offset), *key));
        others
    }

    pub(crate) fn view(&self, key: ReplicaKey) -> ReplicaView {
        let progress = self.by_key.get(&key);
        ReplicaView {
            key,
            end_offset: progress.map_or(-1, |progress| progress.end_offset),
            last_fetch_ms: progress.map_or(-1, |progress| progress.last_fetch.wall_ms),
            last_caught_up_ms: progress.map_or(-1, |progress| progress.last_caught_up_ms),
        }
    }

    /// Replicas that fetch and do not vote.
    pub(crate) fn observers(&self, voters: &VoterSet) -> impl Iterator<Item = ReplicaView> {
        self.by_key
            .keys()
            .filter(|key| !voters.contains(**key))
            .map(|key| self.view(*key))
    }
}

/// How many voters decide.
pub(crate) fn majority(voters: &VoterSet) -> usize {
    voters.len() / 2 + 1
}
