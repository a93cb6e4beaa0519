//! A snapshot on its way from the leader: pieces by position, into a `.part` file.
//!
//! Invariant: memory holds one piece; the file gets its final name only after all of it was read again
//! and was right. Not here: the requests (observer.rs), what the snapshot means for log and image.

use bytes::Bytes;
use ottla_broker_raft::SnapshotId;
use ottla_broker_storage::disk::{DiskOp, File, OpenMode};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::fetch_snapshot_response::PartitionSnapshot;

use super::read::{self, LoadError, Loaded};
use super::write::{PART, finish};
use crate::controller::files::{FileError, MetadataDir};

/// Why a piece is not taken. The download begins again, with whatever the leader then names.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// The leader refuses: the snapshot may be gone there.
    #[error("the controller answered {0}")]
    Refused(ErrorCode),
    /// What was sent does not continue what is here.
    #[error(
        "the controller sent {bytes} bytes at position {position} of {size}; expected was position {expected}"
    )]
    OutOfPlace {
        /// Bytes sent.
        bytes: usize,
        /// Where, as told.
        position: i64,
        /// Length of the file, as told.
        size: i64,
        /// Where the next piece belongs.
        expected: u64,
    },
    /// It came whole and cannot be used.
    #[error("the snapshot that was fetched cannot be used: {0}")]
    Load(#[from] LoadError),
}

/// See the module.
pub struct Download {
    dir: MetadataDir,
    id: SnapshotId,
    /// Under another leader the same id may be another file.
    leader_epoch: i32,
    part: File,
    position: u64,
}

/// A snapshot that has arrived, under its final name.
pub struct Downloaded {
    /// Which one.
    pub id: SnapshotId,
    /// Its content.
    pub loaded: Loaded,
}

impl Download {
    /// Begins with an empty file.
    pub async fn begin(
        dir: MetadataDir,
        id: SnapshotId,
        leader_epoch: i32,
    ) -> Result<Self, FileError> {
        let part = File::new(
            dir.path(&format!("{}{PART}", id.file_name())),
            OpenMode::Create,
        );
        let empty = DiskOp::Truncate {
            file: part.clone(),
            len: 0,
        };
        dir.run(part.path(), vec![empty]).await?;
        Ok(Self {
            dir,
            id,
            leader_epoch,
            part,
            position: 0,
        })
    }

    /// Which snapshot.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// The leader's epoch in which it began.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Where the next piece begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes a piece; true when it was the last.
    pub async fn take(&mut self, answer: PartitionSnapshot) -> Result<bool, DownloadError> {
        if answer.error_code != ErrorCode::NONE {
            return Err(DownloadError::Refused(answer.error_code));
        }
        let bytes = answer
            .unaligned_records
            .map(ottla_protocol::Records::into_bytes)
            .unwrap_or_default();
        let size = u64::try_from(answer.size).unwrap_or(0);
        let end = self.position + bytes.len() as u64;
        let continues = u64::try_from(answer.position) == Ok(self.position);
        if !continues || bytes.is_empty() || end > size {
            return Err(DownloadError::OutOfPlace {
                bytes: bytes.len(),
                position: answer.position,
                size: answer.size,
                expected: self.position,
            });
        }
        self.write(bytes).await?;
        Ok(end == size)
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), FileError> {
        let len = bytes.len() as u64;
        let write = DiskOp::Write {
            file: self.part.clone(),
            at: self.position,
            slices: vec![bytes],
        };
        self.dir.run(self.part.path(), vec![write]).await?;
        self.position += len;
        Ok(())
    }

    /// Reads all of it, and makes it durable under its name.
    pub async fn finish(self) -> Result<Downloaded, DownloadError> {
        let name = format!("{}{PART}", self.id.file_name());
        let loaded = read::load(&self.dir, &name, self.id).await?;
        finish(&self.dir, self.part, self.id).await?;
        Ok(Downloaded {
            id: self.id,
            loaded,
        })
    }
}
