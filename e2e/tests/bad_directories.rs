//! Goal: a data directory that cannot be used is refused with cause and next step, and nothing in it is
//! touched; what is only a cache is made again, and the broker answers as before. Method: one broker
//! writes a directory and stops; each case damages a copy of it, or starts a broker on it that it does
//! not belong to, and looks at exit code, last words and every byte of the directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Properties, Running, Wire, answers, free_ports, ottla_binary, until};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_protocol::records::{BatchBuilder, BatchOptions, Producer};

const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "kept";
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";
const OTHER_CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qk";
/// Of the first record, in milliseconds: lately, because a producer of long ago is forgotten.
static FIRST_TIMESTAMP: LazyLock<i64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis() as i64);
    now - i64::from(RECORDS) * 1000
});
/// Records of 100 KiB: four segments of 1 MiB.
const RECORDS: i32 = 32;

/// What happens to one file.
type Damage = fn(&Path) -> std::io::Result<()>;

/// A broker's settings and directory.
struct Node {
    dir: tempfile::TempDir,
    data: PathBuf,
    port: u16,
    controller_port: u16,
}

impl Node {
    fn new() -> Result<Node> {
        let dir = tempfile::tempdir()?;
        let ports = free_ports(2)?;
        Ok(Node {
            data: dir.path().join("data"),
            dir,
            port: ports[0],
            controller_port: ports[1],
        })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts `ottla broker` as node `id` of `cluster`; its output goes to a log of this `life`.
    fn launch(&self, id: i32, cluster: &str, life: &str) -> Result<Running> {
        let properties = Properties::combined(id, self.port, self.controller_port, &self.data);
        let file = self.dir.path().join(format!("{life}.properties"));
        fs::write(&file, properties.to_string())?;
        let mut command = Command::new(ottla_binary()?);
        command.arg("broker").arg(&file).env("CLUSTER_ID", cluster);
        let log = self.dir.path().join(format!("{life}.log"));
        Running::start("ottla broker", &mut command, &log)
    }

    fn serves(&self, life: &str) -> Result<Running> {
        let mut running = self.launch(1, CLUSTER, life)?;
        until("the broker to serve", LIMIT, || {
            running.expect_alive()?;
            Ok(answers(&self.address()).then_some(()))
        })?;
        Ok(running)
    }

    /// A broker that must end by itself, without a change in the directory; its last words.
    fn is_refused(&self, id: i32, cluster: &str, life: &str) -> Result<String> {
        let before = content(&self.data)?;
        let mut running = self.launch(id, cluster, life)?;
        let status = running.finish(LIMIT)?;
        let words = running.output();
        ensure!(
            status.code() == Some(1),
            "{life}: ended with {status}: {words}"
        );
        let after = content(&self.data)?;
        let changed: Vec<&PathBuf> = before
            .keys()
            .chain(after.keys())
            .filter(|name| before.get(*name) != after.get(*name))
            .collect();
        ensure!(
            changed.is_empty(),
            "{life}: the refusal changed {changed:?}"
        );
        last_line(&words)
    }

    /// The same directory under another root, on the same ports.
    fn copied(&self) -> Result<Node> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        copy(&self.data, &data)?;
        Ok(Node {
            dir,
            data,
            port: self.port,
            controller_port: self.controller_port,
        })
    }
}

fn last_line(text: &str) -> Result<String> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(line.context("it said nothing")?.to_owned())
}

/// Every file below `dir` with its bytes.
fn content(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir)?.to_path_buf();
                found.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for (name, bytes) in content(from)? {
        let path = to.join(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// A directory that a broker wrote and left in order.
fn written() -> Result<Node> {
    let node = Node::new()?;
    let mut running = node.serves("first")?;
    let mut wire = Wire::connect(&node.address())?;
    let created = wire.create_topic(TOPIC, &[("segment.bytes", "1048576")])?;
    ensure!(created == "NONE", "{created}");
    for number in 0..RECORDS {
        let outcome = until("the topic to be led", LIMIT, || {
            let outcome = produce(&mut wire, number)?;
            Ok((outcome.0 != "NOT_LEADER_OR_FOLLOWER").then_some(outcome))
        })?;
        ensure!(
            outcome == ("NONE".to_owned(), i64::from(number)),
            "{outcome:?}"
        );
    }
    let status = running.stop(LIMIT)?;
    ensure!(status.success(), "{}", running.output());
    Ok(node)
}

#[test]
fn a_directory_of_another_is_refused() -> Result<()> {
    let node = written()?;
    let told = node.is_refused(1, OTHER_CLUSTER, "other-cluster")?;
    let cause = format!(
        "belongs to cluster {CLUSTER}, not to {OTHER_CLUSTER}: check log.dirs and the cluster id"
    );
    ensure!(told.contains(&cause), "{told}");
    let told = node.is_refused(2, CLUSTER, "other-node")?;
    let cause = "belongs to node 1, not to 2: check log.dirs and node.id";
    ensure!(told.contains(cause), "{told}");
    expect_answers(&node, "again")
}

#[test]
fn two_processes_never_share_a_directory() -> Result<()> {
    let node = Node::new()?;
    let mut first = node.serves("first")?;
    let ports = free_ports(2)?;
    let second = Node {
        dir: tempfile::tempdir()?,
        data: node.data.clone(),
        port: ports[0],
        controller_port: ports[1],
    };
    let mut running = second.launch(1, CLUSTER, "second")?;
    let status = running.finish(LIMIT)?;
    let told = last_line(&running.output())?;
    ensure!(status.code() == Some(1), "{status}: {told}");
    let cause = "is in use by another process (its .lock is held): stop that one, or give this one a directory of its own";
    ensure!(told.contains(cause), "{told}");

    // The same ports are found taken before the directory is looked at.
    let third = Node {
        dir: tempfile::tempdir()?,
        data: second.dir.path().join("never-made"),
        port: node.port,
        controller_port: ports[1],
    };
    let mut running = third.launch(1, CLUSTER, "third")?;
    let status = running.finish(LIMIT)?;
    let told = last_line(&running.output())?;
    ensure!(status.code() == Some(1), "{status}: {told}");
    let cause = "another process has the port: stop it or choose another port in `listeners`";
    ensure!(
        told.contains(cause) && told.contains(&node.address()),
        "{told}"
    );
    ensure!(!third.data.exists(), "a directory was made for nothing");

    ensure!(answers(&node.address()), "the first broker suffers");
    ensure!(first.stop(LIMIT)?.success(), "{}", first.output());
    Ok(())
}

#[test]
fn an_identity_or_a_vote_that_cannot_be_read_is_refused() -> Result<()> {
    let whole = written()?;
    let refused = |life: &str, damage: &dyn Fn(&Path) -> Result<()>| -> Result<String> {
        let node = whole.copied()?;
        damage(&node.data)?;
        node.is_refused(1, CLUSTER, life)
    };
    let expect = |told: String, parts: &[&str]| -> Result<()> {
        let missing: Vec<_> = parts.iter().filter(|part| !told.contains(**part)).collect();
        ensure!(missing.is_empty(), "{told}\nlacks {missing:?}");
        Ok(())
    };
    let told = refused("meta-garbage", &|data| {
        Ok(fs::write(data.join("meta.properties"), b"\xff\x00garbage")?)
    })?;
    expect(told, &["meta.properties: ", "restore the file"])?;
    let told = refused("meta-without-cluster", &|data| {
        Ok(fs::write(
            data.join("meta.properties"),
            b"version=1\nnode.id=1\n",
        )?)
    })?;
    expect(
        told,
        &["meta.properties: ", "cluster.id", "restore the file"],
    )?;
    let told = refused("meta-gone", &|data| {
        Ok(fs::remove_file(data.join("meta.properties"))?)
    })?;
    expect(told, &["but no meta.properties", "restore"])?;
    let told = refused("vote-garbage", &|data| {
        let file = data.join("__cluster_metadata-0/quorum-state");
        Ok(fs::write(file, b"{\"leaderId\":")?)
    })?;
    expect(
        told,
        &["__cluster_metadata-0/quorum-state", "damaged", "remove"],
    )?;
    let told = refused("vote-of-tomorrow", &|data| {
        let file = data.join("__cluster_metadata-0/quorum-state");
        Ok(fs::write(file, b"{\"data_version\":7}")?)
    })?;
    expect(
        told,
        &["__cluster_metadata-0/quorum-state", "data_version 7"],
    )?;

    // With the files back, everything is there.
    expect_answers(&whole, "again")
}

#[test]
fn caches_that_are_gone_or_garbage_are_made_again() -> Result<()> {
    let whole = written()?;
    let caches: Vec<PathBuf> = content(&whole.data.join(format!("{TOPIC}-0")))?
        .into_keys()
        .filter(|name| {
            let name = name.to_string_lossy();
            [
                ".index",
                ".timeindex",
                ".snapshot",
                "leader-epoch-checkpoint",
            ]
            .iter()
            .any(|end| name.ends_with(end))
        })
        .collect();
    for kind in [
        ".index",
        ".timeindex",
        ".snapshot",
        "leader-epoch-checkpoint",
    ] {
        ensure!(
            caches
                .iter()
                .any(|name| name.to_string_lossy().ends_with(kind)),
            "no {kind} among {caches:?}"
        );
    }
    let damages: [(&str, Damage); 4] = [
        ("gone", |path| fs::remove_file(path)),
        ("empty", |path| fs::write(path, b"")),
        ("garbage", |path| fs::write(path, [0xa5; 1001])),
        ("cut", |path| {
            let bytes = fs::read(path)?;
            fs::write(path, &bytes[..bytes.len() / 2])
        }),
    ];
    for (name, damage) in damages {
        let node = whole.copied()?;
        for cache in &caches {
            damage(&node.data.join(format!("{TOPIC}-0")).join(cache))?;
        }
        expect_answers(&node, name).with_context(|| format!("caches {name}"))?;
    }
    Ok(())
}

// --- what a broker answers about the topic

/// Starts the broker and asks everything that indexes, epochs and snapshots serve.
fn expect_answers(node: &Node, life: &str) -> Result<()> {
    let mut running = node.serves(life)?;
    let mut wire = Wire::connect(&node.address())?;
    let records = i64::from(RECORDS);
    ensure!(wire.offset_at(TOPIC, -2)? == 0, "the log starts elsewhere");
    ensure!(
        wire.offset_at(TOPIC, -1)? == records,
        "the log ends elsewhere"
    );
    for number in 0..RECORDS {
        let found = wire.offset_at(TOPIC, *FIRST_TIMESTAMP + i64::from(number) * 1000 - 500)?;
        ensure!(
            found == i64::from(number),
            "the record of that time is {number}, not {found}"
        );
    }
    ensure!(
        epoch_end(&mut wire)? == records,
        "the leader epoch ends elsewhere"
    );
    for offset in 0..RECORDS {
        let found = wire.read(TOPIC, i64::from(offset))?;
        let is_there = found
            .first()
            .is_some_and(|(at, bytes)| *at == i64::from(offset) && **bytes == value(offset));
        ensure!(is_there, "another record stands at {offset}");
    }
    // The producer is remembered: its last batch is known as a duplicate, a later one is a gap.
    let again = produce(&mut wire, RECORDS - 1)?;
    ensure!(
        again == ("NONE".to_owned(), records - 1),
        "the last batch again: {again:?}"
    );
    let gap = produce(&mut wire, RECORDS + 5)?;
    ensure!(gap.0 == "OUT_OF_ORDER_SEQUENCE_NUMBER", "a gap: {gap:?}");
    ensure!(running.stop(LIMIT)?.success(), "{}", running.output());
    Ok(())
}

fn value(number: i32) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(100 * 1024, number as u8);
    value
}

/// Record `number` of an idempotent producer; the error's name and the offset.
fn produce(wire: &mut Wire, number: i32) -> Result<(String, i64)> {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: Some(Producer {
            id: 4711,
            epoch: 0,
            base_sequence: number,
        }),
        ..BatchOptions::default()
    });
    let timestamp = *FIRST_TIMESTAMP + i64::from(number) * 1000;
    builder.append(timestamp, None, Some(&value(number)), [])?;
    wire.produce(TOPIC, builder.build()?)
}

fn epoch_end(wire: &mut Wire) -> Result<i64> {
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: TOPIC.into(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch: 0,
                ..OffsetForLeaderPartition::default()
            }],
            ..OffsetForLeaderTopic::default()
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let response = wire.ask(4, &request)?;
    let partition = &response.topics[0].partitions[0];
    ensure!(partition.error_code == ErrorCode::NONE, "{partition:?}");
    Ok(partition.end_offset)
}
