//! A log's state as of an earlier offset, or from its files alone: what must be read again is read again.
//!
//! Used by truncation, by recovery of directories that Apache Kafka left, and for files that cannot be believed. Nothing on
//! disk is changed here.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ottla_protocol::records::BatchError;

use crate::atomic_file;
use crate::cursor::{Cursor, WalkError};
use crate::disk::{Disk, File, Lane, OpenMode};
use crate::index::{OffsetEntry, TimeEntry};
use crate::names::SegmentFile;
use crate::producers::{AbortedTxn, Producers};
use crate::segment::Segment;
use crate::set::marker_of;
use crate::state::LogState;

/// Index entries of one segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentEntries {
    pub(crate) offsets: Vec<OffsetEntry>,
    pub(crate) times: Vec<TimeEntry>,
    pub(crate) txns: Vec<AbortedTxn>,
}

/// How segments are read again.
pub(crate) struct Rereading<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) index_interval_bytes: u32,
    /// Batches are read whole and their checksums verified; otherwise only headers are looked at.
    pub(crate) checks_crc: bool,
}

impl Rereading<'_> {
    /// Takes the batches of the active segment in that lie in the file from where the state stands up to byte `len`, and end
    /// at or before offset `until`. Returns what stopped it early, if anything did.
    pub(crate) async fn catch_up(
        &self,
        state: &mut LogState,
        entries: &mut SegmentEntries,
        len: u64,
        until: i64,
    ) -> io::Result<Option<WalkError>> {
        let file = File::new(
            SegmentFile::Log.path(self.dir, state.active.base_offset),
            OpenMode::Read,
        );
        let mut cursor = Cursor::new(self.disk, Lane::Any, file, u64::from(state.active.len), len);
        loop {
            match self.step(&mut cursor, state, entries, until).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(WalkError::Io(error)) => return Err(error),
                Err(bad) => return Ok(Some(bad)),
            }
        }
    }

    /// Takes one batch in; `false` at the end.
    async fn step(
        &self,
        cursor: &mut Cursor<'_>,
        state: &mut LogState,
        entries: &mut SegmentEntries,
        until: i64,
    ) -> Result<bool, WalkError> {
        let position = cursor.position();
        let Some(header) = cursor.peek().await? else {
            return Ok(false);
        };
        if header.next_offset() > until {
            return Ok(false);
        }
        let bad = |what| WalkError::Bad { position, what };
        if header.base_offset < state.end() || header.last_offset_delta < 0 {
            return Err(bad(BatchError::Length {
                position: position as usize,
                length: header.batch_length,
            }));
        }
        let mut marker = None;
        if self.checks_crc || header.attributes.is_control() {
            let Some(found) = cursor.next_batch().await? else {
                return Ok(false);
            };
            if self.checks_crc {
                found.batch.check_crc().map_err(bad)?;
            }
            // A control batch that is no marker is KRaft's; one that cannot be read was taken by a leader all the same.
            marker = marker_of(&found.batch).ok().flatten();
        } else {
            cursor.next_header().await?;
        }
        let appended = state.append(&header, marker.as_ref(), self.index_interval_bytes);
        entries.offsets.extend(appended.indexed.offset);
        entries.times.extend(appended.indexed.time);
        entries.txns.extend(appended.aborted);
        Ok(true)
    }

    /// The log as it was at `until`, or at the last batch boundary before it; with the entries of the segment that is
    /// active then.
    pub(crate) async fn rewind(
        &self,
        state: &LogState,
        until: i64,
    ) -> io::Result<(LogState, SegmentEntries)> {
        let mut kept: Vec<Segment> = state
            .segments()
            .take_while(|segment| segment.base_offset < until)
            .cloned()
            .collect();
        let cut = kept
            .pop()
            .unwrap_or_else(|| Segment::new(until.max(state.local_start), state.active.created_ms));
        let mut earlier = LogState {
            log_start: state.log_start,
            local_start: state.local_start,
            producers: self.producers_at(&kept, cut.base_offset).await?,
            sealed: Arc::new(kept),
            active: Segment::new(cut.base_offset, cut.created_ms),
            epochs: state.epochs.clone(),
        };
        // The batches of the cut segment tell its epochs again, so that none is left that only began behind them.
        earlier.epochs.truncate_end(cut.base_offset);
        let mut entries = SegmentEntries::default();
        if cut.len > 0 {
            self.catch_up(&mut earlier, &mut entries, u64::from(cut.len), until)
                .await?;
        }
        // The boundary may lie below a start that DeleteRecords put inside a batch.
        earlier.log_start = earlier.log_start.min(earlier.end());
        earlier.local_start = earlier.local_start.min(earlier.end());
        earlier.epochs.truncate_start(earlier.log_start);
        Ok((earlier, entries))
    }

    /// Producers as of a segment's base offset: from its snapshot, or from an earlier one and the batches since.
    pub(crate) async fn producers_at(
        &self,
        before: &[Segment],
        base_offset: i64,
    ) -> io::Result<Producers> {
        let bases = before
            .iter()
            .map(|segment| segment.base_offset)
            .chain([base_offset]);
        let (mut first, mut producers) = (0, Producers::default());
        for (at, base) in bases.enumerate().collect::<Vec<_>>().into_iter().rev() {
            if let Some(found) = self.snapshot(base).await? {
                (first, producers) = (at, found);
                break;
            }
        }
        for segment in &before[first..] {
            let mut state = LogState::new(segment.base_offset, segment.created_ms);
            state.producers = producers;
            self.catch_up(
                &mut state,
                &mut SegmentEntries::default(),
                u64::from(segment.len),
                i64::MAX,
            )
            .await?;
            producers = state.producers;
        }
        Ok(producers)
    }

    async fn snapshot(&self, offset: i64) -> io::Result<Option<Producers>> {
        let path = SegmentFile::Snapshot.path(self.dir, offset);
        let bytes = atomic_file::read(self.disk, Lane::Any, &path).await?;
        Ok(match bytes.as_deref().map(Producers::from_snapshot) {
            Some(Ok(producers)) => Some(producers),
            Some(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "the producer snapshot cannot be used");
                None
            }
            None => None,
        })
    }
}
