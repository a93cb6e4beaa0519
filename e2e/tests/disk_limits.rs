//! Goal: a full disk stops writes with an error, reads and answers about groups and topics go on, and
//! writes resume by themselves when there is room, with everything that was acknowledged; a directory
//! that cannot be written to is refused and not touched. Method: a small file system of the scenario's
//! own, filled by a producer, then by a file from outside; one broker process from the beginning to the
//! end.
//! Needs: mounts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ottla_client::admin::{Admin, CommittedOffset};
use ottla_client::{ClientConfig, tcp};
use ottla_e2e::{
    Cluster, Mount, OttlaBroker, Properties, Running, Wire, free_ports, ottla_binary, until,
};
use ottla_protocol::records::{BatchBuilder, BatchOptions};
use ottla_protocol::{Bytes, Str};

const DISK_BYTES: u64 = 48 << 20;
const VALUE_BYTES: usize = 256 << 10;
/// Writes are taken again this soon after there is room.
const HEAL_LIMIT: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);
const GROUP: &str = "readers";

/// Small segments, and what is deleted goes at once: room comes back while we look.
const CONFIGS: &[(&str, &str)] = &[
    ("segment.bytes", "1048576"),
    ("file.delete.delay.ms", "0"),
    ("retention.ms", "-1"),
];

#[test]
fn a_full_disk_stops_writes_and_heals_without_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let disk = Mount::small(
        &dir.path().join("disk.img"),
        DISK_BYTES,
        &dir.path().join("disk"),
    )?;
    let data = disk.path().join("data").display().to_string();
    let mut broker = OttlaBroker::new(&[("log.dirs", &data)])?;
    broker.start()?;
    let process = broker.id();
    let address = broker.bootstrap();
    let mut logs = Logs {
        wire: Wire::connect(&address)?,
        ends: BTreeMap::new(),
    };
    for topic in ["kept", "filling"] {
        let created = logs.wire.create_topic(topic, CONFIGS)?;
        ensure!(created == "NONE", "{topic}: {created}");
        until("the topic to be led", LIMIT, || {
            Ok((logs.produce(topic)? == "NONE").then_some(()))
        })?;
    }
    ask(&address, async |admin| commit(admin, 1).await)?.context("before the disk is full")?;

    println!("filled by a producer: {}", logs.fill("filling")?);
    serves_on(&mut logs, &address)?;
    // The records of a topic go, by the request that costs least of what there is least of.
    let end = logs.ends["filling"];
    ask(&address, async |admin| {
        delete_records(admin, "filling", end - 1).await
    })??;
    logs.heals("after DeleteRecords")?;
    logs.are_whole("filling", end - 1)?;

    println!("filled again: {}", logs.fill("filling")?);
    serves_on(&mut logs, &address)?;
    // The topic that fills the disk goes.
    ask(&address, async |admin| delete_topic(admin, "filling").await)??;
    logs.ends.remove("filling");
    logs.heals("after DeleteTopics")?;

    // Somebody else fills it to the last byte.
    let filler = disk.path().join("filler");
    fill_up(&filler)?;
    let refused = logs.fill("kept")?;
    println!("filled from outside: {refused}");
    serves_on(&mut logs, &address)?;
    fs::remove_file(&filler)?;
    logs.heals("after the filler is gone")?;
    ask(&address, async |admin| commit(admin, 2).await)?.context("after the disk has healed")?;

    ensure!(broker.id() == process, "the broker was restarted");
    logs.are_whole("kept", 0)?;
    broker.stop()?;
    broker.start()?;
    logs.wire = Wire::connect(&address)?;
    logs.are_whole("kept", 0)?;
    ensure!(
        ask(&address, committed)?? == 2,
        "the group's offset is lost"
    );
    broker.stop()
}

#[test]
fn a_directory_that_cannot_be_written_to_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    fs::create_dir(&data)?;
    let ports = free_ports(2)?;
    let refused = |data: &Path, life: &str| -> Result<String> {
        let file = dir.path().join(format!("{life}.properties"));
        fs::write(
            &file,
            Properties::combined(1, ports[0], ports[1], data).to_string(),
        )?;
        let log = dir.path().join(format!("{life}.log"));
        let mut command = Command::new(ottla_binary()?);
        command.arg("broker").arg(&file);
        let mut running = Running::start("ottla broker", &mut command, &log)?;
        let status = running.finish(LIMIT)?;
        let words = running.output();
        ensure!(status.code() == Some(1), "{life}: {status}: {words}");
        Ok(words.lines().last().unwrap_or_default().to_owned())
    };
    let view = Mount::read_only(&data, &dir.path().join("view"))?;
    for (life, data) in [
        ("there", view.path().to_owned()),
        ("to-be-made", view.path().join("new")),
    ] {
        let told = refused(&data, life)?;
        let parts = [
            "cannot be written to",
            "Read-only file system",
            "check its owner, its mode and how the file system is mounted",
        ];
        let missing: Vec<_> = parts.iter().filter(|part| !told.contains(**part)).collect();
        ensure!(
            missing.is_empty() && told.contains(&data.display().to_string()),
            "{life}: {told}\nlacks {missing:?}"
        );
    }
    ensure!(
        fs::read_dir(&data)?.next().is_none(),
        "something was written"
    );
    Ok(())
}

// --- records, each with its place and topic in it

struct Logs {
    wire: Wire,
    /// Where each log ends, by what was acknowledged.
    ends: BTreeMap<&'static str, i64>,
}

impl Logs {
    /// One record more; the name of the error. Errors: an acknowledged record got another offset.
    fn produce(&mut self, topic: &'static str) -> Result<String> {
        let end = self.ends.get(topic).copied().unwrap_or_default();
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(1_700_000_000_000, None, Some(&value(topic, end)), [])?;
        let (outcome, offset) = self.wire.produce(topic, builder.build()?)?;
        if outcome == "NONE" {
            ensure!(offset == end, "{topic}: {offset} instead of {end}");
            self.ends.insert(topic, end + 1);
        }
        Ok(outcome)
    }

    /// Produces until an error comes; how many records it took and which error it was.
    fn fill(&mut self, topic: &'static str) -> Result<String> {
        for count in 0..1000 {
            let outcome = self.produce(topic)?;
            if outcome != "NONE" {
                ensure!(outcome == "KAFKA_STORAGE_ERROR", "{topic}: {outcome}");
                return Ok(format!("{outcome} after {count} records"));
            }
        }
        anyhow::bail!("the disk does not become full")
    }

    /// Writes resume, in time.
    fn heals(&mut self, when: &str) -> Result<()> {
        let began = Instant::now();
        until(format!("writes {when}"), HEAL_LIMIT, || {
            let outcome = self.produce("kept")?;
            ensure!(
                ["NONE", "KAFKA_STORAGE_ERROR"].contains(&outcome.as_str()),
                "{outcome}"
            );
            Ok((outcome == "NONE").then_some(()))
        })?;
        println!("{when}: writes after {} ms", began.elapsed().as_millis());
        Ok(())
    }

    /// Everything that was acknowledged from `start` on is there, and nothing else.
    fn are_whole(&mut self, topic: &'static str, start: i64) -> Result<()> {
        let end = self.ends[topic];
        let mut at = start;
        while at < end {
            let found = self.wire.read(topic, at)?;
            ensure!(!found.is_empty(), "{topic} has nothing at {at} of {end}");
            for (offset, bytes) in found {
                ensure!(
                    offset == at && bytes == value(topic, at),
                    "{topic}: another record at {at}"
                );
                at += 1;
            }
        }
        ensure!(
            self.wire.offset_at(topic, -1)? == end,
            "{topic} does not end at {end}"
        );
        Ok(())
    }
}

fn value(topic: &str, offset: i64) -> Bytes {
    let mut value = format!("{topic} {offset} ").into_bytes();
    value.resize(VALUE_BYTES, b'.');
    value.into()
}

/// Reads, and what is asked about groups and topics.
fn serves_on(logs: &mut Logs, address: &str) -> Result<()> {
    for topic in ["kept", "filling"] {
        if let Some(end) = logs.ends.get(topic).copied() {
            let start = logs.wire.offset_at(topic, -2)?;
            logs.are_whole(topic, start)
                .with_context(|| format!("{topic} of {end} records while the disk is full"))?;
        }
    }
    let asked = ask(address, async |admin| {
        let offset = committed(admin).await?;
        ensure!(offset == 1, "the group's offset is {offset}");
        let groups = admin.list_groups(&[], &[]).await?.groups;
        ensure!(
            groups.iter().any(|group| group.group_id == GROUP),
            "{groups:?}"
        );
        let names: Vec<Str> = admin
            .list_topics()
            .await?
            .into_iter()
            .map(|topic| topic.name)
            .collect();
        ensure!(names.iter().any(|name| name == "kept"), "{names:?}");
        ensure!(admin.describe_cluster().await?.brokers.len() == 1);
        // What must be written is refused, not left without an answer.
        let began = Instant::now();
        ensure!(
            commit(admin, 7).await.is_err(),
            "an offset is kept on a full disk"
        );
        println!(
            "a commit is refused after {} ms",
            began.elapsed().as_millis()
        );
        Ok(())
    })?;
    asked.context("while the disk is full")
}

/// Writes until there is no byte left.
fn fill_up(path: &Path) -> Result<()> {
    let mut file = fs::File::create(path)?;
    for bytes in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0x5a; bytes]).is_ok() {}
    }
    // Full is only full when the file system has given its last block away.
    let _ = file.sync_all();
    Ok(())
}

// --- the client's side

/// Runs `work` with an admin client that does not wait long for what cannot come.
fn ask<T>(address: &str, work: impl AsyncFnOnce(&Admin) -> T) -> Result<T> {
    let config = ClientConfig {
        request_timeout: Duration::from_secs(5),
        api_timeout: Duration::from_secs(2),
        ..ClientConfig::for_servers(address)?
    };
    Ok(tcp::run(async |net| work(&Admin::new(net, config)).await)?)
}

async fn commit(admin: &Admin, offset: i64) -> Result<()> {
    let place = (Str::from("kept"), 0);
    let offsets = BTreeMap::from([(
        place.clone(),
        CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: Str::default(),
        },
    )]);
    let mut answers = admin.set_group_offsets(&GROUP.into(), &offsets).await?;
    let answer = answers.remove(&place).context("no answer")?;
    answer.map_err(|failure| anyhow!("{failure}"))
}

async fn committed(admin: &Admin) -> Result<i64> {
    let offsets = admin.group_offsets(&GROUP.into()).await?;
    let found = offsets.get(&(Str::from("kept"), 0));
    Ok(found.context("no offset is committed")?.offset)
}

async fn delete_records(admin: &Admin, topic: &str, before: i64) -> Result<()> {
    let place = (Str::from(topic), 0);
    let mut answers = admin
        .delete_records(BTreeMap::from([(place.clone(), before)]))
        .await?;
    let answer = answers.remove(&place).context("no answer")?;
    answer.map(drop).map_err(|failure| anyhow!("{failure}"))
}

async fn delete_topic(admin: &Admin, topic: &str) -> Result<()> {
    for (_, answer) in admin.delete_topics(&[topic.into()]).await? {
        answer.map_err(|failure| anyhow!("{failure}"))?;
    }
    Ok(())
}
