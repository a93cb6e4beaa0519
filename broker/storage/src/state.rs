//! All that one log is, apart from its records: segments, offsets, epochs, producers.
//!
//! Pure, and the one place where these change: a leader's append, a follower's, and the replay of the commit log go
//! through the same functions and so arrive at the same state. Invariant: `log_start <= local_start <= end`, segments
//! ascend without overlap, the last one is active. Not here: files (set/), which batches are acceptable (set/append).

use std::sync::Arc;

use ottla_protocol::records::{BatchHeader, EndTxnMarker};

use crate::epochs::EpochCache;
use crate::index::TimeEntry;
use crate::producers::{AbortedTxn, Producers};
use crate::segment::{Indexed, Segment};

/// One log without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// First offset that may be read, wherever it lies (tiered storage may hold what is below `local_start`).
    pub log_start: i64,
    /// First offset that is kept on this disk.
    pub local_start: i64,
    /// Segments that are written to no more, ascending. Shared with readers, copied when it changes.
    pub sealed: Arc<Vec<Segment>>,
    /// The last segment.
    pub active: Segment,
    /// Leader epochs.
    pub epochs: EpochCache,
    /// Producers.
    pub producers: Producers,
}

/// What an append leaves to be written beside the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Index entries.
    pub indexed: Indexed,
    /// For `.txnindex`.
    pub aborted: Option<AbortedTxn>,
}

impl LogState {
    /// An empty log that begins at `start`.
    pub fn new(start: i64, now_ms: i64) -> Self {
        Self {
            log_start: start,
            local_start: start,
            sealed: Arc::default(),
            active: Segment::new(start, now_ms),
            epochs: EpochCache::default(),
            producers: Producers::default(),
        }
    }

    /// Offset of the next record.
    pub fn end(&self) -> i64 {
        self.active.end_offset
    }

    /// All segments, ascending.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.sealed.iter().chain([&self.active])
    }

    /// Bytes of all segments on this disk.
    pub fn size_bytes(&self) -> u64 {
        self.segments().map(|segment| u64::from(segment.len)).sum()
    }

    /// A batch goes to the end of the active segment; `marker` when it ends a transaction.
    pub fn append(
        &mut self,
        header: &BatchHeader,
        marker: Option<&EndTxnMarker>,
        index_interval_bytes: u32,
    ) -> Appended {
        self.epochs
            .begin(header.partition_leader_epoch, header.base_offset);
        let aborted = match marker {
            Some(marker) => self.producers.apply_marker(header, marker),
            None if header.attributes.is_control() => None,
            None => {
                self.producers.apply(header);
                None
            }
        };
        self.active.txn_entries += u32::from(aborted.is_some());
        Appended {
            indexed: self.active.append(header, index_interval_bytes),
            aborted,
        }
    }

    /// Seals the active segment and begins a new one at `base_offset`, the log end or, in a replicated log with a
    /// hole, behind it. Returns the entry that the sealed one's time index ends with.
    pub fn roll(&mut self, base_offset: i64, now_ms: i64) -> Option<TimeEntry> {
        assert!(
            base_offset >= self.end() && base_offset > self.active.base_offset,
            "a segment begins behind the one before"
        );
        let closing = self.active.index_time();
        let sealed = std::mem::replace(&mut self.active, Segment::new(base_offset, now_ms));
        Arc::make_mut(&mut self.sealed).push(sealed);
        closing
    }

    /// Raises the first offsets and forgets segments that lie wholly below the local one. Returns those.
    pub fn raise_start(&mut self, log_start: i64, local_start: i64) -> Vec<Segment> {
        self.log_start = self.log_start.max(log_start);
        self.local_start = self.local_start.max(local_start).max(self.log_start);
        self.epochs.truncate_start(self.log_start);
        let gone = self
            .sealed
            .iter()
            .take_while(|segment| segment.end_offset <= self.local_start)
            .count();
        if gone == 0 {
            return Vec::new();
        }
        Arc::make_mut(&mut self.sealed).drain(..gone).collect()
    }
}

#[cfg(test)]
mod tests;
