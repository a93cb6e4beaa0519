//! OffsetFetch on the wire had room for one group until v7 and for many since v8 (KIP-709). The coordinator knows the new shape only;
//! these functions turn the old one into it and back.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
};

const MANY_GROUPS_FROM: i16 = 8;
/// Before v2 there is no error beside those of the partitions, and "all topics" cannot be asked.
const GROUP_ERROR_FROM: i16 = 2;

/// The groups that a request of any version asks for.
pub fn groups_of(version: i16, request: OffsetFetchRequest) -> Vec<OffsetFetchRequestGroup> {
    if version >= MANY_GROUPS_FROM {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topic =
            |topic: ottla_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
                OffsetFetchRequestTopics {
                    name: topic.name,
                    partition_indexes: topic.partition_indexes,
                    ..Default::default()
                }
            };
        topics.into_iter().map(topic).collect()
    });
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..Default::default()
    }]
}

/// The response of any version from the answers for its groups. `asked` is what [`groups_of`] gave; it is needed for v1, where an
/// error of the group is told on every partition that was asked for.
pub fn response_of(
    version: i16,
    asked: &[OffsetFetchRequestGroup],
    groups: Vec<OffsetFetchResponseGroup>,
) -> OffsetFetchResponse {
    if version >= MANY_GROUPS_FROM {
        return OffsetFetchResponse {
            groups,
            ..Default::default()
        };
    }
    let Some(group) = groups.into_iter().next() else {
        return OffsetFetchResponse::default();
    };
    if group.error_code != ErrorCode::NONE && version < GROUP_ERROR_FROM {
        return OffsetFetchResponse {
            topics: all_with_error(asked, group.error_code),
            ..Default::default()
        };
    }
    let topics = group
        .topics
        .into_iter()
        .map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition| OffsetFetchResponsePartition {
                    partition_index: partition.partition_index,
                    committed_offset: partition.committed_offset,
                    committed_leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.metadata,
                    error_code: partition.error_code,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..Default::default()
    }
}

fn all_with_error(
    asked: &[OffsetFetchRequestGroup],
    error_code: ErrorCode,
) -> Vec<OffsetFetchResponseTopic> {
    let topics = asked
        .iter()
        .filter_map(|group| group.topics.as_ref())
        .flatten();
    let topic = |topic: &OffsetFetchRequestTopics| OffsetFetchResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partition_indexes
            .iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: *partition,
                committed_offset: -1,
                committed_leader_epoch: -1,
                metadata: Some(ottla_protocol::Str::default()),
                error_code,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    topics.map(topic).collect()
}
