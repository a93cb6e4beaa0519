//! The CRDs' own CEL rules, evaluated here as an API server evaluates them, so that a manifest is
//! refused on a laptop for the same reason as on Kubernetes.

use kube::core::cel::{Validator, compile_schema};
use serde_json::Value;

use crate::crd::schema;

/// The rules of one kind, compiled once.
pub struct Rules {
    validator: Validator,
    compiled: kube::core::cel::CompiledSchema,
}

/// A rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where, from the object's root: `["spec", "listeners", "0", "port"]`.
    pub field: Vec<String>,
    /// Why, in the rule's words.
    pub message: String,
}

impl Rules {
    /// The rules of a kind; None for a kind that is none of Ottla's.
    pub fn of_kind(kind: &str) -> Option<Rules> {
        let schema = schema(kind)?;
        Some(Rules {
            validator: Validator::new(),
            compiled: compile_schema(&schema),
        })
    }

    /// What `object` breaks. With `old`, rules about changes are evaluated too.
    pub fn broken(&self, object: &Value, old: Option<&Value>) -> Vec<Broken> {
        let Err(errors) = self
            .validator
            .validate_compiled(&self.compiled, object, old)
        else {
            return Vec::new();
        };
        errors
            .into_vec()
            .into_iter()
            .map(|error| Broken {
                field: parts(&error.field_path),
                message: error.message,
            })
            .collect()
    }
}

/// `spec.listeners[0].port` in its parts.
fn parts(path: &str) -> Vec<String> {
    path.split(['.', '[', ']'])
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}
