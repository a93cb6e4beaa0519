//! Reading manifests: YAML (or JSON, which is YAML) to `KafkaCluster` and `KafkaTopic`, or to
//! faults that each name file, line, field and what to write instead.
//!
//! A manifest is held to the CRD's own schema and rules, as an API server would hold it. Nothing
//! that is not understood is let through. Not here: what several manifests mean together
//! (operator/plan).

mod fault;
mod later;
mod schema;
mod tree;

use std::collections::BTreeMap;

use ottla_operator_api::{GROUP, KafkaCluster, KafkaTopic, Rules, VERSION};
use ottla_settings::nearest;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use fault::{Fault, Place};
pub use tree::Node;

/// One file's text.
#[derive(Clone, Debug)]
pub struct Input {
    /// What to call it in messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// An object with the places of its fields.
#[derive(Clone, Debug)]
pub struct Manifest<T> {
    /// The object.
    pub object: T,
    file: String,
    tree: Node,
}

/// All objects of some files, in their order.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The clusters.
    pub clusters: Vec<Manifest<KafkaCluster>>,
    /// The topics.
    pub topics: Vec<Manifest<KafkaTopic>>,
}

impl<T> Manifest<T> {
    /// A fault of this object: `field` from its root, and why.
    pub fn fault(&self, field: &[String], message: impl Into<String>) -> Fault {
        Fault {
            place: Some(self.tree.place(&self.file, field)),
            field: fault::joined(field),
            message: message.into(),
        }
    }
}

/// Reads and checks every object of `inputs`. Faults come all at once, in the order of the files.
pub fn read(inputs: &[Input]) -> Result<Manifests, Vec<Fault>> {
    let mut manifests = Manifests::default();
    let mut faults = Vec::new();
    let mut rules = BTreeMap::new();
    for input in inputs {
        let documents = match tree::documents(input) {
            Ok(documents) => documents,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        if documents.is_empty() {
            faults.push(Fault {
                place: Some(Place::start(&input.name)),
                field: String::new(),
                message: "no manifest stands here; a KafkaCluster is expected".into(),
            });
        }
        for tree in documents {
            read_one(&input.name, tree, &mut rules, &mut manifests, &mut faults);
        }
    }
    twice(
        &manifests.clusters,
        |c| c.metadata.name.as_deref(),
        &mut faults,
    );
    twice(
        &manifests.topics,
        |t| t.metadata.name.as_deref(),
        &mut faults,
    );
    if faults.is_empty() {
        Ok(manifests)
    } else {
        Err(faults)
    }
}

fn read_one(
    file: &str,
    tree: Node,
    rules: &mut BTreeMap<String, Rules>,
    manifests: &mut Manifests,
    faults: &mut Vec<Fault>,
) {
    let kind = match kind(file, &tree) {
        Ok(kind) => kind,
        Err(fault) => return faults.push(fault),
    };
    let before = faults.len();
    schema::check(file, &kind, &tree, faults);
    if faults.len() > before {
        // A rule would speak of values that have the wrong shape.
        return;
    }
    let mut json = tree.json();
    // Whatever a manifest says of its status, only what is seen counts.
    if let Value::Object(map) = &mut json {
        map.remove("status");
    }
    let rules = rules
        .entry(kind.clone())
        .or_insert_with(|| Rules::of_kind(&kind).expect("`kind` accepts our kinds only"));
    for broken in rules.broken(&json, None) {
        faults.push(Fault {
            place: Some(tree.place(file, &broken.field)),
            field: fault::joined(&broken.field),
            message: broken.message,
        });
    }
    if faults.len() > before {
        return;
    }
    match kind.as_str() {
        "KafkaCluster" => push(&mut manifests.clusters, file, tree, json, faults),
        _ => push(&mut manifests.topics, file, tree, json, faults),
    }
}

fn push<T: DeserializeOwned>(
    list: &mut Vec<Manifest<T>>,
    file: &str,
    tree: Node,
    json: Value,
    faults: &mut Vec<Fault>,
) {
    match serde_json::from_value(json) {
        Ok(object) => list.push(Manifest {
            object,
            file: file.to_owned(),
            tree,
        }),
        // The schema was made from the type, so this is for what the two disagree about.
        Err(error) => faults.push(Fault {
            place: Some(tree.place(file, &[])),
            field: String::new(),
            message: error.to_string(),
        }),
    }
}

/// The kind of a document, when it is one of ours.
fn kind(file: &str, tree: &Node) -> Result<String, Fault> {
    let fault = |field: &str, message: String| Fault {
        place: Some(tree.place(file, &[field.to_owned()])),
        field: field.to_owned(),
        message,
    };
    let text = |field: &str| tree.get(field).and_then(Node::text);
    let expected = format!("{GROUP}/{VERSION}");
    let Some(version) = text("apiVersion") else {
        return Err(fault(
            "apiVersion",
            format!("is missing; write `apiVersion: {expected}`"),
        ));
    };
    if version != expected {
        return Err(fault(
            "apiVersion",
            format!(
                "{version} is not Ottla's; manifests here are KafkaCluster and KafkaTopic of {expected}"
            ),
        ));
    }
    let Some(kind) = text("kind") else {
        return Err(fault(
            "kind",
            "is missing; write `kind: KafkaCluster` or `kind: KafkaTopic`".into(),
        ));
    };
    if ["KafkaCluster", "KafkaTopic"].contains(&kind) {
        return Ok(kind.to_owned());
    }
    if later::KINDS.contains(&kind) {
        return Err(fault("kind", later::message(&format!("{kind} objects"))));
    }
    let hint = nearest(kind, ["KafkaCluster", "KafkaTopic"])
        .map(|near| format!("did you mean {near}?"))
        .unwrap_or_else(|| "there are KafkaCluster and KafkaTopic".into());
    Err(fault("kind", format!("there is no kind {kind}; {hint}")))
}

fn twice<T>(manifests: &[Manifest<T>], name: impl Fn(&T) -> Option<&str>, faults: &mut Vec<Fault>) {
    let field = ["metadata".to_owned(), "name".to_owned()];
    for (index, manifest) in manifests.iter().enumerate() {
        let own = name(&manifest.object);
        let earlier = manifests[..index]
            .iter()
            .find(|other| name(&other.object) == own);
        if let Some(earlier) = earlier {
            let place = earlier.tree.place(&earlier.file, &field);
            faults.push(manifest.fault(
                &field,
                format!("{} is declared already at {place}", own.unwrap_or_default()),
            ));
        }
    }
}

/// What a changed object breaks of the rules about changes.
pub fn check_change<T: serde::Serialize>(kind: &str, new: &Manifest<T>, old: &T) -> Vec<Fault> {
    let rules = Rules::of_kind(kind).expect("callers name one of our kinds");
    let json = |object: &T| serde_json::to_value(object).expect("a manifest is plain JSON");
    rules
        .broken(&json(&new.object), Some(&json(old)))
        .into_iter()
        .map(|broken| new.fault(&broken.field, broken.message))
        .collect()
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
