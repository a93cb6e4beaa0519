//! The metadata snapshots on this disk: when one is made, which are kept, and what of the log may go.
//!
//! ```text
//!   committed records ──(enough bytes, or enough time)──▶ write.rs ──▶ <end offset>-<epoch>.checkpoint
//!   too many bytes, or too old ──▶ the oldest go, and the log's front up to the oldest that is kept
//!   start: recover.rs = newest whole snapshot + the log behind it      observer: download.rs
//! ```
//! Invariants: a snapshot holds committed records only; the log's front goes only below a snapshot that
//! is durable under its final name; the newest snapshot is never deleted. The active controller and
//! observers keep the same set in the same way, each on its own disk.
//! Not here: the bytes of a snapshot (broker/metadata), who must load one (broker/raft).

mod download;
mod read;
mod recover;
mod retention;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::{Image, SnapshotHead};
use ottla_broker_raft::{Input, Raft, SnapshotId, VoterSet};
use tokio::sync::mpsc;

use super::files::{FileError, MetadataDir};
use super::{METADATA_PARTITION, log};
use crate::partition::{PartitionsHandle, RaiseLogStart, Request};
use crate::rt::{Instant, Rt};

pub use download::{Download, DownloadError, Downloaded};
pub use recover::{RecoverError, Recovered, recover};
pub use retention::SnapshotRetention;

/// How often old snapshots are looked for; Kafka's own interval.
const RETENTION_CHECK: Duration = Duration::from_secs(60);
/// Pause after a snapshot that could not be written.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// When snapshots are made and how long they stay.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// `metadata.log.max.record.bytes.between.snapshots`
    pub record_bytes_between: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` for 0.
    pub interval: Option<Duration>,
    /// `metadata.max.retention.bytes` and `.ms`
    pub retention: SnapshotRetention,
}

/// A snapshot that is whole and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Length of its file.
    pub bytes: u64,
    /// Wall clock of the last log batch in it, ms.
    pub last_contained_ms: i64,
}

/// See the module.
pub struct Snapshots {
    rt: Rt,
    dir: MetadataDir,
    policy: SnapshotPolicy,
    finished: BTreeMap<SnapshotId, Finished>,
    /// Bytes of records that were committed since the newest snapshot.
    record_bytes: u64,
    /// Since when there are such records.
    since: Instant,
    not_before: Instant,
    next_retention: Instant,
    is_writing: bool,
    ends: mpsc::UnboundedSender<WriteEnd>,
    written: mpsc::UnboundedReceiver<WriteEnd>,
    ended: Option<WriteEnd>,
}

struct WriteEnd {
    id: SnapshotId,
    outcome: Result<Finished, FileError>,
}

impl Snapshots {
    /// Begins with what was found on disk, and the bytes of the log behind the newest of it.
    pub fn new(
        rt: &Rt,
        dir: MetadataDir,
        policy: SnapshotPolicy,
        finished: BTreeMap<SnapshotId, Finished>,
        record_bytes: u64,
    ) -> Self {
        let (ends, written) = mpsc::unbounded_channel();
        Self {
            rt: rt.clone(),
            dir,
            policy,
            finished,
            record_bytes,
            since: rt.now(),
            not_before: rt.now(),
            next_retention: rt.now() + RETENTION_CHECK,
            is_writing: false,
            ends,
            written,
            ended: None,
        }
    }

    /// Records of so many bytes were committed.
    pub fn note_committed(&mut self, bytes: usize) {
        if self.record_bytes == 0 {
            self.since = self.rt.now();
        }
        self.record_bytes += bytes as u64;
    }

    /// A snapshot of the leader's is here, and the log begins behind it.
    pub fn note_loaded(&mut self, id: SnapshotId, finished: Finished) {
        self.finished.insert(id, finished);
        self.record_bytes = 0;
    }

    /// The snapshot `id`, to be given to others, as long as it is kept.
    pub fn find(&self, id: SnapshotId) -> Option<SnapshotFile> {
        let finished = self.finished.get(&id)?;
        Some(SnapshotFile {
            dir: self.dir.clone(),
            id,
            bytes: finished.bytes,
        })
    }

    /// When [`Self::upkeep`] has something to do even if nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let by_time = self.policy.interval.filter(|_| self.record_bytes > 0);
        let making = by_time
            .filter(|_| !self.is_writing)
            .map(|interval| (self.since + interval).max(self.not_before));
        let retiring = (!self.finished.is_empty()).then_some(self.next_retention);
        making.into_iter().chain(retiring).min()
    }

    /// Yields when the snapshot that is being written is finished. Nothing is lost by dropping it.
    pub async fn write_ended(&mut self) {
        // This struct holds a sender: the channel never closes.
        self.ended = self.written.recv().await;
    }

    /// Takes up what was written, begins what is due, and lets go what is old. `image` is the newest
    /// committed one.
    pub async fn upkeep(
        &mut self,
        image: &Arc<Image>,
        raft: &mut Raft,
        partitions: &PartitionsHandle,
    ) {
        let ended = self.ended.take().or_else(|| self.written.try_recv().ok());
        let is_new = match ended {
            Some(end) => self.take_written(end, raft).await,
            None => false,
        };
        let now = self.rt.now();
        if is_new || now >= self.next_retention {
            self.next_retention = now + RETENTION_CHECK;
            self.retire(raft, partitions).await;
        }
        if self.is_due(now) {
            self.begin(image, raft);
        }
    }

    /// True when it is one more snapshot.
    async fn take_written(&mut self, end: WriteEnd, raft: &mut Raft) -> bool {
        self.is_writing = false;
        let is_overtaken = self
            .finished
            .last_key_value()
            .is_some_and(|(newest, _)| end.id < *newest);
        match end.outcome {
            // One of the leader's came meanwhile, and the log begins behind it.
            _ if is_overtaken => {
                self.delete(end.id).await;
                false
            }
            Ok(finished) => {
                tracing::info!(snapshot = %end.id, bytes = finished.bytes, "made a metadata snapshot");
                self.finished.insert(end.id, finished);
                raft.step(Input::SnapshotMade(end.id), &mut Vec::new());
                true
            }
            Err(error) => {
                // The log still holds everything: what is lost is the room that it takes.
                tracing::error!(snapshot = %end.id, %error, "cannot write a metadata snapshot; the metadata log grows until one can be written");
                self.not_before = self.rt.now() + RETRY_PAUSE;
                self.record_bytes = self.record_bytes.max(self.policy.record_bytes_between);
                self.since = self.rt.now();
                false
            }
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let by_bytes = self.record_bytes >= self.policy.record_bytes_between;
        let by_time = self.record_bytes > 0
            && self
                .policy
                .interval
                .is_some_and(|interval| now >= self.since + interval);
        !self.is_writing && now >= self.not_before && (by_bytes || by_time)
    }

    /// Writes `image` beside the loop: it is immutable and shared, so nobody waits.
    fn begin(&mut self, image: &Arc<Image>, raft: &Raft) {
        let id = SnapshotId {
            end_offset: image.provenance.offset + 1,
            epoch: image.provenance.epoch,
        };
        let newest = self.finished.last_key_value().map(|(id, _)| id.end_offset);
        if id.end_offset <= newest.unwrap_or(0) {
            // What was committed since are control records: an image says nothing of them.
            self.record_bytes = 0;
            return;
        }
        if id.end_offset > raft.high_watermark() {
            // Read from the own log at start, and not yet known to be committed.
            self.since = self.rt.now();
            return;
        }
        let head = head_of(image, raft.voters());
        let (rt, dir, ends) = (self.rt.clone(), self.dir.clone(), self.ends.clone());
        let image = Arc::clone(image);
        self.is_writing = true;
        self.record_bytes = 0;
        self.rt.spawn(Box::pin(async move {
            let outcome = write::write(&dir, &image, &head, id, rt.wall_clock_ms()).await;
            // A loop that is gone needs no news.
            let _ = ends.send(WriteEnd { id, outcome });
        }));
    }

    async fn retire(&mut self, raft: &mut Raft, partitions: &PartitionsHandle) {
        loop {
            let asked = partitions.ask(|reply| Request::Bounds(METADATA_PARTITION, reply));
            // Otherwise the owner stops, or the log is out of use: nothing goes now.
            let Ok(Ok(bounds)) = asked.await else { return };
            let oldest = self.policy.retention.oldest_kept(
                &self.finished,
                bounds.log_start,
                bounds.bytes,
                self.rt.wall_clock_ms(),
            );
            let Some(oldest) = oldest else { return };
            // First the log's start moves, then the files go: a crash between leaves more than is needed.
            let raised = partitions.ask(|reply| {
                Request::RaiseLogStart(RaiseLogStart {
                    partition: METADATA_PARTITION,
                    log_start: oldest.end_offset,
                    reply,
                })
            });
            if !matches!(raised.await, Ok(Ok(()))) {
                return;
            }
            raft.step(Input::SnapshotsRetired { oldest }, &mut Vec::new());
            self.forget_before(oldest).await;
        }
    }

    /// Deletes the files of older snapshots, and the format's checkpoint, whose voters newer ones hold.
    pub async fn forget_before(&mut self, oldest: SnapshotId) {
        let kept = self.finished.split_off(&oldest);
        let gone = std::mem::replace(&mut self.finished, kept);
        for id in gone.into_keys().chain([SnapshotId::BOOTSTRAP]) {
            self.delete(id).await;
        }
    }

    async fn delete(&self, id: SnapshotId) {
        tracing::debug!(snapshot = %id, "a metadata snapshot is not needed any more");
        if let Err(error) = self.dir.remove(&id.file_name()).await {
            tracing::warn!(%error, "cannot delete an old metadata snapshot");
        }
    }
}

/// What a snapshot says besides records. Voters are told from kraft.version 1 on, and only then.
fn head_of(image: &Image, voters: &VoterSet) -> SnapshotHead {
    let has_voters = !voters.is_empty();
    SnapshotHead {
        last_contained_log_timestamp: image.provenance.timestamp_ms,
        kraft_version: if has_voters { log::KRAFT_VERSION } else { 0 },
        voters: has_voters.then(|| voters.to_record()),
    }
}

/// A snapshot as it is given to others.
pub struct SnapshotFile {
    dir: MetadataDir,
    id: SnapshotId,
    /// Its length.
    pub bytes: u64,
}

impl SnapshotFile {
    /// Up to `len` bytes at `position`; fewer at the end. Errors: it was deleted meanwhile (`None`), or the
    /// disk refuses.
    pub async fn read(&self, position: u64, len: usize) -> Result<Option<bytes::Bytes>, FileError> {
        self.dir.read_at(&self.id.file_name(), position, len).await
    }
}
