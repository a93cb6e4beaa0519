//! A namespace of the lab with one Kafka cluster in it, as a person with kubectl sees it, and as the command line in a
//! broker's pod does.
//!
//! Invariant: restricted Pod Security is enforced in it. Not here: what is expected (tests/).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Lab, until};

/// For what takes seconds on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);

/// See the module.
pub struct Namespace<'a> {
    /// Where it is.
    pub lab: &'a Lab,
    name: &'a str,
    cluster: &'a str,
}

impl<'a> Namespace<'a> {
    /// Makes it, for a KafkaCluster that will be called `cluster`.
    pub fn made(lab: &'a Lab, name: &'a str, cluster: &'a str) -> Result<Namespace<'a>> {
        lab.kubectl(&["create", "namespace", name])?;
        let label = "pod-security.kubernetes.io/enforce=restricted";
        lab.kubectl(&["label", "namespace", name, label])?;
        Ok(Namespace { lab, name, cluster })
    }

    /// The bootstrap Service that the cluster's status is to name.
    pub fn bootstrap(&self) -> String {
        format!("{}-kafka-bootstrap.{}.svc:9092", self.cluster, self.name)
    }

    /// kubectl in this namespace; its standard output.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.lab
            .kubectl(&[&["--namespace", self.name], args].concat())
    }

    /// `kubectl apply` of a manifest.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let words = ["--namespace", self.name, "apply", "--filename", "-"];
        self.lab.kubectl_reading(manifest, &words).map(drop)
    }

    /// `kubectl patch` with a merge patch.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        self.kubectl(&["patch", kind, name, "--type=merge", "--patch", &patch])
            .map(drop)
    }

    /// An object.
    pub fn object(&self, kind: &str, name: &str) -> Result<Value> {
        self.lab.get(&["--namespace", self.name, kind, name])
    }

    /// All objects of a kind.
    pub fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let list = self.lab.get(&["--namespace", self.name, kind])?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The pods' uids by name.
    pub fn pods(&self) -> Result<BTreeMap<String, Value>> {
        let uid = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str()?.to_owned();
            Some((name, pod["metadata"]["uid"].clone()))
        };
        Ok(self.list("pods")?.iter().filter_map(uid).collect())
    }

    /// The brokers' claims.
    pub fn volumes(&self) -> Result<Vec<Value>> {
        self.list("persistentvolumeclaims")
    }

    /// The KafkaCluster's status, if it is Ready at its newest generation with `brokers` brokers.
    pub fn is_ready(&self, brokers: i32) -> Result<Option<Value>> {
        let cluster = self.object("kafkacluster", self.cluster)?;
        let status = &cluster["status"];
        let is_ready = holds(status, "Ready") && status["readyReplicas"] == brokers;
        let is_new = status["observedGeneration"] == cluster["metadata"]["generation"];
        Ok((is_ready && is_new).then(|| status.clone()))
    }

    /// The same, waited for.
    pub fn ready(&self, brokers: i32) -> Result<Value> {
        let what = format!("{brokers} brokers to be Ready");
        until(what, LIMIT, || self.is_ready(brokers))
    }

    /// A KafkaTopic's status, once it is Ready at `generation`.
    pub fn topic_ready(&self, topic: &str, generation: i64) -> Result<Value> {
        until(format!("topic {topic} to be Ready"), LIMIT, || {
            let topic = self.object("kafkatopic", topic)?;
            let status = &topic["status"];
            let is_new = status["observedGeneration"].as_i64() >= Some(generation);
            Ok((holds(status, "Ready") && is_new).then(|| status.clone()))
        })
    }

    /// Waits until a condition of the KafkaCluster says `words`.
    pub fn told(&self, words: &str) -> Result<()> {
        until(format!("the status to say: {words}"), LIMIT, || {
            let cluster = self.object("kafkacluster", self.cluster)?;
            let conditions = cluster["status"]["conditions"].as_array();
            let says = |one: &Value| one["message"].as_str().is_some_and(|m| m.contains(words));
            Ok(conditions.into_iter().flatten().any(says).then_some(()))
        })
    }

    /// Why an object is stalled, once it is.
    pub fn stalled(&self, kind: &str, name: &str) -> Result<String> {
        until(format!("{kind} {name} to be Stalled"), LIMIT, || {
            let object = self.object(kind, name)?;
            let stalled = condition(&object["status"], "Stalled");
            let stalled = stalled.filter(|one| one["status"] == "True");
            Ok(stalled.and_then(|one| one["message"].as_str().map(str::to_owned)))
        })
    }

    /// Runs `ottla` inside the first broker's pod.
    pub fn ottla(&self, input: &str, args: &[&str]) -> Result<String> {
        let pod = format!("{}-kafka-0-0", self.cluster);
        let server = self.bootstrap();
        let place = ["--namespace", self.name, "exec", "--stdin", &pod, "--"];
        let words = [
            &place[..],
            &["ottla"],
            args,
            &["--bootstrap-server", &server],
        ];
        self.lab.kubectl_reading(input, &words.concat())
    }

    /// A topic's records, a line each, sorted. A node's kube-proxy learns of an address a moment after a pod is Ready:
    /// an answer is waited for.
    pub fn records(&self, topic: &str) -> Result<Vec<String>> {
        let read = ["consume", topic, "--from-beginning", "--until-end"];
        let text = until("the records", LIMIT, || Ok(self.ottla("", &read).ok()))?;
        Ok(sorted(&text))
    }

    /// What a person would look at.
    pub fn said(&self) -> String {
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
        let said = looks.iter().map(|words| self.kubectl(words));
        said.map(|said| said.unwrap_or_else(|error| format!("{error:#}\n")))
            .collect()
    }
}

/// Lines in the order of their bytes.
pub fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The first pod of a list that kubectl gave. Errors: there is none.
pub fn first_pod(list: &Value) -> Result<&str> {
    let name = &list["items"][0]["metadata"]["name"];
    name.as_str().context("there is no pod")
}

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|one| one["type"] == type_)
}

fn holds(status: &Value, type_: &str) -> bool {
    condition(status, type_).is_some_and(|one| one["status"] == "True")
}
