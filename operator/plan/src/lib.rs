//! What is to be done so that a cluster becomes what its manifests say: one function from what is
//! declared and what was seen to a plan. Pure: the same arguments give the same plan, and a plan
//! is data that can be printed, compared and replayed. It speaks of brokers, volumes, listeners,
//! topics and steps; how these are made is a platform's business (operator/src/platform).
//!
//! Invariant: a plan whose every `Next` step was carried out leads to a plan with fewer steps, or
//! says what it waits for. Not here: what one manifest may say (operator/api, by CEL), I/O.

mod brokers;
mod check;
mod clock;
mod desired;
mod observed;
mod output;
mod rehearsal;
mod settings;
mod status;
mod steps;
mod topics;

pub use check::{Refusal, Subject, quantity_bytes};
pub use clock::rfc3339;
pub use desired::{Desired, Power};
pub use observed::{
    Address, BrokerSeen, FailureSeen, KafkaSeen, Observed, OwnedTopic, ProcessSeen, StorageSeen,
    TopicSeen,
};
pub use output::{
    Action, Broker, BrokerListener, CONTROLLER, Plan, PlannedTopic, Step, StepState, Volume,
    fingerprint,
};
pub use rehearsal::rehearse;
pub use status::orphan;

/// Everything that follows from `desired` and `observed`. `now_ms` is wall-clock time in
/// milliseconds since 1970; it decides what may be tried again and stamps conditions that change.
pub fn plan(desired: &Desired, observed: &Observed, now_ms: i64) -> Plan {
    let refused = check::refusals(desired, observed);
    let brokers = brokers::desired(desired, observed, &refused);
    let topics = topics::desired(desired, &refused);
    let (steps, again) = steps::steps(desired, observed, &brokers, &topics, &refused, now_ms);
    let hash = output::hash(&brokers, &topics);
    let status = status::cluster(desired, observed, &brokers, &steps, &refused, &hash, now_ms);
    let topic_status = status::topics(desired, observed, &steps, &refused, now_ms);
    Plan {
        warnings: check::warnings(desired, observed),
        prune: topics::pruned(desired, observed),
        brokers,
        topics,
        steps,
        hash,
        refused,
        status,
        topic_status,
        again,
    }
}

#[cfg(test)]
mod tests;
