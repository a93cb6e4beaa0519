//! What to report: a function of the same arguments as the plan, so that nothing moves while
//! nothing changes. kstatus' rules: `Ready` always, `Reconciling` only while there is work,
//! `Stalled` only when a human must change something.

use std::collections::BTreeMap;

use ottla_operator_api::{
    BrokerStatus, ClusterPhase, Condition, ConditionStatus, KafkaClusterStatus, KafkaTopic,
    KafkaTopicStatus, ListenerAddress, ListenerStatus, PlanStatus, StepStatus, condition_type,
};

use crate::check::{self, Refusal};
use crate::clock::rfc3339;
use crate::desired::{Desired, Power};
use crate::observed::{BrokerSeen, Observed, ProcessSeen};
use crate::output::{Action, Broker, Step, StepState};
use crate::topics::object;

/// The cluster's status.
pub fn cluster(
    desired: &Desired,
    observed: &Observed,
    brokers: &[Broker],
    steps: &[Step],
    refused: &[Refusal],
    hash: &str,
    now_ms: i64,
) -> KafkaClusterStatus {
    let serving = |broker: &&Broker| process(observed, broker.id) == Some(&ProcessSeen::Serving);
    let ready = brokers.iter().filter(serving).count() as i32;
    // A topic's steps and faults are told by the KafkaTopic: the cluster serves meanwhile.
    let steps: Vec<&Step> = steps
        .iter()
        .filter(|s| s.action.topic().is_none())
        .collect();
    let steps = steps.as_slice();
    let phase = phase(desired, observed, brokers, steps, refused);
    let last = observed.last_status.as_ref();
    KafkaClusterStatus {
        observed_generation: desired.generation(),
        cluster_id: Some(observed.cluster_id.clone()).filter(|id| !id.is_empty()),
        phase: Some(phase),
        replicas: observed.brokers.len() as i32,
        ready_replicas: ready,
        listeners: listeners(desired, observed, brokers),
        brokers: observed.brokers.iter().map(broker_status).collect(),
        plan: Some(plan_status(steps, hash)),
        conditions: Conditions {
            last: last.map(|s| s.conditions.as_slice()).unwrap_or_default(),
            generation: desired.generation(),
            now_ms,
            list: Vec::new(),
        }
        .of_cluster(phase, desired, observed, steps, refused),
    }
}

/// Each topic's status, by the name of its object.
pub fn topics(
    desired: &Desired,
    observed: &Observed,
    steps: &[Step],
    refused: &[Refusal],
    now_ms: i64,
) -> BTreeMap<String, KafkaTopicStatus> {
    let mut statuses = BTreeMap::new();
    for topic in &desired.topics {
        let generation = topic.metadata.generation.unwrap_or_default();
        let last = observed.last_topic_status.get(object(topic));
        let seen = observed
            .kafka
            .as_ref()
            .and_then(|kafka| kafka.topics.get(topic.kafka_name()));
        let name = topic.kafka_name();
        let step = steps.iter().find(|step| step.action.topic() == Some(name));
        let refusal = refused.iter().find(|r| r.is_of_topic(object(topic)));
        let conditions = Conditions {
            last: last.map(|s| s.conditions.as_slice()).unwrap_or_default(),
            generation,
            now_ms,
            list: Vec::new(),
        }
        .of_topic(seen.is_some(), step, refusal);
        let status = KafkaTopicStatus {
            observed_generation: generation,
            topic_id: seen.map(|seen| seen.id.clone()),
            partitions: seen.map(|seen| seen.partitions),
            conditions,
        };
        statuses.insert(object(topic).to_owned(), status);
    }
    statuses
}

/// The status of a topic whose cluster is not there: it heals by itself when the cluster comes.
pub fn orphan(topic: &KafkaTopic, now_ms: i64) -> KafkaTopicStatus {
    let generation = topic.metadata.generation.unwrap_or_default();
    let last = topic.status.as_ref();
    let mut conditions = Conditions {
        last: last.map(|s| s.conditions.as_slice()).unwrap_or_default(),
        generation,
        now_ms,
        list: Vec::new(),
    };
    let cluster = &topic.spec.cluster_ref.name;
    let message = format!(
        "spec.clusterRef: there is no KafkaCluster {cluster} in this namespace; create it, or delete this topic"
    );
    for (type_, status) in [
        (condition_type::READY, ConditionStatus::False),
        (condition_type::STALLED, ConditionStatus::True),
    ] {
        conditions.push(type_, status, "NoCluster", message.clone());
    }
    KafkaTopicStatus {
        observed_generation: generation,
        topic_id: last.and_then(|s| s.topic_id.clone()),
        partitions: last.and_then(|s| s.partitions),
        conditions: conditions.list,
    }
}

fn process(observed: &Observed, id: i32) -> Option<&ProcessSeen> {
    observed.brokers.get(&id).map(|seen| &seen.process)
}

fn phase(
    desired: &Desired,
    observed: &Observed,
    brokers: &[Broker],
    steps: &[&Step],
    refused: &[Refusal],
) -> ClusterPhase {
    let is_gone =
        |seen: &BrokerSeen| matches!(seen.process, ProcessSeen::Absent | ProcessSeen::Down { .. });
    if desired.power == Power::Off {
        return if observed.brokers.values().all(is_gone) {
            ClusterPhase::Stopped
        } else {
            ClusterPhase::Stopping
        };
    }
    let is_blocked = steps
        .iter()
        .any(|s| matches!(s.state, StepState::Blocked(_)));
    if is_blocked || refused.iter().any(Refusal::is_of_cluster) {
        return ClusterPhase::Stalled;
    }
    let all_serve = brokers
        .iter()
        .all(|b| process(observed, b.id) == Some(&ProcessSeen::Serving));
    let is_leaving = observed
        .brokers
        .keys()
        .any(|id| !brokers.iter().any(|b| b.id == *id));
    if all_serve && steps.is_empty() && !is_leaving {
        return ClusterPhase::Ready;
    }
    let is_down = brokers
        .iter()
        .any(|b| matches!(process(observed, b.id), Some(ProcessSeen::Down { .. })));
    // What fails while it is being made or brought back stays in that phase until it serves.
    match observed.last_status.as_ref().and_then(|s| s.phase) {
        None | Some(ClusterPhase::Starting | ClusterPhase::Stopping | ClusterPhase::Stopped)
            if !all_serve =>
        {
            ClusterPhase::Starting
        }
        Some(ClusterPhase::Degraded) if !all_serve => ClusterPhase::Degraded,
        // Nothing was asked for, and yet somebody who served does not.
        Some(ClusterPhase::Ready) if steps.is_empty() && !is_leaving => ClusterPhase::Degraded,
        _ if is_down => ClusterPhase::Degraded,
        _ => ClusterPhase::Updating,
    }
}

/// Where clients connect: brokers that are declared and have an address, by id.
fn listeners(desired: &Desired, observed: &Observed, brokers: &[Broker]) -> Vec<ListenerStatus> {
    desired
        .cluster
        .spec
        .listeners
        .iter()
        .filter_map(|listener| {
            let addresses: Vec<_> = brokers
                .iter()
                .filter_map(|b| observed.brokers.get(&b.id)?.addresses.get(&listener.name))
                .collect();
            let addresses = match observed.bootstrap.get(&listener.name) {
                Some(one) if !addresses.is_empty() => vec![one],
                _ => addresses,
            };
            (!addresses.is_empty()).then(|| ListenerStatus {
                name: listener.name.clone(),
                bootstrap_servers: addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
                addresses: addresses
                    .iter()
                    .map(|address| ListenerAddress {
                        host: address.host.clone(),
                        port: i32::from(address.port),
                    })
                    .collect(),
            })
        })
        .collect()
}

fn broker_status((id, seen): (&i32, &BrokerSeen)) -> BrokerStatus {
    let (phase, message) = match &seen.process {
        ProcessSeen::Absent if seen.started_as.is_some() => ("Stopped", None),
        ProcessSeen::Absent => ("Pending", None),
        ProcessSeen::Held(why) => ("Pending", Some(why.clone())),
        ProcessSeen::Starting => ("Starting", None),
        ProcessSeen::Serving => ("Serving", None),
        ProcessSeen::Stopping => ("Stopping", None),
        ProcessSeen::Down { cause, .. } => ("Failed", cause.clone()),
    };
    BrokerStatus {
        id: *id,
        roles: seen
            .started_as
            .as_ref()
            .map(|broker| broker.roles.clone())
            .unwrap_or_default(),
        phase: phase.into(),
        message,
    }
}

fn plan_status(steps: &[&Step], hash: &str) -> PlanStatus {
    PlanStatus {
        hash: hash.into(),
        restarts: steps
            .iter()
            .filter(|step| matches!(step.action, Action::Restart { .. }))
            .count() as i32,
        steps: steps.iter().map(|step| step_status(step)).collect(),
    }
}

fn step_status(step: &Step) -> StepStatus {
    StepStatus {
        id: step.id,
        action: step.action.name().into(),
        target: step.action.target(),
        reason: step.reason.clone(),
        state: match &step.state {
            StepState::Next => "Next".into(),
            StepState::Waiting(what) => format!("Waiting for {what}"),
            StepState::Blocked(why) => format!("Blocked: {why}"),
        },
    }
}

/// Collects conditions; one whose status did not change keeps its time.
struct Conditions<'a> {
    last: &'a [Condition],
    generation: i64,
    now_ms: i64,
    list: Vec<Condition>,
}

impl Conditions<'_> {
    fn push(&mut self, type_: &str, status: ConditionStatus, reason: &str, message: String) {
        let since = self
            .last
            .iter()
            .find(|c| c.type_ == type_ && c.status == status)
            .map(|c| c.last_transition_time.clone());
        self.list.push(Condition {
            type_: type_.into(),
            status,
            reason: reason.into(),
            message,
            observed_generation: Some(self.generation),
            last_transition_time: since.unwrap_or_else(|| rfc3339(self.now_ms)),
        });
    }

    fn of_cluster(
        mut self,
        phase: ClusterPhase,
        desired: &Desired,
        observed: &Observed,
        steps: &[&Step],
        refused: &[Refusal],
    ) -> Vec<Condition> {
        let refusal = refused.iter().find(|r| r.is_of_cluster());
        let blocked = steps.iter().find_map(|step| match &step.state {
            StepState::Blocked(why) => Some(why.clone()),
            _ => None,
        });
        let (is_ready, reason, message) = match phase {
            ClusterPhase::Ready => (true, "Serving", "every broker serves".to_owned()),
            ClusterPhase::Stopped => (false, "Stopped", "the brokers were stopped".into()),
            ClusterPhase::Stalled => (
                false,
                "Stalled",
                refusal
                    .map(ToString::to_string)
                    .or_else(|| blocked.clone())
                    .unwrap_or_default(),
            ),
            ClusterPhase::Stopping => (false, "Stopping", "the brokers are being stopped".into()),
            ClusterPhase::Starting => (false, "Starting", absent(observed)),
            ClusterPhase::Updating => (false, "Updating", "changes are being made".into()),
            ClusterPhase::Degraded => (false, "BrokerDown", absent(observed)),
        };
        let message = match phase {
            ClusterPhase::Starting | ClusterPhase::Degraded => {
                hindered(message, failed(observed, steps))
            }
            ClusterPhase::Updating => {
                let unwell = observed.brokers.iter().filter(|(_, seen)| {
                    matches!(
                        seen.process,
                        ProcessSeen::Held(_) | ProcessSeen::Down { .. }
                    )
                });
                let unwell = unwell.filter_map(|(id, seen)| missing(*id, &seen.process));
                hindered(message, unwell.chain(failed(observed, steps)))
            }
            ClusterPhase::Ready
            | ClusterPhase::Stalled
            | ClusterPhase::Stopping
            | ClusterPhase::Stopped => message,
        };
        let ready = if is_ready {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        self.push(condition_type::READY, ready, reason, message.clone());
        let is_working = match phase {
            ClusterPhase::Starting
            | ClusterPhase::Stopping
            | ClusterPhase::Updating
            | ClusterPhase::Degraded => true,
            ClusterPhase::Ready | ClusterPhase::Stopped => false,
            ClusterPhase::Stalled => {
                desired.power == Power::On && steps.iter().any(|s| s.state == StepState::Next)
            }
        };
        if is_working {
            self.push(
                condition_type::RECONCILING,
                ConditionStatus::True,
                reason,
                message,
            );
        }
        if let Some(refusal) = refusal {
            let text = refusal.to_string();
            self.push(
                condition_type::STALLED,
                ConditionStatus::True,
                &refusal.reason,
                text,
            );
        } else if let Some(why) = blocked {
            self.push(
                condition_type::STALLED,
                ConditionStatus::True,
                "Blocked",
                why,
            );
        }
        if let Some(warning) = check::storage_warning(desired, observed) {
            let reason = "LessRoomThanDeclared";
            self.push(
                condition_type::STORAGE_READY,
                ConditionStatus::False,
                reason,
                warning,
            );
        }
        self.list
    }

    fn of_topic(
        mut self,
        exists: bool,
        step: Option<&Step>,
        refusal: Option<&Refusal>,
    ) -> Vec<Condition> {
        let blocked = match step.map(|step| &step.state) {
            Some(StepState::Blocked(why)) => Some(why.clone()),
            _ => None,
        };
        if let Some(refusal) = refusal {
            let text = refusal.to_string();
            self.push(
                condition_type::READY,
                ConditionStatus::False,
                &refusal.reason,
                text.clone(),
            );
            self.push(
                condition_type::STALLED,
                ConditionStatus::True,
                &refusal.reason,
                text,
            );
        } else if let Some(why) = blocked {
            self.push(
                condition_type::READY,
                ConditionStatus::False,
                "Blocked",
                why.clone(),
            );
            self.push(
                condition_type::STALLED,
                ConditionStatus::True,
                "Blocked",
                why,
            );
        } else if step.is_none() && exists {
            let message = "the topic is as declared".to_owned();
            self.push(
                condition_type::READY,
                ConditionStatus::True,
                "AsDeclared",
                message,
            );
        } else {
            let message = match step.map(|step| &step.state) {
                Some(StepState::Waiting(what)) => format!("waiting for {what}"),
                _ if exists => "the topic is being changed".into(),
                _ => "the topic is not there yet".into(),
            };
            self.push(
                condition_type::READY,
                ConditionStatus::False,
                "Pending",
                message.clone(),
            );
            self.push(
                condition_type::RECONCILING,
                ConditionStatus::True,
                "Pending",
                message,
            );
        }
        self.list
    }
}

/// Who does not serve, in words that stay the same while nothing changes.
fn absent(observed: &Observed) -> String {
    let seen = observed.brokers.iter();
    let words: Vec<String> = seen
        .filter_map(|(id, seen)| missing(*id, &seen.process))
        .collect();
    if words.is_empty() {
        "brokers are being made".into()
    } else {
        words.join("; ")
    }
}

/// Why a broker does not serve; None when it does.
fn missing(id: i32, process: &ProcessSeen) -> Option<String> {
    let word = match process {
        ProcessSeen::Serving => return None,
        ProcessSeen::Absent => "does not run yet".into(),
        ProcessSeen::Held(why) => format!("cannot run yet: {why}"),
        ProcessSeen::Starting => "starts".into(),
        ProcessSeen::Stopping => "stops".into(),
        ProcessSeen::Down {
            cause: Some(cause), ..
        } => format!("ended: {cause}"),
        ProcessSeen::Down { cause: None, .. } => "ended".into(),
    };
    Some(format!("broker-{id} {word}"))
}

/// What failed and will be tried again, in words that stay the same from attempt to attempt.
fn failed<'a>(observed: &'a Observed, steps: &'a [&Step]) -> impl Iterator<Item = String> + 'a {
    steps.iter().filter_map(|step| {
        let target = step.action.target();
        let failure = observed.failures.get(&target)?;
        Some(format!("{target}: {}", failure.message))
    })
}

/// What goes on, and what is in its way.
fn hindered(said: String, hindrances: impl IntoIterator<Item = String>) -> String {
    let mut words = vec![said];
    for hindrance in hindrances {
        if !words.contains(&hindrance) {
            words.push(hindrance);
        }
    }
    words.join("; ")
}
