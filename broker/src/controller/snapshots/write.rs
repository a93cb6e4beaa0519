//! Writing a snapshot, batch by batch, so that neither the loop nor memory notices its size.
//!
//! Crash-atomic: `.part`, fsync, rename, fsync of the directory. What a crash leaves is removed at start.

use ottla_broker_metadata::{Image, SnapshotHead, encode_snapshot};
use ottla_broker_raft::SnapshotId;
use ottla_broker_storage::disk::{DiskOp, File, OpenMode};

use super::Finished;
use crate::controller::files::{FileError, MetadataDir};

/// Suffix of a snapshot that is being written or fetched; Kafka's.
pub(super) const PART: &str = ".part";

/// Writes `image` as the snapshot `id`. Between two batches others have their turn.
pub(super) async fn write(
    dir: &MetadataDir,
    image: &Image,
    head: &SnapshotHead,
    id: SnapshotId,
    now_ms: i64,
) -> Result<Finished, FileError> {
    let part = format!("{}{PART}", id.file_name());
    let written = write_part(dir, &part, image, head, id, now_ms).await;
    if written.is_err() {
        // The disk may be full: what was begun must not take its last room. The first error is the one to tell.
        let _ = dir.remove(&part).await;
    }
    written
}

async fn write_part(
    dir: &MetadataDir,
    name: &str,
    image: &Image,
    head: &SnapshotHead,
    id: SnapshotId,
    now_ms: i64,
) -> Result<Finished, FileError> {
    let part = File::new(dir.path(name), OpenMode::Create);
    let start = DiskOp::Truncate {
        file: part.clone(),
        len: 0,
    };
    dir.run(part.path(), vec![start]).await?;
    let records = image.to_records(image.metadata_version());
    let mut bytes = 0;
    for batch in encode_snapshot(records, head, id.epoch, now_ms) {
        let batch = batch?;
        let len = batch.len() as u64;
        let write = DiskOp::Write {
            file: part.clone(),
            at: bytes,
            slices: vec![batch],
        };
        dir.run(part.path(), vec![write]).await?;
        bytes += len;
    }
    finish(dir, part, id).await?;
    Ok(Finished {
        bytes,
        last_contained_ms: head.last_contained_log_timestamp,
    })
}

/// Makes a `.part` that is whole durable under its final name.
pub(super) async fn finish(dir: &MetadataDir, part: File, id: SnapshotId) -> Result<(), FileError> {
    let to = dir.path(&id.file_name());
    let steps = vec![
        DiskOp::SyncData(part.clone()),
        DiskOp::Close(part.clone()),
        DiskOp::Rename {
            from: part.path().to_owned(),
            to: to.clone(),
        },
        DiskOp::SyncDir(dir.path("")),
    ];
    dir.run(&to, steps).await
}
