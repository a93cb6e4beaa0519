//! The machine: inputs, outputs, roles.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::voters_record::VotersRecord;

use crate::election::Elections;
use crate::epochs::Epochs;
use crate::followers::Followers;
use crate::quorum_state::QuorumState;
use crate::snapshot_id::SnapshotId;
use crate::voters::{ReplicaKey, VoterSet};

/// What a node knows of itself.
#[derive(Clone, Debug)]
pub struct RaftConfig {
    /// This node and its metadata directory.
    pub me: ReplicaKey,
    /// Whether `process.roles` names the controller role; without it a node only observes.
    pub may_lead: bool,
}

/// Bounds of the metadata log as the shell found it, and later as it grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset.
    pub start: i64,
    /// Offset after the last record.
    pub end: i64,
    /// Everything below is durable.
    pub flushed: i64,
    /// Epochs of the log.
    pub epochs: Epochs,
    /// The newest finished snapshot other than the bootstrap one.
    pub snapshot: Option<SnapshotId>,
    /// The oldest one that is kept: the log's records are needed from its end on only.
    pub oldest_snapshot: Option<SnapshotId>,
}

impl LogBounds {
    /// Epoch of the last record; that of the snapshot when the log is empty; 0 when there is nothing.
    pub fn last_epoch(&self) -> i32 {
        let of_snapshot = self.snapshot.map(|snapshot| snapshot.epoch);
        self.epochs
            .latest()
            .map(|latest| latest.epoch)
            .or(of_snapshot)
            .unwrap_or(0)
    }
}

/// What a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Knows no leader.
    Unattached,
    /// Asks whether it would be elected.
    Prospective,
    /// Asks for votes.
    Candidate,
    /// Leads the epoch.
    Leader,
    /// Fetches from the leader of the epoch.
    Follower {
        /// Who leads.
        leader_id: i32,
    },
    /// Has led this epoch and gave it up.
    Resigned,
}

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// More voters than this release serves.
    #[error(
        "the quorum has {voters} voters; this version serves quorums of one controller. Start it with one controller, or wait for the release that replicates the metadata log"
    )]
    QuorumTooLarge {
        /// How many there are.
        voters: usize,
    },
    /// A controller that is not in the voter set, for example after its disk was replaced.
    #[error("node {} with metadata directory {} is a controller but not in the voter set; was the directory replaced?", .me.id, .me.directory_id)]
    NotAVoter {
        /// This node.
        me: ReplicaKey,
    },
}

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The shell appended records as leader, or as follower what the leader sent.
    Appended {
        /// Epoch of the appended records.
        epoch: i32,
        /// Offset of the first of them.
        start: i64,
        /// New log end.
        end: i64,
    },
    /// The log is durable up to here.
    Flushed(i64),
    /// The shell truncated the log.
    Truncated(i64),
    /// A snapshot is finished here.
    SnapshotMade(SnapshotId),
    /// A snapshot of the leader was loaded and the log begins after it.
    SnapshotLoaded(SnapshotId),
    /// Snapshots older than this one are gone, and with them the records below its end.
    SnapshotsRetired {
        /// The oldest that is kept.
        oldest: SnapshotId,
    },
    /// An answer to our fetch told who leads (−1: the answerer does not know) in which epoch.
    LeaderHeard {
        /// The leader.
        leader_id: i32,
        /// The epoch.
        epoch: i32,
    },
    /// The leader's high watermark, out of a fetch answer.
    HighWatermarkHeard(i64),
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Make this durable before anything that follows.
    Persist(QuorumState),
    /// This node leads from now on. Append these control records as one batch of this epoch: leader
    /// change, and in a log without voters kraft.version and the voters.
    BecameLeader {
        /// The epoch.
        epoch: i32,
        /// `Some` when the log has no voters record yet.
        bootstrap_voters: Option<VotersRecord>,
    },
    /// This node follows from now on.
    BecameFollower {
        /// Who leads.
        leader_id: i32,
        /// The epoch.
        epoch: i32,
    },
    /// Everything below is committed.
    Committed(i64),
}

/// What a fetcher of the metadata log claims to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchClaim {
    /// Epoch in which the fetcher believes that we lead.
    pub epoch: i32,
    /// Offset of the next record it wants: everything below is in its log.
    pub fetch_offset: i64,
    /// Epoch of its last record.
    pub last_fetched_epoch: i32,
}

/// What a fetch is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchVerdict {
    /// Records from the fetch offset on.
    Serve,
    /// An error code; leader and epoch go with it.
    Refuse(ErrorCode),
    /// The fetcher's log departs from ours: it must truncate.
    Diverging {
        /// Our largest epoch that is not above its last one.
        epoch: i32,
        /// Where that epoch ends here.
        end_offset: i64,
    },
    /// The fetcher must load this snapshot first.
    Snapshot(SnapshotId),
}

/// The consensus state of one node. See the crate's head.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) config: RaftConfig,
    pub(crate) quorum: QuorumState,
    pub(crate) voters: VoterSet,
    voters_in_log: bool,
    pub(crate) log: LogBounds,
    pub(crate) role: Role,
    epoch_start: i64,
    high_watermark: i64,
    /// As leader: how far the others are.
    pub(crate) followers: Followers,
    /// `Some` on a voter of a quorum that elects.
    pub(crate) elections: Option<Elections>,
}

impl Raft {
    /// A node with what it found on disk. `voters_in_log` is false while the voter set comes from the
    /// bootstrap checkpoint only. A quorum of one elects itself at once.
    pub fn start(
        config: RaftConfig,
        quorum: QuorumState,
        voters: VoterSet,
        voters_in_log: bool,
        log: LogBounds,
        out: &mut Vec<Output>,
    ) -> Result<Self, StartError> {
        let mut raft = Self::stopped(config, quorum, voters, voters_in_log, log);
        if raft.config.may_lead {
            if raft.voters.len() > 1 {
                return Err(StartError::QuorumTooLarge {
                    voters: raft.voters.len(),
                });
            }
            if !raft.voters.contains(raft.config.me) {
                return Err(StartError::NotAVoter { me: raft.config.me });
            }
            raft.elect_myself(out);
        }
        Ok(raft)
    }

    /// A node before it takes part.
    pub(crate) fn stopped(
        config: RaftConfig,
        quorum: QuorumState,
        voters: VoterSet,
        voters_in_log: bool,
        log: LogBounds,
    ) -> Self {
        let snapshot_end = log.snapshot.map_or(0, |snapshot| snapshot.end_offset);
        Self {
            config,
            quorum,
            voters,
            voters_in_log,
            epoch_start: log.end,
            high_watermark: snapshot_end,
            log,
            role: Role::Unattached,
            followers: Followers::default(),
            elections: None,
        }
    }

    /// Takes one input; what must be done is appended to `out`.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Appended { epoch, start, end } => {
                assert!(
                    start == self.log.end,
                    "the log grows at its end: {start} is not {}",
                    self.log.end
                );
                self.log.epochs.assign(epoch, start);
                self.log.end = end;
            }
            Input::Flushed(flushed) => {
                assert!(
                    flushed <= self.log.end,
                    "flushed {flushed} lies beyond the log end {}",
                    self.log.end
                );
                self.log.flushed = self.log.flushed.max(flushed);
                self.advance_as_leader(out);
            }
            Input::Truncated(end) => {
                assert!(
                    end >= self.high_watermark,
                    "committed records are never truncated"
                );
                self.log.end = self.log.end.min(end);
                self.log.flushed = self.log.flushed.min(end);
                self.log.epochs.truncate(end);
            }
            Input::SnapshotMade(snapshot) => {
                assert!(
                    snapshot.end_offset <= self.high_watermark,
                    "a snapshot holds committed records only"
                );
                self.log.snapshot = self.log.snapshot.max(Some(snapshot));
                self.log.oldest_snapshot.get_or_insert(snapshot);
            }
            Input::SnapshotLoaded(snapshot) => {
                self.log = LogBounds {
                    start: snapshot.end_offset,
                    end: snapshot.end_offset,
                    flushed: snapshot.end_offset,
                    epochs: Epochs::default(),
                    snapshot: Some(snapshot),
                    oldest_snapshot: Some(snapshot),
                };
                self.commit(snapshot.end_offset, out);
            }
            Input::SnapshotsRetired { oldest } => {
                self.log.oldest_snapshot = Some(oldest);
                self.log.start = self.log.start.max(oldest.end_offset);
                self.log.epochs.truncate_start(self.log.start);
            }
            Input::LeaderHeard { leader_id, epoch } => self.hear_of_leader(leader_id, epoch, out),
            Input::HighWatermarkHeard(offset) => {
                if matches!(self.role, Role::Follower { .. }) {
                    // Committed but not here yet: counts when it arrives.
                    self.commit(offset.min(self.log.end), out);
                }
            }
        }
    }

    /// Whether this node leads in the epoch that a request names. Errors: the code that refuses it.
    pub fn leads_in(&self, epoch: i32) -> Result<(), ErrorCode> {
        if epoch < self.quorum.leader_epoch {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if epoch > self.quorum.leader_epoch {
            return Err(ErrorCode::UNKNOWN_LEADER_EPOCH);
        }
        if self.role != Role::Leader {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        Ok(())
    }

    /// Judges the fetch of an observer or follower.
    pub fn judge_fetch(&self, claim: FetchClaim) -> FetchVerdict {
        if let Err(refused) = self.leads_in(claim.epoch) {
            return FetchVerdict::Refuse(refused);
        }
        let epoch = self.quorum.leader_epoch;
        if claim.last_fetched_epoch < 0
            || claim.last_fetched_epoch > epoch
            || claim.fetch_offset < 0
        {
            return FetchVerdict::Refuse(ErrorCode::INVALID_REQUEST);
        }
        if let (Some(newest), Some(oldest)) = (self.log.snapshot, self.log.oldest_snapshot) {
            let start = self.log.start;
            // Who has nothing is quicker with the snapshot, even where the log still begins at 0.
            let is_below = claim.fetch_offset == 0 || claim.fetch_offset < start;
            let other_history_at_start =
                claim.fetch_offset == start && claim.last_fetched_epoch != oldest.epoch;
            if is_below || other_history_at_start || claim.last_fetched_epoch < oldest.epoch {
                return FetchVerdict::Snapshot(newest);
            }
        }
        if claim.fetch_offset == 0 {
            return FetchVerdict::Serve;
        }
        match self
            .log
            .epochs
            .end_of(claim.last_fetched_epoch, self.log.end)
        {
            Some((epoch, end_offset))
                if epoch < claim.last_fetched_epoch || end_offset < claim.fetch_offset =>
            {
                FetchVerdict::Diverging { epoch, end_offset }
            }
            Some(_) => FetchVerdict::Serve,
            // Its last record is in our snapshot, not in our log.
            None if self.log.oldest_snapshot.is_some_and(|snapshot| {
                snapshot.epoch == claim.last_fetched_epoch
                    && snapshot.end_offset == claim.fetch_offset
            }) =>
            {
                FetchVerdict::Serve
            }
            None => FetchVerdict::Diverging {
                epoch: 0,
                end_offset: 0,
            },
        }
    }

    /// Where a follower must cut its log when the leader answers that the logs diverge.
    pub fn truncation_for(&self, epoch: i32, end_offset: i64) -> i64 {
        let (own_epoch, own_end) = self
            .log
            .epochs
            .end_of(epoch, self.log.end)
            .unwrap_or((0, self.log.start));
        if own_epoch == epoch {
            own_end.min(end_offset).min(self.log.end)
        } else {
            own_end
        }
    }

    /// What to fetch next as a follower or observer.
    pub fn fetch_claim(&self) -> FetchClaim {
        FetchClaim {
            epoch: self.quorum.leader_epoch,
            fetch_offset: self.log.end,
            last_fetched_epoch: self.log.last_epoch(),
        }
    }

    /// The role at the moment.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The newest epoch that is known.
    pub fn epoch(&self) -> i32 {
        self.quorum.leader_epoch
    }

    /// Who leads, −1 if unknown.
    pub fn leader_id(&self) -> i32 {
        self.quorum.leader_id
    }

    /// Everything below is committed.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The log as far as the core knows it.
    pub fn log(&self) -> &LogBounds {
        &self.log
    }

    /// Who votes.
    pub fn voters(&self) -> &VoterSet {
        &self.voters
    }

    /// A voters record was read from the log or a snapshot: the newest one counts, committed or not.
    pub fn voters_changed(&mut self, voters: VoterSet) {
        self.voters = voters;
        self.voters_in_log = true;
    }

    /// A quorum of one: the own vote is the majority.
    pub(crate) fn elect_myself(&mut self, out: &mut Vec<Output>) {
        let epoch = self.quorum.leader_epoch.max(self.log.last_epoch()) + 1;
        self.quorum = QuorumState {
            leader_id: self.config.me.id,
            leader_epoch: epoch,
            voted_id: self.config.me.id,
            voted_directory_id: self.config.me.directory_id,
        };
        self.role = Role::Leader;
        out.push(Output::Persist(self.quorum));
        self.open_epoch(out);
    }

    /// The epoch begins where the log ends, with records that say so.
    pub(crate) fn open_epoch(&mut self, out: &mut Vec<Output>) {
        self.epoch_start = self.log.end;
        let bootstrap_voters = (!self.voters_in_log).then(|| self.voters.to_record());
        self.voters_in_log = true;
        out.push(Output::BecameLeader {
            epoch: self.quorum.leader_epoch,
            bootstrap_voters,
        });
    }

    /// What a majority has is committed; but nothing of older epochs counts before the first record of
    /// this one does (Raft's figure 8).
    pub(crate) fn advance_as_leader(&mut self, out: &mut Vec<Output>) {
        let majority =
            self.followers
                .majority_offset(&self.voters, self.config.me, self.log.flushed);
        if self.role == Role::Leader && majority > self.epoch_start {
            self.commit(majority, out);
        }
    }

    fn commit(&mut self, offset: i64, out: &mut Vec<Output>) {
        if offset > self.high_watermark {
            self.high_watermark = offset;
            out.push(Output::Committed(offset));
        }
    }

    fn hear_of_leader(&mut self, leader_id: i32, epoch: i32, out: &mut Vec<Output>) {
        let old_news = epoch < self.quorum.leader_epoch
            || (epoch == self.quorum.leader_epoch
                && leader_id == self.quorum.leader_id
                && self.role != Role::Unattached);
        if old_news || leader_id == self.config.me.id || self.role == Role::Leader {
            return;
        }
        let same_epoch = epoch == self.quorum.leader_epoch;
        let (voted_id, voted_directory_id) = if same_epoch {
            (self.quorum.voted_id, self.quorum.voted_directory_id)
        } else {
            (-1, ottla_protocol::Uuid::ZERO)
        };
        self.quorum = QuorumState {
            leader_id,
            leader_epoch: epoch,
            voted_id,
            voted_directory_id,
        };
        out.push(Output::Persist(self.quorum));
        self.role = if leader_id < 0 {
            Role::Unattached
        } else {
            Role::Follower { leader_id }
        };
        if let Role::Follower { leader_id } = self.role {
            out.push(Output::BecameFollower { leader_id, epoch });
        }
    }
}
