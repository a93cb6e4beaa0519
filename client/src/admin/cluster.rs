//! The cluster as a whole: its brokers, its quorum, its features, its disks.

use super::Admin;
use crate::cluster::Lane;
use crate::error::{ClientError, Failure};
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use ottla_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use ottla_protocol::messages::describe_quorum_request::{self, DescribeQuorumRequest};
use ottla_protocol::messages::describe_quorum_response;
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use ottla_protocol::{ApiKey, Str};
use std::collections::BTreeMap;

/// From this version on fenced brokers can be asked for.
const FENCED_FROM: i16 = 2;

/// DescribeCluster's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: Str,
    /// The broker that takes administrative requests.
    pub controller_id: i32,
    /// Fenced ones included, if the broker can tell.
    pub brokers: Vec<DescribeClusterBroker>,
}

/// Feature levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Name → lowest and highest level that the broker which was asked supports.
    pub supported: BTreeMap<Str, (i16, i16)>,
    /// Name → level that the cluster is at.
    pub finalized: BTreeMap<Str, i16>,
    /// Grows with every change; −1 if unknown.
    pub finalized_epoch: i64,
}

/// A change of one feature's level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: Str,
    /// The new level; 0 removes it.
    pub level: i16,
    /// Whether it may go down, and whether even with loss of metadata: 1 up only, 2 safely down, 3 down at any price.
    pub upgrade_type: i8,
}

/// The log directories of one broker, or why it could not tell.
pub type LogDirsOf = (i32, Result<Vec<DescribeLogDirsResult>, ClientError>);

impl Admin {
    /// The brokers, and who takes administrative requests.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        self.cluster
            .retry(async || {
                let connection = self.cluster.any_broker().await?;
                let include_fenced_brokers =
                    connection.version::<DescribeClusterRequest>()? >= FENCED_FROM;
                let request = DescribeClusterRequest {
                    include_fenced_brokers,
                    ..Default::default()
                };
                let response = connection.call(&request).await?;
                ClientError::check(
                    ApiKey::DescribeCluster,
                    response.error_code,
                    response.error_message,
                )?;
                Ok(ClusterDescription {
                    cluster_id: response.cluster_id,
                    controller_id: response.controller_id,
                    brokers: response.brokers,
                })
            })
            .await
    }

    /// The metadata quorum: leader, voters, observers, and how far each has read.
    pub async fn describe_quorum(
        &self,
    ) -> Result<describe_quorum_response::PartitionData, ClientError> {
        let partition = describe_quorum_request::PartitionData {
            partition_index: 0,
            ..Default::default()
        };
        let topic = describe_quorum_request::TopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = DescribeQuorumRequest {
            topics: vec![topic],
            ..Default::default()
        };
        self.cluster
            .retry(async || {
                let response = self.cluster.any_broker().await?.call(&request).await?;
                ClientError::check(
                    ApiKey::DescribeQuorum,
                    response.error_code,
                    response.error_message,
                )?;
                let partition = response
                    .topics
                    .into_iter()
                    .flat_map(|topic| topic.partitions)
                    .next();
                let what = || "the metadata partition".to_owned();
                let partition = partition.ok_or_else(|| ClientError::Incomplete {
                    api: ApiKey::DescribeQuorum,
                    what: what(),
                })?;
                ClientError::check(
                    ApiKey::DescribeQuorum,
                    partition.error_code,
                    partition.error_message.clone(),
                )?;
                Ok(partition)
            })
            .await
    }

    /// Which feature levels the cluster is at, and which could be.
    pub async fn describe_features(&self) -> Result<Features, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let response = self
            .ask(&request, |response| vec![response.error_code])
            .await?;
        ClientError::check(ApiKey::ApiVersions, response.error_code, None)?;
        let supported = response.supported_features.into_iter();
        let finalized = response.finalized_features.into_iter();
        Ok(Features {
            supported: supported
                .map(|one| (one.name, (one.min_version, one.max_version)))
                .collect(),
            finalized: finalized
                .map(|one| (one.name, one.max_version_level))
                .collect(),
            finalized_epoch: response.finalized_features_epoch,
        })
    }

    /// Changes feature levels, all or none.
    pub async fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Result<Result<(), Failure>, ClientError> {
        let update = |update: &FeatureUpdate| FeatureUpdateKey {
            feature: update.name.clone(),
            max_version_level: update.level,
            upgrade_type: update.upgrade_type,
            ..Default::default()
        };
        let request = UpdateFeaturesRequest {
            timeout_ms: self.timeout_ms(),
            feature_updates: updates.iter().map(update).collect(),
            validate_only,
            ..Default::default()
        };
        let response = self
            .ask(&request, |response| vec![response.error_code])
            .await?;
        let whole = Failure::check(response.error_code, response.error_message);
        let single = response
            .results
            .into_iter()
            .map(|one| Failure::check(one.error_code, one.error_message));
        Ok(whole.and(single.collect()))
    }

    /// The log directories of these brokers, with every partition in them and its size.
    pub async fn describe_log_dirs(&self, brokers: &[i32]) -> Vec<LogDirsOf> {
        let request = DescribeLogDirsRequest {
            topics: None,
            ..Default::default()
        };
        let mut answers = Vec::with_capacity(brokers.len());
        for &id in brokers {
            let answer = self.cluster.retry(async || {
                let response = self
                    .cluster
                    .broker(id, Lane::Data)
                    .await?
                    .call(&request)
                    .await?;
                ClientError::check(ApiKey::DescribeLogDirs, response.error_code, None)?;
                Ok(response.results)
            });
            answers.push((id, answer.await));
        }
        answers
    }

    /// Forgets a broker that is gone for good. Its replicas must have been moved before.
    pub async fn unregister_broker(
        &self,
        broker_id: i32,
    ) -> Result<Result<(), Failure>, ClientError> {
        let request = UnregisterBrokerRequest {
            broker_id,
            ..Default::default()
        };
        let response = self
            .ask(&request, |response| vec![response.error_code])
            .await?;
        Ok(Failure::check(response.error_code, response.error_message))
    }
}
