//! What is under way in Kafka for one cluster: actions that run, what Kafka was last heard to say,
//! and what became of it. The same on every platform; whoever owns the cluster is told by calls.
//!
//! Invariant: an action's target is busy until Kafka was asked how it stands after the action, so
//! that nothing is done twice on the word of an old answer.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ottla_client::net::NetRef;
use ottla_operator_plan::{Action, Address, KafkaSeen, OwnedTopic, Plan};
use serde::{Deserialize, Serialize};

use crate::kafka::Kafka;

/// What was made in Kafka for a manifest, and must be remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owned {
    /// Topics that were made or adopted, by their names in Kafka.
    #[serde(rename = "owned_topics")]
    pub topics: BTreeMap<String, OwnedTopic>,
    /// Dynamic settings of all brokers.
    #[serde(rename = "owned_config")]
    pub config: BTreeMap<String, String>,
}

impl Owned {
    /// What a finished action leaves to remember.
    pub fn note(&mut self, action: &Action, plan: &Plan) {
        match action {
            Action::Reconfigure { set, delete } => {
                self.config.extend(set.clone());
                self.config.retain(|key, _| !delete.contains(key));
            }
            Action::DeleteTopic { topic } | Action::ReleaseTopic { topic } => {
                self.topics.remove(topic);
            }
            Action::CreateTopic { topic }
            | Action::AdoptTopic { topic }
            | Action::AddPartitions { topic, .. }
            | Action::ConfigureTopic { topic, .. } => {
                if let Some(planned) = plan.topics.iter().find(|planned| planned.name == *topic) {
                    self.topics.insert(topic.clone(), planned.owned.clone());
                }
            }
            Action::Prepare { .. }
            | Action::Start { .. }
            | Action::Restart { .. }
            | Action::Stop { .. }
            | Action::Remove { .. } => {}
        }
    }
}

/// What errands tell.
#[derive(Debug)]
pub enum Told {
    /// Kafka was asked about topics.
    Looked(Result<KafkaSeen, String>),
    /// An action in Kafka ended.
    Done {
        /// Which.
        action: Box<Action>,
        /// The plan that it is from.
        plan: Rc<Plan>,
        /// Its outcome, for people.
        result: Result<(), String>,
    },
}

/// Whom to tell.
pub type Tell = Rc<dyn Fn(Told)>;

/// See the module.
pub struct Errands {
    net: NetRef,
    tell: Tell,
    /// Targets of actions that run, or whose outcome Kafka was not asked about yet.
    busy: BTreeSet<String>,
    /// Of these, those that ended.
    ended: BTreeSet<String>,
    is_look_wanted: bool,
    look_runs: bool,
    seen: Option<KafkaSeen>,
}

impl Errands {
    /// Nothing is under way, and Kafka is to be asked.
    pub fn new(net: NetRef, tell: Tell) -> Errands {
        Errands {
            net,
            tell,
            busy: BTreeSet::new(),
            ended: BTreeSet::new(),
            is_look_wanted: true,
            look_runs: false,
            seen: None,
        }
    }

    /// What Kafka said last; None when it has not, or no broker serves any more.
    pub fn seen(&self) -> Option<&KafkaSeen> {
        self.seen.as_ref()
    }

    /// Whether something is under way for a target.
    pub fn is_busy(&self, target: &str) -> bool {
        self.busy.contains(target)
    }

    /// Kafka is to be asked again.
    pub fn want_look(&mut self) {
        self.is_look_wanted = true;
    }

    /// No broker serves: what Kafka said holds no more.
    pub fn forget_seen(&mut self) {
        self.seen = None;
        self.is_look_wanted = true;
    }

    /// Starts an action that Kafka does.
    pub fn carry_out(&mut self, action: &Action, plan: &Rc<Plan>, addresses: Vec<Address>) {
        self.busy.insert(action.target());
        let kafka = Kafka::new(self.net.clone(), addresses);
        let (action, plan, tell) = (action.clone(), plan.clone(), self.tell.clone());
        tokio::task::spawn_local(async move {
            let result = kafka.carry_out(&action, &plan.topics).await;
            tell(Told::Done {
                action: Box::new(action),
                plan,
                result: result.map_err(|error| error.to_string()),
            });
        });
    }

    /// An action ended.
    pub fn ended(&mut self, target: String) {
        self.ended.insert(target);
        self.is_look_wanted = true;
    }

    /// Asks Kafka about topics, and about what brokers hold when some are to go; once at a time, and
    /// only when there is reason to.
    pub fn look(&mut self, names: BTreeSet<String>, wants_holders: bool, addresses: Vec<Address>) {
        if !self.is_look_wanted || self.look_runs || addresses.is_empty() {
            return;
        }
        self.is_look_wanted = false;
        self.look_runs = true;
        let kafka = Kafka::new(self.net.clone(), addresses);
        let tell = self.tell.clone();
        tokio::task::spawn_local(async move {
            tell(Told::Looked(ask(&kafka, &names, wants_holders).await));
        });
    }

    /// Takes in what Kafka said; false when it said nothing, and whoever owns the clock lets it be
    /// asked again.
    pub fn looked(&mut self, result: Result<KafkaSeen, String>) -> bool {
        self.look_runs = false;
        match result {
            Ok(kafka) => {
                self.seen = Some(kafka);
                // What ended after this look began was asked for again.
                if !self.is_look_wanted {
                    for target in std::mem::take(&mut self.ended) {
                        self.busy.remove(&target);
                    }
                }
                true
            }
            Err(message) => {
                tracing::debug!(message, "Kafka does not say how its topics stand");
                false
            }
        }
    }
}

async fn ask(
    kafka: &Kafka,
    names: &BTreeSet<String>,
    wants_holders: bool,
) -> Result<KafkaSeen, String> {
    let topics = kafka.topics(names).await.map_err(|e| e.to_string())?;
    let topics_on = if wants_holders {
        Some(kafka.topics_on().await.map_err(|e| e.to_string())?)
    } else {
        None
    };
    Ok(KafkaSeen { topics, topics_on })
}
