//! Goal: our own client is a good client. Method: it administers, produces, consumes and shares a
//! group against Apache Kafka, which judges it; then against Ottla, which must not differ. A broker
//! killed under a producer at work shows that each record is written once and in order.
//! Needs: jvm.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ottla_client::admin::{Admin, ConfigChange, ConfigOperation, ConfigResource, NewTopic};
use ottla_client::cluster::{Isolation, OffsetSpec};
use ottla_client::net::NetRef;
use ottla_client::{
    ClientConfig, Consumer, ConsumerConfig, ConsumerRecord, Delivery, Producer, ProducerConfig,
    ProducerRecord, Reset, StartAt, tcp,
};
use ottla_e2e::{Cluster, JvmKafka, OttlaBroker};
use ottla_protocol::records::{Codec, Compression};
use ottla_protocol::{Bytes, ErrorCode, Str};

/// One replica of everything, and no waiting for company: a group forms at once.
const PROPERTIES: &[(&str, &str)] = &[("group.initial.rebalance.delay.ms", "0")];

const WAIT: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn apache_kafka() -> Result<()> {
    scenario(JvmKafka::new(PROPERTIES)?)
}

#[test]
fn ottla() -> Result<()> {
    scenario(OttlaBroker::new(PROPERTIES)?)
}

fn scenario(mut cluster: impl Cluster + Send + 'static) -> Result<()> {
    cluster.start()?;
    let name = cluster.name();
    let config = ClientConfig::for_servers(&cluster.bootstrap())?;
    step(name, "administration", &config, administration)?;
    step(name, "five codecs", &config, five_codecs)?;
    step(name, "starting points", &config, starting_points)?;
    step(
        name,
        "a group loses a member",
        &config,
        a_group_loses_a_member,
    )?;
    step(name, "static members", &config, static_members)?;
    step(
        name,
        "groups and their offsets",
        &config,
        groups_and_offsets,
    )?;
    let started = Instant::now();
    let mut cluster = tcp::run(|net| a_broker_dies_under_a_producer(net, config, cluster))??;
    println!(
        "{name}: a broker dies under a producer: {} ms",
        started.elapsed().as_millis()
    );
    cluster.stop()
}

fn step<F: Future<Output = Result<()>>>(
    name: &str,
    what: &str,
    config: &ClientConfig,
    work: impl FnOnce(NetRef, ClientConfig) -> F,
) -> Result<()> {
    let started = Instant::now();
    tcp::run(|net| work(net, config.clone()))?.with_context(|| format!("{name}: {what}"))?;
    println!("{name}: {what}: {} ms", started.elapsed().as_millis());
    Ok(())
}

fn topic(name: &'static str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.into(),
        partitions: Some(partitions),
        replication_factor: Some(1),
        ..NewTopic::default()
    }
}

async fn create(admin: &Admin, new: NewTopic) -> Result<()> {
    let name = new.name.clone();
    let answers = admin.create_topics(vec![new], false).await?;
    let (_, answer) = answers.into_iter().next().context("no answer")?;
    answer.map_err(|failure| anyhow::anyhow!("{name}: {failure}"))?;
    Ok(())
}

async fn administration(net: NetRef, config: ClientConfig) -> Result<()> {
    let admin = Admin::new(net, config);
    let described = admin.describe_cluster().await?;
    ensure!(described.brokers.len() == 1, "{described:?}");
    let broker = described.brokers[0].broker_id;

    let wanted = NewTopic {
        configs: [("retention.ms".into(), "3600000".into())].into(),
        ..topic("admin", 2)
    };
    let checked = admin.create_topics(vec![wanted.clone()], true).await?;
    ensure!(checked[0].1.is_ok(), "{checked:?}");
    create(&admin, wanted.clone()).await?;
    let again = admin.create_topics(vec![wanted], false).await?;
    let error = again[0].1.as_ref().expect_err("it is refused").error;
    ensure!(error == ErrorCode::TOPIC_ALREADY_EXISTS, "{again:?}");
    let broken = admin
        .create_topics(vec![topic("no/slash", 1)], false)
        .await?;
    let error = broken[0].1.as_ref().expect_err("it is refused").error;
    ensure!(error == ErrorCode::INVALID_TOPIC_EXCEPTION, "{broken:?}");

    let grown = admin
        .create_partitions(&[("admin".into(), 5)], false)
        .await?;
    ensure!(grown[0].1.is_ok(), "{grown:?}");
    let shrunk = admin
        .create_partitions(&[("admin".into(), 1)], false)
        .await?;
    let error = shrunk[0].1.as_ref().expect_err("it is refused").error;
    ensure!(error == ErrorCode::INVALID_PARTITIONS, "{shrunk:?}");
    let partitions = async || {
        let listed = admin.list_topics().await?;
        Ok(listed
            .iter()
            .find(|topic| topic.name == "admin")
            .map(|topic| topic.partitions.len()))
    };
    becomes("five partitions", &Some(5), partitions).await?;

    let resource = ConfigResource::Topic("admin".into());
    let value = async |key: &'static str| -> Result<Option<Str>> {
        let configs = admin
            .describe_configs(&resource, Some(vec![key.into()]))
            .await?;
        let configs = configs.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        Ok(configs.into_iter().next().context("no config")?.value)
    };
    becomes("retention.ms", &Some("3600000".into()), async || {
        value("retention.ms").await
    })
    .await?;
    let set = ConfigChange {
        name: "retention.ms".into(),
        operation: ConfigOperation::Set("7200000".into()),
    };
    let changed = admin
        .alter_configs(&resource, std::slice::from_ref(&set), false)
        .await?;
    ensure!(changed.is_ok(), "{changed:?}");
    becomes("retention.ms", &Some("7200000".into()), async || {
        value("retention.ms").await
    })
    .await?;
    let back = ConfigChange {
        operation: ConfigOperation::Delete,
        ..set
    };
    let changed = admin.alter_configs(&resource, &[back], false).await?;
    ensure!(changed.is_ok(), "{changed:?}");
    becomes("retention.ms", &Some("604800000".into()), async || {
        value("retention.ms").await
    })
    .await?;
    let of_broker = ConfigResource::Broker(broker);
    let configs = admin.describe_configs(&of_broker, None).await?;
    let configs = configs.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let delay = configs
        .iter()
        .find(|config| config.name == "group.initial.rebalance.delay.ms");
    ensure!(delay.context("not described")?.value == Some("0".into()));

    let dirs = admin.describe_log_dirs(&[broker]).await;
    let dirs = dirs[0].1.as_ref().map_err(Clone::clone)?;
    let topics = dirs.iter().flat_map(|dir| &dir.topics);
    ensure!(
        topics
            .filter(|topic| topic.name == "admin")
            .map(|topic| topic.partitions.len())
            .sum::<usize>()
            == 5
    );
    let quorum = admin.describe_quorum().await?;
    ensure!(
        quorum.leader_id == broker && quorum.high_watermark > 0,
        "{quorum:?}"
    );
    let features = admin.describe_features().await?;
    ensure!(
        features
            .finalized
            .get("metadata.version")
            .is_some_and(|level| *level > 0),
        "{features:?}"
    );

    let deleted = admin
        .delete_topics(&["admin".into(), "unheard-of".into()])
        .await?;
    let errors: BTreeMap<Str, Option<ErrorCode>> = deleted
        .into_iter()
        .map(|(name, answer)| (name, answer.err().map(|failure| failure.error)))
        .collect();
    ensure!(errors[&Str::from("admin")].is_none(), "{errors:?}");
    ensure!(
        errors[&Str::from("unheard-of")] == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        "{errors:?}"
    );
    Ok(())
}

/// Waits for what a broker says to become `wanted`: metadata reaches brokers after the controller has answered.
async fn becomes<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: &T,
    ask: impl AsyncFn() -> Result<T>,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let now = ask().await?;
        if now == *wanted {
            return Ok(());
        }
        ensure!(
            started.elapsed() < LIMIT,
            "{what}: {now:?} instead of {wanted:?}"
        );
    }
}

fn record(topic: &'static str, partition: Option<i32>, number: usize) -> ProducerRecord {
    ProducerRecord {
        topic: topic.into(),
        partition,
        key: Some(Bytes::from(format!("key {number}"))),
        value: Some(Bytes::from(format!(
            "value {number} {}",
            "x".repeat(number % 300)
        ))),
        headers: vec![
            ("number".into(), Some(Bytes::from(number.to_string()))),
            ("none".into(), None),
        ],
        timestamp_ms: Some(1_700_000_000_000 + number as i64),
    }
}

async fn produce(
    producer: &Producer,
    records: impl Iterator<Item = ProducerRecord>,
) -> Result<Vec<Delivery>> {
    let mut deliveries = Vec::new();
    for record in records {
        deliveries.push(producer.send(record).await?);
    }
    Ok(deliveries)
}

/// Polls until the ends of the assigned partitions are reached.
async fn read_to_end(consumer: &mut Consumer) -> Result<Vec<ConsumerRecord>> {
    let started = Instant::now();
    let mut records = consumer.poll(WAIT).await?;
    let ends = consumer.ends().await?;
    while !consumer.has_reached(&ends) {
        records.extend(consumer.poll(WAIT).await?);
        ensure!(
            started.elapsed() < LIMIT,
            "{} records, then nothing; ends {ends:?}",
            records.len()
        );
    }
    Ok(records)
}

async fn five_codecs(net: NetRef, config: ClientConfig) -> Result<()> {
    create(&Admin::new(net.clone(), config.clone()), topic("codecs", 5)).await?;
    const COUNT: usize = 3000;
    for (partition, codec) in (0..).zip(Codec::ALL) {
        let compression = Compression::from(codec);
        let settings = ProducerConfig {
            compression,
            ..ProducerConfig::default()
        };
        let producer = Producer::new(net.clone(), config.clone(), settings);
        let records = (0..COUNT).map(|number| record("codecs", Some(partition), number));
        let deliveries = produce(&producer, records).await?;
        for (number, delivery) in (0..).zip(deliveries) {
            let delivered = delivery.wait().await?;
            ensure!(
                delivered.offset == number && delivered.partition == partition,
                "{delivered:?}"
            );
        }
        producer.close().await;
    }
    let mut consumer = Consumer::new(net, config, ConsumerConfig::default());
    consumer.assign(
        (0..5)
            .map(|partition| (("codecs".into(), partition), StartAt::Earliest))
            .collect(),
    );
    let mut next = BTreeMap::new();
    for read in read_to_end(&mut consumer).await? {
        let number = next.entry(read.partition).or_insert(0usize);
        let sent = record("codecs", Some(read.partition), *number);
        ensure!(
            read.offset == *number as i64 && read.key == sent.key && read.value == sent.value,
            "{read:?}"
        );
        ensure!(Some(read.timestamp_ms) == sent.timestamp_ms, "{read:?}");
        let headers: Vec<(Bytes, Option<Bytes>)> = sent
            .headers
            .into_iter()
            .map(|(key, value)| (key.as_bytes().clone(), value))
            .collect();
        ensure!(read.headers == headers, "{read:?}");
        *number += 1;
    }
    ensure!(
        next == (0..5).map(|partition| (partition, COUNT)).collect(),
        "{next:?}"
    );
    Ok(())
}

async fn starting_points(net: NetRef, config: ClientConfig) -> Result<()> {
    let admin = Admin::new(net.clone(), config.clone());
    create(&admin, topic("starts", 1)).await?;
    let producer = Producer::new(net.clone(), config.clone(), ProducerConfig::default());
    let deliveries = produce(
        &producer,
        (0..100).map(|number| record("starts", None, number)),
    )
    .await?;
    for delivery in deliveries {
        delivery.wait().await?;
    }
    let place = (Str::from("starts"), 0);
    let mut consumer = Consumer::new(net, config, ConsumerConfig::default());
    for (start, first) in [
        (StartAt::Earliest, 0),
        (StartAt::Offset(42), 42),
        (StartAt::Time(1_700_000_000_077), 77),
        (StartAt::Time(i64::MAX / 2), 100),
        (StartAt::Latest, 100),
    ] {
        consumer.assign(BTreeMap::new());
        consumer.assign([(place.clone(), start)].into());
        let offsets: Vec<i64> = read_to_end(&mut consumer)
            .await?
            .iter()
            .map(|record| record.offset)
            .collect();
        ensure!(
            offsets == (first..100).collect::<Vec<_>>(),
            "{start:?}: {offsets:?}"
        );
    }
    ensure!(consumer.seek(&place, StartAt::Offset(98)));
    ensure!(read_to_end(&mut consumer).await?.len() == 2);

    let lows = admin.delete_records([(place.clone(), 30)].into()).await?;
    ensure!(lows[&place] == Ok(30), "{lows:?}");
    ensure!(consumer.seek(&place, StartAt::Earliest));
    ensure!(read_to_end(&mut consumer).await?.len() == 70);
    let youngest = [(place.clone(), OffsetSpec::MaxTimestamp)].into();
    let listed = admin
        .cluster()
        .list_offsets(youngest, Isolation::ReadUncommitted)
        .await?;
    ensure!(
        listed[&place]
            .as_ref()
            .is_ok_and(|listed| listed.offset == 99),
        "{listed:?}"
    );
    Ok(())
}

fn member(group: &'static str, instance: Option<&'static str>) -> ConsumerConfig {
    ConsumerConfig {
        group_id: Some(group.into()),
        instance_id: instance.map(Str::from),
        reset: Some(Reset::Earliest),
        session_timeout: Duration::from_secs(6),
        heartbeat_interval: Duration::from_millis(500),
        poll_interval_max: Duration::from_secs(20),
        auto_commit: None,
        ..ConsumerConfig::default()
    }
}

async fn a_group_loses_a_member(net: NetRef, config: ClientConfig) -> Result<()> {
    const COUNT: usize = 6000;
    create(&Admin::new(net.clone(), config.clone()), topic("shared", 6)).await?;
    let producer = Producer::new(net.clone(), config.clone(), ProducerConfig::default());
    produce(
        &producer,
        (0..COUNT).map(|number| record("shared", None, number)),
    )
    .await?;
    producer.close().await;

    let join = || -> Result<Consumer> {
        let mut consumer = Consumer::new(net.clone(), config.clone(), member("three", None));
        consumer.subscribe(["shared".into()])?;
        Ok(consumer)
    };
    let board = RefCell::new(Board::default());
    let each = async |at: usize, member: &mut Consumer, records: Vec<ConsumerRecord>| {
        board.borrow_mut().note(at, member, &records)?;
        match member.commit().await {
            Ok(()) => {}
            // What it read before the rebalance it has committed before; now it has nothing.
            Err(error) if error.code().is_some() && records.is_empty() => {}
            Err(error) => bail!("commit of {} records: {error}", records.len()),
        }
        let mut board = board.borrow_mut();
        let shares: Vec<usize> = board.shares.values().copied().collect();
        if !board.killed && shares == [2, 2, 2] && board.seen.len() > 500 && at == 2 {
            board.killed = true;
            board.shares.remove(&2);
            return Ok(Next::Vanish);
        }
        let done = board.killed && shares == [3, 3] && board.seen.len() == COUNT;
        Ok(if done { Next::Done } else { Next::Poll })
    };
    let members = together(vec![join()?, join()?, join()?], each).await?;
    ensure!(
        board.borrow().seen.values().all(|times| *times == 1),
        "read twice"
    );
    for member in members {
        member.close().await;
    }
    Ok(())
}

/// What the members of a group have done together.
#[derive(Default)]
struct Board {
    /// Key → how often it was read.
    seen: BTreeMap<Bytes, usize>,
    /// Partition → last offset that somebody read.
    last: BTreeMap<i32, i64>,
    /// Member → how many partitions it has.
    shares: BTreeMap<usize, usize>,
    killed: bool,
}

impl Board {
    /// Each partition must be read on from the commit, whoever reads it.
    fn note(&mut self, at: usize, member: &Consumer, records: &[ConsumerRecord]) -> Result<()> {
        self.shares.insert(at, member.assignment().len());
        for record in records {
            let before = self.last.insert(record.partition, record.offset);
            ensure!(
                before.is_none_or(|before| record.offset > before),
                "{record:?} after {before:?}"
            );
            *self
                .seen
                .entry(record.key.clone().unwrap_or_default())
                .or_default() += 1;
        }
        Ok(())
    }
}

/// What a member does after a poll.
enum Next {
    Poll,
    /// It is gone without a word.
    Vanish,
    /// All have done what they should.
    Done,
}

/// Members at work side by side (a join waits for the others), until one says that all is done.
async fn together(
    members: Vec<Consumer>,
    each: impl AsyncFn(usize, &mut Consumer, Vec<ConsumerRecord>) -> Result<Next>,
) -> Result<Vec<Consumer>> {
    let done = Cell::new(false);
    let work = async |at: usize, mut member: Consumer| -> Result<Option<Consumer>> {
        let started = Instant::now();
        while !done.get() {
            let records = member.poll(WAIT).await?;
            match each(at, &mut member, records).await? {
                Next::Poll => ensure!(started.elapsed() < LIMIT, "no end in sight"),
                Next::Vanish => return Ok(None),
                Next::Done => done.set(true),
            }
        }
        Ok(Some(member))
    };
    let mut running: Vec<_> = (0..)
        .zip(members)
        .map(|(at, member)| Box::pin(work(at, member)))
        .collect();
    let mut finished: Vec<Option<Option<Consumer>>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (running, finished) in running.iter_mut().zip(&mut finished) {
            if finished.is_none()
                && let Poll::Ready(member) = running.as_mut().poll(context)
            {
                *finished = Some(member?);
            }
        }
        if finished.iter().all(Option::is_some) {
            Poll::Ready(Ok::<(), anyhow::Error>(()))
        } else {
            Poll::Pending
        }
    })
    .await?;
    Ok(finished.into_iter().flatten().flatten().collect())
}

async fn static_members(net: NetRef, config: ClientConfig) -> Result<()> {
    create(&Admin::new(net.clone(), config.clone()), topic("static", 4)).await?;
    let join = |instance| -> Result<Consumer> {
        let mut consumer =
            Consumer::new(net.clone(), config.clone(), member("fixed", Some(instance)));
        consumer.subscribe(["static".into()])?;
        Ok(consumer)
    };
    let mut members = settle(vec![join("one")?, join("two")?], &[2, 2]).await?;
    let (generation, before) = (members[1].generation(), members[1].assignment());
    let old_id = members[1].member_id();
    // It goes without a word and comes back in time: nobody else notices.
    members.pop();
    members.push(join("two")?);
    let mut members = settle(members, &[2, 2]).await?;
    ensure!(members[1].generation() == generation && members[0].generation() == generation);
    ensure!(members[1].assignment() == before && members[1].member_id() != old_id);
    // A twin fences the one that is there.
    let _twin = settle(vec![join("two")?], &[2]).await?;
    let started = Instant::now();
    loop {
        match members[1].poll(WAIT).await {
            Ok(_) => ensure!(started.elapsed() < LIMIT, "the fenced member goes on"),
            Err(error) => {
                ensure!(
                    error.code() == Some(ErrorCode::FENCED_INSTANCE_ID),
                    "{error}"
                );
                break;
            }
        }
    }
    let admin = Admin::new(net.clone(), config.clone());
    let removed = admin
        .remove_static_members(&"fixed".into(), &["one".into(), "two".into()])
        .await?;
    ensure!(
        removed.iter().all(|(_, answer)| answer.is_ok()),
        "{removed:?}"
    );
    Ok(())
}

/// Lets the members work until they have these many partitions each.
async fn settle(members: Vec<Consumer>, shares: &[usize]) -> Result<Vec<Consumer>> {
    let now = RefCell::new(BTreeMap::new());
    let each = async |at: usize, member: &mut Consumer, _: Vec<ConsumerRecord>| {
        let mut now = now.borrow_mut();
        now.insert(at, member.assignment().len());
        Ok(if now.values().eq(shares) {
            Next::Done
        } else {
            Next::Poll
        })
    };
    together(members, each).await
}

async fn groups_and_offsets(net: NetRef, config: ClientConfig) -> Result<()> {
    let admin = Admin::new(net.clone(), config.clone());
    create(&admin, topic("offsets", 2)).await?;
    let group = Str::from("told");
    let mut told = Consumer::new(net, config, member("told", None));
    told.subscribe(["offsets".into()])?;
    let mut members = settle(vec![told], &[2]).await?;
    let described = admin.describe_group(&group).await?;
    ensure!(
        described.group_state == "Stable" && described.protocol_data == "range",
        "{described:?}"
    );
    ensure!(
        described.members.len() == 1 && described.members[0].client_id == "ottla",
        "{described:?}"
    );
    let listed = admin
        .list_groups(&["Stable".into()], &["classic".into()])
        .await?;
    let ids: BTreeSet<Str> = listed
        .groups
        .into_iter()
        .map(|group| group.group_id)
        .collect();
    ensure!(ids.contains(&group) && listed.missing.is_empty(), "{ids:?}");

    let place = |partition| (Str::from("offsets"), partition);
    let committed = |offset| ottla_client::admin::CommittedOffset {
        offset,
        metadata: "by hand".into(),
        leader_epoch: -1,
    };
    let offsets = BTreeMap::from([(place(0), committed(7)), (place(1), committed(8))]);
    members[0].commit_offsets(&offsets).await?;
    ensure!(admin.group_offsets(&group).await? == offsets);
    // From outside only while nobody is in the group.
    let refused = admin.set_group_offsets(&group, &offsets).await?;
    let error = refused[&place(0)]
        .as_ref()
        .expect_err("it is refused")
        .error;
    ensure!(error == ErrorCode::UNKNOWN_MEMBER_ID, "{refused:?}");
    let refused = admin.delete_group_offsets(&group, &[place(0)]).await?;
    let error = refused[&place(0)]
        .as_ref()
        .expect_err("it is refused")
        .error;
    ensure!(error == ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC, "{refused:?}");
    let refused = admin.delete_groups(std::slice::from_ref(&group)).await?;
    let error = refused[0].1.as_ref().expect_err("it is refused").error;
    ensure!(error == ErrorCode::NON_EMPTY_GROUP, "{refused:?}");

    for member in members {
        member.close().await;
    }
    ensure!(admin.describe_group(&group).await?.group_state == "Empty");
    let moved = BTreeMap::from([(place(0), committed(1))]);
    let answers = admin.set_group_offsets(&group, &moved).await?;
    ensure!(answers[&place(0)].is_ok(), "{answers:?}");
    let answers = admin.delete_group_offsets(&group, &[place(1)]).await?;
    ensure!(answers[&place(1)].is_ok(), "{answers:?}");
    ensure!(admin.group_offsets(&group).await? == moved);
    let deleted = admin.delete_groups(std::slice::from_ref(&group)).await?;
    ensure!(deleted[0].1.is_ok(), "{deleted:?}");
    let error = admin.describe_group(&group).await.expect_err("it is gone");
    ensure!(
        error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND),
        "{error}"
    );
    ensure!(admin.group_offsets(&group).await?.is_empty());
    Ok(())
}

async fn a_broker_dies_under_a_producer<C: Cluster + Send + 'static>(
    net: NetRef,
    config: ClientConfig,
    cluster: C,
) -> Result<C> {
    const COUNT: usize = 20_000;
    create(
        &Admin::new(net.clone(), config.clone()),
        topic("endured", 3),
    )
    .await?;
    let settings = ProducerConfig {
        linger: Duration::ZERO,
        batch_bytes: 1024,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(net.clone(), config.clone(), settings);
    let mut pending = VecDeque::new();
    let mut at_work = Some(cluster);
    let mut restart = None;
    for number in 0..COUNT {
        // So many under way that all requests are in use, so few that the kill comes in the middle.
        if pending.len() >= 300 {
            let delivery: Delivery = pending.pop_front().context("empty")?;
            delivery.wait().await?;
        }
        // Stamped now: Apache Kafka forgets a producer at a restart when its records say that they are older than a day.
        let place = Some((number % 3) as i32);
        let stamped = ProducerRecord {
            timestamp_ms: None,
            ..record("endured", place, number)
        };
        pending.push_back(producer.send(stamped).await?);
        if number >= COUNT / 2
            && let Some(mut cluster) = at_work.take()
        {
            let (give_back, returned) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let restarted = cluster.kill().and_then(|()| cluster.start());
                let _ = give_back.send(restarted.map(|()| cluster));
            });
            restart = Some(returned);
        }
    }
    for delivery in pending {
        delivery.wait().await?;
    }
    let cluster = restart
        .context("no restart")?
        .await
        .context("the restart went away")??;
    producer.close().await;

    let mut consumer = Consumer::new(net, config, ConsumerConfig::default());
    consumer.assign(
        (0..3)
            .map(|partition| (("endured".into(), partition), StartAt::Earliest))
            .collect(),
    );
    let mut next: BTreeMap<i32, usize> = (0..3)
        .map(|partition| (partition, partition as usize))
        .collect();
    for read in read_to_end(&mut consumer).await? {
        let number = next.entry(read.partition).or_default();
        let key = Bytes::from(format!("key {number}"));
        ensure!(
            read.key.as_ref() == Some(&key),
            "{:?} at {}-{} instead of {key:?}",
            read.key,
            read.partition,
            read.offset
        );
        *number += 3;
    }
    ensure!(next.values().all(|number| *number >= COUNT), "{next:?}");
    Ok(cluster)
}
