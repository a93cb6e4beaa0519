//! A part of a cluster: any object of Kubernetes that the operator makes, as JSON.

use serde_json::Value;

/// The kinds of parts, and the kinds that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What users declare.
    KafkaCluster,
    /// What users declare.
    KafkaTopic,
    /// Made by StatefulSets.
    Pod,
    /// One per broker.
    StatefulSet,
    /// One per broker, and the memory.
    ConfigMap,
    /// Two per cluster.
    Service,
    /// One per broker.
    PersistentVolumeClaim,
    /// One per cluster.
    PodDisruptionBudget,
    /// One per cluster.
    NetworkPolicy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::KafkaCluster,
        Kind::KafkaTopic,
        Kind::Pod,
        Kind::StatefulSet,
        Kind::ConfigMap,
        Kind::Service,
        Kind::PersistentVolumeClaim,
        Kind::PodDisruptionBudget,
        Kind::NetworkPolicy,
    ];

    /// Its group, empty for the core's; its version; its name; its plural.
    pub fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Kind::KafkaCluster => ("ottla.io", "v1alpha1", "KafkaCluster", "kafkaclusters"),
            Kind::KafkaTopic => ("ottla.io", "v1alpha1", "KafkaTopic", "kafkatopics"),
            Kind::Pod => ("", "v1", "Pod", "pods"),
            Kind::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Kind::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Kind::Service => ("", "v1", "Service", "services"),
            Kind::PersistentVolumeClaim => {
                ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
            }
            Kind::PodDisruptionBudget => (
                "policy",
                "v1",
                "PodDisruptionBudget",
                "poddisruptionbudgets",
            ),
            Kind::NetworkPolicy => (
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
            ),
        }
    }

    /// `apps/v1`.
    pub fn api_version(self) -> String {
        let (group, version, _, _) = self.names();
        match group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Whether users make it, not the operator or the cluster.
    pub fn is_declared(self) -> bool {
        matches!(self, Kind::KafkaCluster | Kind::KafkaTopic)
    }
}

/// A part as it shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it, signed.
    pub value: Value,
}
