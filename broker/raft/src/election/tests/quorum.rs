//! Replicas with logs in memory, a network that can be cut, and one clock. It plays the shell: it carries
//! out outputs, flushes, and moves records from leaders to followers as Fetch does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use ottla_protocol::Uuid;

use crate::*;

pub(super) struct Quorum {
    nodes: BTreeMap<i32, Node>,
    network: VecDeque<Message>,
    cut: BTreeSet<i32>,
    now: i64,
    random: u64,
    quiet: bool,
    pub(super) trace: String,
    /// Who led which epoch.
    leaders: BTreeMap<i32, i32>,
    /// The records that were committed anywhere, by offset.
    committed: BTreeMap<usize, Record>,
    next_value: u64,
}

/// A record is told from others by its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    epoch: i32,
    value: u64,
}

struct Node {
    /// `None` while it is down.
    raft: Option<Raft>,
    state: QuorumState,
    log: Vec<Record>,
    flushed: usize,
}

enum Message {
    Request {
        from: i32,
        to: i32,
        token: Token,
        request: PeerRequest,
    },
    Response {
        to: i32,
        token: Token,
        response: PeerResponse,
    },
}

fn key(id: i32) -> ReplicaKey {
    ReplicaKey {
        id,
        directory_id: Uuid([id as u8; 16]),
    }
}

fn endpoint(id: i32) -> VoterEndpoint {
    VoterEndpoint {
        name: "CONTROLLER".into(),
        host: format!("node{id}").into(),
        port: 9093,
    }
}

impl Quorum {
    pub(super) fn new(size: i32, seed: u64) -> Self {
        let node = || Node {
            raft: None,
            state: QuorumState::default(),
            log: Vec::new(),
            flushed: 0,
        };
        Self {
            nodes: (1..=size).map(|id| (id, node())).collect(),
            network: VecDeque::new(),
            cut: BTreeSet::new(),
            now: 0,
            random: seed,
            quiet: false,
            trace: String::new(),
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            next_value: 0,
        }
    }

    pub(super) fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.quiet = words[0] == "quiet";
        let words = if self.quiet { &words[1..] } else { &words[..] };
        self.say(format!("> {line}"));
        let id = |at: usize| words[at].parse::<i32>().unwrap();
        match words[0] {
            "start" => (1..words.len()).for_each(|at| self.start(id(at))),
            "crash" => self.crash(id(1)),
            "cut" => drop(self.cut.insert(id(1))),
            "heal" => drop(self.cut.remove(&id(1))),
            "pass" => self.pass(words[1].parse().unwrap()),
            "timeout" => self.timeout(id(1)),
            "deliver" => self.deliver_all(),
            "fetch" => self.fetch(id(1)),
            "append" => self.append(id(1), id(2)),
            "resign" => self.peer(id(1), PeerInput::Resign),
            "lead" => {
                (1..=self.nodes.len() as i32).for_each(|id| self.start(id));
                self.timeout(id(1));
                self.deliver_all();
                self.settle();
            }
            "settle" => self.settle(),
            "vote" => self.vote(words),
            "show" => self.show(),
            other => panic!("unknown command {other}"),
        }
        self.check();
    }

    fn say(&mut self, line: String) {
        if !self.quiet {
            self.trace.push_str(&line);
            self.trace.push('\n');
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: self.now,
            wall_ms: self.now,
        }
    }

    fn start(&mut self, id: i32) {
        let voters = VoterSet::new(self.nodes.keys().map(|id| {
            let voter = Voter {
                directory_id: key(*id).directory_id,
                endpoints: vec![endpoint(*id)],
                kraft_version_min: 0,
                kraft_version_max: 1,
            };
            (*id, voter)
        }));
        let seed = self.random ^ (id as u64) << 32 ^ self.now as u64;
        let config = RaftConfig {
            me: key(id),
            may_lead: true,
        };
        let elections = ElectionConfig::new(
            "cluster".into(),
            "CONTROLLER".into(),
            vec![endpoint(id)],
            seed,
        );
        let node = &self.nodes[&id];
        let mut epochs = Epochs::default();
        for (offset, record) in node.log.iter().enumerate() {
            epochs.assign(record.epoch, offset as i64);
        }
        let end = node.log.len() as i64;
        let log = LogBounds {
            start: 0,
            end,
            flushed: end,
            epochs,
            snapshot: None,
            oldest_snapshot: None,
        };
        let (now, mut out) = (self.now(), Vec::new());
        let raft = Raft::start_voter(
            config, elections, node.state, voters, true, log, now, &mut out,
        )
        .unwrap();
        self.nodes.get_mut(&id).unwrap().raft = Some(raft);
        self.carry_out(id, out);
    }

    /// What was not flushed is gone.
    fn crash(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.raft = None;
        node.log.truncate(node.flushed);
    }

    fn alive(&self) -> Vec<i32> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.raft.is_some())
            .map(|(id, _)| *id)
            .collect()
    }

    fn raft(&self, id: i32) -> Option<&Raft> {
        self.nodes[&id].raft.as_ref()
    }

    fn peer(&mut self, id: i32, input: PeerInput) {
        let (now, mut out) = (self.now(), Vec::new());
        if let Some(raft) = &mut self.nodes.get_mut(&id).unwrap().raft {
            raft.peer(input, now, &mut out);
        }
        self.carry_out(id, out);
    }

    fn step(&mut self, id: i32, input: Input) {
        let mut out = Vec::new();
        if let Some(raft) = &mut self.nodes.get_mut(&id).unwrap().raft {
            raft.step(input, &mut out);
        }
        self.carry_out(id, out.into_iter().map(PeerOutput::Do).collect());
    }

    fn carry_out(&mut self, id: i32, outputs: Vec<PeerOutput>) {
        for output in outputs {
            match output {
                PeerOutput::Do(Output::Persist(state)) => {
                    let node = self.nodes.get_mut(&id).unwrap();
                    assert!(
                        state.leader_epoch >= node.state.leader_epoch,
                        "the epoch never falls"
                    );
                    let voted_again = state.leader_epoch == node.state.leader_epoch
                        && node.state.voted_id >= 0
                        && state.voted_id != node.state.voted_id;
                    assert!(!voted_again, "one vote per epoch");
                    node.state = state;
                    self.say(format!(
                        "  {id} persists epoch {} leader {} vote {}",
                        state.leader_epoch, state.leader_id, state.voted_id
                    ));
                }
                PeerOutput::Do(Output::BecameLeader { epoch, .. }) => {
                    let former = self.leaders.insert(epoch, id);
                    assert!(
                        former.is_none_or(|former| former == id),
                        "epoch {epoch} has leaders {former:?} and {id}"
                    );
                    self.say(format!("  {id} leads epoch {epoch}"));
                    self.append(id, 1);
                }
                PeerOutput::Do(Output::BecameFollower { leader_id, epoch }) => {
                    self.say(format!("  {id} follows {leader_id} in epoch {epoch}"))
                }
                PeerOutput::Do(Output::Committed(end)) => {
                    self.say(format!("  {id} commits {end}"));
                    self.note_committed(id, end as usize);
                }
                PeerOutput::SteppedDown { epoch } => {
                    self.say(format!("  {id} leads no longer, epoch {epoch}"))
                }
                PeerOutput::Send { token, to, request } => {
                    let line = format!("  {id} asks {to}: {}", shown(&request));
                    self.say(line);
                    self.network.push_back(Message::Request {
                        from: id,
                        to,
                        token,
                        request,
                    });
                }
                PeerOutput::Reply { .. } => {
                    unreachable!("replies are taken where requests are delivered")
                }
                PeerOutput::Conflict {
                    epoch,
                    known,
                    claimed,
                } => panic!("{id} hears of leaders {known} and {claimed} of epoch {epoch}"),
            }
        }
    }

    fn note_committed(&mut self, id: i32, end: usize) {
        let log = &self.nodes[&id].log;
        for (offset, record) in log.iter().enumerate().take(end) {
            let known = self.committed.entry(offset).or_insert(*record);
            assert_eq!(
                known, record,
                "node {id} commits another record at {offset}"
            );
        }
    }

    fn append(&mut self, id: i32, count: i32) {
        for _ in 0..count {
            let Some(epoch) = self
                .raft(id)
                .filter(|raft| raft.role() == Role::Leader)
                .map(Raft::epoch)
            else {
                return;
            };
            self.next_value += 1;
            let record = Record {
                epoch,
                value: self.next_value,
            };
            let node = self.nodes.get_mut(&id).unwrap();
            node.log.push(record);
            let end = node.log.len() as i64;
            self.step(
                id,
                Input::Appended {
                    epoch,
                    start: end - 1,
                    end,
                },
            );
        }
        self.flush(id);
    }

    fn flush(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.flushed = node.log.len();
        let end = node.flushed as i64;
        self.step(id, Input::Flushed(end));
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        for id in self.alive() {
            self.peer(id, PeerInput::Tick);
        }
    }

    /// Time goes on until a timeout changes the node's role; the others fetch from their leader as ever.
    fn timeout(&mut self, id: i32) {
        let role = self.raft(id).map(Raft::role);
        for _ in 0..1000 {
            let Some(at) = self
                .raft(id)
                .and_then(|raft| raft.next_deadline(self.now()))
            else {
                return;
            };
            self.now = at.min(self.now + 50);
            let was_quiet = std::mem::replace(&mut self.quiet, true);
            for other in self.alive() {
                let follows = matches!(
                    self.raft(other).map(Raft::role),
                    Some(Role::Follower { .. })
                );
                if other != id && follows {
                    self.fetch(other);
                }
            }
            self.quiet = was_quiet;
            if self.now >= at {
                self.peer(id, PeerInput::Tick);
            }
            if self.raft(id).map(Raft::role) != role {
                return;
            }
        }
    }

    fn deliver_all(&mut self) {
        // Elections answer each other; a fixed bound shows a quorum that never comes to rest.
        for _ in 0..500 {
            let Some(message) = self.network.pop_front() else {
                return;
            };
            self.deliver(message);
        }
        panic!("the network never comes to rest");
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Request {
                from,
                to,
                token,
                request,
            } => {
                let reachable =
                    !self.cut.contains(&from) && !self.cut.contains(&to) && self.raft(to).is_some();
                if !reachable {
                    return self.peer(from, PeerInput::Failed { token });
                }
                if let Some(response) = self.ask(to, request) {
                    self.network.push_back(Message::Response {
                        to: from,
                        token,
                        response,
                    });
                }
            }
            Message::Response {
                to,
                token,
                response,
            } => {
                let input = if self.cut.contains(&to) {
                    PeerInput::Failed { token }
                } else {
                    PeerInput::Response { token, response }
                };
                self.peer(to, input);
            }
        }
    }

    /// The answer of a node to a request.
    fn ask(&mut self, to: i32, request: PeerRequest) -> Option<PeerResponse> {
        let (now, mut out) = (self.now(), Vec::new());
        let raft = self.nodes.get_mut(&to).unwrap().raft.as_mut()?;
        raft.peer(
            PeerInput::Request {
                token: 0,
                version: 2,
                listener: "CONTROLLER".into(),
                request,
            },
            now,
            &mut out,
        );
        let mut answer = None;
        let mut rest = Vec::new();
        for output in out {
            match output {
                PeerOutput::Reply { response, .. } => answer = Some(response),
                // What must be on disk before the answer stands before it.
                PeerOutput::Do(Output::Persist(_)) => {
                    assert!(answer.is_none(), "persisted before it is answered");
                    rest.push(output);
                }
                _ => rest.push(output),
            }
        }
        self.carry_out(to, rest);
        let line = format!(
            "  {to} answers: {}",
            answer.as_ref().map_or_else(String::new, shown_answer)
        );
        self.say(line);
        answer
    }

    /// One fetch of a follower, answered at once.
    fn fetch(&mut self, id: i32) {
        let Some(raft) = self.raft(id) else { return };
        let Role::Follower { leader_id } = raft.role() else {
            // Asks somebody who leads.
            return self.discover(id);
        };
        let reachable = !self.cut.contains(&id) && !self.cut.contains(&leader_id);
        let claim = raft.fetch_claim();
        let Some(leader) = self.raft(leader_id).filter(|_| reachable) else {
            return;
        };
        let verdict = leader.judge_fetch(claim);
        let (heard_leader, heard_epoch, high_watermark) =
            (leader.leader_id(), leader.epoch(), leader.high_watermark());
        match verdict {
            FetchVerdict::Serve => {
                self.say(format!(
                    "  {id} fetches from {} epoch {}",
                    claim.fetch_offset, claim.last_fetched_epoch
                ));
                self.peer(
                    leader_id,
                    PeerInput::Fetched {
                        replica: key(id),
                        offset: claim.fetch_offset,
                    },
                );
                let records: Vec<Record> =
                    self.nodes[&leader_id].log[claim.fetch_offset as usize..].to_vec();
                for record in records {
                    let node = self.nodes.get_mut(&id).unwrap();
                    node.log.push(record);
                    let end = node.log.len() as i64;
                    self.step(
                        id,
                        Input::Appended {
                            epoch: record.epoch,
                            start: end - 1,
                            end,
                        },
                    );
                }
                self.flush(id);
                self.step(id, Input::HighWatermarkHeard(high_watermark));
                self.peer(id, PeerInput::LeaderAnswered);
            }
            FetchVerdict::Diverging { epoch, end_offset } => {
                let to = self
                    .raft(id)
                    .map_or(0, |raft| raft.truncation_for(epoch, end_offset));
                self.say(format!("  {id} truncates to {to}"));
                let node = self.nodes.get_mut(&id).unwrap();
                node.log.truncate(to as usize);
                node.flushed = node.flushed.min(to as usize);
                self.step(id, Input::Truncated(to));
                self.peer(id, PeerInput::LeaderAnswered);
            }
            FetchVerdict::Refuse(_) => {
                self.peer(
                    id,
                    PeerInput::LeaderHeard {
                        leader_id: heard_leader,
                        epoch: heard_epoch,
                        endpoints: Vec::new(),
                    },
                );
            }
            FetchVerdict::Snapshot(_) => unreachable!("these logs are never cleaned"),
        }
    }

    fn discover(&mut self, id: i32) {
        if self.cut.contains(&id) {
            return;
        }
        let others: Vec<i32> = self
            .alive()
            .into_iter()
            .filter(|other| *other != id && !self.cut.contains(other))
            .collect();
        let Some(other) = others.get(self.below(others.len().max(1))) else {
            return;
        };
        let Some(heard) = self.raft(*other) else {
            return;
        };
        let (leader_id, epoch) = (heard.leader_id(), heard.epoch());
        self.peer(
            id,
            PeerInput::LeaderHeard {
                leader_id,
                epoch,
                endpoints: Vec::new(),
            },
        );
    }

    /// Everybody fetches until nothing changes.
    fn settle(&mut self) {
        for _ in 0..6 {
            self.deliver_all();
            for id in self.alive() {
                self.fetch(id);
            }
        }
    }

    fn vote(&mut self, words: &[&str]) {
        let value = |name: &str| {
            words
                .iter()
                .position(|word| *word == name)
                .map(|at| words[at + 1])
        };
        let number =
            |name: &str, default: i32| value(name).map_or(default, |value| value.parse().unwrap());
        let to: i32 = words[1].parse().unwrap();
        let candidate = number("for", 0);
        let voter = ReplicaKey {
            id: number("voter", to),
            directory_id: Uuid([number("disk", to) as u8; 16]),
        };
        let ballot = crate::peer::Ballot {
            candidate: key(candidate),
            epoch: number("epoch", 0),
            last_epoch: number("last", 0),
            end_offset: 0,
            is_pre_vote: false,
        };
        let request =
            crate::peer::vote_request(&value("cluster").unwrap_or("cluster").into(), voter, ballot);
        self.ask(to, request);
    }

    fn show(&mut self) {
        let mut lines = String::new();
        for (id, node) in &self.nodes {
            let epochs: Vec<i32> = node.log.iter().map(|record| record.epoch).collect();
            match &node.raft {
                Some(raft) => writeln!(
                    lines,
                    "  {id} {:?} epoch {} committed {} log {epochs:?}",
                    raft.role(),
                    raft.epoch(),
                    raft.high_watermark()
                )
                .unwrap(),
                None => writeln!(lines, "  {id} down, log {epochs:?}").unwrap(),
            }
        }
        self.say(lines.trim_end().to_owned());
    }

    fn below(&mut self, end: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % end.max(1)
    }

    /// What must hold after every step: committed records are on a majority of disks, and nobody who
    /// commits has others there.
    fn check(&self) {
        for (id, node) in &self.nodes {
            let Some(raft) = &node.raft else { continue };
            for offset in 0..raft.high_watermark() as usize {
                assert_eq!(
                    Some(&node.log[offset]),
                    self.committed.get(&offset),
                    "node {id} at {offset}"
                );
            }
        }
        for (offset, record) in &self.committed {
            let holders = self
                .nodes
                .values()
                .filter(|node| node.log.get(*offset) == Some(record))
                .count();
            assert!(
                holders > self.nodes.len() / 2,
                "committed record at {offset} is on {holders} nodes"
            );
        }
    }

    /// Faults by seed.
    pub(super) fn torment(&mut self, steps: usize) {
        self.quiet = true;
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        ids.iter().for_each(|id| self.start(*id));
        for _ in 0..steps {
            let id = ids[self.below(ids.len())];
            match self.below(20) {
                0 if self.alive().len() > 1 => self.crash(id),
                1 | 2 if self.raft(id).is_none() => self.start(id),
                3 => drop(self.cut.insert(id)),
                4 | 5 => drop(self.cut.remove(&id)),
                6 => {
                    // Lost on the way: its sender waits in vain.
                    let at = self.below(self.network.len());
                    self.network.remove(at);
                }
                7..=9 => {
                    let ms = self.below(1500) as i64;
                    self.pass(ms);
                }
                10..=13 => {
                    let at = self.below(self.network.len());
                    if let Some(message) = self.network.remove(at) {
                        self.deliver(message);
                    }
                }
                14 | 15 => self.append(id, 1),
                _ => self.fetch(id),
            }
            self.check();
        }
    }

    /// All is well again: a leader must come up, and everybody must get everything.
    pub(super) fn recover(&mut self) {
        self.cut.clear();
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            if self.raft(id).is_none() {
                self.start(id);
            }
        }
        for _ in 0..100 {
            self.pass(250);
            self.settle();
            self.check();
            let leader = self.alive().into_iter().find(|id| {
                self.raft(*id)
                    .is_some_and(|raft| raft.role() == Role::Leader)
            });
            let Some(leader) = leader else { continue };
            self.append(leader, 1);
            self.settle();
            let log = self.nodes[&leader].log.clone();
            let is_even = self.nodes.values().all(|node| {
                node.log == log
                    && node
                        .raft
                        .as_ref()
                        .is_some_and(|raft| raft.high_watermark() == log.len() as i64)
            });
            if is_even {
                return;
            }
        }
        self.quiet = false;
        self.show();
        panic!("a healed quorum does not come to rest:\n{}", self.trace);
    }
}

fn shown(request: &PeerRequest) -> String {
    match request {
        PeerRequest::Vote(request) => {
            let partition = &request.topics[0].partitions[0];
            let kind = if partition.pre_vote {
                "pre-vote"
            } else {
                "vote"
            };
            format!(
                "{kind} epoch {} log {}/{}",
                partition.replica_epoch, partition.last_offset_epoch, partition.last_offset
            )
        }
        PeerRequest::BeginQuorumEpoch(request) => format!(
            "begin epoch {}",
            request.topics[0].partitions[0].leader_epoch
        ),
        PeerRequest::EndQuorumEpoch(request) => {
            let partition = &request.topics[0].partitions[0];
            format!(
                "end epoch {}, first {:?}",
                partition.leader_epoch, partition.preferred_successors
            )
        }
    }
}

fn shown_answer(response: &PeerResponse) -> String {
    let whole = match response {
        PeerResponse::Vote(response) => response.error_code,
        PeerResponse::BeginQuorumEpoch(response) => response.error_code,
        PeerResponse::EndQuorumEpoch(response) => response.error_code,
    };
    match crate::peer::read_answer(response) {
        None => whole.to_string(),
        Some(answer) => {
            let granted = if answer.is_granted { ", granted" } else { "" };
            format!(
                "{} leader {} epoch {}{granted}",
                answer.error, answer.leader_id, answer.epoch
            )
        }
    }
}
