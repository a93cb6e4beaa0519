//! Script lines to requests.

use crate::{ListFilter, Request};
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
use ottla_protocol::{Str, Uuid};
use std::collections::BTreeMap;

/// `word key=value …`: the plain words and the pairs of a line.
pub(crate) struct Line<'a> {
    pub(crate) words: Vec<&'a str>,
    pairs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    pub(crate) fn parse(line: &'a str) -> Line<'a> {
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

pub(crate) fn topic_id(line: &Line<'_>) -> Uuid {
    match line.number("topic-id", 0) {
        0 => Uuid::ZERO,
        bits => Uuid::from_random_bits(bits as u128),
    }
}

pub(crate) fn request(verb: &str, line: &Line<'_>) -> (i16, Request) {
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
            (line.version(4), Request::Sync(request))
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
