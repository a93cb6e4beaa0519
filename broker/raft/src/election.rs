//! Elections among several voters: KIP-595 with pre-votes (KIP-996).
//!
//! ```text
//!               election timeout              pre-vote of a majority          vote of a majority
//!  Unattached ───────────────────▶ Prospective ────────────────────▶ Candidate ──────────────────▶ Leader
//!   ▲  ▲  │ leader heard of         │  ▲ │ refused, leader known     │                             │ no majority fetches,
//!   │  │  └──────────▶ Follower ────┘  │ └──────────▶ Follower       │ election timeout            │ or the process stops
//!   │  │   fetch timeout               └─────────────────────────────┘                             ▼
//!   │  └─ refused, no leader known (from Prospective)                                           Resigned
//!   └──── a higher epoch (from any role); Resigned after an election timeout, with the next epoch ──┘
//! ```
//! A vote is given once per epoch, to a replica whose log is not behind, and is persisted before the
//! answer leaves. A pre-vote promises nothing and changes nothing: a follower that has fetched from its
//! leader in this epoch refuses it, so a replica that was cut off does not disturb the others. An answer
//! does not say whether it answers a vote or a pre-vote; the epoch and the role in which it arrives do.
//!
//! Here: what can happen to a voter and what follows from time. Its roles are in `roles.rs`, its questions in
//! `asking.rs`, its answers in `answering.rs`. Not here: changing the set of voters; fetching and serving fetches (the shell, with
//! [`Raft::fetch_claim`] and [`Raft::judge_fetch`]).

mod answering;
mod asking;
mod roles;

use std::collections::BTreeMap;

use ottla_protocol::Str;

use crate::connections::{Connections, Token};
use crate::followers::{Now, ReplicaView, majority};
use crate::peer::{PeerRequest, PeerResponse};
use crate::quorum_state::QuorumState;
use crate::step::{LogBounds, Output, Raft, RaftConfig, Role, StartError};
use crate::voters::{ReplicaKey, VoterEndpoint, VoterSet};

/// How a voter takes part in elections. All times in ms; the defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct ElectionConfig {
    /// `cluster.id`: requests of other clusters are refused.
    pub cluster_id: Str,
    /// Where this node's controller listens.
    pub endpoints: Vec<VoterEndpoint>,
    /// Name of the listener by which voters reach each other.
    pub listener: Str,
    /// `controller.quorum.election.timeout.ms`: without a leader, the least wait before an election.
    pub election_timeout_ms: i64,
    /// `controller.quorum.fetch.timeout.ms`: without an answer of the leader, the wait before an election.
    pub fetch_timeout_ms: i64,
    /// `controller.quorum.election.backoff.max.ms`: the longest wait after a leader gave up.
    pub election_backoff_max_ms: i64,
    /// `controller.quorum.request.timeout.ms`
    pub request_timeout_ms: i64,
    /// `controller.quorum.retry.backoff.ms`
    pub retry_backoff_ms: i64,
    /// Seed of the random timeouts: another one on each node and at each start.
    pub seed: u64,
}

impl ElectionConfig {
    /// Kafka's times.
    pub fn new(cluster_id: Str, listener: Str, endpoints: Vec<VoterEndpoint>, seed: u64) -> Self {
        Self {
            cluster_id,
            endpoints,
            listener,
            election_timeout_ms: 1000,
            fetch_timeout_ms: 2000,
            election_backoff_max_ms: 1000,
            request_timeout_ms: 2000,
            retry_backoff_ms: 20,
            seed,
        }
    }
}

/// What can happen to a voter beside what happens to its log ([`crate::Input`]).
#[derive(Clone, Debug, PartialEq)]
pub enum PeerInput {
    /// [`Raft::next_deadline`] has passed.
    Tick,
    /// Another voter asks.
    Request {
        /// Names the request until it is answered.
        token: Token,
        /// Its version.
        version: i16,
        /// The listener it came by; endpoints in the answer are of this one.
        listener: Str,
        /// The request.
        request: PeerRequest,
    },
    /// What was sent with this token is answered.
    Response {
        /// Of [`PeerOutput::Send`].
        token: Token,
        /// The answer.
        response: PeerResponse,
    },
    /// What was sent with this token gets no answer.
    Failed {
        /// Of [`PeerOutput::Send`].
        token: Token,
    },
    /// A fetch was judged with [`crate::FetchVerdict::Serve`] (as leader).
    Fetched {
        /// Who fetched.
        replica: ReplicaKey,
        /// From where: it has everything before.
        offset: i64,
    },
    /// A part of a snapshot was given to this replica (as leader).
    FetchedSnapshot {
        /// To whom.
        replica: ReplicaKey,
    },
    /// The leader answered a fetch without an error (as follower).
    LeaderAnswered,
    /// An answer told who leads (−1: unknown) and where. Voters use this instead of [`crate::Input::LeaderHeard`].
    LeaderHeard {
        /// The leader.
        leader_id: i32,
        /// The epoch.
        epoch: i32,
        /// Where it listens, as far as told.
        endpoints: Vec<VoterEndpoint>,
    },
    /// Gives up the leadership: the process stops.
    Resign,
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerOutput {
    /// As any other output of the core.
    Do(Output),
    /// This node no longer leads: refuse what waits for a commit, answer parked fetches.
    SteppedDown {
        /// The newest epoch that is known.
        epoch: i32,
    },
    /// Send to a voter; answer or failure go to [`Raft::peer`] with the token.
    Send {
        /// Names the request.
        token: Token,
        /// Which voter.
        to: i32,
        /// The request.
        request: PeerRequest,
    },
    /// Answer a voter.
    Reply {
        /// Of [`PeerInput::Request`].
        token: Token,
        /// The answer.
        response: PeerResponse,
    },
    /// Two nodes claim to lead one epoch: stop the process, one of them has forgotten its vote.
    Conflict {
        /// The epoch.
        epoch: i32,
        /// Who was known to lead it.
        known: i32,
        /// Who claims to.
        claimed: i32,
    },
}

/// A voter's part in elections. Times are monotonic ms.
#[derive(Clone, Debug)]
pub(crate) struct Elections {
    config: ElectionConfig,
    connections: Connections,
    random: u64,
    /// When the role ends by itself: an election or fetch timeout, or (as leader) the check of the quorum.
    deadline: i64,
    /// As nominee: who answered how.
    votes: BTreeMap<i32, bool>,
    /// As follower: the leader has answered a fetch in this epoch.
    has_fetched: bool,
    /// As leader: when silent voters are told again.
    begin_at: i64,
    /// As resigned: who has not acknowledged it, and who should try first.
    unacknowledged: Vec<i32>,
    preferred: Vec<ReplicaKey>,
    /// Where the leader listens.
    leader_endpoints: Vec<VoterEndpoint>,
}

impl Elections {
    fn election_timeout(&mut self) -> i64 {
        let least = self.config.election_timeout_ms;
        least + self.random_below(least)
    }

    /// splitmix64: any seed is good, and one seed gives one run.
    fn random_below(&mut self, end: i64) -> i64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % end.unsigned_abs().max(1)) as i64
    }

    fn granted(&self, voters: &VoterSet) -> usize {
        voters
            .keys()
            .filter(|key| self.votes.get(&key.id) == Some(&true))
            .count()
    }

    fn is_won(&self, voters: &VoterSet) -> bool {
        self.granted(voters) >= majority(voters)
    }

    /// True if all votes that are still out would not be enough.
    fn is_lost(&self, voters: &VoterSet) -> bool {
        let open = voters
            .keys()
            .filter(|key| !self.votes.contains_key(&key.id))
            .count();
        self.granted(voters) + open < majority(voters)
    }
}

impl Raft {
    /// A voter with what it found on disk; `quorum` must be what it promised last. The only voter leads
    /// when this returns. Errors: this node is not in the voter set.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a disk says, what is configured, and the time"
    )]
    pub fn start_voter(
        config: RaftConfig,
        elections: ElectionConfig,
        quorum: QuorumState,
        voters: VoterSet,
        voters_in_log: bool,
        log: LogBounds,
        now: Now,
        out: &mut Vec<PeerOutput>,
    ) -> Result<Self, StartError> {
        if !voters.contains(config.me) {
            return Err(StartError::NotAVoter { me: config.me });
        }
        let is_alone = voters.len() == 1;
        let mut raft = Self::stopped(config, quorum, voters, voters_in_log, log);
        let mut elections = Elections {
            random: elections.seed,
            config: elections,
            connections: Connections::default(),
            deadline: 0,
            votes: BTreeMap::new(),
            has_fetched: false,
            begin_at: 0,
            unacknowledged: Vec::new(),
            preferred: Vec::new(),
            leader_endpoints: Vec::new(),
        };
        elections.deadline = now.monotonic_ms + elections.election_timeout();
        raft.elections = Some(elections);
        raft.take_up(is_alone, now, out);
        raft.pump(now, out);
        Ok(raft)
    }

    /// The role that follows from what the disk says.
    fn take_up(&mut self, is_alone: bool, now: Now, out: &mut Vec<PeerOutput>) {
        let me = self.config.me;
        if self.log.last_epoch() > self.quorum.leader_epoch {
            // The file is older than the log: what was voted since is not known, so this replica waits for
            // an epoch in which it cannot have voted.
            self.remember(
                QuorumState {
                    leader_epoch: self.log.last_epoch(),
                    ..QuorumState::default()
                },
                out,
            );
        }
        if is_alone {
            self.locally(out, Self::elect_myself);
        } else if self.quorum.leader_id == me.id {
            // It led this epoch; what it appended last may be gone, so it may not go on.
            self.role = Role::Resigned;
        } else if self.quorum.leader_id < 0 && self.quorum.voted() == Some(me) {
            self.role = Role::Candidate;
            self.vote_for_myself();
        } else if let Some(voter) = self.voters.get(self.quorum.leader_id) {
            let endpoints = voter.endpoints.clone();
            self.role = Role::Follower {
                leader_id: self.quorum.leader_id,
            };
            if let Some(elections) = &mut self.elections {
                elections.leader_endpoints = endpoints;
                elections.deadline = now.monotonic_ms + elections.config.fetch_timeout_ms;
            }
            out.push(PeerOutput::Do(Output::BecameFollower {
                leader_id: self.quorum.leader_id,
                epoch: self.quorum.leader_epoch,
            }));
        }
    }

    /// Takes one input of a voter; what must be done is appended to `out`. Nothing happens to a replica
    /// that was not started with [`Raft::start_voter`].
    pub fn peer(&mut self, input: PeerInput, now: Now, out: &mut Vec<PeerOutput>) {
        match input {
            PeerInput::Tick => {}
            PeerInput::Request {
                token,
                version,
                listener,
                request,
            } => {
                let response = self.answer(&request, version, &listener, now, out);
                out.push(PeerOutput::Reply { token, response });
            }
            PeerInput::Response { token, response } => {
                let voter = self
                    .elections
                    .as_mut()
                    .and_then(|elections| elections.connections.answered(token));
                if let Some(voter) = voter {
                    self.answered(voter, &response, now, out);
                }
            }
            PeerInput::Failed { token } => {
                if let Some(elections) = &mut self.elections {
                    elections
                        .connections
                        .failed(token, now.monotonic_ms + elections.config.retry_backoff_ms);
                }
            }
            PeerInput::Fetched { replica, offset } => self.fetched(replica, offset, now, out),
            PeerInput::FetchedSnapshot { replica } => self.heard_from_voter(replica, now),
            PeerInput::LeaderAnswered => {
                if let (Role::Follower { .. }, Some(elections)) = (self.role, &mut self.elections) {
                    elections.has_fetched = true;
                    elections.deadline = now.monotonic_ms + elections.config.fetch_timeout_ms;
                }
            }
            PeerInput::LeaderHeard {
                leader_id,
                epoch,
                endpoints,
            } => {
                self.follow(leader_id, epoch, endpoints, now, out);
            }
            PeerInput::Resign => self.resign(now, out),
        }
        self.pump(now, out);
    }

    /// When [`PeerInput::Tick`] is due: monotonic ms.
    pub fn next_deadline(&self, now: Now) -> Option<i64> {
        let elections = self.elections.as_ref()?;
        let requests = elections.connections.next_deadline(now.monotonic_ms);
        match self.role {
            Role::Leader if self.voters.len() < 2 => None,
            Role::Leader => Some(elections.deadline.min(elections.begin_at)),
            _ => Some(requests.map_or(elections.deadline, |at| at.min(elections.deadline))),
        }
    }

    /// Where the leader listens, as far as known.
    pub fn leader_endpoints(&self) -> &[VoterEndpoint] {
        let Some(elections) = &self.elections else {
            return &[];
        };
        if self.role == Role::Leader {
            &elections.config.endpoints
        } else {
            &elections.leader_endpoints
        }
    }

    /// All voters and observers as the leader sees them; itself as of now. Empty on others.
    pub fn replicas(&self, now: Now) -> (Vec<ReplicaView>, Vec<ReplicaView>) {
        if self.role != Role::Leader {
            return (Vec::new(), Vec::new());
        }
        let myself = |key| ReplicaView {
            key,
            end_offset: self.log.end,
            last_fetch_ms: now.wall_ms,
            last_caught_up_ms: now.wall_ms,
        };
        let view = |key| {
            if key == self.config.me {
                myself(key)
            } else {
                self.followers.view(key)
            }
        };
        (
            self.voters.keys().map(view).collect(),
            self.followers.observers(&self.voters).collect(),
        )
    }

    /// What time alone brings about.
    fn pump(&mut self, now: Now, out: &mut Vec<PeerOutput>) {
        // A timeout may lead to a role that acts at once, a few times over at most.
        for _ in 0..4 {
            let Some(elections) = &self.elections else {
                return;
            };
            let is_over = elections.deadline <= now.monotonic_ms;
            let role = self.role;
            match role {
                Role::Unattached | Role::Follower { .. } if is_over => {
                    self.become_prospective(now, out)
                }
                Role::Unattached | Role::Follower { .. } => {}
                Role::Prospective | Role::Candidate => self.count(is_over, now, out),
                Role::Leader => self.watch_quorum(is_over, now, out),
                // In this epoch everybody knows it as the leader; in the next it may follow.
                Role::Resigned if is_over => {
                    self.become_unattached(self.quorum.leader_epoch + 1, now, out)
                }
                Role::Resigned => self.tell_end(now, out),
            }
            if self.role == role {
                break;
            }
        }
    }

    // ---- leading ----

    fn fetched(&mut self, replica: ReplicaKey, offset: i64, now: Now, out: &mut Vec<PeerOutput>) {
        if self.role != Role::Leader || replica.id < 0 || replica.id == self.config.me.id {
            return;
        }
        self.followers.fetched(replica, offset, self.log.end, now);
        self.heard_from_voter(replica, now);
        self.locally(out, Self::advance_as_leader);
    }

    fn heard_from_voter(&mut self, replica: ReplicaKey, now: Now) {
        let check_quorum_at = now.monotonic_ms + self.check_quorum_ms();
        if self.role == Role::Leader
            && self.followers.completes_majority(replica, &self.voters)
            && let Some(elections) = &mut self.elections
        {
            elections.deadline = check_quorum_at;
        }
    }

    /// Half as long again as a follower waits for its leader, to allow for what is on its way.
    fn check_quorum_ms(&self) -> i64 {
        self.elections
            .as_ref()
            .map_or(0, |elections| elections.config.fetch_timeout_ms * 3 / 2)
    }

    fn new_election(&mut self, now: Now) -> i64 {
        let timeout = self
            .elections
            .as_mut()
            .map_or(0, Elections::election_timeout);
        now.monotonic_ms + timeout
    }

    fn remember(&mut self, state: QuorumState, out: &mut Vec<PeerOutput>) {
        if state != self.quorum {
            self.quorum = state;
            out.push(PeerOutput::Do(Output::Persist(state)));
        }
    }

    fn locally(
        &mut self,
        out: &mut Vec<PeerOutput>,
        act: impl FnOnce(&mut Self, &mut Vec<Output>),
    ) {
        let mut outputs = Vec::new();
        act(self, &mut outputs);
        out.extend(outputs.into_iter().map(PeerOutput::Do));
    }
}

#[cfg(test)]
mod tests;
