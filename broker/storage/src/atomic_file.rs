//! Small files as a whole: the old or the new content, never a part.
//!
//! Temporary file, write, fsync, rename, fsync of the directory. For checkpoints, quorum-state, metadata snapshots.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::disk::{Disk, DiskOp, File, Lane, OpenMode};

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// The steps that replace the file at `path` durably.
pub fn steps(path: &Path, bytes: Bytes) -> Vec<DiskOp> {
    let file = File::new(temporary(path), OpenMode::Create);
    let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
    vec![
        DiskOp::Truncate {
            file: file.clone(),
            len: 0,
        },
        DiskOp::Write {
            file: file.clone(),
            at: 0,
            slices: vec![bytes],
        },
        DiskOp::SyncData(file),
        DiskOp::Rename {
            from: temporary(path),
            to: path.to_owned(),
        },
        DiskOp::SyncDir(parent),
    ]
}

/// The file that becomes the one at `path`; open handles follow it.
pub(crate) fn temporary_file(path: &Path) -> File {
    File::new(temporary(path), OpenMode::Create)
}

/// The same steps without syncing: `file` is the [`temporary_file`], to be synced later, with the directory.
pub(crate) fn unsynced_steps(path: &Path, file: &File, bytes: Bytes) -> Vec<DiskOp> {
    vec![
        // After a write that found no space it may be open under its final name already.
        DiskOp::Close(file.clone()),
        DiskOp::Truncate {
            file: file.clone(),
            len: 0,
        },
        DiskOp::Write {
            file: file.clone(),
            at: 0,
            slices: vec![bytes],
        },
        DiskOp::Rename {
            from: temporary(path),
            to: path.to_owned(),
        },
    ]
}

/// Replaces the file at `path` durably.
pub async fn write(disk: &dyn Disk, lane: Lane, path: &Path, bytes: Bytes) -> io::Result<()> {
    disk.run_all(lane, steps(path, bytes)).await.map(drop)
}

/// Reads the file at `path` as a whole; `None` when there is none.
pub async fn read(disk: &dyn Disk, lane: Lane, path: &Path) -> io::Result<Option<Bytes>> {
    let Some(stat) = disk.stat(lane, path).await? else {
        return Ok(None);
    };
    let file = File::new(path, OpenMode::Read);
    match disk.read(lane, &file, 0, stat.len as usize).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
