//! Groups and their committed offsets, at their coordinators.

use super::{Admin, ByName};
use crate::cluster::{ByPartition, Lane, TopicPartition};
use crate::error::{ClientError, Failure};
use crate::group_offsets;
use ottla_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_protocol::messages::describe_groups_response::DescribedGroup;
use ottla_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::list_groups_request::ListGroupsRequest;
use ottla_protocol::messages::list_groups_response::ListedGroup;
use ottla_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::{ApiKey, Request, Str};
use std::collections::BTreeMap;

pub use crate::group_offsets::{CommittedOffset, GroupOffsets};

/// All groups that were found, and the brokers that could not be asked.
#[derive(Clone, Debug, Default)]
pub struct ListedGroups {
    /// Ordered by id.
    pub groups: Vec<ListedGroup>,
    /// Broker id and why its groups are missing.
    pub missing: Vec<(i32, ClientError)>,
}

impl Admin {
    /// The groups of all brokers; empty filters let everything pass. Old brokers know no filters and refuse them.
    pub async fn list_groups(
        &self,
        states: &[Str],
        types: &[Str],
    ) -> Result<ListedGroups, ClientError> {
        self.cluster
            .retry(async || self.cluster.ask_metadata(Some(&[])).await)
            .await?;
        let brokers: Vec<i32> = self.cluster.metadata().brokers.keys().copied().collect();
        let request = ListGroupsRequest {
            states_filter: states.to_vec(),
            types_filter: types.to_vec(),
            ..Default::default()
        };
        let mut listed = ListedGroups::default();
        for id in brokers {
            let answer = self.cluster.retry(async || {
                let response = self
                    .cluster
                    .broker(id, Lane::Data)
                    .await?
                    .call(&request)
                    .await?;
                ClientError::check(ApiKey::ListGroups, response.error_code, None)?;
                Ok(response.groups)
            });
            match answer.await {
                Ok(groups) => listed.groups.extend(groups),
                Err(error) => listed.missing.push((id, error)),
            }
        }
        listed
            .groups
            .sort_by(|one, other| one.group_id.cmp(&other.group_id));
        Ok(listed)
    }

    /// A group of the classic protocol with its members.
    pub async fn describe_group(&self, group: &Str) -> Result<DescribedGroup, ClientError> {
        let request = DescribeGroupsRequest {
            groups: vec![group.clone()],
            ..Default::default()
        };
        self.ask_coordinator(group, &request, |response| {
            let described = response
                .groups
                .into_iter()
                .next()
                .ok_or_else(|| missing::<DescribeGroupsRequest>(group))?;
            ClientError::check(
                ApiKey::DescribeGroups,
                described.error_code,
                described.error_message.clone(),
            )?;
            Ok(described)
        })
        .await
    }

    /// Deletes groups that have no members, with their offsets.
    pub async fn delete_groups(&self, groups: &[Str]) -> Result<ByName<()>, ClientError> {
        let mut answers = Vec::with_capacity(groups.len());
        for group in groups {
            let request = DeleteGroupsRequest {
                groups_names: vec![group.clone()],
                ..Default::default()
            };
            let deleted = self.ask_coordinator(group, &request, |response| {
                let result = response
                    .results
                    .into_iter()
                    .next()
                    .ok_or_else(|| missing::<DeleteGroupsRequest>(group))?;
                ClientError::check(ApiKey::DeleteGroups, result.error_code, None)
            });
            match deleted.await {
                Ok(()) => answers.push((group.clone(), Ok(()))),
                Err(ClientError::Refused { failure, .. }) => {
                    answers.push((group.clone(), Err(failure)))
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// All offsets that a group has committed.
    pub async fn group_offsets(&self, group: &Str) -> Result<GroupOffsets, ClientError> {
        group_offsets::fetch(&self.cluster, group, None, false).await
    }

    /// Sets committed offsets of a group that has no members.
    pub async fn set_group_offsets(
        &self,
        group: &Str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<ByPartition<()>, ClientError> {
        group_offsets::commit(&self.cluster, group, None, offsets).await
    }

    /// Deletes single committed offsets. A group that reads a topic keeps its offsets.
    pub async fn delete_group_offsets(
        &self,
        group: &Str,
        partitions: &[TopicPartition],
    ) -> Result<ByPartition<()>, ClientError> {
        let mut topics: BTreeMap<Str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for (topic, partition_index) in partitions {
            let partition = OffsetDeleteRequestPartition {
                partition_index: *partition_index,
            };
            topics.entry(topic.clone()).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetDeleteRequestTopic { name, partitions })
            .collect();
        let request = OffsetDeleteRequest {
            group_id: group.clone(),
            topics,
        };
        self.ask_coordinator(group, &request, |response| {
            ClientError::check(ApiKey::OffsetDelete, response.error_code, None)?;
            let answers = response.topics.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |partition| {
                    let answer = Failure::check(partition.error_code, None);
                    ((topic.name.clone(), partition.partition_index), answer)
                })
            });
            Ok(answers.collect())
        })
        .await
    }

    /// Removes static members by their instance ids.
    pub async fn remove_static_members(
        &self,
        group: &Str,
        instance_ids: &[Str],
    ) -> Result<ByName<()>, ClientError> {
        let identity = |id: &Str| MemberIdentity {
            group_instance_id: Some(id.clone()),
            ..Default::default()
        };
        let members = instance_ids.iter().map(identity).collect();
        let request = LeaveGroupRequest {
            group_id: group.clone(),
            members,
            ..Default::default()
        };
        self.ask_coordinator(group, &request, |response| {
            ClientError::check(ApiKey::LeaveGroup, response.error_code, None)?;
            let members = response.members.into_iter();
            let answer = |error| Failure::check(error, None);
            Ok(members
                .map(|one| {
                    (
                        one.group_instance_id.unwrap_or_default(),
                        answer(one.error_code),
                    )
                })
                .collect())
        })
        .await
    }

    /// Sends to the coordinator of a group, wherever it is, until `read` is content with the answer.
    async fn ask_coordinator<R: Request, T>(
        &self,
        group: &Str,
        request: &R,
        read: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.cluster
            .retry(async || {
                let connection = self.cluster.coordinator(group, Lane::Coordinator).await?;
                let answered = match connection.call(request).await {
                    Ok(response) => read(response),
                    Err(error) => Err(error.into()),
                };
                answered.inspect_err(|error| self.cluster.heed_group_error(group, error))
            })
            .await
    }
}

fn missing<R: Request>(group: &Str) -> ClientError {
    ClientError::Incomplete {
        api: R::KEY,
        what: group.to_string(),
    }
}
