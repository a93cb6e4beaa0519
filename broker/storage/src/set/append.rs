//! Appending: offsets and epochs are stamped, producers checked, the segment rolled, and the batch queued for the commit
//! log, the tail buffers and the write-out.
//!
//! Batches come validated (ottla_protocol::records::validate); only header fields are looked at here, and no
//! record is touched. A batch's bytes are shared from the request to the disk; small ones are copied once, because they would
//! keep a whole network buffer alive, and fewer slices make fewer system calls.

use bytes::{Bytes, BytesMut};
use ottla_protocol::records::{BatchHeader, BatchView, ControlRecord, EndTxnMarker, HEADER_LEN};

use super::log::{Due, DueWrite, Log, TailBatch};
use super::{LogSet, NoSuchLog};
use crate::commit::AppendFrame;
use crate::damage::Damage;
use crate::dir::Health;
use crate::entry::{Durability, LogId};
use crate::names::SegmentFile;
use crate::producers::{Origin, ProducerError, Sequenced};

/// Batches up to this size are copied into the arena, whole.
const COPY_BYTES_MAX: usize = 2048;
const ARENA_BYTES: usize = 64 << 10;

/// Control records are never compressed and small; more than this is no marker.
const MARKER_BYTES_MAX: usize = 4096;

/// An append that was taken; it is durable once [`super::Flushed`] reaches `last_offset + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedRecords {
    /// Offset of the first record.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Largest timestamp of the records, ms (of the first append, for a retry).
    pub max_timestamp: i64,
    /// A retry: the offsets are those of the first append, nothing was written.
    pub is_duplicate: bool,
    /// First offset of the log.
    pub log_start: i64,
}

/// Why batches were not appended. Nothing of them was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Sequence or epoch; see [`ProducerError`] for the wire codes.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// → RECORD_LIST_TOO_LARGE
    #[error("a batch of {size} bytes does not fit into a segment of {max}")]
    LargerThanSegment {
        /// Bytes of the batch.
        size: usize,
        /// `segment.bytes`.
        max: usize,
    },
    /// No batch at all, or one whose offsets go backwards.
    #[error("batches must hold records and ascend: offset {found} where {expected} was the least")]
    Offsets {
        /// Least offset that could come.
        expected: i64,
        /// Offset that came.
        found: i64,
    },
    /// A control batch that should end a transaction and does not.
    #[error("a transaction marker cannot be read: {0}")]
    Marker(String),
    /// The disk is nearly full: nothing is lost, reads go on, and appends do when there is room. → KAFKA_STORAGE_ERROR
    #[error("the log directory is full; appends are taken again when there is room")]
    DiskFull,
    /// The disk failed: the log directory is out of use until a restart. → KAFKA_STORAGE_ERROR
    #[error("the log directory is out of use: {0}")]
    DirDead(String),
    /// The log is damaged. → KAFKA_STORAGE_ERROR
    #[error("{0}")]
    Damaged(Damage),
    /// → NOT_LEADER_OR_FOLLOWER
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
}

impl LogSet {
    /// Appends as leader: offsets begin at the log end, `leader_epoch` is stamped into every batch. Client appends hold
    /// one batch (Produce 3 and later); coordinators may append several.
    pub fn append_as_leader(
        &mut self,
        id: LogId,
        mut batches: Vec<BatchView>,
        leader_epoch: i32,
        origin: Origin,
        now_ms: i64,
    ) -> Result<AppendedRecords, AppendError> {
        let log = self.appendable(id)?;
        let mut next = log.end();
        if let [batch] = &batches[..]
            && let Sequenced::Duplicate(sent) = check(log, batch, None, origin)?
        {
            return Ok(AppendedRecords {
                first_offset: sent.first_offset(),
                last_offset: sent.last_offset,
                max_timestamp: sent.timestamp,
                is_duplicate: true,
                log_start: log.log_start(),
            });
        }
        for batch in &mut batches {
            batch.stamp(next, leader_epoch);
            next = batch.header().next_offset();
        }
        self.append(id, batches, origin, now_ms)
    }

    /// Appends what a leader sent, as it is: offsets and epochs are the leader's.
    pub fn append_as_follower(
        &mut self,
        id: LogId,
        batches: Vec<BatchView>,
        now_ms: i64,
    ) -> Result<AppendedRecords, AppendError> {
        self.appendable(id)?;
        self.append(id, batches, Origin::Replication, now_ms)
    }

    fn appendable(&self, id: LogId) -> Result<&Log, AppendError> {
        let log = self.logs.get(&id).ok_or(NoSuchLog(id))?;
        if let Some(damage) = log.damage() {
            return Err(AppendError::Damaged(damage.clone()));
        }
        match self.health() {
            Health::Serving => Ok(log),
            Health::Full if log.config().may_use_reserve && !self.has_no_space => Ok(log),
            Health::Full => Err(AppendError::DiskFull),
            Health::Dead(reason) => Err(AppendError::DirDead(reason)),
        }
    }

    fn append(
        &mut self,
        id: LogId,
        batches: Vec<BatchView>,
        origin: Origin,
        now_ms: i64,
    ) -> Result<AppendedRecords, AppendError> {
        let log = &self.logs[&id];
        let (mut expected, segment_bytes) = (log.end(), log.config().segment_bytes as usize);
        let mut markers = Vec::with_capacity(batches.len());
        let mut max_timestamp = -1;
        for batch in &batches {
            let header = batch.header();
            if header.base_offset < expected || header.last_offset_delta < 0 {
                return Err(AppendError::Offsets {
                    expected,
                    found: header.last_offset().min(header.base_offset),
                });
            }
            if batch.size() > segment_bytes && origin != Origin::Replication {
                return Err(AppendError::LargerThanSegment {
                    size: batch.size(),
                    max: segment_bytes,
                });
            }
            let marker = marker_of(batch)?;
            check(log, batch, marker.as_ref(), origin)?;
            markers.push(marker);
            max_timestamp = max_timestamp.max(header.max_timestamp);
            expected = header.next_offset();
        }
        let Some(first) = batches.first() else {
            return Err(AppendError::Offsets {
                expected,
                found: expected - 1,
            });
        };
        let first_offset = first.header().base_offset;
        let log_start = log.log_start();
        let bytes: usize = batches.iter().map(BatchView::size).sum();
        self.take_space(bytes as u64, now_ms);
        self.write(id, &batches, &markers, now_ms);
        Ok(AppendedRecords {
            first_offset,
            last_offset: expected - 1,
            max_timestamp,
            is_duplicate: false,
            log_start,
        })
    }

    /// Batches that nothing speaks against: one frame for each segment that they touch.
    fn write(
        &mut self,
        id: LogId,
        batches: &[BatchView],
        markers: &[Option<EndTxnMarker>],
        now_ms: i64,
    ) {
        let mut run: Vec<TailBatch> = Vec::with_capacity(batches.len());
        for (batch, marker) in batches.iter().zip(markers) {
            let log = self.logs.get_mut(&id).expect("the caller has found it");
            let header = batch.header();
            let limits = log.config().segment_limits();
            let active = &log.entry.state.active;
            let is_old = active.is_old(Some(header.max_timestamp), now_ms, log.config().segment_ms);
            if active.len > 0
                && (is_old || !active.has_room(batch.size(), header.last_offset(), &limits))
            {
                self.finish_run(id, &mut run, now_ms);
                self.roll(id, header.base_offset, now_ms);
            }
            let slices = in_memory(&mut self.arena, batch);
            let log = self.logs.get_mut(&id).expect("the caller has found it");
            let interval = log.config().index_interval_bytes;
            let appended = log.entry.state.append(header, marker.as_ref(), interval);
            log.note_indexed(&appended);
            run.push(TailBatch {
                base_offset: header.base_offset,
                next_offset: header.next_offset(),
                slices,
            });
        }
        self.finish_run(id, &mut run, now_ms);
    }

    /// Queues batches that stand one behind the other in the active segment.
    fn finish_run(&mut self, id: LogId, run: &mut Vec<TailBatch>, now_ms: i64) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return;
        };
        let log = self.logs.get_mut(&id).expect("the caller has found it");
        let (base_offset, end_offset) = (first.base_offset, last.next_offset);
        let len: usize = run.iter().map(TailBatch::len).sum();
        let position = log.entry.state.active.len - len as u32;
        log.last_append_ms = now_ms;
        log.entry.is_stale_for_kafka = true;
        let group = match log.entry.durability {
            Durability::PageCache => log.first_group,
            Durability::Fsync => {
                let frame = AppendFrame {
                    log: id,
                    segment: log.entry.state.active.base_offset,
                    position,
                    base_offset,
                    end_offset,
                    batches: run.len() as u32,
                    len: len as u32,
                };
                let group = self.queue.append(
                    frame,
                    run.iter().map(|batch| used(&batch.slices)),
                    &self.limits,
                );
                self.queue.note_end(log, group, end_offset);
                group
            }
        };
        let slices = run
            .iter()
            .flat_map(|batch| used(&batch.slices))
            .cloned()
            .collect();
        let file = log.files.log.clone();
        let records = end_offset - base_offset;
        let what = DueWrite::Batches {
            file,
            at: u64::from(position),
            slices,
            len,
            end_offset,
            records,
        };
        for batch in run.drain(..) {
            self.tail_order.push_back(id);
            self.tail_bytes += batch.len();
            log.tail.push_back(batch);
        }
        self.changed.insert(id);
        self.push_due(id, Due { group, what }, now_ms);
    }

    /// Seals the active segment and begins another at `base_offset`.
    pub(super) fn roll(&mut self, id: LogId, base_offset: i64, now_ms: i64) {
        let log = self.logs.get_mut(&id).expect("the caller has found it");
        let group = match log.entry.durability {
            Durability::PageCache => log.first_group,
            Durability::Fsync => self.queue.open_group(&self.limits),
        };
        let mut due = log.close_active(group);
        log.entry.state.roll(base_offset, now_ms);
        log.renew_files();
        let path = SegmentFile::Snapshot.path(&log.dir, base_offset);
        let bytes = log.entry.state.producers.to_snapshot().into();
        due.push(Due {
            group,
            what: DueWrite::whole(path, bytes),
        });
        for due in due {
            self.push_due(id, due, now_ms);
        }
    }
}

fn check(
    log: &Log,
    batch: &BatchView,
    marker: Option<&EndTxnMarker>,
    origin: Origin,
) -> Result<Sequenced, ProducerError> {
    let header: &BatchHeader = batch.header();
    match marker {
        Some(marker) => log
            .producers()
            .check_marker(header, marker, origin)
            .map(|()| Sequenced::New),
        None if header.attributes.is_control() => Ok(Sequenced::New),
        None => log.producers().check(header, origin),
    }
}

/// The transaction marker that a control batch of a producer holds.
pub(crate) fn marker_of(batch: &BatchView) -> Result<Option<EndTxnMarker>, AppendError> {
    let header = batch.header();
    // An emptied batch that the cleaner left has no marker any more; its producer is remembered by later ones.
    if !header.attributes.is_control() || !header.has_producer_id() || header.record_count == 0 {
        return Ok(None);
    }
    let unreadable = |error: String| AppendError::Marker(error);
    let mut records = batch
        .stream(MARKER_BYTES_MAX)
        .map_err(|error| unreadable(error.to_string()))?;
    let record = records
        .next()
        .map_err(|error| unreadable(error.to_string()))?;
    let record = record.ok_or_else(|| unreadable("it is empty".to_owned()))?;
    let control = ControlRecord::parse(&record).map_err(|error| unreadable(error.to_string()))?;
    EndTxnMarker::parse(&control)
        .map(Some)
        .map_err(|error| unreadable(error.to_string()))
}

/// The batch as it will lie in the segment.
fn in_memory(arena: &mut BytesMut, batch: &BatchView) -> [Bytes; 2] {
    let whole = batch.size() <= COPY_BYTES_MAX;
    let len = if whole { batch.size() } else { HEADER_LEN };
    if arena.capacity() - arena.len() < len {
        *arena = BytesMut::with_capacity(ARENA_BYTES);
    }
    arena.extend_from_slice(&batch.header().encode());
    if !whole {
        return [arena.split().freeze(), batch.body().clone()];
    }
    arena.extend_from_slice(batch.body());
    [arena.split().freeze(), Bytes::new()]
}

fn used(slices: &[Bytes; 2]) -> &[Bytes] {
    if slices[1].is_empty() {
        &slices[..1]
    } else {
        slices
    }
}
