//! Why a log directory cannot be used, with what to do about it.

use std::io;
use std::path::PathBuf;

use crate::entry::Undecodable;
use crate::layout::Malformed;

/// Each text names the directory, the cause and the next step.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Two processes, one directory.
    #[error("{} is in use by another process (its .lock is held): stop that one, or give this one a directory of its own", path.display())]
    Locked {
        /// Directory.
        path: PathBuf,
    },
    /// It may not be written to.
    #[error("{} cannot be written to ({error}): check its owner, its mode and how the file system is mounted", path.display())]
    NotWritable {
        /// Directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not this cluster's.
    #[error("{} belongs to cluster {found}, not to {expected}: check log.dirs and the cluster id", path.display())]
    OtherCluster {
        /// Directory.
        path: PathBuf,
        /// In `meta.properties`.
        found: String,
        /// Of this process.
        expected: String,
    },
    /// Not this node's.
    #[error("{} belongs to node {found}, not to {expected}: check log.dirs and node.id", path.display())]
    OtherNode {
        /// Directory.
        path: PathBuf,
        /// In `meta.properties`.
        found: i32,
        /// Of this process.
        expected: i32,
    },
    /// Something lies there that is nobody's log directory.
    #[error("{} holds {example:?} but no meta.properties: if it is a broker's, restore that file from a copy; else choose a directory that is empty", path.display())]
    NotALogDir {
        /// Directory.
        path: PathBuf,
        /// One of its names.
        example: String,
    },
    /// `meta.properties` under both of its names.
    #[error("{} has both meta.properties and meta.properties.ottla: if Apache Kafka ran on it last remove the latter, else the former", path.display())]
    TwoMetas {
        /// Directory.
        path: PathBuf,
    },
    /// `meta.properties` cannot be understood.
    #[error("{}: {error}: restore the file from a copy; cluster.id, node.id and directory.id must be what they were", path.display())]
    Meta {
        /// File.
        path: PathBuf,
        /// Why.
        error: Malformed,
    },
    /// The manifest is missing or damaged, so that a lost log could not be told from an empty one.
    #[error("{}: {error}: restore the file from a copy, or remove the directory if its replicas live elsewhere", path.display())]
    Manifest {
        /// File.
        path: PathBuf,
        /// Why.
        error: Undecodable,
    },
    /// No space, and something must be written.
    #[error("{} is full: free some space", path.display())]
    Full {
        /// Directory.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("{} is out of use ({reason}): check the disk, then restart", path.display())]
    Dead {
        /// Directory.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// Logs are damaged, so the directory is not handed to Apache Kafka, which would cut them.
    #[error("{} has damaged logs and stays closed to Apache Kafka: {logs}", path.display())]
    Damaged {
        /// Directory.
        path: PathBuf,
        /// Their damage.
        logs: String,
    },
    /// Anything else that the disk refused.
    #[error("{doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl DirError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, error: io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, error }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { doing, path, error },
        }
    }
}
