//! What manifests ask for and cannot have, beyond what one manifest's own rules can tell: Kafka's
//! settings, other manifests, what this version serves.

use std::collections::BTreeMap;
use std::fmt;

use ottla_operator_api::{Config, KafkaTopic};
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::observed::Observed;
use crate::settings::{self, Scope, Wrong};
use crate::topics::object;

/// Copies of a partition that this version keeps.
const REPLICATION_FACTOR_MAX: i64 = 1;

/// Broker settings that are numbers of copies.
const FACTORS: &[&str] = &[
    "default.replication.factor",
    "min.insync.replicas",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
];

/// Something asked for that cannot be had. `Display` gives field and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose manifest asks.
    pub subject: Subject,
    /// Where in the manifest, from the root.
    pub field: Vec<String>,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, and what to do.
    pub message: String,
}

/// Whose manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The KafkaCluster.
    Cluster,
    /// The KafkaTopic of this name.
    Topic(String),
}

impl Refusal {
    /// Whether the cluster's manifest is at fault.
    pub fn is_of_cluster(&self) -> bool {
        self.subject == Subject::Cluster
    }

    /// Whether the manifest of the KafkaTopic `object` is at fault.
    pub fn is_of_topic(&self, object: &str) -> bool {
        matches!(&self.subject, Subject::Topic(name) if name == object)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field.join("."), self.message)
    }
}

/// Everything that is refused, clusters first, in the manifests' order.
pub fn refusals(desired: &Desired, observed: &Observed) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    cluster_config(desired, &mut refusals);
    for (index, topic) in desired.topics.iter().enumerate() {
        check_topic(topic, desired, observed, &mut refusals);
        let earlier = desired.topics[..index]
            .iter()
            .find(|other| other.kafka_name() == topic.kafka_name());
        if let Some(earlier) = earlier {
            refusals.push(Refusal {
                subject: Subject::Topic(object(topic).to_owned()),
                field: vec!["spec".into(), "topicName".into()],
                reason: "DeclaredTwice".into(),
                message: format!(
                    "KafkaTopic {} declares topic {} already",
                    object(earlier),
                    topic.kafka_name()
                ),
            });
        }
    }
    refusals
}

fn cluster_config(desired: &Desired, refusals: &mut Vec<Refusal>) {
    let config = config_texts(desired.cluster.spec.config.as_ref());
    for wrong in wrong_config(Scope::Broker, &config) {
        refusals.push(Refusal {
            subject: Subject::Cluster,
            field: vec!["spec".into(), "config".into(), wrong.key],
            reason: wrong.reason.into(),
            message: wrong.message,
        });
    }
}

/// What Kafka would refuse, and what this version cannot serve yet.
fn wrong_config(scope: Scope, config: &BTreeMap<String, String>) -> Vec<Wrong> {
    let mut wrong = settings::wrong(scope, config);
    for (key, value) in config {
        let copies = value.parse().unwrap_or(1);
        let is_told = wrong.iter().any(|wrong| wrong.key == *key);
        if !is_told && FACTORS.contains(&key.as_str()) && copies > REPLICATION_FACTOR_MAX {
            wrong.push(Wrong {
                key: key.clone(),
                reason: "ReplicationNotServed",
                message: format!(
                    "this version keeps one copy of each partition, and {copies} are asked for; set it to 1"
                ),
            });
        }
    }
    wrong
}

fn check_topic(
    topic: &KafkaTopic,
    desired: &Desired,
    observed: &Observed,
    refusals: &mut Vec<Refusal>,
) {
    let mut refuse = |field: &[&str], reason: &str, message: String| {
        refusals.push(Refusal {
            subject: Subject::Topic(object(topic).to_owned()),
            field: field.iter().map(|part| (*part).to_owned()).collect(),
            reason: reason.into(),
            message,
        });
    };
    if topic.spec.cluster_ref.name != desired.name() {
        refuse(
            &["spec", "clusterRef", "name"],
            "NoSuchCluster",
            format!(
                "no KafkaCluster is called {}; there is {}",
                topic.spec.cluster_ref.name,
                desired.name()
            ),
        );
    }
    let copies = topic.spec.replicas.unwrap_or(1);
    if i64::from(copies) > REPLICATION_FACTOR_MAX {
        let message = format!(
            "this version keeps one copy of each partition, and {copies} are asked for; set replicas to 1"
        );
        refuse(&["spec", "replicas"], "ReplicationNotServed", message);
    }
    for wrong in wrong_config(Scope::Topic, &config_texts(topic.spec.config.as_ref())) {
        refuse(&["spec", "config", &wrong.key], wrong.reason, wrong.message);
    }
    let other = observed
        .owned_topics
        .iter()
        .find(|(name, owned)| owned.object == object(topic) && *name != topic.kafka_name());
    if let Some((name, _)) = other {
        let message = format!("it was {name}: a topic cannot be renamed");
        refuse(&["spec", "topicName"], "Immutable", message);
    }
}

/// A manifest's settings in Kafka's spelling.
pub fn config_texts(config: Option<&Config>) -> BTreeMap<String, String> {
    config
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.to_string()))
        .collect()
}

/// What is accepted and worth knowing.
pub fn warnings(desired: &Desired, observed: &Observed) -> Vec<String> {
    let of_cluster = config_texts(desired.cluster.spec.config.as_ref())
        .into_keys()
        .filter_map(|key| settings::warning(Scope::Broker, &key));
    let of_topics = desired.topics.iter().flat_map(|topic| {
        config_texts(topic.spec.config.as_ref())
            .into_keys()
            .filter_map(|key| settings::warning(Scope::Topic, &key))
    });
    let mut warnings: Vec<String> = of_cluster.chain(of_topics).collect();
    warnings.dedup();
    warnings.extend(storage_warning(desired, observed));
    warnings
}

/// Whether the brokers' declared volumes fit where they are made.
pub fn storage_warning(desired: &Desired, observed: &Observed) -> Option<String> {
    let storage = observed.storage.as_ref()?;
    let size = &desired.cluster.spec.storage.size;
    let declared =
        quantity_bytes(size)?.checked_mul(u64::try_from(desired.cluster.spec.replicas).ok()?)?;
    let room = storage.free_bytes.saturating_add(storage.used_bytes);
    (room < declared).then(|| {
        format!(
            "spec.storage.size: {size} for each of {} brokers is more than {} has room for",
            desired.cluster.spec.replicas, storage.place
        )
    })
}

/// A Kubernetes quantity in bytes, rounded up; None when it is none or does not fit.
pub fn quantity_bytes(quantity: &str) -> Option<u64> {
    let split = quantity
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(split);
    let factor = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Pi" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = (number.parse::<f64>().ok()? * factor).ceil();
    // A float above this has no exact neighbours, and no disk is as large.
    (bytes < 9e15).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::quantity_bytes;

    #[test]
    fn quantities() {
        assert_eq!(quantity_bytes("10Gi"), Some(10 << 30));
        assert_eq!(quantity_bytes("1.5k"), Some(1500));
        assert_eq!(quantity_bytes("1"), Some(1));
        assert_eq!(quantity_bytes("10GB"), None);
        assert_eq!(quantity_bytes("Gi"), None);
    }
}
