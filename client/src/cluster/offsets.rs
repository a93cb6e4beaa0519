//! ListOffsets: where a partition begins and ends, and which offset belongs to a time.

use crate::cluster::Cluster;
use crate::cluster::leaders::{ByPartition, Part, TopicPartition, by_topic};
use crate::connection::Connection;
use crate::error::{ClientError, Failure};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::messages::list_offsets_response::ListOffsetsResponse;
use std::collections::BTreeMap;

/// Which offset is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset that can be read.
    Earliest,
    /// The offset after the last record (the last stable one under read_committed).
    Latest,
    /// The first record at or after this time, in ms since the epoch.
    AtTime(i64),
    /// The record with the greatest timestamp.
    MaxTimestamp,
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::AtTime(timestamp) => timestamp,
        }
    }
}

/// An answer of ListOffsets. No record at or after the time asked for: offset −1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: i64,
    /// Of the record, for `AtTime` and `MaxTimestamp`; else −1.
    pub timestamp: i64,
    /// Epoch of the leader that wrote the record; −1 if unknown.
    pub leader_epoch: i32,
}

/// What a reader may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything below the high watermark.
    #[default]
    ReadUncommitted,
    /// Only what no open or aborted transaction has written.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn wire(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

const CONSUMER_REPLICA_ID: i32 = -1;

impl Cluster {
    /// Looks offsets up at the partitions' leaders.
    pub async fn list_offsets(
        &self,
        wanted: BTreeMap<TopicPartition, OffsetSpec>,
        isolation: Isolation,
    ) -> Result<ByPartition<ListedOffset>, ClientError> {
        let timeout_ms =
            i32::try_from(self.config().request_timeout.as_millis()).unwrap_or(i32::MAX);
        let send = async |connection: &Connection, parts: Vec<Part<OffsetSpec>>| {
            let request = request(parts, isolation, timeout_ms);
            Ok(answers(connection.call(&request).await?))
        };
        self.ask_leaders(ApiKey::ListOffsets, wanted, send).await
    }
}

fn request(
    parts: Vec<Part<OffsetSpec>>,
    isolation: Isolation,
    timeout_ms: i32,
) -> ListOffsetsRequest {
    let topic = |(name, parts): (_, Vec<Part<OffsetSpec>>)| ListOffsetsTopic {
        name,
        partitions: parts
            .into_iter()
            .map(|part| ListOffsetsPartition {
                partition_index: part.partition,
                current_leader_epoch: part.leader_epoch,
                timestamp: part.value.timestamp(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    ListOffsetsRequest {
        replica_id: CONSUMER_REPLICA_ID,
        isolation_level: isolation.wire(),
        topics: by_topic(parts).into_iter().map(topic).collect(),
        timeout_ms,
        ..Default::default()
    }
}

fn answers(response: ListOffsetsResponse) -> Vec<(TopicPartition, Result<ListedOffset, Failure>)> {
    let mut answers = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let listed = ListedOffset {
                offset: partition.offset,
                timestamp: partition.timestamp,
                leader_epoch: partition.leader_epoch,
            };
            let answer = Failure::check(partition.error_code, None).map(|()| listed);
            answers.push(((topic.name.clone(), partition.partition_index), answer));
        }
    }
    answers
}
