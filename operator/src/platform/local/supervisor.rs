//! The supervisor of one cluster: one task that owns everything. It looks, plans, carries out what
//! may be done now, tells whoever watches, and waits for the next event.
//!
//! ```text
//! a broker:  Absent ──start──▶ Starting ──answers──▶ Serving
//!              ▲                  │ ▲ └──ends──┐        │ ends
//!              │ ended            │ └──again───Down ◀───┘
//!              └──── Stopping ◀───┴── stop, restart ────┘
//! ```
//! Invariant: a broker's process is started only by this task, after the folder's lock was taken
//! and running processes were adopted, so there is never a second one. Not here: what to do
//! (`ottla_operator_plan`).

mod actions;
mod socket;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ottla_client::net::NetRef;
use ottla_operator_plan::{
    FailureSeen, KafkaSeen, Observed, Plan, Power, ProcessSeen, plan, rfc3339,
};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

pub(super) use self::socket::short_path;
use self::socket::{Asked, Listener};
use super::folder::{ClusterFolder, Durable, named, read_json, write_json, write_whole};
use super::look;
use super::memory::{Declared, Memory};
use super::process::Process;
use super::talk::{Reply, Request};
use super::view::{View, view};
use crate::errands::{Errands, Told};
use crate::ids::new_cluster_id;
use crate::kafka::is_serving;

/// A broker that served this long has outlived its earlier ends.
const SETTLED: Duration = Duration::from_secs(10);
/// Pause before the third start in a row; doubles with each further one. The second comes at once:
/// a broker that was killed shall be back at once.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between starts.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a starting broker is asked whether it serves.
const PROBE_STARTING: Duration = Duration::from_millis(20);
/// How often a serving one is.
const PROBE_SERVING: Duration = Duration::from_secs(5);
/// How often declared topics are compared with Kafka's.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The same when Kafka said nothing.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Pause before an action that Kafka refused is tried again.
const FAILURE_PAUSE_MS: i64 = 2_000;

/// Why a supervisor cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Another one holds the folder.
    #[error("another supervisor watches over {0}")]
    Busy(String),
    /// A file or socket cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Supervises the cluster in `folder` until told to stop. `command` starts a broker when the path
/// of its settings is added.
pub fn supervise(folder: &ClusterFolder, command: Vec<OsString>) -> Result<(), SuperviseError> {
    let _lock = lock(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let mut supervisor = Supervisor::new(folder.clone(), command)?;
        supervisor.run().await?;
        Ok(())
    }))
}

/// Held as long as the file lives.
fn lock(folder: &ClusterFolder) -> Result<File, SuperviseError> {
    let path = folder.lock();
    let file = File::create(&path).map_err(|error| named(&path, error))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| SuperviseError::Busy(folder.path().display().to_string()))?;
    Ok(file)
}

/// All that can happen to a supervisor.
enum Event {
    /// Somebody asks.
    Asked(Asked),
    /// Whoever held the cluster in the foreground is gone.
    OwnerGone,
    /// A signal to end.
    Signal,
    /// A broker's process ended.
    Ended { broker: i32, life: u64 },
    /// A broker was asked whether it serves.
    Probed {
        broker: i32,
        life: u64,
        serves: bool,
    },
    /// A broker had its time to stop.
    Overdue { broker: i32, life: u64 },
    /// Kafka was asked, or something was done there.
    Told(Told),
    /// Kafka was asked what brokers hold, for somebody who wants to know what would become of it.
    Weighed(Asked, Option<KafkaSeen>),
}

/// A broker as it lives here.
struct Live {
    /// Counts processes, so that what is told of an earlier one is not taken for this.
    life: u64,
    process: Option<Process>,
    seen: ProcessSeen,
    serving_since: Option<tokio::time::Instant>,
    exits: u32,
    tasks: Vec<AbortHandle>,
}

/// How a supervisor ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// When the brokers have stopped.
    Stopped,
    /// At once; brokers go on.
    Released,
}

struct Supervisor {
    folder: ClusterFolder,
    command: Vec<OsString>,
    program: String,
    net: NetRef,
    declared: Option<Declared>,
    memory: Memory,
    brokers: BTreeMap<i32, Live>,
    lives: u64,
    observed: Observed,
    errands: Errands,
    look_at: tokio::time::Instant,
    leaving: Option<Leaving>,
    waiting_for_end: Vec<mpsc::UnboundedSender<Reply>>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    view: watch::Sender<Option<Rc<View>>>,
    written: String,
    has_owner: Rc<Cell<bool>>,
}

impl Supervisor {
    fn new(folder: ClusterFolder, command: Vec<OsString>) -> Result<Supervisor, SuperviseError> {
        let (events, inbox) = mpsc::unbounded_channel();
        let net = ottla_client::tcp::net();
        let tell = {
            let events = events.clone();
            Rc::new(move |told| {
                // The supervisor may be ending.
                let _ = events.send(Event::Told(told));
            })
        };
        let memory: Memory = read_json(&folder.memory())?.unwrap_or_default();
        let mut observed = look::observed(&folder, &memory)?;
        let last: Option<View> = read_json(&folder.status()).unwrap_or_default();
        observed.last_status = last.and_then(|view| view.cluster.status);
        Ok(Supervisor {
            declared: read_json(&folder.declared())?,
            program: program(),
            memory,
            brokers: BTreeMap::new(),
            lives: 0,
            observed,
            errands: Errands::new(net.clone(), tell),
            net,
            look_at: tokio::time::Instant::now(),
            leaving: None,
            waiting_for_end: Vec::new(),
            events,
            inbox,
            view: watch::Sender::new(None),
            written: String::new(),
            has_owner: Rc::default(),
            folder,
            command,
        })
    }

    async fn run(&mut self) -> io::Result<()> {
        let listener = Listener::bind(&self.folder)?;
        socket::serve(
            listener,
            self.events.clone(),
            self.view.subscribe(),
            self.has_owner.clone(),
        );
        signals(self.events.clone())?;
        self.adopt();
        loop {
            let plan = Rc::new(self.plan());
            if self.leaving == Some(Leaving::Released) {
                break;
            }
            if self.declared.is_some() && self.carry_out(&plan) {
                continue;
            }
            self.publish(&plan);
            let has_stopped = !self.brokers.values().any(|live| live.process.is_some());
            if self.leaving == Some(Leaving::Stopped) && has_stopped {
                break;
            }
            self.look();
            self.wait(&plan).await;
        }
        for waiting in &self.waiting_for_end {
            // Who asked may have gone.
            let _ = waiting.send(Reply::Bye);
        }
        self.waiting_for_end.clear();
        Listener::remove(&self.folder);
        // Lets the last answers leave.
        self.view.send_replace(None);
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Takes over brokers that an earlier supervisor left running.
    fn adopt(&mut self) {
        for id in self.memory.brokers.keys().copied().collect::<Vec<_>>() {
            if let Some(process) = look::find(&self.folder, id) {
                tracing::info!(broker = id, pid = process.pid(), "adopted");
                self.watch_over(id, process);
            }
        }
    }

    /// What was seen, with what lives here put in.
    fn see(&mut self) {
        let fresh = look::observed(&self.folder, &self.memory);
        if let Ok(mut fresh) = fresh {
            fresh.kafka = self.errands.seen().cloned();
            fresh.failures = std::mem::take(&mut self.observed.failures);
            fresh.last_status = self.observed.last_status.take();
            fresh.last_topic_status = std::mem::take(&mut self.observed.last_topic_status);
            fresh.storage = self.observed.storage.take();
            self.observed = fresh;
        }
        for (id, live) in &self.brokers {
            if let Some(seen) = self.observed.brokers.get_mut(id) {
                seen.process = live.seen.clone();
            }
        }
    }

    fn plan(&mut self) -> Plan {
        self.see();
        let Some(declared) = &self.declared else {
            // Nothing was declared yet: the first request will.
            return empty_plan();
        };
        let plan = plan(
            &declared.desired(),
            &self.observed,
            self.net.wall_clock_ms(),
        );
        self.observed.last_status = Some(plan.status.clone());
        self.observed.last_topic_status = plan.topic_status.clone();
        plan
    }

    /// Waits for what happens next, and lets it happen; then for all that happened meanwhile.
    async fn wait(&mut self, plan: &Plan) {
        let now = tokio::time::Instant::now();
        let mut until = self.look_at;
        if let Some(again) = plan.again {
            let pause = u64::try_from(again - self.net.wall_clock_ms()).unwrap_or_default();
            until = until.min(now + Duration::from_millis(pause));
        }
        let event = tokio::select! {
            biased;
            event = self.inbox.recv() => event,
            () = tokio::time::sleep_until(until) => None,
        };
        if tokio::time::Instant::now() >= self.look_at {
            self.errands.want_look();
            self.look_at = tokio::time::Instant::now() + LOOK_AGAIN;
        }
        if let Some(event) = event {
            self.apply(event);
        }
        while let Ok(event) = self.inbox.try_recv() {
            self.apply(event);
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Asked(asked) => self.answer(asked),
            Event::Weighed(asked, kafka) => self.weighed(asked, kafka),
            Event::OwnerGone | Event::Signal => self.stop(),
            Event::Ended { broker, life } => self.ended(broker, life),
            Event::Probed {
                broker,
                life,
                serves,
            } => self.probed(broker, life, serves),
            Event::Overdue { broker, life } => {
                if let Some(live) = self.brokers.get(&broker).filter(|live| live.life == life)
                    && let Some(process) = &live.process
                {
                    tracing::warn!(broker, "does not stop, is killed");
                    process.kill();
                }
            }
            Event::Told(Told::Looked(result)) => {
                if !self.errands.looked(result) {
                    self.look_at = tokio::time::Instant::now() + ASK_AGAIN;
                }
            }
            Event::Told(Told::Done {
                action,
                plan,
                result,
            }) => self.done(&action, &plan, result),
        }
    }

    fn answer(&mut self, asked: Asked) {
        match &asked.request {
            Request::Apply(declared) => {
                if self.takes_brokers_away(declared) {
                    self.weigh(asked);
                } else {
                    let kafka = self.errands.seen().cloned();
                    self.weighed(asked, kafka);
                }
            }
            Request::Observe => self.weigh(asked),
            Request::Stop => {
                self.waiting_for_end.push(asked.sender());
                self.stop();
            }
            Request::Release => {
                self.waiting_for_end.push(asked.sender());
                self.leaving = Some(Leaving::Released);
            }
            // The socket answers these itself, from the view.
            Request::Status | Request::Watch | Request::Hold => {}
        }
    }

    /// The manifests as they would hold: with generations counted.
    fn next(&self, declared: &Declared) -> Declared {
        let now = rfc3339(self.net.wall_clock_ms());
        declared.clone().after(self.declared.as_ref(), &now)
    }

    fn takes_brokers_away(&self, declared: &Declared) -> bool {
        let wanted = usize::try_from(declared.cluster.spec.replicas).unwrap_or_default();
        self.observed.brokers.len() > wanted
    }

    /// Lets new manifests hold, unless they ask for what cannot be had.
    fn weighed(&mut self, asked: Asked, kafka: Option<KafkaSeen>) {
        self.see();
        let mut observed = self.observed.clone();
        observed.kafka = kafka;
        let Request::Apply(declared) = &asked.request else {
            return asked.reply(Reply::Observed(Box::new(observed)));
        };
        let declared = self.next(declared);
        let plan = plan(&declared.desired(), &observed, self.net.wall_clock_ms());
        let blocked = plan.blocked();
        if !plan.refused.is_empty() || !blocked.is_empty() {
            let refused = plan.refused;
            return asked.reply(Reply::Refused { refused, blocked });
        }
        if let Err(error) = self.declare(declared) {
            return asked.reply(Reply::Failed(error.to_string()));
        }
        let generation = self
            .declared
            .as_ref()
            .and_then(|declared| declared.cluster.metadata.generation)
            .unwrap_or_default();
        self.observed.storage = look::observed(&self.folder, &self.memory)
            .ok()
            .and_then(|observed| observed.storage);
        self.errands.want_look();
        // The answer follows the first view of the new generation.
        let plan = Rc::new(self.plan());
        self.publish(&plan);
        asked.reply(Reply::Applied { generation });
    }

    fn declare(&mut self, declared: Declared) -> io::Result<()> {
        if self.memory.cluster_id.is_empty() {
            self.memory.cluster_id = new_cluster_id(&self.net);
            self.remember()?;
        }
        write_json(&self.folder.declared(), &declared)?;
        self.leaving = self.leaving.filter(|_| declared.power == Power::Off);
        self.declared = Some(declared);
        Ok(())
    }

    fn remember(&self) -> io::Result<()> {
        write_json(&self.folder.memory(), &self.memory)
    }

    fn stop(&mut self) {
        self.leaving = Some(Leaving::Stopped);
        if let Some(mut declared) = self.declared.clone().filter(|d| d.power == Power::On) {
            declared.power = Power::Off;
            if let Err(error) = self.declare(declared) {
                tracing::error!(%error, "cannot note that the cluster is stopped");
            }
        }
    }

    fn ended(&mut self, broker: i32, life: u64) {
        let now_ms = self.net.wall_clock_ms();
        let log = self.folder.broker_log(broker);
        let Some(live) = self
            .brokers
            .get_mut(&broker)
            .filter(|live| live.life == life)
        else {
            return;
        };
        let Some(mut process) = live.process.take() else {
            return;
        };
        live.tasks.drain(..).for_each(|task| task.abort());
        let cause = process.epitaph(&log);
        if live.seen == ProcessSeen::Stopping {
            live.seen = ProcessSeen::Absent;
            live.exits = 0;
        } else {
            let settled = live
                .serving_since
                .is_some_and(|since| since.elapsed() >= SETTLED);
            live.exits = if settled { 1 } else { live.exits + 1 };
            tracing::warn!(broker, cause, "ended");
            live.seen = ProcessSeen::Down {
                exits: live.exits,
                cause: Some(cause),
                retry_at_ms: now_ms + pause(live.exits).as_millis() as i64,
            };
        }
        live.serving_since = None;
        let serves = |live: &Live| live.seen == ProcessSeen::Serving;
        if !self.brokers.values().any(serves) {
            self.errands.forget_seen();
        }
    }

    fn probed(&mut self, broker: i32, life: u64, serves: bool) {
        let Some(live) = self
            .brokers
            .get_mut(&broker)
            .filter(|live| live.life == life)
        else {
            return;
        };
        match (&live.seen, serves) {
            (ProcessSeen::Starting, true) => {
                live.seen = ProcessSeen::Serving;
                live.serving_since = Some(tokio::time::Instant::now());
                self.errands.want_look();
            }
            (ProcessSeen::Serving, false) => {
                tracing::warn!(broker, "does not answer");
                live.seen = ProcessSeen::Starting;
            }
            _ => {}
        }
    }

    /// Tells whoever watches, when something changed.
    fn publish(&mut self, plan: &Plan) {
        let Some(declared) = &self.declared else {
            return;
        };
        let pids = self
            .brokers
            .iter()
            .filter_map(|(id, live)| Some((*id, live.process.as_ref()?.pid())))
            .collect();
        let view = view(
            &self.folder,
            declared,
            &self.observed,
            plan,
            &pids,
            true,
            &self.program,
        )
        .with_metrics(&self.memory);
        let text = serde_json::to_string_pretty(&view).expect("a view is plain data");
        if text == self.written {
            return;
        }
        if let Err(error) = write_whole(&self.folder.status(), text.as_bytes(), Durable::No) {
            tracing::warn!(%error, "cannot write the status");
        }
        self.written = text;
        self.view.send_replace(Some(Rc::new(view)));
    }

    /// Notes a failure, so that the plan waits before it tries again.
    fn failed(&mut self, target: String, message: String) {
        tracing::warn!(target, message, "failed");
        let retry_at_ms = self.net.wall_clock_ms() + FAILURE_PAUSE_MS;
        let failure = FailureSeen {
            message,
            retry_at_ms,
        };
        self.observed.failures.insert(target, failure);
    }
}

/// Which program this is: its file may be replaced while it runs.
pub(super) fn program() -> String {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata("/proc/self/exe") {
        Ok(file) => format!("{}:{}:{}", file.dev(), file.ino(), file.mtime_nsec()),
        Err(_) => String::new(),
    }
}

fn pause(exits: u32) -> Duration {
    match exits {
        0 | 1 => Duration::ZERO,
        n => PAUSE.saturating_mul(1 << (n - 2).min(16)).min(PAUSE_MAX),
    }
}

fn empty_plan() -> Plan {
    Plan {
        brokers: Vec::new(),
        topics: Vec::new(),
        prune: Vec::new(),
        steps: Vec::new(),
        hash: String::new(),
        refused: Vec::new(),
        warnings: Vec::new(),
        status: Default::default(),
        topic_status: BTreeMap::new(),
        again: None,
    }
}

/// SIGTERM and SIGINT end a supervisor as `ottla down` does; SIGHUP is for terminals.
fn signals(events: mpsc::UnboundedSender<Event>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::task::spawn_local(async move {
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => continue,
            }
            if events.send(Event::Signal).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Asks a broker whether it serves, often until it does, then now and then.
fn probe(
    net: NetRef,
    broker: i32,
    life: u64,
    address: ottla_operator_plan::Address,
    events: mpsc::UnboundedSender<Event>,
) -> AbortHandle {
    let task = tokio::task::spawn_local(async move {
        let mut last = None;
        loop {
            let serves = is_serving(&net, broker, &address).await;
            if last != Some(serves) {
                last = Some(serves);
                let event = Event::Probed {
                    broker,
                    life,
                    serves,
                };
                if events.send(event).is_err() {
                    return;
                }
            }
            let pause = if serves {
                PROBE_SERVING
            } else {
                PROBE_STARTING
            };
            tokio::time::sleep(pause).await;
        }
    });
    task.abort_handle()
}
