//! Virtual time and the queue of what happens next. Time moves only when everything that is ready
//! has run, and then straight to the next event.
//!
//! Invariant: events come out in the order of (time, number), and numbers are given in the order of
//! scheduling; nothing else decides an order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use crate::disk::DiskEvent;
use crate::net::NetEvent;
use crate::rng::Rng;
use crate::trace::Trace;

/// A simulated second, in the unit of virtual time.
pub const SECOND: u64 = 1_000_000_000;

/// What the queue may hold.
pub enum Event {
    /// A timer of a task is due.
    Timer(Arc<Mutex<Timer>>),
    /// Something arrives over a link.
    Net(NetEvent),
    /// A step of a disk operation ends.
    Disk(DiskEvent),
    /// A paused node runs again.
    Resume {
        /// Which node.
        node: u32,
    },
}

/// A sleep that somebody may be waiting for.
#[derive(Default)]
pub struct Timer {
    /// Whom to wake; `None` once the sleep was dropped.
    pub waker: Option<Waker>,
    /// Set when the time has come.
    pub due: bool,
}

struct Scheduled {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// Reversed, so that the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Time, queue, chance and trace: what every part of the simulation shares.
pub struct Core {
    now: u64,
    scheduled: u64,
    queue: BinaryHeap<Scheduled>,
    /// The simulation's own chance; nodes draw from streams of theirs.
    pub rng: Rng,
    /// What happened so far.
    pub trace: Trace,
    /// Details are kept for the post-mortem.
    pub is_verbose: bool,
}

/// The core as parts hold it. The lock is never contended: disks must be `Send` by contract, but
/// everything runs on one thread.
#[derive(Clone)]
pub struct Clock(Arc<Mutex<Core>>);

impl Clock {
    /// Time zero of a seed.
    pub fn new(seed: u64) -> Self {
        let core = Core {
            now: 0,
            scheduled: 0,
            queue: BinaryHeap::new(),
            rng: Rng::new(seed),
            trace: Trace::default(),
            is_verbose: false,
        };
        Self(Arc::new(Mutex::new(core)))
    }

    /// The core; never hold it across a wake-up.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Nanoseconds since the start of the simulation.
    pub fn now(&self) -> u64 {
        self.core().now
    }

    /// Lets `event` happen `delay` nanoseconds from now.
    pub fn after(&self, delay: u64, event: Event) {
        let mut core = self.core();
        let at = core.now.saturating_add(delay);
        core.schedule(at, event);
    }

    /// Adds one event to the trace.
    pub fn trace(&self, kind: &str, numbers: &[u64], bytes: &[u8]) {
        let mut core = self.core();
        let now = core.now;
        core.trace.event(now, kind, numbers, bytes);
    }

    /// As [`Clock::note`], for lines that are worth reading only in a verbose run; they change no hash.
    pub fn detail(&self, line: std::fmt::Arguments<'_>) {
        let mut core = self.core();
        let now = core.now;
        if core.is_verbose {
            core.trace.remark(now, line);
        }
    }

    /// Adds a line to the trace that is worth reading when the run fails.
    pub fn note(&self, line: std::fmt::Arguments<'_>) {
        let mut core = self.core();
        let now = core.now;
        core.trace.note(now, line);
    }
}

impl Core {
    /// Lets `event` happen at a time; at once, but after what is already due, if that has passed.
    pub fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Scheduled {
            at: at.max(self.now),
            number: self.scheduled,
            event,
        });
    }

    /// Moves time to the next event and takes it; `None` when nothing will ever happen again.
    pub fn next(&mut self) -> Option<Event> {
        let next = self.queue.pop()?;
        self.now = next.at;
        Some(next.event)
    }

    /// Lets time pass while something ran.
    pub fn pass(&mut self, nanos: u64) {
        self.now += nanos;
    }

    /// Nanoseconds since the start of the simulation.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Whether an event is due already.
    pub fn is_due(&self) -> bool {
        self.queue.peek().is_some_and(|next| next.at <= self.now)
    }
}
