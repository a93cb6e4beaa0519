//! Kafka's settings as a plan asks for them: may this be set, can it change while brokers run. The
//! facts are the rows of `ottla_settings`, the same that brokers read, so that a broker never
//! refuses to start over something that was let through here.

use std::collections::BTreeMap;

use ottla_settings::table::find;
use ottla_settings::{BrokerConfig, Fault, Layers, Origin, Properties, Status, Warning, change};

pub use ottla_settings::Scope;

/// A key that cannot be set so, and why.
pub struct Wrong {
    /// The key.
    pub key: String,
    /// Why, in one CamelCase word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// What is wrong with settings of brokers or of a topic: each key by itself, and when these are
/// right the rules between them.
pub fn wrong(scope: Scope, config: &BTreeMap<String, String>) -> Vec<Wrong> {
    let single: Vec<Wrong> = config
        .iter()
        .filter_map(|(key, value)| {
            let fault = ottla_settings::row(scope, key)
                .and_then(|row| ottla_settings::check(row, value))
                .err()?;
            Some(told(key, &fault))
        })
        .collect();
    if !single.is_empty() {
        return single;
    }
    match scope {
        Scope::Broker => broker_rules(config),
        Scope::Topic | Scope::Group => topic_rules(config),
    }
}

/// What the rest of a manifest decides, in a form that the rules about brokers accept.
const REST: &[(&str, &str)] = &[
    ("node.id", "0"),
    ("process.roles", "broker,controller"),
    (
        "listeners",
        "PLAIN://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
    ),
    (
        "listener.security.protocol.map",
        "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("inter.broker.listener.name", "PLAIN"),
    ("controller.listener.names", "CONTROLLER"),
    ("controller.quorum.bootstrap.servers", "127.0.0.1:9093"),
    ("log.dirs", "/data"),
];

fn broker_rules(config: &BTreeMap<String, String>) -> Vec<Wrong> {
    let mut properties = Properties::default();
    let rest = REST.iter().map(|(key, value)| (*key, *value));
    let own = config
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    for (line, (key, value)) in rest.chain(own).enumerate() {
        properties.set(key, value, Origin::Line(line));
    }
    match BrokerConfig::from_properties(&properties) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .0
            .iter()
            .map(|located| told(key_of(&located.fault), &located.fault))
            .collect(),
    }
}

fn topic_rules(config: &BTreeMap<String, String>) -> Vec<Wrong> {
    let mut properties = Properties::default();
    for (line, (key, value)) in REST.iter().enumerate() {
        properties.set(*key, *value, Origin::Line(line));
    }
    let Ok(defaults) = BrokerConfig::from_properties(&properties) else {
        return Vec::new();
    };
    match change::create_topic(&defaults.settings, config) {
        Ok(()) => Vec::new(),
        Err(fault) => vec![told(key_of(&fault), &fault)],
    }
}

fn told(key: &str, fault: &Fault) -> Wrong {
    let text = fault.to_string();
    // The field names the key already.
    let message = match fault {
        Fault::Parse { value, .. } | Fault::NotValid { value, .. } => text
            .strip_prefix(&format!("{key}="))
            .map(|rest| {
                rest.strip_prefix(value.as_str())
                    .map_or(rest, str::trim_start)
            })
            .map(|rest| format!("{value}{rest}")),
        Fault::Rule { .. } => text.strip_prefix(&format!("{key}: ")).map(str::to_owned),
        Fault::Unknown {
            nearest: Some(nearest),
            ..
        } => Some(format!(
            "Kafka has no such setting; did you mean {nearest}?"
        )),
        Fault::Unknown { nearest: None, .. } => Some("Kafka has no such setting".into()),
        Fault::Refused { reason, .. } => Some(format!("this version refuses it: {reason}")),
        _ => None,
    };
    let reason = match fault {
        Fault::Unknown { .. } => "UnknownSetting",
        Fault::Refused { .. } => "SettingRefused",
        _ => "SettingInvalid",
    };
    Wrong {
        key: key.to_owned(),
        reason,
        message: message.unwrap_or(text),
    }
}

fn key_of(fault: &Fault) -> &str {
    match fault {
        Fault::Unknown { name, .. } | Fault::Refused { name, .. } => name,
        Fault::Missing { name }
        | Fault::Parse { name, .. }
        | Fault::NotValid { name, .. }
        | Fault::Rule { name, .. }
        | Fault::ReadOnly { name }
        | Fault::NeedsRestart { name, .. }
        | Fault::NoEffect { name, .. }
        | Fault::PerBroker { name }
        | Fault::NotAList { name } => name,
        Fault::Escape { .. } => "",
    }
}

/// Whether a broker setting can be changed to this value for all brokers while they run: their controller
/// refuses a change that would do nothing, so that it goes into their files.
pub fn is_dynamic(key: &str, value: &str) -> bool {
    let set = [(key.to_owned(), change::Operation::Set(value.to_owned()))];
    let none = BTreeMap::new();
    change::alter(change::Target::Cluster, &Layers::default(), &none, &set).is_ok()
}

/// Whether a broker setting is known and does nothing in this version.
pub fn has_no_effect(key: &str) -> bool {
    find(Scope::Broker, key).is_some_and(|row| matches!(row.status, Status::Accepted))
}

/// What to know about a setting that is accepted.
pub fn warning(scope: Scope, key: &str) -> Option<String> {
    let key = key.to_owned();
    let warning = match find(scope, &key)?.status {
        Status::Accepted => Warning::NoEffect { key },
        Status::Partly(reason) => Warning::Partly { key, reason },
        Status::Served | Status::Refused(_) => return None,
    };
    Some(warning.to_string())
}
