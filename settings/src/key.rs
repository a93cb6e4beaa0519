//! Typed handles for the keys that broker code reads: `settings.get(key::NUM_PARTITIONS)` is an `i32`.
//!
//! Invariant (tested): every handle names a row of the table with its type, and is an `Option` exactly where the row
//! has neither default nor a synonym with one. Keys that nothing reads have no handle.

use std::marker::PhantomData;

use crate::value::{Secret, Value};

/// A broker key and the type of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<T> {
    /// The key.
    pub name: &'static str,
    of: PhantomData<T>,
}

/// Rust types that values become.
pub trait FromValue: Sized {
    /// `None` when the value has another type, or is missing where it must not.
    fn from_value(value: Option<Value>) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty, $value:ident => $read:expr;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: Option<Value>) -> Option<Self> {
                let $value = value?;
                $read
            }
        })*
    };
}

from_value! {
    bool, value => value.as_bool();
    i16, value => value.as_i64().and_then(|number| number.try_into().ok());
    i32, value => value.as_i64().and_then(|number| number.try_into().ok());
    i64, value => value.as_i64();
    f64, value => value.as_f64();
    String, value => value.as_text().map(str::to_owned);
    Vec<String>, value => value.as_list().map(<[String]>::to_vec);
    Secret, value => match value { Value::Secret(secret) => Some(secret), _ => None };
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(None),
            Some(value) => T::from_value(Some(value)).map(Some),
        }
    }
}

macro_rules! keys {
    ($($handle:ident: $type:ty = $name:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $handle: Key<$type> = Key { name: $name, of: PhantomData };
        )*

        #[cfg(test)]
        mod tests {
            use super::*;
            use crate::layers::Layers;

            #[test]
            fn handles_fit_their_rows() {
                let layers = Layers::default();
                $({
                    let row = crate::table::find(crate::table::Scope::Broker, $name).expect($name);
                    let value = layers.broker_value(row).map(|found| found.value);
                    assert!(<$type>::from_value(value.clone()).is_some(), "{}: {value:?}", $name);
                    let optional = stringify!($type).starts_with("Option");
                    assert_eq!(optional, value.is_none(), "{} must be an Option exactly when it has no default", $name);
                    assert!(!matches!(row.status, crate::table::Status::Refused(_)) || row.is_read_only(), $name);
                })*
            }
        }
    };
}

keys! {
    ADVERTISED_LISTENERS: Option<Vec<String>> = "advertised.listeners";
    AUTO_CREATE_TOPICS_ENABLE: bool = "auto.create.topics.enable";
    BROKER_HEARTBEAT_INTERVAL_MS: i32 = "broker.heartbeat.interval.ms";
    BROKER_ID: i32 = "broker.id";
    BROKER_RACK: Option<String> = "broker.rack";
    BROKER_SESSION_TIMEOUT_MS: i32 = "broker.session.timeout.ms";
    CONNECTIONS_MAX_IDLE_MS: i64 = "connections.max.idle.ms";
    CONNECTION_FAILED_AUTHENTICATION_DELAY_MS: i32 = "connection.failed.authentication.delay.ms";
    CONTROLLED_SHUTDOWN_ENABLE: bool = "controlled.shutdown.enable";
    CONTROLLER_LISTENER_NAMES: Option<Vec<String>> = "controller.listener.names";
    CONTROLLER_QUORUM_APPEND_LINGER_MS: i32 = "controller.quorum.append.linger.ms";
    CONTROLLER_QUORUM_BOOTSTRAP_SERVERS: Vec<String> = "controller.quorum.bootstrap.servers";
    CONTROLLER_QUORUM_ELECTION_BACKOFF_MAX_MS: i32 = "controller.quorum.election.backoff.max.ms";
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS: i32 = "controller.quorum.election.timeout.ms";
    CONTROLLER_QUORUM_FETCH_MAX_BYTES: i32 = "controller.quorum.fetch.max.bytes";
    CONTROLLER_QUORUM_FETCH_SNAPSHOT_MAX_BYTES: i32 = "controller.quorum.fetch.snapshot.max.bytes";
    CONTROLLER_QUORUM_FETCH_TIMEOUT_MS: i32 = "controller.quorum.fetch.timeout.ms";
    CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS: i32 = "controller.quorum.request.timeout.ms";
    CONTROLLER_QUORUM_RETRY_BACKOFF_MS: i32 = "controller.quorum.retry.backoff.ms";
    CONTROLLER_QUORUM_VOTERS: Vec<String> = "controller.quorum.voters";
    CORDONED_LOG_DIRS: Vec<String> = "cordoned.log.dirs";
    DEFAULT_REPLICATION_FACTOR: i32 = "default.replication.factor";
    DELETE_TOPIC_ENABLE: bool = "delete.topic.enable";
    EARLY_START_LISTENERS: Option<Vec<String>> = "early.start.listeners";
    FETCH_MAX_BYTES: i32 = "fetch.max.bytes";
    GROUP_COORDINATOR_REBALANCE_PROTOCOLS: Vec<String> = "group.coordinator.rebalance.protocols";
    GROUP_INITIAL_REBALANCE_DELAY_MS: i32 = "group.initial.rebalance.delay.ms";
    GROUP_MAX_SESSION_TIMEOUT_MS: i32 = "group.max.session.timeout.ms";
    GROUP_MAX_SIZE: i32 = "group.max.size";
    GROUP_MIN_SESSION_TIMEOUT_MS: i32 = "group.min.session.timeout.ms";
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS: i32 = "initial.broker.registration.timeout.ms";
    INTERNAL_METADATA_DELETE_DELAY_MILLIS: i64 = "internal.metadata.delete.delay.millis";
    INTERNAL_METADATA_LOG_SEGMENT_BYTES: Option<i32> = "internal.metadata.log.segment.bytes";
    INTER_BROKER_LISTENER_NAME: Option<String> = "inter.broker.listener.name";
    LISTENERS: Vec<String> = "listeners";
    LISTENER_SECURITY_PROTOCOL_MAP: String = "listener.security.protocol.map";
    LOG_CLEANER_DEDUPE_BUFFER_SIZE: i64 = "log.cleaner.dedupe.buffer.size";
    LOG_CLEANER_THREADS: i32 = "log.cleaner.threads";
    LOG_DIR: Vec<String> = "log.dir";
    LOG_DIRS: Option<Vec<String>> = "log.dirs";
    LOG_RETENTION_CHECK_INTERVAL_MS: i64 = "log.retention.check.interval.ms";
    LOG_RETENTION_MS: i64 = "log.retention.ms";
    LOG_ROLL_JITTER_MS: i64 = "log.roll.jitter.ms";
    LOG_ROLL_MS: i64 = "log.roll.ms";
    MAX_CONNECTIONS: i32 = "max.connections";
    MAX_CONNECTIONS_PER_IP: i32 = "max.connections.per.ip";
    MAX_CONNECTIONS_PER_IP_OVERRIDES: String = "max.connections.per.ip.overrides";
    MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS: i32 = "max.incremental.fetch.session.cache.slots";
    MAX_REQUEST_PARTITION_SIZE_LIMIT: i32 = "max.request.partition.size.limit";
    METADATA_LOG_DIR: Option<String> = "metadata.log.dir";
    METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS: i64 = "metadata.log.max.record.bytes.between.snapshots";
    METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS: i64 = "metadata.log.max.snapshot.interval.ms";
    METADATA_LOG_SEGMENT_BYTES: i32 = "metadata.log.segment.bytes";
    METADATA_LOG_SEGMENT_MS: i64 = "metadata.log.segment.ms";
    METADATA_MAX_IDLE_INTERVAL_MS: i32 = "metadata.max.idle.interval.ms";
    METADATA_MAX_RETENTION_BYTES: i64 = "metadata.max.retention.bytes";
    METADATA_MAX_RETENTION_MS: i64 = "metadata.max.retention.ms";
    MIN_INSYNC_REPLICAS: i32 = "min.insync.replicas";
    NODE_ID: Option<i32> = "node.id";
    NUM_PARTITIONS: i32 = "num.partitions";
    NUM_RECOVERY_THREADS_PER_DATA_DIR: i32 = "num.recovery.threads.per.data.dir";
    OFFSETS_COMMIT_TIMEOUT_MS: i32 = "offsets.commit.timeout.ms";
    OFFSETS_RETENTION_CHECK_INTERVAL_MS: i64 = "offsets.retention.check.interval.ms";
    OFFSETS_RETENTION_MINUTES: i32 = "offsets.retention.minutes";
    OFFSETS_TOPIC_COMPRESSION_CODEC: i32 = "offsets.topic.compression.codec";
    OFFSETS_TOPIC_NUM_PARTITIONS: i32 = "offsets.topic.num.partitions";
    OFFSETS_TOPIC_REPLICATION_FACTOR: i16 = "offsets.topic.replication.factor";
    OFFSETS_TOPIC_SEGMENT_BYTES: i32 = "offsets.topic.segment.bytes";
    OFFSET_METADATA_MAX_BYTES: i32 = "offset.metadata.max.bytes";
    OTTLA_METRICS_LISTENER: Option<String> = "ottla.metrics.listener";
    PROCESS_ROLES: Option<Vec<String>> = "process.roles";
    PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS: i32 = "producer.id.expiration.check.interval.ms";
    PRODUCER_ID_EXPIRATION_MS: i32 = "producer.id.expiration.ms";
    QUEUED_MAX_REQUESTS: i32 = "queued.max.requests";
    QUEUED_MAX_REQUEST_BYTES: i64 = "queued.max.request.bytes";
    REPLICA_FETCH_WAIT_MAX_MS: i32 = "replica.fetch.wait.max.ms";
    REPLICA_LAG_TIME_MAX_MS: i64 = "replica.lag.time.max.ms";
    REPLICA_SOCKET_TIMEOUT_MS: i32 = "replica.socket.timeout.ms";
    REQUEST_TIMEOUT_MS: i32 = "request.timeout.ms";
    SECURITY_INTER_BROKER_PROTOCOL: String = "security.inter.broker.protocol";
    SOCKET_LISTEN_BACKLOG_SIZE: i32 = "socket.listen.backlog.size";
    SOCKET_RECEIVE_BUFFER_BYTES: i32 = "socket.receive.buffer.bytes";
    SOCKET_REQUEST_MAX_BYTES: i32 = "socket.request.max.bytes";
    SOCKET_SEND_BUFFER_BYTES: i32 = "socket.send.buffer.bytes";
    TRANSACTION_STATE_LOG_NUM_PARTITIONS: i32 = "transaction.state.log.num.partitions";
}
