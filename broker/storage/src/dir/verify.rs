//! Files against states: what is missing or short is damage, what is too long or left over goes, what is only a cache is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::DirError;
use super::open::Opening;
use super::page_cache;
use super::recover::INDEX_INTERVAL;
use crate::atomic_file;
use crate::cursor::{Cursor, WalkError};
use crate::damage::Damage;
use crate::disk::{DirEntry, DiskOp, DiskOutcome, File, Lane, OpenMode};
use crate::entry::{Durability, Entry};
use crate::index::{OFFSET_ENTRY_LEN, OffsetIndex, TIME_ENTRY_LEN, TXN_ENTRY_LEN, put_txn_entry};
use crate::names::{DELETED_SUFFIX, DirName, LogName, SegmentFile};
use crate::reader::rebuild_indexes;
use crate::rewind::{Rereading, SegmentEntries};
use crate::segment::Segment;
use crate::state::LogState;

/// The last flushed bytes of a log that was being written to are read again after a crash, this many.
const TAIL_BYTES: u32 = 64 << 10;

/// What lay in every log's directory before recovery changed anything.
pub(super) struct Listings(BTreeMap<String, Vec<DirEntry>>);

impl Listings {
    pub(super) async fn read(opening: &Opening<'_>, names: &[DirEntry]) -> Result<Self, DirError> {
        let is_log = |entry: &&DirEntry| {
            entry.stat.is_dir && matches!(DirName::parse(&entry.name), DirName::Log(_))
        };
        let under_way: Vec<_> = names
            .iter()
            .filter(is_log)
            .map(|entry| {
                let path = opening.path.join(&entry.name);
                (
                    entry.name.clone(),
                    opening.disk.submit(Lane::Any, DiskOp::List(path)),
                )
            })
            .collect();
        let mut listings = BTreeMap::new();
        for (name, completion) in under_way {
            let outcome = completion
                .await
                .map_err(|error| DirError::io("listing", opening.path.join(&name), error))?;
            if let DiskOutcome::Entries(entries) = outcome {
                listings.insert(name, entries);
            }
        }
        Ok(Self(listings))
    }

    pub(super) fn has(&self, name: &LogName) -> bool {
        self.0.contains_key(&name.to_string())
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Runs independent operations; the first error is returned when all are done.
pub(super) async fn run_many(opening: &Opening<'_>, ops: Vec<DiskOp>) -> Result<(), DirError> {
    let under_way: Vec<_> = ops
        .into_iter()
        .map(|op| opening.disk.submit(Lane::Any, op))
        .collect();
    let mut first = Ok(());
    for completion in under_way {
        let failed = match completion.await {
            Ok(DiskOutcome::Sequence { failed, .. }) => failed,
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            first = first.and(Err(DirError::io("repairing", opening.path, error)));
        }
    }
    first
}

/// What replay knows of a log's files.
#[derive(Default)]
pub(super) struct History {
    /// Segments as of the manifest, as far as no truncation has cut them since: so much was durable in the files before.
    pub(super) intact: BTreeMap<i64, Segment>,
    /// The commit log told of it.
    pub(super) is_touched: bool,
    /// Segments whose index files may be of before a truncation that was replayed.
    old_indexes: BTreeSet<i64>,
    /// First offsets of a log with page-cache durability, once its files have been read.
    pub(super) start: Option<(i64, i64)>,
}

impl History {
    pub(super) fn of(state: &LogState) -> Self {
        let intact = state
            .segments()
            .map(|segment| (segment.base_offset, segment.clone()))
            .collect();
        Self {
            intact,
            ..Self::default()
        }
    }

    /// The active segment's index files are to be made again.
    pub(super) fn note_old_indexes(&mut self, state: &LogState) {
        if state.active.len > 0 {
            self.old_indexes.insert(state.active.base_offset);
        }
    }

    /// The log was cut to `state`.
    pub(super) fn cut(&mut self, state: &LogState) {
        self.is_touched = true;
        self.note_old_indexes(state);
        self.intact.retain(|base, then| {
            match state
                .segments()
                .find(|segment| segment.base_offset == *base)
            {
                // A cut segment ends at another batch; its length is all that is known of it.
                Some(segment) if segment.len < then.len => {
                    *then = Segment {
                        index_entries: 0,
                        ..segment.clone()
                    };
                    true
                }
                Some(_) => true,
                None => false,
            }
        });
    }
}

/// What is left to be done on disk for one log.
#[derive(Default)]
pub(super) struct Verified {
    pub(super) steps: Vec<DiskOp>,
    pub(super) unsynced: Vec<File>,
    /// What may only be done when the manifest says why.
    pub(super) after_manifest: Vec<DiskOp>,
}

/// What is expected of the active segment's indexes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ActiveIndexes {
    /// Replay has written them.
    JustWritten,
    /// Files without entries need not exist while the log is in use.
    Lazy,
    /// Both are there.
    Closed,
}

/// One log's directory.
pub(super) struct Files<'a> {
    pub(super) opening: &'a Opening<'a>,
    pub(super) dir: PathBuf,
    name: String,
    pub(super) listing: Option<&'a Vec<DirEntry>>,
}

impl<'a> Files<'a> {
    fn new(opening: &'a Opening<'a>, entry: &Entry, listings: &'a Listings) -> Self {
        let name = entry.name.to_string();
        Self {
            opening,
            dir: opening.path.join(&name),
            listing: listings.0.get(&name),
            name,
        }
    }

    pub(super) fn len(&self, segment: &Segment, kind: SegmentFile) -> Option<u64> {
        let wanted = kind.path(Path::new(""), segment.base_offset);
        self.listing?
            .iter()
            .find(|entry| Path::new(&entry.name) == wanted)
            .map(|entry| entry.stat.len)
    }

    fn file_name(segment: &Segment) -> String {
        SegmentFile::Log
            .path(Path::new(""), segment.base_offset)
            .display()
            .to_string()
    }

    /// Damage if the segment's file has fewer bytes than were flushed.
    fn shortness(&self, segment: &Segment, required: u32) -> Option<Damage> {
        let (directory, file) = (self.name.clone(), Self::file_name(segment));
        match self.len(segment, SegmentFile::Log) {
            None if required > 0 => Some(Damage::MissingSegment { directory, file }),
            Some(len) if len < u64::from(required) => Some(Damage::ShortSegment {
                directory,
                file,
                len,
                expected: u64::from(required),
            }),
            _ => None,
        }
    }

    pub(super) fn rereading(&self) -> Rereading<'_> {
        Rereading {
            disk: &**self.opening.disk,
            dir: &self.dir,
            index_interval_bytes: INDEX_INTERVAL,
            checks_crc: false,
        }
    }

    pub(super) fn io(&self, error: io::Error) -> DirError {
        DirError::io("reading", self.dir.clone(), error)
    }

    /// Removes files that no segment has: left over from a truncation, a roll that was not durable, a removal cut short.
    fn leftovers(&self, state: &LogState) -> Vec<DiskOp> {
        let stays = |base: i64, kind: SegmentFile| {
            let is_base = state.segments().any(|segment| segment.base_offset == base);
            is_base || (kind == SegmentFile::Snapshot && base == state.end())
        };
        let goes = |name: &str| match SegmentFile::parse(name) {
            Some((base, kind)) => !stays(base, kind),
            None => name.ends_with(DELETED_SUFFIX) || name.ends_with(".tmp"),
        };
        let names = self
            .listing
            .into_iter()
            .flatten()
            .filter(|entry| goes(&entry.name));
        // A file that replay has removed meanwhile is made first, so that removing it cannot fail.
        let remove = |entry: &DirEntry| {
            let path = self.dir.join(&entry.name);
            let file = File::new(&path, OpenMode::Create);
            [DiskOp::Truncate { file, len: 0 }, DiskOp::RemoveFile(path)]
        };
        names.flat_map(remove).collect()
    }

    /// Makes index files again whose size is not what it should be.
    async fn check_indexes(
        &self,
        entry: &mut Entry,
        active: ActiveIndexes,
    ) -> Result<(), DirError> {
        let segments: Vec<Segment> = entry.state.segments().cloned().collect();
        let active_base = entry.state.active.base_offset;
        for segment in segments.iter().filter(|segment| segment.len > 0) {
            let is_active = segment.base_offset == active_base;
            if is_active && active == ActiveIndexes::JustWritten {
                continue;
            }
            let fits = |kind, entries: u32, len: usize| {
                self.len(segment, kind).unwrap_or(0) == u64::from(entries) * len as u64
                    && (entries == 0 || self.len(segment, kind).is_some())
            };
            let has_both = self.len(segment, SegmentFile::Index).is_some()
                && self.len(segment, SegmentFile::TimeIndex).is_some();
            let is_right = fits(SegmentFile::Index, segment.index_entries, OFFSET_ENTRY_LEN)
                && fits(SegmentFile::TimeIndex, segment.time_entries, TIME_ENTRY_LEN);
            let may_lack_one = is_active && active == ActiveIndexes::Lazy;
            if !is_right || !(has_both || may_lack_one) {
                self.rebuild_indexes(entry, segment).await?;
            }
            if !fits(SegmentFile::TxnIndex, segment.txn_entries, TXN_ENTRY_LEN) {
                self.rebuild_txn_index(&entry.state, segment).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn rebuild_indexes(
        &self,
        entry: &mut Entry,
        segment: &Segment,
    ) -> Result<(), DirError> {
        tracing::warn!(log = %self.name, segment = segment.base_offset, "an index is missing or has the wrong size and is made again");
        match rebuild_indexes(&**self.opening.disk, &self.dir, segment, INDEX_INTERVAL).await {
            Ok(rebuilt) => {
                let (index_entries, time_entries) = (
                    (rebuilt.offsets.len() / OFFSET_ENTRY_LEN) as u32,
                    (rebuilt.times.len() / TIME_ENTRY_LEN) as u32,
                );
                let amend = |segment: &mut Segment| {
                    (segment.index_entries, segment.time_entries) = (index_entries, time_entries);
                    segment.time_indexed = segment.latest.timestamp;
                };
                let state = &mut entry.state;
                match state
                    .sealed
                    .iter()
                    .position(|sealed| sealed.base_offset == segment.base_offset)
                {
                    Some(at) => amend(&mut std::sync::Arc::make_mut(&mut state.sealed)[at]),
                    None => amend(&mut state.active),
                }
                Ok(())
            }
            Err(WalkError::Io(error)) => Err(self.io(error)),
            Err(WalkError::Bad { position, what }) => {
                self.corrupt(entry, segment, position, what.to_string());
                Ok(())
            }
        }
    }

    pub(super) async fn rebuild_txn_index(
        &self,
        state: &LogState,
        segment: &Segment,
    ) -> Result<(), DirError> {
        tracing::warn!(log = %self.name, segment = segment.base_offset, "a transaction index has the wrong size and is made again");
        let before: Vec<Segment> = state
            .sealed
            .iter()
            .take_while(|other| other.base_offset < segment.base_offset)
            .cloned()
            .collect();
        let rereading = self.rereading();
        let mut again = LogState::new(segment.base_offset, segment.created_ms);
        again.producers = rereading
            .producers_at(&before, segment.base_offset)
            .await
            .map_err(|error| self.io(error))?;
        let mut entries = SegmentEntries::default();
        let reread = rereading
            .catch_up(&mut again, &mut entries, u64::from(segment.len), i64::MAX)
            .await;
        reread.map_err(|error| self.io(error))?;
        let mut bytes = Vec::new();
        entries
            .txns
            .iter()
            .for_each(|txn| put_txn_entry(&mut bytes, txn));
        let path = SegmentFile::TxnIndex.path(&self.dir, segment.base_offset);
        let written = self
            .opening
            .disk
            .run_all(Lane::Any, atomic_file::steps(&path, bytes.into()))
            .await;
        written.map(drop).map_err(|error| self.io(error))
    }

    fn corrupt(&self, entry: &mut Entry, segment: &Segment, position: u64, what: String) {
        let damage = Damage::Corrupt {
            directory: self.name.clone(),
            file: Self::file_name(segment),
            position,
            what,
        };
        tracing::error!(%damage, "the log is damaged");
        entry.damage.get_or_insert(damage);
    }

    /// Reads batches of a segment from `from` to `to` with their checksums; they must end exactly there.
    async fn check_batches(
        &self,
        entry: &mut Entry,
        segment: &Segment,
        from: u64,
        to: u64,
    ) -> Result<(), DirError> {
        let file = File::new(
            SegmentFile::Log.path(&self.dir, segment.base_offset),
            OpenMode::Read,
        );
        let mut cursor = Cursor::new(&**self.opening.disk, Lane::Any, file, from, to);
        loop {
            let (position, what) = match cursor.next_batch().await {
                Ok(None) => return Ok(()),
                Ok(Some(found)) => match found.batch.check_crc() {
                    Ok(()) => continue,
                    Err(what) => (found.position, what),
                },
                Err(WalkError::Io(error)) => return Err(self.io(error)),
                Err(WalkError::Bad { position, what }) => (position, what),
            };
            self.corrupt(entry, segment, position, what.to_string());
            return Ok(());
        }
    }

    /// The batches just below the flushed end, found by the index.
    async fn check_tail(&self, entry: &mut Entry, active: &Segment) -> Result<(), DirError> {
        if active.len == 0 {
            return Ok(());
        }
        let path = SegmentFile::Index.path(&self.dir, active.base_offset);
        let bytes = atomic_file::read(&**self.opening.disk, Lane::Any, &path)
            .await
            .map_err(|error| self.io(error))?
            .unwrap_or_default();
        let whole = bytes
            .len()
            .min(active.index_entries as usize * OFFSET_ENTRY_LEN)
            / OFFSET_ENTRY_LEN
            * OFFSET_ENTRY_LEN;
        let near = active.len.saturating_sub(TAIL_BYTES);
        let index = OffsetIndex::checked(
            &bytes[..whole],
            active.base_offset,
            active.end_offset,
            active.len,
        );
        let from = index.and_then(|index| {
            index
                .entries()
                .take_while(|entry| entry.position <= near)
                .last()
        });
        if from.is_none() && near > 0 {
            // Without an index the way from the front may be long; a cold read will check what it reads.
            return Ok(());
        }
        let from = from.map_or(0, |entry| u64::from(entry.position));
        self.check_batches(entry, active, from, u64::from(active.len))
            .await
    }

    /// A log that was damaged at the last stop is read as a whole: perhaps someone brought the lost part back.
    async fn check_again(&self, entry: &mut Entry) -> Result<(), DirError> {
        let before = entry.damage.take();
        let segments: Vec<Segment> = entry
            .state
            .segments()
            .filter(|segment| segment.len > 0)
            .cloned()
            .collect();
        for segment in &segments {
            if self
                .len(segment, SegmentFile::Log)
                .is_none_or(|len| len < u64::from(segment.len))
            {
                entry.damage = before;
                return Ok(());
            }
            self.check_batches(entry, segment, 0, u64::from(segment.len))
                .await?;
            if entry.damage.is_some() {
                entry.damage = before;
                return Ok(());
            }
        }
        tracing::info!(log = %self.name, "a log that was damaged is whole again");
        Ok(())
    }
}

fn note(entry: &mut Entry, damage: Damage) {
    tracing::error!(%damage, "the log is damaged");
    entry.damage.get_or_insert(damage);
}

/// A log after a clean stop.
pub(super) async fn stopped(
    opening: &Opening<'_>,
    entry: &mut Entry,
    listings: &Listings,
) -> Result<Verified, DirError> {
    let files = Files::new(opening, entry, listings);
    if entry.damage.as_ref().is_some_and(Damage::may_heal) && files.listing.is_some() {
        files.check_again(entry).await?;
    }
    if files.listing.is_none() {
        if entry.has_dir {
            note(entry, Damage::MissingDirectory(files.name.clone()));
        }
        return Ok(Verified::default());
    }
    let shortness: Vec<Damage> = entry
        .state
        .segments()
        .filter_map(|segment| files.shortness(segment, segment.len))
        .collect();
    shortness.into_iter().for_each(|damage| note(entry, damage));
    if entry.damage.is_some() {
        return Ok(Verified::default());
    }
    files.check_indexes(entry, ActiveIndexes::Closed).await?;
    Ok(Verified {
        steps: files.leftovers(&entry.state),
        ..Verified::default()
    })
}

/// A log after a crash. What came since the manifest was replayed.
pub(super) async fn crashed(
    opening: &Opening<'_>,
    entry: &mut Entry,
    history: &History,
    listings: &Listings,
) -> Result<Verified, DirError> {
    let files = Files::new(opening, entry, listings);
    let was_damaged = entry.damage.is_some();
    let is_touched = history.is_touched;
    if files.listing.is_none() && entry.has_dir {
        note(entry, Damage::MissingDirectory(files.name.clone()));
        return Ok(Verified::default());
    }
    let required = |segment: &Segment| {
        history
            .intact
            .get(&segment.base_offset)
            .map_or(0, |then| then.len.min(segment.len))
    };
    let shortness: Vec<Damage> = entry
        .state
        .segments()
        .filter_map(|segment| files.shortness(segment, required(segment)))
        .collect();
    shortness.into_iter().for_each(|damage| note(entry, damage));
    if is_touched && entry.damage.is_none() {
        let last = history
            .intact
            .last_key_value()
            .map(|(_, segment)| segment.clone());
        let stays = |last: &Segment| {
            entry
                .state
                .segments()
                .any(|segment| segment.base_offset == last.base_offset)
        };
        if let Some(last) = last.filter(stays) {
            files.check_tail(entry, &last).await?;
        }
    }
    if entry.damage.is_some() {
        if was_damaged && !is_touched && entry.damage.as_ref().is_some_and(Damage::may_heal) {
            files.check_again(entry).await?;
        }
        // Nothing of a damaged log is cut or removed: it may be wanted.
        return Ok(Verified::default());
    }
    let mut verified = Verified::default();
    if entry.durability == Durability::PageCache {
        page_cache::catch_up(&files, entry, history, &mut verified).await?;
    }
    let segments: Vec<Segment> = entry.state.segments().cloned().collect();
    for segment in segments {
        if history.old_indexes.contains(&segment.base_offset) {
            files.rebuild_indexes(entry, &segment).await?;
            files.rebuild_txn_index(&entry.state, &segment).await?;
        }
    }
    files
        .check_indexes(
            entry,
            if is_touched {
                ActiveIndexes::JustWritten
            } else {
                ActiveIndexes::Lazy
            },
        )
        .await?;
    let leftovers = files.leftovers(&entry.state);
    match history.start {
        None => verified.steps.extend(leftovers),
        // Cut short, the next start would begin with the segments that go here.
        Some(_) => verified.after_manifest = leftovers,
    }
    let active = &entry.state.active;
    if files
        .len(active, SegmentFile::Log)
        .is_some_and(|len| len > u64::from(active.len))
    {
        let file = File::new(
            SegmentFile::Log.path(&files.dir, active.base_offset),
            OpenMode::Create,
        );
        verified.steps.push(DiskOp::Truncate {
            file: file.clone(),
            len: u64::from(active.len),
        });
        verified.unsynced.push(file);
    }
    Ok(verified)
}
