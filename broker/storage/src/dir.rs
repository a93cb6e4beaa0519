//! A log directory: whose it is, whether it can be used, and what outlives a restart.
//!
//! ```text
//! Apache Kafka's ──open──▶ ours, in use ──all sets drained, close_clean──▶ Apache Kafka's
//!  meta.properties          meta.properties.ottla, manifest, commit log      meta.properties, checkpoints, .kafka_cleanshutdown
//!                            │        ▲
//!                            └─crash──┘ open replays the commit log
//! ```
//! Invariant: `meta.properties` has that name only while Kafka may open the directory and would lose nothing. Shared between the
//! owners of a broker; no lock here is taken on the way of a record.
//! Not here: the logs themselves (set/).

mod close;
mod error;
mod kafka;
mod open;
mod page_cache;
mod recover;
mod replay;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ottla_protocol::Uuid;

use crate::atomic_file;
use crate::commit::{Chunk, Ring};
use crate::damage::Damage;
use crate::disk::{Completion, Disk, DiskOp, File, Lane, Space};
use crate::entry::{Entry, LogId};
use crate::layout::MetaProperties;
use crate::manifest::Manifest;
use crate::names::{BROKER_EPOCH, LogName, MANIFEST};
use crate::set::{Limits, LogSet};

pub use close::{Closed, seal};
pub use error::DirError;
pub use open::DirOptions;

/// Whether a log directory takes appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// Not now: there is too little space. Reads go on, and appends do as soon as there is more.
    Full,
    /// Never again in this process: the disk failed, for this reason.
    Dead(String),
}

impl Health {
    /// Out of use.
    pub fn is_dead(&self) -> bool {
        matches!(self, Health::Dead(_))
    }

    /// Short of space.
    pub fn is_full(&self) -> bool {
        matches!(self, Health::Full)
    }
}

const SERVING: u8 = 0;
const FULL: u8 = 1;
const DEAD: u8 = 2;

/// The lane of the manifest and of other small files; owners use the lanes above it.
const ROOT_LANE: Lane = Lane::Ordered(0);

/// Appends stop when less than a twentieth of the disk is free, within these bounds: enough for what was acknowledged
/// and is not written out yet, and for deleting, which needs a little space itself.
const FREE_BYTES_MIN: u64 = 4 << 20;
const FREE_BYTES_MAX: u64 = 512 << 20;

/// A log directory in use by this process. Clones are handles of the same one; the directory is unlocked when the last
/// is dropped.
#[derive(Clone)]
pub struct LogDir(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    meta: MetaProperties,
    directory_id: Uuid,
    limits: Limits,
    health: AtomicU8,
    death: Mutex<String>,
    next_log: AtomicU32,
    manifest: Mutex<Manifest>,
    lanes: Mutex<BTreeMap<u16, LaneStart>>,
    _lock: File,
}

/// Where a lane's commit log goes on.
#[derive(Clone, Debug, Default)]
struct LaneStart {
    chunks: Vec<Chunk>,
    last_generation: u64,
    last_sequence: u64,
}

/// A log that was found when the directory was opened; to be taken over by its owner's [`LogSet::adopt`].
#[derive(Debug)]
pub struct OpenedLog {
    pub(crate) entry: Entry,
}

impl OpenedLog {
    /// Its name.
    pub fn name(&self) -> &LogName {
        &self.entry.name
    }

    /// Its topic's id; zero when that could not be told (see its damage).
    pub fn topic_id(&self) -> Uuid {
        self.entry.topic_id
    }

    /// As of the last checkpoint, never behind the log.
    pub fn high_watermark(&self) -> i64 {
        self.entry
            .high_watermark
            .clamp(self.entry.state.log_start, self.end())
    }

    /// First offset.
    pub fn log_start(&self) -> i64 {
        self.entry.state.log_start
    }

    /// Offset of the next record.
    pub fn end(&self) -> i64 {
        self.entry.state.end()
    }

    /// The newest leader epoch.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.entry.state.epochs.latest()
    }

    /// Why it must not lead, if so.
    pub fn damage(&self) -> Option<&Damage> {
        self.entry.damage.as_ref()
    }
}

/// A log directory that was opened and what was found in it.
pub struct OpenedDir {
    /// The directory.
    pub dir: LogDir,
    /// All its logs, by name.
    pub logs: Vec<OpenedLog>,
    /// It was stopped cleanly, by Ottla or by Apache Kafka.
    pub was_clean: bool,
    /// To be sent as PreviousBrokerEpoch (KIP-966): nothing that was acknowledged under it is lost. `None` when that cannot be said.
    pub previous_broker_epoch: Option<i64>,
}

impl LogDir {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Its id in `meta.properties`.
    pub fn directory_id(&self) -> Uuid {
        self.0.directory_id
    }

    /// Whose it is.
    pub fn meta(&self) -> &MetaProperties {
        &self.0.meta
    }

    /// The disk it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.0.disk
    }

    /// Whether it takes appends.
    pub fn health(&self) -> Health {
        match self.0.health.load(Ordering::Acquire) {
            SERVING => Health::Serving,
            FULL => Health::Full,
            _ => Health::Dead(locked(&self.0.death).clone()),
        }
    }

    /// The share of one owner, numbered from 0. Once for each number.
    pub fn log_set(&self, lane: u16) -> LogSet {
        let LaneStart {
            chunks,
            last_generation,
            last_sequence,
        } = locked(&self.0.lanes).remove(&lane).unwrap_or_default();
        let ring = Ring::new(chunks, last_generation + 1);
        LogSet::new(self.clone(), lane, self.0.limits, ring, last_sequence + 1)
    }

    /// Remembers the broker epoch of a registration, durably: after a crash it is sent as PreviousBrokerEpoch.
    pub async fn record_broker_epoch(&self, broker_epoch: i64) -> Result<(), DirError> {
        self.write_file(BROKER_EPOCH, broker_epoch.to_string().into())
            .await
    }

    /// Replaces a small file under the directory, atomically and durably.
    pub async fn write_file(&self, name: impl AsRef<Path>, bytes: Bytes) -> Result<(), DirError> {
        let path = self.0.path.join(name);
        let written = atomic_file::write(&*self.0.disk, ROOT_LANE, &path, bytes).await;
        written.map_err(|error| DirError::io("writing", path, error))
    }

    /// Reads a file under the directory as a whole; `None` when there is none.
    pub async fn read_file(&self, name: impl AsRef<Path>) -> Result<Option<Bytes>, DirError> {
        let path = self.0.path.join(name);
        let read = atomic_file::read(&*self.0.disk, Lane::Any, &path).await;
        read.map_err(|error| DirError::io("reading", path, error))
    }

    /// First eight bytes of the id: marks groups of the commit log.
    pub(crate) fn tag(&self) -> u64 {
        tag_of(self.0.directory_id)
    }

    pub(crate) fn next_log_id(&self) -> LogId {
        LogId(self.0.next_log.fetch_add(1, Ordering::Relaxed))
    }

    /// A write found no space, or the next one may not.
    pub(crate) fn set_full(&self) {
        let was_serving = self
            .0
            .health
            .compare_exchange(SERVING, FULL, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if was_serving {
            let path = self.0.path.display();
            tracing::error!(%path, "the log directory is full: appends wait until there is room, reads go on");
        }
    }

    /// Judges the space that is left; half as much again as the least is wanted before appends go on. Returns what may
    /// be taken of it before it has to be looked at again.
    pub(crate) fn note_space(&self, space: Space) -> u64 {
        let least = (space.total / 20).clamp(FREE_BYTES_MIN, FREE_BYTES_MAX);
        let (from, to) = match space.free {
            free if free < least => (SERVING, FULL),
            free if free > least + least / 2 => (FULL, SERVING),
            free => return free - least,
        };
        if self
            .0
            .health
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            let path = self.0.path.display();
            match to {
                FULL => {
                    tracing::error!(%path, free = space.free, least, "the log directory is full: appends wait until there is room, reads go on")
                }
                _ => tracing::info!(%path, free = space.free, "there is room again: appends go on"),
            }
        }
        space.free.saturating_sub(least)
    }

    /// The disk failed: nothing here is written any more, and nothing that was not durable is acknowledged.
    pub(crate) fn kill(&self, doing: &'static str, error: std::io::Error) -> DirError {
        let reason = format!("{doing}: {error}");
        let path = self.0.path.clone();
        if self.0.health.swap(DEAD, Ordering::AcqRel) != DEAD {
            tracing::error!(path = %path.display(), reason, "the log directory is out of use");
            locked(&self.0.death).clone_from(&reason);
        }
        DirError::Dead { path, reason }
    }

    pub(crate) fn cannot_settle(&self) -> DirError {
        match self.health() {
            Health::Dead(reason) => DirError::Dead {
                path: self.0.path.clone(),
                reason,
            },
            _ => DirError::Full {
                path: self.0.path.clone(),
            },
        }
    }

    /// Writes down what a lane's checkpoint found. The answer comes when it is durable.
    pub(crate) fn write_manifest<'a>(
        &self,
        lane: u16,
        released: u64,
        entries: impl IntoIterator<Item = &'a Entry>,
        removed: &[LogId],
    ) -> Completion {
        let mut manifest = locked(&self.0.manifest);
        entries.into_iter().for_each(|entry| manifest.put(entry));
        removed
            .iter()
            .for_each(|id| drop(manifest.entries.remove(id)));
        manifest.released.insert(lane, released);
        manifest.next_log = self.0.next_log.load(Ordering::Relaxed);
        // Submitted under the lock: a later manifest, which holds more, must not be overtaken by an earlier one.
        self.0.disk.submit(
            ROOT_LANE,
            DiskOp::Sequence(atomic_file::steps(
                &self.0.path.join(MANIFEST),
                manifest.encode(),
            )),
        )
    }
}

fn tag_of(directory_id: Uuid) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = directory_id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
