//! One simulation: nodes, their network and disks, a driver that plays the test, and the loop that
//! lets it all happen. A seed decides everything.
//!
//! The driver is a task of its own node that never dies; it starts, crashes, pauses and partitions
//! the others. When it ends, the simulation ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ottla_broker::rt::Rt;
use tokio::sync::watch;

use crate::clock::{Clock, Event, SECOND};
use crate::disk::{Aftermath, DiskOptions, SimDisk};
use crate::executor::{DRIVER, Executor};
use crate::net::{Net, NetOptions};
use crate::node::{NodeClock, SimRuntime, Sleep, ring};
use crate::rng::Rng;

/// What a poll costs in virtual time, so that a task that spins does not stop the clock.
const POLL_NANOS: u64 = 500;

/// How a simulation begins; everything else can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Habits of the network.
    pub net: NetOptions,
    /// Habits of every node's disk.
    pub disk: DiskOptions,
    /// Most parts per million by which the clock of a node runs fast or slow.
    pub drift_ppm_max: i64,
    /// Keep details (every disk operation) for the post-mortem of a failed run. Changes no hash.
    pub is_verbose: bool,
    /// Virtual time after which a run that has not ended has failed.
    pub time_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            net: NetOptions::default(),
            disk: DiskOptions::default(),
            drift_ppm_max: 50_000,
            is_verbose: false,
            time_limit: 3_600 * SECOND,
        }
    }
}

/// How a process ends without wanting to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// As by SIGKILL: the machine goes on, what was written is still there, peers are told.
    Process,
    /// The machine loses power: unsynced writes may be lost, nobody is told.
    Power,
}

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The hash over all events.
    pub trace: u64,
    /// Number of events.
    pub events: u64,
    /// Virtual nanoseconds.
    pub nanos: u64,
}

struct Node {
    disk: SimDisk,
    clock: NodeClock,
    rng: Rng,
    alive: Rc<Cell<bool>>,
    /// Number of crashes so far.
    crashes: watch::Sender<u64>,
    crash_kind: Crash,
}

struct Inner {
    seed: u64,
    options: Options,
    clock: Clock,
    executor: Executor,
    net: Net,
    nodes: RefCell<BTreeMap<u32, Node>>,
}

/// A handle on a simulation, for its driver.
#[derive(Clone)]
pub struct Sim(Rc<Inner>);

/// A machine of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeHandle(u32);

/// Runs a simulation to the end of its driver. Panics, with the seed and the last events, when the
/// driver does, when nothing can ever happen again, or when the time limit is reached.
pub fn run<T: 'static>(
    seed: u64,
    options: Options,
    driver: impl AsyncFnOnce(Sim) -> T + 'static,
) -> (T, Report) {
    let clock = Clock::new(seed);
    clock.core().is_verbose = options.is_verbose;
    let sim = Sim(Rc::new(Inner {
        seed,
        net: Net::new(clock.clone(), options.net.clone()),
        executor: Executor::default(),
        nodes: RefCell::default(),
        clock,
        options,
    }));
    let _post_mortem = PostMortem(sim.clone());
    let result: Rc<RefCell<Option<T>>> = Rc::default();
    sim.0.executor.spawn(
        DRIVER,
        Box::pin({
            let (sim, result) = (sim.clone(), Rc::clone(&result));
            async move {
                let value = driver(sim).await;
                *result.borrow_mut() = Some(value);
            }
        }),
    );
    while result.borrow().is_none() {
        sim.turn();
    }
    let report = sim.report();
    // Tasks hold handles on the simulation and the other way round.
    let nodes: Vec<u32> = sim.0.nodes.borrow().keys().copied().collect();
    for node in nodes {
        sim.crash(NodeHandle(node), Crash::Power);
    }
    let value = result
        .borrow_mut()
        .take()
        .expect("the loop ends when it is there");
    (value, report)
}

impl Sim {
    /// What happened so far.
    pub fn report(&self) -> Report {
        let core = self.0.clock.core();
        Report {
            trace: core.trace.hash(),
            events: core.trace.events(),
            nanos: core.now(),
        }
    }

    /// The seed of this run.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// A stream of chance for the driver.
    pub fn rng(&self) -> Rng {
        self.0.clock.core().rng.fork()
    }

    /// Virtual nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.0.clock.now()
    }

    /// Writes a line into the trace.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        self.0.clock.note(line);
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, nanos: u64) {
        Sleep::new(&self.0.clock, self.0.clock.now().saturating_add(nanos)).await;
    }

    /// Adds a machine with an empty disk; `name` is its host name.
    pub fn add_node(&self, name: &str) -> NodeHandle {
        let mut nodes = self.0.nodes.borrow_mut();
        let number = nodes.len() as u32 + 1;
        let (drift_ppm, rng) = {
            let mut core = self.0.clock.core();
            let range = self.0.options.drift_ppm_max;
            let drift = core.rng.between(0, 2 * range.unsigned_abs()) as i64 - range;
            (drift, core.rng.fork())
        };
        let node = Node {
            disk: SimDisk::new(number, self.0.clock.clone(), self.0.options.disk.clone()),
            clock: NodeClock {
                drift_ppm,
                ..NodeClock::exact()
            },
            rng,
            alive: Rc::new(Cell::new(false)),
            crashes: watch::Sender::new(0),
            crash_kind: Crash::Process,
        };
        nodes.insert(number, node);
        self.0.net.add_host(number, name);
        NodeHandle(number)
    }

    /// Starts the process of a node: `main` and everything it spawns belong to it. The process before
    /// must have ended or crashed.
    pub fn start(&self, node: NodeHandle, main: impl AsyncFnOnce(Rt) + 'static) {
        let rt = self.runtime(node);
        let main_rt = rt.clone();
        rt.spawn(Box::pin(async move { main(main_rt).await }));
    }

    /// A new life of a node and its runtime, for drivers that act as the process themselves.
    pub fn runtime(&self, node: NodeHandle) -> Rt {
        let mut nodes = self.0.nodes.borrow_mut();
        let entry = nodes.get_mut(&node.0).expect("handles come from add_node");
        assert!(!entry.alive.get(), "node {} runs already", node.0);
        self.0.net.process_starts(node.0);
        self.0.clock.note(format_args!("node {} starts", node.0));
        entry.alive = Rc::new(Cell::new(true));
        Rc::new(SimRuntime {
            node: node.0,
            clock: self.0.clock.clone(),
            executor: self.0.executor.clone(),
            net: self.0.net.clone(),
            disk: entry.disk.handle(),
            node_clock: entry.clock.clone(),
            rng: RefCell::new(entry.rng.fork()),
            alive: Rc::clone(&entry.alive),
        })
    }

    /// Ends the process of a node at once.
    pub fn crash(&self, node: NodeHandle, kind: Crash) {
        let disk = {
            let mut nodes = self.0.nodes.borrow_mut();
            let Some(entry) = nodes.get_mut(&node.0) else {
                return;
            };
            entry.alive.set(false);
            entry.disk.clone()
        };
        self.0
            .clock
            .note(format_args!("node {} crashes: {kind:?}", node.0));
        // The world is told first, so that destructors of the dead tasks reach nothing.
        match kind {
            Crash::Process => self.0.net.process_ends(node.0),
            Crash::Power => self.0.net.power_ends(node.0),
        }
        disk.process_ends();
        if kind == Crash::Power {
            disk.power_ends();
        }
        self.0.executor.drop_node(node.0);
        if let Some(entry) = self.0.nodes.borrow().get(&node.0) {
            entry.crashes.send_modify(|crashes| *crashes += 1);
        }
    }

    /// Waits for the next crash of a node, called for by its disk.
    pub async fn crashed(&self, node: NodeHandle) {
        let mut crashes = match self.0.nodes.borrow().get(&node.0) {
            Some(entry) => entry.crashes.subscribe(),
            None => return,
        };
        // The sender lives as long as the simulation.
        let _ = crashes.changed().await;
    }

    /// How the node crashes when its disk calls for it.
    pub fn set_crash_kind(&self, node: NodeHandle, kind: Crash) {
        if let Some(entry) = self.0.nodes.borrow_mut().get_mut(&node.0) {
            entry.crash_kind = kind;
        }
    }

    /// Stops the process of a node as SIGSTOP does, for so long.
    pub fn pause(&self, node: NodeHandle, nanos: u64) {
        self.0
            .clock
            .note(format_args!("node {} pauses for {nanos} ns", node.0));
        self.0.executor.pause(node.0);
        self.0.clock.after(nanos, Event::Resume { node: node.0 });
    }

    /// Moves the wall clock of a node.
    pub fn shift_wall_clock(&self, node: NodeHandle, by_ms: i64) {
        if let Some(entry) = self.0.nodes.borrow().get(&node.0) {
            let offset = &entry.clock.wall_offset_ms;
            offset.set(offset.get() + by_ms);
        }
    }

    /// Lets nothing pass from one node to another.
    pub fn block(&self, from: NodeHandle, to: NodeHandle) {
        self.0
            .clock
            .note(format_args!("nothing passes from {} to {}", from.0, to.0));
        self.0.net.block(from.0, to.0);
    }

    /// Lets everything pass again.
    pub fn unblock(&self, from: NodeHandle, to: NodeHandle) {
        self.0.clock.note(format_args!(
            "everything passes from {} to {}",
            from.0, to.0
        ));
        self.0.net.unblock(from.0, to.0);
    }

    /// Cuts every connection between two nodes.
    pub fn cut(&self, one: NodeHandle, other: NodeHandle) {
        self.0.net.cut(one.0, other.0);
    }

    /// Changes the habits of the network.
    pub fn set_net(&self, options: NetOptions) {
        self.0.net.set_options(options);
    }

    /// The disk of a node, to break it or to look at it.
    pub fn disk(&self, node: NodeHandle) -> SimDisk {
        self.0
            .nodes
            .borrow()
            .get(&node.0)
            .expect("handles come from add_node")
            .disk
            .clone()
    }

    /// Number of tasks a node has.
    pub fn tasks(&self, node: NodeHandle) -> usize {
        self.0.executor.tasks_of(node.0)
    }

    /// One thing happens: a poll of a ready task, or else the next event.
    fn turn(&self) {
        let due = self.0.clock.core().is_due();
        if !due && self.0.executor.run_one(&self.0.clock) {
            self.0.clock.core().pass(POLL_NANOS);
            return;
        }
        let event = self.0.clock.core().next();
        let now = self.0.clock.now();
        assert!(
            now <= self.0.options.time_limit,
            "the run has not ended after {} simulated seconds",
            now / SECOND
        );
        match event {
            None => panic!("nothing can ever happen again, and the driver has not ended"),
            Some(Event::Timer(timer)) => ring(&timer),
            Some(Event::Net(event)) => self.0.net.apply(event),
            Some(Event::Resume { node }) => self.0.executor.resume(node),
            Some(Event::Disk(event)) => {
                let disk = self
                    .0
                    .nodes
                    .borrow()
                    .get(&event.node)
                    .map(|node| (node.disk.clone(), node.crash_kind));
                if let Some((disk, kind)) = disk
                    && let Aftermath::Crash = disk.apply(&event)
                {
                    self.crash(NodeHandle(event.node), kind);
                }
            }
        }
    }
}

/// Tells how to see a failure again.
struct PostMortem(Sim);

impl Drop for PostMortem {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let core = self.0.0.clock.core();
            eprintln!(
                "simulation failed: seed {}, the last events were",
                self.0.seed()
            );
            for line in core.trace.last() {
                eprintln!("  {line}");
            }
        }
    }
}
