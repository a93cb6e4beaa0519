//! From files to what each cluster shall be: manifests read, put together with what holds already,
//! and checked against it.

use std::io::Read;
use std::path::{Path, PathBuf};

use ottla_operator::manifest::{self, Fault, Input, Manifest, Manifests};
use ottla_operator::platform::local::{ClusterFolder, Declared, clusters, declared_in};
use ottla_operator_api::{KafkaCluster, KafkaTopic};
use ottla_operator_plan::{Power, Refusal, Subject};

use crate::failure::{CONFLICT, Failure, NOT_FOUND, USAGE};

/// One cluster's manifests, with the places to point at when something is wrong.
pub struct Declaration {
    /// The cluster's name.
    pub name: String,
    /// Its folder.
    pub folder: ClusterFolder,
    /// What shall hold.
    pub declared: Declared,
    /// What holds already.
    pub before: Option<Declared>,
    cluster: Option<Manifest<KafkaCluster>>,
    topics: Vec<Manifest<KafkaTopic>>,
}

/// Reads `files` and puts them together with what holds in `dir`; without one nothing does.
///
/// With a KafkaCluster among them, the files are all there is of that cluster: a topic that was
/// declared and is not any more is pruned. Topics of a cluster that is only in `dir` are added.
pub fn declarations(files: &[PathBuf], dir: Option<&Path>) -> Result<Vec<Declaration>, Failure> {
    let inputs = files
        .iter()
        .map(|file| input(file))
        .collect::<Result<Vec<_>, _>>()?;
    let manifests = manifest::read(&inputs).map_err(|faults| wrong(USAGE, &faults))?;
    let declarations = group(manifests, dir)?;
    let changes: Vec<Fault> = declarations
        .iter()
        .flat_map(Declaration::forbidden_changes)
        .collect();
    if changes.is_empty() {
        Ok(declarations)
    } else {
        Err(wrong(CONFLICT, &changes))
    }
}

fn input(file: &Path) -> Result<Input, Failure> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
        let name = "standard input".into();
        return Ok(Input { name, text });
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Input {
            name: file.display().to_string(),
            text,
        }),
        Err(error) => {
            let mut failure = Failure::from(error);
            let hint = failure.causes.remove(0);
            failure.causes.push(match failure.code {
                NOT_FOUND => format!("there is no file {}", file.display()),
                USAGE => format!("{} is a directory", file.display()),
                _ => format!("cannot read {}: {hint}", file.display()),
            });
            Err(failure.next(
                "Files with manifests are expected: YAML with a KafkaCluster; `-` is standard input.",
            ))
        }
    }
}

fn wrong(code: u8, faults: &[Fault]) -> Failure {
    Failure {
        code,
        causes: faults.iter().map(ToString::to_string).collect(),
        next: None,
    }
}

fn group(manifests: Manifests, dir: Option<&Path>) -> Result<Vec<Declaration>, Failure> {
    let mut declarations = Vec::new();
    let mut faults = Vec::new();
    let name_of =
        |cluster: &Manifest<KafkaCluster>| cluster.object.metadata.name.clone().unwrap_or_default();
    let (mut topics, clusters_in_files) = (manifests.topics, manifests.clusters);
    for cluster in clusters_in_files {
        let name = name_of(&cluster);
        let own;
        (own, topics) = topics
            .into_iter()
            .partition(|topic| topic.object.spec.cluster_ref.name == name);
        namespaces(&cluster, &own, &mut faults);
        let folder = ClusterFolder::at(&dir.unwrap_or(Path::new("")).join(&name))?;
        let before = match dir {
            Some(_) => declared_in(&folder)?,
            None => None,
        };
        declarations.push(Declaration {
            folder,
            name,
            before,
            declared: Declared {
                cluster: cluster.object.clone(),
                topics: own.iter().map(|topic| topic.object.clone()).collect(),
                power: Power::On,
            },
            cluster: Some(cluster),
            topics: own,
        });
    }
    // Topics alone are added to clusters that are there.
    let there = dir.map_or_else(|| Ok(Vec::new()), clusters)?;
    for (name, folder) in there {
        let own;
        (own, topics) = topics
            .into_iter()
            .partition(|topic| topic.object.spec.cluster_ref.name == name);
        if own.is_empty() {
            continue;
        }
        let Some(before) = declared_in(&folder)? else {
            topics.extend(own);
            continue;
        };
        let mut declared = before.clone();
        declared.power = Power::On;
        for topic in &own {
            declared
                .topics
                .retain(|old| old.metadata.name != topic.object.metadata.name);
            declared.topics.push(topic.object.clone());
        }
        declarations.push(Declaration {
            name,
            folder,
            declared,
            before: Some(before),
            cluster: None,
            topics: own,
        });
    }
    let field: Vec<String> = ["spec", "clusterRef", "name"].map(str::to_owned).into();
    for topic in &topics {
        faults.push(topic.fault(
            &field,
            format!(
                "there is no KafkaCluster {} in these files{}",
                topic.object.spec.cluster_ref.name,
                dir.map_or_else(String::new, |dir| format!(" or in {}", dir.display()))
            ),
        ));
    }
    if faults.is_empty() {
        Ok(declarations)
    } else {
        Err(wrong(USAGE, &faults))
    }
}

/// A topic's clusterRef names a cluster of its own namespace.
fn namespaces(
    cluster: &Manifest<KafkaCluster>,
    topics: &[Manifest<KafkaTopic>],
    faults: &mut Vec<Fault>,
) {
    fn shown(namespace: Option<&String>) -> &str {
        namespace.map_or("default", String::as_str)
    }
    let own = shown(cluster.object.metadata.namespace.as_ref());
    let field: Vec<String> = ["metadata", "namespace"].map(str::to_owned).into();
    for topic in topics {
        let other = shown(topic.object.metadata.namespace.as_ref());
        if other != own {
            let message = format!("the cluster is in namespace {own}, the topic in {other}");
            faults.push(topic.fault(&field, message));
        }
    }
}

impl Declaration {
    /// What the manifests change that cannot be changed.
    fn forbidden_changes(&self) -> Vec<Fault> {
        let Some(before) = &self.before else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        if let Some(cluster) = &self.cluster {
            faults.extend(manifest::check_change(
                "KafkaCluster",
                cluster,
                &before.cluster,
            ));
        }
        for topic in &self.topics {
            let old = before
                .topics
                .iter()
                .find(|old| old.metadata.name == topic.object.metadata.name);
            if let Some(old) = old {
                faults.extend(manifest::check_change("KafkaTopic", topic, old));
            }
        }
        faults
    }

    /// What a plan refused, with the places in the files.
    pub fn refusal(&self, refused: &[Refusal], blocked: &[String]) -> Failure {
        let told = |refusal: &Refusal| {
            let fault = match &refusal.subject {
                Subject::Cluster => self
                    .cluster
                    .as_ref()
                    .map(|cluster| cluster.fault(&refusal.field, refusal.message.clone())),
                Subject::Topic(name) => self
                    .topics
                    .iter()
                    .find(|topic| topic.object.metadata.name.as_ref() == Some(name))
                    .map(|topic| topic.fault(&refusal.field, refusal.message.clone())),
            };
            fault.map_or_else(|| refusal.to_string(), |fault| fault.to_string())
        };
        Failure {
            code: if refused.is_empty() { CONFLICT } else { USAGE },
            causes: refused
                .iter()
                .map(told)
                .chain(blocked.iter().cloned())
                .collect(),
            next: None,
        }
    }
}
