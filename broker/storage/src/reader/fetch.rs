//! Cold fetches: whole batches from segment files.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::records::BatchHeader;

use super::{Hints, ReadError, Segments};
use crate::cursor::{Found, WalkError};
use crate::index::OffsetEntry;
use crate::names::SegmentFile;
use crate::segment::Segment;

/// Least bytes of one read from a segment: a consumer that asks for little is likely to ask on.
const READ_BYTES_MIN: usize = 64 << 10;

/// Records that were read: whole batches, as stored.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The batches, in order; one part may hold several, and one batch may lie in two parts.
    pub parts: Vec<Bytes>,
    /// Bytes of all parts.
    pub bytes: usize,
    /// Base offset of the first batch (it may lie before the offset that was asked for); that offset when there is none.
    pub first_offset: i64,
    /// Offset after the last batch; the offset that was asked for when there is none.
    pub next_offset: i64,
}

impl Fetched {
    pub(crate) fn nothing_at(offset: i64) -> Self {
        Self {
            parts: Vec::new(),
            bytes: 0,
            first_offset: offset,
            next_offset: offset,
        }
    }

    /// Adds batches that lie back to back in `part`.
    pub(crate) fn push(&mut self, base_offset: i64, next_offset: i64, part: Bytes) {
        if self.parts.is_empty() {
            self.first_offset = base_offset;
        }
        self.bytes += part.len();
        self.next_offset = next_offset;
        self.parts.push(part);
    }
}

/// Batches that lie back to back in one piece that was read: they become one part.
struct Run {
    piece: Bytes,
    range: Range<usize>,
    base_offset: i64,
    next_offset: i64,
}

impl Run {
    fn begin(found: &Found) -> Self {
        let header = found.batch.header();
        Self {
            piece: found.piece.clone(),
            range: found.range.clone(),
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
        }
    }

    fn continues_with(&self, found: &Found) -> bool {
        self.piece.as_ptr() == found.piece.as_ptr() && self.range.end == found.range.start
    }

    fn finish(self, fetched: &mut Fetched) {
        fetched.push(
            self.base_offset,
            self.next_offset,
            self.piece.slice(self.range),
        );
    }
}

/// A fetch that must go to disk. Run it anywhere: it holds all it needs.
pub struct ColdRead {
    pub(crate) segments: Segments,
    pub(crate) hints: Arc<Hints>,
    pub(crate) from: i64,
    pub(crate) bytes_max: usize,
    /// No batch that ends behind this.
    pub(crate) upper: i64,
}

impl ColdRead {
    /// Reads whole batches beginning with the one that holds the offset asked for: up to the bytes asked for, but at
    /// least one (KIP-74), and none that ends behind the upper bound.
    pub async fn run(self) -> Result<Fetched, ReadError> {
        let mut fetched = Fetched::nothing_at(self.from);
        for index in self.segments.index_of(self.from)..self.segments.len() {
            if !self.read_segment(index, &mut fetched).await? {
                break;
            }
        }
        Ok(fetched)
    }

    /// Adds batches of one segment. Returns whether it was read to its end, so that the next one continues it.
    async fn read_segment(&self, index: usize, fetched: &mut Fetched) -> Result<bool, ReadError> {
        let segment = self.segments.at(index);
        if segment.base_offset >= self.upper {
            return Ok(false);
        }
        let failed = |error| self.segments.failed(segment, error);
        let (begin, mut due) = self.begin_of(segment, fetched).await?;
        let left = self.bytes_max.saturating_sub(fetched.bytes);
        let mut cursor = self
            .segments
            .walk(segment, begin)
            .reading(left.max(READ_BYTES_MIN));
        let mut run: Option<Run> = None;
        let mut bytes = fetched.bytes;
        let is_at_end = loop {
            let Some(header) = cursor.peek().await.map_err(failed)? else {
                break true;
            };
            self.check_place(segment, cursor.position(), &header, due)?;
            if header.next_offset() <= self.from {
                due = header.next_offset();
                cursor.next_header().await.map_err(failed)?;
                continue;
            }
            let is_too_much = bytes > 0 && bytes + header.size() > self.bytes_max;
            if header.next_offset() > self.upper || is_too_much {
                self.hints
                    .note(header.base_offset, segment.base_offset, cursor.position());
                break false;
            }
            let Some(found) = cursor.next_batch().await.map_err(failed)? else {
                break true;
            };
            let position = found.position;
            let is_sound = found.batch.check_crc();
            is_sound.map_err(|what| failed(WalkError::Bad { position, what }))?;
            due = header.next_offset();
            bytes += header.size();
            match &mut run {
                Some(run) if run.continues_with(&found) => {
                    run.range.end = found.range.end;
                    run.next_offset = header.next_offset();
                }
                _ => {
                    let before = run.replace(Run::begin(&found));
                    before.into_iter().for_each(|run| run.finish(fetched));
                }
            }
        };
        run.into_iter().for_each(|run| run.finish(fetched));
        Ok(is_at_end)
    }

    /// A batch's own checksum does not cover its offset, so its place in the order of batches must: a rotten offset
    /// either goes back behind the batch before, or makes the batch after it go back, or leaves the segment. Only compaction
    /// leaves holes.
    fn check_place(
        &self,
        segment: &Segment,
        position: u64,
        header: &BatchHeader,
        due: i64,
    ) -> Result<(), ReadError> {
        if header.base_offset >= due && header.next_offset() <= segment.end_offset {
            return Ok(());
        }
        Err(ReadError::Corrupt {
            path: self.segments.path(segment, SegmentFile::Log),
            position,
            what: format!(
                "its offsets are {}..{}, where {due}..{} was the most",
                header.base_offset,
                header.next_offset(),
                segment.end_offset
            ),
        })
    }

    /// Where to begin, and the least offset that can be there: at the front when the segment before was read to its end, else as
    /// near as can be told.
    async fn begin_of(
        &self,
        segment: &Segment,
        fetched: &Fetched,
    ) -> Result<(u64, i64), ReadError> {
        let front = (0, segment.base_offset);
        if !fetched.parts.is_empty() || self.from <= segment.base_offset {
            return Ok(front);
        }
        let is_at = |header: BatchHeader, entry: OffsetEntry| header.last_offset() == entry.offset;
        if let Some(position) = self.hints.find(self.from, segment.base_offset) {
            return Ok((position, self.from));
        }
        let Some(entry) = self.segments.entry_before(segment, self.from).await? else {
            return Ok(front);
        };
        // Before 4.0 Apache Kafka indexed the last of several batches; what cannot be checked is not relied on.
        let position = u64::from(entry.position);
        let mut cursor = self
            .segments
            .walk(segment, position)
            .reading(READ_BYTES_MIN);
        match cursor.peek().await {
            Ok(Some(header)) if is_at(header, entry) => Ok((position, header.base_offset)),
            _ => Ok(front),
        }
    }
}
