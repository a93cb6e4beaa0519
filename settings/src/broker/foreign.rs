//! Keys that stand in `server.properties` and are no rows of the table: plugins' keys, keys with a listener in front,
//! and keys that Kafka had once.

use crate::check::check;
use crate::fault::Fault;
use crate::table::{Scope, Setting, Status, find};
use crate::tls;
use crate::value::Value;

/// Why an unknown key must not be ignored, if it must not.
pub(super) fn refused(name: &str, text: &str) -> Option<&'static str> {
    const ACLS: &str = "authorization is not served so far; everybody could do everything";
    match name {
        // Read by Kafka's own authorizer, which has no definitions in the broker's table.
        "super.users" => Some(ACLS),
        "allow.everyone.if.no.acl.found" if !text.trim().eq_ignore_ascii_case("true") => Some(ACLS),
        _ => {
            let setting = listener_key(name)?;
            match check(setting, text) {
                Err(Fault::Refused { reason, .. }) => Some(reason),
                _ => None,
            }
        }
    }
}

/// `listener.name.<listener>.<key>`, and for SASL `listener.name.<listener>.<mechanism>.<key>`.
pub(super) fn is_listener_override(name: &str) -> bool {
    listener_key(name).is_some()
}

/// The served TLS key in `listener.name.<listener>.<key>`, with the listener's name in upper case. Kafka looks for
/// listeners in lower case only.
pub(super) fn tls_override(name: &str) -> Option<(String, &'static Setting)> {
    let (listener, key) = name.strip_prefix(LISTENER_PREFIX)?.split_once('.')?;
    let setting = find(Scope::Broker, key).filter(|setting| tls::is_served(setting))?;
    let is_lower = listener == listener.to_lowercase();
    is_lower.then(|| (listener.to_uppercase(), setting))
}

/// The key of a listener's own value.
pub(super) fn override_name(listener: &str, key: &str) -> String {
    format!("{LISTENER_PREFIX}{}.{key}", listener.to_lowercase())
}

const LISTENER_PREFIX: &str = "listener.name.";

fn listener_key(name: &str) -> Option<&'static Setting> {
    let (_, rest) = name.strip_prefix(LISTENER_PREFIX)?.split_once('.')?;
    find(Scope::Broker, rest).or_else(|| find(Scope::Broker, rest.split_once('.')?.1))
}

/// Kafka's last release that had a key, as far back as 3.9.
pub(super) fn last_release(name: &str) -> Option<&'static str> {
    if name.starts_with("zookeeper.") || name.starts_with("password.encoder.") {
        return Some("3.9");
    }
    REMOVED
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, last)| *last)
}

const REMOVED: &[(&str, &str)] = &[
    ("auto.include.jmx.reporter", "3.9"),
    ("broker.id.generation.enable", "3.9"),
    ("control.plane.listener.name", "3.9"),
    ("controlled.shutdown.max.retries", "3.9"),
    ("controlled.shutdown.retry.backoff.ms", "3.9"),
    ("delegation.token.master.key", "3.9"),
    ("eligible.leader.replicas.enable", "3.9"),
    ("group.coordinator.new.enable", "4.0"),
    ("group.share.enable", "4.2"),
    ("group.share.max.groups", "4.0"),
    ("inter.broker.protocol.version", "3.9"),
    ("internal.metadata.max.fetch.size.in.bytes", "4.2"),
    ("leader.imbalance.per.broker.percentage", "3.9"),
    ("log.message.downconversion.enable", "3.9"),
    ("log.message.format.version", "3.9"),
    ("log.message.timestamp.difference.max.ms", "3.9"),
    ("metadata.log.segment.min.bytes", "4.0"),
    ("offsets.commit.required.acks", "3.9"),
    ("reserved.broker.max.id", "3.9"),
    ("share.fetch.max.fetch.records", "4.0"),
];

/// Whether a value asks for what a partly served key does not do.
pub(crate) fn asks_for_missing_part(setting: &Setting, value: &Value) -> bool {
    match (setting.status, value) {
        // Listeners are refused by what they speak, not by being set.
        (Status::Partly(_), Value::List(list)) => list.iter().any(|element| element == "compact"),
        _ => false,
    }
}
