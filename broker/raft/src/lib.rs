//! KRaft consensus (KIP-595, 853, 996) as a stepping core: pure, no clock, no file, no socket.
//!
//! ```text
//!   Unattached ──(only voter)──▶ Leader            a quorum of one elects itself
//!   Unattached ──(leader found)─▶ Follower          an observer fetches and never votes
//!   several voters: see election.rs
//! ```
//! A shell drives it: [`Raft::step`] takes an [`Input`] and leaves [`Output`]s, whose order is the
//! durability order: what stands before a message must be durable before the message leaves. The log
//! is the shell's; the core knows its bounds, its epochs and how far it is durable. A voter that has
//! others beside it is started with [`Raft::start_voter`] and also takes [`PeerInput`]s, which leave
//! [`PeerOutput`]s: votes and the news of epochs to send and to answer.
//!
//! A quorum of one, in memory:
//! ```
//! use ottla_broker_raft::*;
//! # use ottla_protocol::Uuid;
//! let me = ReplicaKey { id: 1, directory_id: Uuid([7; 16]) };
//! let voter = Voter { directory_id: me.directory_id, endpoints: vec![], kraft_version_min: 0, kraft_version_max: 1 };
//! let config = RaftConfig { me, may_lead: true };
//! let mut out = Vec::new();
//! let mut raft = Raft::start(config, QuorumState::default(), VoterSet::of_one(1, voter), false, LogBounds::default(), &mut out)?;
//! // First the file, then the records that open the epoch: LeaderChange, kraft.version, voters.
//! let [Output::Persist(state), Output::BecameLeader { epoch: 1, bootstrap_voters: Some(_) }] = &out[..] else { panic!() };
//! assert_eq!(state.leader_epoch, 1);
//! out.clear();
//! raft.step(Input::Appended { epoch: 1, start: 0, end: 3 }, &mut out);
//! raft.step(Input::Flushed(3), &mut out);
//! assert_eq!(out, [Output::Committed(3)]);
//! # Ok::<(), StartError>(())
//! ```
//!
//! Invariants: the epoch never falls; a vote is persisted before it counts; the high watermark counts
//! flushed offsets only, moves only past a record of the leader's own epoch, and never falls.
//!
//! The shell serves quorums of one so far: [`Raft::start`] refuses a voter set with more members
//! ([`StartError::QuorumTooLarge`]) instead of serving it without elections.
//! Not here: records' meaning (broker/metadata), the loop (broker/src/controller), changing the set of voters.

mod connections;
mod election;
mod epochs;
mod followers;
mod peer;
mod quorum_state;
mod snapshot_id;
mod step;
mod voters;

#[cfg(test)]
mod tests;

pub use connections::Token;
pub use election::{ElectionConfig, PeerInput, PeerOutput};
pub use epochs::{EpochStart, Epochs};
pub use followers::{Now, ReplicaView};
pub use peer::{PeerRequest, PeerResponse};
pub use quorum_state::{QuorumState, QuorumStateError};
pub use snapshot_id::SnapshotId;
pub use step::{
    FetchClaim, FetchVerdict, Input, LogBounds, Output, Raft, RaftConfig, Role, StartError,
};
pub use voters::{ReplicaKey, Voter, VoterEndpoint, VoterSet};
