//! Walks the batches of one segment file, reading ahead in large pieces.
//!
//! What cold reads, time lookups, recovery and index rebuilding have in common. Not here: what they look for.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use ottla_protocol::records::{BatchError, BatchHeader, BatchView, HEADER_LEN};

use crate::disk::{Disk, File, Lane};

/// Bytes of one read while scanning.
pub const READ_AHEAD: usize = 256 << 10;

/// Why the walk cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// What lies at the position is not a whole, sound batch.
    #[error("at byte {position}: {what}")]
    Bad {
        /// Where the batch should begin.
        position: u64,
        /// What is wrong.
        what: BatchError,
    },
    /// The disk failed, or the file is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A batch and where it lies: in the file, and in the piece of the file that was read.
pub struct Found {
    /// Byte of the segment at which it begins.
    pub position: u64,
    /// The batch.
    pub batch: BatchView,
    /// The piece that was read, shared by all batches found in it.
    pub piece: Bytes,
    /// The batch's bytes in the piece.
    pub range: Range<usize>,
}

/// A place in a segment file and the piece read around it.
pub struct Cursor<'a> {
    disk: &'a dyn Disk,
    lane: Lane,
    file: File,
    position: u64,
    end: u64,
    /// No batch from this offset on is looked at.
    until: i64,
    piece: Bytes,
    /// Where `position` lies in `piece`.
    at: usize,
    read_bytes: usize,
}

impl<'a> Cursor<'a> {
    /// Walks from `position`, where a batch must begin, to `end`.
    pub fn new(disk: &'a dyn Disk, lane: Lane, file: File, position: u64, end: u64) -> Self {
        Self {
            disk,
            lane,
            file,
            position,
            end,
            until: i64::MAX,
            piece: Bytes::new(),
            at: 0,
            read_bytes: READ_AHEAD,
        }
    }

    /// Reads in pieces of this size instead.
    pub fn reading(mut self, bytes: usize) -> Self {
        self.read_bytes = bytes;
        self
    }

    /// Ends before the batch that begins at this offset, or behind it: what is there may not be in the file yet.
    pub fn until(mut self, offset: i64) -> Self {
        self.until = offset;
        self
    }

    /// Where the next batch begins; after an error, where the bad one begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next batch's header; its records are not read if they are not there already. `None` at the end.
    pub async fn next_header(&mut self) -> Result<Option<(u64, BatchHeader)>, WalkError> {
        let Some(header) = self.peek().await? else {
            return Ok(None);
        };
        let at = self.position;
        if at + header.size() as u64 > self.end {
            return Err(self.torn(header.size()));
        }
        self.pass(&header);
        Ok(Some((at, header)))
    }

    /// The next batch, whole, its checksum not verified. `None` at the end.
    pub async fn next_batch(&mut self) -> Result<Option<Found>, WalkError> {
        let Some(header) = self.peek().await? else {
            return Ok(None);
        };
        let (position, size) = (self.position, header.size());
        self.fill(size).await?;
        let range = self.at..self.at + size;
        if range.end > self.piece.len() {
            return Err(self.torn(size));
        }
        let batch = BatchView::new(self.piece.slice(range.clone()))
            .map_err(|what| WalkError::Bad { position, what })?;
        self.pass(&header);
        Ok(Some(Found {
            position,
            batch,
            piece: self.piece.clone(),
            range,
        }))
    }

    /// The next batch's header, staying in front of it.
    pub async fn peek(&mut self) -> Result<Option<BatchHeader>, WalkError> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.fill(HEADER_LEN).await?;
        BatchHeader::parse(&self.piece[self.at..])
            .map(Some)
            .map_err(|what| WalkError::Bad {
                position: self.position,
                what,
            })
    }

    fn torn(&self, needed: usize) -> WalkError {
        let available = self.piece.len() - self.at;
        WalkError::Bad {
            position: self.position,
            what: BatchError::Torn {
                position: 0,
                needed,
                available,
            },
        }
    }

    fn pass(&mut self, header: &BatchHeader) {
        self.position += header.size() as u64;
        self.at = (self.at + header.size()).min(self.piece.len());
        if header.next_offset() >= self.until {
            self.end = self.position;
        }
    }

    /// Has at least `len` bytes at the position, or all there are.
    async fn fill(&mut self, len: usize) -> Result<(), WalkError> {
        if self.piece.len() - self.at >= len {
            return Ok(());
        }
        let rest = self.end - self.position;
        let wanted = (len.max(self.read_bytes) as u64).min(rest) as usize;
        if self.piece.len() - self.at < wanted {
            self.piece = self
                .disk
                .read(self.lane, &self.file, self.position, wanted)
                .await?;
            self.at = 0;
        }
        Ok(())
    }
}
