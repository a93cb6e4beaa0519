//! Goal: the same manifest that `ottla up` runs on a laptop runs on Kubernetes under the operator: it becomes Ready,
//! keeps its records over the end of a pod, of the operator and of the KafkaCluster itself, takes more brokers, larger
//! volumes, more partitions and other settings, says what it cannot have, writes nothing when nothing is to be done, and
//! has the status that it has on a laptop.
//! Method: the lab, crds/ and deploy/operator.yaml as people apply them, kubectl; records are written and read inside a
//! broker's pod; who wrote what is read from the API server's audit log.
//! Needs: lab.

mod laptop;
mod refused;
mod rights;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Lab, Namespace, first_pod, repository_file, sorted, until};
use serde_json::{Value, json};

/// For what takes seconds on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);
/// The KafkaCluster of examples/three-brokers.yaml.
const CLUSTER: &str = "three-brokers";
/// How long nothing may be written when nothing changes.
const QUIET: Duration = Duration::from_secs(30);

#[test]
fn a_manifest_lives_on_kubernetes() -> Result<()> {
    let lab = Lab::up()?;
    let apps = Namespace::made(&lab, "apps", CLUSTER)?;
    let result = story(&apps);
    if result.is_err() {
        print!("{}", apps.said());
    }
    result?;
    lab.down()
}

fn story(apps: &Namespace<'_>) -> Result<()> {
    install(apps)?;
    let manifest = repository_file("examples/three-brokers.yaml")?;
    let began = Instant::now();
    apps.apply(&manifest)?;
    let status = apps.ready(3)?;
    println!(
        "applied → three brokers Ready: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    ensure!(
        status["listeners"][0]["bootstrapServers"] == apps.bootstrap(),
        "{}",
        status["listeners"]
    );
    laptop::says_the_same(&status)?;
    apps.topic_ready("packages", 1)?;
    let first: String = (0..1000).map(|n| format!("{n}\n")).collect();
    apps.ottla(&first, &["produce", "packages"])?;
    ensure!(
        apps.records("packages")? == sorted(&first),
        "records as written"
    );

    a_pod_comes_back_with_its_records(apps, &first)?;
    a_node_is_drained(apps, &first)?;
    a_pod_without_a_node_is_told_of(apps)?;
    a_volume_that_a_quota_forbids_is_told_of(apps)?;
    a_broker_comes_and_goes(apps)?;
    volumes_and_topics_change(apps)?;
    brokers_are_restarted_one_by_one(apps)?;
    the_operator_comes_back_and_writes_nothing(apps)?;
    nothing_is_done_when_nothing_changes(apps)?;
    refused::at_the_operator(apps)?;
    rights::rights_are_those_that_are_used(apps)?;
    records_outlive_the_manifest(apps, &manifest, &first)
}

fn install(apps: &Namespace<'_>) -> Result<()> {
    for name in ["kafkaclusters", "kafkatopics"] {
        apps.lab.kubectl_reading(
            &repository_file(&format!("crds/{name}.ottla.io.yaml"))?,
            &["apply", "--filename", "-"],
        )?;
    }
    refused::at_the_server(apps)?;
    let operator = repository_file("deploy/operator.yaml")?
        .replace("ottla-operator:0.1.0", "localhost/ottla-operator:lab")
        .replace("ottla-broker:0.1.0", "localhost/ottla-broker:lab");
    apps.lab
        .kubectl_reading(&operator, &["apply", "--filename", "-"])?;
    let rollout = [
        "rollout",
        "status",
        "deployment/ottla-operator",
        "--timeout=120s",
    ];
    apps.lab
        .kubectl(&[&["--namespace=ottla-system"], rollout.as_slice()].concat())
        .map(drop)
}

/// Ended without a word to the operator.
fn a_pod_comes_back_with_its_records(apps: &Namespace<'_>, first: &str) -> Result<()> {
    let pod = "three-brokers-kafka-1-0";
    let uid = apps.object("pod", pod)?["metadata"]["uid"].clone();
    apps.kubectl(&["delete", "pod", pod, "--grace-period=1"])?;
    until("another pod", LIMIT, || {
        let now = apps.list("pods")?;
        let now = now.iter().find(|now| now["metadata"]["name"] == pod);
        Ok(now.filter(|now| now["metadata"]["uid"] != uid).map(drop))
    })?;
    apps.ready(3)?;
    ensure!(
        apps.records("packages")? == sorted(first),
        "records after a pod's end"
    );
    Ok(())
}

/// The budget lets one broker go at a time; what goes comes back elsewhere with its volume.
fn a_node_is_drained(apps: &Namespace<'_>, first: &str) -> Result<()> {
    let pod = "three-brokers-kafka-2-0";
    let node = || -> Result<String> {
        let pod = apps.object("pod", pod)?;
        let node = pod["spec"]["nodeName"].as_str();
        node.map(str::to_owned).context("the pod has no node")
    };
    let old = node()?;
    let began = Instant::now();
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    apps.lab.kubectl(&[
        "drain",
        &old,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        &limit,
    ])?;
    apps.ready(3)?;
    println!(
        "node drained → all brokers Ready: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    ensure!(node()? != old, "the pod is still on {old}");
    apps.lab.kubectl(&["uncordon", &old])?;
    ensure!(
        apps.records("packages")? == sorted(first),
        "records after a drain"
    );
    Ok(())
}

fn a_pod_without_a_node_is_told_of(apps: &Namespace<'_>) -> Result<()> {
    let nodes = apps.lab.get(&["nodes"])?;
    let nodes: Vec<&str> = nodes["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node["metadata"]["name"].as_str())
        .collect();
    apps.lab
        .kubectl(&[&["cordon"], nodes.as_slice()].concat())?;
    apps.kubectl(&[
        "delete",
        "pod",
        "three-brokers-kafka-2-0",
        "--grace-period=1",
    ])?;
    apps.told("nodes are available")?;
    apps.lab
        .kubectl(&[&["uncordon"], nodes.as_slice()].concat())?;
    apps.ready(3).map(drop)
}

fn a_volume_that_a_quota_forbids_is_told_of(apps: &Namespace<'_>) -> Result<()> {
    apps.kubectl(&["create", "quota", "full", "--hard=persistentvolumeclaims=3"])?;
    apps.patch("kafkacluster", CLUSTER, &json!({"spec": {"replicas": 4}}))?;
    apps.told("exceeded quota")?;
    apps.kubectl(&["delete", "quota", "full"])?;
    apps.ready(4).map(drop)
}

/// A broker that nothing lies on leaves and leaves its volume; it comes back to it later.
fn a_broker_comes_and_goes(apps: &Namespace<'_>) -> Result<()> {
    for brokers in [3, 4] {
        let replicas = json!({"spec": {"replicas": brokers}});
        apps.patch("kafkacluster", CLUSTER, &replicas)?;
        apps.ready(brokers)?;
        until("as many pods as brokers", LIMIT, || {
            Ok((apps.pods()?.len() == brokers as usize).then_some(()))
        })?;
        ensure!(apps.volumes()?.len() == 4, "volumes stay");
    }
    Ok(())
}

fn volumes_and_topics_change(apps: &Namespace<'_>) -> Result<()> {
    let before = apps.pods()?;
    let larger = json!({"spec": {
        "storage": {"size": "2Gi"},
        "config": {"log.cleaner.backoff.ms": 20000},
    }});
    apps.patch("kafkacluster", CLUSTER, &larger)?;
    apps.ready(4)?;
    until("every volume to have 2Gi", LIMIT, || {
        let volumes = apps.volumes()?;
        let sizes = volumes
            .iter()
            .map(|claim| &claim["status"]["capacity"]["storage"]);
        Ok((sizes.filter(|size| **size == "2Gi").count() == 4).then_some(()))
    })?;
    let more = json!({"spec": {
        "partitions": 8,
        "config": {"retention.ms": "86400000", "max.message.bytes": 2_000_000},
    }});
    apps.patch("kafkatopic", "packages", &more)?;
    let status = apps.topic_ready("packages", 2)?;
    ensure!(status["partitions"] == 8, "{status}");
    let described = apps.ottla("", &["topic", "describe", "packages"])?;
    ensure!(
        described.contains("retention.ms=86400000")
            && described.contains("max.message.bytes=2000000"),
        "{described}"
    );
    let after = apps.pods()?;
    ensure!(before == after, "no pod was to end: {before:?} {after:?}");
    Ok(())
}

/// A setting that brokers read at their start only.
fn brokers_are_restarted_one_by_one(apps: &Namespace<'_>) -> Result<()> {
    let before = apps.pods()?;
    let began = Instant::now();
    let change = json!({"spec": {"config": {"auto.create.topics.enable": "false"}}});
    apps.patch("kafkacluster", CLUSTER, &change)?;
    apps.ready(4)?;
    println!(
        "four brokers restarted one by one: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let after = apps.pods()?;
    let is_new = |(pod, uid)| after.get(pod).is_some_and(|now| now != uid);
    ensure!(before.iter().all(is_new), "{before:?} {after:?}");
    Ok(())
}

/// Everything is as declared, so a new operator has nothing to write until something changes.
fn the_operator_comes_back_and_writes_nothing(apps: &Namespace<'_>) -> Result<()> {
    let pods = apps.lab.get(&["--namespace=ottla-system", "pods"])?;
    let old = first_pod(&pods)?;
    let begin = rights::requests(apps)?.len();
    apps.lab.kubectl(&[
        "--namespace=ottla-system",
        "delete",
        "pod",
        old,
        "--grace-period=0",
        "--force",
    ])?;
    let began = Instant::now();
    until("another operator to lead", LIMIT, || {
        let lease = apps
            .lab
            .get(&["--namespace=ottla-system", "lease", "ottla-operator"])?;
        let leader = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        Ok((!leader.is_empty() && leader != old).then_some(()))
    })?;
    apps.patch(
        "kafkatopic",
        "packages",
        &json!({"spec": {"partitions": 9}}),
    )?;
    apps.topic_ready("packages", 3)?;
    println!(
        "operator killed → a change is done: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // Two statuses: the topic's, and the cluster's with the hash of the plan that has the topic in it.
    let due = ["kafkaclusters three-brokers", "kafkatopics packages"].map(str::to_owned);
    let due = BTreeSet::from(due);
    // The log is written a moment after the answer.
    until("both to be in the log", LIMIT, || {
        let written = rights::written(&rights::requests(apps)?[begin..]);
        ensure!(written.is_subset(&due), "{written:?}");
        Ok((written == due).then_some(()))
    })?;
    Ok(())
}

/// Half a minute in which everything is as declared.
fn nothing_is_done_when_nothing_changes(apps: &Namespace<'_>) -> Result<()> {
    let is_own = |event: &&Value| event["objectRef"]["resource"] != "leases";
    let began = Instant::now();
    let begin = rights::requests(apps)?.len();
    let quiet = until("half a quiet minute", LIMIT, || {
        let requests = rights::requests(apps)?.split_off(begin);
        let written = rights::written(&requests);
        ensure!(written.is_empty(), "{written:?}");
        let calls = requests.iter().filter(is_own).count();
        Ok((began.elapsed() >= QUIET).then_some(calls))
    })?;
    let memory = operator_memory(apps)?;
    println!(
        "idle: {} calls in {} s besides the lease; operator {:.1} MB",
        quiet,
        QUIET.as_secs(),
        memory / 1e6
    );
    ensure!(quiet <= 5, "at most 10 calls a minute: {quiet}");
    ensure!(memory <= 20e6, "at most 20 MB: {memory}");
    Ok(())
}

/// As the operator itself says, in bytes.
fn operator_memory(apps: &Namespace<'_>) -> Result<f64> {
    let pods = apps.lab.get(&["--namespace=ottla-system", "pods"])?;
    let pod = first_pod(&pods)?;
    let path = format!("/api/v1/namespaces/ottla-system/pods/{pod}:8080/proxy/metrics");
    let figures = apps.lab.kubectl(&["get", "--raw", &path])?;
    let line = figures
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    Ok(line.context("the operator's memory")?.parse()?)
}

/// The KafkaCluster is deleted, its volumes stay, and a later one of the same name goes on with them.
fn records_outlive_the_manifest(apps: &Namespace<'_>, manifest: &str, first: &str) -> Result<()> {
    let id = apps.object("kafkacluster", CLUSTER)?["status"]["clusterId"].clone();
    apps.kubectl(&["delete", "kafkacluster", CLUSTER])?;
    until("the brokers to be gone", LIMIT, || {
        let is_gone = apps.list("pods")?.is_empty() && apps.list("statefulsets")?.is_empty();
        Ok(is_gone.then_some(()))
    })?;
    ensure!(apps.volumes()?.len() == 4, "volumes stay");
    let why = apps.stalled("kafkatopic", "packages")?;
    ensure!(why.contains("no KafkaCluster"), "{why}");
    let again = manifest
        .replace("replicas: 3", "replicas: 4")
        .replace("size: 1Gi", "size: 2Gi")
        .replace("  partitions: 6", "  partitions: 9");
    apps.apply(&again)?;
    let status = apps.ready(4)?;
    ensure!(
        status["clusterId"] == id,
        "{} was {id}",
        status["clusterId"]
    );
    ensure!(
        apps.records("packages")? == sorted(first),
        "records of the first life"
    );
    Ok(())
}
