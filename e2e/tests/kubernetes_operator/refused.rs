//! What cannot be had: the corpus of invalid manifests (operator/api/corpus) at the API server and at the operator, and
//! what only a running cluster can refuse. Nothing that runs is touched.

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Namespace, repository_file};
use serde_json::{Value, json};

use crate::CLUSTER;

/// Before there is an operator: what the server itself refuses at `kubectl apply`, with field and reason.
pub fn at_the_server(apps: &Namespace<'_>) -> Result<()> {
    let corpus = corpus()?;
    let mut refused = 0;
    for case in cases(&corpus).filter(|case| case["stalls"] != true) {
        let mut manifest = corpus["good"][word(case, "kind")].clone();
        if let Some(from) = case.get("from") {
            json_patch::merge(&mut manifest, from);
            apps.apply(&manifest.to_string())?;
        }
        let there = manifest.clone();
        json_patch::merge(&mut manifest, &case["change"]);
        let answer = apps.apply(&manifest.to_string());
        let name = word(case, "case");
        let error = answer.err().with_context(|| format!("{name}: was taken"))?;
        let error = format!("{error:#}");
        let (field, says) = expected(case);
        ensure!(
            error.contains(field) && error.contains(says),
            "{name}: {error}"
        );
        if case.get("from").is_some() {
            apps.kubectl(&[
                "delete",
                word(case, "kind"),
                word(&there["metadata"], "name"),
            ])?;
        }
        refused += 1;
    }
    println!("invalid manifests refused at kubectl apply: {refused}");
    Ok(())
}

/// What is right by itself stalls, says field and reason, and heals when the wish is taken back.
pub fn at_the_operator(apps: &Namespace<'_>) -> Result<()> {
    let corpus = corpus()?;
    let mut stalls = 0;
    for case in cases(&corpus).filter(|case| case["stalls"] == true) {
        let (kind, change) = (word(case, "kind"), &case["change"]);
        let why = if kind == "KafkaCluster" {
            let before = apps.object(kind, CLUSTER)?;
            apps.patch(kind, CLUSTER, change)?;
            let why = apps.stalled(kind, CLUSTER)?;
            apps.patch(kind, CLUSTER, &taken_back(change, &before))?;
            apps.ready(4)?;
            why
        } else {
            let mut topic = corpus["good"][kind].clone();
            topic["metadata"]["name"] = json!(format!("stalled-{stalls}"));
            topic["spec"]["clusterRef"]["name"] = json!(CLUSTER);
            json_patch::merge(&mut topic, change);
            apps.apply(&topic.to_string())?;
            let name = word(&topic["metadata"], "name");
            let why = apps.stalled(kind, name)?;
            apps.kubectl(&["delete", kind, name])?;
            why
        };
        let (field, says) = expected(case);
        ensure!(
            why.contains(field) && why.contains(says),
            "{}: {why}",
            word(case, "case")
        );
        stalls += 1;
    }
    println!("invalid manifests that stall: {stalls}");
    a_topic_declared_twice(apps)?;
    fewer_partitions(apps)?;
    a_broker_that_holds_partitions_stays(apps)
}

fn a_topic_declared_twice(apps: &Namespace<'_>) -> Result<()> {
    let twice = json!({
        "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaTopic",
        "metadata": {"name": "twice"},
        "spec": {"clusterRef": {"name": CLUSTER}, "topicName": "packages", "partitions": 1},
    });
    apps.apply(&twice.to_string())?;
    let why = apps.stalled("kafkatopic", "twice")?;
    ensure!(
        why.contains("KafkaTopic packages declares topic packages"),
        "{why}"
    );
    apps.kubectl(&["delete", "kafkatopic", "twice"]).map(drop)
}

fn fewer_partitions(apps: &Namespace<'_>) -> Result<()> {
    let fewer = json!({"spec": {"partitions": 2}});
    let refused = apps.patch("kafkatopic", "packages", &fewer);
    let error = refused.err().context("fewer partitions are refused")?;
    let error = format!("{error:#}");
    ensure!(error.contains("partitions cannot decrease"), "{error}");
    Ok(())
}

fn a_broker_that_holds_partitions_stays(apps: &Namespace<'_>) -> Result<()> {
    apps.patch("kafkacluster", CLUSTER, &json!({"spec": {"replicas": 1}}))?;
    let why = apps.stalled("kafkacluster", CLUSTER)?;
    ensure!(
        why.contains("spec.replicas") && why.contains("packages"),
        "{why}"
    );
    apps.patch("kafkacluster", CLUSTER, &json!({"spec": {"replicas": 4}}))?;
    apps.ready(4).map(drop)
}

/// A merge patch that undoes another one.
fn taken_back(change: &Value, before: &Value) -> Value {
    match change {
        Value::Object(fields) => fields
            .iter()
            .map(|(field, value)| (field.clone(), taken_back(value, &before[field])))
            .collect(),
        _ => before.clone(),
    }
}

/// The field and the reason that are to be said on Kubernetes; where they are said in other words than offline, those.
fn expected(case: &Value) -> (&str, &str) {
    match case["server"].as_str() {
        Some(words) => (words, ""),
        None => (word(case, "field"), word(case, "says")),
    }
}

fn corpus() -> Result<Value> {
    Ok(serde_json::from_str(&repository_file(
        "operator/api/corpus/invalid.json",
    )?)?)
}

fn cases(corpus: &Value) -> impl Iterator<Item = &Value> {
    corpus["invalid"].as_array().into_iter().flatten()
}

fn word<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}
