//! Entering and leaving the roles of an election, and following what others say of epoch and leader.
//!
//! Invariant: an epoch or a vote is persisted in the output before the role that rests on it begins; what
//! one role gathered (votes, progress of followers) does not outlive it.
//! Not here: when a role ends (`election.rs`), what is asked and answered (`asking.rs`, `answering.rs`).

use std::collections::BTreeMap;

use super::PeerOutput;
use crate::followers::Now;
use crate::quorum_state::QuorumState;
use crate::step::{Output, Raft, Role};
use crate::voters::VoterEndpoint;

impl Raft {
    pub(super) fn vote_for_myself(&mut self) {
        let me = self.config.me.id;
        if let Some(elections) = &mut self.elections {
            elections.votes = BTreeMap::from([(me, true)]);
        }
    }

    /// Leaves a role: connections start afresh, and a leader says that it is one no longer.
    fn enter(&mut self, role: Role, deadline: i64, out: &mut Vec<PeerOutput>) {
        let was_leader = self.role == Role::Leader;
        self.role = role;
        if let Some(elections) = &mut self.elections {
            elections.connections.reset();
            elections.has_fetched = false;
            elections.deadline = deadline;
        }
        if was_leader {
            self.followers = Default::default();
            out.push(PeerOutput::SteppedDown {
                epoch: self.quorum.leader_epoch,
            });
        }
    }

    pub(super) fn become_prospective(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        let deadline = self.new_election(now);
        self.vote_for_myself();
        self.enter(Role::Prospective, deadline, out);
    }

    pub(super) fn become_candidate(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        let deadline = self.new_election(now);
        let me = self.config.me;
        self.remember(
            QuorumState {
                leader_id: -1,
                leader_epoch: self.quorum.leader_epoch + 1,
                voted_id: me.id,
                voted_directory_id: me.directory_id,
            },
            out,
        );
        self.vote_for_myself();
        self.enter(Role::Candidate, deadline, out);
    }

    pub(super) fn become_leader(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        let check_quorum_at = now.monotonic_ms + self.check_quorum_ms();
        self.remember(
            QuorumState {
                leader_id: self.config.me.id,
                ..self.quorum
            },
            out,
        );
        self.enter(Role::Leader, check_quorum_at, out);
        if let Some(elections) = &mut self.elections {
            elections.begin_at = now.monotonic_ms;
        }
        self.locally(out, Self::open_epoch);
    }

    pub(super) fn become_unattached(&mut self, epoch: i32, now: Now, out: &mut Vec<PeerOutput>) {
        // An election that was due stays due: a stream of higher epochs must not put it off for ever.
        let fresh = self.new_election(now);
        let deadline = match (self.role, &self.elections) {
            (Role::Unattached | Role::Candidate | Role::Resigned, Some(elections))
                if elections.deadline > now.monotonic_ms =>
            {
                elections.deadline
            }
            (Role::Prospective, Some(elections))
                if !elections.is_lost(&self.voters) && elections.deadline > now.monotonic_ms =>
            {
                elections.deadline
            }
            _ => fresh,
        };
        if epoch > self.quorum.leader_epoch {
            self.remember(
                QuorumState {
                    leader_epoch: epoch,
                    ..QuorumState::default()
                },
                out,
            );
        }
        if let Some(elections) = &mut self.elections {
            elections.leader_endpoints.clear();
        }
        self.enter(Role::Unattached, deadline, out);
    }

    pub(super) fn become_follower(
        &mut self,
        leader_id: i32,
        epoch: i32,
        endpoints: Vec<VoterEndpoint>,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) {
        let same_epoch = epoch == self.quorum.leader_epoch;
        let vote = if same_epoch {
            self.quorum
        } else {
            QuorumState::default()
        };
        self.remember(
            QuorumState {
                leader_id,
                leader_epoch: epoch,
                ..vote
            },
            out,
        );
        let deadline = now.monotonic_ms
            + self
                .elections
                .as_ref()
                .map_or(0, |elections| elections.config.fetch_timeout_ms);
        self.enter(Role::Follower { leader_id }, deadline, out);
        if let Some(elections) = &mut self.elections {
            elections.leader_endpoints = endpoints;
        }
        out.push(PeerOutput::Do(Output::BecameFollower { leader_id, epoch }));
    }

    pub(super) fn resign(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        if self.role != Role::Leader {
            return;
        }
        let preferred = self.followers.by_log(&self.voters, self.config.me);
        let deadline = self.new_election(now);
        self.enter(Role::Resigned, deadline, out);
        if let Some(elections) = &mut self.elections {
            elections.unacknowledged = preferred.iter().map(|key| key.id).collect();
            elections.preferred = preferred;
        }
    }

    /// Follows what a peer says of epoch and leader. False if it contradicts what is known for sure.
    pub(super) fn follow(
        &mut self,
        leader_id: i32,
        epoch: i32,
        endpoints: Vec<VoterEndpoint>,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let known = self.quorum.leader_id;
        let current = self.quorum.leader_epoch;
        if epoch < current {
            return true;
        }
        if epoch == current && leader_id >= 0 && known >= 0 && leader_id != known {
            out.push(PeerOutput::Conflict {
                epoch,
                known,
                claimed: leader_id,
            });
            return false;
        }
        let endpoints = if endpoints.is_empty() {
            self.voters
                .get(leader_id)
                .map_or_else(Vec::new, |voter| voter.endpoints.clone())
        } else {
            endpoints
        };
        let is_news = epoch > current || self.role == Role::Unattached || known < 0;
        // Nobody knows of a leadership of this node that it does not know of itself; and a leader without
        // an address cannot be followed yet.
        let can_follow = leader_id >= 0 && leader_id != self.config.me.id && !endpoints.is_empty();
        if is_news && can_follow {
            self.become_follower(leader_id, epoch, endpoints, now, out);
        } else if epoch > current {
            self.become_unattached(epoch, now, out);
        }
        true
    }
}
