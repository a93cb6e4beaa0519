//! Old segments go: by age, by size, and what lies below the log start (DeleteRecords).

use super::log::{Log, RetentionPolicy};
use super::{LogSet, NoSuchLog, Removal};
use crate::commit::Frame;
use crate::entry::LogId;
use crate::names::SegmentFile;
use crate::segment::Segment;

/// Why records were not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteRecordsError {
    /// → OFFSET_OUT_OF_RANGE
    #[error("offset {offset} is above the high watermark {high_watermark}")]
    AboveHighWatermark {
        /// Asked for.
        offset: i64,
        /// Largest that may be.
        high_watermark: i64,
    },
    /// → NOT_LEADER_OR_FOLLOWER
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
}

impl LogSet {
    /// Records below `before` may not be read any more (-1: below the high watermark). Returns the first offset, durable once the
    /// next group is. Segments that lie wholly below it go now.
    pub fn delete_records(
        &mut self,
        id: LogId,
        before: i64,
        now_ms: i64,
    ) -> Result<i64, DeleteRecordsError> {
        let log = self.logs.get(&id).ok_or(NoSuchLog(id))?;
        let high_watermark = log.high_watermark();
        let before = if before == -1 { high_watermark } else { before };
        if before > high_watermark || before < 0 {
            return Err(DeleteRecordsError::AboveHighWatermark {
                offset: before,
                high_watermark,
            });
        }
        if before > log.log_start() {
            self.raise_start(id, before, now_ms);
        }
        Ok(self.logs[&id].log_start())
    }

    /// A follower takes over its leader's log start.
    pub fn raise_log_start(
        &mut self,
        id: LogId,
        log_start: i64,
        now_ms: i64,
    ) -> Result<(), NoSuchLog> {
        let log = self.logs.get(&id).ok_or(NoSuchLog(id))?;
        let log_start = log_start.min(log.end());
        if log_start > log.log_start() {
            self.raise_start(id, log_start, now_ms);
        }
        Ok(())
    }

    /// Applies every log's retention.
    pub(super) fn retain(&mut self, now_ms: i64) {
        let due: Vec<(LogId, Old)> = self
            .logs
            .iter()
            .filter_map(|(&id, log)| old(log, now_ms).map(|old| (id, old)))
            .collect();
        for (id, old) in due {
            if old.seals_active {
                let end = self.logs[&id].end();
                self.roll(id, end, now_ms);
            }
            self.raise_start(id, old.start, now_ms);
            if old.seals_active && !self.logs[&id].bypasses_commit_log() {
                // The commit log tells of a new segment only by its first batch, which may be long in coming.
                self.put_frame(id);
            }
        }
    }

    fn raise_start(&mut self, id: LogId, start: i64, now_ms: i64) {
        let group = self.queue.frame(&Frame::Start {
            log: id,
            log_start: start,
            local_start: start,
        });
        let log = self.logs.get_mut(&id).expect("the caller has found it");
        let gone = log.entry.state.raise_start(start, start);
        let high_watermark = log.high_watermark();
        log.set_high_watermark(high_watermark);
        log.entry.is_stale_for_kafka = true;
        let due_ms = now_ms.saturating_add(log.config().file_delete_delay_ms);
        let after_due = Some((id, log.dues_pushed));
        let after_checkpoint = log.bypasses_commit_log();
        for segment in &gone {
            for kind in SegmentFile::ALL {
                let path = kind.path(&log.dir, segment.base_offset);
                self.removals.push(Removal {
                    due_ms,
                    after_group: group,
                    after_checkpoint,
                    after_due,
                    path,
                    is_dir: false,
                });
            }
        }
        self.changed.insert(id);
    }
}

struct Old {
    start: i64,
    seals_active: bool,
}

/// The start that retention leaves the log with, if it is another. Nothing above the high watermark goes.
fn old(log: &Log, now_ms: i64) -> Option<Old> {
    let state = log.state();
    let policy = log.config().retention.unwrap_or(RetentionPolicy {
        age_max_ms: None,
        bytes_max: None,
    });
    let mut excess = policy
        .bytes_max
        .map_or(0, |max| state.size_bytes().saturating_sub(max));
    let mut is_old = |segment: &Segment| {
        let by_age = policy
            .age_max_ms
            .is_some_and(|max| now_ms.saturating_sub(segment.retention_ms()) > max);
        let by_size = excess > 0 && excess >= u64::from(segment.len);
        excess -= if by_size { u64::from(segment.len) } else { 0 };
        (by_age || by_size || segment.end_offset <= log.log_start())
            && segment.end_offset <= log.high_watermark()
    };
    let gone = state
        .sealed
        .iter()
        .take_while(|segment| is_old(segment))
        .count();
    let active = &state.active;
    let seals_active = gone == state.sealed.len() && active.len > 0 && {
        let by_age = policy
            .age_max_ms
            .is_some_and(|max| now_ms.saturating_sub(active.retention_ms()) > max);
        by_age && active.end_offset <= log.high_watermark()
    };
    let start = match (seals_active, gone) {
        (true, _) => active.end_offset,
        (false, 0) => return None,
        (false, gone) => state.sealed[gone - 1].end_offset,
    };
    Some(Old {
        start: start.max(log.log_start()),
        seals_active,
    })
}
