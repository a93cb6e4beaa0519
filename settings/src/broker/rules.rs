//! What several keys of a node must say together. Kafka refuses to start when these do not hold; so do we.

use std::collections::BTreeSet;

use crate::bounds;
use crate::key;
use crate::layers::Layers;
use crate::listeners::{Listener, SecurityProtocol, protocol_map};
use crate::tls::ClientAuth;

use super::BrokerConfig;

/// Every rule that does not hold: the key to look at, and what must be.
pub(super) fn broken(config: &BrokerConfig) -> Vec<(&'static str, String)> {
    let mut rules = Rules(Vec::new());
    rules.protocols(config);
    rules.tls(config);
    rules.quorum(config);
    rules.network(config);
    rules.cordoned(config);
    rules.0.extend(broken_by_numbers(&config.settings));
    rules.0
}

/// Every rule among numbers that does not hold; these can change while a broker runs.
pub(crate) fn broken_by_numbers(settings: &Layers) -> Vec<(&'static str, String)> {
    let mut rules = Rules(Vec::new());
    rules.logs(settings);
    rules.numbers(settings);
    rules.0.extend(bounds::broken(settings));
    rules.0
}

struct Rules(Vec<(&'static str, String)>);

impl Rules {
    fn check(&mut self, name: &'static str, holds: bool, rule: impl FnOnce() -> String) {
        if !holds {
            self.0.push((name, rule()));
        }
    }

    /// Every listener that is named must have a protocol, and every one that is opened one that we speak.
    fn protocols(&mut self, config: &BrokerConfig) {
        const MAP: &str = "listener.security.protocol.map";
        let map = match protocol_map(&config.settings.get(key::LISTENER_SECURITY_PROTOCOL_MAP)) {
            Ok(map) => map,
            Err(element) => {
                return self.check(MAP, false, || {
                    format!("{element} must be NAME:PROTOCOL, each name once")
                });
            }
        };
        let is_given = config.settings.file.contains_key(MAP);
        let advertised = config
            .advertised
            .iter()
            .chain(&config.advertised_controllers);
        let listeners = config
            .listeners
            .iter()
            .chain(advertised)
            .map(|listener| &listener.name);
        let names_security = config
            .listeners
            .iter()
            .map(|listener| &listener.name)
            .chain(&config.controller_listeners)
            .any(|name| matches!(name.as_str(), "SSL" | "SASL_PLAINTEXT" | "SASL_SSL"));
        let inter_broker = config
            .settings
            .file
            .contains_key(key::INTER_BROKER_LISTENER_NAME.name);
        let names: BTreeSet<_> = listeners
            .chain(&config.controller_listeners)
            .chain(inter_broker.then_some(&config.inter_broker_listener))
            .collect();
        for name in names {
            // Kafka takes PLAINTEXT for controller listeners while nobody says anything about security, be it by a name.
            let plain_by_default =
                !(is_given || names_security) && config.controller_listeners.contains(name);
            match map.get(name) {
                Some(SecurityProtocol::Plaintext | SecurityProtocol::Ssl) => {}
                Some(protocol) => self.check(MAP, false, || {
                    format!(
                        "listener {name} asks for {}: only PLAINTEXT and SSL are served so far",
                        protocol.name()
                    )
                }),
                None => self.check(MAP, plain_by_default, || {
                    format!("says nothing of the listener {name}")
                }),
            }
        }
    }

    /// Who speaks TLS must have what it takes: a listener its own certificate, and whom to trust if it asks for theirs; a
    /// broker that connects to controllers, whom to trust. Kafka falls back on the JVM's authorities; there are none here.
    fn tls(&mut self, config: &BrokerConfig) {
        const KEY_STORE: &str = "ssl.keystore.location";
        const TRUST_STORE: &str = "ssl.truststore.location";
        for listener in &config.listeners {
            let Some(tls) = config.tls.get(&listener.name) else {
                continue;
            };
            let name = &listener.name;
            self.check(KEY_STORE, tls.key_store.is_some(), || {
                format!("it or ssl.keystore.certificate.chain and ssl.keystore.key must be set, since {name} speaks SSL")
            });
            let knows_clients = tls.client_auth == ClientAuth::None || tls.trust_store.is_some();
            self.check(TRUST_STORE, knows_clients, || {
                format!("it or ssl.truststore.certificates must be set, since {name} asks clients for certificates")
            });
        }
        let link = config.controller_listeners.first();
        let link = link.filter(|_| !config.roles.controller);
        if let Some((name, tls)) = link.and_then(|name| config.tls.get_key_value(name)) {
            self.check(TRUST_STORE, tls.trust_store.is_some(), || {
                format!("it or ssl.truststore.certificates must be set, since controllers are reached by {name}, which speaks SSL")
            });
        }
        let inter_broker = config.settings.get(key::SECURITY_INTER_BROKER_PROTOCOL);
        let is_served = matches!(inter_broker.as_str(), "PLAINTEXT" | "SSL");
        self.check("security.inter.broker.protocol", is_served, || {
            format!("{inter_broker} is not served, only PLAINTEXT and SSL")
        });
    }

    fn quorum(&mut self, config: &BrokerConfig) {
        const NAMES: &str = "controller.listener.names";
        const VOTERS: &str = "controller.quorum.voters";
        let BrokerConfig {
            roles,
            node_id,
            voters,
            listeners,
            controller_listeners,
            ..
        } = config;
        let known = !(voters.is_empty() && config.bootstrap_servers.is_empty());
        self.check("controller.quorum.bootstrap.servers", known, || {
            format!("it or {VOTERS} must name the controllers")
        });
        let listens = |name: &String| listeners.iter().any(|listener| listener.name == *name);
        let is_voter = voters.iter().any(|voter| voter.id == *node_id);
        if roles.controller {
            self.check(VOTERS, is_voter || voters.is_empty(), || {
                format!("must hold this controller, node {node_id}")
            });
            for name in controller_listeners {
                self.check(NAMES, listens(name), || {
                    format!("{name} must stand in listeners of a controller")
                });
            }
        } else {
            self.check(VOTERS, !is_voter, || {
                format!("must not hold node {node_id}, which is no controller")
            });
            for name in controller_listeners {
                self.check(NAMES, !listens(name), || {
                    format!("{name} must not stand in listeners of a mere broker")
                });
            }
        }
        if !roles.broker {
            let inter_broker = &config.inter_broker_listener;
            self.check(
                "inter.broker.listener.name",
                !controller_listeners.contains(inter_broker),
                || format!("{inter_broker} is a controller listener"),
            );
            for listener in listeners {
                self.check(
                    "listeners",
                    controller_listeners.contains(&listener.name),
                    || {
                        format!(
                            "{} of a mere controller must stand in {NAMES}",
                            listener.name
                        )
                    },
                );
            }
        }
    }

    fn network(&mut self, config: &BrokerConfig) {
        const ADVERTISED: &str = "advertised.listeners";
        let listens = |name: &str| {
            config
                .listeners
                .iter()
                .any(|listener| listener.name == name)
        };
        for listener in config
            .advertised
            .iter()
            .filter(|listener: &&Listener| listener.host == "0.0.0.0")
        {
            self.check(ADVERTISED, false, || {
                format!(
                    "{} must name a host that clients reach, not 0.0.0.0",
                    listener.name
                )
            });
        }
        for name in config
            .settings
            .get(key::EARLY_START_LISTENERS)
            .unwrap_or_default()
        {
            let known = listens(&name.to_uppercase())
                || config.controller_listeners.contains(&name.to_uppercase());
            self.check("early.start.listeners", known, || {
                format!("{name} must stand in listeners")
            });
        }
        if !config.roles.broker {
            return;
        }
        self.check(ADVERTISED, !config.advertised.is_empty(), || {
            "a broker needs a listener that is not in controller.listener.names".to_owned()
        });
        for listener in &config.advertised {
            self.check(ADVERTISED, listens(&listener.name), || {
                format!("{} must stand in listeners too", listener.name)
            });
        }
        let name = &config.inter_broker_listener;
        let known = config
            .advertised
            .iter()
            .any(|listener| listener.name == *name);
        self.check(
            "inter.broker.listener.name",
            known || config.advertised.is_empty(),
            || format!("{name} must be an advertised listener"),
        );
    }

    fn cordoned(&mut self, config: &BrokerConfig) {
        let cordoned = config.settings.get(key::CORDONED_LOG_DIRS);
        for dir in cordoned.into_iter().filter(|_| config.roles.broker) {
            self.check(
                "cordoned.log.dirs",
                dir == "*" || config.log_dirs.contains(&dir),
                || format!("{dir} must stand in log.dirs"),
            );
        }
    }

    fn logs(&mut self, settings: &Layers) {
        self.check(
            "log.retention.ms",
            settings.get(key::LOG_RETENTION_MS) != 0,
            || "must be positive, or -1".to_owned(),
        );
        self.check("log.roll.ms", settings.get(key::LOG_ROLL_MS) >= 1, || {
            "must be positive".to_owned()
        });
        self.check(
            "log.roll.jitter.ms",
            settings.get(key::LOG_ROLL_JITTER_MS) >= 0,
            || "must not be negative".to_owned(),
        );
        let per_thread = settings.get(key::LOG_CLEANER_DEDUPE_BUFFER_SIZE)
            / i64::from(settings.get(key::LOG_CLEANER_THREADS).max(1));
        self.check(
            "log.cleaner.dedupe.buffer.size",
            per_thread > 1 << 20,
            || "must be more than 1 MiB for each of log.cleaner.threads".to_owned(),
        );
    }

    fn numbers(&mut self, settings: &Layers) {
        let queued = settings.get(key::QUEUED_MAX_REQUEST_BYTES);
        let request = i64::from(settings.get(key::SOCKET_REQUEST_MAX_BYTES));
        self.check("queued.max.request.bytes", queued <= 0 || queued >= request, || {
            format!("must be at least socket.request.max.bytes ({request}), or not positive for no limit")
        });
        let idle = settings.get(key::CONNECTIONS_MAX_IDLE_MS);
        let delay = i64::from(settings.get(key::CONNECTION_FAILED_AUTHENTICATION_DELAY_MS));
        self.check("connections.max.idle.ms", idle < 0 || delay < idle, || {
            format!("must be greater than connection.failed.authentication.delay.ms ({delay}), or negative for never")
        });
        let codec = settings.get(key::OFFSETS_TOPIC_COMPRESSION_CODEC);
        self.check(
            "offsets.topic.compression.codec",
            (0..=4).contains(&codec),
            || format!("there is no codec {codec}"),
        );
        // Kafka takes 0 and sends heartbeats without a pause.
        let heartbeat = settings.get(key::BROKER_HEARTBEAT_INTERVAL_MS);
        self.check("broker.heartbeat.interval.ms", heartbeat > 0, || {
            "must be positive".to_owned()
        });
        let wait = i64::from(settings.get(key::REPLICA_FETCH_WAIT_MAX_MS));
        let (socket, lag) = (
            i64::from(settings.get(key::REPLICA_SOCKET_TIMEOUT_MS)),
            settings.get(key::REPLICA_LAG_TIME_MAX_MS),
        );
        self.check("replica.fetch.wait.max.ms", wait <= socket && wait <= lag, || {
            format!("must not be greater than replica.socket.timeout.ms ({socket}) and replica.lag.time.max.ms ({lag})")
        });
        let protocols = settings.get(key::GROUP_COORDINATOR_REBALANCE_PROTOCOLS);
        self.check(
            "group.coordinator.rebalance.protocols",
            protocols.iter().any(|p| p == "classic"),
            || "must hold classic".to_owned(),
        );
    }
}
