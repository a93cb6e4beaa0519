//! One log as its owner holds it: state, hot batches, and what is still to be written to its files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::Uuid;

use crate::atomic_file;
use crate::damage::Damage;
use crate::disk::{File, OpenMode};
use crate::entry::{Durability, Entry, LogId};
use crate::epochs::EpochEnd;
use crate::index::{self, OffsetEntry, TimeEntry};
use crate::names::{LogName, SegmentFile};
use crate::producers::{AbortedTxn, Producers};
use crate::reader::Hints;
use crate::segment::SegmentLimits;
use crate::state::{Appended, LogState};

/// Which old segments go. Offsets below the log start always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// `retention.ms`; `None` for -1.
    pub age_max_ms: Option<i64>,
    /// `retention.bytes`; `None` for -1.
    pub bytes_max: Option<u64>,
}

/// Settings of one log, with Kafka's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// Retention; `None` when `cleanup.policy` does not name `delete`.
    pub retention: Option<RetentionPolicy>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// `ottla.durability`.
    pub durability: Durability,
    /// `flush.messages`: with page-cache durability, sync after so many records. Without effect otherwise: all is synced.
    pub flush_messages: i64,
    /// `flush.ms`: likewise after so long.
    pub flush_ms: i64,
    /// Whether appends go on in the space that is kept free when the disk is nearly full: without the metadata log no
    /// topic could be deleted to make room.
    pub may_use_reserve: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention: Some(RetentionPolicy {
                age_max_ms: Some(604_800_000),
                bytes_max: None,
            }),
            file_delete_delay_ms: 60_000,
            producer_expiration_ms: 86_400_000,
            durability: Durability::Fsync,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            may_use_reserve: false,
        }
    }
}

impl LogConfig {
    pub(super) fn segment_limits(&self) -> SegmentLimits {
        SegmentLimits {
            bytes_max: self.segment_bytes,
            index_bytes_max: self.segment_index_bytes,
        }
    }
}

/// A batch in memory: as it lies in the segment, in one or two pieces (the second may be empty).
#[derive(Clone, Debug)]
pub(crate) struct TailBatch {
    pub(crate) base_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) slices: [Bytes; 2],
}

impl TailBatch {
    pub(crate) fn len(&self) -> usize {
        self.slices[0].len() + self.slices[1].len()
    }
}

/// Something to be written to a log's files, in order, once the group that holds its frame is durable.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) group: u64,
    pub(super) what: DueWrite,
}

#[derive(Clone, Debug)]
pub(super) enum DueWrite {
    /// Batches for a segment.
    Batches {
        file: File,
        at: u64,
        slices: Vec<Bytes>,
        len: usize,
        end_offset: i64,
        records: i64,
    },
    /// Entries for an index file.
    Entries { file: File, at: u64, bytes: Bytes },
    /// A small file of Kafka's, as a whole. `file` is its temporary one, which a checkpoint syncs under its new name.
    Whole {
        path: PathBuf,
        file: File,
        bytes: Bytes,
    },
    /// The file is made if it is not there, and gets this length.
    Cut { file: File, len: u64 },
    /// The file goes, if it is there.
    Remove { path: PathBuf },
}

impl Due {
    pub(super) fn bytes(&self) -> usize {
        match &self.what {
            DueWrite::Batches { len, .. } => *len,
            DueWrite::Entries { bytes, .. } | DueWrite::Whole { bytes, .. } => bytes.len(),
            DueWrite::Cut { .. } | DueWrite::Remove { .. } => 0,
        }
    }
}

impl DueWrite {
    pub(super) fn whole(path: PathBuf, bytes: Bytes) -> Self {
        let file = atomic_file::temporary_file(&path);
        Self::Whole { path, file, bytes }
    }
}

/// The files of the active segment, opened when first written to.
#[derive(Clone, Debug)]
pub(super) struct ActiveFiles {
    pub(super) log: File,
    pub(super) index: File,
    pub(super) time: File,
    pub(super) txn: File,
}

impl ActiveFiles {
    fn new(dir: &Path, base_offset: i64) -> Self {
        let file = |kind: SegmentFile| File::new(kind.path(dir, base_offset), OpenMode::Create);
        Self {
            log: file(SegmentFile::Log),
            index: file(SegmentFile::Index),
            time: file(SegmentFile::TimeIndex),
            txn: file(SegmentFile::TxnIndex),
        }
    }
}

/// Index entries of the active segment that no write is queued for yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unindexed {
    pub(super) offsets: Vec<OffsetEntry>,
    pub(super) times: Vec<TimeEntry>,
    pub(super) txns: Vec<AbortedTxn>,
}

/// One log. Read through this face; written through [`super::LogSet`].
pub struct Log {
    pub(super) entry: Entry,
    pub(super) dir: Arc<Path>,
    config: LogConfig,
    high_watermark: i64,
    pub(super) flushed_end: i64,
    pub(super) written_end: i64,
    pub(super) tail: VecDeque<TailBatch>,
    pub(super) due: VecDeque<Due>,
    /// The group that tells of the log; its files come after it.
    pub(super) first_group: u64,
    pub(super) due_bytes: usize,
    pub(super) due_since_ms: i64,
    /// Writes ever queued and ever done: how a checkpoint or a removal waits for those before it.
    pub(super) dues_pushed: u64,
    pub(super) dues_written: u64,
    /// Rises when a truncation makes older writes meaningless.
    pub(super) incarnation: u32,
    /// Its directory will be found after a power cut.
    pub(super) has_durable_dir: bool,
    pub(super) files: ActiveFiles,
    pub(super) unindexed: Unindexed,
    /// Files with writes that no checkpoint has synced.
    pub(super) unsynced: Vec<File>,
    /// With page-cache durability: records and time since the last sync.
    pub(super) unsynced_records: i64,
    pub(super) unsynced_since_ms: i64,
    pub(super) last_append_ms: i64,
    pub(super) hints: Arc<Hints>,
    /// Aborted transactions that may be in no index file yet, with the write that brings them there.
    recent_txns: Vec<(u64, AbortedTxn)>,
    /// Where the log's end stands among the ends of the group being collected.
    pub(super) queued_at: Option<(u64, usize)>,
}

impl Log {
    /// A log in the directory `root`, new or found there. What it holds is written and as durable as promised.
    pub(super) fn new(entry: Entry, config: LogConfig, root: &Path) -> Self {
        let dir: Arc<Path> = root.join(entry.name.to_string()).into();
        let end = entry.state.end();
        let high_watermark = entry.high_watermark.clamp(entry.state.log_start, end);
        Self {
            files: ActiveFiles::new(&dir, entry.state.active.base_offset),
            dir,
            config,
            high_watermark,
            flushed_end: end,
            written_end: end,
            tail: VecDeque::new(),
            due: VecDeque::new(),
            first_group: 0,
            due_bytes: 0,
            due_since_ms: 0,
            dues_pushed: 0,
            dues_written: 0,
            incarnation: 0,
            has_durable_dir: entry.has_dir,
            unindexed: Unindexed::default(),
            unsynced: Vec::new(),
            unsynced_records: 0,
            unsynced_since_ms: 0,
            last_append_ms: 0,
            hints: Arc::default(),
            recent_txns: Vec::new(),
            queued_at: None,
            entry,
        }
    }

    /// Its number.
    pub fn id(&self) -> LogId {
        self.entry.id
    }

    /// Its name.
    pub fn name(&self) -> &LogName {
        &self.entry.name
    }

    /// Its topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.entry.topic_id
    }

    /// Its settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Why it must not lead, if so. Reads go on as far as they can.
    pub fn damage(&self) -> Option<&Damage> {
        self.entry.damage.as_ref()
    }

    /// First offset that may be read, wherever it lies.
    pub fn log_start(&self) -> i64 {
        self.state().log_start
    }

    /// First offset on this disk.
    pub fn local_start(&self) -> i64 {
        self.state().local_start
    }

    /// Offset of the next record.
    pub fn end(&self) -> i64 {
        self.state().end()
    }

    /// Offset up to which the log is as durable as its setting promises: what may be acknowledged, and what this
    /// replica may claim to a leader.
    pub fn flushed_end(&self) -> i64 {
        self.flushed_end
    }

    /// As set by the owner; after a restart the checkpointed one.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Up to where a read-committed consumer reads.
    pub fn last_stable_offset(&self) -> i64 {
        self.state()
            .producers
            .first_unstable_offset()
            .map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// Bytes of all segments on this disk.
    pub fn size_bytes(&self) -> u64 {
        self.state().size_bytes()
    }

    /// Number of segments on this disk.
    pub fn segment_count(&self) -> usize {
        self.state().sealed.len() + 1
    }

    /// The newest leader epoch that has a batch, or that [`super::LogSet::begin_epoch`] began.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.state().epochs.latest()
    }

    /// Where a leader epoch ends; see [`crate::epochs::EpochCache::end_of`].
    pub fn end_of_epoch(&self, epoch: i32) -> Option<EpochEnd> {
        self.state().epochs.end_of(epoch, self.end())
    }

    /// Every leader epoch from the log start on, ascending, with its first offset.
    pub fn epoch_starts(&self) -> impl Iterator<Item = (i32, i64)> {
        let entries = self.state().epochs.entries().iter();
        entries.map(|entry| (entry.epoch, entry.start_offset))
    }

    /// The leader epoch of the batch that holds `offset`.
    pub fn epoch_of(&self, offset: i64) -> Option<i32> {
        self.state().epochs.epoch_of(offset)
    }

    /// Producers and their transactions.
    pub fn producers(&self) -> &Producers {
        &self.state().producers
    }

    /// Its directory, which may not exist yet.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub(super) fn state(&self) -> &LogState {
        &self.entry.state
    }

    pub(super) fn configure(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub(super) fn damage_with(&mut self, damage: Damage) {
        self.entry.damage.get_or_insert(damage);
    }

    pub(super) fn set_high_watermark(&mut self, high_watermark: i64) {
        self.high_watermark = high_watermark.clamp(self.log_start(), self.end());
        self.entry.state.producers.settle(self.high_watermark);
    }

    pub(super) fn tail_bytes(&self) -> usize {
        self.tail.iter().map(TailBatch::len).sum()
    }

    /// As the manifest describes it.
    pub(super) fn described(&self) -> Entry {
        Entry {
            high_watermark: self.high_watermark,
            ..self.entry.clone()
        }
    }

    /// Index entries that an append made due.
    pub(super) fn note_indexed(&mut self, appended: &Appended) {
        self.unindexed.offsets.extend(appended.indexed.offset);
        self.unindexed.times.extend(appended.indexed.time);
        self.unindexed.txns.extend(appended.aborted);
        self.recent_txns
            .extend(appended.aborted.map(|txn| (u64::MAX, txn)));
    }

    /// Aborted transactions that may be in no index file yet.
    pub(super) fn recent_txns(&self) -> Vec<AbortedTxn> {
        self.recent_txns.iter().map(|(_, txn)| *txn).collect()
    }

    /// Writes were done.
    pub(super) fn note_dues_written(&mut self, count: u64) {
        self.dues_written += count;
        let written = self.dues_written;
        self.recent_txns.retain(|(due, _)| *due > written);
    }

    /// Nothing that was queued for the log's files means anything any more.
    pub(super) fn forget_dues(&mut self) {
        self.dues_written += self.due.len() as u64;
        self.due.clear();
        self.due_bytes = 0;
        self.tail.clear();
        self.unindexed = Unindexed::default();
        self.recent_txns.clear();
        self.unsynced.clear();
        self.unsynced_records = 0;
        self.hints.clear();
        self.incarnation += 1;
    }

    /// Queues a write; batches that continue the last queued ones are written with them.
    pub(super) fn push_due(&mut self, due: Due, now_ms: i64) {
        if self.due.is_empty() {
            self.due_since_ms = now_ms;
        }
        self.due_bytes += due.bytes();
        if let (
            Some(Due {
                group,
                what:
                    DueWrite::Batches {
                        file,
                        at,
                        slices,
                        len,
                        end_offset,
                        records,
                    },
            }),
            Due {
                group: new_group,
                what:
                    DueWrite::Batches {
                        file: new_file,
                        at: new_at,
                        slices: more,
                        len: new_len,
                        end_offset: new_end,
                        records: new_records,
                    },
            },
        ) = (self.due.back_mut(), &due)
            && file.same_handle(new_file)
            && *group == *new_group
            && *at + *len as u64 == *new_at
        {
            slices.extend_from_slice(more);
            *len += new_len;
            *end_offset = *new_end;
            *records += new_records;
            return;
        }
        self.dues_pushed += 1;
        self.due.push_back(due);
    }

    /// Writes for the index entries collected so far; they come after the batches that they point at.
    pub(super) fn take_unindexed(&mut self, group: u64) -> Vec<Due> {
        let Unindexed {
            offsets,
            times,
            txns,
        } = std::mem::take(&mut self.unindexed);
        // At most three writes come of this; the transactions are in the last of them.
        let last_due = self.dues_pushed + 3;
        self.recent_txns
            .iter_mut()
            .filter(|(due, _)| *due == u64::MAX)
            .for_each(|(due, _)| *due = last_due);
        let (active, files) = (&self.entry.state.active, &self.files);
        let base = active.base_offset;
        let mut due = Vec::new();
        let mut entries =
            |file: &File, total: u32, count: usize, entry_len: usize, bytes: Vec<u8>| {
                if count > 0 {
                    let at = (total as usize - count) as u64 * entry_len as u64;
                    due.push(Due {
                        group,
                        what: DueWrite::Entries {
                            file: file.clone(),
                            at,
                            bytes: bytes.into(),
                        },
                    });
                }
            };
        let mut bytes = Vec::with_capacity(offsets.len() * index::OFFSET_ENTRY_LEN);
        offsets
            .iter()
            .for_each(|&entry| index::put_offset_entry(&mut bytes, base, entry));
        entries(
            &files.index,
            active.index_entries,
            offsets.len(),
            index::OFFSET_ENTRY_LEN,
            bytes,
        );
        let mut bytes = Vec::with_capacity(times.len() * index::TIME_ENTRY_LEN);
        times
            .iter()
            .for_each(|&entry| index::put_time_entry(&mut bytes, base, entry));
        entries(
            &files.time,
            active.time_entries,
            times.len(),
            index::TIME_ENTRY_LEN,
            bytes,
        );
        let mut bytes = Vec::with_capacity(txns.len() * index::TXN_ENTRY_LEN);
        txns.iter()
            .for_each(|txn| index::put_txn_entry(&mut bytes, txn));
        entries(
            &files.txn,
            active.txn_entries,
            txns.len(),
            index::TXN_ENTRY_LEN,
            bytes,
        );
        due
    }

    /// Writes that leave the active segment's files as Kafka wants a sealed segment's: with the last entry of the time
    /// index, all there, and not a byte longer than they should be.
    pub(super) fn close_active(&mut self, group: u64) -> Vec<Due> {
        let closing = self.entry.state.active.index_time();
        self.unindexed.times.extend(closing);
        let mut due = self.take_unindexed(group);
        let active = &self.entry.state.active;
        let lens = [
            (&self.files.log, u64::from(active.len)),
            (
                &self.files.index,
                u64::from(active.index_entries) * index::OFFSET_ENTRY_LEN as u64,
            ),
            (
                &self.files.time,
                u64::from(active.time_entries) * index::TIME_ENTRY_LEN as u64,
            ),
        ];
        due.extend(lens.map(|(file, len)| Due {
            group,
            what: DueWrite::Cut {
                file: file.clone(),
                len,
            },
        }));
        due
    }

    /// Handles for the segment that is active now.
    pub(super) fn renew_files(&mut self) {
        self.files = ActiveFiles::new(&self.dir, self.entry.state.active.base_offset);
    }

    pub(super) fn note_unsynced(&mut self, file: &File) {
        if !self.unsynced.iter().any(|known| known.same_handle(file)) {
            self.unsynced.push(file.clone());
        }
    }
}
