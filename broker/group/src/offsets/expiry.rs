//! Offsets whose time is over: by retention (KIP-211), or because their topic is gone.

use crate::classic::ClassicGroup;
use crate::classic::RetentionStart;
use crate::coordinator::DeletedTopic;
use crate::offsets::delete::tombstone;
use crate::offsets::{Committed, Offsets};
use crate::record::Record;
use ottla_protocol::{Str, Uuid};

/// Tombstones for the expired offsets of one group; the flag says whether none will be left. An offset that an open transaction is
/// about to replace does not expire, or replay would see another order than the live coordinator did.
pub(crate) fn decide_expiry(
    offsets: &Offsets,
    group_id: &Str,
    group: &ClassicGroup,
    wall_ms: i64,
    retention_ms: i64,
) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    let mut nothing_left = !offsets.has_open(group_id);
    for (topic, partitions) in offsets.of_group(group_id).into_iter().flatten() {
        let start = group.retention_start(topic);
        for (partition, committed) in partitions {
            if is_expired(committed, start, wall_ms, retention_ms)
                && !offsets.is_open(group_id, topic, *partition)
            {
                records.push(tombstone(group_id, topic, *partition));
            } else {
                nothing_left = false;
            }
        }
    }
    (records, nothing_left)
}

fn is_expired(
    committed: &Committed,
    start: RetentionStart,
    wall_ms: i64,
    retention_ms: i64,
) -> bool {
    let start_ms = match start {
        RetentionStart::Never => return false,
        RetentionStart::Commit => committed.commit_timestamp_ms,
        RetentionStart::Since(since_ms) => since_ms,
    };
    if committed.expire_timestamp_ms != -1 {
        return wall_ms >= committed.expire_timestamp_ms;
    }
    wall_ms.saturating_sub(start_ms) >= retention_ms
}

/// Tombstones for all offsets of topics that are gone, in every group. An offset that was committed for another incarnation of a
/// topic of the same name stays.
pub(crate) fn decide_topics_deleted(offsets: &Offsets, topics: &[DeletedTopic]) -> Vec<Record> {
    let mut records = Vec::new();
    for group in offsets.groups() {
        for deleted in topics {
            let partitions = offsets
                .of_group(group)
                .and_then(|of_group| of_group.get(&deleted.name))
                .into_iter()
                .flatten();
            let of_it = partitions.filter(|(_, committed)| {
                committed.topic_id == Uuid::ZERO || committed.topic_id == deleted.id
            });
            records.extend(of_it.map(|(partition, _)| tombstone(group, &deleted.name, *partition)));
        }
    }
    records
}
