//! The configuration of one node, from `server.properties` and environment to typed, checked values.
//!
//! All faults are told at once, each with its line; what is only odd becomes a warning. A key that Kafka does not know
//! is ignored as Kafka does, but never silently. Invariant: what comes out can be started; a listener that asks for SASL
//! never does. Not here: what the values are used for, files and sockets themselves.

use std::collections::BTreeMap;

use crate::check::{check, is_default, nearest_key};
use crate::fault::{Fault, Faults, Located, Warning};
use crate::key;
use crate::layers::Layers;
use crate::listeners::{Address, Listener, SecurityProtocol, Voter, protocol_map};
use crate::properties::Properties;
use crate::table::{DefaultValue, Scope, Setting, Status, Update, find, of};
use crate::tls::{self, TlsSettings};

mod foreign;
mod rules;

pub(crate) use foreign::asks_for_missing_part;
pub(crate) use rules::broken_by_numbers;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves clients.
    pub broker: bool,
    /// Stands in the metadata quorum.
    pub controller: bool,
}

/// A node's configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `node.id`
    pub node_id: i32,
    /// `process.roles`
    pub roles: Roles,
    /// `listeners`: every socket to open, the controllers' too.
    pub listeners: Vec<Listener>,
    /// `advertised.listeners`, or `listeners`, without the controllers'. An empty host stands for this host's name.
    pub advertised: Vec<Listener>,
    /// The same for the controllers' listeners, when this node is a controller.
    pub advertised_controllers: Vec<Listener>,
    /// `controller.listener.names`
    pub controller_listeners: Vec<String>,
    /// `inter.broker.listener.name`, or the one that `security.inter.broker.protocol` names.
    pub inter_broker_listener: String,
    /// What each listener speaks, and the controllers' listeners on a mere broker.
    pub protocols: BTreeMap<String, SecurityProtocol>,
    /// TLS of those that speak it: `ssl.*`, and over it `listener.name.<name>.ssl.*`.
    pub tls: BTreeMap<String, TlsSettings>,
    /// `controller.quorum.voters`; empty for a quorum that keeps its voters in the metadata log.
    pub voters: Vec<Voter>,
    /// `controller.quorum.bootstrap.servers`
    pub bootstrap_servers: Vec<Address>,
    /// `log.dirs`, or `log.dir`
    pub log_dirs: Vec<String>,
    /// `metadata.log.dir`, or the first of `log_dirs`
    pub metadata_log_dir: String,
    /// `ottla.metrics.listener`
    pub metrics_listener: Option<Address>,
    /// `max.connections.per.ip.overrides`: host or address and its limit.
    pub max_connections_per_ip_overrides: BTreeMap<String, i32>,
    /// All values, as layers that changes at run time go on top of.
    pub settings: Layers,
    /// What to log at start.
    pub warnings: Vec<Warning>,
}

impl BrokerConfig {
    /// Checks everything a file and its environment say.
    pub fn from_properties(properties: &Properties) -> Result<Self, Faults> {
        let mut reader = Reader {
            properties,
            faults: Vec::new(),
            warnings: properties.warnings().to_vec(),
            tls_overrides: Vec::new(),
        };
        let settings = reader.settings();
        // Rules between keys would only repeat what is wrong with the keys themselves.
        if reader.faults.is_empty() {
            let config = reader.config(settings);
            if reader.faults.is_empty() {
                return Ok(config);
            }
        }
        Err(Faults(reader.faults))
    }
}

struct Reader<'a> {
    properties: &'a Properties,
    faults: Vec<Located>,
    warnings: Vec<Warning>,
    /// Listener, in upper case, and the key as it is written.
    tls_overrides: Vec<(String, String)>,
}

impl Reader<'_> {
    fn fault(&mut self, name: &str, fault: Fault) {
        let origin = self.properties.find(name).map(|entry| entry.origin.clone());
        self.faults.push(Located { fault, origin });
    }

    fn rule(&mut self, name: &'static str, holds: bool, rule: impl FnOnce() -> String) {
        if !holds {
            self.fault(name, Fault::Rule { name, rule: rule() });
        }
    }

    /// Every key by itself.
    fn settings(&mut self) -> Layers {
        let mut file = BTreeMap::new();
        for (name, entry) in self.properties.iter() {
            match find(Scope::Broker, name) {
                Some(setting) if setting.update == Update::DynamicOnly => {
                    let key = name.to_owned();
                    self.warnings.push(Warning::DynamicOnly { key });
                }
                Some(setting) => {
                    if self.known(setting, &entry.value) {
                        file.insert(name.to_owned(), entry.value.clone());
                    }
                }
                None => self.unknown(name, &entry.value),
            }
        }
        let missing: Vec<_> = of(Scope::Broker)
            .filter(|setting| setting.default == DefaultValue::Required)
            .filter(|setting| self.properties.find(setting.name).is_none())
            .collect();
        for setting in missing {
            self.fault(setting.name, Fault::Missing { name: setting.name });
        }
        Layers::of_file(file)
    }

    fn known(&mut self, setting: &'static Setting, text: &str) -> bool {
        let value = match check(setting, text) {
            Ok(value) => value,
            Err(fault) => {
                self.fault(setting.name, fault);
                return false;
            }
        };
        let key = setting.name.to_owned();
        match setting.status {
            Status::Accepted if !is_default(setting, &value) => {
                self.warnings.push(Warning::NoEffect { key })
            }
            Status::Partly(reason) if foreign::asks_for_missing_part(setting, &value) => {
                self.warnings.push(Warning::Partly { key, reason })
            }
            _ => {}
        }
        true
    }

    fn unknown(&mut self, name: &str, text: &str) {
        let key = name.to_owned();
        if let Some((listener, setting)) = foreign::tls_override(name) {
            if let Err(fault) = check(setting, text) {
                return self.fault(name, fault);
            }
            return self.tls_overrides.push((listener, key));
        }
        if let Some(reason) = foreign::refused(name, text) {
            return self.fault(name, Fault::Refused { name: key, reason });
        }
        self.warnings.push(
            match (
                foreign::last_release(name),
                foreign::is_listener_override(name),
            ) {
                (Some(last), _) => Warning::Removed { key, last },
                (None, true) => Warning::NoEffect { key },
                (None, false) => Warning::Unknown {
                    key,
                    nearest: nearest_key(Scope::Broker, name),
                },
            },
        );
    }

    /// What several keys say together.
    fn config(&mut self, settings: Layers) -> BrokerConfig {
        let names = settings.get(key::PROCESS_ROLES).unwrap_or_default();
        let roles = Roles {
            broker: names.iter().any(|r| r == "broker"),
            controller: names.iter().any(|r| r == "controller"),
        };
        let node_id = settings.get(key::NODE_ID).unwrap_or(-1);
        let broker_id = settings.get(key::BROKER_ID);
        self.rule("broker.id", broker_id == -1 || broker_id == node_id, || {
            format!("must be the same as node.id ({node_id}), is {broker_id}")
        });

        let controller_listeners: Vec<_> = settings
            .get(key::CONTROLLER_LISTENER_NAMES)
            .unwrap_or_default()
            .iter()
            .map(|name| name.to_uppercase())
            .collect();
        let listeners = self.listeners("listeners", &settings.get(key::LISTENERS), true);
        let advertised_all = match settings.get(key::ADVERTISED_LISTENERS) {
            Some(texts) => self.listeners("advertised.listeners", &texts, false),
            None => listeners.clone(),
        };
        let is_controllers = |listener: &Listener| controller_listeners.contains(&listener.name);
        let (mut advertised_controllers, advertised): (Vec<_>, Vec<_>) =
            advertised_all.into_iter().partition(is_controllers);
        for listener in listeners.iter().filter(|listener| is_controllers(listener)) {
            if !advertised_controllers
                .iter()
                .any(|known| known.name == listener.name)
            {
                advertised_controllers.push(listener.clone());
            }
        }
        let inter_broker_listener = self.inter_broker_listener(&settings);
        let named = listeners.iter().map(|listener| &listener.name);
        let protocols = protocols_of(&settings, named, &controller_listeners);
        let tls = self.tls(&settings, &protocols);
        let config = BrokerConfig {
            node_id,
            roles,
            inter_broker_listener,
            protocols,
            tls,
            voters: settings
                .get(key::CONTROLLER_QUORUM_VOTERS)
                .iter()
                .filter_map(|voter| Voter::parse(voter))
                .collect(),
            bootstrap_servers: settings
                .get(key::CONTROLLER_QUORUM_BOOTSTRAP_SERVERS)
                .iter()
                .filter_map(|address| Address::parse(address))
                .collect(),
            log_dirs: settings
                .get(key::LOG_DIRS)
                .unwrap_or_else(|| settings.get(key::LOG_DIR)),
            metadata_log_dir: String::new(),
            metrics_listener: settings
                .get(key::OTTLA_METRICS_LISTENER)
                .and_then(|address| Address::parse(&address)),
            max_connections_per_ip_overrides: self.ip_overrides(&settings),
            listeners,
            advertised,
            advertised_controllers: if roles.controller {
                advertised_controllers
            } else {
                Vec::new()
            },
            controller_listeners,
            warnings: std::mem::take(&mut self.warnings),
            settings,
        };
        for (name, rule) in rules::broken(&config) {
            self.fault(name, Fault::Rule { name, rule });
        }
        let metadata_log_dir = config
            .settings
            .get(key::METADATA_LOG_DIR)
            .or_else(|| config.log_dirs.first().cloned())
            .unwrap_or_default();
        BrokerConfig {
            metadata_log_dir,
            ..config
        }
    }

    /// What `ssl.*` comes to for each listener that speaks TLS. What then says nothing to anybody is warned of.
    fn tls(
        &mut self,
        settings: &Layers,
        protocols: &BTreeMap<String, SecurityProtocol>,
    ) -> BTreeMap<String, TlsSettings> {
        let speaks_tls =
            |listener: &String| protocols.get(listener) == Some(&SecurityProtocol::Ssl);
        let mut unused: Vec<String> = std::mem::take(&mut self.tls_overrides)
            .into_iter()
            .filter(|(listener, _)| !speaks_tls(listener))
            .map(|(_, key)| key)
            .collect();
        if !protocols.keys().any(speaks_tls) {
            let set = settings.file.keys().filter(|name| {
                let setting = find(Scope::Broker, name);
                setting.is_some_and(|setting| {
                    let text = settings.file.get(setting.name).map(String::as_str);
                    let value = check(setting, text.unwrap_or_default());
                    tls::is_served(setting) && !value.is_ok_and(|value| is_default(setting, &value))
                })
            });
            unused.extend(set.cloned());
        }
        let unused = unused.into_iter();
        self.warnings
            .extend(unused.map(|key| Warning::NoEffect { key }));
        let mut tls = BTreeMap::new();
        for listener in protocols.keys().filter(|listener| speaks_tls(listener)) {
            let lookup = |name: &'static str| {
                let own = foreign::override_name(listener, name);
                let own = self.properties.find(&own).map(|entry| entry.value.clone());
                own.or_else(|| settings.file.get(name).cloned())
            };
            match TlsSettings::read(lookup) {
                Ok(settings) => {
                    tls.insert(listener.clone(), settings);
                }
                Err(broken) => {
                    for (name, rule) in broken {
                        self.tls_fault(listener, name, rule);
                    }
                }
            }
        }
        tls
    }

    /// A fault that points at the listener's own key if that is set. Several listeners may share the same fault.
    fn tls_fault(&mut self, listener: &str, name: &'static str, rule: String) {
        let own = foreign::override_name(listener, name);
        let found = self
            .properties
            .find(&own)
            .or_else(|| self.properties.find(name));
        let located = Located {
            fault: Fault::Rule { name, rule },
            origin: found.map(|entry| entry.origin.clone()),
        };
        if !self.faults.contains(&located) {
            self.faults.push(located);
        }
    }

    fn listeners(
        &mut self,
        name: &'static str,
        texts: &[String],
        distinct_ports: bool,
    ) -> Vec<Listener> {
        let mut listeners: Vec<Listener> = Vec::new();
        for text in texts {
            let Some(listener) = Listener::parse(text) else {
                self.rule(name, false, || format!("{text} must be NAME://host:port"));
                continue;
            };
            let same_name = listeners.iter().any(|other| other.name == listener.name);
            self.rule(name, !same_name, || {
                format!("the name {} stands twice", listener.name)
            });
            // One port for an IPv4 and an IPv6 address of the same host is usual.
            let same_port = listeners.iter().any(|other| {
                other.port == listener.port
                    && (other.host.contains(':') == listener.host.contains(':')
                        || other.host.is_empty())
            });
            self.rule(
                name,
                !(distinct_ports && listener.port != 0 && same_port),
                || format!("port {} stands twice", listener.port),
            );
            listeners.push(listener);
        }
        listeners
    }

    fn inter_broker_listener(&mut self, settings: &Layers) -> String {
        let protocol = settings.get(key::SECURITY_INTER_BROKER_PROTOCOL);
        let Some(name) = settings.get(key::INTER_BROKER_LISTENER_NAME) else {
            return protocol;
        };
        let both = settings
            .file
            .contains_key(key::SECURITY_INTER_BROKER_PROTOCOL.name);
        self.rule("inter.broker.listener.name", !both, || {
            "only one of it and security.inter.broker.protocol may be set".to_owned()
        });
        name.to_uppercase()
    }

    fn ip_overrides(&mut self, settings: &Layers) -> BTreeMap<String, i32> {
        const NAME: &str = "max.connections.per.ip.overrides";
        let mut overrides = BTreeMap::new();
        for pair in settings
            .get(key::MAX_CONNECTIONS_PER_IP_OVERRIDES)
            .split(',')
            .map(str::trim)
            .filter(|p| !p.is_empty())
        {
            let limit = pair
                .rsplit_once(':')
                .and_then(|(host, limit)| Some((host.trim(), limit.trim().parse::<i32>().ok()?)));
            match limit {
                Some((host, limit)) if !host.is_empty() && limit >= 0 => {
                    overrides.insert(host.to_owned(), limit);
                }
                _ => self.rule(NAME, false, || format!("{pair} must be host:number")),
            }
        }
        let none = settings.get(key::MAX_CONNECTIONS_PER_IP) == 0 && overrides.is_empty();
        self.rule("max.connections.per.ip", !none, || {
            format!("0 lets nobody in unless {NAME} does")
        });
        overrides
    }
}

/// What listeners speak, by `listener.security.protocol.map`. One that is missing there is told by the rules; Kafka takes
/// PLAINTEXT for controller listeners while nobody says anything about security.
fn protocols_of<'a>(
    settings: &Layers,
    listeners: impl Iterator<Item = &'a String>,
    controller_listeners: &'a [String],
) -> BTreeMap<String, SecurityProtocol> {
    let map = settings.get(key::LISTENER_SECURITY_PROTOCOL_MAP);
    let map = protocol_map(&map).unwrap_or_default();
    listeners
        .chain(controller_listeners)
        .map(|name| {
            let protocol = map.get(name).copied();
            (
                name.clone(),
                protocol.unwrap_or(SecurityProtocol::Plaintext),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
