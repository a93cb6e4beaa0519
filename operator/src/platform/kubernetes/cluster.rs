//! One cluster: what is known of it beyond the objects, and one look at it after the other.
//!
//! A pass looks, plans, and says what to write and what to do in Kafka; it waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ottla_client::net::NetRef;
use ottla_operator_api::{KafkaCluster, KafkaTopic};
use ottla_operator_plan::{
    Action, Address, BrokerSeen, Desired, FailureSeen, Observed, Plan, Power, ProcessSeen,
    StepState, orphan, plan,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alive::{Alive, Answer};
use super::cache::Cache;
use super::look;
use super::names::Names;
use super::part::Kind;
use super::render::Render;
use super::work::{Wanted, Work, Write};
use crate::errands::{Errands, Owned};

/// How often Kafka is asked which brokers are alive, while all are.
const COUNT_AGAIN_MS: i64 = 5_000;
/// The same, while some are not.
const COUNT_SOON_MS: i64 = 250;
/// Pause before what failed is tried again; doubles with each further failure.
const PAUSE_MS: i64 = 2_000;
/// Longest such pause.
const PAUSE_MAX_MS: i64 = 60_000;

/// What must outlive an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// What was made in Kafka.
    #[serde(flatten)]
    pub owned: Owned,
}

/// See the module.
pub struct Cluster {
    names: Names,
    /// None until the first pass.
    memory: Option<Memory>,
    /// What is under way in Kafka.
    pub errands: Errands,
    alive: Alive,
    /// Targets of writes under way.
    writing: BTreeSet<String>,
    /// What was last tried to be written to each target, and whether it was.
    last: BTreeMap<String, (Write, bool)>,
    /// How often in a row each target failed, and when it may be tried again.
    failures: BTreeMap<String, (u32, FailureSeen)>,
    serving: Vec<Address>,
    /// Brokers whose pods are Ready.
    ready: Vec<i32>,
    /// When Kafka is to be asked although nothing happened, wall-clock milliseconds.
    pub look_at_ms: i64,
    /// When it is to be asked which brokers are alive.
    count_at_ms: i64,
}

/// What a pass leads to.
pub struct Pass {
    /// What was decided.
    pub plan: Rc<Plan>,
    /// What to write now.
    pub writes: Vec<Wanted>,
    /// What to do in Kafka now.
    pub in_kafka: Vec<Action>,
    /// When to look again although nothing happened, wall-clock milliseconds.
    pub again: Option<i64>,
}

impl Cluster {
    /// A cluster that was not looked at yet.
    pub fn new(names: Names, errands: Errands) -> Cluster {
        Cluster {
            names,
            memory: None,
            errands,
            alive: Alive::default(),
            writing: BTreeSet::new(),
            last: BTreeMap::new(),
            failures: BTreeMap::new(),
            serving: Vec::new(),
            ready: Vec::new(),
            look_at_ms: 0,
            count_at_ms: 0,
        }
    }

    /// One look. None when there is nothing to plan: the KafkaCluster is gone, is going, or cannot
    /// be read. `new_id` makes a cluster id.
    pub fn pass(
        &mut self,
        cache: &Cache,
        image: &str,
        now_ms: i64,
        new_id: impl FnOnce() -> String,
    ) -> Option<Pass> {
        let names = self.names.clone();
        let there = cache.get(Kind::KafkaCluster, &names.namespace, &names.cluster)?;
        if there["metadata"]["deletionTimestamp"].is_string() {
            return None;
        }
        let cluster = read::<KafkaCluster>(there)?;
        let topics: Vec<KafkaTopic> = cache
            .of_cluster(Kind::KafkaTopic, &names)
            .filter(|topic| !topic["metadata"]["deletionTimestamp"].is_string())
            .filter_map(read)
            .collect();
        let memory = self.remembered(cache, new_id);
        let objects = look::by_broker(
            cache.of_cluster(Kind::PersistentVolumeClaim, &names),
            cache.of_cluster(Kind::StatefulSet, &names),
            cache.of_cluster(Kind::Pod, &names),
        );
        let mut brokers: BTreeMap<_, _> = objects
            .iter()
            .map(|(id, objects)| (*id, look::broker(&names, &cluster, *id, *objects, now_ms)))
            .collect();
        let is_ready = |seen: &BrokerSeen| seen.process == ProcessSeen::Serving;
        let ready = brokers.iter().filter(|(_, seen)| is_ready(seen));
        self.ready = ready.map(|(id, _)| *id).collect();
        let ready = brokers.values().filter(|seen| is_ready(seen));
        let first = &cluster.spec.listeners.first()?.name;
        self.serving = ready
            .filter_map(|seen| seen.addresses.get(first).cloned())
            .collect();
        // A pod that is Ready was serving once; whether its broker still is, Kafka knows.
        for (id, seen) in &mut brokers {
            if seen.process != ProcessSeen::Serving {
                self.alive.forget(*id);
            } else if !self.alive.has(*id) {
                seen.process = ProcessSeen::Starting;
                self.count_at_ms = self.count_at_ms.min(now_ms + COUNT_SOON_MS);
            }
        }
        if self.serving.is_empty() {
            self.errands.forget_seen();
        }
        let failures = self.failures.iter();
        let observed = Observed {
            cluster_id: memory.cluster_id.clone(),
            bootstrap: look::bootstrap(&names, &cluster),
            brokers,
            kafka: self.errands.seen().cloned(),
            owned_topics: memory.owned.topics.clone(),
            owned_config: memory.owned.config.clone(),
            failures: failures
                .map(|(target, (_, seen))| (target.clone(), seen.clone()))
                .collect(),
            storage: None,
            last_status: cluster
                .status
                .clone()
                .filter(|s| s.observed_generation >= 0),
            last_topic_status: topics
                .iter()
                .filter_map(|topic| Some((topic.metadata.name.clone()?, topic.status.clone()?)))
                .collect(),
        };
        let wants_holders =
            observed.brokers.len() > usize::try_from(cluster.spec.replicas).unwrap_or_default();
        let desired = Desired {
            cluster,
            topics,
            power: Power::On,
        };
        let plan = Rc::new(plan(&desired, &observed, now_ms));
        self.look_in_kafka(&desired, &memory, wants_holders);

        let in_kafka = self.for_kafka(&plan);
        let text = serde_json::to_string(&self.memory).expect("memory is plain data");
        let mut work = Work {
            render: Render {
                names: &names,
                cluster: &desired.cluster,
                image,
            },
            cache,
            objects,
            cluster_id: &memory.cluster_id,
            wanted: Vec::new(),
        };
        work.upkeep(&plan, &text);
        for step in &plan.steps {
            work.step(&step.action, &step.state, &plan);
        }
        let mut wanted = work.wanted;
        wanted.extend(statuses(cache, &names, &plan));
        let again = self.again(&plan, now_ms);
        Some(Pass {
            writes: self.due(wanted, now_ms),
            plan,
            in_kafka,
            again,
        })
    }

    /// What an operator before this one knew: from its ConfigMap; the cluster's id also from a
    /// volume, because volumes outlive the manifest.
    fn remembered(&mut self, cache: &Cache, new_id: impl FnOnce() -> String) -> Memory {
        if let Some(memory) = &self.memory {
            return memory.clone();
        }
        let names = &self.names;
        let there = cache.get(Kind::ConfigMap, &names.namespace, &names.memory());
        let mut memory: Memory = there
            .and_then(|there| serde_json::from_str(there["data"]["memory.json"].as_str()?).ok())
            .unwrap_or_default();
        if memory.cluster_id.is_empty() {
            let claims = cache.of_cluster(Kind::PersistentVolumeClaim, names);
            memory.cluster_id = look::cluster_id(claims).unwrap_or_else(new_id);
        }
        self.memory = Some(memory.clone());
        memory
    }

    fn look_in_kafka(&mut self, desired: &Desired, memory: &Memory, wants_holders: bool) {
        let declared = desired.topics.iter().map(KafkaTopic::kafka_name);
        let owned = memory.owned.topics.keys().map(String::as_str);
        let names = declared.chain(owned).map(str::to_owned).collect();
        let seen = self.errands.seen();
        let lacks_holders = wants_holders && seen.is_some_and(|seen| seen.topics_on.is_none());
        if lacks_holders {
            self.errands.want_look();
        }
        self.errands
            .look(names, wants_holders, self.serving.clone());
    }

    /// Steps in Kafka that may begin. What needs remembering only is remembered at once.
    fn for_kafka(&mut self, plan: &Plan) -> Vec<Action> {
        let mut begin = Vec::new();
        let next = plan
            .steps
            .iter()
            .filter(|step| step.state == StepState::Next);
        for action in next.map(|step| &step.action) {
            match action {
                Action::AdoptTopic { .. } | Action::ReleaseTopic { .. } => self.note(action, plan),
                Action::Reconfigure { .. }
                | Action::CreateTopic { .. }
                | Action::AddPartitions { .. }
                | Action::ConfigureTopic { .. }
                | Action::DeleteTopic { .. } => {
                    if !self.errands.is_busy(&action.target()) {
                        begin.push(action.clone());
                    }
                }
                Action::Prepare { .. }
                | Action::Start { .. }
                | Action::Restart { .. }
                | Action::Stop { .. }
                | Action::Remove { .. } => {}
            }
        }
        begin
    }

    /// What an action leaves to remember. The next pass writes it.
    pub fn note(&mut self, action: &Action, plan: &Plan) {
        if let Some(memory) = &mut self.memory {
            memory.owned.note(action, plan);
        }
    }

    /// Asks Kafka which brokers are alive, when it is time to; `tell` gets the answer.
    pub fn count(&mut self, net: &NetRef, now_ms: i64, tell: impl FnOnce(Answer) + 'static) {
        if now_ms >= self.count_at_ms {
            self.count_at_ms = now_ms + COUNT_AGAIN_MS;
            self.alive.ask(net.clone(), &self.serving, tell);
        }
    }

    /// Takes in which brokers are alive. It is asked again soon while pods are Ready that Kafka does not
    /// know yet; returns when.
    pub fn counted(&mut self, answer: Answer, now_ms: i64) -> i64 {
        let is_answered = self.alive.answered(answer);
        if !is_answered || !self.ready.iter().all(|id| self.alive.has(*id)) {
            self.count_at_ms = now_ms + COUNT_SOON_MS;
        }
        self.count_at_ms
    }

    /// Addresses of brokers that serve.
    pub fn serving(&self) -> Vec<Address> {
        self.serving.clone()
    }

    /// Writes that are not under way and did not fail just now; they are under way from here on. A pause
    /// is for the same once more, and not for another wish.
    fn due(&mut self, wanted: Vec<Wanted>, now_ms: i64) -> Vec<Wanted> {
        let is_paused = |target: &str| {
            let failure = self.failures.get(target);
            failure.is_some_and(|(_, seen)| seen.retry_at_ms > now_ms)
        };
        let is_tried = |wanted: &Wanted, target: &str| {
            let last = self.last.get(target);
            last.is_some_and(|(write, _)| *write == wanted.write)
        };
        let mut due = Vec::new();
        for wanted in wanted {
            let target = wanted.write.target();
            let step = wanted.step.as_deref();
            let waits = is_paused(&target) && is_tried(&wanted, &target);
            if waits || step.is_some_and(is_paused) || self.writing.contains(&target) {
                continue;
            }
            self.writing.insert(target);
            due.push(wanted);
        }
        due
    }

    fn again(&self, plan: &Plan, now_ms: i64) -> Option<i64> {
        let retries = self.failures.values().map(|(_, seen)| seen.retry_at_ms);
        retries
            .chain(plan.again)
            .chain([self.count_at_ms])
            .filter(|at_ms| *at_ms > now_ms)
            .min()
    }

    /// A write ended. The same once more would mean that the server keeps it in another way, or that
    /// somebody else writes against us: that waits longer and longer, so that nobody is kept busy.
    pub fn written(&mut self, wanted: &Wanted, now_ms: i64) {
        let target = wanted.write.target();
        self.writing.remove(&target);
        if let Some(step) = &wanted.step {
            self.failures.remove(step);
        }
        let tried = (wanted.write.clone(), true);
        let before = self.last.insert(target.clone(), tried.clone());
        if before == Some(tried) {
            self.failed(target, "written again and again", now_ms);
        } else {
            self.failures.remove(&target);
        }
    }

    /// A write failed. The step that wanted it waits too, and says why.
    pub fn write_failed(&mut self, wanted: &Wanted, message: &str, now_ms: i64) {
        let target = wanted.write.target();
        self.writing.remove(&target);
        self.last
            .insert(target.clone(), (wanted.write.clone(), false));
        self.failed(target, message, now_ms);
        if let Some(step) = &wanted.step {
            self.failed(step.clone(), message, now_ms);
        }
    }

    /// Something failed that will be tried again.
    pub fn failed(&mut self, target: String, message: &str, now_ms: i64) {
        let (count, seen) = self.failures.entry(target).or_insert_with(|| {
            let seen = FailureSeen {
                message: String::new(),
                retry_at_ms: 0,
            };
            (0, seen)
        });
        let pause = PAUSE_MS
            .saturating_mul(1 << (*count).min(5))
            .min(PAUSE_MAX_MS);
        *count += 1;
        *seen = FailureSeen {
            message: message.to_owned(),
            retry_at_ms: now_ms + pause,
        };
    }

    /// Something that failed before did not.
    pub fn succeeded(&mut self, target: &str) {
        self.failures.remove(target);
    }
}

/// Statuses that differ from what is there.
fn statuses(cache: &Cache, names: &Names, plan: &Plan) -> Vec<Wanted> {
    let cluster = (
        Kind::KafkaCluster,
        names.cluster.clone(),
        serde_json::to_value(&plan.status),
    );
    let topics = plan.topic_status.iter();
    let topics = topics.map(|(name, status)| {
        let status = serde_json::to_value(status);
        (Kind::KafkaTopic, name.clone(), status)
    });
    [cluster]
        .into_iter()
        .chain(topics)
        .filter_map(|(kind, name, status)| {
            let there = cache.get(kind, &names.namespace, &name)?;
            status_of(there, kind, name, status.ok()?)
        })
        .collect()
}

/// Statuses of topics whose cluster is not there.
pub fn orphans(cache: &Cache, names: &Names, now_ms: i64) -> Vec<Wanted> {
    let topics = cache.of_cluster(Kind::KafkaTopic, names);
    let topics = topics.filter_map(|there| {
        let topic = read::<KafkaTopic>(there)?;
        let status = serde_json::to_value(orphan(&topic, now_ms)).ok()?;
        status_of(there, Kind::KafkaTopic, topic.metadata.name?, status)
    });
    topics.collect()
}

/// A status, when it differs from what is there.
fn status_of(there: &Value, kind: Kind, name: String, status: Value) -> Option<Wanted> {
    (there["status"] != status).then_some(Wanted {
        step: None,
        write: Write::Status { kind, name, status },
    })
}

fn read<T: serde::de::DeserializeOwned>(object: &Value) -> Option<T> {
    match serde_json::from_value(object.clone()) {
        Ok(read) => Some(read),
        Err(error) => {
            let name = &object["metadata"]["name"];
            tracing::error!(%name, %error, "an object of another version cannot be read");
            None
        }
    }
}
