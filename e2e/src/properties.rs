//! A Kafka `server.properties` for a scenario. The same file starts Apache Kafka and
//! `ottla broker`: that is the point of most scenarios.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Keys and values; printing gives the file.
#[derive(Debug, Clone, Default)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// One node that is broker and controller, with its listeners on loopback.
    pub fn combined(node_id: i32, port: u16, controller_port: u16, data: &Path) -> Properties {
        Properties::default()
            .with("process.roles", "broker,controller")
            .with("node.id", node_id)
            .with(
                "listeners",
                format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"),
            )
            .with(
                "advertised.listeners",
                format!("PLAINTEXT://127.0.0.1:{port}"),
            )
            .with("controller.listener.names", "CONTROLLER")
            .with(
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            )
            .with(
                "controller.quorum.bootstrap.servers",
                format!("127.0.0.1:{controller_port}"),
            )
            .with("log.dirs", data.display())
            .with("offsets.topic.replication.factor", 1)
            .with("offsets.topic.num.partitions", 4)
            .with("transaction.state.log.replication.factor", 1)
            .with("transaction.state.log.min.isr", 1)
            .with("transaction.state.log.num.partitions", 4)
            .with("share.coordinator.state.topic.replication.factor", 1)
            .with("share.coordinator.state.topic.min.isr", 1)
            .with("group.initial.rebalance.delay.ms", 0)
            .with("auto.create.topics.enable", false)
    }

    /// The same with one more key, or another value for it.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Properties {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// The same with all of `extra`.
    #[must_use]
    pub fn with_all(self, extra: &[(&str, &str)]) -> Properties {
        extra
            .iter()
            .fold(self, |all, (key, value)| all.with(key, value))
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.0 {
            writeln!(f, "{key}={value}")?;
        }
        Ok(())
    }
}
