//! Group coordinators: one per partition of `__consumer_offsets` that this broker leads, all owned by
//! one loop (`owner.rs`). What a coordinator decides is in `ottla_broker_group`.
//!
//! Invariant: a reply that speaks of a record leaves after the record is durable. Not here: which
//! partition a group lives in is said by `ottla_broker_group::partition_for_group`; the log is owned
//! by `crate::partition`.

mod load;
mod owner;

use std::rc::Rc;

use ottla_broker_group::{Call, DeletedTopic, GroupConfig, GroupFigures, Request, Response};
use ottla_protocol::Str;
use tokio::sync::{mpsc, oneshot};

use crate::auth::Principal;
use crate::partition::{PartitionId, PartitionsHandle};
use crate::rt::Rt;
use crate::server::Services;

/// The topic that holds group state.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What the owner of the coordinators reacts to.
pub(crate) enum Event {
    /// A request for one group, or (List) for all groups of one partition.
    Call {
        /// Partition of `__consumer_offsets`.
        partition: i32,
        /// Who calls.
        call: CallContext,
        /// What is asked.
        request: Request,
        /// `None` if the partition is not led here.
        reply: oneshot::Sender<Option<Response>>,
    },
    /// The metadata says which partitions are led here, at which epochs.
    Lead(Vec<Led>),
    /// Topics are gone.
    TopicsDeleted(Vec<DeletedTopic>),
    /// What can be said of the groups of the first partition at or after this one; `None` if there is none.
    Survey(i32, oneshot::Sender<Option<Surveyed>>),
    /// A partition's log has been read.
    Loaded(load::Loaded),
    /// An append came to its end.
    Appended(owner::AppendEnd),
}

/// A partition of `__consumer_offsets` that this broker leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    /// The partition.
    pub partition: PartitionId,
    /// Since which leader epoch.
    pub leader_epoch: i32,
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The partition.
    pub partition: i32,
    /// Its groups; none while they are loaded.
    pub groups: Vec<GroupFigures>,
}

/// What the coordinator needs to know of a caller.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Version of the API.
    pub version: i16,
    /// Client id of the request header.
    pub client_id: Str,
    /// Address of the client, as Kafka prints it.
    pub client_host: Str,
    /// Random bits for a member id.
    pub random: u128,
}

impl CallContext {
    fn into_call(self, ticket: ottla_broker_group::Ticket) -> Call {
        Call {
            ticket,
            version: self.version,
            client_id: self.client_id,
            client_host: self.client_host,
            random: self.random,
        }
    }
}

/// The mailbox of the owner; cheap to clone.
#[derive(Clone)]
pub struct GroupsHandle {
    mailbox: mpsc::UnboundedSender<Event>,
}

impl GroupsHandle {
    /// Asks the coordinator on `partition`. `None` if that partition is not led here.
    pub async fn ask(
        &self,
        partition: i32,
        call: CallContext,
        request: Request,
    ) -> Option<Response> {
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .send(Event::Call {
                partition,
                call,
                request,
                reply,
            })
            .ok()?;
        answer.await.ok().flatten()
    }

    /// What can be said of the groups of the first partition at or after `from`; `None` if there is none. One
    /// partition at a time, so that requests are served in between.
    pub async fn survey(&self, from: i32) -> Option<Surveyed> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Event::Survey(from, reply)).ok()?;
        answer.await.ok().flatten()
    }

    /// The owner is gone: no group is served any more.
    pub fn has_ended(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// Tells which partitions of `__consumer_offsets` are led here now.
    pub fn lead(&self, led: Vec<Led>) {
        // The owner lives as long as the shard.
        let _ = self.mailbox.send(Event::Lead(led));
    }

    /// Tells that topics are gone.
    pub fn topics_deleted(&self, topics: Vec<DeletedTopic>) {
        let _ = self.mailbox.send(Event::TopicsDeleted(topics));
    }
}

/// Starts the owner on this shard.
pub fn start(rt: &Rt, config: GroupConfig, partitions: PartitionsHandle) -> GroupsHandle {
    let (mailbox, events) = mpsc::unbounded_channel();
    let handle = GroupsHandle {
        mailbox: mailbox.clone(),
    };
    rt.spawn(Box::pin(owner::run(
        Rc::clone(rt),
        config,
        partitions,
        mailbox,
        events,
    )));
    handle
}

/// Creates `__consumer_offsets` if it is not there yet; whether that worked is seen in the image.
pub async fn ensure_offsets_topic(services: &Services, principal: &Principal) {
    if services.image.load().topic(OFFSETS_TOPIC).is_none() {
        crate::handlers::metadata::create(services, principal, vec![Str::from(OFFSETS_TOPIC)])
            .await;
    }
}
