//! Goal: with Helm 3 and with Helm 4 the charts live on Kubernetes: the operator is installed, a cluster becomes Ready
//! (Helm 4 waits for that itself), `helm test` passes, an upgrade brings more brokers and partitions, and what is
//! uninstalled leaves definitions and volumes, which the next release goes on with. Method: the lab, helm and kubectl as
//! people type them, namespaces with restricted Pod Security; records are written and read inside a broker's pod.
//! Needs: helm, lab.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Helm, Lab, until};
use serde_json::Value;

/// For what takes seconds on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);
const SYSTEM: &str = "ottla-system";
const NAMESPACE: &str = "apps";
const SERVER: &str = "--bootstrap-server=words-kafka-bootstrap.apps.svc:9092";
const OPERATOR_VALUES: &str =
    "image.registry=localhost,image.tag=lab,brokerImage.registry=localhost,brokerImage.tag=lab";
const CLUSTER_VALUES: &str = "storage.size=1Gi,test.image.registry=localhost,test.image.tag=lab,topics.packages.partitions=4";

#[test]
fn charts_live_on_kubernetes() -> Result<()> {
    let lab = Lab::up()?;
    let result = story(&lab);
    if result.is_err() {
        print!("{}", said(&lab));
    }
    result?;
    lab.down()
}

fn story(lab: &Lab) -> Result<()> {
    for name in [SYSTEM, NAMESPACE] {
        lab.kubectl(&["create", "namespace", name])?;
        let label = "pod-security.kubernetes.io/enforce=restricted";
        lab.kubectl(&["label", "namespace", name, label])?;
    }
    for helm in Helm::both_for(&lab.folder()?.join("kubeconfig"))? {
        with_one(lab, &helm).with_context(|| format!("with {}", helm.name))?;
    }
    Ok(())
}

/// The second Helm finds the definitions that the first one's release left.
fn with_one(lab: &Lab, helm: &Helm) -> Result<()> {
    the_operator_is_installed(lab, helm)?;
    let began = Instant::now();
    release(helm, "install", "replicas=2")?;
    ready(lab, helm, 2)?;
    println!(
        "{}: installed → two brokers Ready: {:.1} s",
        helm.name,
        began.elapsed().as_secs_f64()
    );
    let lines: String = (0..100).map(|n| format!("{} {n}\n", helm.name)).collect();
    ottla(lab, &lines, &["produce", "packages"])?;
    the_test_passes(lab, helm)?;

    release(helm, "upgrade", "replicas=3,topics.packages.partitions=6")?;
    ready(lab, helm, 3)?;
    until("six partitions", LIMIT, || {
        let topic = lab.get(&["--namespace", NAMESPACE, "kafkatopic", "packages"])?;
        Ok((topic["status"]["partitions"] == 6).then_some(()))
    })?;
    the_operator_is_upgraded(lab, helm)?;
    the_test_passes(lab, helm)?;

    uninstalled(lab, helm)?;
    release(helm, "install", "replicas=3,topics.packages.partitions=6")?;
    ready(lab, helm, 3)?;
    ensure!(
        sorted(&records(lab)?) == sorted(&lines),
        "records of the first release"
    );

    uninstalled(lab, helm)?;
    kubectl(lab, &["delete", "persistentvolumeclaims", "--all"])?;
    helm.run(&[
        "uninstall",
        "ottla-operator",
        "--namespace",
        SYSTEM,
        "--wait",
    ])?;
    let left = lab.get(&["--namespace", SYSTEM, "deployments"])?;
    ensure!(left["items"].as_array().is_some_and(Vec::is_empty));
    for name in ["kafkaclusters.ottla.io", "kafkatopics.ottla.io"] {
        lab.get(&["customresourcedefinition", name])?;
    }
    Ok(())
}

fn the_operator_is_installed(lab: &Lab, helm: &Helm) -> Result<()> {
    let values = ["--set", OPERATOR_VALUES, "--wait", "--timeout=240s"];
    let install = ["install", "ottla-operator", "charts/ottla-operator"];
    helm.run(&[&install[..], &["--namespace", SYSTEM], &values].concat())?;
    // A server takes a moment to serve a kind that it was told of.
    let names = ["kafkaclusters.ottla.io", "kafkatopics.ottla.io"];
    for name in names {
        let one = format!("customresourcedefinition/{name}");
        lab.kubectl(&["wait", "--for=condition=Established", &one, "--timeout=60s"])?;
    }
    Ok(())
}

/// Helm 4 waits for the resource itself, by its status; Helm 3 does not know how.
fn release(helm: &Helm, verb: &str, values: &str) -> Result<()> {
    let values = format!("{CLUSTER_VALUES},{values}");
    let mut words = vec![verb, "words", "charts/ottla-cluster"];
    words.extend(["--namespace", NAMESPACE, "--set", &values]);
    if helm.name == "helm4" {
        words.extend(["--wait", "--timeout=240s"]);
    }
    let notes = helm.run(&words)?;
    ensure!(
        notes.contains("words-kafka-bootstrap.apps.svc:9092"),
        "{notes}"
    );
    Ok(())
}

/// The cluster is Ready at its newest generation with `brokers` brokers; at once when Helm waited.
fn ready(lab: &Lab, helm: &Helm, brokers: i32) -> Result<()> {
    let look = || {
        let cluster = lab.get(&["--namespace", NAMESPACE, "kafkacluster", "words"])?;
        let status = &cluster["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let is_ready = conditions
            .filter(|one| one["type"] == "Ready")
            .any(|one| one["status"] == "True");
        let is_new = status["observedGeneration"] == cluster["metadata"]["generation"];
        Ok((is_ready && is_new && status["readyReplicas"] == brokers).then_some(()))
    };
    if helm.name == "helm4" {
        return look()?.context("Helm waited, and the cluster is not Ready");
    }
    until(format!("{brokers} brokers to be Ready"), LIMIT, look)
}

fn the_test_passes(lab: &Lab, helm: &Helm) -> Result<()> {
    let began = Instant::now();
    helm.run(&["test", "words", "--namespace", NAMESPACE, "--timeout=120s"])?;
    println!(
        "{}: helm test: {:.1} s",
        helm.name,
        began.elapsed().as_secs_f64()
    );
    until("the test's pod to be gone", LIMIT, || {
        let is_gone = list(lab, "pods")?
            .iter()
            .all(|pod| pod["metadata"]["name"] != "words-check");
        Ok(is_gone.then_some(()))
    })?;
    let topics = ottla(lab, "", &["topic", "list", "-o", "json"])?;
    ensure!(!topics.contains("ottla-check"), "{topics}");
    Ok(())
}

/// Nothing that runs for clusters is touched by that.
fn the_operator_is_upgraded(lab: &Lab, helm: &Helm) -> Result<()> {
    let pods = || -> Result<Vec<Value>> {
        let pods = list(lab, "pods")?.into_iter();
        Ok(pods.map(|pod| pod["metadata"]["uid"].clone()).collect())
    };
    let before = pods()?;
    let values = ["--set", OPERATOR_VALUES, "--set", "replicaCount=2"];
    let upgrade = ["upgrade", "ottla-operator", "charts/ottla-operator"];
    let place = ["--namespace", SYSTEM, "--wait", "--timeout=240s"];
    helm.run(&[&upgrade[..], &place, &values].concat())?;
    let deployment = lab.get(&["--namespace", SYSTEM, "deployment", "ottla-operator"])?;
    ensure!(deployment["status"]["readyReplicas"] == 2, "{deployment}");
    ensure!(pods()? == before, "brokers were to stay");
    Ok(())
}

/// The brokers go, their volumes stay.
fn uninstalled(lab: &Lab, helm: &Helm) -> Result<()> {
    helm.run(&["uninstall", "words", "--namespace", NAMESPACE])?;
    until("the brokers to be gone", LIMIT, || {
        let is_gone = list(lab, "pods")?.is_empty() && list(lab, "kafkaclusters")?.is_empty();
        Ok(is_gone.then_some(()))
    })?;
    let claims = list(lab, "persistentvolumeclaims")?.len();
    ensure!(claims == 3, "{claims} volumes stay");
    Ok(())
}

/// Runs `ottla` inside a broker's pod.
fn ottla(lab: &Lab, input: &str, args: &[&str]) -> Result<String> {
    let pod = ["exec", "--stdin", "words-kafka-0-0", "--", "ottla"];
    let words = [&["--namespace", NAMESPACE], &pod[..], args, &[SERVER]].concat();
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

fn kubectl(lab: &Lab, args: &[&str]) -> Result<()> {
    lab.kubectl(&[&["--namespace", NAMESPACE], args].concat())
        .map(drop)
}

fn list(lab: &Lab, kind: &str) -> Result<Vec<Value>> {
    let list = lab.get(&["--namespace", NAMESPACE, kind])?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// What a person would look at.
fn said(lab: &Lab) -> String {
    let looks: [&[&str]; 4] = [
        &[
            "get",
            "kafkaclusters,kafkatopics,pods,persistentvolumeclaims,events",
        ],
        &["describe", "kafkaclusters"],
        &["logs", "pod/words-check"],
        &[
            "--namespace=ottla-system",
            "logs",
            "deployment/ottla-operator",
            "--tail=80",
        ],
    ];
    looks
        .iter()
        .map(|words| lab.kubectl(&[&["--namespace", NAMESPACE], *words].concat()))
        .map(|said| said.unwrap_or_else(|error| format!("{error:#}\n")))
        .collect()
}
