//! The real [`Disk`]: files, and threads that do nothing but I/O on them.
//!
//! One thread per ordered lane (started at first use) and a small pool for [`Lane::Any`]. Writes go by
//! `pwritev`, syncs by `fdatasync`; nothing here retries a failed sync. A direct file is opened with
//! O_DIRECT; where the file system refuses it the same file goes through the page cache and a log
//! line says so: durability is the same, only slower. Not here: what is written, and when.

mod ops;
mod sync_times;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::{Completer, Completion, Disk, DiskOp, Lane};
use ops::Worker;
pub use sync_times::SyncTimes;

/// Threads that serve [`Lane::Any`]. Cold reads block in them, so there are more of them than cores of a
/// small machine; each costs a few KiB while it waits.
const POOL_THREADS: usize = 4;

/// I/O needs little stack; the default of 2 MiB would count in every memory figure.
const STACK_BYTES: usize = 192 * 1024;

struct Job {
    op: DiskOp,
    completer: Completer,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    fn locked(&self) -> MutexGuard<'_, QueueState> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn push(&self, job: Job) {
        self.locked().jobs.push_back(job);
        self.arrived.notify_one();
    }

    /// The next job; `None` once the disk is gone and the queue is empty.
    fn pop(&self) -> Option<Job> {
        let mut state = self.locked();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn close(&self) {
        self.locked().closed = true;
        self.arrived.notify_all();
    }
}

/// Real files. Operations that are queued when it is dropped are still carried out; dropping waits for them, so that
/// whoever opens the same files next meets nobody.
#[derive(Default)]
pub struct FileDisk {
    lanes: Mutex<BTreeMap<Lane, Staffed>>,
    sync_times: Arc<SyncTimes>,
}

struct Staffed {
    queue: Arc<Queue>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl FileDisk {
    /// A disk without threads; they start with the first operation of each lane.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// How long its syncs took.
    pub fn sync_times(&self) -> Arc<SyncTimes> {
        Arc::clone(&self.sync_times)
    }

    fn queue(&self, lane: Lane) -> std::io::Result<Arc<Queue>> {
        let mut lanes = self
            .lanes
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(staffed) = lanes.get(&lane) {
            return Ok(staffed.queue.clone());
        }
        let queue = Arc::<Queue>::default();
        let (threads, name) = match lane {
            Lane::Ordered(number) => (1, format!("disk-{number}")),
            Lane::Any => (POOL_THREADS, "disk-pool".to_owned()),
        };
        let start = |_| {
            let (queue, sync_times) = (queue.clone(), self.sync_times());
            std::thread::Builder::new()
                .name(name.clone())
                .stack_size(STACK_BYTES)
                .spawn(move || work(&queue, sync_times))
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<_>>()?;
        lanes.insert(
            lane,
            Staffed {
                queue: queue.clone(),
                threads,
            },
        );
        Ok(queue)
    }
}

fn work(queue: &Queue, sync_times: Arc<SyncTimes>) {
    let mut worker = Worker::new(sync_times);
    while let Some(Job { op, completer }) = queue.pop() {
        completer.complete(worker.run(op));
    }
}

impl Disk for FileDisk {
    fn submit(&self, lane: Lane, op: DiskOp) -> Completion {
        let (completer, completion) = Completion::pair();
        match self.queue(lane) {
            Ok(queue) => queue.push(Job { op, completer }),
            Err(error) => completer.complete(Err(error)),
        }
        completion
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        let lanes = self
            .lanes
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        lanes.values().for_each(|staffed| staffed.queue.close());
        let here = std::thread::current().id();
        let threads = std::mem::take(lanes)
            .into_values()
            .flat_map(|staffed| staffed.threads);
        // A completion may drop the last handle on one of these threads, which cannot wait for itself.
        for thread in threads.filter(|thread| thread.thread().id() != here) {
            // A thread that panicked has told so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
