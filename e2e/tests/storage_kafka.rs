//! Goal: a log directory is Apache Kafka's at rest. Method: Kafka's own inspector reads what our storage wrote; one
//! directory is handed between Apache Kafka and our storage, with clean stops and kills, and a stock Java consumer must
//! see the same records each time. No Ottla broker runs here: storage alone is under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ottla_broker_storage::disk::{block_on, files::FileDisk};
use ottla_broker_storage::{
    Closed, DirOptions, Fetched, Limits, LogConfig, LogDir, LogId, LogName, LogSet, OpenedDir,
    Origin, Read, seal,
};
use ottla_e2e::{Cluster, JvmKafka, java, kafka_classpath};
use ottla_protocol::Uuid;
use ottla_protocol::records::{
    BatchBuilder, BatchOptions, BatchView, Codec, EndTxnMarker, Producer, batches,
};

const NOW_MS: i64 = 1_700_000_100_000;

/// Our storage on a directory, without a broker around it.
struct Storage {
    dir: LogDir,
    set: LogSet,
}

impl Storage {
    fn open(path: &Path, owner: Option<(String, i32)>) -> Result<Storage> {
        Self::open_with(
            path,
            owner,
            LogConfig {
                segment_bytes: 40_000,
                retention: None,
                ..LogConfig::default()
            },
        )
    }

    fn open_with(path: &Path, owner: Option<(String, i32)>, config: LogConfig) -> Result<Storage> {
        let options = DirOptions {
            owner,
            new_directory_id: Uuid([9; 16]),
            limits: Limits::default(),
        };
        let OpenedDir { dir, logs, .. } =
            block_on(LogDir::open(FileDisk::new(), path, options, NOW_MS))?;
        let mut set = dir.log_set(0);
        for log in logs {
            ensure!(log.damage().is_none(), "{:?}", log.damage());
            let end = log.end();
            let id = set.adopt(log, config);
            set.set_high_watermark(id, end)?;
        }
        Ok(Storage { dir, set })
    }

    fn find(&self, topic: &str, partition: i32) -> Result<LogId> {
        let wanted = LogName::new(topic, partition);
        self.set
            .logs()
            .find(|(_, log)| *log.name() == wanted)
            .map(|(id, _)| id)
            .context("the log is there")
    }

    fn append(&mut self, id: LogId, batch: BatchView, epoch: i32) -> Result<()> {
        self.set
            .append_as_leader(id, vec![batch], epoch, Origin::Coordinator, NOW_MS)?;
        self.set.submit(NOW_MS);
        Ok(())
    }

    /// Until everything is durable.
    fn flush(&mut self) -> Result<()> {
        loop {
            self.set.submit(NOW_MS);
            if self
                .set
                .logs()
                .all(|(_, log)| log.flushed_end() == log.end())
            {
                break;
            }
            let progress = block_on(self.set.next());
            self.set.apply(progress, NOW_MS)?;
        }
        let ends: Vec<(LogId, i64)> = self.set.logs().map(|(id, log)| (id, log.end())).collect();
        ends.into_iter()
            .try_for_each(|(id, end)| Ok(self.set.set_high_watermark(id, end)?))
    }

    fn close(mut self, broker_epoch: i64) -> Result<()> {
        self.flush()?;
        block_on(self.set.drain(NOW_MS))?;
        drop(self.set);
        ensure!(
            block_on(self.dir.close_clean(broker_epoch))? == Closed::ForKafka,
            "damaged logs"
        );
        Ok(())
    }

    /// The lines that `StorageRecords read` prints for one partition, read-uncommitted.
    fn lines(&self, topic: &str, partition: i32) -> Result<Vec<String>> {
        let id = self.find(topic, partition)?;
        let log = self.set.log(id).context("there")?;
        let (mut at, end) = (log.log_start(), log.end());
        let mut lines = Vec::new();
        while at < end {
            let fetched: Fetched = match self.set.read(id, at, 100_000, end)? {
                Read::Ready(fetched) => fetched,
                Read::Cold(read) => block_on(read.run())?,
            };
            ensure!(
                fetched.next_offset > at,
                "a read makes progress at {at} of {end}"
            );
            at = fetched.next_offset;
            let all = fetched.parts.concat().into();
            for batch in batches(all) {
                lines.extend(batch_lines(&batch?, partition)?);
            }
        }
        lines.push(format!("end {partition} {end}"));
        Ok(lines)
    }
}

fn batch_lines(batch: &BatchView, partition: i32) -> Result<Vec<String>> {
    batch.check_crc()?;
    let mut lines = Vec::new();
    if batch.header().attributes.is_control() {
        return Ok(lines);
    }
    for record in batch.records(1 << 24)?.iter() {
        let record = record?;
        let key = record.key.map_or("-".to_owned(), |key| {
            String::from_utf8_lossy(key).replace(' ', "_")
        });
        let mut line = format!(
            "{partition} {} {} {key} {}",
            record.offset,
            record.timestamp,
            crc32(record.value.unwrap_or_default())
        );
        for (name, value) in record.headers.iter() {
            let value = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            line.push_str(&format!(" {}={value}", String::from_utf8_lossy(name)));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// java.util.zip.CRC32, so that lines can be compared.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

fn data_batch(
    first: i64,
    count: i64,
    codec: Codec,
    producer: Option<(i64, i16, i32)>,
    is_transactional: bool,
) -> Result<BatchView> {
    let options = BatchOptions {
        compression: codec.into(),
        producer: producer.map(|(id, epoch, base_sequence)| Producer {
            id,
            epoch,
            base_sequence,
        }),
        transactional: is_transactional,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options);
    for i in first..first + count {
        let value = vec![b'a' + (i % 26) as u8; (100 + i * 37 % 900) as usize];
        // Not in order of time, so that the time index has something to leave out.
        let timestamp = 1_700_000_000_000 + i * 10 - (i % 7) * 25;
        builder.append(
            timestamp,
            Some(format!("key {}", i % 50).as_bytes()),
            Some(&value),
            [(&b"n"[..], Some(&b"v"[..]))],
        )?;
    }
    Ok(BatchView::new(builder.build()?)?)
}

/// Runs DumpLogSegments on the files, and fails on anything that it complains about.
fn dump(files: &[PathBuf], options: &[&str]) -> Result<String> {
    let list: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let output = java(&kafka_classpath()?)
        .args([
            "org.apache.kafka.tools.DumpLogSegments",
            "--files",
            &list.join(","),
        ])
        .args(options)
        .output()?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{text}");
    for complaint in [
        "Mismatches",
        "isvalid: false",
        "Exception",
        "out of order",
        "Found timestamp mismatch",
        "invalid",
        "corrupt",
    ] {
        ensure!(!text.contains(complaint), "{complaint}\n{text}");
    }
    // Apache Kafka compares the first batch of every file with offset -1.
    let jump = text
        .lines()
        .find(|line| line.contains(" is followed by ") && !line.contains("-1 is followed by "));
    ensure!(jump.is_none(), "{jump:?}");
    Ok(text)
}

fn files_of(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    files.sort();
    Ok(files)
}

#[test]
fn kafkas_inspector_accepts_what_we_write() -> Result<()> {
    let root = tempfile::tempdir()?;
    let data = root.path().join("data");
    let mut storage = Storage::open(&data, Some(("MkU3OEVBNTcwNTJENDM2Qk".to_owned(), 1)))?;
    let orders = storage.set.create(
        LogName::new("orders", 3),
        Uuid([5; 16]),
        LogConfig {
            segment_bytes: 40_000,
            retention: None,
            ..LogConfig::default()
        },
        NOW_MS,
    );
    storage.set.create(
        LogName::new("empty", 0),
        Uuid([6; 16]),
        LogConfig::default(),
        NOW_MS,
    );
    let codecs = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    let mut sequence = 0;
    for (round, first) in (0..3000i64).step_by(10).enumerate() {
        let epoch = round as i32 / 100;
        let is_transactional = round % 4 == 0;
        let producer = match is_transactional {
            true => (900, 0, first as i32 / 4),
            false => (901, 1, sequence),
        };
        sequence += if is_transactional { 0 } else { 10 };
        storage.append(
            orders,
            data_batch(
                first,
                10,
                codecs[round % 5],
                Some(producer),
                is_transactional,
            )?,
            epoch,
        )?;
        if is_transactional {
            let marker = EndTxnMarker {
                commit: round % 8 == 0,
                coordinator_epoch: 7,
            };
            storage.append(
                orders,
                BatchView::new(marker.batch(900, 0, 1_700_000_000_000 + first))?,
                epoch,
            )?;
        }
        if round % 20 == 0 {
            storage.flush()?;
        }
    }
    storage.flush()?;
    let count = storage.lines("orders", 3)?.len();
    ensure!(count == 3001, "{count} lines");
    storage.close(5)?;

    let dir = data.join("orders-3");
    let logs = files_of(&dir, ".log")?;
    ensure!(logs.len() > 5, "{} segments", logs.len());
    let text = dump(&logs, &["--deep-iteration"])?;
    let records = text
        .lines()
        .filter(|line| line.contains("| offset:") && !line.contains("endTxnMarker"))
        .count();
    ensure!(records == 3000, "{records} records");
    let indexes = [files_of(&dir, ".index")?, files_of(&dir, ".timeindex")?].concat();
    ensure!(indexes.len() == 2 * logs.len(), "{} indexes", indexes.len());
    dump(&indexes, &["--index-sanity-check"])?;
    dump(&indexes, &["--verify-index-only"])?;
    dump(&indexes, &[])?;
    let aborted = dump(&files_of(&dir, ".txnindex")?, &[])?;
    ensure!(
        aborted.matches("producerId: 900").count() == 37,
        "{aborted}"
    );
    let snapshots = dump(&files_of(&dir, ".snapshot")?, &[])?;
    ensure!(
        snapshots.contains("producerId: 901 producerEpoch: 1"),
        "{snapshots}"
    );
    dump(
        &files_of(&data.join("empty-0"), ".log")?,
        &["--deep-iteration"],
    )?;
    ensure!(
        !data.join("meta.properties.ottla").exists() && data.join("meta.properties").exists(),
        "handed over"
    );
    Ok(())
}

/// A JVM Kafka and the Java programs that talk to it.
struct Peer {
    kafka: JvmKafka,
}

impl Peer {
    fn run(&self, args: &[&str]) -> Result<String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm/StorageRecords.java");
        let mut command = java(&kafka_classpath()?);
        command
            .arg(source)
            .arg(args[0])
            .arg(self.kafka.bootstrap())
            .args(&args[1..]);
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn lines(&self, topic: &str) -> Result<BTreeMap<i32, Vec<String>>> {
        let mut by_partition: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for line in self.run(&["read", topic, "read_uncommitted"])?.lines() {
            let mut words = line.split(' ');
            let first = words.next().context("a word")?;
            let partition = if first == "end" {
                words.next().context("a partition")?
            } else {
                first
            };
            by_partition
                .entry(partition.parse()?)
                .or_default()
                .push(line.to_owned());
        }
        Ok(by_partition)
    }
}

fn same(ours: &Storage, theirs: &BTreeMap<i32, Vec<String>>, topic: &str) -> Result<()> {
    for (&partition, lines) in theirs {
        let found = ours.lines(topic, partition)?;
        ensure!(
            found.len() == lines.len(),
            "{topic}-{partition}: {} lines here, {} there",
            found.len(),
            lines.len()
        );
        for (ours, theirs) in found.iter().zip(lines) {
            ensure!(
                ours == theirs,
                "{topic}-{partition}: {ours} here, {theirs} there"
            );
        }
    }
    Ok(())
}

#[test]
fn a_directory_goes_from_kafka_to_us_and_back() -> Result<()> {
    let mut peer = Peer {
        kafka: JvmKafka::new(&[])?,
    };
    peer.kafka.start()?;
    peer.run(&[
        "create",
        "plain",
        "2",
        "segment.bytes=1048576",
        "retention.ms=-1",
    ])?;
    peer.run(&["create", "traded", "2", "retention.ms=-1"])?;
    for (from, codec) in [
        (0, "none"),
        (2000, "gzip"),
        (4000, "snappy"),
        (6000, "lz4"),
        (8000, "zstd"),
    ] {
        peer.run(&["produce", "plain", &from.to_string(), "2000", codec])?;
    }
    peer.run(&["transactions", "traded", "20"])?;
    let plain = peer.lines("plain")?;
    let traded = peer.lines("traded")?;
    let committed = peer.run(&["read", "traded", "read_committed"])?;
    let at_time = peer.run(&["offset-for-time", "plain", "1700000050000"])?;
    peer.kafka.stop()?;

    // Cleanly stopped: everything is there, and the directory is closed to Kafka while we use it.
    let data = peer.kafka.data();
    let mut storage = Storage::open(&data, None)?;
    same(&storage, &plain, "plain")?;
    same(&storage, &traded, "traded")?;
    ensure!(
        peer.kafka.start().is_err(),
        "Apache Kafka starts on a directory that is in use"
    );
    let id = storage.find("plain", 0)?;
    let end = storage.set.log(id).context("there")?.end();
    let epoch = storage
        .set
        .log(id)
        .context("there")?
        .latest_epoch()
        .context("has an epoch")?;
    for round in 0..300 {
        storage.append(
            id,
            data_batch(end + round * 10, 10, Codec::Lz4, None, false)?,
            epoch,
        )?;
    }
    storage.flush()?;
    let ours = storage.lines("plain", 0)?;
    storage.close(-1)?;

    // Back to Kafka: what it wrote and what we wrote, and its other topics.
    peer.kafka.start()?;
    let after = peer.lines("plain")?;
    ensure!(
        after[&0] == ours,
        "Apache Kafka serves other records than we wrote"
    );
    ensure!(
        after[&1] == plain[&1],
        "a log that we did not touch changed"
    );
    ensure!(
        peer.run(&["read", "traded", "read_committed"])? == committed,
        "aborted transactions are told differently"
    );
    ensure!(
        peer.run(&["offset-for-time", "plain", "1700000050000"])? == at_time,
        "times are found elsewhere"
    );
    peer.run(&["produce", "plain", "20000", "1000", "zstd"])?;
    let plain = peer.lines("plain")?;
    peer.kafka.kill()?;

    // Not cleanly stopped: we recover as Kafka does, crash ourselves, and seal.
    let mut storage = Storage::open(&data, None)?;
    same(&storage, &plain, "plain")?;
    same(&storage, &traded, "traded")?;
    let id = storage.find("plain", 1)?;
    let end = storage.set.log(id).context("there")?.end();
    for round in 0..50 {
        storage.append(
            id,
            data_batch(end + round * 10, 10, Codec::None, None, false)?,
            epoch + 1,
        )?;
    }
    storage.flush()?;
    let ours = storage.lines("plain", 1)?;
    drop(storage);
    ensure!(
        peer.kafka.start().is_err(),
        "Apache Kafka starts on a directory that was not cleanly stopped"
    );
    block_on(seal(FileDisk::new(), &data, NOW_MS))?;
    let disk: Arc<FileDisk> = FileDisk::new();
    block_on(seal(disk, &data, NOW_MS)).context("sealing twice is sealing once")?;
    peer.kafka.start()?;
    let after = peer.lines("plain")?;
    ensure!(
        after[&1] == ours,
        "Apache Kafka serves other records than were sealed"
    );
    ensure!(
        after[&0] == plain[&0],
        "a log that we did not touch changed"
    );
    peer.kafka.stop()
}
