//! A producer: records in, deliveries out. Idempotent with acks=all unless told otherwise, so that a record is in the log once and
//! in the order of `send`, whatever happens on the way.
//!
//! Rooms: `partitioner` (which partition), `queue` and `batch` (what waits and what is under way, per partition), `sender` (the one task
//! that owns them). Not here: transactions.

mod batch;
mod partitioner;
mod queue;
mod sender;

use crate::cluster::Cluster;
use crate::config::ClientConfig;
use crate::error::{ClientError, Failure};
use crate::net::NetRef;
use bytes::Bytes;
use ottla_protocol::records::Compression;
use ottla_protocol::{ApiKey, ErrorCode, Str};
use sender::Shared;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// When a record counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// When it is sent; nobody says whether it arrived.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

/// Settings of a producer. Defaults are Kafka's; the key that means the same there is named.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`; has no effect unless `acks` is `All`.
    pub idempotent: bool,
    /// `batch.size`.
    pub batch_bytes: usize,
    /// `linger.ms`: how long a batch that is not full waits for more.
    pub linger: Duration,
    /// `compression.type` and its level.
    pub compression: Compression,
    /// `max.request.size`.
    pub request_bytes_max: usize,
    /// `buffer.memory`: records that are not delivered yet; `send` waits while it is full.
    pub buffer_bytes: usize,
    /// `delivery.timeout.ms`: from `send` to the answer, with all attempts.
    pub delivery_timeout: Duration,
    /// `max.in.flight.requests.per.connection`, here per partition. Without idempotence 1 is used, so that order is kept.
    pub in_flight_max: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            acks: Acks::All,
            idempotent: true,
            batch_bytes: 16 * 1024,
            linger: Duration::from_millis(5),
            compression: Compression::default(),
            request_bytes_max: 1024 * 1024,
            buffer_bytes: 32 * 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
            in_flight_max: 5,
        }
    }
}

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: Str,
    /// `None`: by the key's hash, or wherever it fits without a key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In order; names may repeat.
    pub headers: Vec<(Str, Option<Bytes>)>,
    /// Ms since the epoch; `None`: now.
    pub timestamp_ms: Option<i64>,
}

impl ProducerRecord {
    /// What it takes in memory and, at most, on the wire.
    pub(crate) fn size(&self) -> usize {
        // Lengths, deltas and attributes of a record and its headers.
        const RECORD_OVERHEAD: usize = 30;
        const HEADER_OVERHEAD: usize = 10;
        let field = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self
            .headers
            .iter()
            .map(|(key, value)| key.len() + field(value) + HEADER_OVERHEAD);
        RECORD_OVERHEAD + field(&self.key) + field(&self.value) + headers.sum::<usize>()
    }
}

/// Where a record went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The topic.
    pub topic: Str,
    /// The partition.
    pub partition: i32,
    /// −1 if it is not known (acks=0, or an earlier attempt had been written).
    pub offset: i64,
    /// The record's, or the broker's if the topic says so.
    pub timestamp_ms: i64,
}

/// A record that was sent. Dropping it does not take the record back.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<Delivered, ClientError>>);

impl Delivery {
    /// Waits for the answer.
    pub async fn wait(self) -> Result<Delivered, ClientError> {
        self.0
            .await
            .unwrap_or_else(|_| Err(ClientError::Closed("the producer is gone".to_owned())))
    }
}

/// A handle on a producer; clones share it. When the last is dropped, what was not sent is lost: `close` or `flush` first.
#[derive(Clone)]
pub struct Producer {
    cluster: Cluster,
    shared: Rc<Shared>,
    _last_one_stops: Rc<StopOnDrop>,
}

struct StopOnDrop(Rc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0
            .stop(&ClientError::Closed("the producer was dropped".to_owned()));
    }
}

impl Producer {
    /// Of a cluster that is known by its bootstrap servers.
    pub fn new(net: NetRef, client: ClientConfig, config: ProducerConfig) -> Producer {
        Producer::of(Cluster::new(net, client), config)
    }

    /// Sharing connections with others.
    pub fn of(cluster: Cluster, config: ProducerConfig) -> Producer {
        let shared = Rc::new(Shared::new(cluster.config(), config));
        cluster
            .net()
            .spawn(Box::pin(sender::run(cluster.clone(), shared.clone())));
        Producer {
            cluster,
            _last_one_stops: Rc::new(StopOnDrop(shared.clone())),
            shared,
        }
    }

    /// Queues a record. Waits for the topic's metadata and for room in the buffer; the answer comes by the [`Delivery`]. Records of
    /// one partition are written in the order in which `send` returns.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, ClientError> {
        let size = record.size();
        if size
            > self
                .shared
                .config
                .request_bytes_max
                .min(self.shared.config.buffer_bytes)
        {
            return Err(ClientError::Records {
                topic: record.topic,
                partition: record.partition.unwrap_or(-1),
                reason: format!(
                    "a record of {size} bytes; at most {} fit",
                    self.shared.config.request_bytes_max
                ),
            });
        }
        let topic = self
            .cluster
            .retry(async || {
                let topic = self.cluster.topic(&record.topic).await?;
                let known = record
                    .partition
                    .is_none_or(|index| topic.partition(index).is_some());
                if known && !topic.partitions.is_empty() {
                    return Ok(topic);
                }
                self.cluster.doubt_topic(&record.topic);
                let error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                let message = Some(Str::from(format!(
                    "{} has {} partitions",
                    record.topic,
                    topic.partitions.len()
                )));
                Err(ClientError::Refused {
                    api: ApiKey::Metadata,
                    failure: Failure { error, message },
                })
            })
            .await?;
        self.shared.reserve(size).await?;
        let (sender, receiver) = oneshot::channel();
        let net = self.cluster.net();
        let timestamp = record.timestamp_ms.unwrap_or_else(|| net.wall_clock_ms());
        self.shared.append(&topic, record, timestamp, sender, net)?;
        Ok(Delivery(receiver))
    }

    /// Sends everything that waits and returns when all of it has been answered.
    pub async fn flush(&self) {
        self.shared.flush().await;
    }

    /// Flushes, then ends the producer. Records sent afterwards are refused.
    pub async fn close(self) {
        self.shared.flush().await;
        self.shared
            .stop(&ClientError::Closed("the producer was closed".to_owned()));
    }
}
