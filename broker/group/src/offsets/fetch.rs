//! OffsetFetch: what is committed for one group.

use crate::offsets::{Committed, Offsets};
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_protocol::{ErrorCode, Str, Uuid};

const NO_OFFSET: i64 = -1;
const NO_LEADER_EPOCH: i32 = -1;

/// Answers for one group; a group or partition without a committed offset is told as −1, which is no error. A commit made for
/// another incarnation of the topic does not count.
pub(crate) fn fetch(
    offsets: &Offsets,
    request: &OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let group = &request.group_id;
    let topics = match &request.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| fetch_topic(offsets, group, topic, require_stable))
            .collect(),
        None => fetch_all(offsets, group, require_stable),
    };
    OffsetFetchResponseGroup {
        group_id: group.clone(),
        topics,
        ..Default::default()
    }
}

fn fetch_topic(
    offsets: &Offsets,
    group: &Str,
    topic: &OffsetFetchRequestTopics,
    require_stable: bool,
) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|partition| {
        if require_stable && offsets.is_open(group, &topic.name, *partition) {
            return unstable(*partition);
        }
        match offsets.get(group, &topic.name, *partition) {
            Some(committed) if same_topic(committed.topic_id, topic.topic_id) => {
                known(*partition, committed)
            }
            Some(_) | None => unknown(*partition),
        }
    });
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn fetch_all(
    offsets: &Offsets,
    group: &Str,
    require_stable: bool,
) -> Vec<OffsetFetchResponseTopics> {
    let Some(topics) = offsets.of_group(group) else {
        return Vec::new();
    };
    let topic = |(name, partitions): (&Str, &std::collections::BTreeMap<i32, Committed>)| {
        OffsetFetchResponseTopics {
            name: name.clone(),
            topic_id: partitions
                .values()
                .next()
                .map(|committed| committed.topic_id)
                .unwrap_or_default(),
            partitions: partitions
                .iter()
                .map(|(partition, committed)| {
                    if require_stable && offsets.is_open(group, name, *partition) {
                        unstable(*partition)
                    } else {
                        known(*partition, committed)
                    }
                })
                .collect(),
            ..Default::default()
        }
    };
    topics.iter().map(topic).collect()
}

fn same_topic(committed: Uuid, asked: Uuid) -> bool {
    committed == asked || committed == Uuid::ZERO || asked == Uuid::ZERO
}

fn known(partition: i32, committed: &Committed) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: committed.offset,
        committed_leader_epoch: committed.leader_epoch,
        metadata: Some(committed.metadata.clone()),
        ..Default::default()
    }
}

fn unknown(partition: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: NO_OFFSET,
        committed_leader_epoch: NO_LEADER_EPOCH,
        metadata: Some(Str::default()),
        ..Default::default()
    }
}

fn unstable(partition: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UNSTABLE_OFFSET_COMMIT,
        ..unknown(partition)
    }
}
