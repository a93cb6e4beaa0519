//! Which brokers there shall be, and what tells a running one from the one that shall run.
//!
//! In this version the lowest id is controller and broker, the others are brokers that follow its
//! metadata log: a quorum of one.

use std::collections::{BTreeMap, BTreeSet};

use ottla_operator_api::Role;

use crate::check::{self, Refusal};
use crate::desired::Desired;
use crate::observed::{BrokerSeen, Observed};
use crate::output::{Broker, BrokerListener, CONTROLLER, Volume};
use crate::settings;

/// Settings that every cluster starts from; a manifest's own win.
///
/// Factors are 1 because this version keeps one copy of each partition. Kafka's own default of 3
/// for the offsets topic would leave a cluster without consumer groups.
const BASE: &[(&str, &str)] = &[
    ("default.replication.factor", "1"),
    ("offsets.topic.replication.factor", "1"),
];

/// Every broker that shall be, by id. A manifest with something refused changes no broker: what
/// runs shall go on running as it was started.
pub fn desired(desired: &Desired, observed: &Observed, refused: &[Refusal]) -> Vec<Broker> {
    if refused.iter().any(Refusal::is_of_cluster) {
        return observed
            .brokers
            .values()
            .filter_map(|seen| seen.started_as.clone())
            .collect();
    }
    let ids = ids(desired.cluster.spec.replicas, observed);
    let controller = ids.first().copied();
    let quorum = controller
        .and_then(|id| observed.brokers.get(&id))
        .and_then(|seen| seen.addresses.get(CONTROLLER))
        .cloned();
    ids.iter()
        .map(|id| {
            let is_controller = Some(*id) == controller;
            Broker {
                id: *id,
                roles: if is_controller {
                    vec![Role::Controller, Role::Broker]
                } else {
                    vec![Role::Broker]
                },
                listeners: listeners(desired, observed.brokers.get(id), is_controller),
                quorum: quorum.clone(),
                config: config(desired),
                volume: Volume {
                    size: desired.cluster.spec.storage.size.clone(),
                },
            }
        })
        .collect()
}

/// Ids in use are kept, the highest go first, new ones fill the gaps from below.
fn ids(replicas: i32, observed: &Observed) -> BTreeSet<i32> {
    let wanted = usize::try_from(replicas).unwrap_or_default();
    let mut ids: BTreeSet<i32> = observed.brokers.keys().copied().take(wanted).collect();
    let mut next = 0;
    while ids.len() < wanted {
        ids.insert(next);
        next += 1;
    }
    ids
}

fn listeners(
    desired: &Desired,
    seen: Option<&BrokerSeen>,
    is_controller: bool,
) -> Vec<BrokerListener> {
    let address = |name: &str| seen.and_then(|seen| seen.addresses.get(name)).cloned();
    let declared = desired
        .cluster
        .spec
        .listeners
        .iter()
        .map(|l| BrokerListener {
            name: l.name.clone(),
            port: u16::try_from(l.port).ok(),
            address: address(&l.name),
        });
    let own = is_controller.then(|| BrokerListener {
        name: CONTROLLER.into(),
        port: None,
        address: address(CONTROLLER),
    });
    declared.chain(own).collect()
}

fn config(desired: &Desired) -> BTreeMap<String, String> {
    let base = BASE.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let own = check::config_texts(desired.cluster.spec.config.as_ref());
    base.chain(own).collect()
}

/// What a running broker lacks of the one that shall run.
#[derive(Debug, Default)]
pub struct Difference {
    /// Why it must be restarted; empty when it need not.
    pub restart: Vec<String>,
    /// Settings that can be set while it runs.
    pub set: BTreeMap<String, String>,
    /// Dynamic settings to take back.
    pub delete: BTreeSet<String>,
}

/// Compares a broker as it was started, together with what was changed since, with `broker`.
/// A difference in the volume's size is none: on disk nothing depends on it.
pub fn difference(
    broker: &Broker,
    started: &Broker,
    dynamic: &BTreeMap<String, String>,
) -> Difference {
    let mut difference = Difference {
        restart: changed_listeners(broker, started),
        ..Difference::default()
    };
    if broker.roles != started.roles {
        difference.restart.push("its roles change".into());
    }
    if broker.quorum != started.quorum {
        difference.restart.push("the controller moved".into());
    }
    changed_config(broker, started, dynamic, &mut difference);
    difference
}

fn changed_listeners(broker: &Broker, started: &Broker) -> Vec<String> {
    let old = |name: &str| started.listeners.iter().find(|l| l.name == name);
    let mut reasons = Vec::new();
    for listener in &broker.listeners {
        match old(&listener.name) {
            None => reasons.push(format!("listener {} is new", listener.name)),
            Some(before) if before.address != listener.address => {
                reasons.push(format!("listener {} moves", listener.name));
            }
            Some(_) => {}
        }
    }
    for before in &started.listeners {
        if !broker.listeners.iter().any(|l| l.name == before.name) {
            reasons.push(format!("listener {} goes", before.name));
        }
    }
    reasons
}

fn changed_config(
    broker: &Broker,
    started: &Broker,
    dynamic: &BTreeMap<String, String>,
    difference: &mut Difference,
) {
    for (key, value) in &broker.config {
        let before = dynamic.get(key).or_else(|| started.config.get(key));
        if before == Some(value) {
            continue;
        }
        if settings::is_dynamic(key, value) {
            difference.set.insert(key.clone(), value.clone());
            continue;
        }
        // What was changed while the broker ran would hold over its file.
        if dynamic.contains_key(key) {
            difference.delete.insert(key.clone());
        }
        if started.config.get(key) != Some(value) && !settings::has_no_effect(key) {
            let before = before.map_or("its default", String::as_str);
            difference
                .restart
                .push(format!("{key} changes from {before} to {value}"));
        }
    }
    // A dynamic value can be taken back, but then the broker falls to the value of its file, which
    // it read when it started.
    for key in started.config.keys() {
        if !broker.config.contains_key(key) && !settings::has_no_effect(key) {
            difference
                .restart
                .push(format!("{key} goes back to its default"));
        }
    }
    for key in dynamic.keys() {
        if !broker.config.contains_key(key) {
            difference.delete.insert(key.clone());
        }
    }
}
