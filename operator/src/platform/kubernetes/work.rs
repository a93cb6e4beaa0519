//! What a plan's steps, and what holds for a cluster whatever its steps, mean for the API server:
//! the writes that are missing now. Pure.
//!
//! Invariant: where everything is as rendered there is nothing to write, and what was written once
//! is not written again. A running pod is ended by a step of the plan only.

use std::collections::BTreeMap;

use ottla_operator_plan::{Action, Broker, Plan, StepState, quantity_bytes};
use serde_json::{Value, json};

use super::cache::Cache;
use super::drift::covers;
use super::look::{Objects, annotation, started_as};
use super::names::{RETIRED, STARTED_AS};
use super::part::{Kind, Part};
use super::render::Render;

/// One request that changes something.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply of a part.
    Apply(Part),
    /// The same of the status of what users declared.
    Status {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its status.
        status: Value,
    },
    /// Deletes this very object, and no later one of its name.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

impl Write {
    /// The kind of what it writes to.
    pub fn kind(&self) -> Kind {
        match self {
            Write::Apply(part) => part.kind,
            Write::Status { kind, .. } | Write::Delete { kind, .. } => *kind,
        }
    }

    /// What it writes to: one write at a time.
    pub fn target(&self) -> String {
        match self {
            Write::Apply(part) => format!("{} {}", part.kind.names().2, part.name),
            Write::Status { kind, name, .. } => format!("status of {} {name}", kind.names().2),
            Write::Delete { kind, name, .. } => format!("{} {name}", kind.names().2),
        }
    }
}

/// A write, and the target of the step that wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The step's target; None when the write follows from no step.
    pub step: Option<String>,
    /// The write.
    pub write: Write,
}

/// What the writes follow from.
pub struct Work<'a> {
    /// How parts are rendered.
    pub render: Render<'a>,
    /// What is there.
    pub cache: &'a Cache,
    /// The same, by broker.
    pub objects: BTreeMap<i32, Objects<'a>>,
    /// Kafka's cluster id.
    pub cluster_id: &'a str,
    /// What to write.
    pub wanted: Vec<Wanted>,
}

impl Work<'_> {
    /// What the cluster has whatever its steps, and what somebody else changed.
    pub fn upkeep(&mut self, plan: &Plan, memory: &str) {
        self.want(None, self.render.memory(memory));
        if plan.refused.iter().any(|refusal| refusal.is_of_cluster()) {
            return;
        }
        for part in self.render.common(plan.brokers.len()) {
            self.want(None, part);
        }
        for broker in &plan.brokers {
            self.grow(broker);
        }
        let objects: Vec<_> = self.objects.values().copied().collect();
        for objects in objects {
            self.restore(objects);
        }
    }

    /// What a step wants that may be done now; steps in Kafka want nothing here.
    pub fn step(&mut self, action: &Action, state: &StepState, plan: &Plan) {
        if *state != StepState::Next {
            return;
        }
        let step = Some(action.target());
        let planned = |id: i32| plan.brokers.iter().find(|broker| broker.id == id);
        match action {
            Action::Prepare { broker } => {
                if let Some(planned) = planned(*broker) {
                    let size = &planned.volume.size;
                    let claim = self.render.claim(*broker, size, self.cluster_id);
                    self.want(step, claim);
                }
            }
            Action::Start { broker } | Action::Restart { broker } => {
                if let Some(planned) = planned(*broker) {
                    self.bring(step, planned);
                }
            }
            Action::Stop { broker } => self.stop(step, *broker),
            Action::Remove { broker } => self.remove(step, *broker),
            _ => {}
        }
    }

    fn want(&mut self, step: Option<String>, part: Part) {
        let namespace = &self.render.names.namespace;
        let there = self.cache.get(part.kind, namespace, &part.name);
        let is_there = match (part.kind, there) {
            (_, None) => false,
            // A claim's size only grows, and a server may write it in another way.
            (Kind::PersistentVolumeClaim, Some(there)) => {
                let labels = |value: &Value| value["metadata"]["labels"].clone();
                annotation(there, RETIRED) == annotation(&part.value, RETIRED)
                    && covers(&labels(there), &labels(&part.value))
                    && size(there) >= size(&part.value)
            }
            (_, Some(there)) => covers(there, &part.value),
        };
        if !is_there {
            let write = Write::Apply(part);
            self.wanted.push(Wanted { step, write });
        }
    }

    /// A volume that is declared larger than it was asked for. Nothing waits for it.
    fn grow(&mut self, broker: &Broker) {
        let is_prepared = self
            .objects
            .get(&broker.id)
            .is_some_and(|objects| objects.claim.is_some());
        if is_prepared {
            let size = &broker.volume.size;
            let claim = self.render.claim(broker.id, size, self.cluster_id);
            self.want(None, claim);
        }
    }

    /// A StatefulSet that somebody else changed goes back to what was started; its pod stays.
    fn restore(&mut self, objects: Objects<'_>) {
        let runs = objects
            .stateful_set
            .is_some_and(|there| there["spec"]["replicas"] != 0);
        if let Some((set, configuration)) = self.as_started(objects, runs) {
            self.want(None, set);
            if let Some(configuration) = configuration {
                self.want(None, configuration);
            }
        }
    }

    /// The StatefulSet and the configuration of a broker as it was started, from its own image.
    fn as_started(&self, objects: Objects<'_>, runs: bool) -> Option<(Part, Option<Part>)> {
        let there = objects.stateful_set?;
        let started = started_as(there)?;
        let render = self
            .render
            .with_image(image(there).unwrap_or(self.render.image));
        let set = render.stateful_set(&started, self.cluster_id, runs);
        Some((set, render.configuration(&started)))
    }

    /// A broker as planned: its parts first, then the end of a pod that is another.
    fn bring(&mut self, step: Option<String>, planned: &Broker) {
        let objects = self.objects.get(&planned.id).copied().unwrap_or_default();
        let there = objects.stateful_set;
        let is_same = there.and_then(started_as).as_ref() == Some(planned);
        // What comes back as it was comes back from the same image.
        let image = there.and_then(image).filter(|_| is_same);
        let image = image.unwrap_or(self.render.image).to_owned();
        let render = self.render.with_image(&image);
        let Some(configuration) = render.configuration(planned) else {
            return;
        };
        let set = render.stateful_set(planned, self.cluster_id, true);
        let is_current = |part: &Part| {
            let namespace = &self.render.names.namespace;
            let there = self.cache.get(part.kind, namespace, &part.name);
            there.is_some_and(|there| covers(there, &part.value))
        };
        if !is_current(&configuration) || !is_current(&set) {
            // Anything else that is wanted of them is older.
            self.wanted.retain(|wanted| match &wanted.write {
                Write::Apply(part) => {
                    part.name != set.name
                        || !matches!(part.kind, Kind::StatefulSet | Kind::ConfigMap)
                }
                _ => true,
            });
            self.want(step.clone(), configuration);
            return self.want(step, set);
        }
        if let Some(pod) = objects.pod
            && annotation(pod, STARTED_AS) != annotation(&set.value, STARTED_AS)
            && !pod["metadata"]["deletionTimestamp"].is_string()
        {
            self.delete(step, Kind::Pod, pod);
        }
    }

    fn stop(&mut self, step: Option<String>, id: i32) {
        let objects = self.objects.get(&id).copied().unwrap_or_default();
        if let Some((set, _)) = self.as_started(objects, false) {
            self.want(step, set);
        }
    }

    /// A broker that left: its volume stays, marked.
    fn remove(&mut self, step: Option<String>, id: i32) {
        let objects = self.objects.get(&id).copied().unwrap_or_default();
        if let Some(claim) = objects.claim {
            let size = claim["spec"]["resources"]["requests"]["storage"].as_str();
            let mut retired = self
                .render
                .claim(id, size.unwrap_or("1Gi"), self.cluster_id);
            retired.value["metadata"]["annotations"][RETIRED] = json!("true");
            self.want(step.clone(), retired);
        }
        let names = self.render.names;
        let configuration = self
            .cache
            .get(Kind::ConfigMap, &names.namespace, &names.broker(id));
        if let Some(configuration) = configuration {
            self.delete(step.clone(), Kind::ConfigMap, configuration);
        }
        if let Some(set) = objects.stateful_set {
            self.delete(step, Kind::StatefulSet, set);
        }
    }

    fn delete(&mut self, step: Option<String>, kind: Kind, object: &Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let write = Write::Delete {
            kind,
            name: text("name").to_owned(),
            uid: text("uid").to_owned(),
        };
        // What goes need not be kept in order before.
        self.wanted
            .retain(|wanted| wanted.write.target() != write.target());
        self.wanted.push(Wanted { step, write });
    }
}

fn image(stateful_set: &Value) -> Option<&str> {
    stateful_set["spec"]["template"]["spec"]["containers"][0]["image"].as_str()
}

fn size(claim: &Value) -> Option<u64> {
    quantity_bytes(claim["spec"]["resources"]["requests"]["storage"].as_str()?)
}

#[cfg(test)]
mod tests;
