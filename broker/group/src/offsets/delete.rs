//! OffsetDelete (KIP-496), and the offsets' part of DeleteGroups.

use crate::classic::ClassicGroup;
use crate::offsets::Offsets;
use crate::record::{self, Record};
use ottla_protocol::coordinator_records::OffsetCommitKey;
use ottla_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_protocol::{ErrorCode, Str};

/// Deletes single offsets of a group. Topics that the group reads are refused; an offset that is not there is as good as deleted.
pub(crate) fn decide_delete(
    offsets: &Offsets,
    group: Option<&ClassicGroup>,
    request: &OffsetDeleteRequest,
) -> (Vec<Record>, OffsetDeleteResponse) {
    let allowed = group
        .ok_or(ErrorCode::GROUP_ID_NOT_FOUND)
        .and_then(|group| group.may_delete_offsets().map(|()| group));
    let group = match allowed {
        Ok(group) => group,
        Err(error_code) => {
            return (
                Vec::new(),
                OffsetDeleteResponse {
                    error_code,
                    ..Default::default()
                },
            );
        }
    };
    let mut records = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let error_code = if group.reads_topic(&topic.name) {
            ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC
        } else {
            ErrorCode::NONE
        };
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            });
        topics.push(OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        });
        if error_code == ErrorCode::NONE {
            let known = topic
                .partitions
                .iter()
                .map(|partition| partition.partition_index);
            let known = known.filter(|partition| {
                offsets
                    .get(&request.group_id, &topic.name, *partition)
                    .is_some()
            });
            records.extend(
                known.map(|partition| tombstone(&request.group_id, &topic.name, partition)),
            );
        }
    }
    (
        records,
        OffsetDeleteResponse {
            topics,
            ..Default::default()
        },
    )
}

/// Tombstones for everything that a group has committed.
pub(crate) fn decide_delete_all(offsets: &Offsets, group: &Str) -> Vec<Record> {
    let topics = offsets.of_group(group).into_iter().flatten();
    topics
        .flat_map(|(topic, partitions)| {
            partitions
                .keys()
                .map(|partition| tombstone(group, topic, *partition))
        })
        .collect()
}

pub(crate) fn tombstone(group: &Str, topic: &Str, partition: i32) -> Record {
    let key = OffsetCommitKey {
        group: group.clone(),
        topic: topic.clone(),
        partition,
    };
    record::offset_tombstone(&key)
}
