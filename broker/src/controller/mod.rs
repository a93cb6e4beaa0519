//! The metadata quorum as this process sees it: led here, or observed over a connection.
//!
//! ```text
//!  handlers ─ Command ─▶ active.rs: decide → append → replay → (flushed) commit → publish, reply
//!                                     broker/metadata   broker/raft
//!  handlers ─ Envelope ─▶ link.rs ──▶ the leader's controller port
//!                         observer.rs: fetch → append → (committed) replay → publish
//!  snapshots/: what is committed, as a file; the log's front goes below it; start from it; fetch it
//! ```
//! Invariant: an image is published, and a reply released, only when the records behind it are
//! committed. Not here: decisions (broker/metadata), votes and epochs (broker/raft), files (the owner
//! of partitions has the metadata log beside all others, so that one group commit carries both).

mod active;
mod commands;
mod describe_quorum;
mod files;
mod link;
mod log;
mod observer;
mod snapshots;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use ottla_broker_raft::{FetchClaim, FetchVerdict, ReplicaKey, SnapshotId, VoterSet};
use ottla_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_protocol::messages::allocate_producer_ids_response::AllocateProducerIdsResponse;
use ottla_protocol::messages::create_topics_request::CreateTopicsRequest;
use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_protocol::{ErrorCode, Str, Uuid};
use tokio::sync::{mpsc, oneshot};

use crate::auth::Principal;
use crate::partition::PartitionId;

pub use active::{ActiveConfig, start as start_active};
pub use commands::{Caller, Command, Forwarded};
pub use files::{FileError, METADATA_TOPIC, MetadataDir};
pub use link::decode_principal;
pub use link::{ControllerAddress, Link};
pub use log::MetadataLogError;
pub use observer::{ObserverConfig, start as start_observer};
pub use snapshots::{
    RecoverError, Recovered, SnapshotFile, SnapshotPolicy, SnapshotRetention, Snapshots, recover,
};

/// The metadata log among the partitions of this shard.
pub const METADATA_PARTITION: PartitionId = PartitionId {
    topic: Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    index: 0,
};

/// A voter as clients of the quorum see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterAddress {
    /// Node id.
    pub id: i32,
    /// Host of its controller listener.
    pub host: Str,
    /// Port of its controller listener.
    pub port: u16,
}

/// What this process knows of the quorum; kept up to date by the active or observing loop.
#[derive(Debug, Default)]
pub struct QuorumView {
    /// Who leads, −1 if unknown.
    pub leader_id: Cell<i32>,
    /// In which epoch.
    pub epoch: Cell<i32>,
    /// Everything below is committed, as far as this process has heard.
    pub high_watermark: Cell<i64>,
    /// Who votes.
    pub voters: RefCell<VoterSet>,
}

/// The quorum as handlers reach it; cheap to clone.
#[derive(Clone)]
pub struct ControllerHandle {
    way: Way,
    view: Rc<QuorumView>,
    broker: Rc<BrokerIdentity>,
}

/// Under which registration this process speaks as a broker.
#[derive(Debug)]
pub struct BrokerIdentity {
    /// `node.id`
    pub id: i32,
    /// The broker epoch of the current registration, −1 before the first.
    pub epoch: Cell<i64>,
}

#[derive(Clone)]
enum Way {
    Here(mpsc::UnboundedSender<Command>),
    There(Link),
}

impl ControllerHandle {
    /// The quorum is led by this process.
    pub fn here(
        commands: mpsc::UnboundedSender<Command>,
        view: Rc<QuorumView>,
        broker: Rc<BrokerIdentity>,
    ) -> Self {
        Self {
            way: Way::Here(commands),
            view,
            broker,
        }
    }

    /// The quorum is led by another process.
    pub fn there(link: Link, view: Rc<QuorumView>, broker: Rc<BrokerIdentity>) -> Self {
        Self {
            way: Way::There(link),
            view,
            broker,
        }
    }

    /// Has the controller decide upon `request`; its own refusals are part of the response. A
    /// controller that cannot be reached is answered in the response's own error fields.
    pub async fn decide<R: Forwarded>(&self, caller: Caller, request: R) -> R::Response {
        match &self.way {
            Way::Here(commands) => {
                let (reply, answer) = oneshot::channel();
                let unavailable = request.refused(ErrorCode::NOT_CONTROLLER);
                if commands.send(request.into_command(caller, reply)).is_err() {
                    return unavailable;
                }
                answer.await.unwrap_or(unavailable)
            }
            Way::There(link) => link.forward(caller, request).await,
        }
    }

    /// The loop that leads the quorum here is gone.
    pub fn has_ended(&self) -> bool {
        match &self.way {
            Way::Here(commands) => commands.is_closed(),
            Way::There(_) => false,
        }
    }

    /// Has topics created, as `principal`.
    pub async fn create_topics(
        &self,
        principal: Principal,
        request: CreateTopicsRequest,
    ) -> CreateTopicsResponse {
        self.decide(
            Caller {
                principal,
                version: 7,
            },
            request,
        )
        .await
    }

    /// A block of producer ids.
    pub async fn allocate_producer_ids(&self) -> Result<Range<i64>, ErrorCode> {
        let request = AllocateProducerIdsRequest {
            broker_id: self.broker.id,
            broker_epoch: self.broker.epoch.get(),
            ..Default::default()
        };
        let caller = Caller {
            principal: Principal::anonymous(),
            version: 0,
        };
        let response: AllocateProducerIdsResponse = self.decide(caller, request).await;
        match response.error_code {
            ErrorCode::NONE => {
                let start = response.producer_id_start;
                Ok(start..start + i64::from(response.producer_id_len))
            }
            code => Err(code),
        }
    }

    /// Judges a fetch of the metadata log. Answered here only when the quorum is led here.
    pub async fn judge_fetch(&self, replica: ReplicaKey, claim: FetchClaim) -> Judgement {
        let elsewhere = Judgement {
            verdict: FetchVerdict::Refuse(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            leader_id: self.view.leader_id.get(),
            epoch: self.view.epoch.get(),
            high_watermark: -1,
            log_start: -1,
        };
        let Way::Here(commands) = &self.way else {
            return elsewhere;
        };
        let (reply, answer) = oneshot::channel();
        if commands
            .send(Command::JudgeFetch {
                replica,
                claim,
                reply,
            })
            .is_err()
        {
            return elsewhere;
        }
        answer.await.unwrap_or(elsewhere)
    }

    /// Judges a fetch of a snapshot. Answered here only when the quorum is led here.
    pub async fn judge_snapshot_fetch(
        &self,
        replica: ReplicaKey,
        epoch: i32,
        id: SnapshotId,
    ) -> SnapshotJudgement {
        let elsewhere = || SnapshotJudgement {
            file: Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            leader_id: self.view.leader_id.get(),
            epoch: self.view.epoch.get(),
        };
        let Way::Here(commands) = &self.way else {
            return elsewhere();
        };
        let (reply, answer) = oneshot::channel();
        let command = Command::JudgeSnapshot {
            replica,
            epoch,
            id,
            reply,
        };
        if commands.send(command).is_err() {
            return elsewhere();
        }
        answer.await.unwrap_or_else(|_| elsewhere())
    }

    /// The identity under which this process speaks as a broker.
    pub fn broker(&self) -> &BrokerIdentity {
        &self.broker
    }

    /// The same, to be kept beyond this handle.
    pub fn identity(&self) -> Rc<BrokerIdentity> {
        Rc::clone(&self.broker)
    }

    /// Who leads the quorum, −1 if unknown.
    pub fn leader_id(&self) -> i32 {
        self.view.leader_id.get()
    }

    /// Epoch of the quorum as far as known.
    pub fn epoch(&self) -> i32 {
        self.view.epoch.get()
    }

    /// Everything below is committed in the metadata log, as far as known here.
    pub fn high_watermark(&self) -> i64 {
        self.view.high_watermark.get()
    }

    /// The voters and where their controller listeners are.
    pub fn voters(&self) -> Vec<VoterAddress> {
        let voters = self.view.voters.borrow();
        let addresses = voters.iter().filter_map(|(id, voter)| {
            let endpoint = voter.endpoints.first()?;
            Some(VoterAddress {
                id,
                host: endpoint.host.clone(),
                port: endpoint.port,
            })
        });
        addresses.collect()
    }
}

/// What a fetch of the metadata log is answered with.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// Serve, refuse, diverge, or load a snapshot.
    pub verdict: FetchVerdict,
    /// Who leads.
    pub leader_id: i32,
    /// In which epoch.
    pub epoch: i32,
    /// Everything below is committed.
    pub high_watermark: i64,
    /// First offset of the log.
    pub log_start: i64,
}

/// What a fetch of a snapshot is answered with.
pub struct SnapshotJudgement {
    /// The snapshot, or the code that refuses it.
    pub file: Result<SnapshotFile, ErrorCode>,
    /// Who leads.
    pub leader_id: i32,
    /// In which epoch.
    pub epoch: i32,
}
