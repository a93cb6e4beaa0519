//! From what shall be and what is to the steps between, in the order in which they are safe.
//!
//! Order: brokers are made ready and started side by side; they are restarted one at a time,
//! each only while all others serve, the controller last; topics come when every broker serves,
//! so that they spread over all of them.

use std::collections::BTreeMap;

use ottla_operator_api::{DeletionPolicy, Role};

use crate::brokers::{Difference, difference};
use crate::check::Refusal;
use crate::desired::{Desired, Power};
use crate::observed::{BrokerSeen, FailureSeen, Observed, ProcessSeen, TopicSeen};
use crate::output::{Action, Broker, PlannedTopic, Step, StepState};
use crate::topics;

/// The steps, and when to look again although nothing changed (wall-clock milliseconds).
pub fn steps(
    desired: &Desired,
    observed: &Observed,
    brokers: &[Broker],
    planned: &[PlannedTopic],
    refused: &[Refusal],
    now_ms: i64,
) -> (Vec<Step>, Option<i64>) {
    let mut steps = Steps {
        list: Vec::new(),
        again: None,
        failures: &observed.failures,
        now_ms,
    };
    if desired.power == Power::Off {
        steps.stop_all(observed);
    } else {
        for broker in brokers {
            steps.start(broker, observed.brokers.get(&broker.id), now_ms);
        }
        steps.change(brokers, observed);
        steps.leave(desired, observed, brokers, refused);
        steps.topics(observed, brokers, planned);
        steps.prune(desired, observed, planned);
    }
    (steps.list, steps.again)
}

struct Steps<'a> {
    list: Vec<Step>,
    again: Option<i64>,
    failures: &'a BTreeMap<String, FailureSeen>,
    now_ms: i64,
}

impl Steps<'_> {
    fn push(&mut self, action: Action, reason: impl Into<String>, state: StepState) {
        let failure = self.failures.get(&action.target());
        let state = match (state, failure) {
            (StepState::Next, Some(failure)) if failure.retry_at_ms > self.now_ms => {
                self.look_again(failure.retry_at_ms);
                StepState::Waiting(format!("another attempt: {}", failure.message))
            }
            (state, _) => state,
        };
        self.list.push(Step {
            id: self.list.len() as i32 + 1,
            action,
            reason: reason.into(),
            state,
        });
    }

    fn look_again(&mut self, at_ms: i64) {
        self.again = Some(self.again.map_or(at_ms, |again| again.min(at_ms)));
    }

    /// Stops every broker; the controller goes last, because the others say goodbye to it.
    fn stop_all(&mut self, observed: &Observed) {
        let alive = |seen: &BrokerSeen| {
            matches!(
                seen.process,
                ProcessSeen::Held(_) | ProcessSeen::Starting | ProcessSeen::Serving
            )
        };
        let is_gone = |seen: &BrokerSeen| {
            matches!(seen.process, ProcessSeen::Absent | ProcessSeen::Down { .. })
        };
        let others_gone = observed
            .brokers
            .values()
            .all(|seen| is_controller(seen) || is_gone(seen));
        for (id, seen) in observed
            .brokers
            .iter()
            .rev()
            .filter(|(_, seen)| alive(seen))
        {
            let state = if is_controller(seen) && !others_gone {
                StepState::Waiting("the other brokers to stop".into())
            } else {
                StepState::Next
            };
            self.push(
                Action::Stop { broker: *id },
                "the cluster is stopped",
                state,
            );
        }
    }

    /// Whatever lets a broker run that does not.
    fn start(&mut self, broker: &Broker, seen: Option<&BrokerSeen>, now_ms: i64) {
        let id = broker.id;
        let Some(seen) = seen.filter(|seen| seen.volume) else {
            return self.push(
                Action::Prepare { broker: id },
                "a new broker",
                StepState::Next,
            );
        };
        if broker.listeners.iter().any(|l| l.address.is_none()) {
            return self.push(
                Action::Prepare { broker: id },
                "a listener has no address",
                StepState::Next,
            );
        }
        let state = if broker.quorum.is_none() {
            StepState::Waiting("the controller's address".into())
        } else {
            StepState::Next
        };
        match &seen.process {
            ProcessSeen::Absent => {
                let reason = match &seen.started_as {
                    None => "a new broker",
                    Some(started) if started != broker => "to run with what changed",
                    Some(_) => "it does not run",
                };
                self.push(Action::Start { broker: id }, reason, state);
            }
            ProcessSeen::Down {
                cause, retry_at_ms, ..
            } => {
                let reason = match cause {
                    Some(cause) => format!("it ended: {cause}"),
                    None => "it ended".into(),
                };
                if *retry_at_ms > now_ms {
                    self.look_again(*retry_at_ms);
                    let state = StepState::Waiting("a pause before it is tried again".into());
                    self.push(Action::Start { broker: id }, reason, state);
                } else {
                    self.push(Action::Start { broker: id }, reason, state);
                }
            }
            ProcessSeen::Held(_)
            | ProcessSeen::Starting
            | ProcessSeen::Serving
            | ProcessSeen::Stopping => {}
        }
    }

    /// Changes of running brokers: settings at once, restarts one by one.
    fn change(&mut self, brokers: &[Broker], observed: &Observed) {
        let running: Vec<(&Broker, &BrokerSeen, Difference)> = brokers
            .iter()
            .filter_map(|broker| {
                let seen = observed.brokers.get(&broker.id)?;
                let runs = matches!(
                    seen.process,
                    ProcessSeen::Held(_) | ProcessSeen::Starting | ProcessSeen::Serving
                );
                let started = seen.started_as.as_ref().filter(|_| runs)?;
                // Until every address is known there is nothing to compare with.
                broker
                    .listeners
                    .iter()
                    .all(|l| l.address.is_some())
                    .then(|| {
                        let difference = difference(broker, started, &observed.owned_config);
                        (broker, seen, difference)
                    })
            })
            .collect();
        self.reconfigure(&running, observed);
        let mut in_turn: Vec<_> = running
            .iter()
            .filter(|(_, _, difference)| !difference.restart.is_empty())
            .collect();
        in_turn
            .sort_by_key(|(broker, _, _)| (broker.roles.contains(&Role::Controller), -broker.id));
        let mut busy = None;
        for (broker, _, difference) in in_turn {
            let waits = busy
                .or_else(|| not_serving(brokers, observed, broker.id))
                .map(|id: i32| StepState::Waiting(format!("broker-{id} to serve")));
            busy = Some(broker.id);
            self.push(
                Action::Restart { broker: broker.id },
                difference.restart.join(", "),
                waits.unwrap_or(StepState::Next),
            );
        }
    }

    fn reconfigure(&mut self, running: &[(&Broker, &BrokerSeen, Difference)], observed: &Observed) {
        let mut set = BTreeMap::new();
        let mut delete = std::collections::BTreeSet::new();
        for (_, _, difference) in running {
            set.extend(difference.set.clone());
            delete.extend(difference.delete.iter().cloned());
        }
        if set.is_empty() && delete.is_empty() {
            return;
        }
        let keys: Vec<&str> = set.keys().chain(&delete).map(String::as_str).collect();
        let reason = format!("{} can change while brokers run", keys.join(", "));
        let state = match observed.kafka {
            Some(_) => StepState::Next,
            None => StepState::Waiting("a broker to answer".into()),
        };
        self.push(Action::Reconfigure { set, delete }, reason, state);
    }

    /// Brokers that shall go. With one copy of each partition a broker may go only when it holds
    /// none.
    fn leave(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        brokers: &[Broker],
        refused: &[Refusal],
    ) {
        if refused.iter().any(Refusal::is_of_cluster) {
            return;
        }
        let leaving: Vec<(i32, &BrokerSeen)> = observed
            .brokers
            .iter()
            .rev()
            .filter(|(id, _)| !brokers.iter().any(|b| b.id == **id))
            .map(|(id, seen)| (*id, seen))
            .collect();
        let states: Vec<StepState> = leaving
            .iter()
            .map(|(id, seen)| may_leave(*id, seen, observed))
            .collect();
        // One that cannot go keeps the others, so that the declared number can be set back.
        let is_held = states.iter().any(|s| matches!(s, StepState::Blocked(_)));
        for ((id, seen), state) in leaving.into_iter().zip(states) {
            let state = match state {
                StepState::Next if is_held => StepState::Waiting("all of them to be free".into()),
                state => state,
            };
            let action = match seen.process {
                ProcessSeen::Stopping => continue,
                ProcessSeen::Absent | ProcessSeen::Down { .. } => Action::Remove { broker: id },
                ProcessSeen::Held(_) | ProcessSeen::Starting | ProcessSeen::Serving => {
                    Action::Stop { broker: id }
                }
            };
            let reason = format!("spec.replicas is {}", desired.cluster.spec.replicas);
            self.push(action, reason, state);
        }
    }

    fn topics(&mut self, observed: &Observed, brokers: &[Broker], planned: &[PlannedTopic]) {
        for topic in planned {
            let Some(kafka) = &observed.kafka else {
                if !observed.owned_topics.contains_key(&topic.name) {
                    let state = StepState::Waiting("brokers to serve".into());
                    self.create(topic, state);
                }
                continue;
            };
            match kafka.topics.get(&topic.name) {
                None => {
                    let state = match not_serving(brokers, observed, -1) {
                        Some(id) => StepState::Waiting(format!("broker-{id} to serve")),
                        None => StepState::Next,
                    };
                    self.create(topic, state);
                }
                Some(seen) => self.existing_topic(topic, seen, observed),
            }
        }
    }

    fn create(&mut self, topic: &PlannedTopic, state: StepState) {
        let action = Action::CreateTopic {
            topic: topic.name.clone(),
        };
        let reason = format!("KafkaTopic {} declares it", topic.owned.object);
        self.push(action, reason, state);
    }

    fn existing_topic(&mut self, topic: &PlannedTopic, seen: &TopicSeen, observed: &Observed) {
        let before = self.list.len();
        if topic.partitions != seen.partitions {
            let state = if topic.partitions > seen.partitions {
                StepState::Next
            } else {
                StepState::Blocked(format!(
                    "spec.partitions: the topic has {} partitions, and none can be taken away; declare {} or more",
                    seen.partitions, seen.partitions
                ))
            };
            let action = Action::AddPartitions {
                topic: topic.name.clone(),
                partitions: topic.partitions,
            };
            let reason = format!("{} declared, {} there", topic.partitions, seen.partitions);
            self.push(action, reason, state);
        }
        let owned = observed.owned_topics.get(&topic.name);
        self.configure_topic(topic, seen, owned.map(|o| &o.config));
        if self.list.len() == before && owned != Some(&topic.owned) {
            let action = Action::AdoptTopic {
                topic: topic.name.clone(),
            };
            let reason = format!("KafkaTopic {} declares it", topic.owned.object);
            self.push(action, reason, StepState::Next);
        }
    }

    fn configure_topic(
        &mut self,
        topic: &PlannedTopic,
        seen: &TopicSeen,
        owned: Option<&std::collections::BTreeSet<String>>,
    ) {
        let set: BTreeMap<String, String> = topic
            .config
            .iter()
            .filter(|(key, value)| seen.config.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let delete: std::collections::BTreeSet<String> = owned
            .into_iter()
            .flatten()
            .filter(|key| !topic.config.contains_key(*key) && seen.config.contains_key(*key))
            .cloned()
            .collect();
        if set.is_empty() && delete.is_empty() {
            return;
        }
        let keys: Vec<&str> = set.keys().chain(&delete).map(String::as_str).collect();
        let reason = format!("{} differs", keys.join(", "));
        let topic = topic.name.clone();
        self.push(
            Action::ConfigureTopic { topic, set, delete },
            reason,
            StepState::Next,
        );
    }

    /// Topics whose objects are gone.
    fn prune(&mut self, desired: &Desired, observed: &Observed, planned: &[PlannedTopic]) {
        for name in topics::pruned(desired, observed) {
            if planned.iter().any(|topic| topic.name == name) {
                continue;
            }
            let owned = &observed.owned_topics[&name];
            let topic = name.clone();
            let reason = format!("KafkaTopic {} is gone", owned.object);
            match (owned.deletion_policy, &observed.kafka) {
                (DeletionPolicy::Retain, _) => {
                    let reason = format!("{reason}, its deletionPolicy keeps the records");
                    self.push(Action::ReleaseTopic { topic }, reason, StepState::Next);
                }
                (DeletionPolicy::Delete, None) => {
                    let state = StepState::Waiting("brokers to serve".into());
                    self.push(Action::DeleteTopic { topic }, reason, state);
                }
                (DeletionPolicy::Delete, Some(kafka)) if kafka.topics.contains_key(&name) => {
                    let reason = format!("{reason}, its deletionPolicy is Delete");
                    self.push(Action::DeleteTopic { topic }, reason, StepState::Next);
                }
                (DeletionPolicy::Delete, Some(_)) => {
                    self.push(Action::ReleaseTopic { topic }, reason, StepState::Next);
                }
            }
        }
    }
}

fn is_controller(seen: &BrokerSeen) -> bool {
    seen.started_as
        .as_ref()
        .is_some_and(|broker| broker.roles.contains(&Role::Controller))
}

/// A broker that shall serve and does not, other than `except`.
fn not_serving(brokers: &[Broker], observed: &Observed, except: i32) -> Option<i32> {
    brokers
        .iter()
        .map(|broker| broker.id)
        .filter(|id| *id != except)
        .find(|id| {
            observed
                .brokers
                .get(id)
                .is_none_or(|seen| seen.process != ProcessSeen::Serving)
        })
}

fn may_leave(id: i32, seen: &BrokerSeen, observed: &Observed) -> StepState {
    if seen.started_as.is_none() {
        return StepState::Next;
    }
    let topics_on = observed.kafka.as_ref().and_then(|k| k.topics_on.as_ref());
    let Some(topics_on) = topics_on else {
        return StepState::Waiting("the cluster to say what the broker holds".into());
    };
    let topics: Vec<&str> = topics_on
        .get(&id)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if topics.is_empty() {
        return StepState::Next;
    }
    let named = match topics.len() {
        0..=3 => topics.join(", "),
        n => format!("{} and {} more", topics[..3].join(", "), n - 3),
    };
    StepState::Blocked(format!(
        "spec.replicas: broker-{id} holds the only copy of partitions of {named}; set replicas back, or delete these topics"
    ))
}
