//! What this process was told by its properties file, in the form in which the shell uses it. Keys,
//! types, defaults and ranges are rows of `ottla_settings`; here they only get their place.
//!
//! Invariant: every key of the file is either used here, or warned of, or refused by name; none is
//! dropped silently (that is `ottla_settings`' verdict per row).

use std::path::PathBuf;
use std::time::Duration;

use ottla_broker_group::GroupConfig;
use ottla_protocol::Str;
use ottla_protocol::messages::create_topics_request::CreatableTopicConfig;
use ottla_settings::{
    Address, BrokerConfig, Fault, Faults, Layers, Origin, Properties, SecurityProtocol,
    TlsSettings, environment, key,
};

use crate::controller::{ControllerAddress, SnapshotPolicy, SnapshotRetention};
use crate::coordinator::OFFSETS_TOPIC;
use crate::server::ListenerKind;

/// A node's configuration.
pub struct Config {
    /// `node.id`
    pub node_id: i32,
    /// `process.roles`
    pub roles: Roles,
    /// The cluster to join or to found, from the environment (`CLUSTER_ID`, as in the apache/kafka image).
    pub cluster_id: Option<Str>,
    /// `listeners`
    pub listeners: Vec<ListenerConfig>,
    /// `advertised.listeners`
    pub advertised: Vec<Advertised>,
    /// Name of this host, for listeners without one.
    pub host_name: String,
    /// The one directory of `log.dirs`.
    pub log_dir: PathBuf,
    /// `ottla.metrics.listener`
    pub metrics_listener: Option<Address>,
    /// `controller.quorum.bootstrap.servers`, or the addresses in `controller.quorum.voters`.
    pub controllers: Vec<ControllerAddress>,
    /// TLS of links to controllers, if the first of `controller.listener.names` speaks it.
    pub controllers_tls: Option<TlsSettings>,
    /// `broker.rack`
    pub rack: Option<Str>,
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `delete.topic.enable`
    pub delete_topic_enable: bool,
    /// `num.partitions`
    pub num_partitions: i32,
    /// `default.replication.factor`
    pub default_replication_factor: i16,
    /// `min.insync.replicas`
    pub min_insync_replicas: i32,
    /// `offsets.topic.num.partitions`
    pub offsets_partitions: i32,
    /// `offsets.topic.replication.factor`
    pub offsets_replication_factor: i16,
    /// `offsets.topic.segment.bytes`
    pub offsets_segment_bytes: i32,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: usize,
    /// `max.incremental.fetch.session.cache.slots`
    pub fetch_session_slots: usize,
    /// `socket.request.max.bytes`
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`
    pub connection_idle_max: Duration,
    /// `broker.heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
    /// `broker.session.timeout.ms`
    pub broker_session_timeout: Duration,
    /// `metadata.log.segment.bytes`
    pub metadata_segment_bytes: u32,
    /// `metadata.log.max.*snapshot*`, `metadata.max.retention.*`
    pub metadata_snapshots: SnapshotPolicy,
    /// `internal.metadata.delete.delay.millis`
    pub metadata_delete_delay_ms: i64,
    /// `controller.quorum.fetch.snapshot.max.bytes`
    pub snapshot_fetch_bytes_max: i32,
    /// `log.retention.check.interval.ms`
    pub retention_check: Duration,
    /// What group coordinators work with.
    pub groups: GroupConfig,
    /// All values of the file, as the layer below what is changed at run time.
    pub layers: Layers,
    /// What the user should know: keys without effect, names that are close to a real one.
    pub warnings: Vec<String>,
}

/// `process.roles`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Serves clients.
    pub broker: bool,
    /// Leads the metadata quorum.
    pub controller: bool,
}

/// One of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name.
    pub name: Str,
    /// What it serves: controllers if its name is in `controller.listener.names`.
    pub kind: ListenerKind,
    /// Host to bind; empty for every interface.
    pub host: String,
    /// Port to bind; 0 for one that the kernel chooses.
    pub port: u16,
    /// What `listener.security.protocol.map` says of it: PLAINTEXT or SSL.
    pub protocol: SecurityProtocol,
    /// TLS, if it speaks it.
    pub tls: Option<TlsSettings>,
}

/// One of `advertised.listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Its name.
    pub name: Str,
    /// Host that clients connect to.
    pub host: String,
    /// Port that clients connect to.
    pub port: u16,
}

/// How a topic of the broker's own is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// Number of partitions.
    pub partitions: i32,
    /// Replication factor.
    pub replication_factor: i16,
    /// Its overrides.
    pub overrides: Vec<(&'static str, String)>,
}

impl InternalTopic {
    /// The overrides as CreateTopics takes them.
    pub fn creatable_configs(self) -> Vec<CreatableTopicConfig> {
        let overrides = self.overrides.into_iter();
        overrides
            .map(|(name, value)| CreatableTopicConfig {
                name: name.into(),
                value: Some(value.into()),
                ..Default::default()
            })
            .collect()
    }
}

/// Why a configuration cannot be used; all faults at once, each with its line and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is no properties file.
    #[error(transparent)]
    Syntax(#[from] Fault),
    /// Keys or values that cannot be.
    #[error(transparent)]
    Values(#[from] Faults),
    /// Rules of this version.
    #[error("{0}")]
    Unserved(String),
}

impl Config {
    /// Reads a properties file, what wins over it, and the environment (`KAFKA_*` and `CLUSTER_ID`, as in
    /// the apache/kafka image). `host_name` stands in for listeners without a host.
    pub fn from_properties(
        text: &str,
        overrides: &[(String, String)],
        environment: Vec<(String, String)>,
        host_name: String,
    ) -> Result<Self, ConfigError> {
        let mut properties = Properties::parse(text)?;
        let cluster_id = environment
            .iter()
            .find(|(name, _)| name == "CLUSTER_ID")
            .map(|(_, id)| Str::from(id.as_str()));
        environment::overlay(&mut properties, environment);
        for (name, value) in overrides {
            properties.set(
                name.as_str(),
                value.as_str(),
                Origin::Variable(format!("override of {name}")),
            );
        }
        Self::from_settings(
            BrokerConfig::from_properties(&properties)?,
            cluster_id,
            host_name,
        )
    }

    fn from_settings(
        settings: BrokerConfig,
        cluster_id: Option<Str>,
        host_name: String,
    ) -> Result<Self, ConfigError> {
        let log_dir = only_log_dir(&settings)?;
        let layers = &settings.settings;
        let ms = |key| Duration::from_millis(u64::try_from(layers.get(key)).unwrap_or(0));
        let size = |key| usize::try_from(layers.get(key)).unwrap_or(0);
        let is_controllers = |name: &str| {
            settings
                .controller_listeners
                .iter()
                .any(|listener| listener == name)
        };
        let idle_ms = layers.get(key::CONNECTIONS_MAX_IDLE_MS);
        let groups = GroupConfig {
            initial_rebalance_delay_ms: layers.get(key::GROUP_INITIAL_REBALANCE_DELAY_MS),
            session_timeout_min_ms: layers.get(key::GROUP_MIN_SESSION_TIMEOUT_MS),
            session_timeout_max_ms: layers.get(key::GROUP_MAX_SESSION_TIMEOUT_MS),
            members_max: size(key::GROUP_MAX_SIZE),
            offset_metadata_max: size(key::OFFSET_METADATA_MAX_BYTES),
            offsets_retention_ms: i64::from(layers.get(key::OFFSETS_RETENTION_MINUTES)) * 60_000,
            offsets_retention_check_interval_ms: layers
                .get(key::OFFSETS_RETENTION_CHECK_INTERVAL_MS),
            commit_timeout_ms: i64::from(layers.get(key::OFFSETS_COMMIT_TIMEOUT_MS)),
        };
        Ok(Self {
            node_id: settings.node_id,
            roles: Roles {
                broker: settings.roles.broker,
                controller: settings.roles.controller,
            },
            cluster_id,
            listeners: settings
                .listeners
                .iter()
                .map(|listener| ListenerConfig {
                    name: Str::from(listener.name.as_str()),
                    kind: if is_controllers(&listener.name) {
                        ListenerKind::Controller
                    } else {
                        ListenerKind::Broker
                    },
                    host: listener.host.clone(),
                    port: listener.port,
                    protocol: settings
                        .protocols
                        .get(&listener.name)
                        .copied()
                        .unwrap_or(SecurityProtocol::Plaintext),
                    tls: settings.tls.get(&listener.name).cloned(),
                })
                .collect(),
            advertised: settings
                .advertised
                .iter()
                .chain(&settings.advertised_controllers)
                .map(|listener| Advertised {
                    name: Str::from(listener.name.as_str()),
                    host: listener.host.clone(),
                    port: listener.port,
                })
                .collect(),
            host_name,
            log_dir,
            metrics_listener: settings.metrics_listener.clone(),
            controllers: controllers(&settings),
            controllers_tls: settings
                .controller_listeners
                .first()
                .and_then(|name| settings.tls.get(name).cloned()),
            rack: layers.get(key::BROKER_RACK).map(Str::from),
            auto_create_topics: layers.get(key::AUTO_CREATE_TOPICS_ENABLE),
            delete_topic_enable: layers.get(key::DELETE_TOPIC_ENABLE),
            num_partitions: layers.get(key::NUM_PARTITIONS),
            default_replication_factor: i16::try_from(layers.get(key::DEFAULT_REPLICATION_FACTOR))
                .unwrap_or(i16::MAX),
            min_insync_replicas: layers.get(key::MIN_INSYNC_REPLICAS),
            offsets_partitions: layers.get(key::OFFSETS_TOPIC_NUM_PARTITIONS),
            offsets_replication_factor: layers.get(key::OFFSETS_TOPIC_REPLICATION_FACTOR),
            offsets_segment_bytes: layers.get(key::OFFSETS_TOPIC_SEGMENT_BYTES),
            fetch_bytes_max: size(key::FETCH_MAX_BYTES),
            fetch_session_slots: size(key::MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS),
            request_bytes_max: size(key::SOCKET_REQUEST_MAX_BYTES),
            // Negative is never, as in Kafka.
            connection_idle_max: u64::try_from(idle_ms).map_or(
                Duration::from_secs(u64::from(u32::MAX)),
                Duration::from_millis,
            ),
            heartbeat_interval: ms(key::BROKER_HEARTBEAT_INTERVAL_MS),
            broker_session_timeout: ms(key::BROKER_SESSION_TIMEOUT_MS),
            metadata_segment_bytes: metadata_segment_bytes(layers),
            metadata_snapshots: metadata_snapshots(layers),
            metadata_delete_delay_ms: layers.get(key::INTERNAL_METADATA_DELETE_DELAY_MILLIS),
            snapshot_fetch_bytes_max: layers.get(key::CONTROLLER_QUORUM_FETCH_SNAPSHOT_MAX_BYTES),
            retention_check: Duration::from_millis(
                u64::try_from(layers.get(key::LOG_RETENTION_CHECK_INTERVAL_MS)).unwrap_or(u64::MAX),
            ),
            groups,
            warnings: settings.warnings.iter().map(ToString::to_string).collect(),
            layers: settings.settings,
        })
    }

    /// Whether a listener is one that clients use.
    pub fn is_client_listener(&self, name: &str) -> bool {
        self.listeners
            .iter()
            .any(|listener| *listener.name == *name && listener.kind == ListenerKind::Broker)
    }

    /// How `name` is made if it is one of the broker's own topics.
    pub fn internal_topic(&self, name: &str) -> Option<InternalTopic> {
        (name == OFFSETS_TOPIC).then(|| InternalTopic {
            partitions: self.offsets_partitions,
            replication_factor: self.offsets_replication_factor,
            overrides: vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("segment.bytes", self.offsets_segment_bytes.to_string()),
            ],
        })
    }
}

/// This release keeps everything in one directory.
fn only_log_dir(settings: &BrokerConfig) -> Result<PathBuf, ConfigError> {
    let [log_dir] = &settings.log_dirs[..] else {
        let count = settings.log_dirs.len();
        return Err(ConfigError::Unserved(format!(
            "log.dirs names {count} directories; this version serves one. Name one, or put the disks under one file system"
        )));
    };
    if settings.metadata_log_dir != *log_dir {
        return Err(ConfigError::Unserved(
            "metadata.log.dir differs from log.dirs; this version keeps the metadata log beside the others. Remove metadata.log.dir".to_owned(),
        ));
    }
    Ok(PathBuf::from(log_dir))
}

/// The internal key is for tests, and wins.
fn metadata_segment_bytes(layers: &Layers) -> u32 {
    let public = layers.get(key::METADATA_LOG_SEGMENT_BYTES);
    let bytes = layers
        .get(key::INTERNAL_METADATA_LOG_SEGMENT_BYTES)
        .unwrap_or(public);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn metadata_snapshots(layers: &Layers) -> SnapshotPolicy {
    let between = layers.get(key::METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS);
    let interval_ms = layers.get(key::METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS);
    let age_max_ms = layers.get(key::METADATA_MAX_RETENTION_MS);
    SnapshotPolicy {
        record_bytes_between: u64::try_from(between).unwrap_or(u64::MAX),
        interval: u64::try_from(interval_ms)
            .ok()
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis),
        retention: SnapshotRetention {
            // Negative is no bound, as in Kafka.
            bytes_max: u64::try_from(layers.get(key::METADATA_MAX_RETENTION_BYTES)).ok(),
            age_max_ms: Some(age_max_ms).filter(|ms| *ms >= 0),
        },
    }
}

fn controllers(settings: &BrokerConfig) -> Vec<ControllerAddress> {
    let voters = settings.voters.iter().map(|voter| &voter.address);
    let addresses = settings.bootstrap_servers.iter().chain(voters);
    addresses
        .map(|address| ControllerAddress {
            host: address.host.clone(),
            port: address.port,
        })
        .collect()
}
