//! Metadata snapshots between Ottla and Apache Kafka 4.3.1, live. Goal: a node of either kind joins,
//! or takes over, where only a snapshot tells of the beginning; and Kafka's tools read the snapshot that
//! a running node of ours wrote.
//! Method: topics are made while snapshots are so frequent and kept so briefly that the metadata log
//! loses its front; then (1) Kafka's dump and shell read our newest file and a JVM broker joins our
//! controller, (2) a broker of ours joins a JVM controller and arrives at the image that Kafka's classes
//! make of the JVM's own files (`jvm/MetadataImageRecords.java`), (3) one directory goes from Ottla to
//! Apache Kafka and back.
//! Needs: jvm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ottla_broker_metadata::{Image, Provenance, Replayer, SnapshotReader, decode_batch};
use ottla_client::admin::NewTopic;
use ottla_client::{Admin, ClientConfig, tcp};
use ottla_e2e::{
    Properties, Running, answers, free_ports, java, kafka_classpath, ottla_binary, tail_of, until,
};
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::batches;
use ottla_protocol::{Bytes, Uuid};

const LIMIT: Duration = Duration::from_secs(90);
const METADATA: &str = "__cluster_metadata-0";
const CLUSTER: &str = "Mj2Tmj2TSYSFj2TmMj2Tmw";

/// Every few topics bring a snapshot, and then nothing before it stays.
const FREQUENT: &[(&str, &str)] = &[
    ("metadata.log.max.record.bytes.between.snapshots", "2000"),
    ("metadata.max.retention.bytes", "1"),
    // A batch of Kafka's about all partitions of a broker must fit.
    ("internal.metadata.log.segment.bytes", "32768"),
    ("internal.metadata.delete.delay.millis", "100"),
];

/// What Kafka would finalize and we do not serve yet.
const FEATURES_AT_ZERO: &[&str] = &[
    "group.version=0",
    "transaction.version=0",
    "share.version=0",
    "streams.version=0",
];

/// One node's folder: `server.properties`, `data/`, a log per life.
struct Node {
    dir: tempfile::TempDir,
    address: String,
    controller: String,
    lives: u32,
}

impl Node {
    fn combined() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ports = free_ports(2)?;
        let properties = Properties::combined(1, ports[0], ports[1], &dir.path().join("data"));
        Self::new(dir, properties, ports[0], format!("127.0.0.1:{}", ports[1]))
    }

    /// Node 2, only a broker, beside a controller.
    fn broker(controller: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = free_ports(1)?[0];
        let properties = Properties::combined(2, port, 1, &dir.path().join("data"))
            .with("process.roles", "broker")
            .with("listeners", format!("PLAINTEXT://127.0.0.1:{port}"))
            .with("controller.quorum.bootstrap.servers", controller);
        Self::new(dir, properties, port, controller.to_owned())
    }

    fn new(
        dir: tempfile::TempDir,
        properties: Properties,
        port: u16,
        controller: String,
    ) -> Result<Self> {
        let properties = properties.with_all(FREQUENT);
        fs::write(dir.path().join("server.properties"), properties.to_string())?;
        Ok(Self {
            dir,
            address: format!("127.0.0.1:{port}"),
            controller,
            lives: 0,
        })
    }

    fn metadata(&self) -> PathBuf {
        self.dir.path().join("data").join(METADATA)
    }

    fn format(&self, arguments: &[&str]) -> Result<()> {
        let mut format = java(&kafka_classpath()?);
        format
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"])
            .arg(self.dir.path().join("server.properties"))
            .args(arguments);
        for feature in FEATURES_AT_ZERO {
            format.args(["--feature", feature]);
        }
        let output = format.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{errors}");
        Ok(())
    }

    fn ottla(&mut self) -> Result<Running> {
        let mut command = Command::new(ottla_binary()?);
        command.arg("broker");
        self.start("ottla broker", command.env("CLUSTER_ID", CLUSTER))
    }

    fn kafka(&mut self) -> Result<Running> {
        let mut command = java(&kafka_classpath()?);
        self.start("Apache Kafka", command.arg("kafka.Kafka"))
    }

    fn start(&mut self, name: &str, command: &mut Command) -> Result<Running> {
        self.lives += 1;
        let log = self.dir.path().join(format!("{}.log", self.lives));
        command.arg(self.dir.path().join("server.properties"));
        let mut running = Running::start(name, command, &log)?;
        until(format!("{name} to serve"), LIMIT, || {
            running.expect_alive()?;
            Ok(answers(&self.address).then_some(()))
        })
        .with_context(|| tail_of(&log, 60))?;
        Ok(running)
    }

    /// Ends of the snapshots that are finished, the format's own left out.
    fn snapshots(&self) -> Result<BTreeMap<i64, PathBuf>> {
        let files = files(&self.metadata(), "checkpoint")?;
        let ends = files
            .into_iter()
            .map(|path| Ok((end_of(&path)?, path)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        Ok(ends.into_iter().filter(|(end, _)| *end > 0).collect())
    }

    fn newest_snapshot(&self) -> Result<PathBuf> {
        let (_, newest) = self.snapshots()?.pop_last().context("no snapshot")?;
        Ok(newest)
    }

    /// Waits until there is a snapshot and the log does not begin at 0 any more.
    fn until_the_front_is_gone(&self) -> Result<()> {
        let first = self.metadata().join("00000000000000000000.log");
        until("the metadata log to lose its front", LIMIT, || {
            let is_gone = !first.exists() && !self.snapshots()?.is_empty();
            Ok(is_gone.then_some(()))
        })
    }
}

fn end_of(path: &Path) -> Result<i64> {
    let name = path.file_name().context("a file has a name")?;
    let name = name.to_string_lossy();
    let digits = name.split(['-', '.']).next().unwrap_or_default();
    Ok(digits.parse()?)
}

/// Files of a directory that end in `.suffix`, in the order of their offsets.
fn files(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut found: Vec<PathBuf> = entries.collect::<Result<_>>()?;
    found.retain(|path| path.extension().is_some_and(|found| found == suffix));
    found.sort();
    Ok(found)
}

fn create_topics(address: &str, numbers: Range<u32>) -> Result<()> {
    let config = ClientConfig::for_servers(address)?;
    tcp::run(|net| async move {
        let admin = Admin::new(net, config);
        for number in numbers {
            let topic = NewTopic {
                name: format!("topic-{number}").into(),
                partitions: Some(1),
                replication_factor: Some(1),
                configs: [("retention.ms".into(), "3600000".into())].into(),
                ..NewTopic::default()
            };
            for (name, created) in admin.create_topics(vec![topic], false).await? {
                created.map_err(|failure| anyhow!("{name} is not created: {failure}"))?;
            }
        }
        Ok(())
    })?
}

/// Names and ids of the topics that a broker knows.
fn topics(address: &str) -> Result<BTreeMap<String, Uuid>> {
    let config = ClientConfig::for_servers(address)?;
    tcp::run(|net| async move {
        let listed = Admin::new(net, config).list_topics().await?;
        Ok(listed
            .into_iter()
            .map(|topic| (topic.name.to_string(), topic.id))
            .collect())
    })?
}

fn until_topics_are(address: &str, expected: &BTreeMap<String, Uuid>) -> Result<()> {
    until(format!("{address} to know all topics"), LIMIT, || {
        Ok((topics(address)? == *expected).then_some(()))
    })
}

fn tool(arguments: &[&str]) -> Result<String> {
    let output = java(&kafka_classpath()?).args(arguments).output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {stdout}{errors}");
    Ok(stdout)
}

#[test]
fn kafkas_tools_and_a_jvm_broker_begin_with_our_snapshot() -> Result<()> {
    let mut ours = Node::combined()?;
    let mut ottla = ours.ottla()?;
    create_topics(&ours.address, 0..180)?;
    ours.until_the_front_is_gone()?;

    // Copied: the running node may replace it any time.
    let newest = ours.newest_snapshot()?;
    let copy = ours
        .dir
        .path()
        .join(newest.file_name().context("it has a name")?);
    fs::copy(&newest, &copy)?;
    let path = copy.to_string_lossy();
    let dump = tool(&[
        "org.apache.kafka.tools.DumpLogSegments",
        "--cluster-metadata-decoder",
        "--files",
        &path,
    ])?;
    let parts = [
        "SnapshotHeader",
        "KRaftVersion",
        "KRaftVoters",
        "\"name\":\"topic-0\"",
        "REGISTER_BROKER_RECORD",
        "SnapshotFooter",
    ];
    for part in parts {
        ensure!(
            dump.contains(part),
            "kafka-dump-log shows no {part}: {dump}"
        );
    }
    ensure!(!dump.contains("\"lastContainedLogTimestamp\":0,"), "{dump}");
    // The shell may run its command before it has published what it read: asked again until it has.
    until("the metadata shell to show a partition", LIMIT, || {
        let shown = tool(&[
            "org.apache.kafka.shell.MetadataShell",
            "--snapshot",
            &path,
            "cat",
            "/image/topics/byName/topic-0/0",
        ])?;
        Ok(shown.contains("leader=1").then_some(()))
    })?;

    let mut theirs = Node::broker(&ours.controller)?;
    theirs.format(&[])?;
    let mut kafka = theirs.kafka()?;
    let expected = topics(&ours.address)?;
    ensure!(expected.len() == 180, "{expected:?}");
    until_topics_are(&theirs.address, &expected)?;
    ensure!(
        !theirs.metadata().join("00000000000000000000.log").exists(),
        "the JVM broker was given the log from its beginning"
    );
    let fetched = theirs.snapshots()?;
    ensure!(!fetched.is_empty(), "the JVM broker fetched no snapshot");

    // It goes on behind the snapshot.
    create_topics(&ours.address, 180..190)?;
    until_topics_are(&theirs.address, &topics(&ours.address)?)?;
    kafka.stop(LIMIT)?;
    ottla.stop(LIMIT)?;
    Ok(())
}

/// Replays a snapshot and the log files behind it.
fn replay(snapshot: &Path, logs: &[PathBuf]) -> Result<Image> {
    let mut replayer = Replayer::default();
    let mut reader = SnapshotReader::new();
    for batch in batches(Bytes::from(fs::read(snapshot)?)) {
        for record in reader.batch(&batch?)? {
            replayer.replay(0, &record)?;
        }
    }
    reader.finish()?;
    let end = end_of(snapshot)?;
    for log in logs {
        for batch in batches(Bytes::from(fs::read(log)?)) {
            let batch = batch?;
            let header = batch.header();
            if header.attributes.is_control() || header.base_offset < end {
                continue;
            }
            for (offset, record) in decode_batch(&batch)? {
                replayer.replay(offset, &record)?;
            }
        }
    }
    let published = replayer.publish(Provenance::default());
    Ok(published.context("the log ends inside a transaction")?.0)
}

/// The records of an image that stay the same when brokers come and go, without what Kafka's image does
/// not keep.
fn lasting(records: impl Iterator<Item = MetadataRecord>) -> BTreeSet<String> {
    let lasting = records.filter(|record| {
        matches!(
            record,
            MetadataRecord::Topic(_) | MetadataRecord::Config(_) | MetadataRecord::FeatureLevel(_)
        )
    });
    lasting.map(|record| format!("{record:?}")).collect()
}

fn lasting_of(image: &Image) -> BTreeSet<String> {
    let records = image.to_records(image.metadata_version());
    lasting(records.map(|record| record.record))
}

/// What Kafka's own classes make of files.
fn kafkas_lasting(files: &[PathBuf]) -> Result<BTreeSet<String>> {
    let source = format!(
        "{}/jvm/MetadataImageRecords.java",
        env!("CARGO_MANIFEST_DIR")
    );
    let paths = files.iter().map(|file| file.to_string_lossy());
    let arguments: Vec<String> = std::iter::once(source)
        .chain(paths.map(|path| path.into_owned()))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let lines = tool(&arguments)?;
    let records = lines.lines().map(|line| {
        let bytes: Vec<u8> = (0..line.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&line[at..at + 2], 16))
            .collect::<Result<_, _>>()?;
        Ok(MetadataRecord::decode(bytes.into())?)
    });
    Ok(lasting(records.collect::<Result<Vec<_>>>()?.into_iter()))
}

#[test]
fn our_broker_begins_with_a_jvm_controllers_snapshot() -> Result<()> {
    let mut theirs = Node::combined()?;
    theirs.format(&["--standalone"])?;
    let mut kafka = theirs.kafka()?;
    create_topics(&theirs.address, 0..180)?;
    // Kafka cleans its metadata log when it starts and then once a minute.
    kafka.stop(LIMIT)?;
    let mut kafka = theirs.kafka()?;
    theirs.until_the_front_is_gone()?;

    let mut ours = Node::broker(&theirs.controller)?;
    let mut ottla = ours.ottla()?;
    let expected = topics(&theirs.address)?;
    ensure!(expected.len() == 180, "{expected:?}");
    until_topics_are(&ours.address, &expected)?;
    create_topics(&theirs.address, 180..190)?;
    until_topics_are(&ours.address, &topics(&theirs.address)?)?;

    ottla.stop(LIMIT)?;
    kafka.stop(LIMIT)?;
    ensure!(
        !ours.metadata().join("00000000000000000000.log").exists(),
        "we were given the log from its beginning"
    );
    let image = replay(&ours.newest_snapshot()?, &files(&ours.metadata(), "log")?)?;
    // Kafka's replay does not skip what a snapshot holds: only one that nothing follows, or all that does.
    let snapshot = theirs.newest_snapshot()?;
    let theirs_image = replay(&snapshot, &files(&theirs.metadata(), "log")?)?;
    assert_eq!(lasting_of(&image), lasting_of(&theirs_image));
    let from_snapshot = replay(&snapshot, &[])?;
    assert_eq!(
        lasting_of(&from_snapshot),
        kafkas_lasting(std::slice::from_ref(&snapshot))?
    );
    // What our broker wrote of the image that it observed, by Kafka's classes.
    let own = ours.newest_snapshot()?;
    assert_eq!(lasting_of(&replay(&own, &[])?), kafkas_lasting(&[own])?);
    Ok(())
}

#[test]
fn a_directory_whose_log_has_lost_its_front_goes_to_apache_kafka_and_back() -> Result<()> {
    let mut node = Node::combined()?;
    let mut ottla = node.ottla()?;
    create_topics(&node.address, 0..180)?;
    node.until_the_front_is_gone()?;
    let before = topics(&node.address)?;
    ottla.stop(LIMIT)?;

    let mut kafka = node.kafka()?;
    until_topics_are(&node.address, &before)?;
    create_topics(&node.address, 180..230)?;
    let last_of_ours = *node.snapshots()?.first_key_value().context("kept")?.0;
    // Cleaned at its next start.
    kafka.stop(LIMIT)?;
    let mut kafka = node.kafka()?;
    until("Apache Kafka to clean what we left", LIMIT, || {
        let first = node.snapshots()?.first_key_value().map(|(end, _)| *end);
        Ok(first.filter(|end| *end > last_of_ours))
    })?;
    let between = topics(&node.address)?;
    ensure!(between.len() == 230, "{between:?}");
    kafka.stop(LIMIT)?;

    let mut ottla = node.ottla()?;
    until_topics_are(&node.address, &between)?;
    create_topics(&node.address, 230..240)?;
    ensure!(topics(&node.address)?.len() == 240);
    ottla.stop(LIMIT)?;
    Ok(())
}
