//! How a cluster on this machine stands: the objects with their status, and what only a machine
//! has, such as folders and process ids.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ottla_operator_api::{KafkaCluster, KafkaTopic};
use ottla_operator_plan::{Observed, Plan, ProcessSeen};
use serde::{Deserialize, Serialize};

use super::folder::ClusterFolder;
use super::memory::{Declared, Memory};
use super::ports;

/// How a cluster stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The cluster with its status, as on Kubernetes.
    pub cluster: KafkaCluster,
    /// Its topics with theirs.
    pub topics: Vec<KafkaTopic>,
    /// Its brokers on this machine.
    pub brokers: Vec<BrokerView>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Whether a supervisor watches over the brokers.
    pub is_supervised: bool,
    /// Which program the supervisor is; another means that a newer one may take over.
    pub program: String,
}

/// A broker on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerView {
    /// Kafka's node id.
    pub id: i32,
    /// The process, when there is one.
    pub pid: Option<i32>,
    /// Where its listeners are, by name.
    pub addresses: BTreeMap<String, String>,
    /// Where it serves metrics and probes over HTTP; `None` while it has not said.
    pub metrics: Option<String>,
    /// Where it stores.
    pub data: PathBuf,
    /// What it has to say.
    pub log: PathBuf,
    /// How often in a row it ended without having served for long.
    pub ends: u32,
}

/// Puts a view together. `pids` has the brokers that run.
pub fn view(
    folder: &ClusterFolder,
    declared: &Declared,
    observed: &Observed,
    plan: &Plan,
    pids: &BTreeMap<i32, i32>,
    is_supervised: bool,
    program: &str,
) -> View {
    let mut cluster = declared.cluster.clone();
    cluster.status = Some(plan.status.clone());
    let topics = declared.topics.iter().map(|topic| {
        let mut topic = topic.clone();
        let name = topic.metadata.name.as_deref().unwrap_or_default();
        topic.status = plan.topic_status.get(name).cloned();
        topic
    });
    let first = plan.brokers.first().map_or(0, |broker| broker.id);
    let mut notes: Vec<String> = plan
        .brokers
        .iter()
        .flat_map(|broker| ports::note(broker, first))
        .collect();
    notes.extend(plan.warnings.iter().cloned());
    View {
        cluster,
        topics: topics.collect(),
        brokers: observed
            .brokers
            .iter()
            .map(|(id, seen)| BrokerView {
                id: *id,
                pid: pids.get(id).copied(),
                addresses: seen
                    .addresses
                    .iter()
                    .map(|(name, address)| (name.clone(), address.to_string()))
                    .collect(),
                metrics: None,
                data: folder.data(*id),
                log: folder.broker_log(*id),
                ends: match seen.process {
                    ProcessSeen::Down { exits, .. } => exits,
                    _ => 0,
                },
            })
            .collect(),
        notes,
        is_supervised,
        program: program.to_owned(),
    }
}

impl View {
    /// Tells where brokers serve metrics.
    pub(super) fn with_metrics(mut self, memory: &Memory) -> View {
        for broker in &mut self.brokers {
            let remembered = memory.brokers.get(&broker.id);
            let address = remembered.and_then(|remembered| remembered.metrics.as_ref());
            broker.metrics = address.map(ToString::to_string);
        }
        self
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        self.cluster.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether the cluster and all its topics are as declared in the generations that were
    /// declared last.
    pub fn is_ready(&self) -> bool {
        let ready = |generation: Option<i64>, observed: i64, is_true: bool| {
            is_true && generation.is_none_or(|generation| generation == observed)
        };
        let cluster = self.cluster.status.as_ref().is_some_and(|status| {
            ready(
                self.cluster.metadata.generation,
                status.observed_generation,
                is_true(&status.conditions),
            )
        });
        cluster
            && self.topics.iter().all(|topic| {
                topic.status.as_ref().is_some_and(|status| {
                    ready(
                        topic.metadata.generation,
                        status.observed_generation,
                        is_true(&status.conditions),
                    )
                })
            })
    }

    /// Why it is not ready, in the words of the first condition that says so.
    pub fn reason(&self) -> Option<String> {
        let of_cluster = self.cluster.status.iter().map(|s| ("", &s.conditions));
        let of_topics = self.topics.iter().filter_map(|topic| {
            let name = topic.metadata.name.as_deref().unwrap_or_default();
            Some((name, &topic.status.as_ref()?.conditions))
        });
        of_cluster
            .chain(of_topics)
            .filter(|(_, conditions)| !is_true(conditions))
            .find_map(|(name, conditions)| {
                let ready = conditions.iter().find(|c| c.type_ == "Ready")?;
                Some(match name {
                    "" => ready.message.clone(),
                    name => format!("KafkaTopic {name}: {}", ready.message),
                })
            })
    }
}

fn is_true(conditions: &[ottla_operator_api::Condition]) -> bool {
    conditions.iter().any(|c| {
        c.type_ == ottla_operator_api::condition_type::READY
            && c.status == ottla_operator_api::ConditionStatus::True
    })
}
