//! Tasks and who of them is ready. One thread, one pick at a time; which of the ready tasks runs
//! next is drawn from the seed, so that different seeds see different interleavings.
//!
//! Tasks belong to nodes: a crash drops all tasks of a node, a pause sets them aside.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use ottla_broker::rt::LocalFuture;

use crate::clock::Clock;

type TaskId = u64;

/// The node number of tasks that belong to the test itself.
pub const DRIVER: u32 = 0;

#[derive(Default)]
struct Ready {
    /// In the order of waking, without repeats.
    tasks: Vec<TaskId>,
}

type ReadyList = Arc<Mutex<Ready>>;

fn locked(ready: &ReadyList) -> MutexGuard<'_, Ready> {
    ready
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct TaskWaker {
    task: TaskId,
    ready: ReadyList,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = locked(&self.ready);
        if !ready.tasks.contains(&self.task) {
            ready.tasks.push(self.task);
        }
    }
}

struct Task {
    node: u32,
    waker: Waker,
    /// Taken out while it is polled.
    future: Option<LocalFuture<'static, ()>>,
}

#[derive(Default)]
struct Tasks {
    all: BTreeMap<TaskId, Task>,
    started: TaskId,
    paused: BTreeSet<u32>,
    /// Ready tasks of paused nodes.
    set_aside: Vec<TaskId>,
}

/// All tasks of a simulation.
#[derive(Clone, Default)]
pub struct Executor {
    tasks: Rc<RefCell<Tasks>>,
    ready: ReadyList,
}

impl Executor {
    /// Starts a task of a node; it is ready at once.
    pub fn spawn(&self, node: u32, future: LocalFuture<'static, ()>) {
        let mut tasks = self.tasks.borrow_mut();
        tasks.started += 1;
        let task = tasks.started;
        let waker = Waker::from(Arc::new(TaskWaker {
            task,
            ready: self.ready.clone(),
        }));
        waker.wake_by_ref();
        tasks.all.insert(
            task,
            Task {
                node,
                waker,
                future: Some(future),
            },
        );
    }

    /// Runs one ready task for one poll. False when none is ready.
    pub fn run_one(&self, clock: &Clock) -> bool {
        let Some(task) = self.pick(clock) else {
            return false;
        };
        let taken = {
            let mut tasks = self.tasks.borrow_mut();
            tasks
                .all
                .get_mut(&task)
                .and_then(|entry| Some((entry.future.take()?, entry.waker.clone(), entry.node)))
        };
        // A wake-up of a task that has ended, or was dropped in a crash.
        let Some((mut future, waker, node)) = taken else {
            return true;
        };
        clock.trace("run", &[u64::from(node), task], &[]);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.tasks.borrow_mut();
        match (polled, tasks.all.get_mut(&task)) {
            (Poll::Pending, Some(entry)) => entry.future = Some(future),
            (Poll::Ready(()), Some(_)) => {
                tasks.all.remove(&task);
                drop(tasks);
                drop(future);
            }
            // Its node crashed while it ran: it called for the crash itself.
            (_, None) => {
                drop(tasks);
                drop(future);
            }
        }
        true
    }

    fn pick(&self, clock: &Clock) -> Option<TaskId> {
        let mut tasks = self.tasks.borrow_mut();
        loop {
            let task = {
                let mut ready = locked(&self.ready);
                if ready.tasks.is_empty() {
                    return None;
                }
                let index = clock.core().rng.index(ready.tasks.len());
                ready.tasks.remove(index)
            };
            match tasks.all.get(&task) {
                Some(entry) if tasks.paused.contains(&entry.node) => tasks.set_aside.push(task),
                Some(_) => return Some(task),
                None => {}
            }
        }
    }

    /// Drops all tasks of a node. Destructors run, as they do not in a real crash; what they touch
    /// (sockets, disk) must have been told before that the node is dead.
    pub fn drop_node(&self, node: u32) {
        let dropped: Vec<Task> = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.paused.remove(&node);
            let ids: Vec<TaskId> = tasks
                .all
                .iter()
                .filter(|(_, task)| task.node == node)
                .map(|(id, _)| *id)
                .collect();
            ids.iter().filter_map(|id| tasks.all.remove(id)).collect()
        };
        drop(dropped);
    }

    /// Lets no task of the node run until it is resumed.
    pub fn pause(&self, node: u32) {
        self.tasks.borrow_mut().paused.insert(node);
    }

    /// Ends a pause.
    pub fn resume(&self, node: u32) {
        let mut tasks = self.tasks.borrow_mut();
        tasks.paused.remove(&node);
        let waiting = std::mem::take(&mut tasks.set_aside);
        for task in waiting {
            if let Some(entry) = tasks.all.get(&task) {
                entry.waker.wake_by_ref();
            }
        }
    }

    /// Number of tasks of a node that have not ended.
    pub fn tasks_of(&self, node: u32) -> usize {
        self.tasks
            .borrow()
            .all
            .values()
            .filter(|task| task.node == node)
            .count()
    }
}
