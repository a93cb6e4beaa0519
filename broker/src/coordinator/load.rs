//! Reading a partition of `__consumer_offsets` into a coordinator.
//!
//! Invariant: what is applied is exactly the log up to the end offset at the time of becoming leader;
//! everything after that is written by this coordinator. A record that cannot be read fails the load:
//! serving around a hole would hand out offsets that were never committed.

use bytes::Bytes;
use ottla_broker_group::{Coordinator, GroupConfig, RecordError, Replayed};
use ottla_protocol::records::{
    BatchView, ControlError, ControlRecord, ControlType, DecompressError,
    RecordError as BatchRecordError,
};

use super::Led;
use crate::partition::scan::{ScanError, scan};
use crate::partition::{PartitionError, PartitionsHandle, Request};

/// Largest batch that is unpacked; batches of this topic are far smaller.
const UNPACKED_BYTES_MAX: usize = 100 << 20;

/// How a load ended.
pub(crate) struct Loaded {
    /// Which partition, under which epoch.
    pub led: Led,
    /// The coordinator and the offset of the next record, or why there is none.
    pub result: Result<(Coordinator, i64), LoadError>,
}

/// Why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the log is not there: {0}")]
    Partition(#[from] PartitionError),
    #[error("the log cannot be read: {0}")]
    Scan(#[from] ScanError),
    #[error("a batch cannot be unpacked: {0}")]
    Unpack(#[from] DecompressError),
    #[error("a record cannot be unpacked: {0}")]
    Batch(#[from] BatchRecordError),
    #[error(transparent)]
    Marker(#[from] ControlError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Reads the whole log of `led`.
pub(crate) async fn load(partitions: PartitionsHandle, config: GroupConfig, led: Led) -> Loaded {
    Loaded {
        led,
        result: read_all(&partitions, config, led).await,
    }
}

async fn read_all(
    partitions: &PartitionsHandle,
    config: GroupConfig,
    led: Led,
) -> Result<(Coordinator, i64), LoadError> {
    let bounds = partitions
        .ask(|reply| Request::Bounds(led.partition, reply))
        .await??;
    let mut coordinator = Coordinator::new(config);
    scan(partitions, led.partition, bounds, |batch| {
        apply(&mut coordinator, &batch)
    })
    .await?;
    Ok((coordinator, bounds.log_end))
}

fn apply(coordinator: &mut Coordinator, batch: &BatchView) -> Result<(), LoadError> {
    let header = batch.header();
    let producer_id = header
        .attributes
        .is_transactional()
        .then_some(header.producer_id);
    for record in batch.records(UNPACKED_BYTES_MAX)?.iter() {
        let record = record?;
        if header.attributes.is_control() {
            match ControlRecord::parse(&record)?.control_type {
                ControlType::Commit => coordinator.replay_marker(header.producer_id, true),
                ControlType::Abort => coordinator.replay_marker(header.producer_id, false),
                _ => {}
            }
            continue;
        }
        let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
        let value = record.value.map(Bytes::copy_from_slice);
        let replayed = coordinator.replay(record.offset, producer_id, &key, value.as_ref())?;
        if let Replayed::Ignored { record_type } = replayed {
            tracing::warn!(
                offset = record.offset,
                record_type,
                "passing over a group record of a kind that is not served"
            );
        }
    }
    Ok(())
}
