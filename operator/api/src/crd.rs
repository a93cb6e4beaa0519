//! The CustomResourceDefinitions as data, ready to be printed, applied or walked by a validator.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{KafkaCluster, KafkaTopic};

/// The group of every kind of Ottla's.
pub const GROUP: &str = "ottla.io";
/// The version of every kind of Ottla's.
pub const VERSION: &str = "v1alpha1";

/// Every CRD, in the order of the kinds' names, as an API server would store it: without nulls and
/// false defaults, which a server drops and GitOps tools then report as drift.
pub fn crds() -> Vec<Value> {
    let mut crds = whole();
    crds.iter_mut().for_each(drop_paths_of_metadata);
    crds
}

/// The same, with the places in `metadata` of which rules speak: ours to know, a server takes only
/// paths that the schema describes.
fn whole() -> Vec<Value> {
    [KafkaCluster::crd(), KafkaTopic::crd()]
        .iter()
        .map(|crd| {
            let mut value = serde_json::to_value(crd).expect("a derived CRD is plain JSON");
            drop_empty(&mut value);
            whole_numbers(&mut value);
            default_status(&mut value);
            value
        })
        .collect()
}

/// The schema of one kind; None for a kind that is none of Ottla's.
pub fn schema(kind: &str) -> Option<Value> {
    let crd = whole()
        .into_iter()
        .find(|crd| crd["spec"]["names"]["kind"] == kind)?;
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema")
        .cloned()
}

/// A new object reads as not yet observed: kstatus calls an object without status Current, and
/// tools that wait would not wait.
fn default_status(crd: &mut Value) {
    let status = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status");
    if let Some(Value::Object(status)) = status {
        status.insert("default".into(), json!({ "observedGeneration": -1 }));
    }
}

fn drop_paths_of_metadata(crd: &mut Value) {
    let rules = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations";
    let rules = crd.pointer_mut(rules).and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
        let is_of_metadata =
            |path: &Value| path.as_str().is_some_and(|p| p.starts_with(".metadata"));
        if rule.get("fieldPath").is_some_and(is_of_metadata) {
            rule.remove("fieldPath");
        }
    }
}

/// Nulls, and the defaults that serde needs to read a partial status but that a server need not fill in.
fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, v| !v.is_null() && (key != "default" || v.is_object()));
            map.values_mut().for_each(drop_empty);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

/// Bounds come out as 65535.0; a server stores 65535.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| number.is_f64() && n.fract() == 0.0);
            if let Some(whole) = whole {
                *value = json!(whole as i64);
            }
        }
        _ => {}
    }
}
