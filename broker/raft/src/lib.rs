//! KRaft consensus (KIP-595, 853, 996) as a stepping core: pure, no clock, no file, no socket.
//!
//! ```text
//!   Unattached ──(only voter)──▶ Leader            a quorum of one elects itself
//!   Unattached ──(leader found)─▶ Follower          an observer fetches and never votes
//! ```
//! A shell drives it: [`Raft::step`] takes an [`Input`] and leaves [`Output`]s, whose order is the
//! durability order: what stands before a message must be durable before the message leaves. The log
//! is the shell's; the core knows its bounds, its epochs and how far it is durable.
//!
//! Invariants: the epoch never falls; a vote is persisted before it counts; the high watermark counts
//! flushed offsets only, moves only past a record of the leader's own epoch, and never falls.
//!
//! This release serves quorums of one; a voter set with more members is refused at the start
//! ([`StartError::QuorumTooLarge`]) instead of being served without elections.
//! Not here: records' meaning (broker/metadata), the loop (broker/src/controller).

mod epochs;
mod quorum_state;
mod snapshot_id;
mod step;
mod voters;

#[cfg(test)]
mod tests;

pub use epochs::{EpochStart, Epochs};
pub use quorum_state::{QuorumState, QuorumStateError};
pub use snapshot_id::SnapshotId;
pub use step::{FetchClaim, FetchVerdict, Input, LogBounds, Output, Raft, RaftConfig, Role, StartError};
pub use voters::{ReplicaKey, Voter, VoterEndpoint, VoterSet};
