//! The files of the metadata log that are not segments: `quorum-state`, and the checkpoint with the
//! voters that a format leaves. Written by rename, so that a crash leaves the old or the new one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_metadata::{EncodeBatchError, VersionedRecord};
use ottla_broker_raft::{QuorumState, QuorumStateError, SnapshotId, VoterSet};
use ottla_broker_storage::atomic_file;
use ottla_broker_storage::disk::{Disk, DiskOp, File, Lane, OpenMode};
use ottla_protocol::messages::kraft_version_record::KRaftVersionRecord;
use ottla_protocol::messages::snapshot_footer_record::SnapshotFooterRecord;
use ottla_protocol::messages::snapshot_header_record::SnapshotHeaderRecord;
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::{BatchOptions, ControlRecord, ControlType, batches, control_batch};
use ottla_protocol::{DecodeError, EncodeError};

use super::log::{KRAFT_VERSION, batch_of, encode, voters_of};

/// Name of the metadata topic.
pub const METADATA_TOPIC: &str = "__cluster_metadata";
const QUORUM_STATE: &str = "quorum-state";
/// In the log directory itself, not in the metadata log's.
const BOOTSTRAP_CHECKPOINT: &str = "bootstrap.checkpoint";
/// Largest file of this kind that is read.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk refuses.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The vote of this node cannot be known.
    #[error("{path}: {source}")]
    QuorumState {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: QuorumStateError,
    },
    /// A checkpoint has no known form.
    #[error("{path} cannot be read: {reason}")]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A record cannot be written.
    #[error("cannot write a checkpoint: {0}")]
    Encode(#[from] EncodeError),
    /// A batch of a snapshot cannot be written.
    #[error("cannot write a snapshot: {0}")]
    EncodeBatch(#[from] EncodeBatchError),
}

/// The directory of the metadata log; cheap to clone.
#[derive(Clone)]
pub struct MetadataDir {
    disk: Arc<dyn Disk>,
    log_dir: PathBuf,
}

impl MetadataDir {
    /// Within a log directory.
    pub fn new(disk: Arc<dyn Disk>, log_dir: PathBuf) -> Self {
        Self { disk, log_dir }
    }

    /// Where the file `name` of the metadata log lies.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.log_dir.join(format!("{METADATA_TOPIC}-0")).join(name)
    }

    /// Names of the files beside the segments; none when there is no directory yet.
    pub(super) async fn names(&self) -> Result<Vec<String>, FileError> {
        let path = self.log_dir.join(format!("{METADATA_TOPIC}-0"));
        match self.disk.list(Lane::Any, path.clone()).await {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(FileError::Io { path, source }),
        }
    }

    /// Up to `len` bytes of a file at `position`, fewer at its end; `None` when there is no such file.
    pub(super) async fn read_at(
        &self,
        name: &str,
        position: u64,
        len: usize,
    ) -> Result<Option<Bytes>, FileError> {
        let path = self.path(name);
        let file = File::new(path.clone(), OpenMode::Read);
        match self.disk.read(Lane::Any, &file, position, len).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read.map_err(|source| FileError::Io { path, source })?)),
        }
    }

    /// Length of a file; 0 when there is none.
    pub(super) async fn len(&self, name: &str) -> Result<u64, FileError> {
        let path = self.path(name);
        let stat = self.disk.stat(Lane::Any, path.clone()).await;
        let stat = stat.map_err(|source| FileError::Io { path, source })?;
        Ok(stat.map_or(0, |stat| stat.len))
    }

    /// Removes a file, if it is there.
    pub(super) async fn remove(&self, name: &str) -> Result<(), FileError> {
        let path = self.path(name);
        let removed = self
            .disk
            .run(Lane::Any, DiskOp::RemoveFile(path.clone()))
            .await;
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::Io {
                path,
                source: error,
            }),
            _ => Ok(()),
        }
    }

    /// Runs steps about the file at `path`, one after the other.
    pub(super) async fn run(
        &self,
        path: &std::path::Path,
        steps: Vec<DiskOp>,
    ) -> Result<(), FileError> {
        let ran = self.disk.run_all(Lane::Any, steps).await;
        ran.map(drop).map_err(|source| FileError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// What this node remembers of elections; the default when there is no file yet.
    pub async fn read_quorum_state(&self) -> Result<QuorumState, FileError> {
        let path = self.path(QUORUM_STATE);
        let Some(bytes) = self.read(&path).await? else {
            return Ok(QuorumState::default());
        };
        let text = String::from_utf8_lossy(&bytes);
        QuorumState::parse(&text).map_err(|source| FileError::QuorumState { path, source })
    }

    /// Makes `state` durable.
    pub async fn write_quorum_state(&self, state: QuorumState) -> Result<(), FileError> {
        self.write(self.path(QUORUM_STATE), Bytes::from(state.to_json()))
            .await
    }

    /// Voters of the bootstrap checkpoint `0-0.checkpoint`, if there is one.
    pub async fn read_bootstrap_voters(&self) -> Result<Option<VoterSet>, FileError> {
        let path = self.path(&SnapshotId::BOOTSTRAP.file_name());
        let Some(bytes) = self.read(&path).await? else {
            return Ok(None);
        };
        let failed = |reason: String| FileError::Checkpoint {
            path: path.clone(),
            reason,
        };
        for batch in batches(bytes) {
            let batch = batch.map_err(|error| failed(error.to_string()))?;
            if !batch.header().attributes.is_control() {
                continue;
            }
            for record in batch
                .records(FILE_BYTES_MAX)
                .map_err(|error| failed(error.to_string()))?
                .iter()
            {
                let record = record.map_err(|error| failed(error.to_string()))?;
                let control =
                    ControlRecord::parse(&record).map_err(|error| failed(error.to_string()))?;
                if control.control_type == ControlType::KRaftVoters {
                    let voters = voters_of(control.value)
                        .map_err(|error: DecodeError| failed(error.to_string()))?;
                    return Ok(Some(voters));
                }
            }
        }
        Ok(None)
    }

    /// Writes the bootstrap checkpoint of a new quorum: kraft.version and the voters.
    pub async fn write_bootstrap_voters(
        &self,
        voters: &VoterSet,
        now_ms: i64,
    ) -> Result<(), FileError> {
        let header = SnapshotHeaderRecord {
            version: 0,
            last_contained_log_timestamp: 0,
            ..Default::default()
        };
        let version = KRaftVersionRecord {
            version: 0,
            kraft_version: KRAFT_VERSION,
            ..Default::default()
        };
        let footer = SnapshotFooterRecord {
            version: 0,
            ..Default::default()
        };
        let opening = [
            (ControlType::SnapshotHeader, encode(&header, 0)?),
            (ControlType::KRaftVersion, encode(&version, 0)?),
            (ControlType::KRaftVoters, encode(&voters.to_record(), 0)?),
        ];
        let opening: Vec<(ControlType, &[u8])> = opening
            .iter()
            .map(|(kind, value)| (*kind, &value[..]))
            .collect();
        let closing = encode(&footer, 0)?;
        let first = control_batch(
            BatchOptions {
                partition_leader_epoch: 0,
                ..Default::default()
            },
            now_ms,
            &opening,
        );
        let last = control_batch(
            BatchOptions {
                base_offset: opening.len() as i64,
                partition_leader_epoch: 0,
                ..Default::default()
            },
            now_ms,
            &[(ControlType::SnapshotFooter, &closing[..])],
        );
        self.write(
            self.path(&SnapshotId::BOOTSTRAP.file_name()),
            Bytes::from([first, last].concat()),
        )
        .await
    }

    /// Records of `bootstrap.checkpoint`; `None` when there is no file.
    pub async fn read_bootstrap_records(&self) -> Result<Option<Vec<VersionedRecord>>, FileError> {
        let path = self.log_dir.join(BOOTSTRAP_CHECKPOINT);
        let Some(bytes) = self.read(&path).await? else {
            return Ok(None);
        };
        let failed = |reason: String| FileError::Checkpoint {
            path: path.clone(),
            reason,
        };
        let mut records = Vec::new();
        for batch in batches(bytes) {
            let batch = batch.map_err(|error| failed(error.to_string()))?;
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch
                .records(FILE_BYTES_MAX)
                .map_err(|error| failed(error.to_string()))?
                .iter()
            {
                let record = record.map_err(|error| failed(error.to_string()))?;
                let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                let (_, version) = MetadataRecord::type_and_version(&value)
                    .map_err(|error| failed(error.to_string()))?;
                let record =
                    MetadataRecord::decode(value).map_err(|error| failed(error.to_string()))?;
                records.push(VersionedRecord::new(record, version));
            }
        }
        Ok(Some(records))
    }

    /// Writes `bootstrap.checkpoint`.
    pub async fn write_bootstrap_records(
        &self,
        records: &[VersionedRecord],
        now_ms: i64,
    ) -> Result<(), FileError> {
        let header = encode(
            &SnapshotHeaderRecord {
                version: 0,
                ..Default::default()
            },
            0,
        )?;
        let footer = encode(
            &SnapshotFooterRecord {
                version: 0,
                ..Default::default()
            },
            0,
        )?;
        let at = |base_offset| BatchOptions {
            base_offset,
            partition_leader_epoch: 0,
            ..Default::default()
        };
        let count = records.len() as i64;
        let file = [
            control_batch(at(0), now_ms, &[(ControlType::SnapshotHeader, &header[..])]),
            batch_of(records, 0, 1, now_ms)?.to_bytes(),
            control_batch(
                at(1 + count),
                now_ms,
                &[(ControlType::SnapshotFooter, &footer[..])],
            ),
        ];
        self.write(
            self.log_dir.join(BOOTSTRAP_CHECKPOINT),
            Bytes::from(file.concat()),
        )
        .await
    }

    async fn read(&self, path: &std::path::Path) -> Result<Option<Bytes>, FileError> {
        let read = atomic_file::read(&*self.disk, Lane::Any, path).await;
        read.map_err(|source| FileError::Io {
            path: path.to_owned(),
            source,
        })
    }

    async fn write(&self, path: PathBuf, content: Bytes) -> Result<(), FileError> {
        let failed = |source| FileError::Io {
            path: path.clone(),
            source,
        };
        let parent = path.parent().unwrap_or(&self.log_dir).to_owned();
        let steps = vec![
            DiskOp::CreateDir(parent),
            DiskOp::SyncDir(self.log_dir.clone()),
        ];
        self.disk.run_all(Lane::Any, steps).await.map_err(failed)?;
        atomic_file::write(&*self.disk, Lane::Any, &path, content)
            .await
            .map_err(failed)
    }
}
