//! A document against the schema of its CRD: the part of OpenAPI that the CRDs use. Everything
//! that an API server would refuse or silently prune is a fault here, with its place.

use ottla_operator_api as api;
use ottla_settings::nearest;
use serde_json::Value;

use super::fault::joined;
use super::tree::{Content, Entry, Node};
use super::{Fault, later};

/// Fields of `metadata` that an object may carry, whether a person or a server wrote them.
const METADATA: &[&str] = &[
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Fields of an object's root; a status is read over, as by an API server.
const ROOT: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

/// Adds what is wrong with the shape of `tree`, a manifest of one of our kinds.
pub fn check(file: &str, kind: &str, tree: &Node, faults: &mut Vec<Fault>) {
    let schema = api::schema(kind).expect("callers name one of our kinds");
    let mut walk = Walk {
        file,
        root: tree,
        path: Vec::new(),
        faults,
    };
    walk.names(tree, ROOT);
    walk.metadata(tree.get("metadata"));
    match tree.get("spec") {
        Some(spec) => {
            walk.path.push("spec".into());
            walk.node(spec, &schema["properties"]["spec"]);
        }
        None => walk.at("spec", |walk| walk.fault("is missing")),
    }
}

struct Walk<'a> {
    file: &'a str,
    root: &'a Node,
    path: Vec<String>,
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(Fault {
            place: Some(self.root.place(self.file, &self.path)),
            field: joined(&self.path),
            message: message.into(),
        });
    }

    fn at(&mut self, part: impl Into<String>, visit: impl FnOnce(&mut Self)) {
        self.path.push(part.into());
        visit(self);
        self.path.pop();
    }

    fn metadata(&mut self, metadata: Option<&Node>) {
        let Some(metadata) = metadata else {
            return self.at("metadata", |walk| {
                walk.fault("is missing; write `metadata: {name: …}`");
            });
        };
        self.at("metadata", |walk| {
            walk.names(metadata, METADATA);
            match metadata.get("name").map(Node::text) {
                None => walk.at("name", |walk| walk.fault("is missing")),
                Some(Some(name)) if is_object_name(name) => {}
                Some(_) => walk.at("name", |walk| {
                    walk.fault("a name has lower-case letters, digits, '-' and '.', begins and ends with a letter or digit, and has at most 253 characters");
                }),
            }
        });
    }

    /// Every key of a mapping is one of `known`.
    fn names(&mut self, node: &Node, known: &[&str]) {
        let Content::Map(entries) = &node.content else {
            return self.wrong_type(node, "a mapping");
        };
        for entry in entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            self.unknown(entry, known);
        }
    }

    fn unknown(&mut self, entry: &Entry, known: &[&str]) {
        let message = if let Some(near) = nearest(&entry.key, known.iter().copied()) {
            format!("unknown field; did you mean {near}?")
        } else if later::is_later(&entry.key) {
            later::message("such fields")
        } else {
            format!("unknown field; fields here are {}", known.join(", "))
        };
        self.at(&entry.key, |walk| walk.fault(message));
    }

    fn wrong_type(&mut self, node: &Node, expected: &str) {
        let found = match &node.content {
            Content::Scalar(Value::Null) => "nothing".into(),
            Content::Scalar(Value::Bool(b)) => format!("the truth value {b}; write \"{b}\""),
            Content::Scalar(Value::String(text)) => format!("the text \"{text}\""),
            Content::Scalar(number) => format!("the number {number}"),
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a mapping".into(),
        };
        self.fault(format!("expected {expected}, found {found}"));
    }

    fn node(&mut self, node: &Node, schema: &Value) {
        if matches!(node.content, Content::Scalar(Value::Null)) && schema["nullable"] == true {
            return;
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return match &node.content {
                Content::Scalar(Value::String(_)) => {}
                Content::Scalar(Value::Number(n)) if n.is_i64() => {}
                _ => self.wrong_type(node, "a whole number or a text"),
            };
        }
        match schema["type"].as_str().unwrap_or_default() {
            "object" => self.object(node, schema),
            "array" => self.array(node, schema),
            "string" => self.string(node, schema),
            "integer" => self.integer(node, schema),
            "boolean" => {
                if !matches!(node.content, Content::Scalar(Value::Bool(_))) {
                    self.wrong_type(node, "true or false");
                }
            }
            // The CRDs have no other type; a test walks them.
            other => self.fault(format!(
                "the schema has a type {other} that cannot be checked"
            )),
        }
    }

    fn object(&mut self, node: &Node, schema: &Value) {
        let Content::Map(entries) = &node.content else {
            return self.wrong_type(node, "a mapping");
        };
        if let Some(max) = schema["maxProperties"]
            .as_u64()
            .filter(|m| (entries.len() as u64) > *m)
        {
            self.fault(format!(
                "at most {max} entries fit here, there are {}",
                entries.len()
            ));
        }
        let Some(properties) = schema["properties"].as_object() else {
            for entry in entries {
                self.at(&entry.key, |walk| {
                    walk.node(&entry.value, &schema["additionalProperties"]);
                });
            }
            return;
        };
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        for entry in entries {
            match properties.get(&entry.key) {
                Some(child) => self.at(&entry.key, |walk| walk.node(&entry.value, child)),
                None => self.unknown(entry, &known),
            }
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap_or_default();
            let is_misspelt = entries
                .iter()
                .filter(|entry| !properties.contains_key(&entry.key))
                .any(|entry| nearest(&entry.key, known.iter().copied()) == Some(name));
            if node.get(name).is_none() && !is_misspelt {
                self.at(name, |walk| walk.fault("is missing"));
            }
        }
    }

    fn array(&mut self, node: &Node, schema: &Value) {
        let Content::List(items) = &node.content else {
            return self.wrong_type(node, "a list");
        };
        let count = items.len() as u64;
        if let Some(min) = schema["minItems"].as_u64().filter(|min| count < *min) {
            self.fault(format!("should have at least {min} items, has {count}"));
        }
        if let Some(max) = schema["maxItems"].as_u64().filter(|max| count > *max) {
            self.fault(format!("should have at most {max} items, has {count}"));
        }
        for (index, item) in items.iter().enumerate() {
            self.at(index.to_string(), |walk| walk.node(item, &schema["items"]));
        }
    }

    fn string(&mut self, node: &Node, schema: &Value) {
        let Some(text) = node.text() else {
            return self.wrong_type(node, "a text");
        };
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|min| length < min) {
            self.fault("should not be empty");
        }
        if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
            self.fault(format!(
                "should have at most {max} characters, has {length}"
            ));
        }
        let Some(supported) = schema["enum"].as_array() else {
            return;
        };
        let supported: Vec<&str> = supported.iter().filter_map(Value::as_str).collect();
        if supported.contains(&text) {
            return;
        }
        let hint = match nearest(text, supported.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("supported: {}", supported.join(", ")),
        };
        self.fault(format!("\"{text}\" is not supported; {hint}"));
    }

    fn integer(&mut self, node: &Node, schema: &Value) {
        let number = match &node.content {
            Content::Scalar(Value::Number(number)) => number.as_i64(),
            _ => None,
        };
        let Some(number) = number else {
            return self.wrong_type(node, "a whole number");
        };
        if let Some(min) = schema["minimum"].as_i64().filter(|min| number < *min) {
            self.fault(format!(
                "should be greater than or equal to {min}, is {number}"
            ));
        }
        if let Some(max) = schema["maximum"].as_i64().filter(|max| number > *max) {
            self.fault(format!(
                "should be less than or equal to {max}, is {number}"
            ));
        }
    }
}

/// An RFC 1123 subdomain.
fn is_object_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            label.starts_with(is_inner)
                && label.ends_with(is_inner)
                && label.chars().all(|c| is_inner(c) || c == '-')
        })
}
