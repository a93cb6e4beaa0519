//! What a platform saw: all that a plan may know about the world.

use std::collections::{BTreeMap, BTreeSet};

use ottla_operator_api::{DeletionPolicy, KafkaClusterStatus, KafkaTopicStatus};
use serde::{Deserialize, Serialize};

use crate::output::Broker;

/// Everything seen at one look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Kafka's cluster id, made by the platform when the cluster was first declared.
    pub cluster_id: String,
    /// One address for all brokers of a listener, by the listener's name, where the platform has
    /// one; without it clients are told every broker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bootstrap: BTreeMap<String, Address>,
    /// Every broker that has a volume or a process, by id.
    pub brokers: BTreeMap<i32, BrokerSeen>,
    /// What Kafka itself says; None while no broker answers.
    pub kafka: Option<KafkaSeen>,
    /// Topics that were made or adopted for a manifest, by their names in Kafka.
    pub owned_topics: BTreeMap<String, OwnedTopic>,
    /// Cluster-wide dynamic settings that were set for the manifest, with their values.
    pub owned_config: BTreeMap<String, String>,
    /// What was tried and failed, by the target of the action, until it succeeds.
    pub failures: BTreeMap<String, FailureSeen>,
    /// Where volumes are made; None when the platform cannot tell.
    pub storage: Option<StorageSeen>,
    /// The status last reported, for the times of its conditions.
    pub last_status: Option<KafkaClusterStatus>,
    /// The same of each KafkaTopic, by the name of the object.
    pub last_topic_status: BTreeMap<String, KafkaTopicStatus>,
}

/// One broker as a platform sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerSeen {
    /// Whether it has a volume.
    pub volume: bool,
    /// Where its listeners can be reached, by the listener's name.
    pub addresses: BTreeMap<String, Address>,
    /// What its process does.
    pub process: ProcessSeen,
    /// As which broker it was last started.
    pub started_as: Option<Broker>,
}

/// What a broker's process does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessSeen {
    /// There is none, because none was asked for.
    #[default]
    Absent,
    /// It was asked for, and the platform cannot run it yet: why. It starts by itself when the cause
    /// is gone.
    Held(String),
    /// It runs and does not serve yet.
    Starting,
    /// It serves: its listeners answer, and the cluster knows it.
    Serving,
    /// It was told to stop.
    Stopping,
    /// It ended by itself.
    Down {
        /// How often in a row, without having served for long.
        exits: u32,
        /// Its last words, when it left any.
        cause: Option<String>,
        /// Not to be started before this wall-clock time in milliseconds.
        retry_at_ms: i64,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What Kafka says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSeen {
    /// The topics that manifests name or named, by their names in Kafka.
    pub topics: BTreeMap<String, TopicSeen>,
    /// Topics with replicas on each broker. Asked for only when brokers are to go, else None.
    pub topics_on: Option<BTreeMap<i32, BTreeSet<String>>>,
}

/// A topic as Kafka describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSeen {
    /// Its id.
    pub id: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// Copies of its first partition.
    pub replicas: i32,
    /// Settings that are set on the topic itself.
    pub config: BTreeMap<String, String>,
}

/// What is remembered about a topic that a manifest declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedTopic {
    /// The KafkaTopic's name.
    pub object: String,
    /// What becomes of the topic when the object goes.
    pub deletion_policy: DeletionPolicy,
    /// Settings that were set for the manifest; others are left alone.
    pub config: BTreeSet<String>,
}

/// Room for volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSeen {
    /// Where volumes are made, for people.
    pub place: String,
    /// Bytes that can still be written there.
    pub free_bytes: u64,
    /// Bytes that the brokers' volumes hold already.
    pub used_bytes: u64,
}

/// An action that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureSeen {
    /// Why, for people.
    pub message: String,
    /// Not to be tried before this wall-clock time in milliseconds.
    pub retry_at_ms: i64,
}
