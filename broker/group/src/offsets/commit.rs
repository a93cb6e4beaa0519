//! OffsetCommit: what a commit writes. Who may commit is decided before.

use crate::call::commit_response;
use crate::config::GroupConfig;
use crate::record::{self, Record};
use ottla_protocol::ErrorCode;
use ottla_protocol::coordinator_records::{OffsetCommitKey, OffsetCommitValue};
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_commit_response::OffsetCommitResponse;

/// The records of a commit that is allowed, and its answer once they are committed. Partitions are judged one by one.
pub(crate) fn decide_commit(
    request: &OffsetCommitRequest,
    wall_ms: i64,
    config: &GroupConfig,
) -> (Vec<Record>, OffsetCommitResponse) {
    let expire_timestamp = if request.retention_time_ms == -1 {
        -1
    } else {
        wall_ms.saturating_add(request.retention_time_ms)
    };
    let mut records = Vec::new();
    for topic in &request.topics {
        for partition in topic
            .partitions
            .iter()
            .filter(|partition| fits(partition, config))
        {
            let key = OffsetCommitKey {
                group: request.group_id.clone(),
                topic: topic.name.clone(),
                partition: partition.partition_index,
            };
            records.push(record::offset_commit(
                &key,
                &value(topic, partition, wall_ms, expire_timestamp),
            ));
        }
    }
    let verdict = |partition: &OffsetCommitRequestPartition| {
        if fits(partition, config) {
            ErrorCode::NONE
        } else {
            ErrorCode::OFFSET_METADATA_TOO_LARGE
        }
    };
    (records, commit_response(request, verdict))
}

fn value(
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
    wall_ms: i64,
    expire_timestamp: i64,
) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        commit_timestamp: wall_ms,
        expire_timestamp,
        topic_id: topic.topic_id,
        ..Default::default()
    }
}

/// Kafka counts the metadata in UTF-16 units.
fn fits(partition: &OffsetCommitRequestPartition, config: &GroupConfig) -> bool {
    let Some(metadata) = &partition.committed_metadata else {
        return true;
    };
    metadata.len() <= config.offset_metadata_max
        || metadata.encode_utf16().count() <= config.offset_metadata_max
}
