//! After a crash: the manifest's logs, brought up to date by the commit log, checked against the files.
//!
//! Replay is physical: batches go to the very place in the very segment where they were meant to be, so doing it
//! twice is doing it once. A frame counts only where it continues its log; otherwise the log is damaged and says why. The cost follows
//! the commit log, not the size of the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_protocol::Uuid;
use ottla_protocol::records::batches;

use super::open::{Found, Opening};
use super::replay::{Groups, Step, lanes};
use super::verify::{History, Listings, Verified};
use super::{DirError, kafka, tag_of, verify as checks};
use crate::atomic_file;
use crate::commit::{AppendFrame, Frame, ReadGroup};
use crate::damage::Damage;
use crate::disk::{DirEntry, DiskOp, File, Lane, OpenMode};
use crate::entry::{Durability, Entry, LogId, Undecodable};
use crate::index::{self, OFFSET_ENTRY_LEN, TIME_ENTRY_LEN, TXN_ENTRY_LEN};
use crate::layout::{parse_partition_metadata, render_partition_metadata};
use crate::manifest::Manifest;
use crate::names::{LogName, MANIFEST, PARTITION_METADATA, SegmentFile, retired_dir};
use crate::rewind::SegmentEntries;
use crate::set::marker_of;
use crate::state::LogState;

/// Index interval while replaying: the topic's own setting is not known yet, and any is right.
pub(super) const INDEX_INTERVAL: u32 = 4096;

/// Replayed batches are written in pieces of this size.
const WRITE_BYTES: usize = 4 << 20;

/// Opens a directory that was in use.
pub(super) async fn recover(
    opening: &Opening<'_>,
    directory_id: Uuid,
    names: &[DirEntry],
) -> Result<Found, DirError> {
    let (mut manifest, entries) = read_manifest(opening, directory_id).await?;
    let listings = Listings::read(opening, names).await?;
    let released = |lane: u16| manifest.released.get(&lane).copied().unwrap_or(0);
    let mut recovery = Recovery::new(opening, entries, listings);
    let mut starts = BTreeMap::new();
    for mut groups in lanes(opening, names, tag_of(directory_id), released).await? {
        recovery.replay(&mut groups).await?;
        let lane = groups.lane;
        starts.insert(lane, groups.into_start(released(lane)));
    }
    let next_log = recovery.next_log.max(manifest.next_log);
    let removed = std::mem::take(&mut recovery.removed);
    let (mut entries, after_manifest) = recovery.finish().await?;
    let known: Vec<LogName> = entries.iter().map(|entry| entry.name.clone()).collect();
    let names: Vec<DirEntry> = names
        .iter()
        .filter(|entry| !removed.contains(&entry.name))
        .cloned()
        .collect();
    let strangers = kafka::read_unknown_logs(opening, &names, &known, next_log).await?;
    manifest.next_log = next_log + strangers.len() as u32;
    entries.extend(strangers);
    manifest.entries.clear();
    manifest.clean_stop = None;
    entries.iter().for_each(|entry| manifest.put(entry));
    for (&lane, start) in &starts {
        manifest.released.insert(lane, start.last_sequence);
    }
    opening.write(MANIFEST, manifest.encode()).await?;
    checks::run_many(opening, after_manifest).await?;
    opening.forget_clean_shutdown(&names).await?;
    let previous_broker_epoch = opening.broker_epoch_after_crash(&entries).await?;
    // Lanes without chunks still must not use a sequence number twice.
    for (&lane, &last_sequence) in &manifest.released {
        starts.entry(lane).or_default().last_sequence = last_sequence;
    }
    Ok(Found {
        manifest,
        entries,
        lanes: starts,
        was_clean: false,
        previous_broker_epoch,
    })
}

async fn read_manifest(
    opening: &Opening<'_>,
    directory_id: Uuid,
) -> Result<(Manifest, Vec<Entry>), DirError> {
    let path = opening.path.join(MANIFEST);
    let bytes = atomic_file::read(&**opening.disk, Lane::Any, &path).await;
    let bytes = bytes.map_err(|error| DirError::io("reading", path.clone(), error))?;
    let decoded = match bytes {
        Some(bytes) => Manifest::decode(&bytes),
        None => Err(Undecodable("it is missing")),
    };
    match decoded {
        Ok((manifest, entries)) if manifest.directory_id == directory_id => Ok((manifest, entries)),
        Ok(_) => Err(DirError::Manifest {
            path,
            error: Undecodable("it belongs to another directory"),
        }),
        Err(error) => Err(DirError::Manifest { path, error }),
    }
}

/// A log being brought up to date.
struct Recovering {
    entry: Entry,
    history: History,
    /// Its directory is gone or another topic's; `None` before anybody looked.
    is_away: Option<bool>,
    dir_is_made: bool,
    /// A group was lost since this log was last seen to be continuous.
    lost_group: Option<u64>,
    log_file: File,
    unindexed: SegmentEntries,
    unsynced: Vec<File>,
}

struct Recovery<'a> {
    opening: &'a Opening<'a>,
    logs: BTreeMap<LogId, Recovering>,
    listings: Listings,
    /// Directories that are no more.
    removed: BTreeSet<String>,
    next_log: u32,
    steps: Vec<DiskOp>,
    step_bytes: usize,
}

impl<'a> Recovery<'a> {
    fn new(opening: &'a Opening<'a>, entries: Vec<Entry>, listings: Listings) -> Self {
        let logs = entries.into_iter().map(|entry| {
            let history = History::of(&entry.state);
            let mut log = Recovering::new(opening.path, entry, history);
            // A directory that is missing is damage; what the commit log has of it is kept all the same.
            log.dir_is_made &= listings.has(&log.entry.name);
            (log.entry.id, log)
        });
        Self {
            opening,
            logs: logs.collect(),
            listings,
            removed: BTreeSet::new(),
            next_log: 0,
            steps: Vec::new(),
            step_bytes: 0,
        }
    }

    async fn replay(&mut self, groups: &mut Groups<'_>) -> Result<(), DirError> {
        while let Some(step) = groups.next().await? {
            match step {
                Step::Group(group) => self.take_group(group).await?,
                Step::Lost {
                    sequence,
                    group: Some(group),
                } => {
                    tracing::error!(
                        sequence,
                        "a group of the commit log is damaged below its flushed end"
                    );
                    self.take_broken_group(sequence, group).await?;
                }
                Step::Lost {
                    sequence,
                    group: None,
                } => {
                    tracing::error!(
                        sequence,
                        "a group of the commit log is unreadable below its flushed end"
                    );
                    let durable = self
                        .logs
                        .values_mut()
                        .filter(|log| log.entry.durability == Durability::Fsync);
                    durable.for_each(|log| log.lost_group = log.lost_group.or(Some(sequence)));
                }
            }
        }
        Ok(())
    }

    async fn take_group(&mut self, group: ReadGroup) -> Result<(), DirError> {
        for read in group.frames {
            self.take_frame(read.frame, read.payload).await?;
        }
        Ok(())
    }

    /// Frames whose batches are sound count; the others name the logs that lost records.
    async fn take_broken_group(&mut self, sequence: u64, group: ReadGroup) -> Result<(), DirError> {
        for read in group.frames {
            match (&read.frame, read.is_sound) {
                (Frame::Append(append), false) => {
                    if let Some(log) = self.logs.get_mut(&append.log) {
                        log.damage(Damage::LostGroup {
                            directory: log.entry.name.to_string(),
                            sequence,
                        });
                    }
                }
                _ => self.take_frame(read.frame, read.payload).await?,
            }
        }
        Ok(())
    }

    async fn take_frame(&mut self, frame: Frame, payload: Bytes) -> Result<(), DirError> {
        match frame {
            Frame::Append(append) => self.take_append(append, payload).await?,
            Frame::Put(entry) => self.take_put(*entry),
            Frame::Start {
                log,
                log_start,
                local_start,
            } => {
                if let Some(log) = self.logs.get_mut(&log) {
                    log.history.is_touched = true;
                    log.entry.is_stale_for_kafka = true;
                    match log.entry.durability {
                        Durability::Fsync => {
                            let gone = log.entry.state.raise_start(log_start, local_start);
                            let bases = gone.iter().map(|segment| segment.base_offset);
                            log.remove_segments(bases, self.opening.path, &mut self.steps);
                        }
                        // How far the log goes is only known when its files have been read.
                        Durability::PageCache => log.history.start = Some((log_start, local_start)),
                    }
                }
            }
            Frame::Remove(id) => self.take_away(id, "delete").await?,
            Frame::SetAside(id) => self.take_away(id, "stray").await?,
        }
        Ok(())
    }

    async fn take_append(&mut self, frame: AppendFrame, payload: Bytes) -> Result<(), DirError> {
        self.look_whether_away(frame.log).await?;
        let Some(log) = self.logs.get_mut(&frame.log) else {
            tracing::warn!(
                log = frame.log.0,
                "the commit log has records of a log that the manifest does not know"
            );
            return Ok(());
        };
        if log.is_away == Some(true) {
            return Ok(());
        }
        let state = &log.entry.state;
        let continues =
            frame.segment == state.active.base_offset && frame.position == state.active.len;
        let rolls = frame.position == 0
            && frame.segment >= state.end()
            && frame.segment > state.active.base_offset;
        if frame.base_offset < state.end() || !(continues || rolls) {
            let what = format!(
                "records from offset {} are at byte {} of segment {}, the log ends at offset {} and byte {} of segment {}",
                frame.base_offset,
                frame.position,
                frame.segment,
                state.end(),
                state.active.len,
                state.active.base_offset
            );
            log.damage(Damage::Gap {
                directory: log.entry.name.to_string(),
                what,
            });
            return Ok(());
        }
        log.history.is_touched = true;
        log.lost_group = None;
        log.entry.is_stale_for_kafka = true;
        if !log.dir_is_made {
            log.dir_is_made = true;
            make_dir(&mut self.steps, self.opening.path, &log.entry);
        }
        if rolls {
            log.close_segment(&mut self.steps);
            log.entry.state.roll(frame.segment, self.opening.now_ms);
            let dir = log.dir(self.opening.path);
            log.log_file = segment_file(&dir, frame.segment, SegmentFile::Log);
            self.steps.extend(snapshot_steps(&dir, &log.entry.state));
        }
        self.steps.push(DiskOp::Write {
            file: log.log_file.clone(),
            at: u64::from(frame.position),
            slices: vec![payload.clone()],
        });
        log.note_unsynced(log.log_file.clone());
        for batch in batches(payload.clone()).map_while(Result::ok) {
            let marker = marker_of(&batch).ok().flatten();
            let appended = log
                .entry
                .state
                .append(batch.header(), marker.as_ref(), INDEX_INTERVAL);
            log.unindexed.offsets.extend(appended.indexed.offset);
            log.unindexed.times.extend(appended.indexed.time);
            log.unindexed.txns.extend(appended.aborted);
        }
        self.step_bytes += payload.len();
        if self.step_bytes >= WRITE_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// The directory of a deleted log is renamed once that is durable, and the name may have a new owner by now. Its records are
    /// still in the commit log, in front of the frame that says so; they must not get into the new owner's files.
    async fn look_whether_away(&mut self, id: LogId) -> Result<(), DirError> {
        let Some(log) = self.logs.get(&id).filter(|log| log.is_away.is_none()) else {
            return Ok(());
        };
        let is_away = log.entry.has_dir && self.is_another_topics(&log.entry).await?;
        if let Some(log) = self.logs.get_mut(&id) {
            log.is_away = Some(is_away);
        }
        Ok(())
    }

    async fn is_another_topics(&self, entry: &Entry) -> Result<bool, DirError> {
        if !self.listings.has(&entry.name) {
            return Ok(false);
        }
        let path = format!("{}/{PARTITION_METADATA}", entry.name);
        let metadata = self.opening.read(&path).await?;
        let topic_id = metadata.and_then(|text| parse_partition_metadata(&text).ok());
        // A file that is missing or unreadable is another matter, and judged elsewhere.
        Ok(topic_id.is_some_and(|topic_id| topic_id != entry.topic_id))
    }

    fn take_put(&mut self, entry: Entry) {
        self.next_log = self.next_log.max(entry.id.0 + 1);
        match self.logs.get_mut(&entry.id) {
            Some(log) => {
                let has_dir = log.entry.has_dir;
                if entry.state == log.entry.state {
                    log.history.is_touched = true;
                } else {
                    log.history.cut(&entry.state);
                    log.replace_state(&entry.state, self.opening.path, &mut self.steps);
                }
                log.history.start = None;
                log.entry = Entry { has_dir, ..entry };
                log.unindexed = SegmentEntries::default();
                let base = log.entry.state.active.base_offset;
                log.log_file = segment_file(&log.dir(self.opening.path), base, SegmentFile::Log);
                log.lost_group = None;
            }
            None => {
                let entry = Entry {
                    has_dir: false,
                    ..entry
                };
                let mut log = Recovering::new(self.opening.path, entry, History::default());
                log.history.is_touched = true;
                self.logs.insert(log.entry.id, log);
            }
        }
    }

    /// The log's directory goes, if it is still that of this topic and not of one with the same name made since.
    async fn take_away(&mut self, id: LogId, suffix: &str) -> Result<(), DirError> {
        self.flush().await?;
        let Some(log) = self.logs.remove(&id) else {
            return Ok(());
        };
        let name = log.entry.name.to_string();
        let metadata = self
            .opening
            .read(&format!("{name}/{PARTITION_METADATA}"))
            .await?;
        // Without the file it is what an interrupted recovery or write-out left: a log made since begins with the file.
        let topic_id = metadata.and_then(|text| parse_partition_metadata(&text).ok());
        if !self.listings.has(&log.entry.name) && !log.dir_is_made
            || topic_id.is_some_and(|topic_id| topic_id != log.entry.topic_id)
        {
            return Ok(());
        }
        self.listings.forget(&name);
        self.removed.insert(name.clone());
        let from = self.opening.path.join(&name);
        let to = self
            .opening
            .path
            .join(retired_dir(&log.entry.name, log.entry.topic_id, suffix));
        let step = if suffix == "stray" {
            DiskOp::Rename { from, to }
        } else {
            DiskOp::RemoveTree(from)
        };
        self.opening
            .run_all(
                "removing a deleted log of",
                vec![step, DiskOp::SyncDir(self.opening.path.to_owned())],
            )
            .await
    }

    async fn flush(&mut self) -> Result<(), DirError> {
        self.step_bytes = 0;
        let steps = std::mem::take(&mut self.steps);
        let done = self.opening.disk.run_all(Lane::Any, steps).await;
        done.map(drop)
            .map_err(|error| DirError::io("replaying the commit log of", self.opening.path, error))
    }

    /// Files are made to be what the states say, and durable. The operations that are returned come after the manifest.
    async fn finish(mut self) -> Result<(Vec<Entry>, Vec<DiskOp>), DirError> {
        for log in self
            .logs
            .values_mut()
            .filter(|log| log.history.is_touched && log.dir_is_made)
        {
            match log.entry.durability {
                Durability::Fsync => log.write_entries(&mut self.steps),
                // Its files go on behind what the commit log knows; nothing of them may be cut here.
                Durability::PageCache => log.history.note_old_indexes(&log.entry.state),
            }
        }
        self.flush().await?;
        let root = self.opening.path;
        let (mut syncs, mut after_manifest) = (Vec::new(), Vec::new());
        let mut entries = Vec::new();
        for mut log in std::mem::take(&mut self.logs).into_values() {
            if let Some(sequence) = log.lost_group {
                log.damage(Damage::LostGroup {
                    directory: log.entry.name.to_string(),
                    sequence,
                });
            }
            let Verified {
                steps,
                unsynced,
                after_manifest: later,
            } = checks::crashed(self.opening, &mut log.entry, &log.history, &self.listings).await?;
            let mut steps = steps;
            log.unsynced.extend(unsynced);
            if !log.unsynced.is_empty() || !steps.is_empty() {
                steps.extend(log.unsynced.drain(..).map(DiskOp::SyncData));
                steps.push(DiskOp::SyncDir(log.dir(root)));
                syncs.push(DiskOp::Sequence(steps));
            }
            if !later.is_empty() {
                after_manifest.push(DiskOp::Sequence(later));
            }
            log.entry.has_dir |= log.dir_is_made;
            entries.push(log.entry);
        }
        checks::run_many(self.opening, syncs).await?;
        self.opening
            .run_all("syncing", vec![DiskOp::SyncDir(root.to_owned())])
            .await?;
        Ok((entries, after_manifest))
    }
}

impl Recovering {
    fn new(root: &Path, entry: Entry, history: History) -> Self {
        let dir = root.join(entry.name.to_string());
        Self {
            log_file: segment_file(&dir, entry.state.active.base_offset, SegmentFile::Log),
            history,
            is_away: None,
            dir_is_made: entry.has_dir,
            lost_group: None,
            unindexed: SegmentEntries::default(),
            unsynced: Vec::new(),
            entry,
        }
    }

    fn dir(&self, root: &Path) -> PathBuf {
        root.join(self.entry.name.to_string())
    }

    fn damage(&mut self, damage: Damage) {
        if self.entry.damage.is_none() {
            tracing::error!(%damage, "the log is damaged");
        }
        self.entry.damage.get_or_insert(damage);
    }

    fn note_unsynced(&mut self, file: File) {
        if !self.unsynced.iter().any(|known| known.same_handle(&file)) {
            self.unsynced.push(file);
        }
    }

    /// The log is cut to `state`.
    fn replace_state(&mut self, state: &LogState, root: &Path, steps: &mut Vec<DiskOp>) {
        let stays = |base: &i64| state.segments().any(|segment| segment.base_offset == *base);
        let before = self.entry.state.segments();
        let bases: Vec<i64> = before.map(|segment| segment.base_offset).collect();
        self.remove_segments(bases.into_iter().filter(|base| !stays(base)), root, steps);
        if self.dir_is_made && state.active.len == 0 {
            steps.extend(snapshot_steps(&self.dir(root), state));
        }
    }

    /// Segments that the log has no more. Nobody else would find those that replay has just written.
    fn remove_segments(
        &mut self,
        bases: impl Iterator<Item = i64>,
        root: &Path,
        steps: &mut Vec<DiskOp>,
    ) {
        let dir = self.dir(root);
        for base in bases.filter(|_| self.dir_is_made) {
            for kind in SegmentFile::ALL {
                let file = segment_file(&dir, base, kind);
                self.unsynced.retain(|known| known.path() != file.path());
                let path = file.path().to_owned();
                // One that is not there is made first, so that removing it cannot fail.
                steps.push(DiskOp::Truncate { file, len: 0 });
                steps.push(DiskOp::RemoveFile(path));
            }
        }
    }

    fn close_segment(&mut self, steps: &mut Vec<DiskOp>) {
        let closing = self.entry.state.active.index_time();
        self.unindexed.times.extend(closing);
        self.write_entries(steps);
    }

    /// Writes the index entries collected so far and cuts the files behind them.
    fn write_entries(&mut self, steps: &mut Vec<DiskOp>) {
        let SegmentEntries {
            offsets,
            times,
            txns,
        } = std::mem::take(&mut self.unindexed);
        let active = &self.entry.state.active;
        let base = active.base_offset;
        let Some(dir) = self.log_file.path().parent().map(Path::to_owned) else {
            return;
        };
        let mut bytes = (Vec::new(), Vec::new(), Vec::new());
        offsets
            .iter()
            .for_each(|&entry| index::put_offset_entry(&mut bytes.0, base, entry));
        times
            .iter()
            .for_each(|&entry| index::put_time_entry(&mut bytes.1, base, entry));
        txns.iter()
            .for_each(|txn| index::put_txn_entry(&mut bytes.2, txn));
        let files = [
            (
                SegmentFile::Index,
                bytes.0,
                active.index_entries as usize * OFFSET_ENTRY_LEN,
            ),
            (
                SegmentFile::TimeIndex,
                bytes.1,
                active.time_entries as usize * TIME_ENTRY_LEN,
            ),
            (
                SegmentFile::TxnIndex,
                bytes.2,
                active.txn_entries as usize * TXN_ENTRY_LEN,
            ),
        ];
        steps.push(DiskOp::Truncate {
            file: self.log_file.clone(),
            len: u64::from(active.len),
        });
        self.note_unsynced(self.log_file.clone());
        for (kind, bytes, len) in files {
            if len == 0 && kind == SegmentFile::TxnIndex {
                continue;
            }
            let file = segment_file(&dir, base, kind);
            if !bytes.is_empty() {
                let at = (len - bytes.len()) as u64;
                steps.push(DiskOp::Write {
                    file: file.clone(),
                    at,
                    slices: vec![bytes.into()],
                });
            }
            steps.push(DiskOp::Truncate {
                file: file.clone(),
                len: len as u64,
            });
            self.note_unsynced(file);
        }
    }
}

fn segment_file(dir: &Path, base_offset: i64, kind: SegmentFile) -> File {
    File::new(kind.path(dir, base_offset), OpenMode::Create)
}

/// Writes the producers as of the active segment's beginning, while it is empty. A snapshot that lies there already may be of a
/// branch that was truncated.
pub(super) fn snapshot_steps(dir: &Path, state: &LogState) -> Vec<DiskOp> {
    let path = SegmentFile::Snapshot.path(dir, state.active.base_offset);
    atomic_file::steps(&path, state.producers.to_snapshot().into())
}

fn make_dir(steps: &mut Vec<DiskOp>, root: &Path, entry: &Entry) {
    let dir = root.join(entry.name.to_string());
    let metadata = File::new(dir.join(PARTITION_METADATA), OpenMode::Create);
    let text = render_partition_metadata(entry.topic_id)
        .into_bytes()
        .into();
    steps.push(DiskOp::CreateDir(dir));
    steps.push(DiskOp::Write {
        file: metadata.clone(),
        at: 0,
        slices: vec![text],
    });
    steps.push(DiskOp::SyncData(metadata));
}

/// After a clean stop of ours that nobody touched since: the files must be what the manifest says.
pub(super) async fn verify(
    opening: &Opening<'_>,
    entries: Vec<Entry>,
    names: &[DirEntry],
) -> Result<Vec<Entry>, DirError> {
    let listings = Listings::read(opening, names).await?;
    let mut verified = Vec::with_capacity(entries.len());
    let mut repairs = Vec::new();
    for mut entry in entries {
        let Verified { mut steps, .. } = checks::stopped(opening, &mut entry, &listings).await?;
        if !steps.is_empty() {
            // The next clean stop syncs the directories of changed logs only.
            steps.push(DiskOp::SyncDir(opening.path.join(entry.name.to_string())));
            repairs.push(DiskOp::Sequence(steps));
        }
        verified.push(entry);
    }
    checks::run_many(opening, repairs).await?;
    Ok(verified)
}
