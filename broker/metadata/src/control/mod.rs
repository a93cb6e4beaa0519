//! The active controller: requests in, records and replies out.
//!
//! `decide` functions (one per request, a file per domain) only read; [`Controller::replay`] is the only
//! writer. The shell appends the records of a [`Decision`], replays them at once, and releases the reply
//! when they are committed. So a decision sees all decisions before it, and nobody else sees anything
//! that could be lost.
//!
//! Invariant: `index` equals `Index::of(image())` between calls; sessions exist only for registered brokers.
//! Not here: the log (broker/raft), the loop that drives this (broker/src/controller).

mod alter_partition;
mod bootstrap;
mod brokers;
mod configs;
mod elections;
mod features;
mod heartbeat;
mod index;
mod leadership;
mod partitions;
mod placement;
mod producer_ids;
mod reassignments;
mod registration;
mod sessions;
mod topics;

pub use bootstrap::{bootstrap_records, format_records};
pub use configs::{ConfigCatalogue, ConfigRules, EffectiveConfig};
pub use sessions::Sessions;

use crate::delta::Delta;
use crate::image::{Image, PartitionRef, Provenance};
use crate::record::VersionedRecord;
use crate::replay::{ReplayError, Replayer};
use index::Index;
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::collections::BTreeSet;

/// Records per request that changes metadata: Kafka's limit; a batch of them stays below 8 MiB.
const RECORDS_PER_REQUEST_MAX: usize = 10_000;

/// What a request leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    /// Records to append, in order. Empty: nothing changes and the reply may go at once.
    pub records: Vec<VersionedRecord>,
    /// True if all records must become one batch; otherwise a long list may be cut into several.
    pub atomic: bool,
    /// The reply, to be released when the last record is committed.
    pub reply: R,
}

impl<R> Decision<R> {
    /// Nothing changes; the reply waits only for the decisions that it may have seen.
    pub fn nothing(reply: R) -> Self {
        Self {
            records: Vec::new(),
            atomic: true,
            reply,
        }
    }

    fn atomic(records: Vec<VersionedRecord>, reply: R) -> Self {
        Self {
            records,
            atomic: true,
            reply,
        }
    }

    fn in_order(records: Vec<VersionedRecord>, reply: R) -> Self {
        Self {
            records,
            atomic: false,
            reply,
        }
    }
}

/// Why one item of a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// What the controller knows from its own configuration.
#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// cluster.id.
    pub cluster_id: Str,
    /// node.id of this controller.
    pub node_id: i32,
    /// num.partitions.
    pub default_partitions: i32,
    /// default.replication.factor.
    pub default_replication_factor: i16,
    /// Highest replication factor that this build serves; more is refused with INVALID_REPLICATION_FACTOR.
    pub replication_factor_max: i16,
    /// delete.topic.enable.
    pub topic_deletion_enabled: bool,
    /// broker.session.timeout.ms.
    pub session_timeout_ms: i64,
    /// What is known of configuration keys: types, ranges, defaults, this node's static values.
    pub configs: ConfigRules,
}

/// The active controller. Exists only while this node leads the quorum.
#[derive(Debug)]
pub struct Controller {
    options: ControllerOptions,
    replayer: Replayer,
    index: Index,
    sessions: Sessions,
}

impl Controller {
    /// Takes over when this node has become leader and replayed its whole log. `log_end` is the offset
    /// of the next record. Every unfenced broker gets a full session: their old controller may have
    /// heard from them a moment ago.
    pub fn activate(
        options: ControllerOptions,
        replayer: Replayer,
        log_end: i64,
        now_ms: i64,
    ) -> Self {
        let index = Index::of(replayer.image());
        let sessions = Sessions::new(
            options.session_timeout_ms,
            replayer.image(),
            log_end,
            now_ms,
        );
        Self {
            options,
            replayer,
            index,
            sessions,
        }
    }

    /// The working image: everything appended so far, committed or not.
    pub fn image(&self) -> &Image {
        self.replayer.image()
    }

    /// Offset of the BeginTransactionRecord of an open metadata transaction.
    pub fn open_transaction(&self) -> Option<i64> {
        self.replayer.open_transaction()
    }

    /// The soft state of broker sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// To note heartbeats, which change no record.
    pub fn sessions_mut(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// Applies the records of one appended batch, the first of which stands at `base_offset`.
    pub fn replay<'r>(
        &mut self,
        base_offset: i64,
        records: impl IntoIterator<Item = &'r MetadataRecord>,
    ) -> Result<(), ReplayError> {
        let mut shutting_down = BTreeSet::new();
        let mut offset = base_offset;
        for record in records {
            if let MetadataRecord::BrokerRegistrationChange(change) = record
                && change.in_controlled_shutdown == 1
            {
                shutting_down.insert(change.broker_id);
            }
            self.replay_one(offset, record)?;
            offset += 1;
        }
        for broker in shutting_down {
            // The broker may stop once all others know of the moved leaderships, which end with this batch.
            self.sessions.controlled_shutdown(broker, offset - 1);
        }
        Ok(())
    }

    fn replay_one(&mut self, offset: i64, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::Partition(_) | MetadataRecord::PartitionChange(_) => {
                let (topic, index) = match record {
                    MetadataRecord::Partition(record) => (record.topic_id, record.partition_id),
                    MetadataRecord::PartitionChange(record) => {
                        (record.topic_id, record.partition_id)
                    }
                    _ => return Ok(()),
                };
                let before = self
                    .image()
                    .partition_by_id(&topic, index)
                    .map(PartitionRef::to_owned);
                self.replayer.replay(offset, record)?;
                let after = self.replayer.image().partition_by_id(&topic, index);
                self.index.partition(
                    topic,
                    index,
                    before.as_ref().map(|partition| partition.as_ref()),
                    after,
                );
            }
            MetadataRecord::Topic(topic) => {
                self.replayer.replay(offset, record)?;
                self.index.name(&topic.name, true);
            }
            MetadataRecord::RemoveTopic(removed) => {
                let topic = self.image().topic_by_id(&removed.topic_id).cloned();
                self.replayer.replay(offset, record)?;
                if let Some(topic) = topic {
                    self.index.name(&topic.name, false);
                    for (index, partition) in topic.partitions.iter() {
                        self.index.partition(topic.id, index, Some(partition), None);
                    }
                }
            }
            MetadataRecord::RegisterBroker(_)
            | MetadataRecord::UnregisterBroker(_)
            | MetadataRecord::BrokerRegistrationChange(_) => {
                let id = match record {
                    MetadataRecord::RegisterBroker(record) => record.broker_id,
                    MetadataRecord::UnregisterBroker(record) => record.broker_id,
                    MetadataRecord::BrokerRegistrationChange(record) => record.broker_id,
                    _ => return Ok(()),
                };
                let before = self.image().broker(id).cloned();
                self.replayer.replay(offset, record)?;
                let after = self.replayer.image().broker(id);
                let directories =
                    |broker: Option<&std::sync::Arc<crate::image::BrokerRegistration>>| {
                        broker.map_or_else(Vec::new, |broker| broker.log_dirs.clone())
                    };
                self.index
                    .directories(id, &directories(before.as_ref()), &directories(after));
                self.sessions
                    .registration_changed(before.as_deref(), after.map(|broker| &**broker));
            }
            MetadataRecord::ClearElr(_) | MetadataRecord::AbortTransaction(_) => {
                // Both change many partitions at once and are rare: count anew.
                self.replayer.replay(offset, record)?;
                self.index = Index::of(self.replayer.image());
            }
            _ => self.replayer.replay(offset, record)?,
        }
        Ok(())
    }

    /// Ends a batch: the image with it, and what it changed. To be kept by the shell until the batch is
    /// committed, and only then published. `None` inside a metadata transaction.
    pub fn publish(&mut self, provenance: Provenance) -> Option<(Image, Delta)> {
        self.replayer.publish(provenance)
    }

    /// When [`Self::expire`] has something to do next: monotonic ms; `None` while nothing can expire.
    pub fn next_deadline(&self) -> Option<i64> {
        self.sessions.next_deadline(self.image())
    }

    /// `broker` is registered with this epoch.
    fn check_broker_epoch(&self, broker: i32, epoch: i64) -> Result<(), Refusal> {
        match self.image().broker(broker) {
            Some(registered) if registered.epoch == epoch => Ok(()),
            Some(registered) => Err(Refusal::new(
                ErrorCode::STALE_BROKER_EPOCH,
                format!(
                    "broker {broker} is registered with epoch {}, not {epoch}",
                    registered.epoch
                ),
            )),
            None => Err(Refusal::new(
                ErrorCode::STALE_BROKER_EPOCH,
                format!("broker {broker} is not registered"),
            )),
        }
    }

    fn partition(&self, topic: Uuid, index: i32) -> Option<(&Str, PartitionRef<'_>)> {
        let topic = self.image().topic_by_id(&topic)?;
        Some((&topic.name, topic.partition(index)?))
    }
}

#[cfg(test)]
mod tests;
