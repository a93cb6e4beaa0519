//! What the manifests say, taken together.

use ottla_operator_api::{KafkaCluster, KafkaTopic};
use serde::{Deserialize, Serialize};

/// The manifests of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// Every topic that names the cluster. A topic that was here earlier and is not any more is pruned.
    pub topics: Vec<KafkaTopic>,
    /// Whether brokers run at all.
    pub power: Power,
}

/// Whether brokers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// They do.
    On,
    /// They are stopped cleanly; data stays.
    Off,
}

impl Desired {
    /// The cluster's name; empty when the manifest has none (an API server and the reader of
    /// manifests refuse that).
    pub fn name(&self) -> &str {
        self.cluster.metadata.name.as_deref().unwrap_or_default()
    }

    /// The manifest's generation, counted by whoever stores it.
    pub fn generation(&self) -> i64 {
        self.cluster.metadata.generation.unwrap_or_default()
    }
}
