//! `KAFKA_*` variables as in the apache/kafka image: `KAFKA_NODE_ID` is `node.id`, `__` is `_`, `___` is `-`.
//!
//! Variables that configure the JVM or its logging are not keys and are left out, as the image does.

use crate::properties::{Origin, Properties};

const PREFIX: &str = "KAFKA_";
const NOT_KEYS: &[&str] = &[
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
];

/// The key that a variable sets, if it sets one.
pub fn key_of(variable: &str) -> Option<String> {
    let name = variable
        .strip_prefix(PREFIX)
        .filter(|name| !name.is_empty())?;
    if NOT_KEYS.contains(&variable) {
        return None;
    }
    let mut key = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('_') {
        key.push_str(&rest[..at]);
        let run = rest[at..].bytes().take_while(|b| *b == b'_').count();
        key.push_str(match run {
            1 => ".",
            2 => "_",
            3 => "-",
            // The image leaves longer runs as they are.
            _ => &rest[at..at + run],
        });
        rest = &rest[at + run..];
    }
    key.push_str(rest);
    Some(key.to_lowercase())
}

/// Lays variables over the entries of a file.
pub fn overlay(properties: &mut Properties, variables: impl IntoIterator<Item = (String, String)>) {
    for (name, value) in variables {
        if let Some(key) = key_of(&name) {
            properties.set(key, value, Origin::Variable(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_keys() {
        for (variable, key) in [
            ("KAFKA_NODE_ID", Some("node.id")),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                Some("listener.security.protocol.map"),
            ),
            ("KAFKA_A__B___C", Some("a_b-c")),
            ("KAFKA_HEAP_OPTS", None),
            ("KAFKA_", None),
            ("PATH", None),
        ] {
            assert_eq!(key_of(variable).as_deref(), key, "{variable}");
        }
    }

    #[test]
    fn the_environment_wins() {
        let mut properties = Properties::parse("node.id=1\nbroker.rack=a").unwrap();
        overlay(
            &mut properties,
            [("KAFKA_NODE_ID".to_owned(), "2".to_owned())],
        );
        let entry = properties.find("node.id").unwrap();
        assert_eq!(
            (entry.value.as_str(), &entry.origin),
            ("2", &Origin::Variable("KAFKA_NODE_ID".to_owned()))
        );
        assert_eq!(properties.iter().count(), 2);
    }
}
