//! Kafka's own tools on our metadata quorum. Goal: who operates Kafka keeps the tools: the quorum is
//! described, and the metadata log, the format's checkpoints and meta.properties are read, by Apache
//! Kafka 4.3.1's programs.
//! Method: one Ottla node; topics and configs are made with the JVM admin tools; `kafka-metadata-quorum`
//! asks the broker and the controller; after a clean stop `kafka-dump-log` reads every file, and Kafka's
//! classes (`jvm/MetadataImageRecords.java`) make of the log the image that our replay makes of it.
//! Needs: jvm.

use anyhow::{Context, Result, ensure};
use ottla_broker_metadata::{Image, Provenance, Replayer, decode_batch};
use ottla_e2e::{Cluster, OttlaBroker, kafka_classpath};
use ottla_protocol::Bytes;
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::batches;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Runs a main class of Kafka's; its output.
fn tool(class: &str, arguments: &[&str]) -> Result<String> {
    let output = ottla_e2e::java(&kafka_classpath()?)
        .arg(class)
        .args(arguments)
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{class} {arguments:?}: {stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}

fn property(broker: &OttlaBroker, key: &str) -> Result<String> {
    let data = broker.data();
    let file = data
        .parent()
        .context("the data directory has a parent")?
        .join("server.properties");
    let text = fs::read_to_string(file)?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(value.with_context(|| format!("no {key}"))?.to_owned())
}

fn replay(log: &Path) -> Result<Image> {
    let mut replayer = Replayer::default();
    for batch in batches(Bytes::from(fs::read(log)?)) {
        let batch = batch?;
        batch.check_crc()?;
        if batch.header().attributes.is_control() {
            continue;
        }
        for (offset, record) in decode_batch(&batch)? {
            replayer.replay(offset, &record)?;
        }
    }
    Ok(replayer
        .publish(Provenance::default())
        .context("the log ends inside a transaction")?
        .0)
}

/// As a set, without what Kafka's image does not keep.
fn comparable(records: impl Iterator<Item = MetadataRecord>) -> BTreeSet<String> {
    let shown = records.map(|mut record| {
        match &mut record {
            MetadataRecord::RegisterBroker(record) => {
                record
                    .end_points
                    .sort_by_key(|endpoint| endpoint.name.clone());
                record.features.sort_by_key(|feature| feature.name.clone());
                record.log_dirs.sort();
            }
            MetadataRecord::ProducerIds(record) => {
                (record.broker_id, record.broker_epoch) = (-1, -1)
            }
            _ => {}
        }
        format!("{record:?}")
    });
    shown.collect()
}

#[test]
fn kafkas_tools_describe_the_quorum_and_read_its_files() -> Result<()> {
    let mut broker = OttlaBroker::new(&[])?;
    broker.start()?;
    let bootstrap = broker.bootstrap();
    let controller = property(&broker, "controller.quorum.bootstrap.servers")?;

    tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--create",
            "--topic",
            "some.topic",
            "--partitions",
            "3",
            "--config",
            "retention.ms=1000",
        ],
    )?;
    let described = tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--describe",
            "--topic",
            "some.topic",
        ],
    )?;
    ensure!(
        described.contains("PartitionCount: 3") && described.contains("retention.ms=1000"),
        "{described}"
    );

    for (flag, address) in [
        ("--bootstrap-server", &bootstrap),
        ("--bootstrap-controller", &controller),
    ] {
        let quorum = "org.apache.kafka.tools.MetadataQuorumCommand";
        let status = tool(quorum, &[flag, address, "describe", "--status"])?;
        let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in [
            "LeaderId: 1",
            "LeaderEpoch: 1",
            "MaxFollowerLag: 0",
            "\"directoryId\": \"",
            &format!("CONTROLLER://{controller}"),
        ] {
            ensure!(
                status.contains(expected),
                "{flag}: no {expected:?} in {status}"
            );
        }
        let replication = tool(quorum, &[flag, address, "describe", "--replication"])?;
        ensure!(replication.contains("Leader"), "{flag}: {replication}");
    }
    broker.stop()?;

    let data = broker.data();
    let dir = data.join("__cluster_metadata-0");
    let log = dir.join("00000000000000000000.log");
    let format = dir.join("00000000000000000000-0000000000.checkpoint");
    for (file, expected) in [
        (
            &log,
            &[
                "LeaderChange",
                "KRaftVersion",
                "KRaftVoters",
                "REGISTER_BROKER_RECORD",
                "\"name\":\"some.topic\"",
                "PARTITION_RECORD",
            ][..],
        ),
        (
            &format,
            &[
                "SnapshotHeader",
                "KRaftVersion",
                "KRaftVoters",
                "SnapshotFooter",
            ],
        ),
        (
            &data.join("bootstrap.checkpoint"),
            &[
                "SnapshotHeader",
                "\"name\":\"metadata.version\",\"featureLevel\":30",
                "SnapshotFooter",
            ],
        ),
    ] {
        let path = file.to_string_lossy();
        let dump = tool(
            "org.apache.kafka.tools.DumpLogSegments",
            &["--cluster-metadata-decoder", "--files", &path],
        )?;
        ensure!(
            !dump.contains("Could not") && !dump.contains("corrupt"),
            "{path}: {dump}"
        );
        for expected in expected {
            ensure!(dump.contains(expected), "{path}: no {expected} in {dump}");
        }
    }

    let ours = replay(&log)?;
    let source = format!(
        "{}/jvm/MetadataImageRecords.java",
        env!("CARGO_MANIFEST_DIR")
    );
    let lines = tool(&source, &[&log.to_string_lossy()])?;
    let kafkas = lines.lines().map(|line| {
        let bytes: Vec<u8> = (0..line.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&line[at..at + 2], 16))
            .collect::<Result<_, _>>()?;
        Ok(MetadataRecord::decode(bytes.into())?)
    });
    let kafkas: Vec<MetadataRecord> = kafkas.collect::<Result<_>>()?;
    assert_eq!(
        comparable(
            ours.to_records(ours.metadata_version())
                .map(|record| record.record)
        ),
        comparable(kafkas.into_iter())
    );
    Ok(())
}
