//! Creating, growing, deleting, describing topics; deleting records.

use super::{Admin, ByName};
use crate::cluster::leaders::{Part, by_topic};
use crate::cluster::{ByPartition, Topic, TopicPartition};
use crate::connection::Connection;
use crate::error::{ClientError, Failure};
use ottla_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::{ApiKey, Str, Uuid};
use std::collections::BTreeMap;

/// −1 on the wire: the cluster's default.
const CLUSTER_DEFAULT: i32 = -1;
/// From this version on topics to delete come as structs (with a name or an id).
const DELETE_BY_STATE_FROM: i16 = 6;

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Str,
    /// `None`: the cluster's default. Must be `None` with `assignments`.
    pub partitions: Option<i32>,
    /// `None`: the cluster's default. Must be `None` with `assignments`.
    pub replication_factor: Option<i16>,
    /// Replicas of each partition by hand, the preferred leader first; empty lets the controller choose.
    pub assignments: Vec<Vec<i32>>,
    /// Topic configs that differ from the defaults.
    pub configs: BTreeMap<Str, Str>,
}

/// A topic that was created (or would have been).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero when only validated.
    pub id: Uuid,
    /// −1 if the broker is too old to say.
    pub partitions: i32,
    /// −1 if the broker is too old to say.
    pub replication_factor: i16,
}

impl Admin {
    /// Creates topics, or only checks whether they could be created.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Result<ByName<CreatedTopic>, ClientError> {
        let request = CreateTopicsRequest {
            topics: topics.into_iter().map(creatable).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let response = self.ask(&request, |response| {
            response
                .topics
                .iter()
                .map(|topic| topic.error_code)
                .collect()
        });
        let created = response.await?.topics.into_iter().map(|topic| {
            let created = CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            (
                topic.name,
                Failure::check(topic.error_code, topic.error_message).map(|()| created),
            )
        });
        Ok(created.collect())
    }

    /// Deletes topics by name.
    pub async fn delete_topics(&self, names: &[Str]) -> Result<ByName<()>, ClientError> {
        let answers = self
            .cluster
            .retry(async || {
                let connection = self.cluster.any_broker().await?;
                let mut request = DeleteTopicsRequest {
                    timeout_ms: self.timeout_ms(),
                    ..Default::default()
                };
                if connection.version::<DeleteTopicsRequest>()? >= DELETE_BY_STATE_FROM {
                    let state = |name: &Str| DeleteTopicState {
                        name: Some(name.clone()),
                        ..Default::default()
                    };
                    request.topics = names.iter().map(state).collect();
                } else {
                    request.topic_names = names.to_vec();
                }
                let response = connection.call(&request).await?;
                let codes = response
                    .responses
                    .iter()
                    .map(|topic| topic.error_code)
                    .collect();
                super::repeat_if_moved(ApiKey::DeleteTopics, codes)?;
                Ok(response.responses)
            })
            .await?;
        names.iter().for_each(|name| self.cluster.doubt_topic(name));
        let deleted = answers.into_iter().map(|topic| {
            (
                topic.name.unwrap_or_default(),
                Failure::check(topic.error_code, topic.error_message),
            )
        });
        Ok(deleted.collect())
    }

    /// Raises the number of partitions of topics to these totals.
    pub async fn create_partitions(
        &self,
        totals: &[(Str, i32)],
        validate_only: bool,
    ) -> Result<ByName<()>, ClientError> {
        let topic = |(name, count): &(Str, i32)| CreatePartitionsTopic {
            name: name.clone(),
            count: *count,
            assignments: None,
            ..Default::default()
        };
        let request = CreatePartitionsRequest {
            topics: totals.iter().map(topic).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let response = self.ask(&request, |response| {
            response
                .results
                .iter()
                .map(|topic| topic.error_code)
                .collect()
        });
        let response = response.await?;
        totals
            .iter()
            .for_each(|(name, _)| self.cluster.doubt_topic(name));
        let grown = response.results.into_iter();
        Ok(grown
            .map(|topic| {
                (
                    topic.name,
                    Failure::check(topic.error_code, topic.error_message),
                )
            })
            .collect())
    }

    /// All topics, internal ones included, ordered by name.
    pub async fn list_topics(&self) -> Result<Vec<Topic>, ClientError> {
        let answers = self
            .cluster
            .retry(async || self.cluster.ask_metadata(None).await)
            .await?;
        let mut topics: Vec<Topic> = answers
            .into_iter()
            .filter_map(|(_, topic)| topic.ok())
            .collect();
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    /// These topics as the cluster knows them now.
    pub async fn describe_topics(&self, names: &[Str]) -> Result<ByName<Topic>, ClientError> {
        let answers = self
            .cluster
            .retry(async || self.cluster.ask_metadata(Some(names)).await)
            .await?;
        let failure = |error| Failure {
            error,
            message: None,
        };
        Ok(answers
            .into_iter()
            .map(|(name, topic)| (name, topic.map_err(failure)))
            .collect())
    }

    /// Deletes all records before these offsets (−1: all records below the high watermark). Gives the new first offsets.
    pub async fn delete_records(
        &self,
        before: BTreeMap<TopicPartition, i64>,
    ) -> Result<ByPartition<i64>, ClientError> {
        let timeout_ms = self.timeout_ms();
        let send = async |connection: &Connection, parts: Vec<Part<i64>>| {
            let topic = |(name, parts): (Str, Vec<Part<i64>>)| DeleteRecordsTopic {
                name,
                partitions: parts
                    .into_iter()
                    .map(|part| DeleteRecordsPartition {
                        partition_index: part.partition,
                        offset: part.value,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            };
            let topics = by_topic(parts).into_iter().map(topic).collect();
            let request = DeleteRecordsRequest {
                topics,
                timeout_ms,
                ..Default::default()
            };
            let response = connection.call(&request).await?;
            let answers = response.topics.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |partition| {
                    let answer = Failure::check(partition.error_code, None)
                        .map(|()| partition.low_watermark);
                    ((topic.name.clone(), partition.partition_index), answer)
                })
            });
            Ok(answers.collect())
        };
        self.cluster
            .ask_leaders(ApiKey::DeleteRecords, before, send)
            .await
    }
}

fn creatable(topic: NewTopic) -> CreatableTopic {
    let assignment = |(partition_index, broker_ids): (i32, Vec<i32>)| CreatableReplicaAssignment {
        partition_index,
        broker_ids,
        ..Default::default()
    };
    let config = |(name, value): (Str, Str)| CreatableTopicConfig {
        name,
        value: Some(value),
        ..Default::default()
    };
    CreatableTopic {
        name: topic.name,
        num_partitions: topic.partitions.unwrap_or(CLUSTER_DEFAULT),
        replication_factor: topic.replication_factor.unwrap_or(CLUSTER_DEFAULT as i16),
        assignments: (0..).zip(topic.assignments).map(assignment).collect(),
        configs: topic.configs.into_iter().map(config).collect(),
        ..Default::default()
    }
}
