//! What Apache Kafka expects in a partition directory and we keep in memory and manifest meanwhile.

use super::LogSet;
use super::log::{Due, DueWrite, Log};
use crate::layout::render_epoch_checkpoint;
use crate::names::{LEADER_EPOCH_CHECKPOINT, SegmentFile};

impl LogSet {
    /// Queues, for every log that was changed since Kafka could last have read it: the ends of its indexes, its leader
    /// epochs, and its producers as of the log end. Logs that were never written to get their directory.
    pub(super) fn finish_for_kafka(&mut self, now_ms: i64) {
        let stale = |log: &Log| log.entry.is_stale_for_kafka || !log.entry.has_dir;
        let ids: Vec<_> = self
            .logs
            .iter()
            .filter(|(_, log)| stale(log))
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            let log = self.logs.get_mut(&id).expect("it was just listed");
            let mut due = log.close_active(0);
            let state = &log.entry.state;
            let epochs = render_epoch_checkpoint(state.epochs.entries())
                .into_bytes()
                .into();
            let snapshot = SegmentFile::Snapshot.path(&log.dir, state.end());
            let producers = state.producers.to_snapshot().into();
            for (path, bytes) in [
                (log.dir.join(LEADER_EPOCH_CHECKPOINT), epochs),
                (snapshot, producers),
            ] {
                let what = DueWrite::whole(path, bytes);
                due.push(Due { group: 0, what });
            }
            log.entry.is_stale_for_kafka = false;
            self.changed.insert(id);
            for due in due {
                self.push_due(id, due, now_ms);
            }
        }
    }
}
