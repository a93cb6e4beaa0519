//! Typed calls over [`Disk::submit`]: each awaits its own kind of outcome.
//!
//! An outcome of the wrong kind is a broken disk implementation and comes back as an error, not a panic.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{DirEntry, Disk, DiskOp, DiskOutcome, File, FileStat, Lane, Space};

fn wrong(outcome: DiskOutcome) -> io::Error {
    io::Error::other(format!(
        "the disk answered with the wrong kind of outcome: {outcome:?}"
    ))
}

impl dyn Disk + '_ {
    /// Runs an operation that has nothing to tell.
    pub async fn run(&self, lane: Lane, op: DiskOp) -> io::Result<()> {
        match self.submit(lane, op).await? {
            DiskOutcome::Done => Ok(()),
            other => Err(wrong(other)),
        }
    }

    /// Runs steps in order on one thread; the first error ends it and is returned.
    pub async fn run_all(&self, lane: Lane, steps: Vec<DiskOp>) -> io::Result<Vec<DiskOutcome>> {
        match self.submit(lane, DiskOp::Sequence(steps)).await? {
            DiskOutcome::Sequence { done, failed: None } => Ok(done),
            DiskOutcome::Sequence {
                failed: Some(error),
                ..
            } => Err(error),
            other => Err(wrong(other)),
        }
    }

    /// Reads up to `len` bytes at `at`; fewer at the end of the file.
    pub async fn read(&self, lane: Lane, file: &File, at: u64, len: usize) -> io::Result<Bytes> {
        match self
            .submit(
                lane,
                DiskOp::Read {
                    file: file.clone(),
                    at,
                    len,
                },
            )
            .await?
        {
            DiskOutcome::Data(bytes) => Ok(bytes),
            other => Err(wrong(other)),
        }
    }

    /// Names in a directory, sorted.
    pub async fn list(&self, lane: Lane, path: impl Into<PathBuf>) -> io::Result<Vec<DirEntry>> {
        match self.submit(lane, DiskOp::List(path.into())).await? {
            DiskOutcome::Entries(entries) => Ok(entries),
            other => Err(wrong(other)),
        }
    }

    /// What is at a path; `None` when there is nothing.
    pub async fn stat(&self, lane: Lane, path: impl Into<PathBuf>) -> io::Result<Option<FileStat>> {
        match self.submit(lane, DiskOp::Stat(path.into())).await? {
            DiskOutcome::Stat(stat) => Ok(stat),
            other => Err(wrong(other)),
        }
    }

    /// Space of the file system under `path`.
    pub async fn space(&self, lane: Lane, path: &Path) -> io::Result<Space> {
        match self.submit(lane, DiskOp::Space(path.to_owned())).await? {
            DiskOutcome::Space(space) => Ok(space),
            other => Err(wrong(other)),
        }
    }
}
