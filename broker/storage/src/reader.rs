//! Reading what is not in memory, outside the owner: cold fetches, time lookups, aborted transactions.
//!
//! Immutable snapshots, so they need no owner and no lock. Every cold batch that is handed out has its CRC-32C checked (a bit that
//! rotted on disk must reach nobody). Invariant: batches come whole, in order and without a gap, across segments too: a
//! read goes on in the next segment only when it has reached the end of the one before.

mod fetch;
mod lookup;
mod rebuild;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::cursor::{Cursor, WalkError};
use crate::disk::{Disk, File, Lane, OpenMode};
use crate::index::{OffsetEntry, OffsetIndex, TimeEntry, TimeIndex};
use crate::names::SegmentFile;
use crate::segment::Segment;

pub use fetch::{ColdRead, Fetched};
pub use lookup::{LogReader, OffsetInTime};

pub(crate) use rebuild::rebuild_indexes;

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// → OFFSET_OUT_OF_RANGE
    #[error("offset {offset} is outside the log: {log_start}..={end}")]
    OffsetOutOfRange {
        /// Asked for.
        offset: i64,
        /// First offset.
        log_start: i64,
        /// Offset of the next record.
        end: i64,
    },
    /// Bytes on disk are not what was written; the owner should know: [`crate::set::LogSet::mark_damaged`]. → CORRUPT_MESSAGE
    #[error("{} is corrupt at byte {position}: {what}", path.display())]
    Corrupt {
        /// Segment file.
        path: PathBuf,
        /// Where the bad batch begins.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// Retention or a truncation took the segment away meanwhile: plan the read again.
    #[error("the segment {} is gone", .0.display())]
    Gone(PathBuf),
    /// The disk failed. → KAFKA_STORAGE_ERROR
    #[error("{}: {error}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where recent cold reads ended: a consumer that reads on needs no index.
#[derive(Debug, Default)]
pub(crate) struct Hints(Mutex<Vec<(i64, i64, u64)>>);

/// Consumers that read one log at different places are few.
const HINTS_MAX: usize = 8;

impl Hints {
    fn find(&self, offset: i64, segment: i64) -> Option<u64> {
        let hints = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        hints
            .iter()
            .find(|hint| (hint.0, hint.1) == (offset, segment))
            .map(|hint| hint.2)
    }

    fn note(&self, offset: i64, segment: i64, position: u64) {
        let mut hints = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        hints.retain(|hint| hint.0 != offset);
        if hints.len() == HINTS_MAX {
            hints.remove(0);
        }
        hints.push((offset, segment, position));
    }

    /// After a truncation the same offset may come to lie elsewhere.
    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clear();
    }
}

/// The segments of a log as they were when a read was planned.
#[derive(Clone)]
pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) sealed: Arc<Vec<Segment>>,
    pub(crate) active: Segment,
    /// Index entries of the active segment that are not in its files yet.
    pub(crate) recent_offsets: Vec<OffsetEntry>,
    pub(crate) recent_times: Vec<TimeEntry>,
    /// Offset up to which segment files are written.
    pub(crate) written_end: i64,
    pub(crate) index_interval_bytes: u32,
}

impl Segments {
    fn len(&self) -> usize {
        self.sealed.len() + 1
    }

    fn at(&self, index: usize) -> &Segment {
        self.sealed.get(index).unwrap_or(&self.active)
    }

    /// The first segment that ends behind `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.sealed
            .partition_point(|segment| segment.end_offset <= offset)
    }

    fn path(&self, segment: &Segment, kind: SegmentFile) -> PathBuf {
        kind.path(&self.dir, segment.base_offset)
    }

    /// Walks a segment's batches from a position, as far as they are written: behind that there may be nothing yet.
    fn walk(&self, segment: &Segment, position: u64) -> Cursor<'_> {
        let file = File::new(self.path(segment, SegmentFile::Log), OpenMode::Read);
        let is_written = segment.base_offset < self.written_end;
        let end = if is_written {
            u64::from(segment.len)
        } else {
            position
        };
        Cursor::new(&*self.disk, Lane::Any, file, position, end).until(self.written_end)
    }

    fn failed(&self, segment: &Segment, error: WalkError) -> ReadError {
        let path = self.path(segment, SegmentFile::Log);
        match error {
            WalkError::Bad { position, what } => ReadError::Corrupt {
                path,
                position,
                what: what.to_string(),
            },
            WalkError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                ReadError::Gone(path)
            }
            WalkError::Io(error) => ReadError::Io { path, error },
        }
    }

    /// Where to begin looking for `offset` in a segment.
    async fn position_of(&self, segment: &Segment, offset: i64) -> Result<u64, ReadError> {
        let entry = self.entry_before(segment, offset).await?;
        Ok(entry.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The last index entry at or before `offset`.
    async fn entry_before(
        &self,
        segment: &Segment,
        offset: i64,
    ) -> Result<Option<OffsetEntry>, ReadError> {
        let recent = self
            .recent_offsets
            .partition_point(|entry| entry.offset <= offset);
        if segment.base_offset == self.active.base_offset && recent > 0 {
            return Ok(Some(self.recent_offsets[recent - 1]));
        }
        let bytes = self.index_file(segment, SegmentFile::Index).await?;
        let (base, end) = (segment.base_offset, segment.end_offset);
        Ok(OffsetIndex::checked(&bytes, base, end, segment.len)
            .and_then(|index| index.floor(offset)))
    }

    /// The latest offset of a segment up to which no record is as late as `timestamp`.
    async fn before_time(
        &self,
        segment: &Segment,
        timestamp: i64,
    ) -> Result<Option<i64>, ReadError> {
        if segment.base_offset == self.active.base_offset
            && let Some(at) = self
                .recent_times
                .partition_point(|entry| entry.timestamp < timestamp)
                .checked_sub(1)
        {
            return Ok(Some(self.recent_times[at].offset));
        }
        let bytes = self.index_file(segment, SegmentFile::TimeIndex).await?;
        let index = TimeIndex::checked(&bytes, segment.base_offset, segment.end_offset);
        Ok(index
            .and_then(|index| index.before(timestamp))
            .map(|entry| entry.offset))
    }

    /// An index file as a whole. One that cannot be believed is made again from its segment; while a segment is being
    /// written its index may lag, which only makes a search longer.
    async fn index_file(&self, segment: &Segment, kind: SegmentFile) -> Result<Bytes, ReadError> {
        let path = self.path(segment, kind);
        let bytes = crate::atomic_file::read(&*self.disk, Lane::Any, &path).await;
        let bytes = bytes
            .map_err(|error| ReadError::Io {
                path: path.clone(),
                error,
            })?
            .unwrap_or_default();
        let is_plausible = match kind {
            SegmentFile::TimeIndex => {
                TimeIndex::checked(&bytes, segment.base_offset, segment.end_offset).is_some()
            }
            _ => OffsetIndex::checked(&bytes, segment.base_offset, segment.end_offset, segment.len)
                .is_some(),
        };
        let is_lagging =
            segment.end_offset > self.written_end || segment.base_offset == self.active.base_offset;
        let entries = if kind == SegmentFile::TimeIndex {
            segment.time_entries
        } else {
            segment.index_entries
        };
        if is_plausible && (is_lagging || !bytes.is_empty() || entries == 0) {
            return Ok(bytes);
        }
        if is_lagging {
            return Ok(Bytes::new());
        }
        tracing::warn!(path = %path.display(), "the index cannot be used and is made again from its segment");
        let rebuilt =
            rebuild_indexes(&*self.disk, &self.dir, segment, self.index_interval_bytes).await;
        let rebuilt = rebuilt.map_err(|error| self.failed(segment, error))?;
        Ok(if kind == SegmentFile::TimeIndex {
            rebuilt.times
        } else {
            rebuilt.offsets
        })
    }
}
