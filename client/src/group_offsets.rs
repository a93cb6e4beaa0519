//! Committed offsets of a group: read and written at its coordinator, for `admin` and `consumer`.
//! Spoken by topic name (OffsetCommit and OffsetFetch up to v9): the ids of v10 would have to be looked up first, and gain nothing here.

use crate::cluster::{ByPartition, Cluster, Lane, TopicPartition};
use crate::error::{ClientError, Failure};
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use ottla_protocol::{ApiKey, ErrorCode, Str};
use std::collections::BTreeMap;

const LAST_VERSION_BY_NAME: i16 = 9;
/// From this version on OffsetFetch asks for many groups.
const MANY_GROUPS_FROM: i16 = 8;
/// From this version on a fetch can insist on offsets that no open transaction is about to change.
const REQUIRE_STABLE_FROM: i16 = 7;

/// One committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Epoch of the last record that was read; −1 if unknown.
    pub leader_epoch: i32,
    /// Whatever the committer wanted to keep.
    pub metadata: Str,
}

/// What a group has committed. Partitions without a committed offset are not in it.
pub type GroupOffsets = BTreeMap<TopicPartition, CommittedOffset>;

/// Who commits, for a member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    pub(crate) generation: i32,
    pub(crate) member_id: Str,
    pub(crate) instance_id: Option<Str>,
}

/// Reads committed offsets: of these partitions, or all.
pub(crate) async fn fetch(
    cluster: &Cluster,
    group: &Str,
    partitions: Option<&[TopicPartition]>,
    require_stable: bool,
) -> Result<GroupOffsets, ClientError> {
    cluster
        .retry(async || {
            let connection = cluster.coordinator(group, Lane::Coordinator).await?;
            let version = connection
                .version::<OffsetFetchRequest>()?
                .min(LAST_VERSION_BY_NAME);
            let request = fetch_request(version, group, partitions, require_stable);
            let limit = cluster.config().request_timeout;
            let fetched = match connection.call_at(&request, version, limit).await {
                Ok(response) => read_fetch(response),
                Err(error) => Err(error.into()),
            };
            fetched.inspect_err(|error| cluster.heed_group_error(group, error))
        })
        .await
}

fn fetch_request(
    version: i16,
    group: &Str,
    partitions: Option<&[TopicPartition]>,
    require_stable: bool,
) -> OffsetFetchRequest {
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
        partitions.iter().for_each(|(topic, partition)| {
            topics.entry(topic.clone()).or_default().push(*partition)
        });
        topics
    });
    let mut request = OffsetFetchRequest {
        require_stable: require_stable && version >= REQUIRE_STABLE_FROM,
        ..Default::default()
    };
    if version >= MANY_GROUPS_FROM {
        let topic = |(name, partition_indexes)| OffsetFetchRequestTopics {
            name,
            partition_indexes,
            ..Default::default()
        };
        let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.clone(),
            topics,
            ..Default::default()
        }];
    } else {
        let topic = |(name, partition_indexes)| OffsetFetchRequestTopic {
            name,
            partition_indexes,
            ..Default::default()
        };
        request.topics = topics.map(|topics| topics.into_iter().map(topic).collect());
        request.group_id = group.clone();
    }
    request
}

fn read_fetch(response: OffsetFetchResponse) -> Result<GroupOffsets, ClientError> {
    ClientError::check(ApiKey::OffsetFetch, response.error_code, None)?;
    let mut offsets = GroupOffsets::new();
    let mut take = |topic: &Str, partition: i32, error: ErrorCode, found: CommittedOffset| {
        ClientError::check(ApiKey::OffsetFetch, error, None)?;
        if found.offset >= 0 {
            offsets.insert((topic.clone(), partition), found);
        }
        Ok::<(), ClientError>(())
    };
    for topic in response.topics {
        for one in topic.partitions {
            let found = CommittedOffset {
                offset: one.committed_offset,
                leader_epoch: one.committed_leader_epoch,
                metadata: one.metadata.unwrap_or_default(),
            };
            take(&topic.name, one.partition_index, one.error_code, found)?;
        }
    }
    for group in response.groups {
        ClientError::check(ApiKey::OffsetFetch, group.error_code, None)?;
        for topic in group.topics {
            for one in topic.partitions {
                let found = CommittedOffset {
                    offset: one.committed_offset,
                    leader_epoch: one.committed_leader_epoch,
                    metadata: one.metadata.unwrap_or_default(),
                };
                take(&topic.name, one.partition_index, one.error_code, found)?;
            }
        }
    }
    Ok(offsets)
}

/// Commits offsets, as a member or (`None`) from outside of the group.
pub(crate) async fn commit(
    cluster: &Cluster,
    group: &Str,
    committer: Option<&Committer>,
    offsets: &GroupOffsets,
) -> Result<ByPartition<()>, ClientError> {
    let request = commit_request(group, committer, offsets);
    cluster
        .retry(async || {
            let connection = cluster.coordinator(group, Lane::Coordinator).await?;
            let version = connection
                .version::<OffsetCommitRequest>()?
                .min(LAST_VERSION_BY_NAME);
            let limit = cluster.config().request_timeout;
            let committed = match connection.call_at(&request, version, limit).await {
                Ok(response) => {
                    let mut answers = ByPartition::new();
                    for topic in response.topics {
                        for partition in topic.partitions {
                            let failure = Failure {
                                error: partition.error_code,
                                message: None,
                            };
                            if failure.error.is_retriable()
                                && failure.error != ErrorCode::REBALANCE_IN_PROGRESS
                            {
                                let error = ClientError::Refused {
                                    api: ApiKey::OffsetCommit,
                                    failure,
                                };
                                cluster.heed_group_error(group, &error);
                                return Err(error);
                            }
                            let answer = Failure::check(partition.error_code, None);
                            answers.insert((topic.name.clone(), partition.partition_index), answer);
                        }
                    }
                    Ok(answers)
                }
                Err(error) => Err(error.into()),
            };
            committed.inspect_err(|error| cluster.heed_group_error(group, error))
        })
        .await
}

fn commit_request(
    group: &Str,
    committer: Option<&Committer>,
    offsets: &GroupOffsets,
) -> OffsetCommitRequest {
    let mut topics: BTreeMap<Str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition), committed) in offsets {
        topics
            .entry(topic.clone())
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                committed_metadata: Some(committed.metadata.clone()),
                ..Default::default()
            });
    }
    let topic = |(name, partitions)| OffsetCommitRequestTopic {
        name,
        partitions,
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: group.clone(),
        generation_id_or_member_epoch: committer.map_or(-1, |committer| committer.generation),
        member_id: committer
            .map(|committer| committer.member_id.clone())
            .unwrap_or_default(),
        group_instance_id: committer.and_then(|committer| committer.instance_id.clone()),
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    }
}
