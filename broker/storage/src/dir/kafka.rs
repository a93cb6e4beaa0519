//! Reading a directory as Apache Kafka left it: after a clean stop from its small files and the ends of its segments, otherwise by a
//! recovery scan from its recovery points, which cuts where Kafka would cut.
//!
//! Only Kafka's own data may be cut here: what Kafka acknowledged without fsync it does not promise to keep. Anything Kafka itself
//! would have to finish first (a compaction cut short) is left to it, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_protocol::Uuid;

use super::DirError;
use super::open::Opening;
use super::recover::INDEX_INTERVAL;
use crate::cursor::Cursor;
use crate::damage::Damage;
use crate::disk::{DirEntry, DiskOp, File, Lane, OpenMode};
use crate::entry::{Durability, Entry, LogId};
use crate::epochs::EpochCache;
use crate::index::{
    OFFSET_ENTRY_LEN, OffsetIndex, TIME_ENTRY_LEN, TXN_ENTRY_LEN, TimeEntry, TimeIndex,
};
use crate::layout::{
    OffsetCheckpoint, parse_epoch_checkpoint, parse_offset_checkpoint, parse_partition_metadata,
};
use crate::names::{
    DirName, LEADER_EPOCH_CHECKPOINT, LOG_START_CHECKPOINT, LogName, PARTITION_METADATA,
    RECOVERY_POINT_CHECKPOINT, REPLICATION_CHECKPOINT, SegmentFile,
};
use crate::producers::Producers;
use crate::reader::rebuild_indexes;
use crate::rewind::{Rereading, SegmentEntries};
use crate::segment::{NO_TIMESTAMP, Segment};
use crate::state::LogState;

/// Kafka's three checkpoint files; a missing or broken one is as if empty, which only costs time.
struct Checkpoints {
    recovery_points: OffsetCheckpoint,
    log_starts: OffsetCheckpoint,
    high_watermarks: OffsetCheckpoint,
}

/// All logs of a directory that Apache Kafka used last.
pub(super) async fn read_logs(
    opening: &Opening<'_>,
    names: &[DirEntry],
    was_clean: bool,
) -> Result<Vec<Entry>, DirError> {
    if !was_clean
        && names
            .iter()
            .any(|entry| matches!(DirName::parse(&entry.name), DirName::Log(_)))
    {
        tracing::warn!(path = %opening.path.display(), "Apache Kafka was not stopped cleanly on this directory: its logs are scanned as Kafka would");
    }
    read(opening, names, &[], 0, was_clean).await
}

/// Logs that appeared in a directory in use without its manifest knowing them: somebody put them there.
pub(super) async fn read_unknown_logs(
    opening: &Opening<'_>,
    names: &[DirEntry],
    known: &[LogName],
    first_id: u32,
) -> Result<Vec<Entry>, DirError> {
    read(opening, names, known, first_id, false).await
}

async fn read(
    opening: &Opening<'_>,
    names: &[DirEntry],
    known: &[LogName],
    first_id: u32,
    was_clean: bool,
) -> Result<Vec<Entry>, DirError> {
    let unknown: Vec<LogName> = names
        .iter()
        .filter(|entry| entry.stat.is_dir)
        .filter_map(|entry| match DirName::parse(&entry.name) {
            DirName::Log(name) => Some(name),
            _ => None,
        })
        .filter(|name| !known.contains(name))
        .collect();
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let checkpoints = Checkpoints::read(opening).await?;
    let mut entries = Vec::with_capacity(unknown.len());
    for (at, name) in unknown.into_iter().enumerate() {
        let dir = opening.path.join(name.to_string());
        // Kafka recovers its metadata log from the front at every start, and so has no recovery point for it.
        let is_trusted = was_clean && !name.is_cluster_metadata();
        let log = KafkaLog {
            opening,
            listing: opening.list(&dir).await?,
            dir,
            name,
            is_trusted,
        };
        entries.push(log.read(LogId(first_id + at as u32), &checkpoints).await?);
    }
    Ok(entries)
}

impl Checkpoints {
    async fn read(opening: &Opening<'_>) -> Result<Self, DirError> {
        let mut read = BTreeMap::new();
        for file in [
            RECOVERY_POINT_CHECKPOINT,
            LOG_START_CHECKPOINT,
            REPLICATION_CHECKPOINT,
        ] {
            let offsets = match opening
                .read(file)
                .await?
                .map(|text| parse_offset_checkpoint(&text))
            {
                Some(Ok(offsets)) => offsets,
                Some(Err(error)) => {
                    tracing::warn!(file, %error, "a checkpoint cannot be used");
                    OffsetCheckpoint::new()
                }
                None => OffsetCheckpoint::new(),
            };
            read.insert(file, offsets);
        }
        let mut take = |file| read.remove(file).unwrap_or_default();
        Ok(Self {
            recovery_points: take(RECOVERY_POINT_CHECKPOINT),
            log_starts: take(LOG_START_CHECKPOINT),
            high_watermarks: take(REPLICATION_CHECKPOINT),
        })
    }
}

/// The id that the topic of the metadata log has in every cluster.
const CLUSTER_METADATA_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// One partition directory of Kafka's.
struct KafkaLog<'a> {
    opening: &'a Opening<'a>,
    dir: PathBuf,
    name: LogName,
    listing: Vec<DirEntry>,
    /// Kafka closed it, so its indexes and its end are as they should be.
    is_trusted: bool,
}

impl KafkaLog<'_> {
    async fn read(&self, id: LogId, checkpoints: &Checkpoints) -> Result<Entry, DirError> {
        let (topic_id, mut damage) = match self.topic_id().await? {
            Ok(topic_id) => (topic_id, None),
            Err(damage) => (Uuid::ZERO, Some(damage)),
        };
        if let Some(file) = self
            .listing
            .iter()
            .find(|file| file.name.ends_with(".swap"))
        {
            let what = format!(
                "{}/{} is left of a compaction that Apache Kafka did not finish: start and stop Apache Kafka on the directory once",
                self.name, file.name
            );
            damage.get_or_insert(Damage::Noted(what));
        }
        let mut state = self.state(checkpoints, &mut damage).await?;
        if let Some(&log_start) = checkpoints.log_starts.get(&self.name) {
            state.raise_start(log_start.min(state.end()), log_start.min(state.end()));
        }
        Ok(Entry {
            id,
            topic_id,
            has_dir: true,
            durability: Durability::Fsync,
            is_stale_for_kafka: !self.is_trusted,
            high_watermark: checkpoints
                .high_watermarks
                .get(&self.name)
                .copied()
                .unwrap_or(state.log_start),
            damage,
            name: self.name.clone(),
            state,
        })
    }

    async fn topic_id(&self) -> Result<Result<Uuid, Damage>, DirError> {
        let damage = |what: String| Damage::TopicId {
            directory: self.name.to_string(),
            what,
        };
        let text = self
            .opening
            .read(&format!("{}/{PARTITION_METADATA}", self.name))
            .await?;
        Ok(match text.map(|text| parse_partition_metadata(&text)) {
            Some(Ok(topic_id)) => Ok(topic_id),
            Some(Err(error)) => Err(damage(error.to_string())),
            // A format of Kafka's makes the directory without the file, and so does a first vote that a crash cuts off
            // from its log. What is in it (votes, snapshots) belongs to the one log of that name.
            None if self.name.is_cluster_metadata() => Ok(CLUSTER_METADATA_ID),
            None => Err(damage("it is missing".to_owned())),
        })
    }

    async fn state(
        &self,
        checkpoints: &Checkpoints,
        damage: &mut Option<Damage>,
    ) -> Result<LogState, DirError> {
        let mut bases: Vec<i64> = self.files(SegmentFile::Log).collect();
        bases.sort_unstable();
        let Some((&last, before)) = bases.split_last() else {
            let start = checkpoints.log_starts.get(&self.name).copied().unwrap_or(0);
            return Ok(LogState::new(start, self.opening.now_ms));
        };
        let epochs = self.epochs().await?;
        if self.is_trusted
            && let Some(epochs) = &epochs
            && let Some(state) = self.trusted(before, last, epochs.clone()).await?
        {
            return Ok(state);
        }
        let recovery_point = if epochs.is_some() {
            checkpoints
                .recovery_points
                .get(&self.name)
                .copied()
                .unwrap_or(0)
        } else {
            0
        };
        self.scanned(&bases, recovery_point, epochs.unwrap_or_default(), damage)
            .await
    }

    /// From the small files and the end of the last segment. `None` when they do not agree.
    async fn trusted(
        &self,
        before: &[i64],
        last: i64,
        epochs: EpochCache,
    ) -> Result<Option<LogState>, DirError> {
        let mut sealed = Vec::with_capacity(before.len());
        for (at, &base) in before.iter().enumerate() {
            let next = before.get(at + 1).copied().unwrap_or(last);
            match self.closed_segment(base, next).await? {
                Some(segment) => sealed.push(segment),
                None => return Ok(None),
            }
        }
        let Some(active) = self.active_segment(last).await? else {
            return Ok(None);
        };
        let mut state = LogState {
            log_start: sealed.first().unwrap_or(&active).base_offset,
            local_start: sealed.first().unwrap_or(&active).base_offset,
            sealed: Arc::new(sealed),
            active,
            epochs,
            producers: Producers::default(),
        };
        state.epochs.truncate_end(state.end());
        state.producers = self.producers(&state).await?;
        Ok(Some(state))
    }

    /// A segment that Kafka sealed, from its indexes. `None` when one is missing or not plausible.
    async fn closed_segment(&self, base: i64, end: i64) -> Result<Option<Segment>, DirError> {
        let Some(len) = self.len(base, SegmentFile::Log) else {
            return Ok(None);
        };
        let (offsets, times) = (
            self.bytes(base, SegmentFile::Index).await?,
            self.bytes(base, SegmentFile::TimeIndex).await?,
        );
        let (Some(offsets), Some(times)) = (offsets, times) else {
            return Ok(None);
        };
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let index = OffsetIndex::checked(&offsets, base, end, len);
        let (Some(_), Some(time_index)) = (index, TimeIndex::checked(&times, base, end)) else {
            return Ok(None);
        };
        let nothing = TimeEntry {
            timestamp: NO_TIMESTAMP,
            offset: base,
        };
        let latest = time_index.last().unwrap_or(nothing);
        Ok(Some(Segment {
            end_offset: end,
            len,
            latest,
            index_entries: (offsets.len() / OFFSET_ENTRY_LEN) as u32,
            time_entries: (times.len() / TIME_ENTRY_LEN) as u32,
            time_indexed: latest.timestamp,
            txn_entries: (self.len(base, SegmentFile::TxnIndex).unwrap_or(0) as usize
                / TXN_ENTRY_LEN) as u32,
            ..Segment::new(base, self.modified_ms(base))
        }))
    }

    /// The last segment: its indexes, and the batches behind the last entry. `None` when they do not agree.
    async fn active_segment(&self, base: i64) -> Result<Option<Segment>, DirError> {
        let Some(mut segment) = self.closed_segment(base, i64::MAX).await? else {
            return Ok(None);
        };
        let offsets = self
            .bytes(base, SegmentFile::Index)
            .await?
            .unwrap_or_default();
        let index = OffsetIndex::checked(&offsets, base, i64::MAX, segment.len);
        let from = index
            .and_then(|index| index.last())
            .map_or(0, |entry| entry.position);
        segment.end_offset = base;
        segment.bytes_unindexed = segment.len - from;
        let path = SegmentFile::Log.path(&self.dir, base);
        let file = File::new(&path, OpenMode::Read);
        let mut front = Cursor::new(
            &**self.opening.disk,
            Lane::Any,
            file.clone(),
            0,
            u64::from(segment.len),
        )
        .reading(4096);
        if let Ok(Some(header)) = front.peek().await {
            segment.first_timestamp = header.max_timestamp;
        }
        let mut cursor = Cursor::new(
            &**self.opening.disk,
            Lane::Any,
            file,
            u64::from(from),
            u64::from(segment.len),
        );
        loop {
            match cursor.next_header().await {
                Ok(Some((_, header))) => {
                    segment.end_offset = header.next_offset();
                    if header.max_timestamp > segment.latest.timestamp {
                        segment.latest = TimeEntry {
                            timestamp: header.max_timestamp,
                            offset: header.last_offset(),
                        };
                    }
                }
                Ok(None) => {
                    return Ok(
                        (segment.latest.offset < segment.end_offset || segment.len == 0)
                            .then_some(segment),
                    );
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// Producers from Kafka's newest snapshot that is not of the future, and the batches since.
    async fn producers(&self, state: &LogState) -> Result<Producers, DirError> {
        let end = state.end();
        let newest = self
            .files(SegmentFile::Snapshot)
            .filter(|&offset| offset <= end)
            .max();
        if newest == Some(end)
            && let Some(bytes) = self.bytes(end, SegmentFile::Snapshot).await?
            && let Ok(producers) = Producers::from_snapshot(&bytes)
        {
            return Ok(producers);
        }
        let rereading = self.rereading(false);
        let active = &state.active;
        let mut again = LogState::new(active.base_offset, active.created_ms);
        again.producers = rereading
            .producers_at(&state.sealed, active.base_offset)
            .await
            .map_err(|error| self.io(error))?;
        let reread = rereading
            .catch_up(
                &mut again,
                &mut SegmentEntries::default(),
                u64::from(active.len),
                i64::MAX,
            )
            .await;
        reread.map_err(|error| self.io(error))?;
        Ok(again.producers)
    }

    /// From the batches: segments below the recovery point by their headers, those above with every checksum. Above
    /// the recovery point it ends at the first batch that is not sound, and what lies behind is cut off and removed; below, that is damage.
    async fn scanned(
        &self,
        bases: &[i64],
        recovery_point: i64,
        epochs: EpochCache,
        damage: &mut Option<Damage>,
    ) -> Result<LogState, DirError> {
        let mut state = LogState::new(bases[0], self.modified_ms(bases[0]));
        state.epochs = epochs;
        for (at, &base) in bases.iter().enumerate() {
            if base < state.end() {
                let what = format!(
                    "offset {base} begins the next segment, {} was reached",
                    state.end()
                );
                damage.get_or_insert(self.corrupt(state.active.base_offset, 0, what));
                break;
            }
            if base > state.active.base_offset {
                state.roll(base, self.modified_ms(base));
            }
            let is_above = bases.get(at + 1).is_none_or(|&next| next > recovery_point);
            let len = self.len(base, SegmentFile::Log).unwrap_or(0);
            let mut entries = SegmentEntries::default();
            let bad = self
                .rereading(is_above)
                .catch_up(&mut state, &mut entries, len, i64::MAX)
                .await;
            let bad = bad.map_err(|error| self.io(error))?;
            self.make_indexes(&mut state).await?;
            let Some(bad) = bad else { continue };
            if state.end() < recovery_point {
                // Below what Kafka had flushed nothing may be missing, whoever wrote it.
                let position = u64::from(state.active.len);
                damage.get_or_insert(self.corrupt(base, position, bad.to_string()));
                continue;
            }
            tracing::warn!(log = %self.name, segment = base, %bad, "the log is cut here, as Apache Kafka would cut it");
            self.cut(&state, &bases[at + 1..]).await?;
            break;
        }
        state.epochs.truncate_end(state.end());
        Ok(state)
    }

    fn corrupt(&self, base: i64, position: u64, what: String) -> Damage {
        let file = SegmentFile::Log
            .path(Path::new(""), base)
            .display()
            .to_string();
        let damage = Damage::Corrupt {
            directory: self.name.to_string(),
            file,
            position,
            what,
        };
        tracing::error!(%damage, "the log is damaged");
        damage
    }

    /// Index files of the segment that was just read.
    async fn make_indexes(&self, state: &mut LogState) -> Result<(), DirError> {
        let rebuilt = rebuild_indexes(
            &**self.opening.disk,
            &self.dir,
            &state.active,
            INDEX_INTERVAL,
        )
        .await;
        let rebuilt = rebuilt.map_err(|error| self.io(std::io::Error::other(error.to_string())))?;
        let active = &mut state.active;
        active.index_entries = (rebuilt.offsets.len() / OFFSET_ENTRY_LEN) as u32;
        active.time_entries = (rebuilt.times.len() / TIME_ENTRY_LEN) as u32;
        active.time_indexed = active.latest.timestamp;
        Ok(())
    }

    async fn cut(&self, state: &LogState, behind: &[i64]) -> Result<(), DirError> {
        let file = File::new(
            SegmentFile::Log.path(&self.dir, state.active.base_offset),
            OpenMode::Write,
        );
        let mut steps = vec![
            DiskOp::Truncate {
                file: file.clone(),
                len: u64::from(state.active.len),
            },
            DiskOp::SyncData(file),
        ];
        let is_behind =
            |name: &str| SegmentFile::parse(name).is_some_and(|(base, _)| behind.contains(&base));
        let names = self.listing.iter().filter(|file| is_behind(&file.name));
        steps.extend(names.map(|file| DiskOp::RemoveFile(self.dir.join(&file.name))));
        steps.push(DiskOp::SyncDir(self.dir.clone()));
        let done = self.opening.disk.run_all(Lane::Any, steps).await;
        done.map(drop).map_err(|error| self.io(error))
    }

    /// `None` when the file is missing or broken: epochs are then taken from the batches.
    async fn epochs(&self) -> Result<Option<EpochCache>, DirError> {
        let text = self
            .opening
            .read(&format!("{}/{LEADER_EPOCH_CHECKPOINT}", self.name))
            .await?;
        Ok(text
            .and_then(|text| parse_epoch_checkpoint(&text).ok())
            .map(EpochCache::from_entries))
    }

    fn rereading(&self, checks_crc: bool) -> Rereading<'_> {
        Rereading {
            disk: &**self.opening.disk,
            dir: &self.dir,
            index_interval_bytes: INDEX_INTERVAL,
            checks_crc,
        }
    }

    fn files(&self, wanted: SegmentFile) -> impl Iterator<Item = i64> + '_ {
        let parsed = self
            .listing
            .iter()
            .filter_map(|file| SegmentFile::parse(&file.name));
        parsed
            .filter(move |(_, kind)| *kind == wanted)
            .map(|(base, _)| base)
    }

    fn find(&self, base: i64, kind: SegmentFile) -> Option<&DirEntry> {
        self.listing
            .iter()
            .find(|file| SegmentFile::parse(&file.name) == Some((base, kind)))
    }

    fn len(&self, base: i64, kind: SegmentFile) -> Option<u64> {
        self.find(base, kind).map(|file| file.stat.len)
    }

    fn modified_ms(&self, base: i64) -> i64 {
        self.find(base, SegmentFile::Log)
            .map_or(self.opening.now_ms, |file| file.stat.modified_ms)
    }

    async fn bytes(&self, base: i64, kind: SegmentFile) -> Result<Option<bytes::Bytes>, DirError> {
        let bytes =
            crate::atomic_file::read(&**self.opening.disk, Lane::Any, &kind.path(&self.dir, base))
                .await;
        bytes.map_err(|error| self.io(error))
    }

    fn io(&self, error: std::io::Error) -> DirError {
        DirError::io("reading", self.dir.clone(), error)
    }
}
