//! Goal: the same manifest that `ottla up` runs on a laptop runs on Kubernetes under the operator: it becomes Ready,
//! keeps its records over the end of a pod, of the operator and of the KafkaCluster itself, takes more brokers, larger
//! volumes, more partitions and other settings, says what it cannot have, and writes nothing when nothing is to be done.
//! Method: the lab, crds/ and deploy/operator.yaml as people apply them, kubectl; records are written and read inside a
//! broker's pod; who wrote what is read from the API server's audit log.
//! Needs: lab.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Lab, until};
use serde_json::{Value, json};

/// For what takes seconds on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);
const NAMESPACE: &str = "apps";
const CLUSTER: &str = "three-brokers";
const BOOTSTRAP: &str = "three-brokers-kafka-bootstrap.apps.svc:9092";
const OPERATOR: &str = "system:serviceaccount:ottla-system:ottla-operator";

#[test]
fn a_manifest_lives_on_kubernetes() -> Result<()> {
    let lab = Lab::up()?;
    let result = story(&lab);
    if result.is_err() {
        print!("{}", said(&lab));
    }
    result?;
    lab.down()
}

fn story(lab: &Lab) -> Result<()> {
    install(lab)?;
    let manifest = read("examples/three-brokers.yaml")?;
    let began = Instant::now();
    apply(lab, &manifest)?;
    let status = ready(lab, 3)?;
    println!(
        "applied → three brokers Ready: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    ensure!(
        status["listeners"][0]["bootstrapServers"] == BOOTSTRAP,
        "{}",
        status["listeners"]
    );
    topic_ready(lab, 1)?;
    let first: String = (0..1000).map(|n| format!("{n}\n")).collect();
    ottla(lab, &first, &["produce", "packages"])?;
    ensure!(
        sorted(&records(lab)?) == sorted(&first),
        "records as written"
    );

    a_pod_comes_back_with_its_records(lab, &first)?;
    brokers_volumes_and_topics_change(lab)?;
    the_operator_comes_back_and_writes_nothing(lab)?;
    what_cannot_be_had_is_said(lab)?;
    rights_are_those_that_are_used(lab)?;
    records_outlive_the_manifest(lab, &manifest, &first)
}

fn install(lab: &Lab) -> Result<()> {
    for name in ["kafkaclusters", "kafkatopics"] {
        lab.kubectl_reading(
            &read(&format!("crds/{name}.ottla.io.yaml"))?,
            &["apply", "--filename", "-"],
        )?;
    }
    let operator = read("deploy/operator.yaml")?
        .replace("ottla-operator:0.1.0", "localhost/ottla-operator:lab")
        .replace("ottla-broker:0.1.0", "localhost/ottla-broker:lab");
    lab.kubectl_reading(&operator, &["apply", "--filename", "-"])?;
    lab.kubectl(&["create", "namespace", NAMESPACE])?;
    lab.kubectl(&[
        "label",
        "namespace",
        NAMESPACE,
        "pod-security.kubernetes.io/enforce=restricted",
    ])?;
    let rollout = [
        "rollout",
        "status",
        "deployment/ottla-operator",
        "--timeout=120s",
    ];
    lab.kubectl(&[&["--namespace=ottla-system"], rollout.as_slice()].concat())
        .map(drop)
}

/// Ended without a word to the operator.
fn a_pod_comes_back_with_its_records(lab: &Lab, first: &str) -> Result<()> {
    let pod = "three-brokers-kafka-1-0";
    let uid = object(lab, "pod", pod)?["metadata"]["uid"].clone();
    kubectl(lab, &["delete", "pod", pod, "--grace-period=1"])?;
    until("another pod", LIMIT, || {
        let now = list(lab, "pods")?;
        let now = now.iter().find(|now| now["metadata"]["name"] == pod);
        Ok(now.filter(|now| now["metadata"]["uid"] != uid).map(drop))
    })?;
    ready(lab, 3)?;
    ensure!(
        sorted(&records(lab)?) == sorted(first),
        "records after a pod's end"
    );
    Ok(())
}

fn brokers_volumes_and_topics_change(lab: &Lab) -> Result<()> {
    let pods = |lab: &Lab| -> Result<BTreeMap<String, Value>> {
        let pods = list(lab, "pods")?.into_iter();
        Ok(pods
            .map(|pod| {
                (
                    text(&pod["metadata"]["name"]),
                    pod["metadata"]["uid"].clone(),
                )
            })
            .collect())
    };
    let before = pods(lab)?;
    patch(
        lab,
        "kafkacluster",
        CLUSTER,
        json!({"spec": {
            "replicas": 4,
            "storage": {"size": "2Gi"},
            "config": {"log.cleaner.backoff.ms": 20000},
        }}),
    )?;
    ready(lab, 4)?;
    until("every volume to have 2Gi", LIMIT, || {
        let claims = list(lab, "persistentvolumeclaims")?;
        let sizes = claims
            .iter()
            .map(|claim| &claim["status"]["capacity"]["storage"]);
        Ok((sizes.filter(|size| **size == "2Gi").count() == 4).then_some(()))
    })?;
    patch(
        lab,
        "kafkatopic",
        "packages",
        json!({"spec": {
            "partitions": 8,
            "config": {"retention.ms": "86400000", "max.message.bytes": 2_000_000},
        }}),
    )?;
    let status = topic_ready(lab, 2)?;
    ensure!(status["partitions"] == 8, "{status}");
    let described = ottla(lab, "", &["topic", "describe", "packages"])?;
    ensure!(
        described.contains("retention.ms=86400000")
            && described.contains("max.message.bytes=2000000"),
        "{described}"
    );
    let after = pods(lab)?;
    let is_kept = before
        .iter()
        .all(|(name, uid)| after.get(name) == Some(uid));
    ensure!(is_kept, "no pod was to end: {before:?} {after:?}");
    Ok(())
}

/// Everything is as declared, so a new operator has nothing to write until something changes.
fn the_operator_comes_back_and_writes_nothing(lab: &Lab) -> Result<()> {
    let pods = ["--namespace=ottla-system", "pods"];
    let old = text(&lab.get(&pods)?["items"][0]["metadata"]["name"]);
    let begin = audit(lab)?.len();
    lab.kubectl(&[
        "--namespace=ottla-system",
        "delete",
        "pod",
        &old,
        "--grace-period=0",
        "--force",
    ])?;
    let began = Instant::now();
    patch(
        lab,
        "kafkatopic",
        "packages",
        json!({"spec": {"partitions": 9}}),
    )?;
    topic_ready(lab, 3)?;
    println!(
        "operator killed → a change is done: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let events = audit(lab)?;
    let written: BTreeSet<String> = events[begin..]
        .iter()
        .filter(|event| event["user"]["username"] == OPERATOR)
        .filter(|event| !matches!(event["verb"].as_str(), Some("get" | "list" | "watch")))
        .map(|event| {
            let object = &event["objectRef"];
            format!("{} {}", text(&object["resource"]), text(&object["name"]))
        })
        .filter(|what| !what.starts_with("leases ") && !what.starts_with("events "))
        .collect();
    ensure!(
        written == BTreeSet::from(["kafkatopics packages".to_owned()]),
        "{written:?}"
    );
    Ok(())
}

fn what_cannot_be_had_is_said(lab: &Lab) -> Result<()> {
    let topic = |name: &str, cluster: &str, kafka: &str| {
        json!({
            "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"clusterRef": {"name": cluster}, "topicName": kafka, "partitions": 1},
        })
        .to_string()
    };
    apply(lab, &topic("lost", "nobody", "lost"))?;
    let why = stalled(lab, "kafkatopic", "lost")?;
    ensure!(why.contains("no KafkaCluster nobody"), "{why}");
    apply(lab, &topic("twice", CLUSTER, "packages"))?;
    let why = stalled(lab, "kafkatopic", "twice")?;
    ensure!(why.contains("packages"), "{why}");
    kubectl(lab, &["delete", "kafkatopic", "lost", "twice"])?;

    let refused = patch(
        lab,
        "kafkatopic",
        "packages",
        json!({"spec": {"partitions": 2}}),
    );
    let error = format!(
        "{:#}",
        refused.err().context("fewer partitions are refused")?
    );
    ensure!(
        error.contains("partitions cannot decrease (9 to 2)"),
        "{error}"
    );

    // Nothing that runs is touched, and it heals when the wish is taken back.
    patch(
        lab,
        "kafkacluster",
        CLUSTER,
        json!({"spec": {"replicas": 1}}),
    )?;
    let why = stalled(lab, "kafkacluster", CLUSTER)?;
    ensure!(
        why.contains("spec.replicas") && why.contains("packages"),
        "{why}"
    );
    patch(
        lab,
        "kafkacluster",
        CLUSTER,
        json!({"spec": {"replicas": 4}}),
    )?;
    ready(lab, 4).map(drop)
}

/// Each right that the operator was given was used, in this story so far.
fn rights_are_those_that_are_used(lab: &Lab) -> Result<()> {
    let granted: BTreeSet<String> = ["clusterrole", "role"]
        .into_iter()
        .map(|kind| lab.get(&["--namespace=ottla-system", kind, "ottla-operator"]))
        .collect::<Result<Vec<_>>>()?
        .iter()
        .flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default())
        .flat_map(|rule| {
            let words = |field: &str| -> Vec<String> {
                rule[field]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect()
            };
            let (resources, verbs) = (words("resources"), words("verbs"));
            resources
                .into_iter()
                .flat_map(move |resource| {
                    let verbs = verbs.clone().into_iter();
                    verbs.map(move |verb| format!("{verb} {resource}"))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let mut used = BTreeSet::new();
    for event in audit(lab)? {
        if event["user"]["username"] == OPERATOR {
            let object = &event["objectRef"];
            let below = object["subresource"].as_str();
            let below = below.map(|below| format!("/{below}")).unwrap_or_default();
            let resource = format!("{}{below}", text(&object["resource"]));
            used.insert(format!("{} {resource}", text(&event["verb"])));
            // The server asks for both rights when an apply makes an object.
            if event["responseStatus"]["code"] == 201 {
                used.insert(format!("create {resource}"));
            }
        }
    }
    let unused: Vec<_> = granted.difference(&used).collect();
    // A broker that leaves takes its parts along; the other test of that is in Kafka's hands.
    let expected: Vec<String> = ["delete configmaps", "delete pods", "delete statefulsets"]
        .map(str::to_owned)
        .into();
    ensure!(
        unused.iter().all(|right| expected.contains(right)),
        "{unused:?}"
    );
    Ok(())
}

/// The KafkaCluster is deleted, its volumes stay, and a later one of the same name goes on with them.
fn records_outlive_the_manifest(lab: &Lab, manifest: &str, first: &str) -> Result<()> {
    let id = object(lab, "kafkacluster", CLUSTER)?["status"]["clusterId"].clone();
    kubectl(lab, &["delete", "kafkacluster", CLUSTER])?;
    until("the brokers to be gone", LIMIT, || {
        let is_gone = list(lab, "pods")?.is_empty() && list(lab, "statefulsets")?.is_empty();
        Ok(is_gone.then_some(()))
    })?;
    ensure!(
        list(lab, "persistentvolumeclaims")?.len() == 4,
        "volumes stay"
    );
    let why = stalled(lab, "kafkatopic", "packages")?;
    ensure!(why.contains("no KafkaCluster"), "{why}");
    let again = manifest
        .replace("replicas: 3", "replicas: 4")
        .replace("size: 1Gi", "size: 2Gi")
        .replace("  partitions: 6", "  partitions: 9");
    apply(lab, &again)?;
    let status = ready(lab, 4)?;
    ensure!(
        status["clusterId"] == id,
        "{} was {id}",
        status["clusterId"]
    );
    ensure!(
        sorted(&records(lab)?) == sorted(first),
        "records of the first life"
    );
    Ok(())
}

/// The KafkaCluster's status once it is Ready at its newest generation with `brokers` brokers.
fn ready(lab: &Lab, brokers: i32) -> Result<Value> {
    until(format!("{brokers} brokers to be Ready"), LIMIT, || {
        let cluster = object(lab, "kafkacluster", CLUSTER)?;
        let status = &cluster["status"];
        let is_ready = is_true(status, "Ready") && status["readyReplicas"] == brokers;
        let is_new = status["observedGeneration"] == cluster["metadata"]["generation"];
        Ok((is_ready && is_new).then(|| status.clone()))
    })
}

fn topic_ready(lab: &Lab, generation: i64) -> Result<Value> {
    until("the topic to be Ready", LIMIT, || {
        let topic = object(lab, "kafkatopic", "packages")?;
        let status = &topic["status"];
        let is_new = status["observedGeneration"].as_i64() >= Some(generation);
        Ok((is_true(status, "Ready") && is_new).then(|| status.clone()))
    })
}

/// Why an object is stalled, once it is.
fn stalled(lab: &Lab, kind: &str, name: &str) -> Result<String> {
    until(format!("{kind} {name} to be Stalled"), LIMIT, || {
        let object = object(lab, kind, name)?;
        let status = &object["status"];
        Ok(is_true(status, "Stalled").then(|| text(&condition(status, "Stalled")["message"])))
    })
}

fn condition(status: &Value, type_: &str) -> Value {
    let conditions = status["conditions"].as_array();
    let one = conditions.and_then(|all| all.iter().find(|one| one["type"] == type_));
    one.cloned().unwrap_or_default()
}

fn is_true(status: &Value, type_: &str) -> bool {
    condition(status, type_)["status"] == "True"
}

/// Runs `ottla` inside a broker's pod.
fn ottla(lab: &Lab, input: &str, args: &[&str]) -> Result<String> {
    let pod = ["exec", "--stdin", "three-brokers-kafka-0-0", "--", "ottla"];
    let server = ["--bootstrap-server", BOOTSTRAP];
    let words = [&["--namespace", NAMESPACE], pod.as_slice(), args, &server].concat();
    lab.kubectl_reading(input, &words)
}

/// A node's kube-proxy learns of an address a moment after a pod is Ready: an answer is waited for.
fn records(lab: &Lab) -> Result<String> {
    let read = ["consume", "packages", "--from-beginning", "--until-end"];
    until("the records", LIMIT, || Ok(ottla(lab, "", &read).ok()))
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn audit(lab: &Lab) -> Result<Vec<Value>> {
    let log = fs::read_to_string(lab.folder()?.join("control/audit.log"))?;
    Ok(log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

fn apply(lab: &Lab, manifest: &str) -> Result<()> {
    let words = ["--namespace", NAMESPACE, "apply", "--filename", "-"];
    lab.kubectl_reading(manifest, &words).map(drop)
}

fn patch(lab: &Lab, kind: &str, name: &str, patch: Value) -> Result<()> {
    let patch = patch.to_string();
    kubectl(
        lab,
        &["patch", kind, name, "--type=merge", "--patch", &patch],
    )
}

fn kubectl(lab: &Lab, args: &[&str]) -> Result<()> {
    lab.kubectl(&[&["--namespace", NAMESPACE], args].concat())
        .map(drop)
}

fn object(lab: &Lab, kind: &str, name: &str) -> Result<Value> {
    lab.get(&["--namespace", NAMESPACE, kind, name])
}

fn list(lab: &Lab, kind: &str) -> Result<Vec<Value>> {
    let list = lab.get(&["--namespace", NAMESPACE, kind])?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// What a person would look at.
fn said(lab: &Lab) -> String {
    let namespace = ["--namespace", NAMESPACE];
    let looks: [&[&str]; 4] = [
        &[
            "get",
            "kafkaclusters,kafkatopics,statefulsets,pods,persistentvolumeclaims",
        ],
        &["describe", "kafkaclusters"],
        &["get", "events"],
        &[
            "--namespace=ottla-system",
            "logs",
            "deployment/ottla-operator",
            "--tail=80",
        ],
    ];
    looks
        .iter()
        .map(|words| lab.kubectl(&[namespace.as_slice(), words].concat()))
        .map(|said| said.unwrap_or_else(|error| format!("{error:#}\n")))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}
