//! What the objects of a cluster say about its brokers. Pure.
//!
//! ```text
//! StatefulSet   pod                                    is seen as
//! none or 0     none                                   Absent
//! 0             any                                    Stopping
//! 1             none, being deleted                    Starting, Stopping
//! 1             not scheduled, image or volume missing Held, with the reason
//! 1             its container ended                    Down; the kubelet starts it again
//! 1             not ready, ready                       Starting, Serving
//! ```

use std::collections::BTreeMap;

use ottla_operator_api::KafkaCluster;
use ottla_operator_plan::{Address, Broker, BrokerSeen, CONTROLLER, ProcessSeen};
use serde_json::Value;

use super::names::{BROKER_ID, CLUSTER_ID, Names, RETIRED, STARTED_AS};
use super::render::CONTROLLER_PORT;

/// The objects of one broker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Objects<'a> {
    /// Its volume's claim.
    pub claim: Option<&'a Value>,
    /// Its StatefulSet.
    pub stateful_set: Option<&'a Value>,
    /// Its pod.
    pub pod: Option<&'a Value>,
}

/// Sorts the objects of a cluster by broker. A claim that was retired makes no broker.
pub fn by_broker<'a>(
    claims: impl Iterator<Item = &'a Value>,
    stateful_sets: impl Iterator<Item = &'a Value>,
    pods: impl Iterator<Item = &'a Value>,
) -> BTreeMap<i32, Objects<'a>> {
    let mut brokers: BTreeMap<i32, Objects<'a>> = BTreeMap::new();
    for claim in claims.filter(|claim| annotation(claim, RETIRED).is_none()) {
        if let Some(id) = broker_id(claim) {
            brokers.entry(id).or_default().claim = Some(claim);
        }
    }
    for stateful_set in stateful_sets {
        if let Some(id) = broker_id(stateful_set) {
            brokers.entry(id).or_default().stateful_set = Some(stateful_set);
        }
    }
    for pod in pods {
        if let Some(seen) = broker_id(pod).and_then(|id| brokers.get_mut(&id)) {
            seen.pod = Some(pod);
        }
    }
    brokers
}

/// One broker. `now_ms` is wall-clock time in milliseconds since 1970.
pub fn broker(
    names: &Names,
    cluster: &KafkaCluster,
    id: i32,
    objects: Objects<'_>,
    now_ms: i64,
) -> BrokerSeen {
    let is_prepared = objects.claim.is_some();
    let noted = |object: &&Value| annotation(object, STARTED_AS).is_some();
    let noted = [objects.pod, objects.stateful_set]
        .into_iter()
        .flatten()
        .find(noted);
    BrokerSeen {
        volume: is_prepared,
        addresses: if is_prepared {
            addresses(names, cluster, id)
        } else {
            BTreeMap::new()
        },
        process: process(objects, now_ms),
        started_as: noted.and_then(started_as),
    }
}

/// Where the brokers of a cluster are reached together, by listener.
pub fn bootstrap(names: &Names, cluster: &KafkaCluster) -> BTreeMap<String, Address> {
    listeners(cluster, &names.bootstrap_host()).collect()
}

/// Kafka's cluster id, from a volume of an earlier life.
pub fn cluster_id<'a>(mut claims: impl Iterator<Item = &'a Value>) -> Option<String> {
    claims.find_map(|claim| annotation(claim, CLUSTER_ID).map(str::to_owned))
}

fn addresses(names: &Names, cluster: &KafkaCluster, id: i32) -> BTreeMap<String, Address> {
    let host = names.broker_host(id);
    let controller = Address {
        host: host.clone(),
        port: CONTROLLER_PORT,
    };
    let declared: Vec<_> = listeners(cluster, &host).collect();
    declared
        .into_iter()
        .chain([(CONTROLLER.to_owned(), controller)])
        .collect()
}

fn listeners<'a>(
    cluster: &'a KafkaCluster,
    host: &'a str,
) -> impl Iterator<Item = (String, Address)> + 'a {
    cluster.spec.listeners.iter().filter_map(|listener| {
        let address = Address {
            host: host.to_owned(),
            port: u16::try_from(listener.port).ok()?,
        };
        Some((listener.name.clone(), address))
    })
}

fn process(objects: Objects<'_>, now_ms: i64) -> ProcessSeen {
    let runs = objects
        .stateful_set
        .is_some_and(|set| set["spec"]["replicas"] != 0);
    let Some(pod) = objects.pod else {
        return if runs {
            ProcessSeen::Starting
        } else {
            ProcessSeen::Absent
        };
    };
    if !runs || pod["metadata"]["deletionTimestamp"].is_string() {
        return ProcessSeen::Stopping;
    }
    let container = &pod["status"]["containerStatuses"][0];
    if let Some(cause) = ended(container) {
        return ProcessSeen::Down {
            exits: container["restartCount"].as_u64().unwrap_or_default() as u32,
            cause: Some(cause),
            // The kubelet starts it again by itself; that a changed plan may start it anew needs
            // no pause.
            retry_at_ms: now_ms,
        };
    }
    if condition(pod, "Ready").is_some_and(|(status, _)| status == "True") {
        return ProcessSeen::Serving;
    }
    match held(pod, container) {
        Some(why) => ProcessSeen::Held(why),
        None => ProcessSeen::Starting,
    }
}

/// Why the container does not run although it did, in words.
fn ended(container: &Value) -> Option<String> {
    let now = &container["state"];
    let is_between = now["waiting"]["reason"] == "CrashLoopBackOff";
    let end = if is_between {
        &container["lastState"]["terminated"]
    } else {
        &now["terminated"]
    };
    let end = end.as_object()?;
    let reason = end.get("reason").and_then(Value::as_str).unwrap_or("Error");
    let code = end.get("exitCode").and_then(Value::as_i64).unwrap_or(-1);
    // The broker's last line, which the kubelet keeps when the container fails.
    let said = end.get("message").and_then(Value::as_str).map(str::trim);
    let last = said.and_then(|said| said.lines().last());
    Some(match last {
        Some(last) if !last.is_empty() => format!("exit code {code}: {last}"),
        _ => format!("{reason}, exit code {code}"),
    })
}

/// Why a pod that was asked for cannot run yet.
fn held(pod: &Value, container: &Value) -> Option<String> {
    if let Some(("False", message)) = condition(pod, "PodScheduled") {
        return Some(message.to_owned());
    }
    let waiting = &container["state"]["waiting"];
    let reason = waiting["reason"].as_str()?;
    if matches!(reason, "ContainerCreating" | "PodInitializing") {
        return None;
    }
    Some(match waiting["message"].as_str() {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    })
}

fn condition<'a>(pod: &'a Value, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let one = conditions.iter().find(|one| one["type"] == type_)?;
    Some((
        one["status"].as_str()?,
        one["message"].as_str().unwrap_or_default(),
    ))
}

/// As which broker a pod runs, or a StatefulSet would let one run.
pub fn started_as(object: &Value) -> Option<Broker> {
    serde_json::from_str(annotation(object, STARTED_AS)?).ok()
}

/// An annotation of an object.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

fn broker_id(object: &Value) -> Option<i32> {
    object["metadata"]["labels"][BROKER_ID]
        .as_str()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(replicas: i32, pod: Option<Value>, expect: ProcessSeen) {
        let set = json!({"spec": {"replicas": replicas}});
        let objects = Objects {
            claim: None,
            stateful_set: Some(&set),
            pod: pod.as_ref(),
        };
        assert_eq!(process(objects, 7), expect, "{pod:?}");
    }

    #[test]
    fn what_a_broker_does() {
        check(0, None, ProcessSeen::Absent);
        check(1, None, ProcessSeen::Starting);
        check(0, Some(json!({})), ProcessSeen::Stopping);
        let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-28T00:00:00Z"}});
        check(1, Some(leaving), ProcessSeen::Stopping);
        check(1, Some(json!({})), ProcessSeen::Starting);
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        check(1, Some(ready), ProcessSeen::Serving);
    }

    #[test]
    fn why_it_cannot_run() {
        let unscheduled = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"},
        ]}});
        let held = ProcessSeen::Held("0/3 nodes are available".into());
        check(1, Some(unscheduled), held);
        let waiting = |reason: &str| {
            json!({"status": {"containerStatuses": [
                {"state": {"waiting": {"reason": reason, "message": "no such image"}}},
            ]}})
        };
        let held = ProcessSeen::Held("ErrImagePull: no such image".into());
        check(1, Some(waiting("ErrImagePull")), held);
        check(1, Some(waiting("ContainerCreating")), ProcessSeen::Starting);
    }

    #[test]
    fn how_it_ended() {
        let end = json!({"exitCode": 1, "reason": "Error", "message": "starting\ndisk is full\n"});
        let looping = json!({"status": {"containerStatuses": [{
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": end},
        }]}});
        let down = ProcessSeen::Down {
            exits: 3,
            cause: Some("exit code 1: disk is full".into()),
            retry_at_ms: 7,
        };
        check(1, Some(looping), down);
    }
}
