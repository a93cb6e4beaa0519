//! The leader epochs of one log: where each began, and so where each ended (KIP-101, KIP-279).
//!
//! Invariant: epochs strictly ascend, start offsets never descend. Pure; written to
//! `leader-epoch-checkpoint` at a clean stop and kept in the manifest until then.

/// A leader epoch and its first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Leader epoch.
    pub epoch: i32,
    /// Offset of the first batch of this epoch.
    pub start_offset: i64,
}

/// An epoch and the offset after its last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest known epoch that is not larger than the one asked for.
    pub epoch: i32,
    /// Where it ends: the start of the next one, or the log end.
    pub end_offset: i64,
}

/// All epochs of one log, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochStart>,
}

impl EpochCache {
    /// Takes entries as read from a file. An entry that contradicts an earlier one is dropped together
    /// with all behind it: batches tell those epochs again.
    pub fn from_entries(entries: Vec<EpochStart>) -> Self {
        let mut cache = Self::default();
        for entry in entries {
            match cache.entries.last() {
                Some(last)
                    if entry.epoch <= last.epoch || entry.start_offset < last.start_offset =>
                {
                    break;
                }
                _ => cache.entries.push(entry),
            }
        }
        cache
    }

    /// Ascending.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<i32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// An epoch begins at `start_offset`. Entries of other epochs that began at or behind it had no batch and go: a leader
    /// that wrote nothing is followed by one that may still send batches of an earlier epoch (KIP-279). Returns whether
    /// anything changed; an epoch that is not newer than the latest that is left begins nothing.
    pub fn begin(&mut self, epoch: i32, start_offset: i64) -> bool {
        let is_known = |entry: &EpochStart| entry.epoch == epoch;
        if epoch < 0 || self.entries.last().is_some_and(is_known) {
            return false;
        }
        let before = self.entries.len();
        let keep = self
            .entries
            .partition_point(|entry| entry.start_offset < start_offset);
        self.entries.truncate(keep);
        if self.latest().is_some_and(|latest| epoch <= latest) {
            return keep < before;
        }
        self.entries.push(EpochStart {
            epoch,
            start_offset,
        });
        true
    }

    /// Where `epoch` ends, given the log end. For an epoch between two known ones: the end of the smaller.
    /// `None` when it is older than all, newer than all, or there are none.
    pub fn end_of(&self, epoch: i32, log_end: i64) -> Option<EpochEnd> {
        let newer = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let found = self.entries.get(newer.checked_sub(1)?)?;
        match self.entries.get(newer) {
            Some(next) => Some(EpochEnd {
                epoch: found.epoch,
                end_offset: next.start_offset,
            }),
            None if found.epoch == epoch => Some(EpochEnd {
                epoch,
                end_offset: log_end,
            }),
            None => None,
        }
    }

    /// The epoch of the batch that holds `offset`.
    pub fn epoch_of(&self, offset: i64) -> Option<i32> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        self.entries
            .get(after.checked_sub(1)?)
            .map(|entry| entry.epoch)
    }

    /// The log now ends at `end`: epochs that began at or behind it go.
    pub fn truncate_end(&mut self, end: i64) {
        self.entries.retain(|entry| entry.start_offset < end);
    }

    /// The log now starts at `start`: epochs that ended there or before go; the one that holds `start`
    /// begins there now.
    pub fn truncate_start(&mut self, start: i64) {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= start);
        if let Some(holder) = after.checked_sub(1) {
            self.entries.drain(..holder);
            self.entries[0].start_offset = start;
        }
    }

    /// Nothing is left.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache::from_entries(
            entries
                .iter()
                .map(|&(epoch, start_offset)| EpochStart {
                    epoch,
                    start_offset,
                })
                .collect(),
        )
    }

    fn end(cache: &EpochCache, epoch: i32) -> Option<(i32, i64)> {
        cache
            .end_of(epoch, 100)
            .map(|end| (end.epoch, end.end_offset))
    }

    #[test]
    fn ends_are_the_next_ones_starts() {
        let epochs = cache(&[(2, 0), (5, 10), (6, 30)]);
        assert_eq!(end(&epochs, 1), None);
        assert_eq!(end(&epochs, 2), Some((2, 10)));
        assert_eq!(end(&epochs, 4), Some((2, 10)));
        assert_eq!(end(&epochs, 5), Some((5, 30)));
        assert_eq!(end(&epochs, 6), Some((6, 100)));
        assert_eq!(end(&epochs, 7), None);
        assert_eq!(
            (epochs.epoch_of(9), epochs.epoch_of(10), epochs.epoch_of(99)),
            (Some(2), Some(5), Some(6))
        );
    }

    #[test]
    fn empty_epochs_leave_no_trace() {
        let mut epochs = cache(&[(2, 0)]);
        assert!(epochs.begin(3, 10));
        assert!(epochs.begin(4, 10));
        assert!(!epochs.begin(4, 12));
        assert!(!epochs.begin(-1, 12));
        assert_eq!(epochs, cache(&[(2, 0), (4, 10)]));
    }

    #[test]
    fn a_batch_of_an_earlier_epoch_ends_one_that_was_only_begun() {
        let mut epochs = cache(&[(4, 0), (5, 10)]);
        assert!(epochs.begin(4, 10));
        assert_eq!(epochs, cache(&[(4, 0)]));
        let mut epochs = cache(&[(2, 0), (5, 10)]);
        assert!(epochs.begin(3, 10));
        assert_eq!(epochs, cache(&[(2, 0), (3, 10)]));
        assert!(!epochs.begin(2, 20), "the batches of epoch 3 are there");
    }

    #[test]
    fn truncation_at_both_ends() {
        let full = cache(&[(2, 0), (5, 10), (6, 30)]);
        let mut epochs = full.clone();
        epochs.truncate_end(10);
        assert_eq!(epochs, cache(&[(2, 0)]));
        let mut epochs = full.clone();
        epochs.truncate_start(12);
        assert_eq!(epochs, cache(&[(5, 12), (6, 30)]));
        let mut epochs = full;
        epochs.truncate_start(30);
        assert_eq!(epochs, cache(&[(6, 30)]));
    }

    #[test]
    fn nonsense_in_a_file_ends_the_reading() {
        assert_eq!(cache(&[(1, 0), (1, 5), (2, 9)]), cache(&[(1, 0)]));
        assert_eq!(cache(&[(1, 7), (2, 5)]), cache(&[(1, 7)]));
    }
}
