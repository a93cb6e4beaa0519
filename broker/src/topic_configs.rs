//! The settings in force as of the newest image: the broker's own that change while it runs, and for each
//! topic its overrides over them, typed once and read without look-ups on the way of a record. And what
//! the controller has to know of configuration keys.
//!
//! Not here: names, types and ranges (ottla_settings), storing overrides (broker/metadata).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ottla_broker_metadata::{
    ConfigCatalogue, Delta, EffectiveConfig, Image, Overrides, Resource, ResourceKind, Topic,
};
use ottla_broker_storage::{Durability, LogConfig, RetentionPolicy};
use ottla_protocol::records::{Codec, Compression, Rules, TimestampRule};
use ottla_protocol::{Str, Uuid};
use ottla_settings::{
    CompressionType, Layers, LiveSettings, Scope, Setting, TopicConfig, change, table,
};

use crate::config::Config;

/// Most bytes that one batch may unpack to while it is checked: a bound on time, not on memory.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;
/// First version of Produce that knows zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// Typed configurations by topic; topics without overrides share one.
pub struct TopicConfigs {
    node_id: i32,
    file: Layers,
    state: RefCell<State>,
}

struct State {
    layers: Layers,
    live: LiveSettings,
    default: Rc<TopicConfig>,
    by_topic: BTreeMap<Uuid, Rc<TopicConfig>>,
}

impl TopicConfigs {
    /// Before the first image: what the file says.
    pub fn new(config: Rc<Config>) -> Self {
        let layers = config.layers.clone();
        let default = Rc::new(TopicConfig::new(&layers, &BTreeMap::new()));
        Self {
            node_id: config.node_id,
            file: config.layers.clone(),
            state: RefCell::new(State {
                live: LiveSettings::new(&layers),
                layers,
                default,
                by_topic: BTreeMap::new(),
            }),
        }
    }

    /// Takes in what a new image changed.
    pub fn update(&self, image: &Image, delta: &Delta) {
        let mut state = self.state.borrow_mut();
        if self.broker_changed(delta) {
            state.layers = layers_of(&self.file, image, self.node_id);
            state.live = LiveSettings::new(&state.layers);
            warn_of_passed_over(&state.layers);
            state.default = Rc::new(TopicConfig::new(&state.layers, &BTreeMap::new()));
            state.by_topic.clear();
            for topic in image.topics.iter() {
                state.set(image, topic);
            }
        }
        for resource in delta
            .configs
            .iter()
            .filter(|resource| resource.kind == ResourceKind::Topic)
        {
            if let Some(topic) = image.topic(&resource.name) {
                state.set(image, topic);
            }
        }
        for id in delta.topics.keys() {
            if let Some(topic) = image.topic_by_id(id) {
                state.set(image, topic);
            }
        }
        for id in delta.deleted_topics.keys() {
            state.by_topic.remove(id);
        }
    }

    /// Topics whose effective configuration may have changed.
    pub fn affected(&self, image: &Image, delta: &Delta) -> Vec<Arc<Topic>> {
        if self.broker_changed(delta) {
            return image.topics.iter().cloned().collect();
        }
        let topics = delta
            .configs
            .iter()
            .filter(|resource| resource.kind == ResourceKind::Topic);
        topics
            .filter_map(|resource| image.topic(&resource.name))
            .cloned()
            .collect()
    }

    /// Whether records are deleted from the front of this topic.
    pub fn deletes(&self, topic: &Topic) -> bool {
        let config = self.of(topic);
        config.cleanup.delete || !config.cleanup.compact
    }

    /// What a batch sent to `topic` is checked against.
    pub fn rules(&self, topic: &Topic, now_ms: i64, version: i16) -> Rules {
        let config = self.of(topic);
        Rules {
            batch_bytes_max: usize::try_from(config.max_message_bytes).unwrap_or(0),
            compacted: config.cleanup.compact,
            timestamps: if config.timestamps_at_append {
                TimestampRule::LogAppendTime { now_ms }
            } else {
                TimestampRule::CreateTime {
                    now_ms,
                    before_max_ms: config.timestamp_before_max_ms,
                    after_max_ms: config.timestamp_after_max_ms,
                }
            },
            compression: compression_of(config.compression),
            zstd_allowed: version >= ZSTD_SINCE,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        }
    }

    /// What the log of a partition of `topic` keeps to.
    pub fn log_config(&self, topic: &Topic) -> LogConfig {
        let config = self.of(topic);
        let unsigned = |number: i32| u32::try_from(number).unwrap_or(0);
        LogConfig {
            segment_bytes: unsigned(config.segment_bytes),
            segment_ms: config.segment_ms,
            segment_index_bytes: unsigned(config.segment_index_bytes),
            index_interval_bytes: unsigned(config.index_interval_bytes),
            retention: config.cleanup.delete.then_some(RetentionPolicy {
                age_max_ms: config.retention_ms,
                bytes_max: config
                    .retention_bytes
                    .and_then(|bytes| u64::try_from(bytes).ok()),
            }),
            file_delete_delay_ms: config.file_delete_delay_ms,
            producer_expiration_ms: self.live().producer_expiration_ms,
            durability: match config.durability {
                ottla_settings::Durability::Fsync => Durability::Fsync,
                ottla_settings::Durability::PageCache => Durability::PageCache,
            },
            flush_messages: config.flush_messages,
            flush_ms: config.flush_ms,
            may_use_reserve: false,
        }
    }

    /// The broker's values that change while it runs, as of the newest image.
    pub fn live(&self) -> LiveSettings {
        self.state.borrow().live
    }

    /// The broker's values as they are in force, with all layers.
    pub fn layers(&self) -> Layers {
        self.state.borrow().layers.clone()
    }

    fn of(&self, topic: &Topic) -> Rc<TopicConfig> {
        let state = self.state.borrow();
        Rc::clone(state.by_topic.get(&topic.id).unwrap_or(&state.default))
    }

    fn broker_changed(&self, delta: &Delta) -> bool {
        let (own, all) = (Resource::broker(self.node_id), Resource::cluster());
        delta.configs.contains(&own) || delta.configs.contains(&all)
    }
}

impl State {
    fn set(&mut self, image: &Image, topic: &Topic) {
        match image.topic_overrides(&topic.name) {
            Some(overrides) => {
                let config = TopicConfig::new(&self.layers, &plain(overrides));
                self.by_topic.insert(topic.id, Rc::new(config));
            }
            None => {
                self.by_topic.remove(&topic.id);
            }
        }
    }
}

/// What a controller of Apache Kafka has stored and this broker does not follow.
fn warn_of_passed_over(layers: &Layers) {
    for (target, stored) in [
        (change::Target::Broker, &layers.broker),
        (change::Target::Cluster, &layers.cluster),
    ] {
        for fault in change::passed_over(target, stored) {
            tracing::warn!(%fault, "a stored broker configuration is not followed");
        }
    }
}

/// The layers of a broker under an image.
pub fn layers_of(file: &Layers, image: &Image, node_id: i32) -> Layers {
    Layers {
        broker: image
            .broker_overrides(node_id)
            .map(|overrides| plain(overrides))
            .unwrap_or_default(),
        cluster: image
            .cluster_overrides()
            .map(|overrides| plain(overrides))
            .unwrap_or_default(),
        file: file.file.clone(),
    }
}

/// Overrides as the settings crate has them.
pub fn plain(overrides: &Overrides) -> BTreeMap<String, String> {
    overrides
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn compression_of(kind: CompressionType) -> Option<Compression> {
    let (codec, level) = match kind {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (Codec::None, None),
        CompressionType::Gzip(level) => (Codec::Gzip, Some(level)),
        CompressionType::Snappy => (Codec::Snappy, None),
        CompressionType::Lz4(level) => (Codec::Lz4, Some(level)),
        CompressionType::Zstd(level) => (Codec::Zstd, Some(level)),
    };
    let level = level.unwrap_or_else(|| codec.level_default());
    Some(Compression { codec, level })
}

/// What the controller has to know of configuration keys, out of `ottla_settings`.
pub struct Catalogue {
    file: Layers,
}

impl Catalogue {
    /// With the static values of this controller.
    pub fn new(config: &Config) -> Self {
        Self {
            file: config.layers.clone(),
        }
    }
}

fn row(kind: ResourceKind, name: &str) -> Option<&'static Setting> {
    let scope = match kind {
        ResourceKind::Topic => Scope::Topic,
        ResourceKind::Broker => Scope::Broker,
        ResourceKind::Group => Scope::Group,
        ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => return None,
    };
    table::find(scope, name)
}

impl ConfigCatalogue for Catalogue {
    fn check(
        &self,
        resource: &Resource,
        current: &Overrides,
        next: &Overrides,
        cluster: &Overrides,
    ) -> Result<(), String> {
        let target = match resource.kind {
            ResourceKind::Topic => change::Target::Topic,
            ResourceKind::Group => change::Target::Group,
            ResourceKind::Broker if resource.name.is_empty() => change::Target::Cluster,
            ResourceKind::Broker => change::Target::Broker,
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => {
                return Err("this kind of resource has no configuration in this version".to_owned());
            }
        };
        let layers = Layers {
            cluster: plain(cluster),
            ..self.file.clone()
        };
        let checked = change::replace(target, &layers, &plain(current), &plain(next));
        checked.map(drop).map_err(|fault| fault.to_string())
    }

    fn is_list(&self, kind: ResourceKind, key: &str) -> bool {
        row(kind, key).is_some_and(|row| row.kind == table::Kind::List)
    }

    fn fallback(&self, kind: ResourceKind, key: &str) -> Option<Str> {
        let row = row(kind, key)?;
        let found = match kind {
            ResourceKind::Broker => self.file.broker_value(row),
            _ => self.file.own_value(row, &BTreeMap::new()),
        };
        found.map(|found| Str::from(found.text))
    }

    fn effective_topic(
        &self,
        topic: &Overrides,
        broker: Option<&Overrides>,
        cluster: Option<&Overrides>,
    ) -> Vec<EffectiveConfig> {
        let layers = Layers {
            broker: broker.map(plain).unwrap_or_default(),
            cluster: cluster.map(plain).unwrap_or_default(),
            file: self.file.file.clone(),
        };
        let entries = layers.describe_topic(&plain(topic)).into_iter();
        entries
            .map(|entry| EffectiveConfig {
                name: entry.name.into(),
                value: entry.value.map(Str::from),
                read_only: entry.read_only,
                source: entry.source.wire_code(),
                sensitive: entry.secret,
            })
            .collect()
    }

    fn broker_key(&self, topic_key: &str) -> Str {
        let synonym = row(ResourceKind::Topic, topic_key).and_then(|row| row.synonyms.first());
        Str::from(synonym.copied().unwrap_or(topic_key).to_owned())
    }
}
