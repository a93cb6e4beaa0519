//! What the parts of a cluster are called, and the labels by which they are found again. Pure.
//!
//! Invariant: a name follows from the cluster's name and a broker's id alone, so that whoever looks
//! for a part, now or in a later life, looks in one place.

use serde_json::{Value, json};

/// The one field manager of everything that the operator writes.
pub const MANAGER: &str = "ottla-operator";
/// The pool of brokers that a KafkaCluster declares itself. Dashboards and alerts of the field
/// look for this word in the names of pods and claims.
pub const POOL: &str = "kafka";
/// On everything: the KafkaCluster's name.
pub const CLUSTER: &str = "ottla.io/cluster";
/// On what belongs to one broker: its Kafka node id.
pub const BROKER_ID: &str = "ottla.io/broker-id";
/// On claims: Kafka's cluster id, without which a volume cannot be used again.
pub const CLUSTER_ID: &str = "ottla.io/kafka-cluster-id";
/// On claims of brokers that left: the volume is kept, and is no broker any more.
pub const RETIRED: &str = "ottla.io/retired";
/// On StatefulSets and pods: the planned broker as which a pod runs.
pub const STARTED_AS: &str = "ottla.io/started-as";

/// Names of one cluster's parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// Where it is.
    pub namespace: String,
    /// What it is called.
    pub cluster: String,
}

impl Names {
    /// The StatefulSet of a broker, and what belongs to it alone.
    pub fn broker(&self, id: i32) -> String {
        format!("{}-{POOL}-{id}", self.cluster)
    }

    /// A broker's pod.
    pub fn pod(&self, id: i32) -> String {
        format!("{}-0", self.broker(id))
    }

    /// The claim of a broker's volume.
    pub fn claim(&self, id: i32) -> String {
        format!("data-{}", self.broker(id))
    }

    /// The headless Service that names each pod.
    pub fn brokers(&self) -> String {
        format!("{}-{POOL}-brokers", self.cluster)
    }

    /// The Service where clients begin.
    pub fn bootstrap(&self) -> String {
        format!("{}-{POOL}-bootstrap", self.cluster)
    }

    /// What holds for all brokers: disruption budget, network policy.
    pub fn all(&self) -> String {
        format!("{}-{POOL}", self.cluster)
    }

    /// The ConfigMap of what must outlive an operator.
    pub fn memory(&self) -> String {
        format!("{}-{POOL}-memory", self.cluster)
    }

    /// A broker's name in the cluster's DNS; the same in every life of its pod.
    pub fn broker_host(&self, id: i32) -> String {
        format!("{}.{}.{}.svc", self.pod(id), self.brokers(), self.namespace)
    }

    /// The bootstrap Service's name in the cluster's DNS.
    pub fn bootstrap_host(&self) -> String {
        format!("{}.{}.svc", self.bootstrap(), self.namespace)
    }

    /// What selects the cluster's pods.
    pub fn selector(&self) -> Value {
        json!({ CLUSTER: self.cluster, "app.kubernetes.io/component": "broker" })
    }

    /// Labels of a part of the cluster.
    pub fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "kafka",
            "app.kubernetes.io/instance": self.cluster,
            "app.kubernetes.io/part-of": "ottla",
            "app.kubernetes.io/managed-by": MANAGER,
            CLUSTER: self.cluster,
        })
    }

    /// Labels of a part of one broker.
    pub fn broker_labels(&self, id: i32) -> Value {
        let mut labels = self.labels();
        labels["app.kubernetes.io/component"] = json!("broker");
        labels["ottla.io/pool"] = json!(POOL);
        labels[BROKER_ID] = json!(id.to_string());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_fit() {
        let names = Names {
            namespace: "n".into(),
            cluster: "c".repeat(40),
        };
        // A pod's label of its revision is the StatefulSet's name and eleven characters.
        assert!(names.broker(999).len() + 11 <= 63);
        assert!(names.bootstrap().len() <= 63 && names.pod(999).len() <= 63);
    }
}
