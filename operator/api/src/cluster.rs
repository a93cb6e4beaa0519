//! `KafkaCluster`: some brokers, where they store, how they are reached, how they are set.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::config_value::Config;

/// A Kafka cluster.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ottla.io",
    version = "v1alpha1",
    kind = "KafkaCluster",
    plural = "kafkaclusters",
    namespaced,
    status = "KafkaClusterStatus",
    derive = "PartialEq",
    shortname = "kc",
    category = "all",
    category = "ottla",
    doc = "A Kafka cluster.",
    cel,
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("a cluster's name has at most 40 characters, so that the names of its parts fit")
        .field_path(".metadata.name"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("a cluster's name has lower-case letters, digits and '-', begins with a letter and ends with a letter or digit")
        .field_path(".metadata.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Serves traffic as declared"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "What goes on"),
    printcolumn(name = "Brokers", type_ = "integer", json_path = ".spec.replicas", description = "Declared brokers"),
    printcolumn(name = "Serving", type_ = "integer", json_path = ".status.readyReplicas", description = "Brokers that serve"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Bootstrap", type_ = "string", json_path = ".status.listeners[0].bootstrapServers", description = "Where clients connect", priority = 1)
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaClusterSpec {
    /// Number of brokers. The first is the metadata controller too.
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
    /// Where each broker keeps its data.
    pub storage: Storage,
    /// The ports that clients connect to.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(a, self.filter(b, b.port == a.port).size() == 1)")
            .message("two listeners have the same port"),
        validation = Rule::new("self.all(a, self.filter(b, b.name == a.name).size() == 1)")
            .message("two listeners have the same name")
    )]
    pub listeners: Vec<Listener>,
    /// Settings of every broker, by Kafka's names. What the manifest decides elsewhere cannot be set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 200))]
    #[x_kube(
        validation = Rule::new("self.all(k, !(k in ['node.id', 'broker.id', 'process.roles', 'listeners', 'advertised.listeners', 'log.dir', 'log.dirs', 'metadata.log.dir', 'inter.broker.listener.name', 'security.inter.broker.protocol', 'early.start.listeners']))")
            .message("node.id, process.roles, the listeners and the directories follow from the rest of the manifest and cannot be set in config"),
        validation = Rule::new("self.all(k, !k.startsWith('controller.quorum.') && !k.startsWith('controller.listener.') && !k.startsWith('listener.') && !k.startsWith('ottla.cluster.') && !k.startsWith('ottla.metrics.'))")
            .message("keys that begin with controller.quorum., controller.listener., listener., ottla.cluster. or ottla.metrics. follow from the rest of the manifest and cannot be set in config")
    )]
    pub config: Option<Config>,
}

/// Where a broker keeps its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// Kind of storage.
    #[serde(rename = "type")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the type of storage cannot be changed"))]
    pub type_: StorageType,
    /// Size of each broker's volume, as a quantity such as 10Gi. It can grow, not shrink. Run
    /// locally, a directory is as large as its file system: the size is then what `ottla up` asks
    /// the file system to have free, and warns when it has not.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
            .message("a size is a positive quantity such as 500Mi, 10Gi or 1Ti"),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message(::kube::core::Message::Expression("'storage cannot shrink (' + oldSelf + ' to ' + self + '): set the size back to ' + oldSelf + ' or more'".into()))
    )]
    pub size: String,
}

/// Kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StorageType {
    /// A volume that outlives its broker: a PersistentVolumeClaim, or a directory.
    #[serde(rename = "persistent-claim")]
    PersistentClaim,
}

/// A port that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Its name; Kafka knows it in capitals.
    #[schemars(length(min = 1, max = 11))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z][a-z0-9]*$')")
            .message("a listener's name has lower-case letters and digits and begins with a letter"),
        validation = Rule::new("!(self in ['controller', 'replication', 'management'])")
            .message("controller, replication and management are names of Ottla's own listeners")
    )]
    pub name: String,
    /// Its port. Run locally, brokers share the machine: the first broker takes this port, the
    /// others the next ones, and a port that is taken is passed over.
    #[schemars(range(min = 9092, max = 65535))]
    #[x_kube(validation = Rule::new("self != 9404").message("9404 is kept for metrics"))]
    pub port: i32,
    /// From where it can be reached.
    #[serde(rename = "type")]
    pub type_: ListenerType,
    /// Whether it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self").message("tls is not served by this version: set tls to false"))]
    pub tls: Option<bool>,
}

/// From where a listener can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerType {
    /// From inside the Kubernetes cluster; run locally, from this machine.
    Internal,
}

/// What is, as last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// The generation of the manifest that this status speaks of; -1 before the first look.
    #[serde(default)]
    pub observed_generation: i64,
    /// Kafka's cluster id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// What goes on, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// Brokers that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Brokers that serve.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub listeners: Vec<ListenerStatus>,
    /// Each broker, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub brokers: Vec<BrokerStatus>,
    /// What is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// Ready always; Reconciling and Stalled when they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What goes on with a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterPhase {
    /// Brokers start, for the first time or after a stop.
    Starting,
    /// Everything is as declared.
    Ready,
    /// Changes are being carried out.
    Updating,
    /// Something that ran does not, and is being brought back.
    Degraded,
    /// A human must change something.
    Stalled,
    /// Brokers are being stopped on request.
    Stopping,
    /// Brokers were stopped on request.
    Stopped,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The listener's name in the manifest.
    pub name: String,
    /// For a client's `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// The same, one by one.
    pub addresses: Vec<ListenerAddress>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerAddress {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: i32,
}

/// One broker, as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// Kafka's node id.
    pub id: i32,
    /// What it does.
    pub roles: Vec<Role>,
    /// Pending, Starting, Serving, Restarting, Stopping, Stopped or Failed.
    pub phase: String,
    /// Why it does not serve, when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a broker process does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decides about metadata.
    Controller,
    /// Stores and serves records.
    Broker,
}

/// What is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Names what is declared: equal hashes ask for the same cluster.
    pub hash: String,
    /// Restarts among the steps.
    pub restarts: i32,
    /// In the order in which they are taken.
    #[serde(default)]
    pub steps: Vec<StepStatus>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Place in the order, from 1.
    pub id: i32,
    /// What is done.
    pub action: String,
    /// To what, for example `broker-0` or `topic orders`.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Next, Waiting or Blocked.
    pub state: String,
}
