//! One operation on real files: the system calls behind each [`DiskOp`].

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{FlockOperation, OFlags};

use super::SyncTimes;
use crate::disk::{DIRECT_BLOCK, DirEntry, DiskOp, DiskOutcome, File, FileStat, OpenMode, Space};

/// Largest single write of a direct file: the size of each thread's aligned buffer at most.
const STAGING_BYTES_MAX: usize = 1 << 20;

/// Linux takes at most 1024 slices in one call.
const SLICES_MAX: usize = 1024;

/// What stands behind a [`File`] handle once it is open.
struct OpenFile {
    file: fs::File,
    /// O_DIRECT is in force, so memory must be aligned too.
    direct: bool,
}

/// One I/O thread's state: memory for direct writes, kept between operations.
pub(super) struct Worker {
    staging: Vec<u8>,
    sync_times: Arc<SyncTimes>,
}

impl Worker {
    pub(super) fn new(sync_times: Arc<SyncTimes>) -> Self {
        Self {
            staging: Vec::new(),
            sync_times,
        }
    }

    pub(super) fn run(&mut self, op: DiskOp) -> io::Result<DiskOutcome> {
        match op {
            DiskOp::Open(file) => opened(&file).map(|_| DiskOutcome::Done),
            DiskOp::Close(file) => {
                file.set_open_state(None);
                Ok(DiskOutcome::Done)
            }
            DiskOp::Read { file, at, len } => {
                read(&*opened(&file)?, at, len).map(DiskOutcome::Data)
            }
            DiskOp::Write { file, at, slices } => {
                let open = opened(&file)?;
                match open.direct {
                    true => self.write_direct(&open.file, at, &slices)?,
                    false => write_gathered(&open.file, at, &slices)?,
                }
                Ok(DiskOutcome::Done)
            }
            DiskOp::SyncData(file) => {
                let open = opened(&file)?;
                let began = Instant::now();
                let synced = open.file.sync_data();
                self.sync_times.add(began.elapsed());
                done(synced)
            }
            DiskOp::Truncate { file, len } => done(opened(&file)?.file.set_len(len)),
            DiskOp::Zero { file, at, len } => {
                let open = opened(&file)?;
                self.zero(&open, at, len)?;
                Ok(DiskOutcome::Done)
            }
            DiskOp::SyncDir(path) => done(fs::File::open(path)?.sync_all()),
            DiskOp::CreateDir(path) => match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(DiskOutcome::Done)
                }
                other => done(other),
            },
            DiskOp::Rename { from, to } => done(fs::rename(from, to)),
            DiskOp::RemoveFile(path) => done(fs::remove_file(path)),
            DiskOp::RemoveTree(path) => done(fs::remove_dir_all(path)),
            DiskOp::List(path) => list(&path).map(DiskOutcome::Entries),
            DiskOp::Stat(path) => match fs::metadata(path) {
                Ok(meta) => Ok(DiskOutcome::Stat(Some(stat_of(&meta)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Ok(DiskOutcome::Stat(None))
                }
                Err(error) => Err(error),
            },
            DiskOp::Lock(file) => done(lock(&opened(&file)?.file)),
            DiskOp::Space(path) => {
                let stat = rustix::fs::statvfs(&path)?;
                Ok(DiskOutcome::Space(Space {
                    free: stat.f_bavail * stat.f_frsize,
                    total: stat.f_blocks * stat.f_frsize,
                }))
            }
            DiskOp::Sequence(steps) => Ok(self.run_sequence(steps)),
        }
    }

    fn run_sequence(&mut self, steps: Vec<DiskOp>) -> DiskOutcome {
        let mut done = Vec::with_capacity(steps.len());
        for step in steps {
            match self.run(step) {
                Ok(outcome) => done.push(outcome),
                Err(error) => {
                    return DiskOutcome::Sequence {
                        done,
                        failed: Some(error),
                    };
                }
            }
        }
        DiskOutcome::Sequence { done, failed: None }
    }

    /// Copies the slices into aligned memory, a megabyte at a time: the one copy that O_DIRECT needs.
    fn write_direct(&mut self, file: &fs::File, mut at: u64, slices: &[Bytes]) -> io::Result<()> {
        let total: usize = slices.iter().map(Bytes::len).sum();
        assert!(
            total.is_multiple_of(DIRECT_BLOCK) && at.is_multiple_of(DIRECT_BLOCK as u64),
            "direct writes are whole blocks: {total} bytes at {at}"
        );
        let staging = self.aligned(total.min(STAGING_BYTES_MAX));
        let mut filled = 0;
        for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                let take = rest.len().min(staging.len() - filled);
                staging[filled..filled + take].copy_from_slice(&rest[..take]);
                filled += take;
                rest = &rest[take..];
                if filled == staging.len() {
                    write_all(file, at, staging)?;
                    at += filled as u64;
                    filled = 0;
                }
            }
        }
        write_all(file, at, &staging[..filled])
    }

    fn zero(&mut self, open: &OpenFile, mut at: u64, mut len: u64) -> io::Result<()> {
        let staging = self
            .aligned((len.min(STAGING_BYTES_MAX as u64) as usize).next_multiple_of(DIRECT_BLOCK));
        staging.fill(0);
        while len > 0 {
            let take = len.min(staging.len() as u64) as usize;
            write_all(&open.file, at, &staging[..take])?;
            at += take as u64;
            len -= take as u64;
        }
        Ok(())
    }

    /// `len` bytes of memory that begin at a multiple of the block size, reused between operations.
    fn aligned(&mut self, len: usize) -> &mut [u8] {
        let wanted = len + DIRECT_BLOCK;
        if self.staging.len() < wanted {
            self.staging = vec![0; wanted];
        }
        let start = self.staging.as_ptr().align_offset(DIRECT_BLOCK);
        &mut self.staging[start..start + len]
    }
}

fn done(result: io::Result<()>) -> io::Result<DiskOutcome> {
    result.map(|()| DiskOutcome::Done)
}

fn opened(file: &File) -> io::Result<Arc<OpenFile>> {
    if let Some(state) = file.open_state() {
        return state
            .downcast()
            .map_err(|_| io::Error::other("the file handle belongs to another disk"));
    }
    let open = Arc::new(open(file.path(), file.mode())?);
    file.set_open_state(Some(open.clone()));
    Ok(open)
}

fn open(path: &Path, mode: OpenMode) -> io::Result<OpenFile> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(mode != OpenMode::Read);
    options.create(matches!(mode, OpenMode::Create | OpenMode::CreateDirect));
    if mode != OpenMode::CreateDirect {
        return Ok(OpenFile {
            file: options.open(path)?,
            direct: false,
        });
    }
    let mut direct = options.clone();
    match direct.custom_flags(OFlags::DIRECT.bits() as i32).open(path) {
        Ok(file) => Ok(OpenFile { file, direct: true }),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            tracing::info!(path = %path.display(), "the file system refuses O_DIRECT: going through the page cache, fdatasync as before");
            Ok(OpenFile {
                file: options.open(path)?,
                direct: false,
            })
        }
        Err(error) => Err(error),
    }
}

fn read(open: &OpenFile, at: u64, len: usize) -> io::Result<Bytes> {
    // O_DIRECT wants aligned memory; direct files are read at recovery only, so the copy is no matter.
    let pad = if open.direct { DIRECT_BLOCK } else { 0 };
    let mut buffer: Vec<u8> = Vec::with_capacity(len + pad);
    let start = if open.direct {
        buffer.as_ptr().align_offset(DIRECT_BLOCK)
    } else {
        0
    };
    buffer.resize(start, 0);
    while buffer.len() < start + len {
        let room = start + len - buffer.len();
        let position = at + (buffer.len() - start) as u64;
        let got = if buffer.spare_capacity_mut().len() == room {
            retried(|| rustix::io::pread(&open.file, spare_capacity(&mut buffer), position))?
        } else {
            let from = buffer.len();
            buffer.resize(from + room, 0);
            let got = retried(|| rustix::io::pread(&open.file, &mut buffer[from..], position))?;
            buffer.truncate(from + got);
            got
        };
        if got == 0 || (open.direct && !got.is_multiple_of(DIRECT_BLOCK)) {
            break;
        }
    }
    Ok(Bytes::from(buffer).slice(start..))
}

fn write_all(file: &fs::File, mut at: u64, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let wrote = retried(|| rustix::io::pwrite(file, rest, at))?;
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += wrote as u64;
        rest = &rest[wrote..];
    }
    Ok(())
}

fn write_gathered(file: &fs::File, mut at: u64, slices: &[Bytes]) -> io::Result<()> {
    let mut all: Vec<IoSlice<'_>> = slices
        .iter()
        .filter(|slice| !slice.is_empty())
        .map(|slice| IoSlice::new(slice))
        .collect();
    let mut rest = &mut all[..];
    while !rest.is_empty() {
        let count = rest.len().min(SLICES_MAX);
        let wrote = retried(|| rustix::io::pwritev(file, &rest[..count], at))?;
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += wrote as u64;
        IoSlice::advance_slices(&mut rest, wrote);
    }
    Ok(())
}

fn retried<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// Java's `FileChannel.tryLock` is a POSIX record lock, so ours must be one to keep Apache Kafka out; POSIX
/// locks do not exclude inside one process, hence the `flock` too.
fn lock(file: &fs::File) -> io::Result<()> {
    let busy = |errno: rustix::io::Errno| match errno {
        rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS => {
            io::Error::from(io::ErrorKind::WouldBlock)
        }
        other => other.into(),
    };
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).map_err(busy)?;
    rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).map_err(busy)
}

fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        match entry.metadata() {
            Ok(meta) => entries.push(DirEntry {
                name,
                stat: stat_of(&meta),
            }),
            // Removed between the two calls: not in the directory any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn stat_of(meta: &fs::Metadata) -> FileStat {
    let modified = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    FileStat {
        is_dir: meta.is_dir(),
        len: if meta.is_dir() { 0 } else { meta.len() },
        modified_ms: modified.map_or(0, |since| since.as_millis() as i64),
    }
}
