//! One whole broker and one client on the simulated side of the seam: the shell that runs in
//! production boots, formats its directory, elects itself, serves, crashes and comes back.
//!
//! Method: an idempotent producer with acks=all writes numbered records while the broker is killed or
//! loses power at random effects on its disk; then everything is read from the beginning.
//! Properties: every acknowledged record stands at the offset it was acknowledged with; nothing stands there
//! that was not sent; nothing stands there twice; one seed run twice gives one trace hash.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker::config::Config;
use ottla_broker::rt::Rt;
use ottla_broker::rt::client_net::client_net;
use ottla_broker::start::start;
use ottla_broker_sim::{Crash, CrashPoint, NodeHandle, Options, Report, SECOND, Sim, run};
use ottla_client::admin::NewTopic;
use ottla_client::cluster::TopicPartition;
use ottla_client::{
    Admin, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord,
    StartAt,
};

const TOPIC: &str = "words";
const PARTITIONS: i32 = 3;

const PROPERTIES: &str = "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=broker-1:9093
listeners=PLAINTEXT://broker-1:9092,CONTROLLER://broker-1:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=/data/broker
log.segment.bytes=1048576
offsets.topic.replication.factor=1
";

async fn broker(rt: Rt) {
    let config = Config::from_properties(PROPERTIES, &[], Vec::new(), "broker-1".to_owned())
        .expect("the properties are good");
    let broker = start(&rt, config).await.expect("nothing stands in its way");
    // It runs until its node crashes.
    std::future::pending::<()>().await;
    drop(broker);
}

/// What the client knows.
#[derive(Default)]
struct History {
    sent: BTreeSet<Bytes>,
    acknowledged: BTreeMap<(i32, i64), Bytes>,
}

fn client_config() -> ClientConfig {
    ClientConfig {
        bootstrap_servers: vec![("broker-1".to_owned(), 9092)],
        ..ClientConfig::default()
    }
}

async fn create_topic(rt: &Rt) {
    let admin = Admin::new(client_net(rt), client_config());
    let topic = NewTopic {
        name: TOPIC.into(),
        partitions: Some(PARTITIONS),
        replication_factor: Some(1),
        ..NewTopic::default()
    };
    let created = admin
        .create_topics(vec![topic], false)
        .await
        .expect("the broker answers");
    for (name, created) in created {
        created.unwrap_or_else(|error| panic!("{name} is not created: {error}"));
    }
}

async fn produce(rt: Rt, history: Rc<RefCell<History>>, records: u64) {
    let config = ProducerConfig {
        linger: Duration::from_millis(1),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(client_net(&rt), client_config(), config);
    let mut deliveries = Vec::new();
    for number in 0..records {
        let value = Bytes::from(format!(
            "record {number} {}",
            "x".repeat((number % 300) as usize)
        ));
        history.borrow_mut().sent.insert(value.clone());
        let record = ProducerRecord {
            topic: TOPIC.into(),
            partition: Some((number % PARTITIONS as u64) as i32),
            value: Some(value.clone()),
            ..ProducerRecord::default()
        };
        match producer.send(record).await {
            Ok(delivery) => deliveries.push((value, delivery)),
            Err(error) => panic!("a record is not taken: {error}"),
        }
        if number % 20 == 19 {
            for (value, delivery) in deliveries.drain(..) {
                // What is not acknowledged may stand or not.
                if let Ok(delivered) = delivery.wait().await
                    && delivered.offset >= 0
                {
                    let place = (delivered.partition, delivered.offset);
                    history.borrow_mut().acknowledged.insert(place, value);
                }
            }
        }
    }
    producer.close().await;
}

async fn read_all(rt: &Rt) -> BTreeMap<(i32, i64), Bytes> {
    let mut consumer = Consumer::new(client_net(rt), client_config(), ConsumerConfig::default());
    let partition = |index| -> TopicPartition { (TOPIC.into(), index) };
    consumer.assign(
        (0..PARTITIONS)
            .map(|index| (partition(index), StartAt::Earliest))
            .collect(),
    );
    let ends = consumer.ends().await.expect("the broker answers");
    let mut found = BTreeMap::new();
    while !consumer.has_reached(&ends) {
        for record in consumer
            .poll(Duration::from_secs(1))
            .await
            .expect("the broker answers")
        {
            let value = record.value.expect("every record has one");
            found.insert((record.partition, record.offset), value);
        }
    }
    found
}

fn check(history: &History, found: &BTreeMap<(i32, i64), Bytes>) {
    for (place, value) in &history.acknowledged {
        assert_eq!(found.get(place), Some(value), "acknowledged at {place:?}");
    }
    let mut seen = BTreeSet::new();
    for (place, value) in found {
        assert!(
            history.sent.contains(value),
            "never sent: {value:?} at {place:?}"
        );
        assert!(seen.insert(value), "twice: {value:?}");
    }
}

/// Produces with `crashes` crashes on the way; returns how many records were acknowledged.
fn story(seed: u64, records: u64, crashes: u64) -> (usize, Report) {
    let is_verbose = std::env::var_os("OTTLA_SIM_VERBOSE").is_some();
    let options = Options {
        is_verbose,
        ..Options::default()
    };
    run(seed, options, async move |sim| {
        let node = sim.add_node("broker-1");
        let client = sim.add_node("client");
        sim.start(node, broker);
        let rt = sim.runtime(client);
        create_topic(&rt).await;
        let history = Rc::<RefCell<History>>::default();
        let (done, ended) = tokio::sync::oneshot::channel();
        rt.spawn(Box::pin({
            let (rt, history) = (rt.clone(), Rc::clone(&history));
            async move {
                produce(rt, history, records).await;
                let _ = done.send(());
            }
        }));
        crash_and_restart(&sim, node, crashes).await;
        ended.await.expect("the producer ends by itself");
        let found = read_all(&rt).await;
        check(&history.borrow(), &found);
        history.borrow().acknowledged.len()
    })
}

async fn crash_and_restart(sim: &Sim, node: NodeHandle, crashes: u64) {
    let mut rng = sim.rng();
    for _ in 0..crashes {
        sim.sleep(rng.below(SECOND / 2)).await;
        let disk = sim.disk(node);
        let at = disk.effects() + rng.below(12);
        sim.set_crash_kind(node, [Crash::Process, Crash::Power][rng.index(2)]);
        disk.crash_at([CrashPoint::During(at), CrashPoint::After(at)][rng.index(2)]);
        let crashed = sim.crashed(node);
        tokio::select! {
            biased;
            () = crashed => {}
            // An idle broker writes nothing.
            () = sim.sleep(SECOND) => {
                disk.heal();
                sim.crash(node, Crash::Power);
            }
        }
        sim.sleep(rng.below(SECOND / 10)).await;
        sim.start(node, broker);
    }
}

#[test]
fn a_broker_boots_and_serves() {
    let (acknowledged, _) = story(1, 200, 0);
    assert_eq!(acknowledged, 200);
}

#[test]
fn acknowledged_records_survive_crashes_at_random_points() {
    for seed in 0..10 {
        let (acknowledged, _) = story(seed, 300, 4);
        assert!(
            acknowledged > 100,
            "seed {seed}: only {acknowledged} of 300 records were acknowledged"
        );
    }
}

#[test]
fn one_seed_is_one_trace() {
    let mut traces = BTreeSet::new();
    for seed in 20..24 {
        let first = story(seed, 100, 2);
        assert_eq!(first, story(seed, 100, 2), "seed {seed} run twice");
        traces.insert(first.1.trace);
    }
    assert_eq!(traces.len(), 4, "different seeds differ");
}
