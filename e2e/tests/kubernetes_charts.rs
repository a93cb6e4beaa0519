//! Goal: with Helm 3 and with Helm 4 the charts live on Kubernetes: the operator is installed, a cluster becomes Ready
//! (Helm 4 waits for that itself), `helm test` passes, an upgrade brings more brokers and partitions, and what is
//! uninstalled leaves definitions and volumes, which the next release goes on with. Method: the lab, helm and kubectl as
//! people type them, namespaces with restricted Pod Security; records are written and read inside a broker's pod.
//! Needs: helm, lab.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Helm, Lab, Namespace, sorted, until};

/// For what takes seconds on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);
const SYSTEM: &str = "ottla-system";
const NAMESPACE: &str = "apps";
const OPERATOR_VALUES: &str =
    "image.registry=localhost,image.tag=lab,brokerImage.registry=localhost,brokerImage.tag=lab";
const CLUSTER_VALUES: &str = "storage.size=1Gi,test.image.registry=localhost,test.image.tag=lab,topics.packages.partitions=4";

#[test]
fn charts_live_on_kubernetes() -> Result<()> {
    let lab = Lab::up()?;
    Namespace::made(&lab, SYSTEM, "none")?;
    let apps = Namespace::made(&lab, NAMESPACE, "words")?;
    let result = story(&apps);
    if result.is_err() {
        let test = apps.kubectl(&["logs", "pod/words-check"]);
        print!("{}{}", apps.said(), test.unwrap_or_default());
    }
    result?;
    lab.down()
}

fn story(apps: &Namespace<'_>) -> Result<()> {
    for helm in Helm::both_for(&apps.lab.folder()?.join("kubeconfig"))? {
        with_one(apps, &helm).with_context(|| format!("with {}", helm.name))?;
    }
    Ok(())
}

/// The second Helm finds the definitions that the first one's release left.
fn with_one(apps: &Namespace<'_>, helm: &Helm) -> Result<()> {
    the_operator_is_installed(apps, helm)?;
    let began = Instant::now();
    release(helm, "install", "replicas=2")?;
    ready(apps, helm, 2)?;
    println!(
        "{}: installed → two brokers Ready: {:.1} s",
        helm.name,
        began.elapsed().as_secs_f64()
    );
    let lines: String = (0..100).map(|n| format!("{} {n}\n", helm.name)).collect();
    apps.ottla(&lines, &["produce", "packages"])?;
    the_test_passes(apps, helm)?;

    release(helm, "upgrade", "replicas=3,topics.packages.partitions=6")?;
    ready(apps, helm, 3)?;
    until("six partitions", LIMIT, || {
        let topic = apps.object("kafkatopic", "packages")?;
        Ok((topic["status"]["partitions"] == 6).then_some(()))
    })?;
    the_operator_is_upgraded(apps, helm)?;
    the_test_passes(apps, helm)?;

    uninstalled(apps, helm)?;
    release(helm, "install", "replicas=3,topics.packages.partitions=6")?;
    ready(apps, helm, 3)?;
    ensure!(
        apps.records("packages")? == sorted(&lines),
        "records of the first release"
    );

    uninstalled(apps, helm)?;
    apps.kubectl(&["delete", "persistentvolumeclaims", "--all"])?;
    helm.run(&[
        "uninstall",
        "ottla-operator",
        "--namespace",
        SYSTEM,
        "--wait",
    ])?;
    let left = apps.lab.get(&["--namespace", SYSTEM, "deployments"])?;
    ensure!(left["items"].as_array().is_some_and(Vec::is_empty));
    for name in ["kafkaclusters.ottla.io", "kafkatopics.ottla.io"] {
        apps.lab.get(&["customresourcedefinition", name])?;
    }
    Ok(())
}

fn the_operator_is_installed(apps: &Namespace<'_>, helm: &Helm) -> Result<()> {
    let values = ["--set", OPERATOR_VALUES, "--wait", "--timeout=240s"];
    let install = ["install", "ottla-operator", "charts/ottla-operator"];
    helm.run(&[&install[..], &["--namespace", SYSTEM], &values].concat())?;
    // A server takes a moment to serve a kind that it was told of.
    let names = ["kafkaclusters.ottla.io", "kafkatopics.ottla.io"];
    for name in names {
        let one = format!("customresourcedefinition/{name}");
        apps.lab
            .kubectl(&["wait", "--for=condition=Established", &one, "--timeout=60s"])?;
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

/// At once when Helm waited.
fn ready(apps: &Namespace<'_>, helm: &Helm, brokers: i32) -> Result<()> {
    if helm.name == "helm4" {
        let status = apps.is_ready(brokers)?;
        return status
            .map(drop)
            .context("Helm waited, and the cluster is not Ready");
    }
    apps.ready(brokers).map(drop)
}

fn the_test_passes(apps: &Namespace<'_>, helm: &Helm) -> Result<()> {
    let began = Instant::now();
    helm.run(&["test", "words", "--namespace", NAMESPACE, "--timeout=120s"])?;
    println!(
        "{}: helm test: {:.1} s",
        helm.name,
        began.elapsed().as_secs_f64()
    );
    until("the test's pod to be gone", LIMIT, || {
        Ok((!apps.pods()?.contains_key("words-check")).then_some(()))
    })?;
    let topics = apps.ottla("", &["topic", "list", "-o", "json"])?;
    ensure!(!topics.contains("ottla-check"), "{topics}");
    Ok(())
}

/// Nothing that runs for clusters is touched by that.
fn the_operator_is_upgraded(apps: &Namespace<'_>, helm: &Helm) -> Result<()> {
    let before = apps.pods()?;
    let values = ["--set", OPERATOR_VALUES, "--set", "replicaCount=2"];
    let upgrade = ["upgrade", "ottla-operator", "charts/ottla-operator"];
    let place = ["--namespace", SYSTEM, "--wait", "--timeout=240s"];
    helm.run(&[&upgrade[..], &place, &values].concat())?;
    let deployment = apps
        .lab
        .get(&["--namespace", SYSTEM, "deployment", "ottla-operator"])?;
    ensure!(deployment["status"]["readyReplicas"] == 2, "{deployment}");
    ensure!(apps.pods()? == before, "brokers were to stay");
    Ok(())
}

/// The brokers go, their volumes stay.
fn uninstalled(apps: &Namespace<'_>, helm: &Helm) -> Result<()> {
    helm.run(&["uninstall", "words", "--namespace", NAMESPACE])?;
    until("the brokers to be gone", LIMIT, || {
        let is_gone = apps.pods()?.is_empty() && apps.list("kafkaclusters")?.is_empty();
        Ok(is_gone.then_some(()))
    })?;
    let claims = apps.volumes()?.len();
    ensure!(claims == 3, "{claims} volumes stay");
    Ok(())
}
