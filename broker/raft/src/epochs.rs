//! Leader epochs of the metadata log and where they begin: what truncation and divergence are decided by.
//!
//! Invariant: epochs and start offsets both rise.

/// The first offset of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: i32,
    /// Offset of its first record.
    pub start: i64,
}

/// All epochs of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    starts: Vec<EpochStart>,
}

impl Epochs {
    /// From the starts in rising order; others are left out.
    pub fn new(starts: impl IntoIterator<Item = EpochStart>) -> Self {
        let mut epochs = Self::default();
        for start in starts {
            epochs.assign(start.epoch, start.start);
        }
        epochs
    }

    /// Notes that `epoch` has records from `start` on, unless it or a later one is known already.
    pub fn assign(&mut self, epoch: i32, start: i64) {
        if self
            .latest()
            .is_none_or(|latest| latest.epoch < epoch && latest.start <= start)
        {
            self.starts.push(EpochStart { epoch, start });
        }
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<EpochStart> {
        self.starts.last().copied()
    }

    /// Drops what begins at or after `end`.
    pub fn truncate(&mut self, end: i64) {
        self.starts.retain(|start| start.start < end);
    }

    /// Drops what ended at or before `start`; the epoch that holds it begins there now.
    pub fn truncate_start(&mut self, start: i64) {
        let after = self.starts.partition_point(|known| known.start <= start);
        if let Some(holder) = after.checked_sub(1) {
            self.starts.drain(..holder);
            self.starts[0].start = start;
        }
    }

    /// The largest epoch that is not above `epoch`, and the offset after its last record in a log that
    /// ends at `log_end` (KIP-101). `None` if every known epoch is above it.
    pub fn end_of(&self, epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        let next = self.starts.partition_point(|start| start.epoch <= epoch);
        let found = self.starts.get(next.checked_sub(1)?)?;
        Some((
            found.epoch,
            self.starts.get(next).map_or(log_end, |start| start.start),
        ))
    }
}
