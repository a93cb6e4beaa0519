//! The corpus of invalid manifests (operator/api/corpus), each refused offline with the field and
//! the reason that an API server or an operator gives (e2e/tests/kubernetes_operator.rs).
//!
//! A case is a good manifest with a merge patch (RFC 7386) over it. With `from` it is a change of a manifest
//! that is there; with `stalls` a manifest by itself is right, and the plan refuses it.

use ottla_operator_api::Rules;
use ottla_operator_plan::{Desired, Observed, Power, plan};
use serde_json::Value;

use super::*;

const CORPUS: &str = include_str!("../../api/corpus/invalid.json");

/// What the author of a manifest is told, a line each. `from` is what is there already.
fn told(kind: &str, from: Option<&Value>, manifest: &Value, good_cluster: &Value) -> Vec<String> {
    let input = |object: &Value| Input {
        name: "m.yaml".into(),
        text: object.to_string(),
    };
    if let Some(from) = from {
        assert!(read(&[input(from)]).is_ok(), "{from}");
        let rules = Rules::of_kind(kind).expect("a kind of Ottla's");
        let broken = rules.broken(manifest, Some(from));
        let line = |field: &[String], message: &str| format!("{}: {message}", fault::joined(field));
        return broken.iter().map(|b| line(&b.field, &b.message)).collect();
    }
    let manifests = match read(&[input(manifest)]) {
        Ok(manifests) => manifests,
        Err(faults) => return faults.iter().map(ToString::to_string).collect(),
    };
    let good_cluster =
        || serde_json::from_value(good_cluster.clone()).expect("a good KafkaCluster");
    let mut clusters = manifests.clusters.into_iter().map(|m| m.object);
    let desired = Desired {
        cluster: clusters.next().unwrap_or_else(good_cluster),
        topics: manifests.topics.into_iter().map(|m| m.object).collect(),
        power: Power::On,
    };
    let refused = plan(&desired, &Observed::default(), 0).refused;
    refused.iter().map(ToString::to_string).collect()
}

#[test]
fn every_manifest_of_the_corpus_is_refused() {
    let corpus: Value = serde_json::from_str(CORPUS).expect("JSON");
    let good = &corpus["good"];
    let cases = corpus["invalid"].as_array().expect("an array");
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut missed = Vec::new();
    for case in cases {
        let kind = case["kind"].as_str().expect("a kind");
        let mut manifest = good[kind].clone();
        let from = case.get("from").map(|from| {
            json_patch::merge(&mut manifest, from);
            manifest.clone()
        });
        json_patch::merge(&mut manifest, &case["change"]);
        let told = told(kind, from.as_ref(), &manifest, &good["KafkaCluster"]);
        let field = case["field"].as_str().expect("a field");
        let says = case["says"].as_str().unwrap_or_default();
        let is_said = |line: &String| line.contains(&format!("{field}: ")) && line.contains(says);
        if !told.iter().any(is_said) {
            missed.push(format!("{}: {field}: {says}: {told:?}", case["case"]));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
