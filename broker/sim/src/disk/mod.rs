//! The simulated disk of one node: the storage seam's promises kept to the letter and not an inch
//! further, so that whoever relies on more is found out.
//!
//! Operations take virtual time; those of an ordered lane wait for each other. A crash of the process
//! may cut the operations under way short; a power cut also loses what was not synced, in adversarial
//! subsets, torn at sectors. Faults are asked for by the test, not drawn here.
//! Invariant: an operation of an earlier life of the node changes nothing any more.

mod content;
mod names;
mod run;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ottla_broker_storage::disk::{Completer, Completion, Disk, DiskOp, DiskOutcome, Lane};

use crate::clock::{Clock, Event};
use content::FileContent;
pub use names::Inode;
use names::Names;

/// A file system of this size is never asked whether it is full.
const UNLIMITED: u64 = 1 << 40;

/// Habits of a disk.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Size of the file system in bytes; writes beyond it fail with ENOSPC.
    pub capacity: u64,
    /// Mean time of an operation that only touches memory, in nanoseconds.
    pub cached_mean: u64,
    /// Mean time of a sync.
    pub sync_mean: u64,
    /// Probability that an operation takes `stall` longer.
    pub stall_probability: f64,
    /// How long a stall is.
    pub stall: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            capacity: UNLIMITED,
            cached_mean: 20_000,
            sync_mean: 400_000,
            stall_probability: 0.0,
            stall: 50_000_000,
        }
    }
}

/// The end of a step of an operation.
#[derive(Debug)]
pub struct DiskEvent {
    /// Whose disk.
    pub node: u32,
    /// In which life of the node it was submitted.
    life: u64,
    operation: u64,
}

/// What a test may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// EIO; the operation does nothing.
    Error,
    /// ENOSPC; a write may have written a part.
    Full,
}

/// Which operations a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// Reads of file contents.
    Read,
    /// Writes, truncations, zeroing.
    Write,
    /// SyncData and SyncDir.
    Sync,
}

struct Injected {
    point: FaultPoint,
    path_part: String,
    skip: u64,
    times: u64,
    fault: DiskFault,
}

/// A crash that the disk calls for when so many effects have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Instead of the effect with this number (from 0): it may have happened in part.
    During(u64),
    /// After the effect, before anybody hears of it.
    After(u64),
}

struct Operation {
    lane: Lane,
    /// The step under way is the front.
    steps: VecDeque<DiskOp>,
    sequence: Option<Vec<DiskOutcome>>,
    /// Changes of the file to be synced that were finished when the sync began.
    sync_upto: u64,
    completer: Completer,
}

struct State {
    options: DiskOptions,
    life: u64,
    names: Names,
    files: BTreeMap<Inode, FileContent>,
    locks: BTreeMap<Inode, u64>,
    operations: BTreeMap<u64, Operation>,
    operations_made: u64,
    lanes: BTreeMap<u32, VecDeque<u64>>,
    injected: Vec<Injected>,
    stalled_until: u64,
    effects: u64,
    crash_at: Option<CrashPoint>,
}

struct Shared {
    node: u32,
    clock: Clock,
    state: Mutex<State>,
}

/// The disk of a node, through all its lives.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

/// What the process holds behind a file handle.
struct OpenFile {
    inode: Inode,
    life: u64,
    /// Number of the last change that was made through this handle, plus one.
    written: AtomicU64,
}

/// A lock that is given back when its handle is dropped.
struct HeldLock {
    disk: Arc<Shared>,
    inode: Inode,
    token: u64,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut state = locked(&self.disk);
        if state.locks.get(&self.inode) == Some(&self.token) {
            state.locks.remove(&self.inode);
        }
    }
}

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared
        .state
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What the simulation must do after a disk event.
pub enum Aftermath {
    /// Nothing.
    Fine,
    /// The node crashes here; see [`SimDisk::crash_at`].
    Crash,
}

impl SimDisk {
    /// An empty disk with an empty directory `/data`, durably there.
    pub fn new(node: u32, clock: Clock, options: DiskOptions) -> Self {
        let mut names = Names::default();
        names
            .create_dir(Path::new("/data"))
            .expect("the root is empty");
        names.sync_dir(Path::new("/")).expect("the root is there");
        let state = State {
            options,
            life: 1,
            names,
            files: BTreeMap::new(),
            locks: BTreeMap::new(),
            operations: BTreeMap::new(),
            operations_made: 0,
            lanes: BTreeMap::new(),
            injected: Vec::new(),
            stalled_until: 0,
            effects: 0,
            crash_at: None,
        };
        Self(Arc::new(Shared {
            node,
            clock,
            state: Mutex::new(state),
        }))
    }

    /// The face for the process of the present life; later lives need a new one.
    pub fn handle(&self) -> Arc<dyn Disk> {
        let life = locked(&self.0).life;
        Arc::new(Handle {
            shared: self.0.clone(),
            life,
        })
    }

    /// Lets the next `times` operations of that kind fail, after `skip` of them, on paths that contain
    /// `path_part`. A failed sync forgets its changes: some are durable, some never will be, and later
    /// syncs succeed.
    pub fn inject(
        &self,
        point: FaultPoint,
        path_part: &str,
        skip: u64,
        times: u64,
        fault: DiskFault,
    ) {
        let injected = Injected {
            point,
            path_part: path_part.to_owned(),
            skip,
            times,
            fault,
        };
        locked(&self.0).injected.push(injected);
    }

    /// Takes back every fault and crash point that has not happened yet.
    pub fn heal(&self) {
        let mut state = locked(&self.0);
        state.injected.clear();
        state.crash_at = None;
    }

    /// Sets the size of the file system.
    pub fn set_capacity(&self, bytes: u64) {
        locked(&self.0).options.capacity = bytes;
    }

    /// Lets no operation end before `nanos` have passed.
    pub fn stall(&self, nanos: u64) {
        let until = self.0.clock.now() + nanos;
        locked(&self.0).stalled_until = until;
    }

    /// Flips bits of a byte of a file, on the disk and in the cache. False when there is no such byte.
    pub fn damage(&self, path: &Path, at: u64, mask: u8) -> bool {
        let mut state = locked(&self.0);
        let Some(inode) = state.names.find(path) else {
            return false;
        };
        match state.files.get_mut(&inode) {
            Some(file) if at < file.live().len() => {
                file.damage(at, mask);
                true
            }
            _ => false,
        }
    }

    /// The whole content of a file as readers see it; for tests that look behind the broker's back.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = locked(&self.0);
        let file = state.files.get(&state.names.find(path)?)?;
        let len = usize::try_from(file.live().len()).ok()?;
        Some(file.live().read(0, len))
    }

    /// Paths of all files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        let state = locked(&self.0);
        let mut found = Vec::new();
        let mut waiting = vec![PathBuf::from("/")];
        while let Some(dir) = waiting.pop() {
            for (name, inode) in state.names.list(&dir).unwrap_or_default() {
                let path = dir.join(name);
                if state.names.is_dir(inode) {
                    waiting.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Number of effects so far: changes of contents or names, and syncs.
    pub fn effects(&self) -> u64 {
        locked(&self.0).effects
    }

    /// Lets the node crash at an effect.
    pub fn crash_at(&self, point: CrashPoint) {
        locked(&self.0).crash_at = Some(point);
    }

    /// The process is gone. Operations under way may have happened, in part; those that waited have not.
    /// What was written stays visible, synced or not.
    pub fn process_ends(&self) {
        let dropped: Vec<Operation> = {
            let mut state = locked(&self.0);
            state.life += 1;
            state.locks.clear();
            state.lanes.clear();
            state.crash_at = None;
            let under_way: BTreeSet<u64> = state.operations.keys().copied().collect();
            let operations = std::mem::take(&mut state.operations);
            let mut rng = self.0.clock.core().rng.fork();
            for (number, operation) in &operations {
                if under_way.contains(number)
                    && let Some(step) = operation.steps.front()
                {
                    state.run_in_part(step, &mut rng);
                }
            }
            operations.into_values().collect()
        };
        // Completers wake whoever waited; that is nobody any more, but not under the lock.
        drop(dropped);
    }

    /// The machine loses power; call after [`SimDisk::process_ends`].
    pub fn power_ends(&self) {
        let mut state = locked(&self.0);
        let mut rng = self.0.clock.core().rng.fork();
        let named = state.names.lose_power(&mut rng);
        state.files.retain(|inode, _| named.contains(inode));
        for file in state.files.values_mut() {
            file.lose_power(&mut rng);
        }
    }

    /// A step of an operation ends.
    pub fn apply(&self, event: &DiskEvent) -> Aftermath {
        let (finished, aftermath) = {
            let mut state = locked(&self.0);
            if state.life != event.life {
                return Aftermath::Fine;
            }
            let now = self.0.clock.now();
            if now < state.stalled_until {
                let delay = state.stalled_until - now;
                let again = DiskEvent {
                    node: event.node,
                    life: event.life,
                    operation: event.operation,
                };
                self.0.clock.after(delay, Event::Disk(again));
                return Aftermath::Fine;
            }
            self.end_step(&mut state, event.operation)
        };
        if let Some((completer, result)) = finished {
            completer.complete(result);
        }
        aftermath
    }

    fn end_step(
        &self,
        state: &mut State,
        number: u64,
    ) -> (Option<(Completer, io::Result<DiskOutcome>)>, Aftermath) {
        let Some(mut operation) = state.operations.remove(&number) else {
            return (None, Aftermath::Fine);
        };
        let Some(step) = operation.steps.pop_front() else {
            return (None, Aftermath::Fine);
        };
        if run::is_effect(&step) {
            let effect = state.effects;
            state.effects += 1;
            match state.crash_at {
                Some(CrashPoint::During(at)) if at == effect => {
                    operation.steps.push_front(step);
                    state.operations.insert(number, operation);
                    return (None, Aftermath::Crash);
                }
                Some(CrashPoint::After(at)) if at == effect => {
                    let _ = state.run_step(&self.0, &step, operation.sync_upto);
                    // Nothing is left of it that could happen in part.
                    operation.steps.clear();
                    state.operations.insert(number, operation);
                    return (None, Aftermath::Crash);
                }
                _ => {}
            }
        }
        let result = state.run_step(&self.0, &step, operation.sync_upto);
        let finished = match (result, operation.sequence.take()) {
            (result, None) => Some(result),
            (Ok(outcome), Some(mut done)) => {
                done.push(outcome);
                if operation.steps.is_empty() {
                    Some(Ok(DiskOutcome::Sequence { done, failed: None }))
                } else {
                    operation.sequence = Some(done);
                    None
                }
            }
            (Err(error), Some(done)) => Some(Ok(DiskOutcome::Sequence {
                done,
                failed: Some(error),
            })),
        };
        let lane = operation.lane;
        match finished {
            None => {
                state.operations.insert(number, operation);
                state.begin_step(&self.0, number);
                (None, Aftermath::Fine)
            }
            Some(result) => {
                if let Lane::Ordered(lane) = lane {
                    let next = state.lanes.get_mut(&lane).and_then(|waiting| {
                        waiting.pop_front();
                        waiting.front().copied()
                    });
                    if let Some(next) = next {
                        state.begin_step(&self.0, next);
                    }
                }
                (Some((operation.completer, result)), Aftermath::Fine)
            }
        }
    }
}

/// The disk as one life of the node sees it.
struct Handle {
    shared: Arc<Shared>,
    life: u64,
}

impl Disk for Handle {
    fn submit(&self, lane: Lane, op: DiskOp) -> Completion {
        let (completer, completion) = Completion::pair();
        let mut state = locked(&self.shared);
        if state.life != self.life {
            // A task that is being dropped in a crash still talks; nobody listens.
            drop(state);
            completer.complete(Err(io::ErrorKind::BrokenPipe.into()));
            return completion;
        }
        let (steps, sequence) = match op {
            DiskOp::Sequence(steps) => (run::flatten(steps), Some(Vec::new())),
            single => (VecDeque::from([single]), None),
        };
        if steps.is_empty() {
            drop(state);
            completer.complete(Ok(DiskOutcome::Sequence {
                done: Vec::new(),
                failed: None,
            }));
            return completion;
        }
        state.operations_made += 1;
        let number = state.operations_made;
        state.operations.insert(
            number,
            Operation {
                lane,
                steps,
                sequence,
                sync_upto: 0,
                completer,
            },
        );
        let begins = match lane {
            Lane::Any => true,
            Lane::Ordered(lane) => {
                let waiting = state.lanes.entry(lane).or_default();
                waiting.push_back(number);
                waiting.len() == 1
            }
        };
        if begins {
            state.begin_step(&self.shared, number);
        }
        completion
    }
}

impl State {
    /// Lets the front step of an operation begin: it ends after its time.
    fn begin_step(&mut self, shared: &Shared, number: u64) {
        let Some(step) = self
            .operations
            .get(&number)
            .and_then(|operation| operation.steps.front())
        else {
            return;
        };
        let mean = if run::is_sync(step) {
            self.options.sync_mean
        } else {
            self.options.cached_mean
        };
        let sync_upto = match step {
            DiskOp::SyncData(file) => self
                .inode_of(file)
                .and_then(|inode| self.files.get(&inode))
                .map_or(0, FileContent::changes),
            _ => 0,
        };
        let delay = {
            let mut core = shared.clock.core();
            let stall = core.rng.chance(self.options.stall_probability);
            1_000 + core.rng.exponential(mean) + if stall { self.options.stall } else { 0 }
        };
        if let Some(operation) = self.operations.get_mut(&number) {
            operation.sync_upto = sync_upto;
        }
        let event = DiskEvent {
            node: shared.node,
            life: self.life,
            operation: number,
        };
        shared.clock.after(delay, Event::Disk(event));
    }

    /// The number behind a handle: as opened in this life, or by its path.
    fn inode_of(&self, file: &ottla_broker_storage::disk::File) -> Option<Inode> {
        match self.open_of(file) {
            Some(open) => Some(open.inode),
            None => self.names.find(file.path()),
        }
    }

    fn open_of(&self, file: &ottla_broker_storage::disk::File) -> Option<Arc<OpenFile>> {
        let state: Arc<dyn Any + Send + Sync> = file.open_state()?;
        let open = state.downcast::<OpenFile>().ok()?;
        (open.life == self.life).then_some(open)
    }
}

impl OpenFile {
    fn note_change(&self, changes: u64) {
        self.written.store(changes, Ordering::Relaxed);
    }
}
