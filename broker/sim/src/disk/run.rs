//! What each operation does when its time has come.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ottla_broker_storage::disk::{
    DIRECT_BLOCK, DirEntry, DiskOp, DiskOutcome, File, FileStat, OpenMode, Space,
};

use super::content::{Change, FileContent};
use super::{DiskFault, FaultPoint, HeldLock, Inode, OpenFile, Shared, State, UNLIMITED};
use crate::rng::Rng;
use crate::trace::fold;

/// The wall clock of all disks at virtual time zero, in milliseconds.
const EPOCH_MS: i64 = 1_760_000_000_000;

/// Whether an operation changes the disk, or what a power cut would leave of it.
pub fn is_effect(op: &DiskOp) -> bool {
    !matches!(
        op,
        DiskOp::Open(_)
            | DiskOp::Close(_)
            | DiskOp::Read { .. }
            | DiskOp::List(_)
            | DiskOp::Stat(_)
            | DiskOp::Lock(_)
            | DiskOp::Space(_)
    )
}

/// Whether an operation waits for the device.
pub fn is_sync(op: &DiskOp) -> bool {
    matches!(op, DiskOp::SyncData(_) | DiskOp::SyncDir(_))
}

/// Sequences within sequences run as if written out.
pub fn flatten(steps: Vec<DiskOp>) -> VecDeque<DiskOp> {
    let each = |step| match step {
        DiskOp::Sequence(inner) => flatten(inner),
        single => VecDeque::from([single]),
    };
    steps.into_iter().flat_map(each).collect()
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

/// EIO as the kernel gives it.
fn input_output_error() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}

impl State {
    /// Runs a step, unless a fault hits it.
    pub(super) fn run_step(
        &mut self,
        shared: &Arc<Shared>,
        step: &DiskOp,
        sync_upto: u64,
    ) -> io::Result<DiskOutcome> {
        let result = match self.fault(step) {
            Some(fault) => self.fail(shared, step, fault),
            None => self.run(shared, step, sync_upto),
        };
        let (kind, path, numbers, content) = describe(step);
        let path = path.to_string_lossy();
        let outcome = outcome_digest(&result);
        let node = u64::from(shared.node);
        shared.clock.trace(
            kind,
            &[node, numbers.0, numbers.1, content, outcome],
            path.as_bytes(),
        );
        match &result {
            Ok(_) => shared
                .clock
                .detail(format_args!("node {node} {kind} {path} {numbers:?}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                shared
                    .clock
                    .detail(format_args!("node {node} {kind} {path}: {error}"));
            }
            Err(error) => shared
                .clock
                .note(format_args!("node {node} {kind} {path}: {error}")),
        }
        result
    }

    fn fault(&mut self, step: &DiskOp) -> Option<DiskFault> {
        let point = match step {
            DiskOp::Read { .. } => FaultPoint::Read,
            DiskOp::Write { .. } | DiskOp::Truncate { .. } | DiskOp::Zero { .. } => {
                FaultPoint::Write
            }
            DiskOp::SyncData(_) | DiskOp::SyncDir(_) => FaultPoint::Sync,
            _ => return None,
        };
        let (_, path, ..) = describe(step);
        let path = path.to_string_lossy();
        let index = self
            .injected
            .iter()
            .position(|injected| injected.point == point && path.contains(&injected.path_part))?;
        let injected = &mut self.injected[index];
        if injected.skip > 0 {
            injected.skip -= 1;
            return None;
        }
        let fault = injected.fault;
        injected.times = injected.times.saturating_sub(1);
        if injected.times == 0 {
            self.injected.remove(index);
        }
        Some(fault)
    }

    fn fail(
        &mut self,
        shared: &Shared,
        step: &DiskOp,
        fault: DiskFault,
    ) -> io::Result<DiskOutcome> {
        let mut rng = shared.clock.core().rng.fork();
        match step {
            DiskOp::SyncData(file) => {
                if let Some(file) = self
                    .inode_of(file)
                    .and_then(|inode| self.files.get_mut(&inode))
                {
                    file.fail_sync(&mut rng);
                }
            }
            DiskOp::Write { .. } => self.run_in_part(step, &mut rng),
            _ => {}
        }
        Err(match fault {
            DiskFault::Error => input_output_error(),
            DiskFault::Full => full(),
        })
    }

    /// A crash interrupts a step: it happens, or not, or for a write in part.
    pub(super) fn run_in_part(&mut self, step: &DiskOp, rng: &mut Rng) {
        match step {
            DiskOp::Write { file, at, slices } => {
                let Some(content) = self
                    .inode_of(file)
                    .and_then(|inode| self.files.get_mut(&inode))
                else {
                    return;
                };
                let whole: Vec<u8> = slices.concat();
                let mut len = [0, whole.len(), rng.index(whole.len() + 1)][rng.index(3)];
                if file.mode() == OpenMode::CreateDirect {
                    len -= len % DIRECT_BLOCK;
                }
                if len > 0 {
                    content.change(Change::Write(*at, Bytes::from(whole).slice(..len)));
                }
            }
            DiskOp::Truncate { file, len } if rng.chance(0.5) => {
                if let Some(content) = self
                    .inode_of(file)
                    .and_then(|inode| self.files.get_mut(&inode))
                {
                    content.change(Change::Len(*len));
                }
            }
            DiskOp::Zero { file, at, len } => {
                let part = rng.between(0, *len);
                if let Some(content) = self
                    .inode_of(file)
                    .and_then(|inode| self.files.get_mut(&inode))
                {
                    content.change(Change::Zero(*at, part));
                }
            }
            DiskOp::RemoveTree(path) => {
                let limit = rng.index(8);
                let _ = self.names.remove_tree(path, limit);
            }
            DiskOp::Rename { from, to } if rng.chance(0.5) => {
                let _ = self.names.rename(from, to);
            }
            DiskOp::CreateDir(path) if rng.chance(0.5) => {
                let _ = self.names.create_dir(path);
            }
            DiskOp::RemoveFile(path) if rng.chance(0.5) => {
                let _ = self.names.remove_file(path);
            }
            _ => {}
        }
    }

    fn run(
        &mut self,
        shared: &Arc<Shared>,
        step: &DiskOp,
        sync_upto: u64,
    ) -> io::Result<DiskOutcome> {
        match step {
            DiskOp::Open(file) => self.open(file).map(|_| DiskOutcome::Done),
            DiskOp::Close(file) => {
                self.check_close(file);
                file.set_open_state(None);
                Ok(DiskOutcome::Done)
            }
            DiskOp::Read { file, at, len } => {
                check_direct(file, *at, *len as u64)?;
                let open = self.open(file)?;
                let content = self.files.get(&open.inode).ok_or(io::ErrorKind::NotFound)?;
                Ok(DiskOutcome::Data(Bytes::from(
                    content.live().read(*at, *len),
                )))
            }
            DiskOp::Write { file, at, slices } => {
                let bytes = match slices.as_slice() {
                    [one] => one.clone(),
                    many => Bytes::from(many.concat()),
                };
                check_direct(file, *at, bytes.len() as u64)?;
                self.change(
                    shared,
                    file,
                    *at + bytes.len() as u64,
                    Change::Write(*at, bytes),
                )
            }
            DiskOp::Truncate { file, len } => self.change(shared, file, *len, Change::Len(*len)),
            DiskOp::Zero { file, at, len } => {
                self.change(shared, file, at + len, Change::Zero(*at, *len))
            }
            DiskOp::SyncData(file) => {
                let open = self.open(file)?;
                let content = self
                    .files
                    .get_mut(&open.inode)
                    .ok_or(io::ErrorKind::NotFound)?;
                content.sync(sync_upto);
                Ok(DiskOutcome::Done)
            }
            DiskOp::SyncDir(path) => self.names.sync_dir(path).map(|()| DiskOutcome::Done),
            DiskOp::CreateDir(path) => self.names.create_dir(path).map(|()| DiskOutcome::Done),
            DiskOp::Rename { from, to } => self.names.rename(from, to).map(|()| DiskOutcome::Done),
            DiskOp::RemoveFile(path) => self.names.remove_file(path).map(|()| DiskOutcome::Done),
            DiskOp::RemoveTree(path) => self
                .names
                .remove_tree(path, usize::MAX)
                .map(|_| DiskOutcome::Done),
            DiskOp::List(path) => self.list(path).map(DiskOutcome::Entries),
            DiskOp::Stat(path) => Ok(DiskOutcome::Stat(
                self.names.find(path).map(|inode| self.stat(inode)),
            )),
            DiskOp::Lock(file) => self.lock(shared, file),
            DiskOp::Space(_) => {
                let total = self.options.capacity;
                Ok(DiskOutcome::Space(Space {
                    free: total.saturating_sub(self.used()),
                    total,
                }))
            }
            DiskOp::Sequence(_) => Err(io::Error::other(
                "sequences are taken apart before they run",
            )),
        }
    }

    fn open(&mut self, file: &File) -> io::Result<Arc<OpenFile>> {
        if let Some(open) = self.open_of(file) {
            return Ok(open);
        }
        let path = file.path();
        let inode = match (self.names.find(path), file.mode()) {
            (Some(inode), _) if self.names.is_dir(inode) => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            (Some(inode), _) => inode,
            (None, OpenMode::Read | OpenMode::Write) => {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{} is not there", path.display()),
                ));
            }
            (None, OpenMode::Create | OpenMode::CreateDirect) => {
                let inode = self.names.create_file(path)?;
                self.files.insert(inode, FileContent::default());
                inode
            }
        };
        let open = Arc::new(OpenFile {
            inode,
            life: self.life,
            written: AtomicU64::new(0),
        });
        file.set_open_state(Some(open.clone()));
        Ok(open)
    }

    fn change(
        &mut self,
        shared: &Shared,
        file: &File,
        end: u64,
        change: Change,
    ) -> io::Result<DiskOutcome> {
        if file.mode() == OpenMode::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let open = self.open(file)?;
        if !matches!(change, Change::Len(_)) && self.is_too_full_for(&open, end) {
            return Err(full());
        }
        let content = self
            .files
            .get_mut(&open.inode)
            .ok_or(io::ErrorKind::NotFound)?;
        content.modified_ms = EPOCH_MS + (shared.clock.now() / 1_000_000) as i64;
        content.change(change);
        open.note_change(content.changes());
        Ok(DiskOutcome::Done)
    }

    fn is_too_full_for(&self, open: &OpenFile, end: u64) -> bool {
        let growth = self
            .files
            .get(&open.inode)
            .map_or(0, |file| end.saturating_sub(file.live().len()));
        growth > 0
            && self.options.capacity < UNLIMITED
            && self.used() + growth > self.options.capacity
    }

    /// Bytes of all files that have a name.
    fn used(&self) -> u64 {
        self.names
            .named()
            .iter()
            .filter_map(|inode| self.files.get(inode))
            .map(|file| file.live().len())
            .sum()
    }

    /// The seam forbids to close a file with unsynced writes: the error of a failing write-back would
    /// be told to nobody.
    fn check_close(&self, file: &File) {
        if let Some(open) = self.open_of(file)
            && let Some(content) = self.files.get(&open.inode)
        {
            let unsynced = open.written.load(Ordering::Relaxed) > content.synced();
            assert!(
                !unsynced,
                "{} is closed with unsynced writes",
                file.path().display()
            );
        }
    }

    fn stat(&self, inode: Inode) -> FileStat {
        match self.files.get(&inode) {
            Some(file) => FileStat {
                is_dir: false,
                len: file.live().len(),
                modified_ms: file.modified_ms,
            },
            None => FileStat {
                is_dir: true,
                len: 0,
                modified_ms: EPOCH_MS,
            },
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let names = self.names.list(path)?;
        Ok(names
            .into_iter()
            .map(|(name, inode)| DirEntry {
                name,
                stat: self.stat(inode),
            })
            .collect())
    }

    fn lock(&mut self, shared: &Arc<Shared>, file: &File) -> io::Result<DiskOutcome> {
        let inode = match self.names.find(file.path()) {
            Some(inode) => inode,
            None => {
                let inode = self.names.create_file(file.path())?;
                self.files.insert(inode, FileContent::default());
                inode
            }
        };
        if self.locks.contains_key(&inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.operations_made += 1;
        let token = self.operations_made;
        self.locks.insert(inode, token);
        file.set_open_state(Some(Arc::new(HeldLock {
            disk: shared.clone(),
            inode,
            token,
        })));
        Ok(DiskOutcome::Done)
    }
}

fn check_direct(file: &File, at: u64, len: u64) -> io::Result<()> {
    let block = DIRECT_BLOCK as u64;
    if file.mode() == OpenMode::CreateDirect
        && (!at.is_multiple_of(block) || !len.is_multiple_of(block))
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a direct file takes whole blocks",
        ));
    }
    Ok(())
}

/// Kind, path, two numbers and a digest of the bytes: what the trace says of a step.
fn describe(step: &DiskOp) -> (&'static str, &Path, (u64, u64), u64) {
    match step {
        DiskOp::Open(file) => ("open", file.path(), (0, 0), 0),
        DiskOp::Close(file) => ("close", file.path(), (0, 0), 0),
        DiskOp::Read { file, at, len } => ("read", file.path(), (*at, *len as u64), 0),
        DiskOp::Write { file, at, slices } => {
            let digest = slices.iter().fold(0, |digest, slice| fold(digest, slice));
            (
                "write",
                file.path(),
                (*at, slices.iter().map(Bytes::len).sum::<usize>() as u64),
                digest,
            )
        }
        DiskOp::SyncData(file) => ("sync", file.path(), (0, 0), 0),
        DiskOp::Truncate { file, len } => ("truncate", file.path(), (*len, 0), 0),
        DiskOp::Zero { file, at, len } => ("zero", file.path(), (*at, *len), 0),
        DiskOp::SyncDir(path) => ("sync-dir", path, (0, 0), 0),
        DiskOp::CreateDir(path) => ("create-dir", path, (0, 0), 0),
        DiskOp::Rename { from, to } => (
            "rename",
            from,
            (fold(0, to.to_string_lossy().as_bytes()), 0),
            0,
        ),
        DiskOp::RemoveFile(path) => ("remove", path, (0, 0), 0),
        DiskOp::RemoveTree(path) => ("remove-tree", path, (0, 0), 0),
        DiskOp::List(path) => ("list", path, (0, 0), 0),
        DiskOp::Stat(path) => ("stat", path, (0, 0), 0),
        DiskOp::Lock(file) => ("lock", file.path(), (0, 0), 0),
        DiskOp::Space(path) => ("space", path, (0, 0), 0),
        DiskOp::Sequence(_) => ("sequence", Path::new(""), (0, 0), 0),
    }
}

fn outcome_digest(result: &io::Result<DiskOutcome>) -> u64 {
    match result {
        Ok(DiskOutcome::Data(bytes)) => fold(1, bytes),
        Ok(_) => 2,
        Err(_) => 3,
    }
}
