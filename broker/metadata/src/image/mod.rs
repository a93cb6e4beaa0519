//! The image: everything the metadata log says, at one offset. Immutable once published and cheap to
//! clone; readers keep the copy they started with.
//!
//! Invariant: an image is the fold of all records up to `provenance.offset` that are not inside an
//! unfinished metadata transaction; replaying `to_records` of it gives an equal image.
//! Not here: how records change it (replay.rs), what changed (delta.rs), decisions (control/).

mod cluster;
mod configs;
mod features;
mod partitions;
mod security;
mod topics;

pub use cluster::{
    BrokerRegistration, Cluster, ControllerRegistration, DIRECTORY_LOST, DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED, Endpoint, VersionRange, is_reserved_directory,
};
pub use configs::{Configs, Overrides, Resource, ResourceKind};
pub use features::Features;
pub use partitions::{NO_LEADER, Partition, PartitionRef, Partitions};
pub use security::{
    Acl, Acls, ClientQuotas, DelegationToken, DelegationTokens, QuotaEntity, ScramCredential,
    ScramCredentials,
};
pub use topics::{Topic, Topics};

use ottla_protocol::{Str, Uuid};
use std::sync::Arc;

/// The cluster's metadata at one offset. See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Where in the log it stands.
    pub provenance: Provenance,
    /// Finalized feature levels.
    pub features: Features,
    /// Brokers and controllers.
    pub cluster: Cluster,
    /// Topics and partitions.
    pub topics: Topics,
    /// Overrides of configuration.
    pub configs: Configs,
    /// The first producer id that no block was given out for.
    pub next_producer_id: Option<NextProducerId>,
    /// Client quotas.
    pub client_quotas: ClientQuotas,
    /// Access control entries.
    pub acls: Acls,
    /// SCRAM credentials.
    pub scram_credentials: ScramCredentials,
    /// Delegation tokens.
    pub delegation_tokens: DelegationTokens,
}

/// The place in the log up to which an image has been folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Offset of the last record contained; -1 for none.
    pub offset: i64,
    /// Its leader epoch; -1 for none.
    pub epoch: i32,
    /// Wall clock of the batch that holds it, ms; -1 for none.
    pub timestamp_ms: i64,
}

impl Default for Provenance {
    fn default() -> Self {
        Self {
            offset: -1,
            epoch: -1,
            timestamp_ms: -1,
        }
    }
}

/// The producer id allocator as its last record left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextProducerId {
    /// Broker that got the last block.
    pub broker_id: i32,
    /// Its epoch.
    pub broker_epoch: i64,
    /// First id of the next block.
    pub next: i64,
}

impl Image {
    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.by_name(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: &Uuid) -> Option<&Arc<Topic>> {
        self.topics.by_id(id)
    }

    /// A partition by topic name.
    pub fn partition(&self, topic: &str, index: i32) -> Option<PartitionRef<'_>> {
        self.topics.by_name(topic)?.partition(index)
    }

    /// A partition by topic id.
    pub fn partition_by_id(&self, topic: &Uuid, index: i32) -> Option<PartitionRef<'_>> {
        self.topics.by_id(topic)?.partition(index)
    }

    /// The registration of a broker.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.cluster.brokers.get(&id)
    }

    /// The registration of a broker that is not fenced: the brokers that Metadata lists.
    pub fn alive_broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.broker(id).filter(|broker| !broker.fenced)
    }

    /// Brokers that are not fenced and have a listener of this name, with its endpoint, in id order.
    pub fn alive_brokers(
        &self,
        listener: &str,
    ) -> impl Iterator<Item = (&Arc<BrokerRegistration>, &Endpoint)> {
        self.cluster
            .brokers
            .values()
            .filter(|broker| !broker.fenced)
            .filter_map(move |broker| Some((broker, broker.endpoint(listener)?)))
    }

    /// True if `broker` may lead and be in an ISR.
    pub fn is_active_broker(&self, broker: i32) -> bool {
        self.broker(broker).is_some_and(|broker| broker.is_active())
    }

    /// Replicas of a partition that a client cannot reach through this listener: fenced, unknown, without
    /// the listener, or in a directory that is offline. Metadata reports them as offline.
    pub fn offline_replicas(&self, partition: PartitionRef<'_>, listener: &str) -> Vec<i32> {
        let online = |(at, replica): (usize, &i32)| {
            self.alive_broker(*replica).is_some_and(|broker| {
                broker.endpoint(listener).is_some()
                    && partition
                        .directories
                        .get(at)
                        .is_none_or(|dir| broker.has_online_directory(*dir))
            })
        };
        partition
            .replicas
            .iter()
            .enumerate()
            .filter(|replica| !online(*replica))
            .map(|(_, replica)| *replica)
            .collect()
    }

    /// A topic's own overrides; `None` if it has none.
    pub fn topic_overrides(&self, topic: &Str) -> Option<&Arc<Overrides>> {
        self.configs.get(&Resource::topic(topic.clone()))
    }

    /// One broker's own overrides; `None` if it has none.
    pub fn broker_overrides(&self, broker: i32) -> Option<&Arc<Overrides>> {
        self.configs.get(&Resource::broker(broker))
    }

    /// The overrides that hold for all brokers; `None` if there are none.
    pub fn cluster_overrides(&self) -> Option<&Arc<Overrides>> {
        self.configs.get(&Resource::cluster())
    }

    /// The override in force for a broker's key: its own, else that of all brokers.
    pub fn broker_override(&self, broker: i32, key: &str) -> Option<&Str> {
        self.configs
            .value(&Resource::broker(broker), key)
            .or_else(|| self.configs.value(&Resource::cluster(), key))
    }

    /// The epoch that ApiVersions gives out with the finalized features: it rises with every change.
    pub fn features_epoch(&self) -> i64 {
        self.provenance.offset
    }

    /// `metadata.version`; the default of a new cluster before the first records.
    pub fn metadata_version(&self) -> i16 {
        self.features
            .metadata_version
            .unwrap_or(crate::levels::METADATA_VERSION_DEFAULT)
    }
}
