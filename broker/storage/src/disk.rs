//! The seam between storage and a disk: operations are submitted, completions come back.
//!
//! Two sides implement [`Disk`]: real files on dedicated I/O threads ([`files::FileDisk`]) and the
//! simulated disk of the simulator. Everything in this crate that touches a disk goes through it.
//!
//! # What every implementation promises
//! *Order.* Operations of one ordered [`Lane`] run one after the other, in the order of submission,
//! each finished before the next begins. Lanes know nothing of each other. `Lane::Any` has no order.
//! *Visibility.* A finished write, truncate, rename or remove is seen by every later operation.
//! *Durability.* Until synced, nothing is: after a power cut any subset of the unsynced writes of a
//! file may have survived, each possibly torn at 512-byte sectors. `SyncData(file)` makes all
//! finished writes of that *file* (whoever wrote them, through whichever handle) and its length
//! durable; it does not make its *name* durable. Creating, renaming and removing become durable with
//! `SyncDir` of each parent directory; before that either the old or the new state may be found, and
//! a rename is never found half done. Writes to a direct file need `SyncData` like all others.
//! *Errors.* A failed `SyncData` or `SyncDir` leaves the unsynced data undefined for ever: the
//! caller must give up the log directory and never retry. A failed write may have written a part.
//! *Cancellation.* Dropping a [`Completion`] does not take the operation back.
//!
//! Not here: what is written (commit log, segments), threads (files.rs), time.

mod calls;
mod completion;
pub mod files;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

pub use completion::{Completer, Completion, block_on};

/// Block size of direct files: position, length and count of their reads and writes are multiples of it.
pub const DIRECT_BLOCK: usize = 4096;

/// A place where operations are submitted. Shared as `Arc<dyn Disk>`.
pub trait Disk: Send + Sync {
    /// Queues `op` on `lane` and returns at once; never blocks on I/O and never fails by itself.
    fn submit(&self, lane: Lane, op: DiskOp) -> Completion;
}

/// Which queue an operation waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// One thread per number: strictly in order of submission. A committer takes one for its commit
    /// log and one for the write-out behind it, so that a slow write-out never delays a commit.
    Ordered(u32),
    /// A small pool, no order: cold reads, checkpoints, listing, removal.
    Any,
}

/// How a file is opened when it is first used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reads only.
    Read,
    /// Must exist; reads and writes through the page cache.
    Write,
    /// Created when absent; reads and writes through the page cache.
    Create,
    /// Created when absent; bypasses the page cache where the file system can. Positions and lengths
    /// of reads and writes are multiples of [`DIRECT_BLOCK`]; memory need not be aligned.
    CreateDirect,
}

/// A file by name, opened by the disk at first use and kept open until [`DiskOp::Close`] or until the
/// last clone is dropped. Making one costs no I/O and no descriptor, so idle partitions cost none.
/// A handle that is open follows its file through renames; one that is not opens by its old path.
#[derive(Clone)]
pub struct File(Arc<FileState>);

struct FileState {
    path: PathBuf,
    mode: OpenMode,
    slot: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

impl File {
    /// Names a file without touching the disk.
    pub fn new(path: impl Into<PathBuf>, mode: OpenMode) -> Self {
        Self(Arc::new(FileState {
            path: path.into(),
            mode,
            slot: Mutex::new(None),
        }))
    }

    /// The path given at construction.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How the file is to be opened.
    pub fn mode(&self) -> OpenMode {
        self.0.mode
    }

    /// For disk implementations: their open file behind this handle, if there is one.
    pub fn open_state(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0
            .slot
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// For disk implementations: remembers (or with `None` forgets) the open file behind this handle.
    pub fn set_open_state(&self, state: Option<Arc<dyn Any + Send + Sync>>) {
        *self
            .0
            .slot
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = state;
    }

    /// True when both are clones of one handle.
    pub fn same_handle(&self, other: &File) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, {:?})", self.0.path.display(), self.0.mode)
    }
}

/// Everything that storage asks of a disk.
#[derive(Clone, Debug)]
pub enum DiskOp {
    /// Opens now what would be opened at first use, so that an error is seen here. → `Done`
    Open(File),
    /// Gives the descriptor back; the handle may be used again. Never sent while the file has unsynced
    /// writes, because a write-back error would be reported to nobody. → `Done`
    Close(File),
    /// Reads up to `len` bytes at `at`; fewer at the end of the file, none behind it. → `Data`
    Read {
        /// From which file.
        file: File,
        /// First byte.
        at: u64,
        /// Most bytes.
        len: usize,
    },
    /// Writes all slices one after the other, beginning at `at`; the file grows as needed. → `Done`
    Write {
        /// To which file.
        file: File,
        /// Position of the first byte of the first slice.
        at: u64,
        /// What to write, gathered.
        slices: Vec<Bytes>,
    },
    /// fdatasync. → `Done`
    SyncData(File),
    /// Sets the length; a longer file reads zeros behind the old end. → `Done`
    Truncate {
        /// Which file.
        file: File,
        /// New length in bytes.
        len: u64,
    },
    /// Makes `at..at + len` hold *written* zeros (not a hole, not an unwritten extent: the first
    /// write into those costs a journal commit at fdatasync). → `Done`
    Zero {
        /// Which file.
        file: File,
        /// First byte.
        at: u64,
        /// Number of bytes.
        len: u64,
    },
    /// fsync of a directory: names in it. → `Done`
    SyncDir(PathBuf),
    /// Creates a directory whose parent exists; one that exists already is fine. → `Done`
    CreateDir(PathBuf),
    /// Renames a file or directory; an existing *file* at `to` is replaced atomically. → `Done`
    Rename {
        /// Old path.
        from: PathBuf,
        /// New path.
        to: PathBuf,
    },
    /// Removes a file. → `Done`; `NotFound` when there is none
    RemoveFile(PathBuf),
    /// Removes a directory with all that is in it. → `Done`; `NotFound` when there is none
    RemoveTree(PathBuf),
    /// Names in a directory, sorted. → `Entries`
    List(PathBuf),
    /// What is at a path. → `Stat`, with `None` when there is nothing
    Stat(PathBuf),
    /// Takes an exclusive lock on a file (created when absent) without waiting; held until the handle's
    /// last clone is dropped, or the process ends. → `Done`; `WouldBlock` when another holds it
    Lock(File),
    /// Free and total bytes of the file system that holds a path. → `Space`
    Space(PathBuf),
    /// Runs the steps in order on one thread and stops at the first error. → `Sequence`
    Sequence(Vec<DiskOp>),
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// A directory rather than a file.
    pub is_dir: bool,
    /// Length in bytes (0 for directories).
    pub len: u64,
    /// Last change in wall-clock milliseconds since 1970.
    pub modified_ms: i64,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name alone. Names that are not UTF-8 are left out of listings: nothing of ours or Kafka's has one.
    pub name: String,
    /// What it is.
    pub stat: FileStat,
}

/// Space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Size in bytes.
    pub total: u64,
}

/// How an operation ended well; which variant follows from the [`DiskOp`].
#[derive(Debug)]
pub enum DiskOutcome {
    /// Nothing to tell.
    Done,
    /// Bytes read.
    Data(Bytes),
    /// A listing, sorted by name.
    Entries(Vec<DirEntry>),
    /// What is at a path.
    Stat(Option<FileStat>),
    /// Space.
    Space(Space),
    /// One outcome per finished step, and the error of the step after them, if one failed.
    Sequence {
        /// Outcomes of the steps that ended well.
        done: Vec<DiskOutcome>,
        /// Why the next step did not.
        failed: Option<io::Error>,
    },
}
