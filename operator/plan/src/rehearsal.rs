//! A plan played to its end in a world where every step succeeds at once: what is shown before
//! anything is done, and what the tests of this crate tell their stories with.

use crate::desired::Desired;
use crate::observed::{Address, KafkaSeen, Observed, ProcessSeen, TopicSeen};
use crate::output::{Action, Plan, Step, StepState};
use crate::plan;

/// More rounds than any plan needs: each broker is restarted in two of them.
const ROUNDS_MAX: usize = 1000;

/// Every step from `observed` to what is declared, in the order in which they would be taken, and
/// the plan that is left in the end: empty, or with what it waits for or is blocked by.
pub fn rehearse(desired: &Desired, observed: &Observed, now_ms: i64) -> (Vec<Step>, Plan) {
    let mut observed = observed.clone();
    let mut steps: Vec<Step> = Vec::new();
    let mut now_ms = now_ms;
    let mut last = plan(desired, &observed, now_ms);
    for _ in 0..ROUNDS_MAX {
        arrive(&mut observed);
        let next: Vec<&Step> = last
            .steps
            .iter()
            .filter(|s| s.state == StepState::Next)
            .collect();
        match (next.is_empty(), last.again) {
            (true, None) => break,
            (true, Some(again)) => now_ms = now_ms.max(again),
            (false, _) => {}
        }
        for step in next {
            carry_out(&mut observed, &step.action, &last);
            let id = steps.len() as i32 + 1;
            steps.push(Step { id, ..step.clone() });
        }
        arrive(&mut observed);
        observed.last_status = Some(last.status.clone());
        observed.last_topic_status = last.topic_status.clone();
        last = plan(desired, &observed, now_ms);
    }
    (steps, last)
}

/// What takes its time is done.
fn arrive(observed: &mut Observed) {
    for seen in observed.brokers.values_mut() {
        match seen.process {
            ProcessSeen::Held(_) | ProcessSeen::Starting => seen.process = ProcessSeen::Serving,
            ProcessSeen::Stopping => seen.process = ProcessSeen::Absent,
            ProcessSeen::Absent | ProcessSeen::Serving | ProcessSeen::Down { .. } => {}
        }
    }
}

/// Does what a step says.
pub(crate) fn carry_out(observed: &mut Observed, action: &Action, plan: &Plan) {
    match action {
        Action::Prepare { broker } => {
            let planned = plan.brokers.iter().find(|b| b.id == *broker);
            let seen = observed.brokers.entry(*broker).or_default();
            seen.volume = true;
            for (index, listener) in planned.iter().flat_map(|b| b.listeners.iter().enumerate()) {
                let first = listener.port.unwrap_or(1) as usize;
                let port = (first + index + *broker as usize) as u16;
                let address = Address {
                    host: "somewhere".into(),
                    port,
                };
                seen.addresses
                    .entry(listener.name.clone())
                    .or_insert(address);
            }
        }
        Action::Start { broker } => {
            if let Some(seen) = observed.brokers.get_mut(broker) {
                seen.process = ProcessSeen::Serving;
                seen.started_as = plan.brokers.iter().find(|b| b.id == *broker).cloned();
            }
            observed.kafka.get_or_insert_default();
        }
        Action::Restart { broker } | Action::Stop { broker } => {
            if let Some(seen) = observed.brokers.get_mut(broker) {
                seen.process = ProcessSeen::Absent;
            }
        }
        Action::Remove { broker } => {
            observed.brokers.remove(broker);
        }
        Action::Reconfigure { set, delete } => {
            observed.owned_config.extend(set.clone());
            observed.owned_config.retain(|key, _| !delete.contains(key));
        }
        Action::ReleaseTopic { topic } => {
            observed.owned_topics.remove(topic);
        }
        Action::DeleteTopic { topic } => {
            observed.owned_topics.remove(topic);
            observed.kafka.get_or_insert_default().topics.remove(topic);
        }
        Action::CreateTopic { topic }
        | Action::AdoptTopic { topic }
        | Action::AddPartitions { topic, .. }
        | Action::ConfigureTopic { topic, .. } => {
            let kafka = observed.kafka.get_or_insert_default();
            change_topic(kafka, topic, action, plan);
            if let Some(planned) = plan.topics.iter().find(|t| t.name == *topic) {
                observed
                    .owned_topics
                    .insert(topic.clone(), planned.owned.clone());
            }
        }
    }
}

fn change_topic(kafka: &mut KafkaSeen, topic: &str, action: &Action, plan: &Plan) {
    let planned = plan.topics.iter().find(|planned| planned.name == topic);
    match action {
        Action::CreateTopic { .. } => {
            if let Some(planned) = planned {
                let seen = TopicSeen {
                    id: format!("id of {topic}"),
                    partitions: planned.partitions,
                    replicas: planned.replicas.unwrap_or(1),
                    config: planned.config.clone(),
                };
                kafka.topics.insert(topic.to_owned(), seen);
            }
        }
        Action::AddPartitions { partitions, .. } => {
            if let Some(seen) = kafka.topics.get_mut(topic) {
                seen.partitions = *partitions;
            }
        }
        Action::ConfigureTopic { set, delete, .. } => {
            if let Some(seen) = kafka.topics.get_mut(topic) {
                seen.config.extend(set.clone());
                seen.config.retain(|key, _| !delete.contains(key));
            }
        }
        _ => {}
    }
}
