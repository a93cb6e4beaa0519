//! What a voter asks the others, and what it makes of their answers: votes as a nominee, the news of its
//! epoch as leader, the end of it as a leader that resigned.
//!
//! Invariant: one request is under way to a voter; who does not answer or answers with an error gets a
//! pause. An answer of an epoch that is over here changes nothing.
//! Not here: the form of the requests (`peer.rs`).

use ottla_protocol::{ErrorCode, Str};

use super::{Elections, PeerOutput};
use crate::followers::Now;
use crate::peer::{self, Answer, Ballot, PeerRequest, PeerResponse, Told};
use crate::step::{Raft, Role};
use crate::voters::{ReplicaKey, VoterEndpoint};

impl Raft {
    /// As nominee: counts, moves on, or asks those that have not answered.
    pub(super) fn count(&mut self, is_over: bool, now: Now, out: &mut Vec<PeerOutput>) {
        let Some(elections) = &self.elections else {
            return;
        };
        let is_pre_vote = self.role == Role::Prospective;
        let is_lost = elections.is_lost(&self.voters);
        if elections.is_won(&self.voters) {
            if is_pre_vote {
                self.become_candidate(now, out)
            } else {
                self.become_leader(now, out)
            }
        } else if is_over && !is_pre_vote {
            self.become_prospective(now, out);
        } else if is_pre_vote && (is_over || is_lost) {
            self.give_up_pre_vote(now, out);
        } else if !is_lost {
            let open: Vec<ReplicaKey> = self
                .voters
                .keys()
                .filter(|key| !elections.votes.contains_key(&key.id))
                .collect();
            let ballot = Ballot {
                candidate: self.config.me,
                epoch: self.quorum.leader_epoch,
                last_epoch: self.log.last_epoch(),
                end_offset: self.log.end,
                is_pre_vote,
            };
            for voter in open {
                let request = |elections: &Elections| {
                    peer::vote_request(&elections.config.cluster_id, voter, ballot)
                };
                self.send(voter.id, request, now, out);
            }
        }
    }

    /// Back to the leader that is still known, else to waiting.
    fn give_up_pre_vote(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        let endpoints = self
            .elections
            .as_ref()
            .map_or_else(Vec::new, |elections| elections.leader_endpoints.clone());
        let leader_id = self.quorum.leader_id;
        if leader_id >= 0 && leader_id != self.config.me.id && !endpoints.is_empty() {
            self.become_follower(leader_id, self.quorum.leader_epoch, endpoints, now, out);
        } else {
            self.become_unattached(self.quorum.leader_epoch, now, out);
        }
    }

    /// As leader: resigns without a majority of fetches, and tells voters that do not fetch who leads.
    pub(super) fn watch_quorum(&mut self, is_over: bool, now: Now, out: &mut Vec<PeerOutput>) {
        if self.voters.len() < 2 {
            return;
        }
        if is_over {
            return self.resign(now, out);
        }
        let Some(elections) = &mut self.elections else {
            return;
        };
        if elections.begin_at > now.monotonic_ms {
            return;
        }
        let pause = elections.config.fetch_timeout_ms / 2;
        elections.begin_at = now.monotonic_ms + pause;
        let told = Told {
            leader_id: self.config.me.id,
            epoch: self.quorum.leader_epoch,
            endpoints: elections.config.endpoints.clone(),
            candidates: Vec::new(),
        };
        for voter in self
            .followers
            .silent(&self.voters, self.config.me, now.monotonic_ms - pause)
        {
            self.send(
                voter.id,
                |elections| peer::begin_request(&elections.config.cluster_id, voter, &told),
                now,
                out,
            );
        }
    }

    pub(super) fn tell_end(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        let Some(elections) = &self.elections else {
            return;
        };
        let told = Told {
            leader_id: self.config.me.id,
            epoch: self.quorum.leader_epoch,
            endpoints: elections.config.endpoints.clone(),
            candidates: elections.preferred.clone(),
        };
        for voter in elections.unacknowledged.clone() {
            self.send(
                voter,
                |elections| peer::end_request(&elections.config.cluster_id, &told),
                now,
                out,
            );
        }
    }

    fn send(
        &mut self,
        to: i32,
        request: impl Fn(&Elections) -> PeerRequest,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) {
        let Some(elections) = &mut self.elections else {
            return;
        };
        if elections.connections.is_ready(to, now.monotonic_ms) {
            let token = elections
                .connections
                .sent(to, now.monotonic_ms + elections.config.request_timeout_ms);
            out.push(PeerOutput::Send {
                token,
                to,
                request: request(elections),
            });
        }
    }

    pub(super) fn answered(
        &mut self,
        voter: i32,
        response: &PeerResponse,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) {
        let answer = peer::read_answer(response);
        let useful =
            answer.is_some_and(|answer| self.use_answer(voter, response, answer, now, out));
        if let (false, Some(elections)) = (useful, &mut self.elections) {
            elections
                .connections
                .pause(voter, now.monotonic_ms + elections.config.retry_backoff_ms);
        }
    }

    /// False if the peer should get a pause before it is asked again.
    fn use_answer(
        &mut self,
        voter: i32,
        response: &PeerResponse,
        answer: Answer,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let Answer {
            error,
            leader_id,
            epoch,
            is_granted,
            leader_at,
        } = answer;
        if epoch < self.quorum.leader_epoch {
            // Of an epoch that is over here.
            return true;
        }
        let listener = self
            .elections
            .as_ref()
            .map_or_else(Str::default, |elections| elections.config.listener.clone());
        let endpoints = leader_at.map(|(host, port)| VoterEndpoint {
            name: listener,
            host,
            port,
        });
        let before = (self.role, self.quorum.leader_epoch);
        if !self.follow(leader_id, epoch, endpoints.into_iter().collect(), now, out)
            || before != (self.role, self.quorum.leader_epoch)
        {
            return true;
        }
        let Some(elections) = &mut self.elections else {
            return false;
        };
        match (response, self.role) {
            _ if error != ErrorCode::NONE => false,
            (PeerResponse::Vote(_), Role::Prospective | Role::Candidate) => {
                elections.votes.insert(voter, is_granted);
                true
            }
            (PeerResponse::EndQuorumEpoch(_), Role::Resigned) => {
                elections
                    .unacknowledged
                    .retain(|unacknowledged| *unacknowledged != voter);
                true
            }
            _ => true,
        }
    }
}
