//! Folding records into the image: the only writer of metadata.
//!
//! Invariant: a record that does not fit what came before it is an error and the process must stop: this
//! log and this build do not understand each other, and going on would act on metadata that nobody
//! agreed on. Between the records BeginTransaction and EndTransaction nothing is published (KIP-868).
//! Not here: reading batches (broker/storage, broker/raft), decisions (control/).

use crate::delta::Delta;
use crate::image::{
    Acl, BrokerRegistration, ControllerRegistration, DIRECTORY_MIGRATING, DelegationToken,
    Endpoint, Features, Image, NextProducerId, Partition, PartitionRef, Partitions, Provenance,
    QuotaEntity, Resource, ResourceKind, ScramCredential, Topic, VersionRange,
};
use crate::levels;
use ottla_protocol::metadata_records::{
    BrokerRegistrationChangeRecord, ConfigRecord, DelegationTokenRecord, FeatureLevelRecord,
    MetadataRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord,
    RegisterBrokerRecord, RegisterControllerRecord, TopicRecord,
};
use ottla_protocol::{Bytes, Str, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why a record cannot be applied. All of them mean: stop.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ReplayError {
    #[error("{record} names topic {topic}, which does not exist")]
    UnknownTopic { record: &'static str, topic: Uuid },
    #[error("{record} names topic '{topic}', which does not exist")]
    UnknownTopicName { record: &'static str, topic: Str },
    #[error("{record} names partition {index} of topic {topic}, which does not exist")]
    UnknownPartition {
        record: &'static str,
        topic: Uuid,
        index: i32,
    },
    #[error("TopicRecord for '{name}', which exists with id {id}")]
    DuplicateTopic { name: Str, id: Uuid },
    #[error("{record} for partition {index} of topic {topic}: {reason}")]
    BadPartition {
        record: &'static str,
        topic: Uuid,
        index: i32,
        reason: &'static str,
    },
    #[error("{record} names broker {id} with epoch {epoch}; registered is {registered:?}")]
    UnknownBroker {
        record: &'static str,
        id: i32,
        epoch: i64,
        registered: Option<i64>,
    },
    #[error("BrokerRegistrationChangeRecord for broker {id} has value {value} in field {field}")]
    BadRegistrationChange {
        id: i32,
        field: &'static str,
        value: i8,
    },
    #[error("ConfigRecord for resource type {kind}, which this version does not know")]
    UnknownResourceKind { kind: i8 },
    #[error(
        "metadata.version {level} is outside of what this version understands (7 to 30): upgrade Ottla first"
    )]
    MetadataVersion { level: i16 },
    #[error("{record} removes {what}, which does not exist")]
    NothingToRemove { record: &'static str, what: String },
    #[error("ProducerIdsRecord goes back from {from} to {to}")]
    ProducerIdsGoBack { from: i64, to: i64 },
    #[error(
        "BeginTransactionRecord at offset {offset} inside the transaction that began at {began}"
    )]
    TransactionInTransaction { offset: i64, began: i64 },
    #[error("{record} at offset {offset} without a transaction")]
    NoTransaction { record: &'static str, offset: i64 },
}

/// Folds records into a working image and hands out images with their deltas.
#[derive(Debug, Default)]
pub struct Replayer {
    image: Image,
    delta: Delta,
    transaction: Option<Transaction>,
    /// Offset of each broker's RegisterBrokerRecord, as far as this replayer has seen it.
    register_offsets: BTreeMap<i32, i64>,
}

#[derive(Debug)]
struct Transaction {
    began: i64,
    image: Image,
    delta: Delta,
}

impl Replayer {
    /// Goes on from a published image (or from `Image::default()` for an empty log).
    pub fn new(image: Image) -> Self {
        Self {
            image,
            ..Self::default()
        }
    }

    /// The working image: all records so far, those of an unfinished transaction included. For the active
    /// controller's decisions; everybody else waits for [`Self::publish`].
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Offset of the BeginTransactionRecord of the transaction that is open.
    pub fn open_transaction(&self) -> Option<i64> {
        self.transaction
            .as_ref()
            .map(|transaction| transaction.began)
    }

    /// Features without what an unfinished transaction did to them.
    pub(crate) fn published_features(&self) -> &Features {
        &self
            .transaction
            .as_ref()
            .map_or(&self.image, |transaction| &transaction.image)
            .features
    }

    /// The offset that `broker` must have applied to know its own registration. Where this replayer did
    /// not see the record itself, the offset it started from: later than needed, never too early.
    pub fn register_offset(&self, broker: i32) -> i64 {
        self.register_offsets
            .get(&broker)
            .copied()
            .unwrap_or(self.image.provenance.offset)
    }

    /// Ends a batch or a snapshot: the image up to and with `provenance`, and what changed since the last
    /// call. `None` inside a metadata transaction. The delta may be empty (NoOp records): the image's
    /// offset still moves on.
    pub fn publish(&mut self, provenance: Provenance) -> Option<(Image, Delta)> {
        if self.transaction.is_some() {
            return None;
        }
        self.image.provenance = provenance;
        Some((self.image.clone(), std::mem::take(&mut self.delta)))
    }

    /// Applies one record that stands at `offset` of the log (for records of a snapshot: the snapshot's
    /// last contained offset).
    pub fn replay(&mut self, offset: i64, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(offset, record),
            MetadataRecord::UnregisterBroker(record) => {
                self.broker_mut(
                    "UnregisterBrokerRecord",
                    record.broker_id,
                    record.broker_epoch,
                )?;
                self.image.cluster.brokers.remove(&record.broker_id);
                self.register_offsets.remove(&record.broker_id);
            }
            MetadataRecord::Topic(record) => self.topic(record)?,
            MetadataRecord::Partition(record) => self.partition(record)?,
            MetadataRecord::Config(record) => self.config(record)?,
            MetadataRecord::PartitionChange(record) => self.partition_change(record)?,
            MetadataRecord::FenceBroker(record) => {
                self.broker_mut("FenceBrokerRecord", record.id, record.epoch)?
                    .fenced = true;
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.broker_mut("UnfenceBrokerRecord", record.id, record.epoch)?
                    .fenced = false;
            }
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record.topic_id)?,
            MetadataRecord::DelegationToken(record) => self.delegation_token(record),
            MetadataRecord::UserScramCredential(record) => {
                let key = (record.mechanism, own(&record.name));
                self.delta.scram_credentials.insert(key.clone());
                let credential = ScramCredential {
                    salt: Bytes::copy_from_slice(&record.salt),
                    stored_key: Bytes::copy_from_slice(&record.stored_key),
                    server_key: Bytes::copy_from_slice(&record.server_key),
                    iterations: record.iterations,
                };
                self.image
                    .scram_credentials
                    .insert(key, Arc::new(credential));
            }
            MetadataRecord::FeatureLevel(record) => self.feature_level(record)?,
            MetadataRecord::ClientQuota(record) => {
                let mut entity: Vec<_> = record
                    .entity
                    .iter()
                    .map(|part| (own(&part.entity_type), part.entity_name.as_ref().map(own)))
                    .collect();
                entity.sort();
                self.client_quota(
                    QuotaEntity(entity),
                    own(&record.key),
                    (!record.remove).then_some(record.value),
                );
            }
            MetadataRecord::ProducerIds(record) => self.producer_ids(record)?,
            MetadataRecord::BrokerRegistrationChange(record) => {
                self.broker_registration_change(record)?
            }
            MetadataRecord::AccessControlEntry(record) => {
                let acl = Acl {
                    resource_type: record.resource_type,
                    resource_name: own(&record.resource_name),
                    pattern_type: record.pattern_type,
                    principal: own(&record.principal),
                    host: own(&record.host),
                    operation: record.operation,
                    permission_type: record.permission_type,
                };
                self.delta.acls.insert(record.id);
                self.image.acls.insert(record.id, Arc::new(acl));
            }
            MetadataRecord::RemoveAccessControlEntry(record) => {
                let removed = self.image.acls.remove(&record.id);
                removed.ok_or_else(|| {
                    nothing_to_remove("RemoveAccessControlEntryRecord", &record.id)
                })?;
                self.delta.acls.insert(record.id);
            }
            // A NoOp only moves the offset on; the ZooKeeper migration state of old clusters has no reader left.
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
            MetadataRecord::RemoveUserScramCredential(record) => {
                let key = (record.mechanism, own(&record.name));
                let removed = self.image.scram_credentials.remove(&key);
                removed.ok_or_else(|| {
                    nothing_to_remove("RemoveUserScramCredentialRecord", &&*record.name)
                })?;
                self.delta.scram_credentials.insert(key);
            }
            MetadataRecord::BeginTransaction(_) => {
                if let Some(began) = self.open_transaction() {
                    return Err(ReplayError::TransactionInTransaction { offset, began });
                }
                self.transaction = Some(Transaction {
                    began: offset,
                    image: self.image.clone(),
                    delta: self.delta.clone(),
                });
            }
            MetadataRecord::EndTransaction(_) => {
                self.transaction.take().ok_or(ReplayError::NoTransaction {
                    record: "EndTransactionRecord",
                    offset,
                })?;
            }
            MetadataRecord::AbortTransaction(_) => {
                let transaction = self.transaction.take().ok_or(ReplayError::NoTransaction {
                    record: "AbortTransactionRecord",
                    offset,
                })?;
                self.image = transaction.image;
                self.delta = transaction.delta;
            }
            MetadataRecord::RemoveDelegationToken(record) => {
                let removed = self.image.delegation_tokens.remove(&*record.token_id);
                removed.ok_or_else(|| {
                    nothing_to_remove("RemoveDelegationTokenRecord", &&*record.token_id)
                })?;
                self.delta.delegation_tokens.insert(own(&record.token_id));
            }
            MetadataRecord::RegisterController(record) => self.register_controller(record),
            MetadataRecord::ClearElr(record) => self.clear_elr(&record.topic_name)?,
        }
        Ok(())
    }

    fn register_broker(&mut self, offset: i64, record: &RegisterBrokerRecord) {
        let registration = BrokerRegistration {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record
                .end_points
                .iter()
                .map(|endpoint| Endpoint {
                    name: own(&endpoint.name),
                    host: own(&endpoint.host),
                    port: endpoint.port,
                    security_protocol: endpoint.security_protocol,
                })
                .collect(),
            features: record
                .features
                .iter()
                .map(|feature| {
                    (
                        own(&feature.name),
                        VersionRange {
                            min: feature.min_supported_version,
                            max: feature.max_supported_version,
                        },
                    )
                })
                .collect(),
            rack: record.rack.as_ref().map(own),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            is_migrating_zk_broker: record.is_migrating_zk_broker,
            log_dirs: record.log_dirs.clone(),
            cordoned_log_dirs: record.cordoned_log_dirs.clone(),
        };
        self.delta.brokers.insert(record.broker_id);
        self.register_offsets.insert(record.broker_id, offset);
        self.image
            .cluster
            .brokers
            .insert(record.broker_id, Arc::new(registration));
    }

    fn register_controller(&mut self, record: &RegisterControllerRecord) {
        let registration = ControllerRegistration {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            zk_migration_ready: record.zk_migration_ready,
            endpoints: record
                .end_points
                .iter()
                .map(|endpoint| Endpoint {
                    name: own(&endpoint.name),
                    host: own(&endpoint.host),
                    port: endpoint.port,
                    security_protocol: endpoint.security_protocol,
                })
                .collect(),
            features: record
                .features
                .iter()
                .map(|feature| {
                    (
                        own(&feature.name),
                        VersionRange {
                            min: feature.min_supported_version,
                            max: feature.max_supported_version,
                        },
                    )
                })
                .collect(),
        };
        self.delta.controllers.insert(record.controller_id);
        self.image
            .cluster
            .controllers
            .insert(record.controller_id, Arc::new(registration));
    }

    fn broker_registration_change(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
    ) -> Result<(), ReplayError> {
        let id = record.broker_id;
        let broker = self.broker_mut("BrokerRegistrationChangeRecord", id, record.broker_epoch)?;
        match record.fenced {
            0 => {}
            1 => broker.fenced = true,
            -1 => broker.fenced = false,
            value => {
                return Err(ReplayError::BadRegistrationChange {
                    id,
                    field: "Fenced",
                    value,
                });
            }
        }
        match record.in_controlled_shutdown {
            0 => {}
            1 => broker.in_controlled_shutdown = true,
            value => {
                return Err(ReplayError::BadRegistrationChange {
                    id,
                    field: "InControlledShutdown",
                    value,
                });
            }
        }
        // An empty list means no change: a broker whose last directory fails stops by itself.
        if !record.log_dirs.is_empty() {
            broker.log_dirs.clone_from(&record.log_dirs);
        }
        if record.cordoned_log_dirs.is_some() {
            broker
                .cordoned_log_dirs
                .clone_from(&record.cordoned_log_dirs);
        }
        Ok(())
    }

    fn broker_mut(
        &mut self,
        record: &'static str,
        id: i32,
        epoch: i64,
    ) -> Result<&mut BrokerRegistration, ReplayError> {
        let registered = self.image.broker(id).map(|broker| broker.epoch);
        match self.image.cluster.brokers.get_mut(&id) {
            Some(broker) if broker.epoch == epoch => {
                self.delta.brokers.insert(id);
                Ok(Arc::make_mut(broker))
            }
            _ => Err(ReplayError::UnknownBroker {
                record,
                id,
                epoch,
                registered,
            }),
        }
    }

    fn topic(&mut self, record: &TopicRecord) -> Result<(), ReplayError> {
        let exists = self
            .image
            .topics
            .by_name(&record.name)
            .or_else(|| self.image.topics.by_id(&record.topic_id));
        if let Some(topic) = exists {
            return Err(ReplayError::DuplicateTopic {
                name: record.name.clone(),
                id: topic.id,
            });
        }
        self.delta
            .topics
            .insert(record.topic_id, Default::default());
        self.image.topics.insert(Topic {
            name: own(&record.name),
            id: record.topic_id,
            partitions: Partitions::default(),
        });
        Ok(())
    }

    fn partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayError> {
        let no_directories;
        let directories = if record.directories.is_empty() {
            no_directories = vec![DIRECTORY_MIGRATING; record.replicas.len()];
            &no_directories
        } else {
            &record.directories
        };
        let partition = PartitionRef {
            replicas: &record.replicas,
            directories,
            isr: &record.isr,
            removing: &record.removing_replicas,
            adding: &record.adding_replicas,
            elr: record
                .eligible_leader_replicas
                .as_deref()
                .unwrap_or_default(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default(),
            leader: record.leader,
            leader_recovering: record.leader_recovery_state == 1,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        };
        self.set_partition(
            "PartitionRecord",
            record.topic_id,
            record.partition_id,
            record.leader_recovery_state,
            partition,
        )
    }

    fn partition_change(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayError> {
        let (topic, index) = (record.topic_id, record.partition_id);
        let before = self
            .image
            .topics
            .by_id(&topic)
            .ok_or(ReplayError::UnknownTopic {
                record: "PartitionChangeRecord",
                topic,
            })?
            .partition(index);
        let before = before.ok_or(ReplayError::UnknownPartition {
            record: "PartitionChangeRecord",
            topic,
            index,
        })?;
        let after = changed(before, record);
        let recovery = record.leader_recovery_state.max(0);
        self.set_partition(
            "PartitionChangeRecord",
            topic,
            index,
            recovery,
            after.as_ref(),
        )
    }

    fn set_partition(
        &mut self,
        record: &'static str,
        topic: Uuid,
        index: i32,
        recovery: i8,
        partition: PartitionRef<'_>,
    ) -> Result<(), ReplayError> {
        let lists = [
            partition.replicas,
            partition.isr,
            partition.removing,
            partition.adding,
            partition.elr,
            partition.last_known_elr,
        ];
        let reason = if index < 0 {
            Some("its number is negative")
        } else if partition.replicas.len() != partition.directories.len() {
            Some("replicas and directories differ in number")
        } else if !matches!(recovery, 0 | 1) {
            Some("its leader recovery state is unknown")
        } else if lists.iter().any(|list| list.len() > usize::from(u16::MAX)) {
            Some("a list has more than 65535 entries")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(ReplayError::BadPartition {
                record,
                topic,
                index,
                reason,
            });
        }
        let found = self
            .image
            .topics
            .get_mut(&topic)
            .ok_or(ReplayError::UnknownTopic { record, topic })?;
        found.partitions.set(index, partition);
        self.delta.topics.entry(topic).or_default().insert(index);
        Ok(())
    }

    fn remove_topic(&mut self, id: Uuid) -> Result<(), ReplayError> {
        let topic = self
            .image
            .topics
            .remove(&id)
            .ok_or(ReplayError::UnknownTopic {
                record: "RemoveTopicRecord",
                topic: id,
            })?;
        let resource = Resource::topic(topic.name.clone());
        if self.image.configs.remove(&resource) {
            self.delta.configs.insert(resource);
        }
        self.delta.topics.remove(&id);
        self.delta.deleted_topics.insert(id, topic);
        Ok(())
    }

    /// `topic` empty: all topics.
    fn clear_elr(&mut self, topic: &Str) -> Result<(), ReplayError> {
        let topics: Vec<Arc<Topic>> =
            if topic.is_empty() {
                self.image.topics.iter_by_id().cloned().collect()
            } else {
                let found = self.image.topics.by_name(topic).ok_or_else(|| {
                    ReplayError::UnknownTopicName {
                        record: "ClearElrRecord",
                        topic: topic.clone(),
                    }
                })?;
                vec![Arc::clone(found)]
            };
        for topic in topics {
            for (index, partition) in topic.partitions.iter() {
                if partition.elr.is_empty() && partition.last_known_elr.is_empty() {
                    continue;
                }
                let cleared = PartitionRef {
                    elr: &[],
                    last_known_elr: &[],
                    partition_epoch: partition.partition_epoch.wrapping_add(1),
                    ..partition
                };
                self.set_partition("ClearElrRecord", topic.id, index, 0, cleared)?;
            }
        }
        Ok(())
    }

    fn config(&mut self, record: &ConfigRecord) -> Result<(), ReplayError> {
        let kind = ResourceKind::from_i8(record.resource_type).ok_or(
            ReplayError::UnknownResourceKind {
                kind: record.resource_type,
            },
        )?;
        let resource = Resource {
            kind,
            name: own(&record.resource_name),
        };
        self.delta.configs.insert(resource.clone());
        self.image
            .configs
            .set(resource, own(&record.name), record.value.as_ref().map(own));
        Ok(())
    }

    fn feature_level(&mut self, record: &FeatureLevelRecord) -> Result<(), ReplayError> {
        let level = record.feature_level;
        match &*record.name {
            levels::METADATA_VERSION => {
                if !levels::METADATA_VERSIONS_READ.contains(level) {
                    return Err(ReplayError::MetadataVersion { level });
                }
                self.image.features.metadata_version = Some(level);
            }
            // Early 4.x controllers wrote this by mistake; the level in force is in the quorum's control records.
            levels::KRAFT_VERSION => return Ok(()),
            _ => {
                let finalized = Arc::make_mut(&mut self.image.features.finalized);
                if level == 0 {
                    finalized.remove(&record.name);
                } else {
                    finalized.insert(own(&record.name), level);
                }
            }
        }
        self.delta.features.insert(own(&record.name));
        Ok(())
    }

    fn producer_ids(&mut self, record: &ProducerIdsRecord) -> Result<(), ReplayError> {
        let to = record.next_producer_id;
        if let Some(NextProducerId { next: from, .. }) = self
            .image
            .next_producer_id
            .filter(|current| to <= current.next)
        {
            return Err(ReplayError::ProducerIdsGoBack { from, to });
        }
        self.image.next_producer_id = Some(NextProducerId {
            broker_id: record.broker_id,
            broker_epoch: record.broker_epoch,
            next: to,
        });
        self.delta.producer_ids = true;
        Ok(())
    }

    fn client_quota(&mut self, entity: QuotaEntity, key: Str, value: Option<f64>) {
        self.delta.client_quotas.insert(entity.clone());
        if self.image.client_quotas.get(&entity).is_none() {
            self.image
                .client_quotas
                .insert(entity.clone(), Arc::default());
        }
        let values = self
            .image
            .client_quotas
            .get_mut(&entity)
            .expect("inserted above");
        match value {
            Some(value) => Arc::make_mut(values).insert(key, value),
            None => Arc::make_mut(values).remove(&key),
        };
        if values.is_empty() {
            self.image.client_quotas.remove(&entity);
        }
    }

    fn delegation_token(&mut self, record: &DelegationTokenRecord) {
        let token = DelegationToken {
            owner: own(&record.owner),
            requester: own(&record.requester),
            renewers: record.renewers.iter().map(own).collect(),
            issue_timestamp: record.issue_timestamp,
            max_timestamp: record.max_timestamp,
            expiration_timestamp: record.expiration_timestamp,
        };
        let id = own(&record.token_id);
        self.delta.delegation_tokens.insert(id.clone());
        self.image.delegation_tokens.insert(id, Arc::new(token));
    }
}

/// A partition after a change record: the partition epoch always rises, the leader epoch whenever the
/// leader is named, even the same one.
pub(crate) fn changed(before: PartitionRef<'_>, record: &PartitionChangeRecord) -> Partition {
    let mut after = before.to_owned();
    let set = |list: &mut Vec<i32>, new: &Option<Vec<i32>>| {
        if let Some(new) = new {
            list.clone_from(new);
        }
    };
    set(&mut after.replicas, &record.replicas);
    set(&mut after.isr, &record.isr);
    set(&mut after.removing, &record.removing_replicas);
    set(&mut after.adding, &record.adding_replicas);
    set(&mut after.elr, &record.eligible_leader_replicas);
    set(&mut after.last_known_elr, &record.last_known_elr);
    if let Some(directories) = &record.directories {
        after.directories.clone_from(directories);
    }
    // Directories nobody ever assigned follow the number of replicas.
    if after
        .directories
        .iter()
        .all(|dir| *dir == DIRECTORY_MIGRATING)
    {
        after.directories = vec![DIRECTORY_MIGRATING; after.replicas.len()];
    }
    if record.leader != NO_LEADER_CHANGE {
        after.leader = record.leader;
        after.leader_epoch = after.leader_epoch.wrapping_add(1);
    }
    if record.leader_recovery_state >= 0 {
        after.leader_recovering = record.leader_recovery_state == 1;
    }
    after.partition_epoch = after.partition_epoch.wrapping_add(1);
    after
}

/// In a PartitionChangeRecord: the leader stays as it is and so does its epoch.
pub(crate) const NO_LEADER_CHANGE: i32 = -2;

fn nothing_to_remove(record: &'static str, what: &dyn std::fmt::Display) -> ReplayError {
    ReplayError::NothingToRemove {
        record,
        what: what.to_string(),
    }
}

/// A copy of its own: the decoded string is a slice of its batch, and would keep megabytes alive.
fn own(text: &Str) -> Str {
    text.detached()
}

#[cfg(test)]
mod tests;
