//! The shard's side: where this node stands in its life, and whether what must run does.
//!
//! ```text
//!   Starting(what it waits for) ──▶ Serving ──▶ Stopping
//! ```
//! Invariant: an answer costs the shard a look at what it holds anyway; whatever walks over all partitions is
//! done by the asker, on the image that it is given. Not here: what readiness means (`readiness.rs`), HTTP.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ottla_broker_metadata::Image;
use ottla_broker_storage::{Health, LogDir};
use tokio::sync::oneshot;

use super::Questions;
use crate::config::Roles;
use crate::metrics::{Snapshot, gather};
use crate::server::Services;

/// What may be asked of the shard. Whoever asked may be gone; nobody else wants to know.
pub enum Question {
    /// Whether what must run does; else why not.
    Health(oneshot::Sender<Result<(), String>>),
    /// What readiness follows from.
    Look(oneshot::Sender<Look>),
    /// All that can be measured; `None` before there is anything.
    Metrics(oneshot::Sender<Option<Box<Snapshot>>>),
}

/// What readiness follows from.
pub struct Look {
    /// Where the node stands.
    pub stage: Stage,
    /// What it is; `None` before its parts are there.
    pub node: Option<NodeLook>,
}

/// A node that has its parts.
pub struct NodeLook {
    /// `node.id`
    pub id: i32,
    /// `process.roles`
    pub roles: Roles,
    /// The newest metadata.
    pub image: Arc<Image>,
    /// Who leads the quorum, −1 if unknown.
    pub leader_id: i32,
}

/// Where a node stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On its way; the words end "the broker is …".
    Starting(&'static str),
    /// Its start is over: a broker is registered and unfenced, and its clients are let in.
    Serving,
    /// A stop was asked for.
    Stopping,
}

/// The parts of a node that the rim looks at.
pub struct Parts {
    /// Handles to all owners.
    pub services: Rc<Services>,
    /// The log directory.
    pub dir: LogDir,
}

/// What a node shows of itself while it starts, serves and stops.
pub struct Vitals {
    stage: Cell<Stage>,
    parts: RefCell<Option<Rc<Parts>>>,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            stage: Cell::new(Stage::Starting("opening its listeners")),
            parts: RefCell::new(None),
        }
    }
}

impl Vitals {
    /// The node has come to `stage`.
    pub fn reach(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// The parts are there.
    pub fn show(&self, parts: Parts) {
        self.parts.replace(Some(Rc::new(parts)));
    }

    fn parts(&self) -> Option<Rc<Parts>> {
        self.parts.borrow().clone()
    }

    fn look(&self) -> Look {
        let node = self.parts().map(|parts| NodeLook {
            id: parts.services.node.id,
            roles: parts.services.settings.roles,
            image: parts.services.image.load(),
            leader_id: parts.services.controller.leader_id(),
        });
        Look {
            stage: self.stage.get(),
            node,
        }
    }

    /// Liveness: a restart would help against what is said here. A node that starts or stops is alive, whatever
    /// it waits for: killing it then would only make it begin again.
    fn health(&self) -> Result<(), String> {
        let Some(parts) = self.parts() else {
            return Ok(());
        };
        if let Health::Dead(reason) = parts.dir.health() {
            let path = parts.dir.path().display();
            return Err(format!("the log directory {path} is out of use: {reason}"));
        }
        if self.stage.get() == Stage::Stopping {
            return Ok(());
        }
        let services = &parts.services;
        let loops = [
            ("the owner of partitions", services.partitions.has_ended()),
            ("the owner of groups", services.groups.has_ended()),
            ("the controller", services.controller.has_ended()),
        ];
        match loops.into_iter().find(|(_, has_ended)| *has_ended) {
            Some((name, _)) => Err(format!("{name} has ended")),
            None => Ok(()),
        }
    }
}

/// Answers for as long as somebody may ask.
pub async fn answer(vitals: Rc<Vitals>, mut questions: Questions) {
    while let Some(question) = questions.recv().await {
        match question {
            Question::Health(reply) => drop(reply.send(vitals.health())),
            Question::Look(reply) => drop(reply.send(vitals.look())),
            // Owners are asked on the way: a probe does not wait behind that.
            Question::Metrics(reply) => match vitals.parts() {
                None => drop(reply.send(None)),
                Some(parts) => {
                    let rt = Rc::clone(&parts.services.rt);
                    rt.spawn(Box::pin(async move {
                        let snapshot = gather(&parts.services, &parts.dir).await;
                        let _ = reply.send(Some(Box::new(snapshot)));
                    }));
                }
            },
        }
    }
}
