//! Goal: at every edge of the group APIs, Ottla says what Apache Kafka says. Method: one script of raw
//! requests, version by version, runs on a broker; the answers become a transcript in which
//! generated ids have short names. Apache Kafka's transcript is the expectation
//! (`group_edges/transcript.txt`; `UPDATE_EXPECT=1` writes it anew from Apache Kafka).
//! Needs: jvm.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_client::admin::{Admin, NewTopic};
use ottla_client::net::NetRef;
use ottla_client::{ClientConfig, Connection, ConnectionOptions, tcp};
use ottla_e2e::{Cluster, JvmKafka, OttlaBroker};
use ottla_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_protocol::messages::delete_groups_response::DeleteGroupsResponse;
use ottla_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_protocol::messages::describe_groups_response::DescribeGroupsResponse;
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::leave_group_response::LeaveGroupResponse;
use ottla_protocol::messages::list_groups_request::ListGroupsRequest;
use ottla_protocol::messages::list_groups_response::ListGroupsResponse;
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_commit_response::OffsetCommitResponse;
use ottla_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::messages::offset_delete_response::OffsetDeleteResponse;
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use ottla_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{Bytes, ErrorCode, Request, Str, Uuid};

const LIMIT: Duration = Duration::from_secs(30);
const PROPERTIES: &[(&str, &str)] = &[("group.initial.rebalance.delay.ms", "0")];
const TRANSCRIPT: &str = "tests/group_edges/transcript.txt";

#[test]
fn apache_kafka() -> Result<()> {
    check(JvmKafka::new(PROPERTIES)?, true)
}

#[test]
fn ottla() -> Result<()> {
    check(OttlaBroker::new(PROPERTIES)?, false)
}

fn check(mut cluster: impl Cluster, judge: bool) -> Result<()> {
    cluster.start()?;
    let config = ClientConfig::for_servers(&cluster.bootstrap())?;
    let said = tcp::run(|net| script(net, config))??;
    cluster.stop()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TRANSCRIPT);
    if judge && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &said)?;
    }
    let expected = std::fs::read_to_string(&path)?;
    let lines = (1..).zip(expected.lines().zip(said.lines()));
    let differing = lines.filter(|(_, (expected, said))| expected != said);
    let told: Vec<String> = differing
        .map(|(number, (expected, said))| format!("line {number}\n- {expected}\n+ {said}"))
        .collect();
    ensure!(
        told.is_empty(),
        "not as in {TRANSCRIPT}:\n{}",
        told.join("\n")
    );
    ensure!(expected == said, "one transcript is longer than the other");
    Ok(())
}

/// The script's pen: asks, and writes down what was said.
struct Pen {
    connection: Connection,
    written: RefCell<String>,
    /// Generated member ids, in the order of their appearance.
    members: RefCell<Vec<Str>>,
}

impl Pen {
    /// Asks, and writes `what` with the answer as `show` tells it.
    async fn ask<R: Request>(
        &self,
        what: &str,
        version: i16,
        request: R,
        show: impl Fn(&Self, &R::Response) -> String,
    ) -> Result<R::Response> {
        let response = self
            .connection
            .call_at(&request, version, LIMIT)
            .await
            .with_context(|| what.to_owned())?;
        let shown = show(self, &response);
        self.note(&format!("{} v{version} {what}: {shown}", R::KEY));
        Ok(response)
    }

    fn note(&self, line: &str) {
        writeln!(self.written.borrow_mut(), "{line}").expect("a String takes everything");
    }

    /// `m1`, `m2` … for generated ids; others as they are.
    fn member(&self, id: &Str) -> String {
        if id.len() < 36 {
            return format!("{id:?}");
        }
        let mut members = self.members.borrow_mut();
        let at = members
            .iter()
            .position(|known| known == id)
            .unwrap_or_else(|| {
                members.push(id.clone());
                members.len() - 1
            });
        format!("m{}", at + 1)
    }

    async fn join(&self, what: &str, version: i16, request: JoinGroupRequest) -> Result<Str> {
        let joined = self.ask(what, version, request, show_join).await?;
        Ok(joined.member_id)
    }

    async fn sync(&self, what: &str, request: SyncGroupRequest) -> Result<()> {
        self.ask(what, 5, request, |_, response: &SyncGroupResponse| {
            let (kind, name) = (&response.protocol_type, &response.protocol_name);
            format!(
                "{} {kind:?} {name:?} {:?}",
                response.error_code, response.assignment
            )
        })
        .await?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        what: &str,
        group: &str,
        generation_id: i32,
        member_id: &Str,
        instance: Option<&str>,
    ) -> Result<()> {
        let request = HeartbeatRequest {
            group_id: group.into(),
            generation_id,
            member_id: member_id.clone(),
            group_instance_id: instance.map(Str::from),
            ..Default::default()
        };
        self.ask(what, 4, request, |_, response| {
            response.error_code.to_string()
        })
        .await?;
        Ok(())
    }

    async fn commit(&self, what: &str, version: i16, request: OffsetCommitRequest) -> Result<()> {
        self.ask(
            what,
            version,
            request,
            |_, response: &OffsetCommitResponse| {
                let partitions = response.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|one| {
                        format!("{}-{} {}", topic.name, one.partition_index, one.error_code)
                    })
                });
                list(partitions)
            },
        )
        .await?;
        Ok(())
    }

    async fn fetch(&self, what: &str, version: i16, request: OffsetFetchRequest) -> Result<()> {
        self.ask(
            what,
            version,
            request,
            |_, response: &OffsetFetchResponse| show_fetch(response),
        )
        .await?;
        Ok(())
    }

    async fn leave(&self, what: &str, version: i16, request: LeaveGroupRequest) -> Result<()> {
        self.ask(
            what,
            version,
            request,
            |pen, response: &LeaveGroupResponse| {
                let members = response.members.iter().map(|one| {
                    format!(
                        "{} {:?} {}",
                        pen.member(&one.member_id),
                        one.group_instance_id,
                        one.error_code
                    )
                });
                format!("{} {}", response.error_code, list(members))
            },
        )
        .await?;
        Ok(())
    }

    async fn describe(&self, what: &str, version: i16, group: &str) -> Result<()> {
        let request = DescribeGroupsRequest {
            groups: vec![group.into()],
            ..Default::default()
        };
        self.ask(
            what,
            version,
            request,
            |pen, response: &DescribeGroupsResponse| {
                let groups = response.groups.iter().map(|group| {
                    let members = group.members.iter().map(|one| {
                        let (id, instance) = (pen.member(&one.member_id), &one.group_instance_id);
                        let (client, host) = (&one.client_id, &one.client_host);
                        format!(
                            "{id} {instance:?} {client} {host} {:?} {:?}",
                            one.member_metadata, one.member_assignment
                        )
                    });
                    format!(
                        "{} {:?} {} {} {:?} {:?} {} operations {}",
                        group.error_code,
                        group.error_message,
                        group.group_id,
                        group.group_state,
                        group.protocol_type,
                        group.protocol_data,
                        list(members),
                        group.authorized_operations
                    )
                });
                list(groups)
            },
        )
        .await?;
        Ok(())
    }

    async fn list_groups(&self, version: i16, states: &[&str], types: &[&str]) -> Result<()> {
        let names = |names: &[&str]| names.iter().map(|name| Str::from(*name)).collect();
        let request = ListGroupsRequest {
            states_filter: names(states),
            types_filter: names(types),
            ..Default::default()
        };
        let what = format!("{states:?} {types:?}");
        self.ask(
            &what,
            version,
            request,
            |_, response: &ListGroupsResponse| {
                let mut groups: Vec<String> = response
                    .groups
                    .iter()
                    .map(|one| {
                        format!(
                            "{} {:?} {:?} {:?}",
                            one.group_id, one.protocol_type, one.group_state, one.group_type
                        )
                    })
                    .collect();
                groups.sort();
                format!("{} {}", response.error_code, list(groups.into_iter()))
            },
        )
        .await?;
        Ok(())
    }

    async fn delete(&self, what: &str, group: &str) -> Result<()> {
        let request = DeleteGroupsRequest {
            groups_names: vec![group.into()],
            ..Default::default()
        };
        self.ask(what, 2, request, |_, response: &DeleteGroupsResponse| {
            list(
                response
                    .results
                    .iter()
                    .map(|one| format!("{:?} {}", one.group_id, one.error_code)),
            )
        })
        .await?;
        Ok(())
    }

    async fn delete_offsets(
        &self,
        what: &str,
        group: &str,
        partitions: &[(&str, i32)],
    ) -> Result<()> {
        let mut request = OffsetDeleteRequest {
            group_id: group.into(),
            ..Default::default()
        };
        for (topic, partition_index) in partitions {
            request.topics.push(OffsetDeleteRequestTopic {
                name: Str::from(*topic),
                partitions: vec![OffsetDeleteRequestPartition {
                    partition_index: *partition_index,
                }],
            });
        }
        self.ask(what, 0, request, |_, response: &OffsetDeleteResponse| {
            let partitions = response.topics.iter().flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|one| format!("{}-{} {}", topic.name, one.partition_index, one.error_code))
            });
            let mut partitions: Vec<String> = partitions.collect();
            partitions.sort();
            format!("{} {}", response.error_code, list(partitions.into_iter()))
        })
        .await?;
        Ok(())
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn show_join(pen: &Pen, response: &JoinGroupResponse) -> String {
    // The answering order of ids: the member first, so that names follow the script.
    let me = pen.member(&response.member_id);
    let mut members: Vec<String> = response
        .members
        .iter()
        .map(|one| {
            format!(
                "{} {:?} {:?}",
                pen.member(&one.member_id),
                one.group_instance_id,
                one.metadata
            )
        })
        .collect();
    members.sort();
    format!(
        "{} generation {} type {:?} protocol {:?} leader {} me {me} skip {} {}",
        response.error_code,
        response.generation_id,
        response.protocol_type,
        response.protocol_name,
        pen.member(&response.leader),
        response.skip_assignment,
        list(members.into_iter())
    )
}

fn show_fetch(response: &OffsetFetchResponse) -> String {
    fn one(
        topic: &dyn Debug,
        partition: i32,
        offset: i64,
        epoch: i32,
        metadata: &Option<Str>,
        error: ErrorCode,
    ) -> String {
        format!("{topic:?}-{partition} {offset} epoch {epoch} {metadata:?} {error}")
    }
    let mut parts: Vec<String> = Vec::new();
    for topic in &response.topics {
        for p in &topic.partitions {
            parts.push(one(
                &topic.name,
                p.partition_index,
                p.committed_offset,
                p.committed_leader_epoch,
                &p.metadata,
                p.error_code,
            ));
        }
    }
    for group in &response.groups {
        parts.push(format!("group {:?} {}", group.group_id, group.error_code));
        for topic in &group.topics {
            let name = if topic.name.is_empty() {
                "by id".into()
            } else {
                topic.name.clone()
            };
            for p in &topic.partitions {
                parts.push(one(
                    &name,
                    p.partition_index,
                    p.committed_offset,
                    p.committed_leader_epoch,
                    &p.metadata,
                    p.error_code,
                ));
            }
        }
    }
    // Apache Kafka gives them in the order of a hash map.
    parts.sort();
    format!("{} {}", response.error_code, list(parts.into_iter()))
}

/// A join of group `g` as a consumer of nothing in particular.
fn joining(member_id: &Str, protocols: &[(&str, &str)]) -> JoinGroupRequest {
    let protocol = |(name, metadata): &(&str, &str)| JoinGroupRequestProtocol {
        name: Str::from(*name),
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
        ..Default::default()
    };
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member_id.clone(),
        protocol_type: "consumer".into(),
        protocols: protocols.iter().map(protocol).collect(),
        ..Default::default()
    }
}

fn syncing(
    group: &str,
    generation_id: i32,
    member_id: &Str,
    assignments: &[(&Str, &'static str)],
) -> SyncGroupRequest {
    let assignment = |(member_id, assignment): &(&Str, &'static str)| SyncGroupRequestAssignment {
        member_id: (*member_id).clone(),
        assignment: Bytes::from_static(assignment.as_bytes()),
        ..Default::default()
    };
    SyncGroupRequest {
        group_id: group.into(),
        generation_id,
        member_id: member_id.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assignments.iter().map(assignment).collect(),
        ..Default::default()
    }
}

/// A commit of `t-0`.
fn committing(group: &str, generation: i32, member_id: &Str, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.clone(),
        topics: vec![commit_of("t", Uuid::ZERO, 0, offset, Some("note"))],
        ..Default::default()
    }
}

fn commit_of(
    name: &'static str,
    topic_id: Uuid,
    partition_index: i32,
    offset: i64,
    metadata: Option<&str>,
) -> OffsetCommitRequestTopic {
    let partition = OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: metadata.map(Str::from),
        ..Default::default()
    };
    OffsetCommitRequestTopic {
        name: name.into(),
        topic_id,
        partitions: vec![partition],
        ..Default::default()
    }
}

fn fetching(group: &str, topics: Option<&[(&'static str, i32)]>) -> OffsetFetchRequest {
    let topic = |(name, partition): &(&'static str, i32)| OffsetFetchRequestTopic {
        name: Str::from(*name),
        partition_indexes: vec![*partition],
        ..Default::default()
    };
    OffsetFetchRequest {
        group_id: group.into(),
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    }
}

fn fetching_many(
    groups: &[&str],
    topics: Option<&[(&'static str, Uuid, i32)]>,
) -> OffsetFetchRequest {
    let topic =
        |(name, topic_id, partition): &(&'static str, Uuid, i32)| OffsetFetchRequestTopics {
            name: Str::from(*name),
            topic_id: *topic_id,
            partition_indexes: vec![*partition],
            ..Default::default()
        };
    let group = |group: &&str| OffsetFetchRequestGroup {
        group_id: Str::from(*group),
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    };
    OffsetFetchRequest {
        groups: groups.iter().map(group).collect(),
        ..Default::default()
    }
}

/// A consumer's subscription to one topic of one letter.
const READS_T: &str = "\0\0\0\0\0\x01\0\x01t\0\0\0\0";

async fn script(net: NetRef, config: ClientConfig) -> Result<String> {
    let admin = Admin::new(net.clone(), config.clone());
    let topics = ["t", "u"].map(|name| NewTopic {
        name: name.into(),
        partitions: Some(2),
        replication_factor: Some(1),
        ..NewTopic::default()
    });
    for (name, created) in admin.create_topics(topics.into(), false).await? {
        created.map_err(|failure| anyhow::anyhow!("{name}: {failure}"))?;
    }
    let ids = async |name: &'static str| -> Result<Uuid> {
        loop {
            let described = admin.describe_topics(&[name.into()]).await?;
            if let Some(Ok(topic)) = described.into_iter().next().map(|(_, topic)| topic) {
                return Ok(topic.id);
            }
        }
    };
    let (t, u) = (ids("t").await?, ids("u").await?);
    let (host, port) = config.bootstrap_servers[0].clone();
    let options = ConnectionOptions {
        client_id: "edge".into(),
        ..ConnectionOptions::default()
    };
    let open = async || Connection::connect(&net, &host, port, options.clone()).await;
    let pen = Pen {
        connection: open().await?,
        written: RefCell::default(),
        members: RefCell::default(),
    };
    wait_for_coordinator(&pen.connection).await?;
    let nobody = Str::default();
    let stranger = Str::from("stranger");

    outside(&pen, &nobody, &stranger).await?;
    let first = alone(&pen, &nobody, &stranger, t, u).await?;
    company(&pen, &open().await?, &nobody, &first).await?;
    emptied(&pen, &nobody, &stranger, t).await?;
    instances(&pen, &nobody).await?;
    Ok(pen.written.into_inner())
}

/// The coordinator's topic is created by the first who asks for it.
async fn wait_for_coordinator(connection: &Connection) -> Result<()> {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["g".into()],
        ..Default::default()
    };
    let ready = HeartbeatRequest {
        group_id: "g".into(),
        ..Default::default()
    };
    let started = std::time::Instant::now();
    loop {
        let found = connection.call(&request).await?;
        let error = connection.call(&ready).await?.error_code;
        if found.coordinators[0].error_code == ErrorCode::NONE
            && error == ErrorCode::UNKNOWN_MEMBER_ID
        {
            return Ok(());
        }
        ensure!(started.elapsed() < LIMIT, "no coordinator: {error}");
    }
}

/// Nobody has joined.
async fn outside(pen: &Pen, nobody: &Str, stranger: &Str) -> Result<()> {
    pen.note("# outside");
    pen.heartbeat("of an unknown group", "none", 1, stranger, None)
        .await?;
    pen.heartbeat("without a group", "", 1, stranger, None)
        .await?;
    pen.sync("of an unknown group", syncing("none", 1, stranger, &[]))
        .await?;
    pen.sync("without a group", syncing("", 1, stranger, &[]))
        .await?;
    for (what, request) in [
        (
            "without a group",
            JoinGroupRequest {
                group_id: "".into(),
                ..joining(nobody, &[("range", "1")])
            },
        ),
        (
            "session too short",
            JoinGroupRequest {
                session_timeout_ms: 5999,
                ..joining(nobody, &[("range", "1")])
            },
        ),
        (
            "session too long",
            JoinGroupRequest {
                session_timeout_ms: 1_800_001,
                ..joining(nobody, &[("range", "1")])
            },
        ),
        ("as a stranger", joining(stranger, &[("range", "1")])),
        ("without protocols", joining(nobody, &[])),
        (
            "without a type",
            JoinGroupRequest {
                protocol_type: "".into(),
                ..joining(nobody, &[("range", "1")])
            },
        ),
    ] {
        for version in [0, 5, 9] {
            pen.join(what, version, request.clone()).await?;
        }
    }
    for version in [0, 2] {
        let request = LeaveGroupRequest {
            group_id: "none".into(),
            member_id: stranger.clone(),
            ..Default::default()
        };
        pen.leave("of an unknown group", version, request).await?;
    }
    let members = vec![
        MemberIdentity {
            member_id: stranger.clone(),
            ..Default::default()
        },
        MemberIdentity {
            group_instance_id: Some("i".into()),
            ..Default::default()
        },
    ];
    for group in ["none", ""] {
        let request = LeaveGroupRequest {
            group_id: group.into(),
            members: members.clone(),
            ..Default::default()
        };
        pen.leave(&format!("of group {group:?}"), 5, request)
            .await?;
    }
    for version in [2, 6, 8, 9] {
        pen.commit(
            "with a generation",
            version,
            committing("none", 3, stranger, 1),
        )
        .await?;
    }
    for version in [1, 2, 5, 7] {
        pen.fetch(
            "of an unknown group",
            version,
            fetching("none", Some(&[("t", 0)])),
        )
        .await?;
    }
    pen.fetch("all of an unknown group", 7, fetching("none", None))
        .await?;
    pen.fetch("all of two", 8, fetching_many(&["none", ""], None))
        .await?;
    pen.fetch("all of two", 10, fetching_many(&["none", ""], None))
        .await?;
    for version in [0, 5, 6] {
        pen.describe("of an unknown group", version, "none").await?;
        pen.describe("without a group", version, "").await?;
    }
    pen.delete("of an unknown group", "none").await?;
    pen.delete("without a group", "").await?;
    pen.delete_offsets("of an unknown group", "none", &[("t", 0)])
        .await?;
    pen.delete_offsets("without a group", "", &[("t", 0)])
        .await?;
    pen.list_groups(5, &[], &[]).await
}

/// One member.
async fn alone(pen: &Pen, nobody: &Str, stranger: &Str, t: Uuid, u: Uuid) -> Result<Str> {
    pen.note("# alone");
    let protocols = &[("range", READS_T), ("sticky", "x")];
    let me = pen
        .join("is told its id", 4, joining(nobody, protocols))
        .await?;
    pen.heartbeat("before the join", "g", -1, &me, None).await?;
    pen.describe("while an id is promised", 6, "g").await?;
    pen.join("with its id", 9, joining(&me, protocols)).await?;
    pen.commit("before the sync", 8, committing("g", 1, &me, 1))
        .await?;
    pen.join("again, with the same", 6, joining(&me, protocols))
        .await?;
    pen.sync("with a wrong generation", syncing("g", 2, &me, &[]))
        .await?;
    pen.sync("as a stranger", syncing("g", 1, stranger, &[]))
        .await?;
    let wrong = SyncGroupRequest {
        protocol_type: Some("connect".into()),
        ..syncing("g", 1, &me, &[])
    };
    pen.sync("with a wrong type", wrong).await?;
    let wrong = SyncGroupRequest {
        protocol_name: Some("sticky".into()),
        ..syncing("g", 1, &me, &[])
    };
    pen.sync("with a wrong protocol", wrong).await?;
    let silent = SyncGroupRequest {
        protocol_name: None,
        ..syncing("g", 1, &me, &[])
    };
    pen.sync("without a protocol", silent).await?;
    pen.describe("while it assigns", 6, "g").await?;
    pen.sync(
        "as the leader",
        syncing("g", 1, &me, &[(&me, "mine"), (stranger, "lost")]),
    )
    .await?;
    pen.sync("again", syncing("g", 1, &me, &[])).await?;
    for version in [0, 3, 6] {
        pen.describe("when stable", version, "g").await?;
    }
    for (what, generation, member) in [
        ("good", 1, &me),
        ("wrong generation", 2, &me),
        ("stranger", 1, stranger),
        ("nobody", -1, nobody),
        ("my id alone", -1, &me),
    ] {
        pen.heartbeat(what, "g", generation, member, None).await?;
        for version in [2, 7, 9] {
            pen.commit(what, version, committing("g", generation, member, 5))
                .await?;
        }
    }
    let of = |topics| OffsetCommitRequest {
        topics,
        ..committing("g", 1, &me, 0)
    };
    pen.commit(
        "of an unknown topic",
        9,
        of(vec![commit_of("gone", Uuid::ZERO, 0, 1, None)]),
    )
    .await?;
    let by_id = |id| of(vec![commit_of("", id, 1, 6, Some(""))]);
    pen.commit("by id", 10, by_id(t)).await?;
    pen.commit("by an unknown id", 10, by_id(Uuid::from_random_bits(77)))
        .await?;
    let long = "x".repeat(4097);
    pen.commit(
        "with long metadata",
        9,
        of(vec![commit_of("t", Uuid::ZERO, 0, 1, Some(&long))]),
    )
    .await?;
    let wide = "ü".repeat(4096);
    pen.commit(
        "with wide metadata",
        9,
        of(vec![commit_of("u", Uuid::ZERO, 1, 2, Some(&wide))]),
    )
    .await?;
    pen.commit(
        "over it",
        9,
        of(vec![commit_of("u", Uuid::ZERO, 1, -5, None)]),
    )
    .await?;
    for version in 1..=7 {
        pen.fetch(
            "of four",
            version,
            fetching("g", Some(&[("t", 0), ("t", 1), ("t", 7), ("gone", 0)])),
        )
        .await?;
    }
    for version in [2, 5, 7] {
        pen.fetch("all", version, fetching("g", None)).await?;
    }
    let topics = [
        ("t", t, 0),
        ("u", u, 1),
        ("gone", Uuid::from_random_bits(77), 0),
    ];
    for version in [8, 9, 10] {
        pen.fetch(
            "of two groups",
            version,
            fetching_many(&["g", "none"], Some(&topics)),
        )
        .await?;
    }
    pen.fetch("all by name", 9, fetching_many(&["g"], None))
        .await?;
    pen.delete_offsets("while read", "g", &[("t", 0), ("u", 1), ("u", 0)])
        .await?;
    pen.delete("with a member", "g").await?;
    for version in [0, 3, 4, 5] {
        pen.list_groups(version, &[], &[]).await?;
    }
    pen.list_groups(5, &["stable"], &["Classic"]).await?;
    pen.list_groups(5, &["Empty", "Dead"], &[]).await?;
    pen.list_groups(5, &["Unheard"], &[]).await?;
    pen.list_groups(5, &[], &["consumer"]).await?;
    Ok(me)
}

/// A second member comes and goes.
async fn company(pen: &Pen, other: &Connection, nobody: &Str, first: &Str) -> Result<()> {
    pen.note("# company");
    let protocols = &[("range", READS_T), ("sticky", "x")];
    pen.join("of another kind", 3, joining(nobody, &[("unheard", "1")]))
        .await?;
    let connect = JoinGroupRequest {
        protocol_type: "connect".into(),
        ..joining(nobody, protocols)
    };
    pen.join("of another type", 3, connect).await?;
    // Parked until the first member comes.
    let second = other.call_at(&joining(nobody, &[("sticky", "y")]), 3, LIMIT);
    let started = std::time::Instant::now();
    loop {
        let heartbeat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: first.clone(),
            ..Default::default()
        };
        if pen.connection.call(&heartbeat).await?.error_code == ErrorCode::REBALANCE_IN_PROGRESS {
            break;
        }
        ensure!(started.elapsed() < LIMIT, "no rebalance");
    }
    pen.sync("during the rebalance", syncing("g", 1, first, &[]))
        .await?;
    pen.commit("during the rebalance", 9, committing("g", 1, first, 8))
        .await?;
    pen.describe("during the rebalance", 6, "none").await?;
    pen.join("of the first", 9, joining(first, protocols))
        .await?;
    let second = second.await?;
    pen.note(&format!("the second: {}", show_join(pen, &second)));
    let id = second.member_id;
    let parked = other.call_at(&syncing("g", 2, &id, &[]), 5, LIMIT);
    pen.sync(
        "of the leader",
        syncing("g", 2, first, &[(first, "one"), (&id, "two")]),
    )
    .await?;
    let synced = parked.await?;
    pen.note(&format!(
        "the second: {} {:?}",
        synced.error_code, synced.assignment
    ));
    let members = vec![
        MemberIdentity {
            member_id: id.clone(),
            reason: Some("done".into()),
            ..Default::default()
        },
        MemberIdentity {
            member_id: "stranger".into(),
            ..Default::default()
        },
        MemberIdentity {
            member_id: first.clone(),
            group_instance_id: Some("i".into()),
            ..Default::default()
        },
    ];
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members,
        ..Default::default()
    };
    pen.leave("of the second", 5, request).await?;
    pen.heartbeat("of the second", "g", 2, &id, None).await?;
    pen.heartbeat("of the first", "g", 2, first, None).await?;
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        member_id: first.clone(),
        ..Default::default()
    };
    pen.leave("of the first", 1, request).await?;
    pen.describe("when all have left", 6, "g").await
}

/// A group without members, and one that never had any.
async fn emptied(pen: &Pen, nobody: &Str, stranger: &Str, t: Uuid) -> Result<()> {
    pen.note("# emptied");
    pen.heartbeat("of a stranger", "g", 3, stranger, None)
        .await?;
    pen.sync("of a stranger", syncing("g", 3, stranger, &[]))
        .await?;
    pen.join("as a stranger", 9, joining(stranger, &[("range", "1")]))
        .await?;
    pen.commit("from outside", 9, committing("g", -1, nobody, 9))
        .await?;
    pen.commit("as a stranger", 9, committing("g", 3, stranger, 10))
        .await?;
    pen.commit(
        "for a time",
        2,
        OffsetCommitRequest {
            retention_time_ms: 86_400_000,
            ..committing("g", -1, nobody, 11)
        },
    )
    .await?;
    pen.fetch("all", 10, fetching_many(&["g"], Some(&[("t", t, 0)])))
        .await?;
    pen.delete_offsets("at rest", "g", &[("t", 0), ("t", 1)])
        .await?;
    pen.delete("at rest", "g").await?;
    pen.delete("again", "g").await?;
    pen.describe("afterwards", 6, "g").await?;
    pen.commit("simple", 9, committing("simple", -1, nobody, 1))
        .await?;
    pen.commit("without a group", 9, committing("", -1, nobody, 2))
        .await?;
    pen.fetch("all of both", 9, fetching_many(&["simple", ""], None))
        .await?;
    pen.describe("simple", 6, "simple").await?;
    pen.list_groups(5, &[], &[]).await?;
    pen.delete_offsets("simple", "simple", &[("t", 0)]).await?;
    pen.delete("simple", "simple").await?;
    pen.delete("without a group", "").await?;
    pen.list_groups(5, &[], &[]).await
}

/// Static members.
async fn instances(pen: &Pen, nobody: &Str) -> Result<()> {
    pen.note("# instances");
    let joining = |member_id: &Str| JoinGroupRequest {
        group_id: "s".into(),
        group_instance_id: Some("i".into()),
        protocol_type: "opaque".into(),
        ..joining(member_id, &[("p", "1")])
    };
    let syncing = |member_id: &Str, assignments: &[(&Str, &'static str)]| SyncGroupRequest {
        group_instance_id: Some("i".into()),
        protocol_type: Some("opaque".into()),
        protocol_name: Some("p".into()),
        ..syncing("s", 1, member_id, assignments)
    };
    let one = pen.join("first", 9, joining(nobody)).await?;
    pen.sync("first", syncing(&one, &[(&one, "all")])).await?;
    let two = pen.join("back, v9", 9, joining(nobody)).await?;
    let three = pen.join("back, v8", 8, joining(nobody)).await?;
    for (what, id) in [("second", &two), ("third", &three)] {
        pen.heartbeat(what, "s", 1, id, Some("i")).await?;
        pen.heartbeat(&format!("{what} by id alone"), "s", 1, id, None)
            .await?;
        pen.heartbeat(&format!("{what} as another"), "s", 1, id, Some("k"))
            .await?;
        let sync = syncing(id, &[]);
        pen.sync(what, sync).await?;
        let commit = OffsetCommitRequest {
            group_instance_id: Some("i".into()),
            ..committing("s", 1, id, 1)
        };
        pen.commit(what, 9, commit).await?;
    }
    pen.join("as the fenced one", 9, joining(&two)).await?;
    pen.delete_offsets("of an opaque group", "s", &[("t", 0)])
        .await?;
    pen.describe("static", 6, "s").await?;
    let member = |member_id: &Str, instance: Option<&str>| MemberIdentity {
        member_id: member_id.clone(),
        group_instance_id: instance.map(Str::from),
        ..Default::default()
    };
    let leave = |members| LeaveGroupRequest {
        group_id: "s".into(),
        members,
        ..Default::default()
    };
    pen.leave("of the fenced one", 5, leave(vec![member(&two, Some("i"))]))
        .await?;
    pen.leave(
        "of an unknown instance",
        4,
        leave(vec![member(nobody, Some("k")), member(nobody, None)]),
    )
    .await?;
    pen.leave("by instance", 3, leave(vec![member(nobody, Some("i"))]))
        .await?;
    pen.describe("when it has left", 6, "s").await
}
