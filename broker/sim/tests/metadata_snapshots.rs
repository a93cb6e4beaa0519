//! Metadata snapshots under crashes: a controller and a broker beside it, whose snapshots are so frequent
//! and kept so briefly that the metadata log has hardly any front, lose process or power at random
//! effects on their disks while topics are made; then a broker that has nothing joins.
//!
//! Properties: every acknowledged topic is in every broker's metadata, with the same id and the same
//! partitions; all brokers agree; nothing was taken for a stray; who joined late began behind a snapshot.
//! A damaged snapshot is never the reason that a topic is missing: the node goes on without it, or does
//! not start. One seed run twice gives one trace hash.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ottla_broker::config::Config;
use ottla_broker::rt::Rt;
use ottla_broker::rt::client_net::client_net;
use ottla_broker::start::start;
use ottla_broker_sim::{Crash, CrashPoint, NodeHandle, Options, Report, SECOND, Sim, run};
use ottla_client::admin::NewTopic;
use ottla_client::{Admin, ClientConfig, Connection, ConnectionOptions};
use ottla_protocol::messages::fetch_snapshot_request::{self, FetchSnapshotRequest};
use ottla_protocol::messages::fetch_snapshot_response::PartitionSnapshot;
use ottla_protocol::messages::metadata_request::MetadataRequest;
use ottla_protocol::{ErrorCode, Records, Str, Uuid};

const METADATA: &str = "/data/broker/__cluster_metadata-0";

/// Small enough for every few topics to bring a snapshot, which is then the only one.
const FREQUENT: &str = "metadata.log.max.record.bytes.between.snapshots=500
metadata.max.retention.bytes=1
internal.metadata.log.segment.bytes=4096
internal.metadata.delete.delay.millis=10
";

fn properties(id: u32, extra: &str) -> String {
    let (roles, listeners) = if id == 1 {
        (
            "broker,controller",
            "PLAINTEXT://broker-1:9092,CONTROLLER://broker-1:9093".to_owned(),
        )
    } else {
        ("broker", format!("PLAINTEXT://broker-{id}:9092"))
    };
    format!(
        "process.roles={roles}
node.id={id}
controller.quorum.bootstrap.servers=broker-1:9093
listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=/data/broker
offsets.topic.replication.factor=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
{extra}"
    )
}

fn config(id: u32, extra: &str) -> Config {
    Config::from_properties(
        &properties(id, extra),
        &[],
        Vec::new(),
        format!("broker-{id}"),
    )
    .expect("the properties are good")
}

fn boot(sim: &Sim, node: NodeHandle, id: u32, extra: &'static str) {
    sim.start(node, async move |rt| {
        let broker = start(&rt, config(id, extra))
            .await
            .expect("nothing stands in its way");
        // It runs until its node crashes.
        std::future::pending::<()>().await;
        drop(broker);
    });
}

/// A topic as one broker sees it: its id, and leader and leader epoch of each partition.
type Seen = BTreeMap<Str, (Uuid, BTreeMap<i32, (i32, i32)>)>;

async fn seen_by(rt: &Rt, id: u32) -> Option<Seen> {
    let net = client_net(rt);
    let options = ConnectionOptions {
        request_timeout: Duration::from_secs(5),
        ..ConnectionOptions::default()
    };
    let connection = Connection::connect(&net, &format!("broker-{id}"), 9092, options)
        .await
        .ok()?;
    let request = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let response = connection.call(&request).await.ok()?;
    let topics = response.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter();
        let partitions = partitions.map(|partition| {
            (
                partition.partition_index,
                (partition.leader_id, partition.leader_epoch),
            )
        });
        let name = topic.name.expect("a listing names its topics");
        (name, (topic.topic_id, partitions.collect()))
    });
    Some(topics.collect())
}

async fn create_topics(rt: Rt, count: u32, acknowledged: Rc<RefCell<BTreeSet<Str>>>) {
    let admin = Admin::new(
        client_net(&rt),
        ClientConfig {
            bootstrap_servers: vec![("broker-1".to_owned(), 9092)],
            ..ClientConfig::default()
        },
    );
    for number in 0..count {
        let name = Str::from(format!("topic-{number}"));
        let configs = [("retention.ms", "3600000"), ("max.message.bytes", "100000")];
        let topic = NewTopic {
            name: name.clone(),
            partitions: Some(2),
            replication_factor: Some(1),
            configs: configs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            ..NewTopic::default()
        };
        // What is not acknowledged may be there or not.
        if let Ok(created) = admin.create_topics(vec![topic], false).await
            && created.into_iter().all(|(_, created)| created.is_ok())
        {
            acknowledged.borrow_mut().insert(name);
        }
    }
}

/// Crashes a node within its next `effects` effects, or when it has none for a second.
async fn crash(sim: &Sim, node: NodeHandle, effects: u64) {
    let mut rng = sim.rng();
    let disk = sim.disk(node);
    let at = disk.effects() + rng.below(effects);
    sim.set_crash_kind(node, [Crash::Process, Crash::Power][rng.index(2)]);
    disk.crash_at([CrashPoint::During(at), CrashPoint::After(at)][rng.index(2)]);
    let crashed = sim.crashed(node);
    tokio::select! {
        biased;
        () = crashed => {}
        () = sim.sleep(SECOND) => {
            disk.heal();
            sim.crash(node, Crash::Power);
        }
    }
}

async fn crash_and_restart(sim: &Sim, nodes: [NodeHandle; 2], crashes: u64) {
    let mut rng = sim.rng();
    for _ in 0..crashes {
        sim.sleep(rng.below(SECOND / 4)).await;
        let victim = rng.index(2);
        crash(sim, nodes[victim], 40).await;
        // Sometimes long enough for the controller's log to go on without it.
        let pause_max = [SECOND / 10, SECOND][rng.index(2)];
        sim.sleep(rng.below(pause_max)).await;
        boot(sim, nodes[victim], victim as u32 + 1, FREQUENT);
    }
}

/// Waits until all these brokers say the same of every topic in `acknowledged`, and of all others.
async fn agree(
    sim: &Sim,
    rt: &Rt,
    brokers: std::ops::RangeInclusive<u32>,
    acknowledged: &BTreeSet<Str>,
) {
    let mut last = Vec::new();
    for _ in 0..100 {
        last.clear();
        for id in brokers.clone() {
            last.push(seen_by(rt, id).await);
        }
        let is_complete = |seen: &Seen| {
            acknowledged.iter().all(|name| {
                seen.get(name)
                    .is_some_and(|(_, partitions)| partitions.len() == 2)
            })
        };
        if last
            .iter()
            .all(|seen| seen.as_ref().is_some_and(is_complete) && *seen == last[0])
        {
            return;
        }
        sim.sleep(SECOND / 5).await;
    }
    panic!("acknowledged: {acknowledged:?}; seen: {last:#?}");
}

fn named(sim: &Sim, node: NodeHandle, what: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut paths = sim.disk(node).paths();
    paths.retain(|path| what(&path.to_string_lossy()));
    paths
}

/// Whether the metadata log's first segment is gone.
fn begins_later(sim: &Sim, node: NodeHandle) -> bool {
    let first =
        |path: &str| path.starts_with(METADATA) && path.ends_with("/00000000000000000000.log");
    named(sim, node, first).is_empty()
}

/// Finished snapshots other than the format's, oldest first.
fn snapshots(sim: &Sim, node: NodeHandle) -> Vec<PathBuf> {
    named(sim, node, |path| {
        path.starts_with(METADATA)
            && path.ends_with(".checkpoint")
            && !path.ends_with("00000000000000000000-0000000000.checkpoint")
    })
}

fn nothing_is_stray(sim: &Sim, node: NodeHandle) {
    let strays = named(sim, node, |path| {
        path.contains("-stray") || path.contains("-delete")
    });
    assert!(strays.is_empty(), "taken for strays: {strays:?}");
}

/// Topics are made while both nodes crash; returns how many were acknowledged.
fn story(seed: u64, topics: u32, crashes: u64) -> (usize, Report) {
    let is_verbose = std::env::var_os("OTTLA_SIM_VERBOSE").is_some();
    let options = Options {
        is_verbose,
        ..Options::default()
    };
    run(seed, options, async move |sim| {
        let nodes = [sim.add_node("broker-1"), sim.add_node("broker-2")];
        let client = sim.add_node("client");
        boot(&sim, nodes[0], 1, FREQUENT);
        boot(&sim, nodes[1], 2, FREQUENT);
        let rt = sim.runtime(client);
        let acknowledged = Rc::<RefCell<BTreeSet<Str>>>::default();
        let (done, ended) = tokio::sync::oneshot::channel();
        rt.spawn(Box::pin({
            let (rt, acknowledged) = (rt.clone(), Rc::clone(&acknowledged));
            async move {
                create_topics(rt, topics, acknowledged).await;
                let _ = done.send(());
            }
        }));
        crash_and_restart(&sim, nodes, crashes).await;
        ended.await.expect("the client ends by itself");
        let acknowledged = acknowledged.borrow().clone();
        agree(&sim, &rt, 1..=2, &acknowledged).await;

        // While it fetches, keeps and goes on behind the snapshot it crashes, too.
        let late = sim.add_node("broker-3");
        boot(&sim, late, 3, FREQUENT);
        for _ in 0..crashes {
            crash(&sim, late, 60).await;
            boot(&sim, late, 3, FREQUENT);
        }
        agree(&sim, &rt, 1..=3, &acknowledged).await;
        for node in [nodes[0], nodes[1], late] {
            nothing_is_stray(&sim, node);
        }
        for node in nodes {
            let kept = snapshots(&sim, node);
            assert!(!kept.is_empty(), "no snapshot was made");
            assert!(kept.len() <= 3, "old snapshots stay: {kept:?}");
        }
        assert!(
            begins_later(&sim, late),
            "who joined late was given the log from its beginning"
        );
        acknowledged.len()
    })
}

#[test]
fn who_joins_when_the_logs_front_is_gone_begins_with_a_snapshot() {
    let (acknowledged, _) = story(1, 30, 0);
    assert_eq!(acknowledged, 30);
}

#[test]
fn acknowledged_topics_survive_crashes_between_snapshot_and_log() {
    for seed in 0..6 {
        let (acknowledged, _) = story(seed, 40, 6);
        assert!(
            acknowledged > 10,
            "seed {seed}: only {acknowledged} of 40 topics were acknowledged"
        );
    }
}

#[test]
fn one_seed_is_one_trace() {
    for seed in 30..32 {
        assert_eq!(story(seed, 20, 3), story(seed, 20, 3), "seed {seed} twice");
    }
}

/// The controller's answer to one FetchSnapshot.
async fn fetched(
    connection: &Connection,
    epoch: i32,
    id: (i64, i32),
    position: i64,
    max_bytes: i32,
) -> PartitionSnapshot {
    let partition = fetch_snapshot_request::PartitionSnapshot {
        current_leader_epoch: epoch,
        snapshot_id: fetch_snapshot_request::SnapshotId {
            end_offset: id.0,
            epoch: id.1,
            ..Default::default()
        },
        position,
        ..Default::default()
    };
    let request = FetchSnapshotRequest {
        replica_id: 7,
        max_bytes,
        topics: vec![fetch_snapshot_request::TopicSnapshot {
            name: "__cluster_metadata".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut response = connection.call(&request).await.expect("it is answered");
    assert_eq!(response.error_code, ErrorCode::NONE);
    response.topics.remove(0).partitions.remove(0)
}

#[test]
fn a_snapshot_is_given_out_by_position_and_only_by_its_leader() {
    run(3, Options::default(), async move |sim| {
        let node = sim.add_node("broker-1");
        let client = sim.add_node("client");
        let extra = "metadata.log.max.record.bytes.between.snapshots=3000\n";
        boot(&sim, node, 1, extra);
        let rt = sim.runtime(client);
        create_topics(rt.clone(), 30, Rc::default()).await;
        sim.sleep(SECOND).await;
        let file = snapshots(&sim, node).pop().expect("a snapshot was made");
        let content = sim.disk(node).content(&file).expect("it is there");
        let name = file.file_stem().expect("it has a name").to_string_lossy();
        let (end, epoch) = name.split_once('-').expect("offset and epoch");
        let id: (i64, i32) = (end.parse().unwrap_or(0), epoch.parse().unwrap_or(0));

        let net = client_net(&rt);
        let connect = Connection::connect(&net, "broker-1", 9093, ConnectionOptions::default());
        let connection = connect.await.expect("the controller listens");
        let mut whole = Vec::new();
        while whole.len() < content.len() {
            let piece = fetched(&connection, 1, id, whole.len() as i64, 777).await;
            assert_eq!(piece.error_code, ErrorCode::NONE);
            assert_eq!(piece.size, content.len() as i64);
            assert_eq!(piece.position, whole.len() as i64);
            let bytes = piece.unaligned_records.map(Records::into_bytes);
            let bytes = bytes.expect("every answer has some");
            assert!(!bytes.is_empty() && bytes.len() <= 777);
            whole.extend_from_slice(&bytes);
        }
        assert!(whole == content, "the pieces are the file");

        let end = content.len() as i64;
        let refused = [
            (
                fetched(&connection, 1, id, end, 10).await,
                ErrorCode::POSITION_OUT_OF_RANGE,
            ),
            (
                fetched(&connection, 1, id, -1, 10).await,
                ErrorCode::POSITION_OUT_OF_RANGE,
            ),
            (
                fetched(&connection, 1, (id.0 - 1, id.1), 0, 10).await,
                ErrorCode::SNAPSHOT_NOT_FOUND,
            ),
            (
                fetched(&connection, 1, (0, 0), 0, 10).await,
                ErrorCode::SNAPSHOT_NOT_FOUND,
            ),
            (
                fetched(&connection, 0, id, 0, 10).await,
                ErrorCode::FENCED_LEADER_EPOCH,
            ),
            (
                fetched(&connection, 2, id, 0, 10).await,
                ErrorCode::UNKNOWN_LEADER_EPOCH,
            ),
        ];
        for (answer, code) in refused {
            assert_eq!(answer.error_code, code);
            assert_eq!(
                (
                    answer.current_leader.leader_id,
                    answer.current_leader.leader_epoch
                ),
                (1, 1)
            );
        }
        let foreign = FetchSnapshotRequest {
            cluster_id: Some("another".into()),
            ..Default::default()
        };
        let answer = connection.call(&foreign).await.expect("it is answered");
        assert_eq!(answer.error_code, ErrorCode::INCONSISTENT_CLUSTER_ID);
    });
}

/// A controller is killed once its disk is as wanted, its newest snapshot is damaged, and it is started
/// again: how that goes, and which files there are then.
fn damaged(
    extra: &'static str,
    is_as_wanted: fn(&Sim, NodeHandle) -> bool,
) -> (Result<usize, String>, Vec<String>) {
    let ((outcome, names), _) = run(7, Options::default(), async move |sim| {
        let node = sim.add_node("broker-1");
        let client = sim.add_node("client");
        boot(&sim, node, 1, extra);
        let rt = sim.runtime(client);
        let acknowledged = Rc::<RefCell<BTreeSet<Str>>>::default();
        create_topics(rt.clone(), 30, Rc::clone(&acknowledged)).await;
        let disk = sim.disk(node);
        for _ in 0..100 {
            if is_as_wanted(&sim, node) {
                break;
            }
            sim.sleep(SECOND / 10).await;
        }
        assert!(is_as_wanted(&sim, node), "ten seconds were enough");
        sim.crash(node, Crash::Process);
        let newest = snapshots(&sim, node).pop().expect("a snapshot was made");
        assert!(disk.damage(&newest, 200, 0x10), "the file is long enough");

        let (told, tells) = tokio::sync::oneshot::channel();
        sim.start(node, async move |rt| {
            let started = start(&rt, config(1, extra)).await;
            let failed = started.as_ref().err().map(ToString::to_string);
            let _ = told.send(failed);
            std::future::pending::<()>().await;
            drop(started);
        });
        let failed = tells.await.expect("the node tells");
        nothing_is_stray(&sim, node);
        let outcome = match failed {
            Some(error) => Err(error),
            None => {
                let acknowledged = acknowledged.borrow().clone();
                agree(&sim, &rt, 1..=1, &acknowledged).await;
                Ok(acknowledged.len())
            }
        };
        let names = named(&sim, node, |path| path.starts_with(METADATA));
        let names = names
            .iter()
            .filter_map(|path| Path::new(path).file_name())
            .map(|name| name.to_string_lossy().into_owned());
        (outcome, names.collect())
    });
    (outcome, names)
}

#[test]
fn a_damaged_snapshot_is_set_aside_where_the_log_has_everything() {
    let extra = "metadata.log.max.record.bytes.between.snapshots=1000\n";
    let (outcome, names) = damaged(extra, |sim, node| !snapshots(sim, node).is_empty());
    assert_eq!(outcome, Ok(30));
    assert!(
        names.iter().any(|name| name.ends_with(".damaged")),
        "{names:?}"
    );
}

#[test]
fn a_controller_does_not_start_without_the_only_snapshot_of_its_topics() {
    let (outcome, names) = damaged(FREQUENT, |sim, node| {
        begins_later(sim, node) && snapshots(sim, node).len() == 1
    });
    let error = outcome.expect_err("records are missing");
    assert!(
        error.contains("is damaged") && error.contains(".checkpoint"),
        "{error}"
    );
    assert!(
        !names.iter().any(|name| name.ends_with(".damaged")),
        "a node that does not start changes nothing: {names:?}"
    );
}
