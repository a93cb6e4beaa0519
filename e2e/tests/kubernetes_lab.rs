//! Goal: the Kubernetes lab is a real cluster for our image: pods on three nodes, volumes that are made on demand,
//! grow under a running broker and follow it to another node, names, Services, an audit log; and nothing of it is left
//! when it is down. Method: `cargo xtask lab` and kubectl as a person types them; one broker under a StatefulSet, with
//! records written and read inside its pod. The machine is looked at before and after.
//! Needs: lab.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Lab, until};
use serde_json::Value;

/// For what takes seconds on a quiet machine.
const LIMIT: Duration = Duration::from_secs(180);
const MANIFEST: &str = include_str!("kubernetes_lab/broker.yaml");
const POD: &str = "words-0";
const NAME: &str = "words-0.words.default.svc.cluster.local:9092";
const SERVICE: &str = "words-bootstrap.default.svc.cluster.local:9092";

#[test]
fn a_lab_comes_up_works_and_leaves_nothing() -> Result<()> {
    let before = Machine::look()?;
    let began = Instant::now();
    let lab = Lab::up()?;
    println!("lab up: {:.1} s", began.elapsed().as_secs_f64());
    ensure!(lab.verb("up")?.contains("up already"), "a second `up`");
    print!("{}", lab.verb("status")?);
    three_nodes_are_ready(&lab)?;

    lab.kubectl_reading(MANIFEST, &["apply", "--filename", "-"])?;
    wait_ready(&lab)?;
    ottla(
        &lab,
        "",
        &["topic", "create", "words", "--bootstrap-server", NAME],
    )?;
    ottla(
        &lab,
        "one\ntwo\nthree\n",
        &["produce", "words", "--bootstrap-server", NAME],
    )?;
    // By the Service: cluster DNS, kube-proxy, and the name that the broker advertises.
    ensure!(words(&lab, SERVICE)? == "one\ntwo\nthree\n", "records");

    the_volume_grows_under_the_broker(&lab)?;
    the_broker_moves_with_its_volume(&lab)?;
    the_audit_log_tells_who_did_what(&lab)?;
    the_volume_goes_with_its_claim(&lab)?;

    lab.cut_power("lab-3")?;
    until("the node to be without power", LIMIT, || {
        let status = lab.verb("status")?;
        Ok(status.contains("lab-3        ended").then_some(()))
    })?;
    lab.down()?;
    let left = Machine::look()?.since(&before);
    ensure!(left.is_empty(), "left on the machine: {left:#?}");

    Lab::half_up(2)?.down()?;
    let left = Machine::look()?.since(&before);
    ensure!(left.is_empty(), "left on the machine: {left:#?}");
    Ok(())
}

fn three_nodes_are_ready(lab: &Lab) -> Result<()> {
    let nodes = lab.get(&["nodes"])?;
    let nodes = nodes["items"].as_array().context("a list of nodes")?;
    ensure!(nodes.len() == 3, "{} nodes", nodes.len());
    for node in nodes {
        let conditions = node["status"]["conditions"].as_array();
        let is_ready = conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one["type"] == "Ready" && one["status"] == "True")
        });
        ensure!(is_ready, "{}", node["metadata"]["name"]);
    }
    Ok(())
}

/// The file system must follow the claim while the same process has it open.
fn the_volume_grows_under_the_broker(lab: &Lab) -> Result<()> {
    let restarts = container(lab)?["restartCount"].clone();
    let started = container(lab)?["state"].clone();
    let small = file_system_bytes(lab)?.context("the kubelet measures the volume")?;
    ensure!(small <= 512 << 20, "{small} bytes before");
    lab.kubectl(&[
        "patch",
        "persistentvolumeclaim",
        "data-words-0",
        "--patch",
        r#"{"spec":{"resources":{"requests":{"storage":"1Gi"}}}}"#,
    ])?;
    until("the claim to have 1Gi", LIMIT, || {
        let claim = lab.get(&["persistentvolumeclaim", "data-words-0"])?;
        Ok((claim["status"]["capacity"]["storage"] == "1Gi").then_some(()))
    })?;
    until("the file system to have grown", LIMIT, || {
        Ok(file_system_bytes(lab)?.filter(|bytes| *bytes > 800 << 20))
    })?;
    let now = container(lab)?;
    ensure!(
        now["restartCount"] == restarts && now["state"] == started,
        "the broker was restarted: {now}"
    );
    ensure!(words(lab, NAME)? == "one\ntwo\nthree\n", "records");
    Ok(())
}

/// A drained node gives its pod and the volume away.
fn the_broker_moves_with_its_volume(lab: &Lab) -> Result<()> {
    let first = node_of(lab)?;
    lab.kubectl(&["drain", &first, "--ignore-daemonsets", "--timeout=120s"])?;
    wait_ready(lab)?;
    let second = node_of(lab)?;
    ensure!(first != second, "still on the drained node {first}");
    ensure!(words(lab, NAME)? == "one\ntwo\nthree\n", "records");
    lab.kubectl(&["uncordon", &first])?;

    lab.kubectl(&["delete", "pod", POD])?;
    wait_ready(lab)?;
    ottla(
        lab,
        "four\n",
        &["produce", "words", "--bootstrap-server", NAME],
    )?;
    ensure!(words(lab, SERVICE)? == "one\ntwo\nthree\nfour\n", "records");
    Ok(())
}

fn the_audit_log_tells_who_did_what(lab: &Lab) -> Result<()> {
    let log = fs::read_to_string(lab.folder()?.join("control/audit.log"))?;
    let was_made = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .any(|event| {
            event["verb"] == "create"
                && event["objectRef"]["resource"] == "pods"
                && event["objectRef"]["name"] == POD
                && event["user"]["username"]
                    == "system:serviceaccount:kube-system:statefulset-controller"
        });
    ensure!(was_made, "no line tells that the pod was made");
    Ok(())
}

fn the_volume_goes_with_its_claim(lab: &Lab) -> Result<()> {
    lab.kubectl(&["delete", "statefulset", "words"])?;
    lab.kubectl(&["delete", "persistentvolumeclaim", "data-words-0"])?;
    until("the volume to be deleted", LIMIT, || {
        let volumes = lab.get(&["persistentvolumes"])?;
        let files = fs::read_dir(lab.folder()?.join("volumes"))?.count();
        let is_gone = volumes["items"].as_array().is_some_and(Vec::is_empty);
        Ok((is_gone && files == 0).then_some(()))
    })
}

fn wait_ready(lab: &Lab) -> Result<()> {
    until("the broker to be ready", LIMIT, || {
        let pods = lab.get(&["pods", "--selector=app=words"])?;
        let pod = &pods["items"][0];
        let conditions = pod["status"]["conditions"].as_array();
        let is_ready = conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one["type"] == "Ready" && one["status"] == "True")
        });
        let is_leaving = pod["metadata"]["deletionTimestamp"].is_string();
        Ok((is_ready && !is_leaving).then_some(()))
    })
    .with_context(|| {
        lab.kubectl(&["describe", "pods"]).unwrap_or_default()
            + &lab.kubectl(&["logs", POD, "--tail=30"]).unwrap_or_default()
    })
}

fn node_of(lab: &Lab) -> Result<String> {
    let pod = lab.get(&["pod", POD])?;
    let node = pod["spec"]["nodeName"].as_str();
    Ok(node.context("the pod has a node")?.to_owned())
}

fn container(lab: &Lab) -> Result<Value> {
    let pod = lab.get(&["pod", POD])?;
    Ok(pod["status"]["containerStatuses"][0].clone())
}

/// Runs `ottla` inside the broker's pod.
fn ottla(lab: &Lab, input: &str, args: &[&str]) -> Result<String> {
    let mut words = vec!["exec", "--stdin", POD, "--", "ottla"];
    words.extend(args);
    lab.kubectl_reading(input, &words)
}

/// All records of the topic. A node's kube-proxy learns of an address a moment after the pod is
/// Ready, so the first answer is waited for.
fn words(lab: &Lab, bootstrap: &str) -> Result<String> {
    until(format!("an answer at {bootstrap}"), LIMIT, || {
        let list = ["topic", "list", "--bootstrap-server", bootstrap];
        Ok(ottla(lab, "", &list).ok())
    })?;
    ottla(
        lab,
        "",
        &[
            "consume",
            "words",
            "--from-beginning",
            "--until-end",
            "--bootstrap-server",
            bootstrap,
        ],
    )
}

/// The size of the file system that the pod sees, as its kubelet measures it from time to time.
fn file_system_bytes(lab: &Lab) -> Result<Option<u64>> {
    let node = node_of(lab)?;
    let bytes = until("the kubelet to measure the volume", LIMIT, || {
        let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
        let summary: Value = serde_json::from_str(&lab.kubectl(&["get", "--raw", &path])?)?;
        let volumes = summary["pods"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|pod| pod["podRef"]["name"] == POD)
            .flat_map(|pod| pod["volume"].as_array().cloned().unwrap_or_default())
            .find(|volume| volume["name"] == "data");
        Ok(volumes.and_then(|volume| volume["capacityBytes"].as_u64()))
    })?;
    Ok(Some(bytes))
}

/// What a lab might leave behind on its machine.
#[derive(Debug, PartialEq, Eq)]
struct Machine(BTreeSet<String>);

impl Machine {
    fn look() -> Result<Machine> {
        let mut seen = BTreeSet::new();
        for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
            let place = line.split(' ').nth(4).unwrap_or_default();
            seen.insert(format!("mount at {place}"));
        }
        for name in names("/sys/class/net")? {
            seen.insert(format!("link {name}"));
        }
        for name in names("/sys/block")? {
            let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
            if let Ok(file) = file {
                seen.insert(format!("loop device {name} of {}", file.trim_end()));
            }
        }
        for hierarchy in names("/sys/fs/cgroup")? {
            for name in names(&format!("/sys/fs/cgroup/{hierarchy}")).unwrap_or_default() {
                seen.insert(format!("cgroup {hierarchy}/{name}"));
            }
        }
        // What a kubelet sets on a machine that is its own.
        for setting in [
            "vm/overcommit_memory",
            "kernel/panic",
            "kernel/panic_on_oops",
        ] {
            let value = fs::read_to_string(format!("/proc/sys/{setting}"))?;
            seen.insert(format!("{setting} = {}", value.trim_end()));
        }
        for place in [
            "/run",
            "/run/netns",
            "/var/lib",
            "/var/log",
            "/usr/libexec",
            "/etc",
            "/opt",
        ] {
            for name in names(place).unwrap_or_default() {
                seen.insert(format!("{place}/{name}"));
            }
        }
        seen.extend(foreign_processes()?);
        Ok(Machine(seen))
    }

    fn since(&self, before: &Machine) -> BTreeSet<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

/// Processes that do not live in this test's own namespaces: every one of a lab's does not.
fn foreign_processes() -> Result<BTreeSet<String>> {
    let own = fs::read_link("/proc/self/ns/pid")?;
    let mut foreign = BTreeSet::new();
    for pid in names("/proc")?
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
    {
        // A process that has ended in between is not there.
        let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/pid_for_children")) else {
            continue;
        };
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if namespace != own {
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            foreign.insert(format!("process {pid}: {command}"));
        }
    }
    Ok(foreign)
}

fn names(folder: &str) -> Result<Vec<String>> {
    Ok(fs::read_dir(folder)
        .with_context(|| format!("cannot list {folder}"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}
