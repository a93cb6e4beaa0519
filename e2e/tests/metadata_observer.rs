//! Our metadata image against Apache Kafka's. Goal: whatever a JVM controller writes, an observer of ours
//! arrives at the image that Kafka's own classes arrive at, from the log as from a snapshot; and what we
//! write as a snapshot is read by Kafka's classes and tools without a loss.
//! Method: a JVM node is led through every kind of change (`jvm/MetadataTour.java`) and stopped; its
//! `__cluster_metadata-0` is replayed by both sides (`jvm/MetadataImageRecords.java`), and the two images
//! are compared as records.
//! Needs: jvm.

use anyhow::{Context, Result, ensure};
use ottla_broker_metadata::{
    Image, Provenance, Replayer, SnapshotHead, SnapshotReader, decode_batch, encode_snapshot,
};
use ottla_e2e::{Cluster, JvmKafka, kafka_classpath, until};
use ottla_protocol::metadata_records::*;
use ottla_protocol::records::batches;
use ottla_protocol::{Bytes, Str, Uuid};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

fn jvm_source(name: &str) -> String {
    format!("{}/jvm/{name}.java", env!("CARGO_MANIFEST_DIR"))
}

/// Files of a log directory that end in `.suffix`, in name order: the order of their offsets.
fn files(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == suffix)
    });
    found.sort();
    Ok(found)
}

/// Replays files with our parser; returns the image and the types of records that were seen.
fn replay(files: &[PathBuf]) -> Result<(Image, BTreeSet<&'static str>)> {
    let mut replayer = Replayer::default();
    let mut seen = BTreeSet::new();
    let mut last = Provenance::default();
    for file in files {
        let bytes = Bytes::from(fs::read(file).with_context(|| format!("{}", file.display()))?);
        let mut snapshot = file
            .extension()
            .is_some_and(|extension| extension == "checkpoint")
            .then(SnapshotReader::new);
        for batch in batches(bytes) {
            let batch = batch?;
            batch.check_crc()?;
            let records = match &mut snapshot {
                Some(reader) => reader
                    .batch(&batch)?
                    .into_iter()
                    .map(|record| (0, record))
                    .collect(),
                None if batch.header().attributes.is_control() => Vec::new(),
                None => decode_batch(&batch)?,
            };
            for (offset, record) in records {
                seen.insert(record.name());
                replayer.replay(offset, &record)?;
            }
            last = Provenance {
                offset: batch.header().last_offset(),
                epoch: batch.header().partition_leader_epoch,
                timestamp_ms: batch.header().max_timestamp,
            };
        }
        if let Some(reader) = snapshot {
            reader.finish()?;
        }
    }
    let (image, _) = replayer
        .publish(last)
        .context("the log ends inside a transaction")?;
    Ok((image, seen))
}

/// Lists whose order means nothing (Kafka keeps them in maps) are sorted.
fn normalized(mut record: MetadataRecord) -> String {
    match &mut record {
        MetadataRecord::RegisterBroker(record) => {
            record
                .end_points
                .sort_by_key(|endpoint| endpoint.name.clone());
            record.features.sort_by_key(|feature| feature.name.clone());
            record.log_dirs.sort();
        }
        MetadataRecord::RegisterController(record) => {
            record
                .end_points
                .sort_by_key(|endpoint| endpoint.name.clone());
            record.features.sort_by_key(|feature| feature.name.clone());
        }
        MetadataRecord::ClientQuota(record) => {
            record.entity.sort_by_key(|part| part.entity_type.clone())
        }
        // Kafka's image keeps only the next id.
        MetadataRecord::ProducerIds(record) => (record.broker_id, record.broker_epoch) = (-1, -1),
        _ => {}
    }
    format!("{record:?}")
}

fn records_of(image: &Image) -> BTreeSet<String> {
    image
        .to_records(image.metadata_version())
        .map(|record| normalized(record.record))
        .collect()
}

/// The image that Kafka's classes make of the files, as records.
fn kafkas_records(files: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut java = ottla_e2e::java(&kafka_classpath()?);
    let output = java
        .arg(jvm_source("MetadataImageRecords"))
        .args(files)
        .output()?;
    let lines = succeeded(output)?;
    let decoded = lines.lines().map(|line| {
        let bytes: Vec<u8> = (0..line.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&line[at..at + 2], 16))
            .collect::<Result<_, _>>()?;
        Ok(normalized(MetadataRecord::decode(bytes.into())?))
    });
    decoded.collect()
}

fn succeeded(output: Output) -> Result<String> {
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn assert_same(ours: &BTreeSet<String>, kafkas: &BTreeSet<String>) {
    let only_ours: Vec<_> = ours.difference(kafkas).collect();
    let only_kafkas: Vec<_> = kafkas.difference(ours).collect();
    assert!(
        only_ours.is_empty() && only_kafkas.is_empty(),
        "only ours: {only_ours:#?}\nonly Kafka's: {only_kafkas:#?}"
    );
}

#[test]
fn the_image_of_a_jvm_controllers_log_is_kafkas_own() -> Result<()> {
    let mut kafka = JvmKafka::new(&[
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
        // Small, so that there is a snapshot in the middle of the tour.
        ("metadata.log.max.record.bytes.between.snapshots", "2000"),
    ])?;
    kafka.start()?;
    let tour = kafka
        .java()
        .arg(jvm_source("MetadataTour"))
        .arg(kafka.bootstrap())
        .output()?;
    succeeded(tour)?;
    kafka.stop()?;

    let dir = kafka.data().join("__cluster_metadata-0");
    let logs = files(&dir, "log")?;
    let (image, seen) = replay(&logs)?;
    for expected in [
        "RegisterBrokerRecord",
        "BrokerRegistrationChangeRecord",
        "TopicRecord",
        "PartitionRecord",
        "PartitionChangeRecord",
        "RemoveTopicRecord",
        "ConfigRecord",
        "ClientQuotaRecord",
        "ProducerIdsRecord",
        "AccessControlEntryRecord",
        "RemoveAccessControlEntryRecord",
        "UserScramCredentialRecord",
        "RemoveUserScramCredentialRecord",
        "FeatureLevelRecord",
        "NoOpRecord",
        "BeginTransactionRecord",
        "EndTransactionRecord",
        "RegisterControllerRecord",
        "ClearElrRecord",
    ] {
        assert!(
            seen.contains(expected),
            "the tour should have made a {expected}; seen: {seen:?}"
        );
    }
    assert_eq!(
        image.topic("plain").map(|topic| topic.partitions.len()),
        Some(70)
    );
    assert_same(&records_of(&image), &kafkas_records(&logs)?);

    // From its latest snapshot and what follows, the same image.
    let snapshots: Vec<PathBuf> = files(&dir, "checkpoint")?
        .into_iter()
        .filter(|path| !path.ends_with("00000000000000000000-0000000000.checkpoint"))
        .collect();
    let latest = snapshots
        .last()
        .context("the JVM controller wrote no snapshot")?;
    let (from_snapshot, _) = replay(std::slice::from_ref(latest))?;
    assert_same(
        &records_of(&from_snapshot),
        &kafkas_records(std::slice::from_ref(latest))?,
    );

    // Our snapshot of the image is read by Kafka's classes as the same image.
    let written = kafka
        .dir()
        .join("00000000000000099999-0000000001.checkpoint");
    write_snapshot(&image, &written)?;
    assert_same(
        &records_of(&image),
        &kafkas_records(std::slice::from_ref(&written))?,
    );
    Ok(())
}

fn write_snapshot(image: &Image, path: &Path) -> Result<()> {
    let head = SnapshotHead {
        last_contained_log_timestamp: 5,
        kraft_version: 1,
        voters: Some(Default::default()),
    };
    let batches: Vec<Bytes> = encode_snapshot(
        image.to_records(image.metadata_version()),
        &head,
        1,
        1_700_000_000_000,
    )
    .collect::<Result<_, _>>()?;
    fs::write(path, batches.concat())?;
    Ok(())
}

/// An image with what a plaintext JVM node cannot be made to write.
fn rich_image(partitions: i32) -> Result<Image> {
    let topic_id: Uuid = "IP6lWZL2RWOiLbMrW8tRHg".parse()?;
    let directory: Uuid = "u9nJBoPoRIaczzTNHBmWLw".parse()?;
    let feature = |name: &str, level| {
        MetadataRecord::from(FeatureLevelRecord {
            name: name.into(),
            feature_level: level,
            ..Default::default()
        })
    };
    let partition = |index: i32| {
        let record = PartitionRecord {
            partition_id: index,
            topic_id,
            replicas: vec![1, 2, 3],
            isr: vec![2],
            removing_replicas: vec![3],
            adding_replicas: vec![1],
            leader: if index % 2 == 0 { 2 } else { -1 },
            leader_recovery_state: (index % 2) as i8,
            leader_epoch: 4,
            partition_epoch: index,
            directories: vec![directory; 3],
            eligible_leader_replicas: Some(vec![1]),
            last_known_elr: Some(vec![3]),
            ..Default::default()
        };
        MetadataRecord::from(record)
    };
    let token = |id: &str| DelegationTokenRecord {
        owner: "User:owner".into(),
        requester: "User:requester".into(),
        renewers: vec![Str::from("User:renewer")],
        issue_timestamp: 1,
        max_timestamp: 3,
        expiration_timestamp: 2,
        token_id: id.into(),
        ..Default::default()
    };
    let mut records = vec![
        feature("metadata.version", 30),
        feature("eligible.leader.replicas.version", 1),
        feature("transaction.version", 2),
        TopicRecord {
            name: "rich".into(),
            topic_id,
            ..Default::default()
        }
        .into(),
        token("one").into(),
        token("two").into(),
        RegisterControllerRecord {
            controller_id: 7,
            incarnation_id: directory,
            ..Default::default()
        }
        .into(),
    ];
    records.extend((0..partitions).map(partition));
    let mut replayer = Replayer::default();
    for record in &records {
        replayer.replay(0, record)?;
    }
    let published = replayer.publish(Provenance {
        offset: 77,
        epoch: 3,
        timestamp_ms: 5,
    });
    Ok(published.context("no transaction is open")?.0)
}

#[test]
fn kafkas_classes_and_tools_read_our_snapshot() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir
        .path()
        .join("00000000000000000078-0000000003.checkpoint");
    let image = rich_image(5000)?;
    write_snapshot(&image, &path)?;
    let (again, _) = replay(std::slice::from_ref(&path))?;
    assert_same(&records_of(&image), &records_of(&again));
    assert_same(
        &records_of(&image),
        &kafkas_records(std::slice::from_ref(&path))?,
    );

    // For the tools a small one: the shell is quicker to show it.
    write_snapshot(&rich_image(20)?, &path)?;
    let classpath = kafka_classpath()?;
    let dump = ottla_e2e::java(&classpath)
        .args([
            "org.apache.kafka.tools.DumpLogSegments",
            "--cluster-metadata-decoder",
            "--files",
        ])
        .arg(&path)
        .output()?;
    let dump = succeeded(dump)?;
    for expected in [
        "SnapshotHeader",
        "KRaftVersion",
        "KRaftVoters",
        "SnapshotFooter",
        "\"name\":\"rich\"",
        "DELEGATION_TOKEN_RECORD",
    ] {
        assert!(
            dump.contains(expected),
            "kafka-dump-log should show {expected}: {}",
            &dump[..dump.len().min(2000)]
        );
    }

    // The shell may run its command before it has published what it read: asked again until it has.
    until(
        "the metadata shell to show a partition",
        Duration::from_secs(90),
        || {
            let shell = ottla_e2e::java(&classpath)
                .args(["org.apache.kafka.shell.MetadataShell", "--snapshot"])
                .arg(&path)
                .args(["cat", "/image/topics/byName/rich/8"])
                .output()?;
            let shell = succeeded(shell)?;
            Ok((shell.contains("partitionEpoch=8") && shell.contains("leader=2")).then_some(()))
        },
    )?;
    Ok(())
}
