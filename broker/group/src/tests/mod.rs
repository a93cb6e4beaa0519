//! The coordinator as a script: request lines in, replies and records out. `Script::run` plays the shell: it appends, and commits at
//! once unless told to `hold`. Member ids are shown as `client#n`, where n counts the requests.

mod fixture;
mod joining;
mod loading;
mod offsets;
mod showing;
mod static_members;
mod syncing;

use crate::*;
use bytes::Bytes;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Wall clock = monotonic clock + this.
const EPOCH_MS: i64 = 1_000_000;

pub(crate) struct Script {
    pub(crate) coordinator: Coordinator,
    pub(crate) log: Vec<Record>,
    config: GroupConfig,
    now_ms: i64,
    requests: u64,
    hold: bool,
    fail_next: Option<ErrorCode>,
    transcript: String,
}

/// Plays a script on a fresh, started coordinator and gives the transcript.
pub(crate) fn play(script: &str) -> String {
    let mut player = Script::new(GroupConfig::default());
    player.run(script);
    player.transcript
}

pub(crate) fn play_with(config: GroupConfig, script: &str) -> String {
    let mut player = Script::new(config);
    player.run(script);
    player.transcript
}

/// `word key=value …`: the plain words and the pairs of a line.
struct Line<'a> {
    words: Vec<&'a str>,
    pairs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Line<'a> {
        let (mut words, mut pairs) = (Vec::new(), BTreeMap::new());
        for part in line.split_whitespace() {
            match part.split_once('=') {
                Some((key, value)) => {
                    pairs.insert(key, value);
                }
                None => words.push(part),
            }
        }
        Line { words, pairs }
    }

    fn text(&self, key: &str) -> Option<Str> {
        self.pairs.get(key).map(|value| expand(value))
    }

    fn number(&self, key: &str, default: i64) -> i64 {
        self.pairs
            .get(key)
            .map_or(default, |value| value.parse().unwrap())
    }

    fn group(&self) -> Str {
        self.text("group").unwrap_or_else(|| "g".into())
    }

    fn version(&self, default: i16) -> i16 {
        self.number("v", i64::from(default)) as i16
    }

    /// `topic-0=5`-like pairs, by topic.
    fn partitions(&self) -> BTreeMap<&'a str, Vec<(i32, &'a str)>> {
        let mut topics: BTreeMap<&str, Vec<(i32, &str)>> = BTreeMap::new();
        let words = self.words.iter().map(|word| (*word, ""));
        for (key, value) in self
            .pairs
            .iter()
            .map(|(key, value)| (*key, *value))
            .chain(words)
        {
            if let Some((topic, partition)) = key.rsplit_once('-')
                && let Ok(partition) = partition.parse()
            {
                topics.entry(topic).or_default().push((partition, value));
            }
        }
        topics
    }
}

/// `client#3` is the member id that request 3 was given.
fn expand(text: &str) -> Str {
    match text.split_once('#') {
        Some((client, number)) => Str::from(format!(
            "{client}-00000000-0000-4000-8000-{:012x}",
            number.parse::<u64>().unwrap()
        )),
        None => Str::from(text),
    }
}

fn shorten(text: &str) -> String {
    match text.split_once("-00000000-0000-4000-8000-") {
        Some((client, number)) => format!("{client}#{}", u64::from_str_radix(number, 16).unwrap()),
        None => text.to_owned(),
    }
}

fn text(bytes: &Bytes) -> String {
    bytes
        .iter()
        .map(|byte| {
            if byte.is_ascii_graphic() {
                *byte as char
            } else {
                '.'
            }
        })
        .collect()
}

impl Script {
    pub(crate) fn new(config: GroupConfig) -> Script {
        let mut coordinator = Coordinator::new(config.clone());
        coordinator.start(now(0), &mut Vec::new());
        Script {
            coordinator,
            log: Vec::new(),
            config,
            now_ms: 0,
            requests: 0,
            hold: false,
            fail_next: None,
            transcript: String::new(),
        }
    }

    pub(crate) fn run(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            if line.starts_with('#') {
                writeln!(self.transcript, "{line}").unwrap();
                continue;
            }
            let parsed = Line::parse(line);
            match parsed.words[0] {
                "advance" => {
                    writeln!(self.transcript, "{line}").unwrap();
                    self.advance(parsed.words[1].parse().unwrap());
                }
                "hold" => self.hold = true,
                "release" => {
                    writeln!(self.transcript, "release").unwrap();
                    self.hold = false;
                    self.commit();
                }
                "fail-next" => self.fail_next = Some(ErrorCode::NOT_ENOUGH_REPLICAS),
                "reload" => {
                    writeln!(self.transcript, "reload").unwrap();
                    self.reload();
                }
                "resign" => {
                    writeln!(self.transcript, "resign").unwrap();
                    let coordinator = std::mem::take(&mut self.coordinator);
                    let replies = coordinator.resign(now(self.now_ms));
                    replies.iter().for_each(|reply| self.show_reply(reply));
                }
                "topic-gone" => {
                    writeln!(self.transcript, "{line}").unwrap();
                    let gone = DeletedTopic {
                        name: parsed.words[1].into(),
                        id: topic_id(&parsed),
                    };
                    let mut out = Vec::new();
                    self.coordinator
                        .topics_deleted(&[gone], now(self.now_ms), &mut out);
                    self.carry_out(out);
                }
                verb => {
                    self.requests += 1;
                    writeln!(self.transcript, "{} {line}", self.requests).unwrap();
                    let (version, request) = request(verb, &parsed);
                    self.call(
                        version,
                        parsed.words.get(1).copied().unwrap_or("nobody"),
                        request,
                    );
                }
            }
        }
    }

    fn call(&mut self, version: i16, client: &str, request: Request) {
        let call = Call {
            ticket: Ticket(self.requests),
            version,
            client_id: client.into(),
            client_host: "/h".into(),
            random: u128::from(self.requests),
        };
        let mut out = Vec::new();
        self.coordinator
            .handle(&call, request, now(self.now_ms), &mut out);
        self.carry_out(out);
    }

    fn advance(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(deadline_ms) = self
            .coordinator
            .next_deadline()
            .filter(|deadline_ms| *deadline_ms <= end_ms)
        {
            assert!(deadline_ms >= self.now_ms, "a deadline in the past");
            self.now_ms = deadline_ms;
            let mut out = Vec::new();
            self.coordinator.on_deadline(now(self.now_ms), &mut out);
            if !out.is_empty() {
                writeln!(self.transcript, "  at {}", self.now_ms).unwrap();
            }
            self.carry_out(out);
        }
        self.now_ms = end_ms;
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Reply(reply) => self.show_reply(&reply),
                Output::Append { id, records } => match self.fail_next.take() {
                    Some(error) => {
                        writeln!(self.transcript, "  append fails").unwrap();
                        let mut out = Vec::new();
                        self.coordinator
                            .append_failed(id, error, now(self.now_ms), &mut out);
                        self.carry_out(out);
                    }
                    None => {
                        let base_offset = self.log.len() as i64;
                        records.iter().for_each(|record| {
                            writeln!(self.transcript, "  + {}", show_record(record)).unwrap()
                        });
                        self.log.extend(records);
                        self.coordinator.appended(id, base_offset);
                    }
                },
            }
        }
        if !self.hold {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let mut out = Vec::new();
        self.coordinator
            .committed(self.log.len() as i64, now(self.now_ms), &mut out);
        if !out.is_empty() {
            self.carry_out(out);
        }
    }

    /// A new coordinator from the log alone.
    fn reload(&mut self) {
        let mut coordinator = Coordinator::new(self.config.clone());
        for (offset, record) in self.log.iter().enumerate() {
            coordinator
                .replay(offset as i64, None, &record.key, record.value.as_ref())
                .unwrap();
        }
        let mut out = Vec::new();
        coordinator.start(now(self.now_ms), &mut out);
        self.coordinator = coordinator;
        self.carry_out(out);
    }

    fn show_reply(&mut self, reply: &Reply) {
        writeln!(
            self.transcript,
            "  {} -> {}",
            reply.ticket.0,
            show_response(&reply.response)
        )
        .unwrap();
    }
}

pub(crate) fn now(ms: i64) -> Now {
    Now {
        monotonic_ms: ms,
        wall_ms: EPOCH_MS + ms,
    }
}

fn topic_id(line: &Line<'_>) -> Uuid {
    match line.number("topic-id", 0) {
        0 => Uuid::ZERO,
        bits => Uuid::from_random_bits(bits as u128),
    }
}

fn request(verb: &str, line: &Line<'_>) -> (i16, Request) {
    let member = line.text("id").unwrap_or_default();
    let instance = line.text("instance");
    let generation = line.number("gen", -1) as i32;
    match verb {
        "join" => {
            let offered = line.pairs.get("protocols").copied().unwrap_or("range:m");
            let protocols = offered.split(',').filter(|one| !one.is_empty()).map(|one| {
                let (name, metadata) = one.split_once(':').unwrap_or((one, ""));
                let metadata = if let Some(topics) = metadata.strip_prefix('@') {
                    subscription(topics)
                } else {
                    metadata.as_bytes().to_vec()
                };
                JoinGroupRequestProtocol {
                    name: name.into(),
                    metadata: metadata.into(),
                    ..Default::default()
                }
            });
            let request = JoinGroupRequest {
                group_id: line.group(),
                session_timeout_ms: line.number("session", 10_000) as i32,
                rebalance_timeout_ms: line.number("rebalance", 60_000) as i32,
                member_id: member,
                group_instance_id: instance,
                protocol_type: line.text("type").unwrap_or_else(|| "consumer".into()),
                protocols: protocols.collect(),
                ..Default::default()
            };
            (line.version(9), Request::Join(request))
        }
        "sync" => {
            let assignments = line
                .pairs
                .get("assign")
                .copied()
                .unwrap_or("")
                .split(',')
                .filter(|one| !one.is_empty())
                .map(|one| {
                    let (member, assignment) = one.split_once(':').unwrap();
                    SyncGroupRequestAssignment {
                        member_id: expand(member),
                        assignment: assignment.to_owned().into(),
                        ..Default::default()
                    }
                });
            let request = SyncGroupRequest {
                group_id: line.group(),
                generation_id: generation,
                member_id: member,
                group_instance_id: instance,
                protocol_type: line.text("type"),
                protocol_name: line.text("protocol"),
                assignments: assignments.collect(),
                ..Default::default()
            };
            (line.version(5), Request::Sync(request))
        }
        "heartbeat" => {
            let request = HeartbeatRequest {
                group_id: line.group(),
                generation_id: generation,
                member_id: member,
                group_instance_id: instance,
                ..Default::default()
            };
            (line.version(4), Request::Heartbeat(request))
        }
        "leave" => {
            let members = line
                .pairs
                .get("members")
                .copied()
                .unwrap_or("")
                .split(',')
                .filter(|one| !one.is_empty())
                .map(|one| {
                    let (member, instance) = one
                        .split_once('/')
                        .map_or((one, None), |(member, instance)| (member, Some(instance)));
                    MemberIdentity {
                        member_id: expand(member),
                        group_instance_id: instance.map(Str::from),
                        ..Default::default()
                    }
                });
            let request = LeaveGroupRequest {
                group_id: line.group(),
                member_id: member,
                members: members.collect(),
                ..Default::default()
            };
            (line.version(5), Request::Leave(request))
        }
        "commit" => {
            let topics =
                line.partitions()
                    .into_iter()
                    .map(|(name, partitions)| OffsetCommitRequestTopic {
                        name: name.into(),
                        topic_id: topic_id(line),
                        partitions: partitions
                            .into_iter()
                            .map(|(partition_index, value)| {
                                let (offset, metadata) = value
                                    .split_once('/')
                                    .map_or((value, None), |(offset, metadata)| {
                                        (offset, Some(metadata))
                                    });
                                OffsetCommitRequestPartition {
                                    partition_index,
                                    committed_offset: offset.parse().unwrap(),
                                    committed_leader_epoch: 3,
                                    committed_metadata: metadata.map(Str::from),
                                    ..Default::default()
                                }
                            })
                            .collect(),
                        ..Default::default()
                    });
            let request = OffsetCommitRequest {
                group_id: line.group(),
                generation_id_or_member_epoch: generation,
                member_id: member,
                group_instance_id: instance,
                retention_time_ms: line.number("retention", -1),
                topics: topics.collect(),
                ..Default::default()
            };
            (line.version(10), Request::OffsetCommit(request))
        }
        "fetch" => {
            let topics =
                line.partitions()
                    .into_iter()
                    .map(|(name, partitions)| OffsetFetchRequestTopics {
                        name: name.into(),
                        topic_id: topic_id(line),
                        partition_indexes: partitions
                            .into_iter()
                            .map(|(partition, _)| partition)
                            .collect(),
                        ..Default::default()
                    });
            let topics = if line.words.contains(&"all") {
                None
            } else {
                Some(topics.collect())
            };
            let group = OffsetFetchRequestGroup {
                group_id: line.group(),
                topics,
                ..Default::default()
            };
            (
                line.version(10),
                Request::OffsetFetch {
                    group,
                    require_stable: line.words.contains(&"stable"),
                },
            )
        }
        "delete-offsets" => {
            let topics =
                line.partitions()
                    .into_iter()
                    .map(|(name, partitions)| OffsetDeleteRequestTopic {
                        name: name.into(),
                        partitions: partitions
                            .into_iter()
                            .map(|(partition_index, _)| OffsetDeleteRequestPartition {
                                partition_index,
                            })
                            .collect(),
                    });
            let request = OffsetDeleteRequest {
                group_id: line.group(),
                topics: topics.collect(),
            };
            (0, Request::OffsetDelete(request))
        }
        "describe" => (line.version(6), Request::Describe(line.group())),
        "delete" => (2, Request::DeleteGroup(line.group())),
        "list" => {
            let names = |key| {
                line.pairs
                    .get(key)
                    .map(|names| names.split(',').map(Str::from).collect())
                    .unwrap_or_default()
            };
            (
                5,
                Request::List(ListFilter {
                    states: names("states"),
                    types: names("types"),
                }),
            )
        }
        other => panic!("no such verb: {other}"),
    }
}

/// A consumer's subscription to topics `a+b`.
pub(crate) fn subscription(topics: &str) -> Vec<u8> {
    let topics: Vec<&str> = topics.split('+').collect();
    let mut bytes = vec![0, 1];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.extend(0i32.to_be_bytes());
    bytes
}

fn show_record(record: &Record) -> String {
    use crate::record::{Entry, decode};
    match decode(&record.key, record.value.as_ref()).unwrap() {
        Entry::Offset(key, None) => {
            format!("offset {}/{}-{} gone", key.group, key.topic, key.partition)
        }
        Entry::Offset(key, Some(value)) => {
            let mut line = format!(
                "offset {}/{}-{} = {}",
                key.group, key.topic, key.partition, value.offset
            );
            if !value.metadata.is_empty() {
                write!(line, " {:?}", &*value.metadata).unwrap();
            }
            write!(line, " at {}", value.commit_timestamp - EPOCH_MS).unwrap();
            if value.expire_timestamp != -1 {
                write!(line, " expires {}", value.expire_timestamp - EPOCH_MS).unwrap();
            }
            line
        }
        Entry::Group(group, None) => format!("group {group} gone"),
        Entry::Group(group, Some(value)) => {
            let members = value.members.iter().map(|member| {
                format!(
                    "{}={}",
                    shorten(&member.member_id),
                    text(&member.assignment)
                )
            });
            format!(
                "group {group} gen={} protocol={} leader={} [{}]",
                value.generation,
                value.protocol.as_deref().unwrap_or("-"),
                shorten(value.leader.as_deref().unwrap_or("-")),
                members.collect::<Vec<_>>().join(" "),
            )
        }
        Entry::Other(record_type) => format!("type {record_type}"),
    }
}

fn show_response(response: &Response) -> String {
    match response {
        Response::Join(join) if join.error_code != ErrorCode::NONE => {
            format!("join {} me={}", join.error_code, shorten(&join.member_id))
        }
        Response::Join(join) => {
            let members = join
                .members
                .iter()
                .map(|member| format!("{}={}", shorten(&member.member_id), text(&member.metadata)));
            format!(
                "joined gen={} {} leader={} me={} [{}]{}",
                join.generation_id,
                join.protocol_name.as_deref().unwrap_or("-"),
                shorten(&join.leader),
                shorten(&join.member_id),
                members.collect::<Vec<_>>().join(" "),
                if join.skip_assignment { " skip" } else { "" },
            )
        }
        Response::Sync(sync) => {
            format!("sync {} {}", sync.error_code, text(&sync.assignment))
        }
        Response::Heartbeat(heartbeat) => format!("heartbeat {}", heartbeat.error_code),
        Response::Leave(leave) => {
            let members = leave.members.iter().map(|member| {
                let instance = member
                    .group_instance_id
                    .as_ref()
                    .map(|instance| format!("/{instance}"))
                    .unwrap_or_default();
                format!(
                    " {}{instance}={}",
                    shorten(&member.member_id),
                    member.error_code
                )
            });
            format!("leave {}{}", leave.error_code, members.collect::<String>())
        }
        Response::OffsetCommit(commit) => {
            let partitions = commit.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| {
                    format!(
                        " {}-{}={}",
                        topic.name, partition.partition_index, partition.error_code
                    )
                })
            });
            format!("commit{}", partitions.collect::<String>())
        }
        Response::OffsetFetch(fetch) => {
            let partitions = fetch.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| {
                    let metadata = partition
                        .metadata
                        .as_deref()
                        .filter(|metadata| !metadata.is_empty());
                    let metadata = metadata
                        .map(|metadata| format!("/{metadata}"))
                        .unwrap_or_default();
                    let error = if partition.error_code == ErrorCode::NONE {
                        String::new()
                    } else {
                        format!(" {}", partition.error_code)
                    };
                    format!(
                        " {}-{}={}{metadata}{error}",
                        topic.name, partition.partition_index, partition.committed_offset
                    )
                })
            });
            format!(
                "fetch {}{}",
                fetch.error_code,
                partitions.collect::<String>()
            )
        }
        Response::OffsetDelete(delete) => {
            let partitions = delete.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| {
                    format!(
                        " {}-{}={}",
                        topic.name, partition.partition_index, partition.error_code
                    )
                })
            });
            format!(
                "delete-offsets {}{}",
                delete.error_code,
                partitions.collect::<String>()
            )
        }
        Response::Describe(group) => {
            let members = group.members.iter().map(|member| {
                format!(
                    " {}({}{})={}/{}",
                    shorten(&member.member_id),
                    member.client_id,
                    member.client_host,
                    text(&member.member_metadata),
                    text(&member.member_assignment)
                )
            });
            format!(
                "{} {} {} type={:?} protocol={:?}{}",
                group.group_id,
                group.error_code,
                group.group_state,
                &*group.protocol_type,
                &*group.protocol_data,
                members.collect::<String>()
            )
        }
        Response::DeleteGroup(delete) => format!("delete {}", delete.error_code),
        Response::List(Ok(groups)) => {
            let groups = groups.iter().map(|group| {
                format!(
                    " {}({}, {}, {})",
                    group.group_id, group.group_state, group.group_type, group.protocol_type
                )
            });
            format!("list{}", groups.collect::<String>())
        }
        Response::List(Err(error)) => format!("list {}", error),
    }
}
