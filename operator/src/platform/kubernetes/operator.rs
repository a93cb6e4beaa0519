//! The operator's one task: it owns the cache and every cluster, takes in one event after the
//! other, and lets each cluster that something happened to look again.
//!
//! ```text
//! watches ─┐                                    ┌─▶ writes to the API server ─┐
//! Kafka  ──┼─▶ one queue ─▶ cache ─▶ a pass ────┤                             ├─▶ the same queue
//! timers ──┘                per cluster touched └─▶ actions in Kafka ─────────┘
//! ```
//! Not here: what to do (`ottla_operator_plan`), what it means for the API server (`work`).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Client;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use ottla_client::net::NetRef;
use ottla_operator_plan::Plan;
use tokio::sync::mpsc;

use super::alive::Answer;
use super::api::{api, write};
use super::cache::Cache;
use super::cluster::{Cluster, Pass};
use super::names::{MANAGER, Names};
use super::part::Kind;
use super::rim::Figures;
use super::tell::{Teller, Word};
use super::work::Wanted;
use crate::errands::{Errands, Told};
use crate::ids::new_cluster_id;

/// How often declared topics are compared with Kafka's.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The same when Kafka said nothing.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Pause before the status of a topic without a cluster is written again.
const ORPHAN_PAUSE_MS: i64 = 10_000;

/// What the operator was told when it was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one namespace to look at; None: all.
    pub namespace: Option<String>,
    /// The brokers' image.
    pub image: String,
}

enum Event {
    Seen(Kind, Box<watcher::Event<DynamicObject>>),
    Written {
        names: Names,
        wanted: Box<Wanted>,
        result: Result<Option<serde_json::Value>, kube::Error>,
    },
    Told(Names, Told),
    Counted(Names, Answer),
}

struct Operator {
    client: Client,
    settings: Settings,
    net: NetRef,
    cache: Cache,
    clusters: BTreeMap<Names, Cluster>,
    /// Clusters to look at.
    touched: BTreeSet<Names>,
    /// When to look at a cluster again, wall-clock milliseconds.
    alarms: BTreeMap<Names, i64>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    teller: Teller,
    figures: Rc<Figures>,
}

/// Runs until the process ends. Must be called inside a `LocalSet`.
pub async fn run(client: Client, settings: Settings, figures: Rc<Figures>) {
    let (events, inbox) = mpsc::unbounded_channel();
    for kind in Kind::ALL {
        tokio::task::spawn_local(watch(
            client.clone(),
            kind,
            settings.namespace.clone(),
            events.clone(),
        ));
    }
    let mut operator = Operator {
        teller: Teller::new(client.clone()),
        client,
        settings,
        net: ottla_client::tcp::net(),
        cache: Cache::default(),
        clusters: BTreeMap::new(),
        touched: BTreeSet::new(),
        alarms: BTreeMap::new(),
        events,
        inbox,
        figures,
    };
    loop {
        operator.wait().await;
        if operator.cache.is_whole() {
            operator.figures.is_synced.set(true);
            for names in std::mem::take(&mut operator.touched) {
                operator.look(&names);
            }
        }
    }
}

/// Tells what the API server says of a kind, for ever; lists again when the server has forgotten
/// where a watch stood, and waits longer and longer while it does not answer.
async fn watch(
    client: Client,
    kind: Kind,
    namespace: Option<String>,
    events: mpsc::UnboundedSender<Event>,
) {
    let config = match kind.is_declared() {
        true => watcher::Config::default(),
        false => {
            watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"))
        }
    };
    let objects = api(&client, kind, namespace.as_deref());
    let mut stream = std::pin::pin!(watcher(objects, config).default_backoff());
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if events.send(Event::Seen(kind, Box::new(event))).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(kind = kind.names().2, %error, "cannot be watched, tries again")
            }
        }
    }
}

impl Operator {
    /// Waits for something to happen, and takes in all that did.
    async fn wait(&mut self) {
        let now_ms = self.net.wall_clock_ms();
        let pause = self
            .alarms
            .values()
            .min()
            .map_or(i64::MAX, |at| at - now_ms);
        let pause = Duration::from_millis(u64::try_from(pause).unwrap_or_default())
            // A timer of the runtime has an end.
            .min(Duration::from_secs(3600));
        tokio::select! {
            biased;
            event = self.inbox.recv() => {
                if let Some(event) = event {
                    self.apply(event);
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
        while let Ok(event) = self.inbox.try_recv() {
            self.apply(event);
        }
        let now_ms = self.net.wall_clock_ms();
        let due = self.alarms.iter().filter(|(_, at_ms)| **at_ms <= now_ms);
        let due: Vec<Names> = due.map(|(names, _)| names.clone()).collect();
        for names in due {
            self.alarms.remove(&names);
            self.touched.insert(names);
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Seen(kind, event) => {
                let about = self.cache.take(kind, *event);
                self.touched.extend(about);
            }
            Event::Written {
                names,
                wanted,
                result,
            } => self.written(names, &wanted, result),
            Event::Told(names, told) => {
                self.told(&names, told);
                self.touched.insert(names);
            }
            Event::Counted(names, answer) => {
                let now_ms = self.net.wall_clock_ms();
                if let Some(cluster) = self.clusters.get_mut(&names) {
                    let at_ms = cluster.counted(answer, now_ms);
                    self.alarm(&names, at_ms);
                }
                self.touched.insert(names);
            }
        }
    }

    fn written(
        &mut self,
        names: Names,
        wanted: &Wanted,
        result: Result<Option<serde_json::Value>, kube::Error>,
    ) {
        let now_ms = self.net.wall_clock_ms();
        let kind = wanted.write.kind();
        match result {
            Ok(object) => {
                if let Some(object) = object {
                    self.cache.put(kind, object);
                }
                if let Some(cluster) = self.clusters.get_mut(&names) {
                    cluster.written(wanted, now_ms);
                }
            }
            Err(error) => {
                let message = said(&error);
                let target = wanted.write.target();
                tracing::warn!(
                    namespace = names.namespace,
                    target,
                    message,
                    "cannot be written"
                );
                self.figures.failures.set(self.figures.failures.get() + 1);
                let word = Word::failed(&target, &message);
                self.teller.tell(&self.cache, &names, word);
                match self.clusters.get_mut(&names) {
                    Some(cluster) => cluster.write_failed(wanted, &message, now_ms),
                    // The status of a topic without a cluster: nobody else counts its failures.
                    None => return self.alarm(&names, now_ms + ORPHAN_PAUSE_MS),
                }
            }
        }
        self.touched.insert(names);
    }

    fn told(&mut self, names: &Names, told: Told) {
        let now_ms = self.net.wall_clock_ms();
        let Some(cluster) = self.clusters.get_mut(names) else {
            return;
        };
        match told {
            Told::Looked(result) => {
                let pause = match cluster.errands.looked(result) {
                    true => LOOK_AGAIN,
                    false => ASK_AGAIN,
                };
                cluster.look_at_ms = now_ms + pause.as_millis() as i64;
                let at_ms = cluster.look_at_ms;
                self.alarm(names, at_ms);
            }
            Told::Done {
                action,
                plan,
                result,
            } => {
                let target = action.target();
                cluster.errands.ended(target.clone());
                let word = match result {
                    Ok(()) => {
                        cluster.succeeded(&target);
                        cluster.note(&action, &plan);
                        Word::done(&action)
                    }
                    Err(message) => {
                        cluster.failed(target.clone(), &message, now_ms);
                        Word::failed(&target, &message)
                    }
                };
                self.teller.tell(&self.cache, names, word);
            }
        }
    }

    fn alarm(&mut self, names: &Names, at_ms: i64) {
        let alarm = self.alarms.entry(names.clone()).or_insert(at_ms);
        *alarm = at_ms.min(*alarm);
    }

    /// Lets a cluster look, and begins what it wants.
    fn look(&mut self, names: &Names) {
        let now_ms = self.net.wall_clock_ms();
        if self
            .cache
            .get(Kind::KafkaCluster, &names.namespace, &names.cluster)
            .is_none()
        {
            self.clusters.remove(names);
            self.alarms.remove(names);
            self.orphans(names, now_ms);
            return self.figures.clusters.set(self.clusters.len());
        }
        let events = self.events.clone();
        let cluster = self.clusters.entry(names.clone()).or_insert_with(|| {
            let of = names.clone();
            let tell = Rc::new(move |told| {
                // The operator may be ending.
                let _ = events.send(Event::Told(of.clone(), told));
            });
            Cluster::new(names.clone(), Errands::new(self.net.clone(), tell))
        });
        if now_ms >= cluster.look_at_ms {
            cluster.errands.want_look();
            cluster.look_at_ms = now_ms + LOOK_AGAIN.as_millis() as i64;
        }
        let net = self.net.clone();
        let pass = cluster.pass(&self.cache, &self.settings.image, now_ms, || {
            new_cluster_id(&net)
        });
        self.figures.passes.set(self.figures.passes.get() + 1);
        self.figures.clusters.set(self.clusters.len());
        if let Some(pass) = pass {
            self.begin(names, pass);
        }
    }

    fn begin(&mut self, names: &Names, pass: Pass) {
        let Pass {
            plan,
            writes,
            in_kafka,
            again,
        } = pass;
        if let Some(at_ms) = again {
            self.alarm(names, at_ms);
        }
        for wanted in writes {
            self.say(names, &wanted, &plan);
            self.write(names.clone(), wanted);
        }
        let Some(cluster) = self.clusters.get_mut(names) else {
            return;
        };
        let (of, events) = (names.clone(), self.events.clone());
        // The operator may be ending.
        let tell = move |answer| drop(events.send(Event::Counted(of, answer)));
        cluster.count(&self.net, self.net.wall_clock_ms(), tell);
        let serving = cluster.serving();
        for action in in_kafka {
            tracing::info!(
                cluster = names.cluster,
                action = action.name(),
                target = action.target()
            );
            cluster.errands.carry_out(&action, &plan, serving.clone());
        }
    }

    /// A step that begins is worth a word; that a status is written is not.
    fn say(&mut self, names: &Names, wanted: &Wanted, plan: &Plan) {
        let Some(target) = &wanted.step else {
            return;
        };
        let step = plan
            .steps
            .iter()
            .find(|step| step.action.target() == *target);
        if let Some(step) = step {
            tracing::info!(
                cluster = names.cluster,
                action = step.action.name(),
                target,
                reason = step.reason,
                writes = wanted.write.target(),
            );
            self.teller.tell(&self.cache, names, Word::begins(step));
        }
    }

    fn write(&self, names: Names, wanted: Wanted) {
        let client = self.client.clone();
        let events = self.events.clone();
        self.figures.writes.set(self.figures.writes.get() + 1);
        tokio::task::spawn_local(async move {
            let result = write(&client, &names.namespace, &wanted.write).await;
            let wanted = Box::new(wanted);
            // The operator may be ending.
            let _ = events.send(Event::Written {
                names,
                wanted,
                result,
            });
        });
    }

    /// Topics of a cluster that is not there.
    fn orphans(&mut self, names: &Names, now_ms: i64) {
        for wanted in super::cluster::orphans(&self.cache, names, now_ms) {
            self.write(names.clone(), wanted);
        }
    }
}

/// An error of the API server in its own words.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
