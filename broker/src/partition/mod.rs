//! The partitions of one shard and their single owner.
//!
//! ```text
//!  handlers ── Request ──▶ mailbox ──▶ owner.rs: select → apply → upkeep ──▶ Log (broker/storage)
//!      ▲                                │   ▲                                    │ queued writes
//!      └────────── reply ◀──────────────┘   └── commit done ◀── group commit ◀───┘
//! ```
//! Invariant: a partition's log, producer state, high watermark and waiters have one owner, the
//! shard's loop; everybody else holds a [`PartitionsHandle`]. All requests that are in the mailbox at
//! one turn share one group commit. Not here: wire types (handlers map them), files (storage).

mod owner;
pub mod scan;
mod waiters;

use bytes::Bytes;
use ottla_broker_storage::{AppendError, ColdRead, CommitFigures, Damage, LogReader, Origin};
use ottla_protocol::records::BatchView;
use ottla_protocol::{Str, Uuid};
use tokio::sync::{mpsc, oneshot};

use crate::rt::Instant;

pub use owner::{OwnerConfig, start};

/// A partition by the id of its topic, so that a topic deleted and made again is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// Id of the topic.
    pub topic: Uuid,
    /// Index within the topic.
    pub index: i32,
}

/// Why the owner refuses. Handlers map each variant to a wire code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// This broker does not lead the partition (or has not heard of it yet).
    #[error("not the leader")]
    NotLeader,
    /// The request's leader epoch is older than the partition's.
    #[error("leader epoch is fenced")]
    FencedLeaderEpoch,
    /// The request's leader epoch is newer than what this broker has heard of.
    #[error("leader epoch is unknown")]
    UnknownLeaderEpoch,
    /// A position outside the log.
    #[error("offset {offset} is outside {start}..={end}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// Log start offset.
        start: i64,
        /// Log end offset.
        end: i64,
    },
    /// The log refuses the append.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log is damaged below its flushed point, or its directory is offline.
    #[error("{0}")]
    Storage(String),
    /// The process is stopping.
    #[error("stopping")]
    Stopping,
}

/// What can be asked of the owner.
pub enum Request {
    /// Append as leader; answered when durable as far as the acknowledgement promises.
    Append(Append),
    /// Read, waiting for data if need be.
    Fetch(Fetch),
    /// Append batches of the leader as they are.
    Replicate(Replicate),
    /// Cut the log of a follower.
    Truncate(Truncate),
    /// Empty a log, which goes on behind a snapshot of what was in it.
    StartAt(StartAt),
    /// Let the front of a log go, whoever leads it: a snapshot holds it.
    RaiseLogStart(RaiseLogStart),
    /// An offset by timestamp or by its special value.
    Offset(OffsetQuery),
    /// End offset of an epoch (KIP-101).
    EpochEnd(EpochEndQuery),
    /// Move the log start offset.
    DeleteRecords(DeleteRecords),
    /// Sizes of all logs.
    Sizes(oneshot::Sender<Vec<LogSize>>),
    /// A page of all replicas here and what can be said of them.
    Survey(Survey),
    /// Where one log begins and ends.
    Bounds(
        PartitionId,
        oneshot::Sender<Result<LogBounds, PartitionError>>,
    ),
    /// The leader epochs of one log and the offsets that they begin at, ascending.
    Epochs(
        PartitionId,
        oneshot::Sender<Result<Vec<(i32, i64)>, PartitionError>>,
    ),
    /// Read one log as it lies here, whoever leads it.
    Scan(Scan),
    /// A read from disk found bytes that nobody wrote.
    Corrupt(PartitionId, Damage),
    /// New metadata: make, lead, drop and reconfigure.
    Publish(Publication, oneshot::Sender<()>),
    /// The metadata is complete: what was found on disk and is not in it belongs to nobody.
    RetireUnclaimed,
    /// Write everything out and end; true when the directory may be closed in order.
    Stop(oneshot::Sender<bool>),
}

/// A request to append to several partitions.
pub struct Append {
    /// One entry per partition.
    pub entries: Vec<AppendEntry>,
    /// Outcomes in the order of the entries.
    pub reply: oneshot::Sender<Vec<Result<Appended, PartitionError>>>,
}

/// What to append to one partition.
pub struct AppendEntry {
    /// Where.
    pub partition: PartitionId,
    /// A batch that `ottla_protocol::records` has validated.
    pub batch: BatchView,
    /// The leader epoch under which the caller decided; −1 takes the current one.
    pub leader_epoch: i32,
    /// Who writes: decides which producer rules hold.
    pub origin: Origin,
}

/// Where an append landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record; of the first time if it is a duplicate.
    pub base_offset: i64,
    /// Offset after its last record.
    pub end_offset: i64,
    /// The broker's time if the topic stamps records (LogAppendTime), else −1.
    pub log_append_time_ms: i64,
    /// Log start offset at that time.
    pub log_start: i64,
}

/// A read over several partitions.
pub struct Fetch {
    /// One per partition, in the order of service.
    pub wants: Vec<FetchWant>,
    /// Answer as soon as this many bytes are there.
    pub min_bytes: usize,
    /// Stop adding data at this many bytes; the first batch comes whole whatever its size.
    pub max_bytes: usize,
    /// Answer at this time with what is there.
    pub deadline: Instant,
    /// Up to where this reader may read.
    pub upper: ReadLimit,
    /// Outcomes in the order of the wants.
    pub reply: oneshot::Sender<Vec<Result<Fetched, PartitionError>>>,
}

/// Up to where a reader may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// Consumers: only what is committed.
    HighWatermark,
    /// Replicas and observers: everything that the leader has appended, flushed or not, since their
    /// own flush is their acknowledgement.
    LogEnd,
}

/// A read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchWant {
    /// Which one.
    pub partition: PartitionId,
    /// Offset of the first record wanted.
    pub from: i64,
    /// Most bytes, except that the first batch of the whole answer comes whole.
    pub max_bytes: usize,
    /// The leader epoch that the reader knows; −1 is no claim.
    pub leader_epoch: i32,
    /// Epoch of the last record that the reader has; −1 is no claim (KIP-595 truncation check).
    pub last_fetched_epoch: i32,
}

/// What a read of one partition found.
pub struct Fetched {
    /// The data or where to read it.
    pub data: FetchedData,
    /// High watermark.
    pub high_watermark: i64,
    /// Log start offset.
    pub log_start: i64,
    /// Where the reader's log departs from ours: an epoch and its end offset here.
    pub diverging: Option<(i32, i64)>,
}

/// A read of one log as it lies here.
pub struct Scan {
    /// Which one.
    pub partition: PartitionId,
    /// Offset of the first record wanted.
    pub from: i64,
    /// Most bytes; at least one batch.
    pub max_bytes: usize,
    /// The data or where to read it.
    pub reply: oneshot::Sender<Result<FetchedData, PartitionError>>,
}

/// Data of a read.
pub enum FetchedData {
    /// Whole batches out of memory; empty when there is nothing new.
    Hot(Vec<Bytes>),
    /// On disk: the asker runs it in its own time.
    Cold(Box<ColdRead>),
}

impl FetchedData {
    /// Bytes that are here or will be read: what a fetch counts against its minimum.
    fn bytes_expected(&self) -> usize {
        match self {
            Self::Hot(chunks) => chunks.iter().map(Bytes::len).sum(),
            // There is at least one batch; how long it is shows when it is read.
            Self::Cold(_) => 1,
        }
    }
}

/// Batches of a leader, for the log of a follower or observer.
pub struct Replicate {
    /// Where.
    pub partition: PartitionId,
    /// Whole batches, unchanged.
    pub batches: Bytes,
    /// The new log end offset once it is durable.
    pub reply: oneshot::Sender<Result<i64, PartitionError>>,
}

/// A follower's log departs from the leader's.
pub struct Truncate {
    /// Where.
    pub partition: PartitionId,
    /// New log end.
    pub end: i64,
    /// Answered when durable.
    pub reply: oneshot::Sender<Result<(), PartitionError>>,
}

/// A log that a snapshot has overtaken: nothing of it is needed.
pub struct StartAt {
    /// Which log.
    pub partition: PartitionId,
    /// Its first and only offset from now on.
    pub offset: i64,
    /// Answered when later appends cannot be found without it.
    pub reply: oneshot::Sender<Result<(), PartitionError>>,
}

/// The front of a log that a durable snapshot holds.
pub struct RaiseLogStart {
    /// Which log.
    pub partition: PartitionId,
    /// Its first offset from now on.
    pub log_start: i64,
    /// Answered when the move is on its way; it is durable with the next group commit.
    pub reply: oneshot::Sender<Result<(), PartitionError>>,
}

/// What offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// Log end for consumers: the high watermark.
    Latest,
    /// Log start.
    Earliest,
    /// The record with the greatest timestamp.
    MaxTimestamp,
    /// The first record at or after this time (ms).
    Timestamp(i64),
}

/// A question for an offset.
pub struct OffsetQuery {
    /// Of which partition.
    pub partition: PartitionId,
    /// What offset.
    pub at: OffsetAt,
    /// The leader epoch that the client knows; −1 is no claim.
    pub leader_epoch: i32,
    /// The answer, or a reader to look it up with.
    pub reply: oneshot::Sender<Result<OffsetAnswer, PartitionError>>,
}

/// The answer to an [`OffsetQuery`].
pub enum OffsetAnswer {
    /// Known without the disk.
    Known {
        /// The offset; −1 when no record fits.
        offset: i64,
        /// Timestamp of its record; −1 when it has none.
        timestamp: i64,
        /// Its leader epoch; −1 when unknown.
        leader_epoch: i32,
    },
    /// To be looked up on disk by the asker.
    Lookup {
        /// Snapshot of the log.
        reader: Box<LogReader>,
        /// What to look for.
        at: OffsetAt,
        /// Nothing at or above this offset counts.
        upper: i64,
    },
}

/// A question for the end of an epoch.
pub struct EpochEndQuery {
    /// Of which partition.
    pub partition: PartitionId,
    /// The leader epoch that the client knows; −1 is no claim.
    pub current_leader_epoch: i32,
    /// Whose end is asked for.
    pub leader_epoch: i32,
    /// The largest epoch at most `leader_epoch` and its end offset; (−1, −1) when unknown.
    pub reply: oneshot::Sender<Result<(i32, i64), PartitionError>>,
}

/// A request to delete records from the front.
pub struct DeleteRecords {
    /// Of which partition.
    pub partition: PartitionId,
    /// New log start offset; −1 is the high watermark.
    pub before: i64,
    /// The new low watermark, once durable.
    pub reply: oneshot::Sender<Result<i64, PartitionError>>,
}

/// Size of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSize {
    /// Which one.
    pub partition: PartitionId,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// Bounds of a log at the time of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset.
    pub log_start: i64,
    /// High watermark.
    pub high_watermark: i64,
    /// Offset after the last record.
    pub log_end: i64,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// A question for many replicas at once, a page at a time so that records are served in between.
pub struct Survey {
    /// Begins after this one; `None` begins with the first.
    pub after: Option<PartitionId>,
    /// Most replicas in the answer.
    pub replicas_max: usize,
    /// The page.
    pub reply: oneshot::Sender<Surveyed>,
}

/// A page of replicas.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// In order of their ids; fewer than asked for at the end.
    pub replicas: Vec<ReplicaFigures>,
    /// What the commit log has done.
    pub commits: CommitFigures,
}

/// What can be said of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaFigures {
    /// Which one.
    pub partition: PartitionId,
    /// Whether this broker leads it.
    pub leads: bool,
    /// Whether it is damaged and refuses to lead.
    pub is_damaged: bool,
    /// Its log.
    pub log: LogBounds,
}

/// What new metadata means for this broker's partitions.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// Partitions with a replica here that are new or changed.
    pub hosted: Vec<Hosted>,
    /// Partitions whose replica here is gone.
    pub dropped: Vec<PartitionId>,
}

/// A replica on this broker.
#[derive(Clone, Debug)]
pub struct Hosted {
    /// Which partition.
    pub partition: PartitionId,
    /// Name of its topic: the directory is named after it.
    pub topic_name: Str,
    /// Whether this broker leads it.
    pub leads: bool,
    /// Its leader epoch.
    pub leader_epoch: i32,
    /// Effective configuration of the topic.
    pub config: ottla_broker_storage::LogConfig,
}

/// The mailbox of the owner; cheap to clone.
#[derive(Clone)]
pub struct PartitionsHandle {
    mailbox: mpsc::UnboundedSender<Request>,
}

impl PartitionsHandle {
    /// Leaves `request` in the mailbox; its order is the order of appends.
    pub fn send(&self, request: Request) {
        // An owner that is gone drops the reply sender, which the asker sees.
        let _ = self.mailbox.send(request);
    }

    /// The owner is gone: nothing is appended or read any more.
    pub fn has_ended(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// Sends the request made by `request` around a reply sender, at once, and yields the reply.
    pub fn ask<T, F: FnOnce(oneshot::Sender<T>) -> Request>(
        &self,
        request: F,
    ) -> impl Future<Output = Result<T, PartitionError>> + use<T, F> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply));
        async move { answer.await.map_err(|_| PartitionError::Stopping) }
    }
}
