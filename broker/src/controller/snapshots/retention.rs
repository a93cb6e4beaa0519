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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_of(
        retention: SnapshotRetention,
        snapshots: &[(i64, u64, i64)],
        log_start: i64,
        log_bytes: u64,
    ) -> Vec<i64> {
        let id = |end_offset| SnapshotId {
            end_offset,
            epoch: 1,
        };
        let mut finished: BTreeMap<_, _> = snapshots
            .iter()
            .map(|&(end, bytes, last_contained_ms)| {
                (
                    id(end),
                    Finished {
                        bytes,
                        last_contained_ms,
                    },
                )
            })
            .collect();
        let (mut start, mut steps) = (log_start, Vec::new());
        while let Some(oldest) = retention.oldest_kept(&finished, start, log_bytes, 1000) {
            finished = finished.split_off(&oldest);
            start = oldest.end_offset;
            steps.push(start);
        }
        steps
    }

    const BY_BYTES: SnapshotRetention = SnapshotRetention {
        bytes_max: Some(100),
        age_max_ms: None,
    };
    const BY_AGE: SnapshotRetention = SnapshotRetention {
        bytes_max: None,
        age_max_ms: Some(500),
    };

    #[test]
    fn the_front_of_the_log_goes_before_the_first_snapshot_and_the_newest_never() {
        let two = [(10, 30, 0), (20, 30, 600)];
        // 60 bytes of snapshots and what the log takes.
        assert_eq!(kept_of(BY_BYTES, &two, 0, 40), [] as [i64; 0]);
        assert_eq!(kept_of(BY_BYTES, &two, 0, 50), [10, 20]);
        assert_eq!(kept_of(BY_BYTES, &two, 10, 50), [20]);
        assert_eq!(kept_of(BY_BYTES, &two, 20, 1000), [20]);
        assert_eq!(kept_of(BY_BYTES, &two[1..], 20, 1000), [] as [i64; 0]);
        assert_eq!(kept_of(BY_BYTES, &[], 0, 1000), [] as [i64; 0]);
    }

    #[test]
    fn a_snapshot_is_as_old_as_its_last_record() {
        assert_eq!(
            kept_of(BY_AGE, &[(10, 1, 400), (20, 1, 600)], 0, 0),
            [10, 20]
        );
        assert_eq!(
            kept_of(BY_AGE, &[(10, 1, 600), (20, 1, 900)], 0, 0),
            [] as [i64; 0]
        );
        assert_eq!(kept_of(BY_AGE, &[(10, 1, 0)], 0, 0), [10]);
    }
}
