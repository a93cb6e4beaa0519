//! What a voter answers when others ask for its vote, tell that they lead, or that they no longer do.
//!
//! Invariant: a vote is given once per epoch, to a log that is not behind, and is persisted in the output
//! before the answer; a pre-vote changes nothing.
//! Not here: the form of requests and answers (`peer.rs`).

use ottla_protocol::ErrorCode;

use super::PeerOutput;
use crate::followers::Now;
use crate::peer::{self, Addressee, Answer, Ballot, PeerRequest, PeerResponse, Told};
use crate::quorum_state::QuorumState;
use crate::step::{Raft, Role};
use crate::voters::ReplicaKey;

impl Raft {
    pub(super) fn answer(
        &mut self,
        request: &PeerRequest,
        version: i16,
        listener: &str,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) -> PeerResponse {
        let read = match request {
            PeerRequest::Vote(vote) => {
                peer::read_vote(vote).map(|(to, ballot)| (to, Asked::Vote(ballot)))
            }
            PeerRequest::BeginQuorumEpoch(begin) => {
                peer::read_begin(begin).map(|(to, told)| (to, Asked::Begin(told)))
            }
            PeerRequest::EndQuorumEpoch(end) => {
                peer::read_end(end).map(|(to, told)| (to, Asked::End(told)))
            }
        };
        let Some((to, asked)) = read else {
            return peer::refuse(request, ErrorCode::INVALID_REQUEST);
        };
        let own_cluster = self
            .elections
            .as_ref()
            .map(|elections| &elections.config.cluster_id);
        if to.cluster_id.is_some() && to.cluster_id.as_ref() != own_cluster {
            return peer::refuse(request, ErrorCode::INCONSISTENT_CLUSTER_ID);
        }
        let outcome = match asked {
            Asked::Vote(ballot) => self.vote(&to, ballot, now, out),
            Asked::Begin(told) => self.begun(&to, told, now, out).map(|()| false),
            Asked::End(told) => self.ended(told, now, out).map(|()| false),
        };
        let at = self
            .leader_endpoints()
            .iter()
            .find(|endpoint| &*endpoint.name == listener);
        let answer = Answer {
            error: outcome.err().unwrap_or(ErrorCode::NONE),
            leader_id: self.quorum.leader_id,
            epoch: self.quorum.leader_epoch,
            is_granted: outcome.unwrap_or(false),
            leader_at: at
                .map(|endpoint| (endpoint.host.clone(), endpoint.port))
                .filter(|_| self.quorum.leader_id >= 0),
        };
        peer::respond(request, version, answer)
    }

    fn vote(
        &mut self,
        to: &Addressee,
        ballot: Ballot,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) -> Result<bool, ErrorCode> {
        // A candidate has raised its epoch above that of its log; for a pre-vote it has not.
        let impossible = if ballot.is_pre_vote {
            ballot.last_epoch > ballot.epoch
        } else {
            ballot.last_epoch >= ballot.epoch
        };
        if ballot.end_offset < 0 || ballot.last_epoch < 0 || impossible {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        self.check_peer(ballot.candidate.id, ballot.epoch)?;
        if ballot.epoch > self.quorum.leader_epoch {
            self.become_unattached(ballot.epoch, now, out);
        }
        self.check_addressee(to)?;
        let granted = self.may_grant(ballot);
        if granted && !ballot.is_pre_vote && self.quorum.voted_id < 0 {
            let candidate = ballot.candidate;
            self.remember(
                QuorumState {
                    voted_id: candidate.id,
                    voted_directory_id: candidate.directory_id,
                    ..self.quorum
                },
                out,
            );
            // The candidate gets the time of a whole election before this replica tries itself.
            let deadline = self.new_election(now);
            if let Some(elections) = &mut self.elections {
                elections.deadline = deadline;
            }
        }
        Ok(granted)
    }

    fn may_grant(&self, ballot: Ballot) -> bool {
        let up_to_date =
            (ballot.last_epoch, ballot.end_offset) >= (self.log.last_epoch(), self.log.end);
        let has_fetched = self
            .elections
            .as_ref()
            .is_some_and(|elections| elections.has_fetched);
        match self.role {
            Role::Leader => false,
            Role::Follower { .. } => ballot.is_pre_vote && up_to_date && !has_fetched,
            Role::Candidate | Role::Resigned => ballot.is_pre_vote && up_to_date,
            Role::Unattached | Role::Prospective if ballot.is_pre_vote => up_to_date,
            Role::Unattached | Role::Prospective => match self.quorum.voted() {
                Some(voted) => voted == ballot.candidate,
                None => self.quorum.leader_id < 0 && up_to_date,
            },
        }
    }

    fn begun(
        &mut self,
        to: &Addressee,
        told: Told,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) -> Result<(), ErrorCode> {
        self.check_peer(told.leader_id, told.epoch)?;
        if !self.follow(told.leader_id, told.epoch, told.endpoints, now, out) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        self.check_addressee(to)
    }

    fn ended(&mut self, told: Told, now: Now, out: &mut Vec<PeerOutput>) -> Result<(), ErrorCode> {
        self.check_peer(told.leader_id, told.epoch)?;
        if !self.follow(told.leader_id, told.epoch, told.endpoints, now, out) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let me = self.config.me;
        if let (Role::Follower { leader_id }, Some(elections)) = (self.role, &mut self.elections)
            && leader_id == told.leader_id
        {
            // The one with the longest log tries at once, the others later and later.
            let max = elections.config.election_backoff_max_ms;
            let matches = |key: &ReplicaKey| {
                key.id == me.id
                    && (key.directory_id == me.directory_id
                        || key.directory_id == Default::default())
            };
            let backoff = match told.candidates.iter().position(matches) {
                Some(0) => 0,
                None => max,
                Some(place) => {
                    let halvings = (told.candidates.len() - place).min(20) as u32;
                    let least = (max >> halvings).max(1);
                    (least + elections.random_below(least)).min(max)
                }
            };
            elections.deadline = now.monotonic_ms + backoff;
        }
        Ok(())
    }

    fn check_peer(&self, from: i32, epoch: i32) -> Result<(), ErrorCode> {
        match () {
            () if epoch < self.quorum.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            () if from < 0 => Err(ErrorCode::INVALID_REQUEST),
            () => Ok(()),
        }
    }

    /// A request may name the voter it is meant for: a replaced disk is not who it was.
    fn check_addressee(&self, to: &Addressee) -> Result<(), ErrorCode> {
        let me = self.config.me;
        let is_me = to.voter.id < 0
            || (to.voter.id == me.id
                && (to.voter.directory_id == me.directory_id
                    || to.voter.directory_id == Default::default()));
        if is_me {
            Ok(())
        } else {
            Err(ErrorCode::INVALID_VOTER_KEY)
        }
    }
}

enum Asked {
    Vote(Ballot),
    Begin(Told),
    End(Told),
}
