//! An image as the shortest list of records that builds it: the content of a snapshot.
//!
//! Invariant: replaying them on an empty image gives an equal image (at a metadata.version that can say
//! everything, which all supported ones can). `metadata.version` comes first: it rules how the rest is read.

use crate::image::{BrokerRegistration, ControllerRegistration, Image, PartitionRef, VersionRange};
use crate::levels;
use crate::record::VersionedRecord;
use ottla_protocol::metadata_records::client_quota_record::EntityData;
use ottla_protocol::metadata_records::register_broker_record::{BrokerEndpoint, BrokerFeature};
use ottla_protocol::metadata_records::register_controller_record::{
    ControllerEndpoint, ControllerFeature,
};
use ottla_protocol::metadata_records::{
    AccessControlEntryRecord, ClientQuotaRecord, ConfigRecord, DelegationTokenRecord,
    FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, TopicRecord, UserScramCredentialRecord,
};
use ottla_protocol::{Str, Uuid};

impl Image {
    /// The records, in the versions of `metadata_version`; made one by one, so that a snapshot of a
    /// million partitions needs no second copy of them.
    pub fn to_records(&self, metadata_version: i16) -> impl Iterator<Item = VersionedRecord> {
        let features = self
            .features
            .finalized
            .iter()
            .map(|(name, level)| feature(name.clone(), *level));
        let metadata = self
            .features
            .metadata_version
            .map(|_| feature(levels::METADATA_VERSION.into(), metadata_version));
        let brokers = self.cluster.brokers.values().map(move |broker| {
            VersionedRecord::new(
                register_broker(broker),
                levels::register_broker_version(metadata_version),
            )
        });
        let controllers = self
            .cluster
            .controllers
            .values()
            .map(|controller| VersionedRecord::new(register_controller(controller), 0));
        let topics = self.topics.iter_by_id().flat_map(move |topic| {
            let head = VersionedRecord::new(
                TopicRecord {
                    name: topic.name.clone(),
                    topic_id: topic.id,
                    ..Default::default()
                },
                0,
            );
            let partitions = topic.partitions.iter().map(move |(index, partition)| {
                partition_record(topic.id, index, partition, metadata_version)
            });
            std::iter::once(head).chain(partitions)
        });
        let configs = self.configs.iter().flat_map(|(resource, overrides)| {
            overrides.iter().map(|(name, value)| {
                let record = ConfigRecord {
                    resource_type: resource.kind as i8,
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..Default::default()
                };
                VersionedRecord::new(record, 0)
            })
        });
        metadata
            .into_iter()
            .chain(features)
            .chain(brokers)
            .chain(controllers)
            .chain(topics)
            .chain(configs)
            .chain(self.other_records())
    }

    fn other_records(&self) -> impl Iterator<Item = VersionedRecord> {
        let quotas = self.client_quotas.iter().flat_map(|(entity, values)| {
            let entity: Vec<EntityData> = entity
                .0
                .iter()
                .map(|(kind, name)| EntityData {
                    entity_type: kind.clone(),
                    entity_name: name.clone(),
                    ..Default::default()
                })
                .collect();
            values.iter().map(move |(key, value)| {
                VersionedRecord::new(
                    ClientQuotaRecord {
                        entity: entity.clone(),
                        key: key.clone(),
                        value: *value,
                        remove: false,
                        ..Default::default()
                    },
                    0,
                )
            })
        });
        let producer_ids = self.next_producer_id.map(|allocator| {
            let record = ProducerIdsRecord {
                broker_id: allocator.broker_id,
                broker_epoch: allocator.broker_epoch,
                next_producer_id: allocator.next,
                ..Default::default()
            };
            VersionedRecord::new(record, 0)
        });
        let acls = self.acls.iter().map(|(id, acl)| {
            let record = AccessControlEntryRecord {
                id: *id,
                resource_type: acl.resource_type,
                resource_name: acl.resource_name.clone(),
                pattern_type: acl.pattern_type,
                principal: acl.principal.clone(),
                host: acl.host.clone(),
                operation: acl.operation,
                permission_type: acl.permission_type,
                ..Default::default()
            };
            VersionedRecord::new(record, 0)
        });
        let scram = self
            .scram_credentials
            .iter()
            .map(|((mechanism, name), credential)| {
                let record = UserScramCredentialRecord {
                    name: name.clone(),
                    mechanism: *mechanism,
                    salt: credential.salt.clone(),
                    stored_key: credential.stored_key.clone(),
                    server_key: credential.server_key.clone(),
                    iterations: credential.iterations,
                    ..Default::default()
                };
                VersionedRecord::new(record, 0)
            });
        let tokens = self.delegation_tokens.iter().map(|(id, token)| {
            let record = DelegationTokenRecord {
                owner: token.owner.clone(),
                requester: token.requester.clone(),
                renewers: token.renewers.clone(),
                issue_timestamp: token.issue_timestamp,
                max_timestamp: token.max_timestamp,
                expiration_timestamp: token.expiration_timestamp,
                token_id: id.clone(),
                ..Default::default()
            };
            VersionedRecord::new(record, 0)
        });
        quotas
            .chain(producer_ids)
            .chain(acls)
            .chain(scram)
            .chain(tokens)
    }
}

fn feature(name: Str, feature_level: i16) -> VersionedRecord {
    VersionedRecord::new(
        FeatureLevelRecord {
            name,
            feature_level,
            ..Default::default()
        },
        0,
    )
}

fn register_broker(broker: &BrokerRegistration) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: broker.id,
        is_migrating_zk_broker: broker.is_migrating_zk_broker,
        incarnation_id: broker.incarnation_id,
        broker_epoch: broker.epoch,
        end_points: broker
            .endpoints
            .iter()
            .map(|endpoint| BrokerEndpoint {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
                ..Default::default()
            })
            .collect(),
        features: broker
            .features
            .iter()
            .map(|(name, VersionRange { min, max })| BrokerFeature {
                name: name.clone(),
                min_supported_version: *min,
                max_supported_version: *max,
                ..Default::default()
            })
            .collect(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: broker.log_dirs.clone(),
        cordoned_log_dirs: broker.cordoned_log_dirs.clone(),
        ..Default::default()
    }
}

fn register_controller(controller: &ControllerRegistration) -> RegisterControllerRecord {
    RegisterControllerRecord {
        controller_id: controller.id,
        incarnation_id: controller.incarnation_id,
        zk_migration_ready: controller.zk_migration_ready,
        end_points: controller
            .endpoints
            .iter()
            .map(|endpoint| ControllerEndpoint {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
                ..Default::default()
            })
            .collect(),
        features: controller
            .features
            .iter()
            .map(|(name, VersionRange { min, max })| ControllerFeature {
                name: name.clone(),
                min_supported_version: *min,
                max_supported_version: *max,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// A partition's whole state as a record.
pub(crate) fn partition_record(
    topic_id: Uuid,
    partition_id: i32,
    partition: PartitionRef<'_>,
    metadata_version: i16,
) -> VersionedRecord {
    let unless_empty = |list: &[i32]| (!list.is_empty()).then(|| list.to_vec());
    let record = PartitionRecord {
        partition_id,
        topic_id,
        replicas: partition.replicas.to_vec(),
        isr: partition.isr.to_vec(),
        removing_replicas: partition.removing.to_vec(),
        adding_replicas: partition.adding.to_vec(),
        leader: partition.leader,
        leader_recovery_state: i8::from(partition.leader_recovering),
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        directories: partition.directories.to_vec(),
        eligible_leader_replicas: unless_empty(partition.elr),
        last_known_elr: unless_empty(partition.last_known_elr),
        ..Default::default()
    };
    VersionedRecord::new(record, levels::partition_version(metadata_version))
}
