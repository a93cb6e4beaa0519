//! A log directory on real files, driven as an owner loop drives it, with a clock of its own.

#![allow(dead_code)]

pub mod power;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_storage::disk::{Disk, block_on, files::FileDisk};
use ottla_broker_storage::{
    AppendError, AppendedRecords, Closed, DirError, DirOptions, Fetched, Limits, LogConfig, LogDir,
    LogId, LogName, LogSet, OpenedDir, Origin, Read,
};
use ottla_protocol::Uuid;
use ottla_protocol::records::{BatchBuilder, BatchOptions, BatchView, Producer, batches};

pub const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qk";
pub const NODE: i32 = 1;

/// A running owner.
pub struct Owner {
    pub dir: LogDir,
    pub set: LogSet,
    pub now_ms: i64,
    pub was_clean: bool,
    pub previous_broker_epoch: Option<i64>,
    pub config: LogConfig,
}

pub fn options() -> DirOptions {
    DirOptions {
        owner: Some((CLUSTER.to_owned(), NODE)),
        new_directory_id: Uuid([7; 16]),
        limits: Limits {
            chunk_bytes_first: 1 << 20,
            ..Limits::default()
        },
    }
}

pub fn try_open_on(
    disk: Arc<dyn Disk>,
    path: &Path,
    options: DirOptions,
) -> Result<OpenedDir, DirError> {
    block_on(LogDir::open(disk, path, options, 1_000_000))
}

pub fn try_open(path: &Path) -> Result<OpenedDir, DirError> {
    try_open_on(FileDisk::new(), path, options())
}

impl Owner {
    pub fn open(path: &Path) -> Self {
        Self::open_with(path, LogConfig::default())
    }

    pub fn open_with(path: &Path, config: LogConfig) -> Self {
        Self::of(try_open(path).expect("the directory opens"), config)
    }

    pub fn of(opened: OpenedDir, config: LogConfig) -> Self {
        let OpenedDir {
            dir,
            logs,
            was_clean,
            previous_broker_epoch,
        } = opened;
        let mut set = dir.log_set(0);
        for log in logs {
            let end = log.end();
            let id = set.adopt(log, config);
            set.set_high_watermark(id, end).expect("just adopted");
        }
        Self {
            dir,
            set,
            now_ms: 1_000_000,
            was_clean,
            previous_broker_epoch,
            config,
        }
    }

    pub fn create(&mut self, topic: &str) -> LogId {
        self.set.create(
            LogName::new(topic, 0),
            topic_id(topic),
            self.config,
            self.now_ms,
        )
    }

    pub fn find(&self, topic: &str) -> LogId {
        let wanted = LogName::new(topic, 0);
        self.set
            .logs()
            .find(|(_, log)| *log.name() == wanted)
            .map(|(id, _)| id)
            .expect("the log is there")
    }

    pub fn try_append(
        &mut self,
        id: LogId,
        batch: BatchView,
    ) -> Result<AppendedRecords, AppendError> {
        self.set
            .append_as_leader(id, vec![batch], 0, Origin::Client, self.now_ms)
    }

    pub fn append(&mut self, id: LogId, batch: BatchView) -> AppendedRecords {
        self.try_append(id, batch).expect("appended")
    }

    /// Submits and waits until all that was appended is flushed.
    pub fn flush(&mut self) {
        loop {
            self.set.submit(self.now_ms);
            let is_flushed = self
                .set
                .logs()
                .all(|(_, log)| log.flushed_end() == log.end());
            if is_flushed {
                break;
            }
            let progress = block_on(self.set.next());
            self.set
                .apply(progress, self.now_ms)
                .expect("the disk works");
        }
        let ids: Vec<(LogId, i64)> = self.set.logs().map(|(id, log)| (id, log.end())).collect();
        for (id, end) in ids {
            self.set.set_high_watermark(id, end).expect("there");
        }
    }

    /// Lets time pass, and waits for everything that this set going.
    pub fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.set.upkeep(self.now_ms);
        while !self.set.is_quiet() {
            let progress = block_on(self.set.next());
            self.set
                .apply(progress, self.now_ms)
                .expect("the disk works");
        }
    }

    pub fn close(mut self, broker_epoch: i64) -> Closed {
        block_on(self.set.drain(self.now_ms)).expect("drained");
        drop(self.set);
        block_on(self.dir.close_clean(broker_epoch)).expect("closed")
    }

    /// As kill -9 does it: what was not flushed is lost, the page cache is not.
    pub fn crash(self) {}

    pub fn fetch(&self, id: LogId, from: i64, bytes_max: usize) -> Fetched {
        let upper = self.set.log(id).expect("there").high_watermark();
        match self.set.read(id, from, bytes_max, upper).expect("in range") {
            Read::Ready(fetched) => fetched,
            Read::Cold(read) => block_on(read.run()).expect("readable"),
        }
    }

    /// Reads all records from an offset on, as (offset, value).
    pub fn consume(&self, id: LogId, from: i64, bytes_max: usize) -> Vec<(i64, Vec<u8>)> {
        let mut at = from;
        let mut records = Vec::new();
        loop {
            let fetched = self.fetch(id, at, bytes_max);
            if fetched.parts.is_empty() {
                return records;
            }
            assert_eq!(
                fetched.parts.iter().map(Bytes::len).sum::<usize>(),
                fetched.bytes
            );
            for (offset, value) in decode(&fetched) {
                if offset >= at {
                    records.push((offset, value));
                }
            }
            assert!(fetched.next_offset > at, "a fetch makes progress");
            at = fetched.next_offset;
        }
    }

    pub fn log_path(&self, id: LogId) -> PathBuf {
        self.set.log(id).expect("there").path().to_owned()
    }
}

pub fn decode(fetched: &Fetched) -> Vec<(i64, Vec<u8>)> {
    let all: Bytes = fetched.parts.concat().into();
    let mut records = Vec::new();
    for batch in batches(all) {
        let batch = batch.expect("whole batches");
        batch.check_crc().expect("sound batches");
        let decoded = batch.records(1 << 24).expect("readable");
        for record in decoded.iter() {
            let record = record.expect("readable");
            records.push((record.offset, record.value.unwrap_or_default().to_vec()));
        }
    }
    records
}

pub fn topic_id(topic: &str) -> Uuid {
    let mut id = [1; 16];
    let name = topic.as_bytes();
    let len = name.len().min(15);
    id[..len].copy_from_slice(&name[..len]);
    Uuid(id)
}

/// A batch with these values.
pub fn batch(timestamp: i64, values: &[&[u8]]) -> BatchView {
    build(BatchOptions::default(), timestamp, values)
}

pub fn build(options: BatchOptions, timestamp: i64, values: &[&[u8]]) -> BatchView {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder
            .append(timestamp, None, Some(value), [])
            .expect("fits");
    }
    BatchView::new(builder.build().expect("has records")).expect("a batch")
}

pub fn idempotent(
    producer_id: i64,
    epoch: i16,
    base_sequence: i32,
    transactional: bool,
) -> BatchOptions {
    BatchOptions {
        producer: Some(Producer {
            id: producer_id,
            epoch,
            base_sequence,
        }),
        transactional,
        ..BatchOptions::default()
    }
}

/// A directory in memory where there is one: these tests open and close many times, and ask nothing of a real disk's syncs.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}
