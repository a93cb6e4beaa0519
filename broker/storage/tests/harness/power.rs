//! A disk in memory that keeps the promises of the seam and not an inch more: a power cut leaves any subset of the unsynced
//! writes, torn at sectors, and any prefix of the unsynced names of a directory. It can also be full, and fail.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ottla_broker_storage::disk::{
    Completion, DirEntry, Disk, DiskOp, DiskOutcome, File, FileStat, Lane, OpenMode, Space,
};

const SECTOR: usize = 512;

/// xorshift: the test's only randomness, replayed by its seed.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Clone, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Dir,
}

#[derive(Clone)]
enum NameChange {
    Put(PathBuf, Node),
    Drop(PathBuf),
    Move(PathBuf, PathBuf),
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    unsynced_names: Vec<NameChange>,
}

struct Machine {
    state: State,
    capacity: u64,
    /// Operations until the power goes.
    operations_left: Option<u64>,
    /// SyncData calls until one fails, once.
    syncs_left: Option<u64>,
}

/// See the module.
pub struct PowerDisk(Mutex<Machine>);

impl PowerDisk {
    pub fn new() -> Arc<Self> {
        Self::of(State::default())
    }

    fn of(state: State) -> Arc<Self> {
        let mut state = state;
        state.names.entry(PathBuf::from("/")).or_insert(Node::Dir);
        state.durable_names = state.names.clone();
        Arc::new(Self(Mutex::new(Machine {
            state,
            capacity: 1 << 40,
            operations_left: None,
            syncs_left: None,
        })))
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().expect("no test panics while it holds this")
    }

    pub fn cut_power_after(&self, operations: u64) {
        self.machine().operations_left = Some(operations);
    }

    pub fn fail_sync_after(&self, syncs: u64) {
        self.machine().syncs_left = Some(syncs);
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.machine().capacity = bytes;
    }

    pub fn used(&self) -> u64 {
        self.machine().state.used()
    }

    /// The disk as it is found when the power is back.
    pub fn after_power_cut(&self, dice: &mut Dice) -> Arc<Self> {
        let mut state = self.machine().state.clone();
        for inode in &mut state.inodes {
            inode.survive(dice);
        }
        let kept = dice.below(state.unsynced_names.len() as u64 + 1) as usize;
        let mut names = std::mem::take(&mut state.durable_names);
        let changes = std::mem::take(&mut state.unsynced_names);
        // A prefix for each directory: their journals are one in life, but nothing says so.
        changes[..kept]
            .iter()
            .for_each(|change| apply(&mut names, change));
        state.names = names;
        Self::of(state)
    }

    /// The disk as the next process finds it after a kill: all that was written is there.
    pub fn after_kill(&self) -> Arc<Self> {
        let mut state = self.machine().state.clone();
        for inode in &mut state.inodes {
            inode.durable = inode.content.clone();
            inode.unsynced.clear();
        }
        state.unsynced_names.clear();
        Self::of(state)
    }
}

impl Disk for PowerDisk {
    fn submit(&self, _lane: Lane, op: DiskOp) -> Completion {
        Completion::ready(self.machine().run(op))
    }
}

impl Machine {
    fn run(&mut self, op: DiskOp) -> io::Result<DiskOutcome> {
        if let DiskOp::Sequence(steps) = op {
            let mut done = Vec::new();
            for step in steps {
                match self.run(step) {
                    Ok(outcome) => done.push(outcome),
                    Err(error) => {
                        return Ok(DiskOutcome::Sequence {
                            done,
                            failed: Some(error),
                        });
                    }
                }
            }
            return Ok(DiskOutcome::Sequence { done, failed: None });
        }
        match &mut self.operations_left {
            Some(0) => return Err(io::Error::other("no power")),
            Some(left) => *left -= 1,
            None => {}
        }
        if let (DiskOp::SyncData(_), Some(left)) = (&op, &mut self.syncs_left) {
            *left = left.wrapping_sub(1);
            if *left == u64::MAX {
                self.syncs_left = None;
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        let (used, capacity) = (self.state.used(), self.capacity);
        let grows = |state: &mut State, file: &File, end: u64| -> io::Result<usize> {
            let inode = state.open(file)?;
            let more = end.saturating_sub(state.inodes[inode].content.len() as u64);
            if more > 0 && used + more > capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(inode)
        };
        let state = &mut self.state;
        match op {
            DiskOp::Open(file) => state.open(&file).map(|_| DiskOutcome::Done),
            DiskOp::Close(file) => {
                file.set_open_state(None);
                Ok(DiskOutcome::Done)
            }
            DiskOp::Read { file, at, len } => {
                let inode = state.open(&file)?;
                let content = &state.inodes[inode].content;
                let from = (at as usize).min(content.len());
                let to = (from + len).min(content.len());
                Ok(DiskOutcome::Data(Bytes::copy_from_slice(
                    &content[from..to],
                )))
            }
            DiskOp::Write { file, at, slices } => {
                let bytes: Vec<u8> = slices.concat();
                let inode = grows(state, &file, at + bytes.len() as u64)?;
                state.inodes[inode].change(Change::Write(at, bytes));
                Ok(DiskOutcome::Done)
            }
            DiskOp::Zero { file, at, len } => {
                let inode = grows(state, &file, at + len)?;
                state.inodes[inode].change(Change::Write(at, vec![0; len as usize]));
                Ok(DiskOutcome::Done)
            }
            DiskOp::Truncate { file, len } => {
                let inode = state.open(&file)?;
                state.inodes[inode].change(Change::Length(len));
                Ok(DiskOutcome::Done)
            }
            DiskOp::SyncData(file) => {
                let inode = state.open(&file)?;
                state.inodes[inode].sync();
                Ok(DiskOutcome::Done)
            }
            DiskOp::SyncDir(dir) => {
                state.sync_dir(&dir);
                Ok(DiskOutcome::Done)
            }
            DiskOp::CreateDir(path) => {
                if !state.names.contains_key(&path) {
                    state.rename(NameChange::Put(path, Node::Dir));
                }
                Ok(DiskOutcome::Done)
            }
            DiskOp::Rename { from, to } => {
                state.find(&from)?;
                state.rename(NameChange::Move(from, to));
                Ok(DiskOutcome::Done)
            }
            DiskOp::RemoveFile(path) | DiskOp::RemoveTree(path) => {
                state.find(&path)?;
                state.rename(NameChange::Drop(path));
                Ok(DiskOutcome::Done)
            }
            DiskOp::List(path) => {
                state.find(&path)?;
                Ok(DiskOutcome::Entries(state.list(&path)))
            }
            DiskOp::Stat(path) => Ok(DiskOutcome::Stat(
                state.names.get(&path).map(|node| state.stat(*node)),
            )),
            DiskOp::Lock(file) => state.open(&file).map(|_| DiskOutcome::Done),
            DiskOp::Space(_) => Ok(DiskOutcome::Space(Space {
                free: capacity.saturating_sub(used),
                total: capacity,
            })),
            DiskOp::Sequence(_) => unreachable!("taken apart above"),
        }
    }
}

impl State {
    fn used(&self) -> u64 {
        let in_use = |node: &Node| match node {
            Node::File(inode) => self.inodes[*inode].content.len() as u64,
            Node::Dir => 0,
        };
        self.names.values().map(in_use).sum()
    }

    fn find(&self, path: &Path) -> io::Result<Node> {
        self.names
            .get(path)
            .copied()
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn open(&mut self, file: &File) -> io::Result<usize> {
        if let Some(state) = file.open_state() {
            return Ok(*state.downcast::<usize>().expect("one disk in a test"));
        }
        let inode = match self.names.get(file.path()) {
            Some(Node::File(inode)) => *inode,
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None if matches!(file.mode(), OpenMode::Create | OpenMode::CreateDirect) => {
                let parent = file.path().parent().expect("absolute paths");
                self.find(parent)?;
                self.inodes.push(Inode::default());
                let inode = self.inodes.len() - 1;
                self.rename(NameChange::Put(file.path().to_owned(), Node::File(inode)));
                inode
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        file.set_open_state(Some(Arc::new(inode)));
        Ok(inode)
    }

    fn rename(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.unsynced_names.push(change);
    }

    fn sync_dir(&mut self, dir: &Path) {
        let changes = std::mem::take(&mut self.unsynced_names);
        // A move is durable with either of its directories; all of ours stay in one.
        let (synced, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| {
            let path = match change {
                NameChange::Put(path, _) | NameChange::Drop(path) | NameChange::Move(_, path) => {
                    path
                }
            };
            path.parent() == Some(dir)
        });
        synced
            .iter()
            .for_each(|change| apply(&mut self.durable_names, change));
        self.unsynced_names = rest;
    }

    fn list(&self, dir: &Path) -> Vec<DirEntry> {
        let inside = self
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        inside
            .map(|(path, node)| DirEntry {
                name: path
                    .file_name()
                    .expect("not the root")
                    .to_string_lossy()
                    .into_owned(),
                stat: self.stat(*node),
            })
            .collect()
    }

    fn stat(&self, node: Node) -> FileStat {
        match node {
            Node::Dir => FileStat {
                is_dir: true,
                len: 0,
                modified_ms: 0,
            },
            Node::File(inode) => FileStat {
                is_dir: false,
                len: self.inodes[inode].content.len() as u64,
                modified_ms: 0,
            },
        }
    }
}

fn apply(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Put(path, node) => drop(names.insert(path.clone(), *node)),
        NameChange::Drop(path) => names.retain(|name, _| !name.starts_with(path)),
        NameChange::Move(from, to) => {
            let moved: Vec<PathBuf> = names
                .keys()
                .filter(|name| name.starts_with(from))
                .cloned()
                .collect();
            for name in moved {
                let node = names.remove(&name).expect("just listed");
                let rest = name.strip_prefix(from).expect("just filtered");
                let target = if rest.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(rest)
                };
                names.insert(target, node);
            }
        }
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.content);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.durable = self.content.clone();
        self.unsynced.clear();
    }

    fn survive(&mut self, dice: &mut Dice) {
        let mut content = std::mem::take(&mut self.durable);
        let mood = dice.below(4);
        for change in std::mem::take(&mut self.unsynced) {
            match (mood, &change) {
                (0, _) => break,
                (1, _) => change.apply(&mut content),
                (_, Change::Length(_)) if dice.below(2) == 0 => change.apply(&mut content),
                (_, Change::Length(_)) => {}
                (_, Change::Write(at, bytes)) => {
                    let mut position = 0;
                    while position < bytes.len() {
                        let in_sector = SECTOR - (*at as usize + position) % SECTOR;
                        let len = in_sector.min(bytes.len() - position);
                        if dice.below(3) > 0 {
                            let part = bytes[position..position + len].to_vec();
                            Change::Write(at + position as u64, part).apply(&mut content);
                        }
                        position += len;
                    }
                }
            }
        }
        self.content = content.clone();
        self.durable = content;
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(at, bytes) => {
                let end = *at as usize + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at as usize..end].copy_from_slice(bytes);
            }
            Change::Length(len) => content.resize(*len as usize, 0),
        }
    }
}
