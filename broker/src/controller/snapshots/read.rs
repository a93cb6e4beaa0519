//! Reading a snapshot file front to back, in bounded memory.
//!
//! Invariant: nothing of a file counts before its footer was read and every checksum was right.

use bytes::BytesMut;
use ottla_broker_metadata::{
    DecodeBatchError, Provenance, Replayer, SnapshotError, SnapshotReader,
};
use ottla_broker_raft::{SnapshotId, VoterSet};
use ottla_protocol::records::{BatchView, batches};

use super::Finished;
use crate::controller::files::{FileError, MetadataDir};
use crate::controller::log::MetadataLogError;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// Largest batch that is read: Kafka writes at most 8 MiB.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Bytes of a batch before and with its length field.
const LENGTH_END: usize = 12;

/// Why a snapshot is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bytes are no whole snapshot.
    #[error(transparent)]
    Damaged(#[from] SnapshotError),
    /// The file ends in the middle of a batch, or a batch has no possible length.
    #[error("a batch at position {position} is cut off or has no possible length")]
    Cut {
        /// Where the batch begins.
        position: u64,
    },
    /// Its records do not make an image.
    #[error(transparent)]
    Records(#[from] MetadataLogError),
    /// The records end inside a metadata transaction.
    #[error("the records of the snapshot end inside a metadata transaction")]
    InTransaction,
}

impl LoadError {
    /// The bytes are as they were written, but this build cannot go by them: no other copy helps.
    pub fn is_not_understood(&self) -> bool {
        let unknown = matches!(
            self,
            Self::Damaged(SnapshotError::Records(DecodeBatchError::Unknown { .. }))
        );
        unknown || matches!(self, Self::Records(_))
    }
}

/// A snapshot, read.
pub struct Loaded {
    /// Its records, replayed.
    pub replayer: Replayer,
    /// Where it stands in the log.
    pub provenance: Provenance,
    /// The voters, from kraft.version 1 on.
    pub voters: Option<VoterSet>,
    /// Its file.
    pub finished: Finished,
}

/// Reads the file `name` as the snapshot `id`.
pub(super) async fn load(
    dir: &MetadataDir,
    name: &str,
    id: SnapshotId,
) -> Result<Loaded, LoadError> {
    let mut reader = SnapshotReader::new();
    let mut replayer = Replayer::default();
    let offset = id.end_offset - 1;
    let bytes = each_batch(dir, name, |batch| {
        for record in reader.batch(batch)? {
            replayer
                .replay(offset, &record)
                .map_err(|source| MetadataLogError::Replay { offset, source })?;
        }
        Ok(())
    })
    .await?;
    let head = reader.finish()?;
    if replayer.open_transaction().is_some() {
        return Err(LoadError::InTransaction);
    }
    Ok(Loaded {
        replayer,
        provenance: Provenance {
            offset,
            epoch: id.epoch,
            timestamp_ms: head.last_contained_log_timestamp,
        },
        voters: head.voters.as_ref().map(VoterSet::from_record),
        finished: Finished {
            bytes,
            last_contained_ms: head.last_contained_log_timestamp,
        },
    })
}

/// What there is to know of a snapshot without reading all of it. Errors: it has no header.
pub(super) async fn finished(dir: &MetadataDir, name: &str) -> Result<Finished, LoadError> {
    let front = dir.read_at(name, 0, READ_BYTES).await?.unwrap_or_default();
    let first = batches(front).next().ok_or(SnapshotError::NoHeader)?;
    let mut reader = SnapshotReader::new();
    reader.batch(&first.map_err(SnapshotError::Batch)?)?;
    let head = reader.head().ok_or(SnapshotError::NoHeader)?;
    Ok(Finished {
        bytes: dir.len(name).await?,
        last_contained_ms: head.last_contained_log_timestamp,
    })
}

/// Hands every batch to `each`; returns the length of the file.
async fn each_batch(
    dir: &MetadataDir,
    name: &str,
    mut each: impl FnMut(&BatchView) -> Result<(), LoadError>,
) -> Result<u64, LoadError> {
    let mut unread = BytesMut::new();
    let mut position = 0;
    loop {
        let at = position + unread.len() as u64;
        let read = dir.read_at(name, at, READ_BYTES).await?.unwrap_or_default();
        if read.is_empty() {
            return match unread.is_empty() {
                true => Ok(position),
                false => Err(LoadError::Cut { position }),
            };
        }
        unread.extend_from_slice(&read);
        while let Some(len) = length_of_first(&unread) {
            if len > BATCH_BYTES_MAX {
                return Err(LoadError::Cut { position });
            }
            if unread.len() < len {
                break;
            }
            let batch =
                BatchView::new(unread.split_to(len).freeze()).map_err(SnapshotError::Batch)?;
            each(&batch)?;
            position += len as u64;
        }
    }
}

/// Length of the batch that begins here; `None` while too little of it is there to tell. A length that
/// cannot be comes back larger than any that is read.
fn length_of_first(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(8..LENGTH_END)?;
    let length = i32::from_be_bytes(length.try_into().expect("four bytes were taken"));
    Some(usize::try_from(length).map_or(usize::MAX, |length| length.saturating_add(LENGTH_END)))
}
