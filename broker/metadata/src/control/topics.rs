//! CreateTopics and DeleteTopics: names, assignments, configurations, and the records of new topics.
//!
//! Each topic of a request stands for itself: one that is refused does not stop the others, and all that
//! are created go into one atomic batch.
//! Not here: authorization (the handler removes what the principal may not create), quotas.

use super::placement::{Placer, UsableBroker};
use super::{Controller, Decision, RECORDS_PER_REQUEST_MAX, Refusal};
use crate::image::{Overrides, Partition, Resource, ResourceKind};
use crate::record::VersionedRecord;
use crate::to_records::partition_record;
use ottla_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use ottla_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use ottla_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponse,
};
use ottla_protocol::metadata_records::{ConfigRecord, RemoveTopicRecord, TopicRecord};
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::collections::{BTreeMap, BTreeSet};

/// Longest topic name: with partition number and suffixes a directory's name stays below 255 bytes.
const NAME_BYTES_MAX: usize = 249;

/// The log that all this is written to.
const METADATA_TOPIC: &str = "__cluster_metadata";

impl Controller {
    /// Creates topics. `new_id` draws topic ids (never reserved ones). `describable`: may the principal
    /// see the configuration of this topic? Topics named twice are refused with INVALID_REQUEST.
    pub fn create_topics(
        &self,
        request: &CreateTopicsRequest,
        new_id: &mut dyn FnMut() -> Uuid,
        describable: &dyn Fn(&str) -> bool,
    ) -> Decision<CreateTopicsResponse> {
        let mut batch = NewTopics {
            records: Vec::new(),
            placer: self.placer(),
            normalized: BTreeMap::new(),
        };
        let mut named = BTreeMap::<&str, usize>::new();
        for topic in &request.topics {
            *named.entry(&topic.name).or_default() += 1;
        }
        let too_many = self.requested_partitions(request) > RECORDS_PER_REQUEST_MAX;
        let mut answered = BTreeSet::new();
        let once = request
            .topics
            .iter()
            .filter(|topic| answered.insert(&*topic.name));
        let topics = once.map(|topic| {
            let created = if named[&*topic.name] > 1 {
                Err(named_twice())
            } else if too_many {
                Err(Refusal::new(
                    ErrorCode::POLICY_VIOLATION,
                    format!("one request may create at most {RECORDS_PER_REQUEST_MAX} partitions"),
                ))
            } else {
                self.create_topic(topic, new_id, describable(&topic.name), &mut batch)
            };
            created.unwrap_or_else(|refusal| CreatableTopicResult {
                name: topic.name.clone(),
                error_code: refusal.code,
                error_message: Some(refusal.message.into()),
                ..Default::default()
            })
        });
        let reply = CreateTopicsResponse {
            topics: topics.collect(),
            ..Default::default()
        };
        Decision::atomic(
            if request.validate_only {
                Vec::new()
            } else {
                batch.records
            },
            reply,
        )
    }

    /// Deletes topics by name or id. A topic that the request names more than once is not deleted.
    pub fn delete_topics(&self, request: &DeleteTopicsRequest) -> Decision<DeleteTopicsResponse> {
        let by_name = request.topic_names.iter().map(|name| DeleteTopicState {
            name: Some(name.clone()),
            ..Default::default()
        });
        let wanted: Vec<DeleteTopicState> = request.topics.iter().cloned().chain(by_name).collect();
        let found: Vec<_> = wanted
            .iter()
            .map(|topic| self.topic_to_delete(topic))
            .collect();
        let mut named = BTreeMap::<Uuid, usize>::new();
        for (id, _) in found.iter().flatten() {
            *named.entry(*id).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut responses = Vec::with_capacity(wanted.len());
        for (topic, found) in wanted.into_iter().zip(found) {
            let (name, topic_id, refusal) = match found {
                Ok((id, name)) if named[&id] > 1 => (Some(name), id, Some(named_twice())),
                Ok((id, name)) => {
                    records.push(VersionedRecord::new(
                        RemoveTopicRecord {
                            topic_id: id,
                            ..Default::default()
                        },
                        0,
                    ));
                    (Some(name), id, None)
                }
                Err(refusal) => (topic.name, topic.topic_id, Some(refusal)),
            };
            responses.push(DeletableTopicResult {
                name,
                topic_id,
                error_code: refusal
                    .as_ref()
                    .map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.map(|refusal| refusal.message.into()),
                ..Default::default()
            });
        }
        Decision::atomic(
            records,
            DeleteTopicsResponse {
                responses,
                ..Default::default()
            },
        )
    }

    fn topic_to_delete(&self, wanted: &DeleteTopicState) -> Result<(Uuid, Str), Refusal> {
        if !self.options.topic_deletion_enabled {
            return Err(Refusal::new(
                ErrorCode::TOPIC_DELETION_DISABLED,
                "delete.topic.enable is false",
            ));
        }
        let found = match (&wanted.name, wanted.topic_id) {
            (Some(_), id) if id != Uuid::ZERO => {
                return Err(Refusal::new(
                    ErrorCode::INVALID_REQUEST,
                    "the request gives both a name and an id",
                ));
            }
            (None, Uuid::ZERO) => {
                return Err(Refusal::new(
                    ErrorCode::INVALID_REQUEST,
                    "the request gives neither a name nor an id",
                ));
            }
            (Some(name), _) => self.image().topic(name).ok_or_else(|| {
                Refusal::new(
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    format!("topic '{name}' does not exist"),
                )
            }),
            (None, id) => self.image().topic_by_id(&id).ok_or_else(|| {
                Refusal::new(
                    ErrorCode::UNKNOWN_TOPIC_ID,
                    format!("no topic has the id {id}"),
                )
            }),
        };
        found.map(|topic| (topic.id, topic.name.clone()))
    }

    fn requested_partitions(&self, request: &CreateTopicsRequest) -> usize {
        let partitions = request.topics.iter().map(|topic| {
            match (topic.assignments.len(), topic.num_partitions) {
                (0, -1) => self.options.default_partitions.max(0) as usize,
                (0, count) => count.max(0) as usize,
                (assigned, _) => assigned,
            }
        });
        partitions.fold(0, usize::saturating_add)
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        new_id: &mut dyn FnMut() -> Uuid,
        describable: bool,
        batch: &mut NewTopics,
    ) -> Result<CreatableTopicResult, Refusal> {
        self.check_new_name(&topic.name, batch)?;
        let overrides = self.new_topic_overrides(topic)?;
        let partitions = if topic.assignments.is_empty() {
            self.place_topic(topic, &mut batch.placer)?
        } else {
            self.assign_topic(topic)?
        };

        let topic_id = new_id();
        batch.records.push(VersionedRecord::new(
            TopicRecord {
                name: topic.name.clone(),
                topic_id,
                ..Default::default()
            },
            0,
        ));
        for (key, value) in &overrides {
            let record = ConfigRecord {
                resource_type: ResourceKind::Topic as i8,
                resource_name: topic.name.clone(),
                name: key.clone(),
                value: Some(value.clone()),
                ..Default::default()
            };
            batch.records.push(VersionedRecord::new(record, 0));
        }
        for (index, partition) in (0..).zip(&partitions) {
            batch
                .records
                .push(self.partition_record(topic_id, index, partition));
        }
        if let Some(key) = collision_key(&topic.name) {
            batch.normalized.insert(key, topic.name.clone());
        }
        let mut result = CreatableTopicResult {
            name: topic.name.clone(),
            topic_id,
            error_message: None,
            ..Default::default()
        };
        if describable {
            result.num_partitions = partitions.len() as i32;
            result.replication_factor = partitions
                .first()
                .map_or(-1, |partition| partition.replicas.len() as i16);
            result.configs = Some(self.describe_new_topic(&overrides));
        } else {
            result.topic_config_error_code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        }
        Ok(result)
    }

    fn check_new_name(&self, name: &Str, batch: &NewTopics) -> Result<(), Refusal> {
        check_name(name)?;
        if self.image().topic(name).is_some() {
            return Err(Refusal::new(
                ErrorCode::TOPIC_ALREADY_EXISTS,
                format!("topic '{name}' exists"),
            ));
        }
        let in_request = collision_key(name).and_then(|key| batch.normalized.get(&key));
        if let Some(other) = self.index.collides_with(name).or(in_request) {
            let message = format!(
                "topic '{name}' collides with '{other}': '.' and '_' are the same in names of metrics"
            );
            return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
        }
        Ok(())
    }

    fn new_topic_overrides(&self, topic: &CreatableTopic) -> Result<Overrides, Refusal> {
        let mut overrides = Overrides::new();
        for config in &topic.configs {
            let value = config.value.clone().ok_or_else(|| {
                Refusal::new(
                    ErrorCode::INVALID_CONFIG,
                    format!("'{}' has no value", config.name),
                )
            })?;
            overrides.insert(config.name.clone(), value);
        }
        let resource = Resource::topic(topic.name.clone());
        self.check_overrides(&resource, &Overrides::new(), &overrides)?;
        Ok(overrides)
    }

    /// The placer, ready for the next partition of the cluster.
    pub(super) fn placer(&self) -> Placer {
        let brokers =
            self.image().cluster.brokers.values().filter(|broker| {
                !broker.in_controlled_shutdown && broker.has_uncordoned_directory()
            });
        Placer::new(
            brokers.map(|broker| UsableBroker {
                id: broker.id,
                rack: broker.rack.clone(),
                fenced: broker.fenced,
            }),
            self.index.partition_count,
        )
    }

    fn place_topic(
        &self,
        topic: &CreatableTopic,
        placer: &mut Placer,
    ) -> Result<Vec<Partition>, Refusal> {
        let factor = if topic.replication_factor == -1 {
            self.options.default_replication_factor
        } else {
            topic.replication_factor
        };
        let count = if topic.num_partitions == -1 {
            self.options.default_partitions
        } else {
            topic.num_partitions
        };
        self.check_factor(factor)?;
        if count <= 0 {
            return Err(Refusal::new(
                ErrorCode::INVALID_PARTITIONS,
                "the number of partitions must be above 0, or -1 for the default",
            ));
        }
        self.place(count, factor, placer)
    }

    /// `count` new partitions where the placer puts them.
    pub(super) fn place(
        &self,
        count: i32,
        factor: i16,
        placer: &mut Placer,
    ) -> Result<Vec<Partition>, Refusal> {
        let placed = (0..count).map(|_| {
            let replicas = placer.place(factor as usize).map_err(|error| {
                Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, error.to_string())
            })?;
            Ok(self.new_partition(replicas))
        });
        placed.collect()
    }

    pub(super) fn check_factor(&self, factor: i16) -> Result<(), Refusal> {
        let limit = self.options.replication_factor_max;
        if factor <= 0 {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                "the replication factor must be above 0, or -1 for the default",
            ));
        }
        if factor > limit {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                format!("replication factor {factor} is not served yet, {limit} is the highest"),
            ));
        }
        Ok(())
    }

    fn assign_topic(&self, topic: &CreatableTopic) -> Result<Vec<Partition>, Refusal> {
        if topic.replication_factor != -1 || topic.num_partitions != -1 {
            let message =
                "with a manual assignment, replication factor and number of partitions must be -1";
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        let mut by_index = BTreeMap::<i32, &CreatableReplicaAssignment>::new();
        for assignment in &topic.assignments {
            if by_index
                .insert(assignment.partition_index, assignment)
                .is_some()
            {
                let message = format!("partition {} is assigned twice", assignment.partition_index);
                return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
            }
        }
        if !by_index.keys().copied().eq(0..by_index.len() as i32) {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "partitions must be numbered from 0 without gaps",
            ));
        }
        let mut factor = None;
        let assigned = by_index.into_values().map(|assignment| {
            self.assign(
                &assignment.broker_ids,
                *factor.get_or_insert(assignment.broker_ids.len()),
            )
        });
        assigned.collect()
    }

    /// One partition on brokers that the caller chose. Fenced ones may be among them, but not alone.
    pub(super) fn assign(&self, brokers: &[i32], factor: usize) -> Result<Partition, Refusal> {
        let invalid =
            |message: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        if brokers.is_empty() {
            return invalid("an assignment has no broker".into());
        }
        if let Some(unknown) = brokers
            .iter()
            .find(|broker| self.image().broker(**broker).is_none())
        {
            return invalid(format!("broker {unknown} is not registered"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = brokers.iter().find(|broker| !seen.insert(**broker)) {
            return invalid(format!("broker {twice} is assigned twice"));
        }
        if brokers.len() != factor {
            return invalid(format!(
                "{} replicas where the other partitions have {factor}",
                brokers.len()
            ));
        }
        if brokers.len() > self.options.replication_factor_max as usize {
            self.check_factor(brokers.len().try_into().unwrap_or(i16::MAX))?;
        }
        if !brokers
            .iter()
            .any(|broker| self.image().is_active_broker(*broker))
        {
            return invalid(format!(
                "all of the brokers {brokers:?} are fenced or shutting down"
            ));
        }
        Ok(self.new_partition(brokers.to_vec()))
    }

    /// A partition as it is born: all active replicas are in sync, the first of them leads.
    fn new_partition(&self, replicas: Vec<i32>) -> Partition {
        let isr: Vec<i32> = replicas
            .iter()
            .copied()
            .filter(|broker| self.image().is_active_broker(*broker))
            .collect();
        let leader = isr
            .first()
            .copied()
            .expect("the placer and `assign` see to one active replica");
        let directories = replicas
            .iter()
            .map(|broker| self.default_directory(*broker))
            .collect();
        Partition {
            replicas,
            directories,
            isr,
            leader,
            ..Partition::default()
        }
    }

    pub(super) fn partition_record(
        &self,
        topic_id: Uuid,
        index: i32,
        partition: &Partition,
    ) -> VersionedRecord {
        partition_record(
            topic_id,
            index,
            partition.as_ref(),
            self.image().metadata_version(),
        )
    }

    fn describe_new_topic(&self, overrides: &Overrides) -> Vec<CreatableTopicConfigs> {
        self.effective_topic_configs(overrides)
            .into_iter()
            .map(|config| CreatableTopicConfigs {
                name: config.name,
                value: config.value,
                read_only: config.read_only,
                config_source: config.source,
                is_sensitive: config.sensitive,
                ..Default::default()
            })
            .collect()
    }
}

/// What one request has decided so far.
struct NewTopics {
    records: Vec<VersionedRecord>,
    placer: Placer,
    /// Names of this request's topics by what collides with them.
    normalized: BTreeMap<String, Str>,
}

fn collision_key(name: &str) -> Option<String> {
    (name.contains('.') || name.contains('_')).then(|| name.replace('.', "_"))
}

fn named_twice() -> Refusal {
    Refusal::new(
        ErrorCode::INVALID_REQUEST,
        "the request names this topic more than once",
    )
}

/// Names may become directories and metric names.
fn check_name(name: &str) -> Result<(), Refusal> {
    if name == METADATA_TOPIC {
        return Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            "the metadata log is not a topic that can be created",
        ));
    }
    let fault = if name.is_empty() {
        "it is empty".to_owned()
    } else if name == "." || name == ".." {
        "it is '.' or '..'".to_owned()
    } else if name.len() > NAME_BYTES_MAX {
        format!("it is longer than {NAME_BYTES_MAX} characters")
    } else if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        format!("it has {bad:?}, where only letters, digits, '.', '_' and '-' may be")
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        format!("topic name '{name}' is not valid: {fault}"),
    ))
}
