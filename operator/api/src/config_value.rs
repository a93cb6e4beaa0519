//! One value of a `config` map: a whole number or a text, as Kubernetes' int-or-string. CEL cannot
//! look into free-form objects, and a boolean in YAML would reach Kafka as Rust or Go spell it, so
//! only these two are let in.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Kafka settings by Kafka's names, in the order of their names.
pub type Config = BTreeMap<String, ConfigValue>;

/// A setting's value as written in a manifest. `Display` gives Kafka's spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// Written without quotes.
    Int(i64),
    /// Everything else.
    Text(String),
}

impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigValue::Int(number) => number.fmt(f),
            ConfigValue::Text(text) => f.write_str(text),
        }
    }
}

impl JsonSchema for ConfigValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}
