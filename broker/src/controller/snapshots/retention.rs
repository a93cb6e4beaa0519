//! Which snapshots stay: a pure decision.
//!
//! As in Kafka, log and snapshots together count against `metadata.max.retention.bytes`, a snapshot is as
//! old as the last record in it, and the newest always stays.

use std::collections::BTreeMap;

use ottla_broker_raft::SnapshotId;

use super::Finished;

/// `metadata.max.retention.bytes` and `metadata.max.retention.ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRetention {
    /// Bytes of log and snapshots above which the oldest go; `None` for no bound.
    pub bytes_max: Option<u64>,
    /// Age above which a snapshot goes; `None` for no bound.
    pub age_max_ms: Option<i64>,
}

impl SnapshotRetention {
    /// The snapshot that becomes the oldest, when something is to go: what is before it goes, and so do the
    /// log's records below its end. One step: asked again with the log as it is then, until it says `None`.
    pub fn oldest_kept(
        self,
        finished: &BTreeMap<SnapshotId, Finished>,
        log_start: i64,
        log_bytes: u64,
        now_ms: i64,
    ) -> Option<SnapshotId> {
        let (first, of_first) = finished.first_key_value()?;
        let bytes = log_bytes
            + finished
                .values()
                .map(|finished| finished.bytes)
                .sum::<u64>();
        let is_over = self.bytes_max.is_some_and(|max| bytes > max);
        let is_old = self
            .age_max_ms
            .is_some_and(|max| now_ms.saturating_sub(of_first.last_contained_ms) > max);
        if !is_over && !is_old {
            return None;
        }
        // The records that it holds go before it does.
        if log_start < first.end_offset {
            return Some(*first);
        }
        finished.keys().nth(1).copied()
    }
}
