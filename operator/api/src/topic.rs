//! `KafkaTopic`: one topic of one cluster.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::config_value::Config;

/// A topic of a Kafka cluster.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ottla.io",
    version = "v1alpha1",
    kind = "KafkaTopic",
    plural = "kafkatopics",
    namespaced,
    status = "KafkaTopicStatus",
    derive = "PartialEq",
    shortname = "kt",
    category = "all",
    category = "ottla",
    doc = "A topic of a Kafka cluster.",
    cel,
    validation = Rule::new("has(self.spec.topicName) || size(self.metadata.name) <= 249")
        .message("a topic's name has at most 249 characters: set spec.topicName")
        .field_path(".metadata.name"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".spec.partitions"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "The topic is as declared"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.deletionPolicy", description = "What becomes of the data when this object goes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.topicName) == has(oldSelf.topicName) && (!has(self.topicName) || self.topicName == oldSelf.topicName)")
    .message("topicName cannot be changed: a topic cannot be renamed"))]
pub struct KafkaTopicSpec {
    /// The cluster that has the topic.
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterRef cannot be changed: a topic cannot move to another cluster"))]
    pub cluster_ref: ClusterRef,
    /// The topic's name in Kafka; absent: this object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..'")
            .message("a topic's name has letters, digits, '.', '_' and '-', and is not '.' or '..'"),
        validation = Rule::new("!self.startsWith('__')")
            .message("topics that begin with __ are Kafka's own")
    )]
    pub topic_name: Option<String>,
    /// Number of partitions. It can grow, not shrink.
    #[schemars(range(min = 1, max = 100_000))]
    // A message with numbers in it costs an API server more than it allows.
    #[x_kube(validation = Rule::new("self >= oldSelf")
        .message("partitions cannot decrease: set the number back to what it was, or more"))]
    pub partitions: i32,
    /// Copies of each partition; absent: the cluster's default.replication.factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i32>,
    /// Settings of the topic, by Kafka's names. Settings that are not named here are left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 100))]
    pub config: Option<Config>,
    /// What becomes of the topic when this object goes; absent: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// Names a cluster in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRef {
    /// Name of a KafkaCluster.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
}

/// What becomes of a topic when its object goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The topic stays, with its records.
    #[default]
    Retain,
    /// The topic is deleted, with its records.
    Delete,
}

/// What is, as last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// The generation of the manifest that this status speaks of; -1 before the first look.
    #[serde(default)]
    pub observed_generation: i64,
    /// Kafka's topic id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Partitions that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Ready always; Reconciling and Stalled when they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl KafkaTopic {
    /// The topic's name in Kafka.
    pub fn kafka_name(&self) -> &str {
        self.spec
            .topic_name
            .as_deref()
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }
}
