//! What this node knows of the cluster's metadata when it starts: its newest whole snapshot, and the log
//! behind it.
//!
//! Invariant: nothing that a snapshot held is silently missed. A damaged one is named and set aside, and
//! an older one (or none) stands in for it only where the log has all that follows; else the node does
//! not start, because metadata that looks empty would take every partition's directory away.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ottla_broker_metadata::{Image, Provenance, Replayer};
use ottla_broker_raft::{EpochStart, Epochs, LogBounds, SnapshotId, VoterSet};
use ottla_broker_storage::disk::DiskOp;

use super::Finished;
use super::read::{self, LoadError, Loaded};
use super::write::PART;
use crate::controller::METADATA_PARTITION;
use crate::controller::files::{FileError, MetadataDir};
use crate::controller::log::{self, MetadataLogError};
use crate::partition::scan::{ScanError, scan};
use crate::partition::{self, PartitionError, PartitionsHandle, Request, StartAt};

/// Of a snapshot that Kafka was deleting when it stopped.
const DELETED: &str = ".deleted";
/// Of a snapshot that cannot be read; neither Kafka nor we take it for one.
const DAMAGED: &str = ".damaged";

/// Why the metadata cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log refuses.
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    /// The owner of the log refuses.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// A snapshot of a newer version, or one that contradicts itself.
    #[error("{path}: {source}")]
    NotUnderstood {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// Records are missing, and with them perhaps whole topics.
    #[error(
        "the metadata cannot be loaded: {reason}. On a broker that is not a controller, move the directory __cluster_metadata-0 away and start again: it is fetched from the controller. On a controller, bring the file back from a copy"
    )]
    Missing {
        /// What is missing.
        reason: String,
    },
}

/// Metadata as this disk has it.
pub struct Recovered {
    /// Snapshot and log, replayed.
    pub replayer: Replayer,
    /// The last record replayed.
    pub provenance: Provenance,
    /// The newest voters in snapshot or log.
    pub voters: Option<VoterSet>,
    /// The log, for consensus.
    pub bounds: LogBounds,
    /// Snapshots that are whole.
    pub snapshots: BTreeMap<SnapshotId, Finished>,
    /// Bytes of the log behind the newest of them.
    pub record_bytes: u64,
}

/// Loads the newest whole snapshot and replays the log behind it.
pub async fn recover(
    dir: &MetadataDir,
    partitions: &PartitionsHandle,
) -> Result<Recovered, RecoverError> {
    let ids = tidy(dir).await?;
    let found = newest_whole(dir, &ids).await?;
    let mut log = Log::of(partitions).await?;
    if let Some((id, _)) = &found.whole
        && found.damaged.is_empty()
        && log.is_overtaken_by(*id)
    {
        // A crash between a snapshot's arrival and the log's new beginning.
        tracing::info!(snapshot = %id, "the metadata log goes on behind the snapshot that was fetched");
        log = log.start_at(partitions, *id).await?;
    }
    log.must_follow(&found)?;
    set_aside(dir, &found.damaged).await?;
    let snapshots = with_older(dir, &ids, &found).await?;
    let mut recovered = Recovered {
        replayer: Replayer::new(Image::default()),
        provenance: Provenance::default(),
        voters: None,
        bounds: LogBounds {
            start: log.bounds.log_start,
            end: log.bounds.log_end,
            flushed: log.bounds.log_end,
            epochs: log.epochs,
            snapshot: snapshots.last_key_value().map(|(id, _)| *id),
            oldest_snapshot: snapshots.first_key_value().map(|(id, _)| *id),
        },
        snapshots,
        record_bytes: 0,
    };
    let mut bounds = log.bounds;
    if let Some((id, loaded)) = found.whole {
        bounds.log_start = id.end_offset;
        recovered.replayer = loaded.replayer;
        recovered.provenance = loaded.provenance;
        recovered.voters = loaded.voters;
    }
    recovered.replay(partitions, bounds).await?;
    Ok(recovered)
}

impl Recovered {
    async fn replay(
        &mut self,
        partitions: &PartitionsHandle,
        bounds: partition::LogBounds,
    ) -> Result<(), MetadataLogError> {
        scan(partitions, METADATA_PARTITION, bounds, |batch| {
            let header = batch.header();
            if header.base_offset < bounds.log_start {
                return Err(MetadataLogError::Scan(ScanError::Read {
                    offset: bounds.log_start,
                    reason: format!(
                        "the snapshot ends inside the batch that begins at {}",
                        header.base_offset
                    ),
                }));
            }
            self.provenance = Provenance {
                offset: header.last_offset(),
                epoch: header.partition_leader_epoch,
                timestamp_ms: header.max_timestamp,
            };
            self.record_bytes += batch.size() as u64;
            let epochs = &mut self.bounds.epochs;
            epochs.assign(header.partition_leader_epoch, header.base_offset);
            if let Some(voters) = log::apply(&mut self.replayer, &batch)? {
                self.voters = Some(voters);
            }
            Ok(())
        })
        .await
    }
}

/// Removes what was left half made; names the snapshots that are there, oldest first.
async fn tidy(dir: &MetadataDir) -> Result<Vec<SnapshotId>, FileError> {
    let mut ids = Vec::new();
    for name in dir.names().await? {
        let stem = name.strip_suffix(PART).or(name.strip_suffix(DELETED));
        if stem.is_some_and(|stem| stem.parse::<SnapshotId>().is_ok()) {
            dir.remove(&name).await?;
        }
        ids.extend(
            name.parse()
                .ok()
                .filter(|id: &SnapshotId| *id != SnapshotId::BOOTSTRAP),
        );
    }
    ids.sort_unstable();
    Ok(ids)
}

struct Found {
    whole: Option<(SnapshotId, Loaded)>,
    /// Newer than the whole one.
    damaged: Vec<SnapshotId>,
}

async fn newest_whole(dir: &MetadataDir, ids: &[SnapshotId]) -> Result<Found, RecoverError> {
    let mut damaged = Vec::new();
    for id in ids.iter().rev() {
        match read::load(dir, &id.file_name(), *id).await {
            Ok(loaded) => {
                let whole = Some((*id, loaded));
                return Ok(Found { whole, damaged });
            }
            Err(LoadError::File(error)) => return Err(error.into()),
            // An older one would say the same.
            Err(source) if source.is_not_understood() => {
                let path = dir.path(&id.file_name());
                return Err(RecoverError::NotUnderstood { path, source });
            }
            Err(error) => {
                let file = dir.path(&id.file_name());
                tracing::error!(file = %file.display(), %error, "a metadata snapshot is damaged");
                damaged.push(*id);
            }
        }
    }
    Ok(Found {
        whole: None,
        damaged,
    })
}

/// Out of the way, but kept for who wants to look.
async fn set_aside(dir: &MetadataDir, damaged: &[SnapshotId]) -> Result<(), FileError> {
    for id in damaged {
        let from = dir.path(&id.file_name());
        let to = dir.path(&format!("{}{DAMAGED}", id.file_name()));
        tracing::warn!(file = %to.display(), "going on with an older snapshot and the log; the damaged one is set aside");
        let steps = vec![
            DiskOp::Rename {
                from: from.clone(),
                to,
            },
            DiskOp::SyncDir(dir.path("")),
        ];
        dir.run(&from, steps).await?;
    }
    Ok(())
}

/// The loaded snapshot and those before it that are still kept.
async fn with_older(
    dir: &MetadataDir,
    ids: &[SnapshotId],
    found: &Found,
) -> Result<BTreeMap<SnapshotId, Finished>, RecoverError> {
    let mut finished = BTreeMap::new();
    let Some((newest, loaded)) = &found.whole else {
        return Ok(finished);
    };
    finished.insert(*newest, loaded.finished);
    for id in ids.iter().filter(|id| *id < newest) {
        match read::finished(dir, &id.file_name()).await {
            Ok(older) => {
                finished.insert(*id, older);
            }
            Err(LoadError::File(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(snapshot = %id, %error, "an older metadata snapshot is damaged");
                set_aside(dir, &[*id]).await?;
            }
        }
    }
    Ok(finished)
}

struct Log {
    bounds: partition::LogBounds,
    epochs: Epochs,
}

impl Log {
    async fn of(partitions: &PartitionsHandle) -> Result<Self, PartitionError> {
        let bounds = partitions
            .ask(|reply| Request::Bounds(METADATA_PARTITION, reply))
            .await??;
        let epochs = partitions
            .ask(|reply| Request::Epochs(METADATA_PARTITION, reply))
            .await??;
        // An epoch that began at the end has no record: it says nothing about what is in the log.
        let starts = epochs
            .into_iter()
            .filter(|(_, start)| *start < bounds.log_end)
            .map(|(epoch, start)| EpochStart { epoch, start });
        Ok(Self {
            bounds,
            epochs: Epochs::new(starts),
        })
    }

    /// The log ends before the snapshot does, or is of another history.
    fn is_overtaken_by(&self, snapshot: SnapshotId) -> bool {
        let is_older = |latest: EpochStart| latest.epoch < snapshot.epoch;
        self.bounds.log_end < snapshot.end_offset || self.epochs.latest().is_some_and(is_older)
    }

    async fn start_at(
        self,
        partitions: &PartitionsHandle,
        snapshot: SnapshotId,
    ) -> Result<Self, PartitionError> {
        let offset = snapshot.end_offset;
        partitions
            .ask(|reply| {
                Request::StartAt(StartAt {
                    partition: METADATA_PARTITION,
                    offset,
                    reply,
                })
            })
            .await??;
        Self::of(partitions).await
    }

    /// Errors: between the snapshot that could be read and the log's end records are missing.
    fn must_follow(&self, found: &Found) -> Result<(), RecoverError> {
        let (start, end) = (self.bounds.log_start, self.bounds.log_end);
        let loaded_to = found.whole.as_ref().map_or(0, |(id, _)| id.end_offset);
        let promised_to = found.damaged.iter().map(|id| id.end_offset).max();
        let damaged = || {
            let names: Vec<String> = found.damaged.iter().map(|id| id.file_name()).collect();
            match &names[..] {
                [] => "there is no snapshot of them".to_owned(),
                names => format!("{} is damaged", names.join(", ")),
            }
        };
        let reason = if start > loaded_to {
            format!(
                "the metadata log begins at offset {start}, records {loaded_to} to {start} are missing, and {}",
                damaged()
            )
        } else if end < promised_to.unwrap_or(loaded_to) {
            format!(
                "the metadata log ends at offset {end}, before what a snapshot holds, and {}",
                damaged()
            )
        } else {
            return Ok(());
        };
        Err(RecoverError::Missing { reason })
    }
}
