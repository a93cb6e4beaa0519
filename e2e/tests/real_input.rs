//! Goal: the main job on real input. Debian's package index, one record per stanza, key = package
//! name, is produced by the Java client (idempotent, acks=all) and consumed by librdkafka in a
//! group of three members of which one is killed midway; nothing is lost, nothing is changed, and
//! every key's records are in order. Method: half is produced, the group reads, one member dies by
//! SIGKILL with all that it read not committed, the other half is produced; then what all members
//! wrote down is held against the index. Records read again after the kill must be the same ones.
//! Needs: jvm, python, package-index.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::{Cluster, JvmKafka, OttlaUp, Running, java, kafka_classpath, python, until};

const TOPIC: &str = "debian-packages";
const GROUP: &str = "package-readers";
const PARTITIONS: i32 = 6;
const MEMBERS: usize = 3;
/// The member that dies. It commits nothing, so that what it read is read again by others.
const VICTIM: usize = 1;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn apache_kafka() -> Result<()> {
    scenario(JvmKafka::new(&[])?)
}

#[test]
fn ottla_from_a_manifest() -> Result<()> {
    scenario(OttlaUp::new("examples/three-brokers.yaml")?)
}

fn scenario(mut cluster: impl Cluster) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let index = Index::read(scratch.path())?;
    let count = index.records.len();
    let started = Instant::now();
    cluster.start()?;
    let bootstrap = cluster.bootstrap();

    let mut produced = count / 4;
    index.produce(&bootstrap, 0, produced)?;
    let mut members = (0..MEMBERS)
        .map(|n| Member::start(&bootstrap, scratch.path(), n))
        .collect::<Result<Vec<_>>>()?;
    until("every member to read a share", LIMIT, || {
        let mut shares = Vec::new();
        for member in &mut members {
            member.running.expect_alive()?;
            shares.push(member.lines_so_far());
        }
        let read = shares.iter().sum::<usize>();
        let enough = read > count / 8 && shares.iter().all(|n| *n > 0);
        // Whoever joins late finds everything read: there is more for all of them, a little at a time.
        if !enough && read >= produced && produced < count * 3 / 4 {
            let next = produced + count / 20;
            index.produce(&bootstrap, produced, next)?;
            produced = next;
        }
        Ok(enough.then_some(()))
    })?;
    let midway = readings_so_far(&members);
    println!(
        "{}: {midway} records were read when a member was killed, after {:.1} s",
        cluster.name(),
        started.elapsed().as_secs_f64()
    );
    members[VICTIM].running.kill()?;
    index.produce(&bootstrap, produced, count)?;

    let readings = until("all records to be read", LIMIT, || {
        for member in [0, 2] {
            members[member].running.expect_alive()?;
        }
        if readings_so_far(&members) < count {
            return Ok(None);
        }
        let readings = Readings::of(&members)?;
        Ok((readings.distinct() >= count).then_some(readings))
    });
    let readings = match readings {
        Ok(readings) => readings,
        Err(error) => {
            let found = Readings::of(&members)?.distinct();
            return Err(error.context(format!("{found} of {count} records were read")));
        }
    };
    println!(
        "{}: all were read after {:.1} s",
        cluster.name(),
        started.elapsed().as_secs_f64()
    );
    for member in [0, 2] {
        members[member].running.stop(LIMIT)?;
    }
    index.compare(&readings)?;
    ensure!(
        readings.total > readings.distinct(),
        "nothing was read twice: the kill proved nothing"
    );
    ensure!(
        lag(&bootstrap)? == 0,
        "the group left with uncommitted records"
    );
    println!(
        "{}: {count} records of {} packages, {} read twice after the kill, checksum {:08x}, {:.1} s",
        cluster.name(),
        index.by_key().len(),
        readings.total - readings.distinct(),
        index.checksum(),
        started.elapsed().as_secs_f64()
    );
    cluster.stop()
}

fn readings_so_far(members: &[Member]) -> usize {
    members.iter().map(Member::lines_so_far).sum()
}

/// The package index: what is produced, and what must come back.
struct Index {
    file: PathBuf,
    /// Key and value of each record, in the order in which they are sent.
    records: Vec<(String, Print)>,
}

impl Index {
    /// All `Packages` files under apt's lists, and dpkg's status where there are none.
    fn read(scratch: &Path) -> Result<Index> {
        let mut lists: Vec<PathBuf> = fs::read_dir("/var/lib/apt/lists")
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        lists.retain(|path| path.to_string_lossy().contains("_Packages"));
        lists.sort();
        let mut text = String::new();
        for list in &lists {
            // apt's own reader knows each way in which apt stores a list.
            let output = Command::new("/usr/lib/apt/apt-helper")
                .arg("cat-file")
                .arg(list)
                .output()
                .context("cannot start apt-helper")?;
            ensure!(
                output.status.success(),
                "apt-helper cannot read {}",
                list.display()
            );
            text.push_str(&String::from_utf8(output.stdout)?);
            text.push_str("\n\n");
        }
        if lists.is_empty() {
            text = fs::read_to_string("/var/lib/dpkg/status")
                .context("there is neither a package index nor dpkg's status file")?;
        }
        let stanzas: Vec<String> = text
            .split("\n\n")
            .map(|stanza| stanza.trim_matches('\n').to_owned())
            .filter(|stanza| stanza.starts_with("Package:"))
            .collect();
        ensure!(
            stanzas.len() > 100,
            "the index has {} stanzas",
            stanzas.len()
        );
        let file = scratch.join("stanzas");
        fs::write(&file, stanzas.join("\n\n"))?;
        let records = stanzas.iter().map(|stanza| record(stanza)).collect();
        Ok(Index { file, records })
    }

    fn produce(&self, bootstrap: &str, from: usize, to: usize) -> Result<()> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm/ProduceStanzas.java");
        let output = java(&kafka_classpath()?)
            .arg(source)
            .args([bootstrap, TOPIC, &PARTITIONS.to_string()])
            .arg(&self.file)
            .args([from.to_string(), to.to_string()])
            .output()
            .context("cannot start java")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.contains(&format!("SENT {}\n", to - from)) {
            bail!(
                "the producer did not send {from}..{to}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// Each package's records in the order in which they were sent.
    fn by_key(&self) -> BTreeMap<&str, Vec<Print>> {
        let mut keys: BTreeMap<&str, Vec<Print>> = BTreeMap::new();
        for (key, print) in &self.records {
            keys.entry(key).or_default().push(*print);
        }
        keys
    }

    /// Count, order per key, and content.
    fn compare(&self, readings: &Readings) -> Result<()> {
        ensure!(
            readings.distinct() == self.records.len(),
            "{} records came back of {}",
            readings.distinct(),
            self.records.len()
        );
        let mut read: BTreeMap<&str, Vec<Print>> = BTreeMap::new();
        for (partition, records) in &readings.partitions {
            for (expected, (offset, (key, print))) in records.iter().enumerate() {
                ensure!(
                    *offset == expected as i64,
                    "partition {partition} has a hole before offset {offset}"
                );
                read.entry(key).or_default().push(*print);
            }
        }
        for (key, sent) in self.by_key() {
            let found = read.remove(key).unwrap_or_default();
            ensure!(found == sent, "{key}: read {found:?}, sent {sent:?}");
        }
        ensure!(
            read.is_empty(),
            "keys that were never sent: {:?}",
            read.keys()
        );
        Ok(())
    }

    fn checksum(&self) -> u32 {
        self.by_key()
            .values()
            .flatten()
            .fold(0, |sum, print| sum.rotate_left(1) ^ print.crc)
    }
}

fn record(stanza: &str) -> (String, Print) {
    let first = stanza.lines().next().unwrap_or_default();
    let key = first.trim_start_matches("Package:").trim();
    (key.to_owned(), Print::of(stanza.as_bytes()))
}

/// What identifies a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    length: usize,
    crc: u32,
}

impl Print {
    fn of(value: &[u8]) -> Print {
        Print {
            length: value.len(),
            crc: crc32(value),
        }
    }
}

/// What all members wrote down, by partition and offset.
#[derive(Default)]
struct Readings {
    total: usize,
    partitions: BTreeMap<i32, BTreeMap<i64, (String, Print)>>,
}

impl Readings {
    fn of(members: &[Member]) -> Result<Readings> {
        let mut readings = Readings::default();
        for member in members {
            // The last line of a killed member may be cut off.
            for line in member.whole_lines().lines() {
                readings.add(line).with_context(|| format!("`{line}`"))?;
            }
        }
        Ok(readings)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[partition, offset, key, length, crc] = fields.as_slice() else {
            bail!("a member wrote a line with {} fields", fields.len());
        };
        let record = (
            key.to_owned(),
            Print {
                length: length.parse()?,
                crc: crc.parse()?,
            },
        );
        self.total += 1;
        let records = self.partitions.entry(partition.parse()?).or_default();
        let before = records.insert(offset.parse()?, record.clone());
        ensure!(
            before.is_none_or(|before| before == record),
            "the same offset was read twice and is not the same record"
        );
        Ok(())
    }

    fn distinct(&self) -> usize {
        self.partitions.values().map(BTreeMap::len).sum()
    }
}

/// One consumer of the group and the file it writes.
struct Member {
    running: Running,
    file: PathBuf,
}

impl Member {
    fn start(bootstrap: &str, scratch: &Path, number: usize) -> Result<Member> {
        let file = scratch.join(format!("member-{number}"));
        let mut command = member_command()?;
        command.args([bootstrap, TOPIC, GROUP]).arg(&file);
        if number == VICTIM {
            command.arg("never-commit");
        }
        let log = scratch.join(format!("member-{number}.log"));
        let running = Running::start(&format!("member {number}"), &mut command, &log)?;
        Ok(Member { running, file })
    }

    fn whole_lines(&self) -> String {
        let mut text = fs::read_to_string(&self.file).unwrap_or_default();
        let end = text.rfind('\n').map_or(0, |at| at + 1);
        text.truncate(end);
        text
    }

    fn lines_so_far(&self) -> usize {
        let bytes = fs::read(&self.file).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }
}

fn member_command() -> Result<Command> {
    let mut command = Command::new(python()?);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/group_member.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Records of the topic that the group has not committed.
fn lag(bootstrap: &str) -> Result<i64> {
    let output = member_command()?
        .args([bootstrap, TOPIC, GROUP])
        .output()
        .context("cannot start python")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("LAG "))
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(number.parse()?)
}

const CRC32: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The CRC-32 that zlib computes, so that Python's own can be compared with it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        CRC32[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

#[test]
fn crc32_is_the_one_of_zlib() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
