//! What a supervisor must know after the one before it is gone.

use std::collections::BTreeMap;

use ottla_operator_api::{KafkaCluster, KafkaTopic};
use ottla_operator_plan::{Address, Broker, Desired, Power};
use serde::{Deserialize, Serialize};

use crate::errands::Owned;

/// The manifests that hold, with the generations counted here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// Its topics.
    pub topics: Vec<KafkaTopic>,
    /// Whether brokers shall run.
    pub power: Power,
}

impl Declared {
    /// As the plan wants it.
    pub fn desired(&self) -> Desired {
        Desired {
            cluster: self.cluster.clone(),
            topics: self.topics.clone(),
            power: self.power,
        }
    }

    /// Counts generations as an API server does: up by one when the spec differs from before.
    pub fn after(mut self, before: Option<&Declared>, now: &str) -> Declared {
        let old = before.map(|before| &before.cluster);
        let is_same = old.is_some_and(|old| old.spec == self.cluster.spec);
        let metadata = &mut self.cluster.metadata;
        metadata.generation = Some(next_generation(
            old.and_then(|old| old.metadata.generation),
            is_same,
        ));
        metadata.creation_timestamp = created(
            old.and_then(|old| old.metadata.creation_timestamp.clone()),
            now,
        );
        for topic in &mut self.topics {
            let old = before
                .into_iter()
                .flat_map(|before| &before.topics)
                .find(|old| old.metadata.name == topic.metadata.name);
            let is_same = old.is_some_and(|old| old.spec == topic.spec);
            topic.metadata.generation = Some(next_generation(
                old.and_then(|old| old.metadata.generation),
                is_same,
            ));
            topic.metadata.creation_timestamp = created(
                old.and_then(|old| old.metadata.creation_timestamp.clone()),
                now,
            );
        }
        self
    }
}

fn next_generation(before: Option<i64>, is_same: bool) -> i64 {
    before.map_or(1, |before| if is_same { before } else { before + 1 })
}

/// The time kept from before, or now. Goes through JSON, so that the type of Kubernetes' times
/// need not be named here.
fn created<T: serde::de::DeserializeOwned>(before: Option<T>, now: &str) -> Option<T> {
    before.or_else(|| serde_json::from_value(now.into()).ok())
}

/// What must outlive a supervisor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Every broker that was made and not removed.
    pub brokers: BTreeMap<i32, RememberedBroker>,
    /// What was made in Kafka for a manifest.
    #[serde(flatten)]
    pub owned: Owned,
}

/// What is remembered of a broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RememberedBroker {
    /// Where its listeners are.
    pub addresses: BTreeMap<String, Address>,
    /// Where it serves metrics; `None` before its first start that knew of them.
    pub metrics: Option<Address>,
    /// As which broker it was last started.
    pub started_as: Option<Broker>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared(replicas: i32, partitions: i32) -> Declared {
        let cluster = json!({
            "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaCluster", "metadata": {"name": "c"},
            "spec": {
                "replicas": replicas,
                "storage": {"type": "persistent-claim", "size": "1Gi"},
                "listeners": [{"name": "plain", "port": 9092, "type": "internal"}],
            },
        });
        let topic = json!({
            "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaTopic", "metadata": {"name": "t"},
            "spec": {"clusterRef": {"name": "c"}, "partitions": partitions},
        });
        Declared {
            cluster: serde_json::from_value(cluster).unwrap(),
            topics: vec![serde_json::from_value(topic).unwrap()],
            power: Power::On,
        }
    }

    #[test]
    fn generations_count_changes_of_the_spec() {
        let generations = |d: &Declared| {
            (
                d.cluster.metadata.generation,
                d.topics[0].metadata.generation,
            )
        };
        let first = declared(1, 1).after(None, "2026-11-21T00:00:00Z");
        assert_eq!(generations(&first), (Some(1), Some(1)));
        let same = declared(1, 1).after(Some(&first), "2026-11-22T00:00:00Z");
        assert_eq!(same, first, "the creation time stays too");
        assert!(same.cluster.metadata.creation_timestamp.is_some());
        let grown = declared(1, 2).after(Some(&same), "2026-11-22T00:00:00Z");
        assert_eq!(generations(&grown), (Some(1), Some(2)));
        let more = declared(3, 2).after(Some(&grown), "2026-11-22T00:00:00Z");
        assert_eq!(generations(&more), (Some(2), Some(2)));
    }
}
