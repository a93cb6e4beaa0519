//! What a plan consists of.

use std::collections::{BTreeMap, BTreeSet};

use ottla_operator_api::{KafkaClusterStatus, KafkaTopicStatus, Role};
use serde::{Deserialize, Serialize};

use crate::check::Refusal;
use crate::observed::{Address, OwnedTopic};

/// The name of the listener that controllers and brokers use among themselves.
pub const CONTROLLER: &str = "controller";

/// What there shall be, what leads there, and what to report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Every broker that shall be.
    pub brokers: Vec<Broker>,
    /// Every topic that shall be.
    pub topics: Vec<PlannedTopic>,
    /// Topics whose manifests are gone, by their names in Kafka.
    pub prune: Vec<String>,
    /// What to do, in order. Steps in state `Next` may be carried out now, side by side.
    pub steps: Vec<Step>,
    /// Names what is declared: equal hashes ask for the same brokers and topics.
    pub hash: String,
    /// What the manifests ask for and cannot have.
    pub refused: Vec<Refusal>,
    /// What is accepted and worth knowing.
    pub warnings: Vec<String>,
    /// The KafkaCluster's status.
    pub status: KafkaClusterStatus,
    /// Each KafkaTopic's status, by the name of the object.
    pub topic_status: BTreeMap<String, KafkaTopicStatus>,
    /// When to plan again although nothing new was seen, wall-clock milliseconds.
    pub again: Option<i64>,
}

impl Plan {
    /// What a human must change before every step can be taken; empty when nothing.
    pub fn blocked(&self) -> Vec<String> {
        self.steps
            .iter()
            .filter_map(|step| match &step.state {
                StepState::Blocked(why) => Some(why.clone()),
                StepState::Next | StepState::Waiting(_) => None,
            })
            .collect()
    }
}

/// One broker as it shall run. Two equal values mean that a running process needs no change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    /// Kafka's node id.
    pub id: i32,
    /// What the process does.
    pub roles: Vec<Role>,
    /// Its listeners: its clients' ones in the manifest's order, then the controller's.
    pub listeners: Vec<BrokerListener>,
    /// Where the metadata quorum is found; None until the platform has said.
    pub quorum: Option<Address>,
    /// Its settings, without those that follow from the fields above.
    pub config: BTreeMap<String, String>,
    /// Where it stores.
    pub volume: Volume,
}

/// A listener of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerListener {
    /// The manifest's name, or [`CONTROLLER`].
    pub name: String,
    /// The declared port; None where the platform chooses.
    pub port: Option<u16>,
    /// Where it is reached; None until the platform has said.
    pub address: Option<Address>,
}

/// A broker's volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// A Kubernetes quantity.
    pub size: String,
}

/// A topic as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTopic {
    /// Its name in Kafka.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Copies; None: the cluster's default.
    pub replicas: Option<i32>,
    /// Settings.
    pub config: BTreeMap<String, String>,
    /// What to remember of it.
    pub owned: OwnedTopic,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Place in the order, from 1.
    pub id: i32,
    /// What to do.
    pub action: Action,
    /// Why, for people.
    pub reason: String,
    /// Whether it may be done now.
    pub state: StepState,
}

/// Whether a step may be done now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    /// Yes.
    Next,
    /// Not yet: for what it waits.
    Waiting(String),
    /// Not before a human changes something: what.
    Blocked(String),
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Makes the broker's volume and finds addresses for its listeners.
    Prepare {
        /// Broker id.
        broker: i32,
    },
    /// Starts the broker's process.
    Start {
        /// Broker id.
        broker: i32,
    },
    /// Stops the broker cleanly; it is started again by a later plan.
    Restart {
        /// Broker id.
        broker: i32,
    },
    /// Stops the broker cleanly. Its volume stays.
    Stop {
        /// Broker id.
        broker: i32,
    },
    /// Takes a broker out of the cluster's memory after it stopped. Its volume stays.
    Remove {
        /// Broker id.
        broker: i32,
    },
    /// Changes settings of all brokers while they run.
    Reconfigure {
        /// Settings to set.
        set: BTreeMap<String, String>,
        /// Settings to take back.
        delete: BTreeSet<String>,
    },
    /// Creates a topic.
    CreateTopic {
        /// Its name in Kafka.
        topic: String,
    },
    /// Remembers a topic that is as declared already.
    AdoptTopic {
        /// Its name in Kafka.
        topic: String,
    },
    /// Adds partitions to a topic.
    AddPartitions {
        /// Its name in Kafka.
        topic: String,
        /// The new number of partitions.
        partitions: i32,
    },
    /// Changes settings of a topic.
    ConfigureTopic {
        /// Its name in Kafka.
        topic: String,
        /// Settings to set.
        set: BTreeMap<String, String>,
        /// Settings to take back.
        delete: BTreeSet<String>,
    },
    /// Deletes a topic with its records.
    DeleteTopic {
        /// Its name in Kafka.
        topic: String,
    },
    /// Forgets a topic; it stays in Kafka with its records.
    ReleaseTopic {
        /// Its name in Kafka.
        topic: String,
    },
}

impl Action {
    /// The action in one CamelCase word.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Prepare { .. } => "Prepare",
            Action::Start { .. } => "Start",
            Action::Restart { .. } => "Restart",
            Action::Stop { .. } => "Stop",
            Action::Remove { .. } => "Remove",
            Action::Reconfigure { .. } => "Reconfigure",
            Action::CreateTopic { .. } => "CreateTopic",
            Action::AdoptTopic { .. } => "AdoptTopic",
            Action::AddPartitions { .. } => "AddPartitions",
            Action::ConfigureTopic { .. } => "ConfigureTopic",
            Action::DeleteTopic { .. } => "DeleteTopic",
            Action::ReleaseTopic { .. } => "ReleaseTopic",
        }
    }

    /// To what it is done: `broker-0`, `topic orders`, `all brokers`.
    pub fn target(&self) -> String {
        match self {
            Action::Prepare { broker }
            | Action::Start { broker }
            | Action::Restart { broker }
            | Action::Stop { broker }
            | Action::Remove { broker } => format!("broker-{broker}"),
            Action::Reconfigure { .. } => "all brokers".into(),
            Action::CreateTopic { topic }
            | Action::AdoptTopic { topic }
            | Action::AddPartitions { topic, .. }
            | Action::ConfigureTopic { topic, .. }
            | Action::DeleteTopic { topic }
            | Action::ReleaseTopic { topic } => format!("topic {topic}"),
        }
    }

    /// The topic that the action is about, by its name in Kafka.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Action::CreateTopic { topic }
            | Action::AdoptTopic { topic }
            | Action::AddPartitions { topic, .. }
            | Action::ConfigureTopic { topic, .. }
            | Action::DeleteTopic { topic }
            | Action::ReleaseTopic { topic } => Some(topic),
            _ => None,
        }
    }

    /// The broker that the action starts or stops.
    pub fn broker(&self) -> Option<i32> {
        match self {
            Action::Prepare { broker }
            | Action::Start { broker }
            | Action::Restart { broker }
            | Action::Stop { broker }
            | Action::Remove { broker } => Some(*broker),
            _ => None,
        }
    }
}

/// The fingerprint of what is declared. Where things are reached is left out: it is found, not
/// declared.
pub fn hash(brokers: &[Broker], topics: &[PlannedTopic]) -> String {
    let mut declared = brokers.to_vec();
    for broker in &mut declared {
        broker.quorum = None;
        for listener in &mut broker.listeners {
            listener.address = None;
        }
    }
    fingerprint(&serde_json::to_string(&(declared, topics)).expect("plain data is JSON"))
}

/// FNV-1a in sixteen hexadecimal digits: tells texts apart, guards against nobody.
pub fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
