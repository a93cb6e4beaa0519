//! What goes without being asked: offsets whose retention is over, groups that nobody uses, offsets of topics that are gone.

use crate::call::Now;
use crate::classic::Effect;
use crate::coordinator::{Coordinator, DeletedTopic};
use crate::in_flight::AfterCommit;
use crate::offsets;
use crate::record::{self, Record};
use crate::timers::Timer;

/// Records per append where many groups are touched at once; far below any `max.message.bytes`.
const RECORDS_PER_APPEND_MAX: usize = 1000;

impl Coordinator {
    /// The periodic look for offsets, and then groups, whose time is over.
    pub(super) fn expire(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.timers.set(
            Timer::Expiry,
            now.monotonic_ms
                .saturating_add(self.config.offsets_retention_check_interval_ms),
        );
        let mut records = Vec::new();
        let mut shells = Vec::new();
        for (group_id, group) in &self.groups {
            let retention_ms = self.config.offsets_retention_ms;
            let (expired, nothing_left) =
                offsets::decide_expiry(&self.offsets, group_id, group, now.wall_ms, retention_ms);
            let had_offsets = !expired.is_empty();
            records.extend(expired);
            if !nothing_left || !group.is_idle() {
                continue;
            }
            if group.recorded().is_none() && !had_offsets {
                shells.push(group_id.clone());
            } else {
                records.push(record::group_tombstone(group_id));
            }
        }
        shells.iter().for_each(|group_id| {
            self.groups.remove(group_id);
        });
        append_in_parts(records, effects);
    }

    /// Tombstones for the offsets of topics that are gone.
    pub(super) fn drop_topics(&self, topics: &[DeletedTopic], effects: &mut Vec<Effect>) {
        append_in_parts(
            offsets::decide_topics_deleted(&self.offsets, topics),
            effects,
        );
    }
}

fn append_in_parts(mut records: Vec<Record>, effects: &mut Vec<Effect>) {
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(RECORDS_PER_APPEND_MAX));
        effects.push(Effect::Append {
            group: None,
            records,
            after: AfterCommit::Nothing,
        });
        records = rest;
    }
}
