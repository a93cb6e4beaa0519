//! The shapes under comparison, each behind the same two calls: make a round durable, and pay what
//! is still owed.
//!
//! - `a`: segments, appended and flushed by eight I/O threads side by side, then a durable mark
//!   (4 KiB in a preallocated log) that says how far.
//! - `syncfs`: as `a`, with one `syncfs` in place of the flushes. Flushes the neighbours' pages too.
//! - `b`: commit log first, one flush, acknowledged; a second thread then appends to the segments
//!   through the page cache, and flushes them before the log's blocks are recycled (one `syncfs`
//!   when more than 64 are dirty).
//! - `b-lazy`: as `b`, but the write-out waits until a partition has [`WriteBehind::coalesce`] bytes
//!   (hot reads are served from memory meanwhile), so that small rounds become larger writes.
//! - `c`: few dirty partitions with much data each go to their segments directly, then a mark; all
//!   else as `b-lazy`.
//! - `page-cache`: no durability; the price of nothing.

use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Result, bail};

use super::commit_log::{AlignedBuffer, BLOCK, CommitLog};
use super::segments::{FlushPool, Segment, create_segments};

/// Recycled after this many bytes.
const LOG_BYTES: u64 = 128 << 20;
/// A round goes to the segments directly from this size per dirty partition on, up to this many partitions.
const DIRECT_BYTES: usize = 256 << 10;
const DIRECT_PARTITIONS: usize = 8;
const FLUSH_THREADS: usize = 8;
/// From this many dirty segments on, one `syncfs` is cheaper than a flush of each.
const SYNCFS_SEGMENTS: usize = 64;

/// What happens behind the commit log.
#[derive(Clone, Copy)]
pub struct WriteBehind {
    /// The lazy shapes write a partition's bytes out once this many wait.
    pub coalesce: usize,
    /// Segments are flushed each time this many bytes have been written out.
    pub flush_step: u64,
}

/// Names of the shapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ShapeKind {
    /// Segments flushed in parallel, then a mark.
    Segments,
    /// Segments flushed by one `syncfs`, then a mark.
    Syncfs,
    /// Commit log, immediate write-out.
    CommitLog,
    /// Commit log, coalesced write-out.
    CommitLogLazy,
    /// Chosen per round.
    Mixed,
    /// Not durable.
    PageCache,
}

impl ShapeKind {
    /// All shapes in their order of presentation.
    pub const ALL: [Self; 6] = [
        Self::Segments,
        Self::Syncfs,
        Self::CommitLog,
        Self::CommitLogLazy,
        Self::Mixed,
        Self::PageCache,
    ];

    /// The name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Segments => "a",
            Self::Syncfs => "syncfs",
            Self::CommitLog => "b",
            Self::CommitLogLazy => "b-lazy",
            Self::Mixed => "c",
            Self::PageCache => "page-cache",
        }
    }
}

impl FromStr for ShapeKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(kind),
            None => bail!("unknown shape {text:?}"),
        }
    }
}

/// An opened shape.
pub struct Shape {
    kind: ShapeKind,
    segments: Arc<Vec<Segment>>,
    pool: FlushPool,
    log: CommitLog,
    group: AlignedBuffer,
    root: File,
    write_out: WriteOut,
}

impl Shape {
    /// Creates files and threads for rounds of `bytes` for each of `partitions`.
    pub fn open(
        kind: ShapeKind,
        dir: &Path,
        partitions: usize,
        bytes: usize,
        behind: WriteBehind,
    ) -> io::Result<Self> {
        let segments = create_segments(dir, partitions)?;
        let root = File::open(dir)?;
        let log = CommitLog::create(&dir.join("commit.log"), LOG_BYTES)?;
        let eager = WriteBehind {
            coalesce: 0,
            ..behind
        };
        let behind = if kind == ShapeKind::CommitLog {
            eager
        } else {
            behind
        };
        Ok(Self {
            kind,
            pool: FlushPool::start(&segments, FLUSH_THREADS.min(partitions)),
            log,
            group: AlignedBuffer::with_capacity(BLOCK + partitions * (bytes + 32)),
            write_out: WriteOut::start(
                &segments,
                root.try_clone()?,
                behind,
                queue_rounds(partitions * bytes),
            ),
            root,
            segments,
        })
    }

    /// Makes `payload` durable at the end of every partition, together with the flushed point.
    pub fn round(&mut self, payload: &[u8]) -> io::Result<()> {
        match self.kind {
            ShapeKind::Segments => self.round_through_segments(payload),
            ShapeKind::Syncfs => {
                for segment in self.segments.iter() {
                    segment.append(payload)?;
                }
                rustix::fs::syncfs(&self.root)?;
                self.mark()
            }
            ShapeKind::CommitLog | ShapeKind::CommitLogLazy => self.round_through_log(payload),
            ShapeKind::Mixed
                if payload.len() >= DIRECT_BYTES && self.segments.len() <= DIRECT_PARTITIONS =>
            {
                self.round_through_segments(payload)
            }
            ShapeKind::Mixed => self.round_through_log(payload),
            ShapeKind::PageCache => self
                .segments
                .iter()
                .try_for_each(|segment| segment.append(payload)),
        }
    }

    /// Pays what is owed after the acknowledgement: write-out and its flush. Nothing for page cache,
    /// which promises nothing.
    pub fn drain(&mut self) -> io::Result<()> {
        self.write_out.drain()?;
        match self.kind {
            ShapeKind::CommitLog | ShapeKind::CommitLogLazy | ShapeKind::Mixed => {
                if self.segments.len() < SYNCFS_SEGMENTS {
                    return self.pool.append_and_flush(None);
                }
                Ok(rustix::fs::syncfs(&self.root)?)
            }
            ShapeKind::Segments | ShapeKind::Syncfs | ShapeKind::PageCache => Ok(()),
        }
    }

    fn round_through_segments(&mut self, payload: &[u8]) -> io::Result<()> {
        self.pool
            .append_and_flush(Some(&Arc::new(payload.to_vec())))?;
        self.mark()
    }

    fn round_through_log(&mut self, payload: &[u8]) -> io::Result<()> {
        self.group.clear();
        for partition in 0..self.segments.len() {
            self.group.extend(&[partition as u8; 32]);
            self.group.extend(payload);
        }
        self.log.commit(&self.group)?;
        self.write_out.queue(payload)
    }

    /// One block with the flushed points: 12 bytes a partition would fit some 340 into a block;
    /// more take more blocks.
    fn mark(&mut self) -> io::Result<()> {
        self.group.clear();
        for partition in 0..self.segments.len() {
            self.group.extend(&[partition as u8; 12]);
        }
        self.log.commit(&self.group)
    }
}

enum WriteOutJob {
    Append(Vec<u8>),
    Drain(SyncSender<io::Result<()>>),
}

/// The thread behind the commit log: appends to segments through the page cache.
struct WriteOut {
    jobs: Option<SyncSender<WriteOutJob>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteOut {
    fn start(segments: &Arc<Vec<Segment>>, root: File, behind: WriteBehind, queue: usize) -> Self {
        let (jobs, receiver) = sync_channel(queue);
        let segments = Arc::clone(segments);
        let thread =
            std::thread::spawn(move || write_out_loop(&segments, &root, behind, &receiver));
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    fn queue(&self, payload: &[u8]) -> io::Result<()> {
        self.send(WriteOutJob::Append(payload.to_vec()))
    }

    fn drain(&self) -> io::Result<()> {
        let (reply, done) = sync_channel(1);
        self.send(WriteOutJob::Drain(reply))?;
        done.recv()
            .map_err(|_| io::Error::other("write-out thread is gone"))?
    }

    fn send(&self, job: WriteOutJob) -> io::Result<()> {
        let jobs = self
            .jobs
            .as_ref()
            .ok_or_else(|| io::Error::other("write-out is stopped"))?;
        jobs.send(job)
            .map_err(|_| io::Error::other("write-out thread is gone"))
    }
}

impl Drop for WriteOut {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A commit waits for the write-out only when it is about to overwrite blocks whose segments are not
/// flushed: up to half the log is being flushed, a quarter may queue behind it.
fn queue_rounds(round_bytes: usize) -> usize {
    (LOG_BYTES as usize / 4 / round_bytes).clamp(2, 8192)
}

fn write_out_loop(
    segments: &[Segment],
    root: &File,
    behind: WriteBehind,
    jobs: &Receiver<WriteOutJob>,
) {
    let mut waiting: Vec<u8> = Vec::new();
    let mut since_flush: u64 = 0;
    let mut failed: Option<io::Error> = None;
    for job in jobs {
        let (outcome, reply) = match job {
            WriteOutJob::Append(payload) => {
                waiting.extend_from_slice(&payload);
                since_flush += (payload.len() * segments.len()) as u64;
                let due = waiting.len() >= behind.coalesce;
                (
                    if due {
                        write_all(segments, &mut waiting)
                    } else {
                        Ok(())
                    },
                    None,
                )
            }
            WriteOutJob::Drain(reply) => (write_all(segments, &mut waiting), Some(reply)),
        };
        let outcome = outcome.and_then(|()| {
            // Commit-log blocks may be recycled once the segments behind them are flushed.
            if since_flush < behind.flush_step {
                return Ok(());
            }
            since_flush = 0;
            write_all(segments, &mut waiting)?;
            match segments.len() {
                0..SYNCFS_SEGMENTS => segments.iter().try_for_each(Segment::flush),
                SYNCFS_SEGMENTS.. => Ok(rustix::fs::syncfs(root)?),
            }
        });
        failed = failed.or(outcome.err());
        if let Some(reply) = reply {
            let _ = reply.send(failed.take().map_or(Ok(()), Err));
        }
    }
}

fn write_all(segments: &[Segment], waiting: &mut Vec<u8>) -> io::Result<()> {
    if !waiting.is_empty() {
        segments
            .iter()
            .try_for_each(|segment| segment.append(waiting))?;
        waiting.clear();
    }
    Ok(())
}
