//! What holds for one topic, typed: the topic's own keys over the broker's.
//!
//! Made anew when a topic or the broker changes, then read without lookups. Not here: text and sources (`describe`).

use crate::layers::{Layers, Overrides};
use crate::table::{Scope, find};
use crate::value::Value;

/// When a write is durable (`ottla.durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Synced before it is acknowledged.
    #[default]
    Fsync,
    /// Acknowledged from memory; the system writes it later.
    PageCache,
}

/// The codec of batches at rest (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CompressionType {
    /// As it was sent.
    #[default]
    Producer,
    /// None.
    Uncompressed,
    /// gzip at this level.
    Gzip(i32),
    /// snappy.
    Snappy,
    /// lz4 at this level.
    Lz4(i32),
    /// zstd at this level.
    Zstd(i32),
}

/// What happens to old records (`cleanup.policy`). Neither: they stay for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CleanupPolicy {
    /// Old segments are deleted.
    pub delete: bool,
    /// Records are compacted by key; every record needs one.
    pub compact: bool,
}

/// Typed configuration of a topic. Times in ms, sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup: CleanupPolicy,
    /// `compression.type`, `compression.gzip.level`, `compression.zstd.level`
    pub compression: CompressionType,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `ottla.durability`
    pub durability: Durability,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `flush.messages`
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: i32,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: i32,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: i32,
    /// `preallocate`
    pub preallocate: bool,
    /// `retention.bytes`, `None` for no limit
    pub retention_bytes: Option<i64>,
    /// `retention.ms`, `None` for ever
    pub retention_ms: Option<i64>,
    /// `segment.bytes`, or `internal.segment.bytes` when that is set
    pub segment_bytes: i32,
    /// `segment.index.bytes`
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.type` is LogAppendTime
    pub timestamps_at_append: bool,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// What holds for a topic with these keys of its own.
    pub fn new(layers: &Layers, own: &Overrides) -> Self {
        let read = Reader { layers, own };
        let cleanup = read.list("cleanup.policy");
        let has = |policy: &str| cleanup.iter().any(|p| p == policy);
        let not_negative = |number: i64| (number >= 0).then_some(number);
        Self {
            cleanup: CleanupPolicy {
                delete: has("delete"),
                compact: has("compact"),
            },
            compression: read.compression(),
            delete_retention_ms: read.long("delete.retention.ms"),
            durability: if read.text("ottla.durability") == "fsync" {
                Durability::Fsync
            } else {
                Durability::PageCache
            },
            file_delete_delay_ms: read.long("file.delete.delay.ms"),
            flush_messages: read.long("flush.messages"),
            flush_ms: read.long("flush.ms"),
            index_interval_bytes: read.int("index.interval.bytes"),
            max_compaction_lag_ms: read.long("max.compaction.lag.ms"),
            max_message_bytes: read.int("max.message.bytes"),
            min_cleanable_dirty_ratio: read
                .value("min.cleanable.dirty.ratio")
                .as_f64()
                .expect(TYPED),
            min_compaction_lag_ms: read.long("min.compaction.lag.ms"),
            min_insync_replicas: read.int("min.insync.replicas"),
            preallocate: read.bool("preallocate"),
            retention_bytes: not_negative(read.long("retention.bytes")),
            retention_ms: not_negative(read.long("retention.ms")),
            segment_bytes: read
                .find("internal.segment.bytes")
                .map_or_else(|| read.int("segment.bytes"), int),
            segment_index_bytes: read.int("segment.index.bytes"),
            segment_jitter_ms: read.long("segment.jitter.ms"),
            segment_ms: read.long("segment.ms"),
            timestamp_after_max_ms: read.long("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: read.long("message.timestamp.before.max.ms"),
            timestamps_at_append: read.text("message.timestamp.type") == "LogAppendTime",
            unclean_leader_election_enable: read.bool("unclean.leader.election.enable"),
        }
    }
}

const TYPED: &str =
    "values have the type of their row, and these rows have the types asked for, as a test shows";

struct Reader<'a> {
    layers: &'a Layers,
    own: &'a Overrides,
}

impl Reader<'_> {
    fn find(&self, name: &str) -> Option<Value> {
        let setting = find(Scope::Topic, name).expect("these names are rows, as a test shows");
        self.layers
            .own_value(setting, self.own)
            .map(|found| found.value)
    }

    fn value(&self, name: &str) -> Value {
        self.find(name)
            .expect("these rows have defaults, as a test shows")
    }

    fn bool(&self, name: &str) -> bool {
        self.value(name).as_bool().expect(TYPED)
    }

    fn int(&self, name: &str) -> i32 {
        int(self.value(name))
    }

    fn long(&self, name: &str) -> i64 {
        self.value(name).as_i64().expect(TYPED)
    }

    fn text(&self, name: &str) -> String {
        self.value(name).as_text().expect(TYPED).to_owned()
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.value(name).as_list().expect(TYPED).to_vec()
    }

    fn compression(&self) -> CompressionType {
        match self.text("compression.type").as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip(self.int("compression.gzip.level")),
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4(self.int("compression.lz4.level")),
            "zstd" => CompressionType::Zstd(self.int("compression.zstd.level")),
            _ => CompressionType::Producer,
        }
    }
}

fn int(value: Value) -> i32 {
    value
        .as_i64()
        .and_then(|number| number.try_into().ok())
        .expect(TYPED)
}
