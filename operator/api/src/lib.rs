//! The manifests: `KafkaCluster` and `KafkaTopic` of group `ottla.io`, as types from which the
//! CRDs are made. A field stands here only when something works behind it.
//!
//! Invariant: every list, map and string that a CEL rule reads has a bound, so that an API server
//! accepts the cost of the rules. Not here: what follows from a manifest (operator/plan), the
//! reading of YAML (operator/src/manifest).

mod cluster;
mod condition;
mod config_value;
mod crd;
mod rules;
mod topic;

pub use cluster::{
    BrokerStatus, ClusterPhase, KafkaCluster, KafkaClusterSpec, KafkaClusterStatus, Listener,
    ListenerAddress, ListenerStatus, ListenerType, PlanStatus, Role, StepStatus, Storage,
    StorageType,
};
pub use condition::{Condition, ConditionStatus, condition_type};
pub use config_value::{Config, ConfigValue};
pub use crd::{GROUP, VERSION, crds, schema};
pub use rules::{Broken, Rules};
pub use topic::{ClusterRef, DeletionPolicy, KafkaTopic, KafkaTopicSpec, KafkaTopicStatus};

#[cfg(test)]
mod tests;
