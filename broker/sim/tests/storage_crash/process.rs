//! The process under test: an owner of one log directory that does a bit of everything, at random,
//! and keeps the model's book. It runs the storage crate as the broker does.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker::rt::{Rt, sleep};
use ottla_broker_sim::Rng;
use ottla_broker_storage::{
    Closed, DirError, DirOptions, Durability, Limits, LogConfig, LogDir, LogId, LogName, LogSet,
    OpenedDir, Origin, Read,
};
use ottla_protocol::Uuid;
use ottla_protocol::records::{BatchBuilder, BatchOptions, BatchView, batches};

use crate::model::{Batch, LogModel, Logs, Model, Op};

pub const DIR: &str = "/data/logs";
const EPOCH: i32 = 3;
/// Names are few, so that a deleted topic's name is soon taken again.
const NAMES: u64 = 4;
const LOGS_MAX: usize = 6;

/// How a life ended by itself.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Exit {
    /// In order.
    Stopped,
    /// The disk failed; storage said so.
    DirDead,
}

/// What a life does.
#[derive(Clone, Copy)]
pub struct Plan {
    /// How many things, after which it stops in order.
    pub operations: u64,
    /// Faults are injected.
    pub disk_may_fail: bool,
}

/// Everything small, so that chunks, segments, checkpoints and write-outs come every few operations.
fn limits() -> Limits {
    Limits {
        commit_log_bytes_max: 384 << 10,
        chunk_bytes_first: 16 << 10,
        chunk_bytes_max: 64 << 10,
        group_bytes_max: 12 << 10,
        tail_bytes_max: 24 << 10,
        write_out_bytes: 2 << 10,
        write_out_ms: 5,
        checkpoint_ms: 40,
        retention_check_ms: 1_000,
    }
}

fn config(is_page_cache: bool) -> LogConfig {
    LogConfig {
        segment_bytes: 8 << 10,
        index_interval_bytes: 512,
        file_delete_delay_ms: 30,
        retention: None,
        durability: if is_page_cache {
            Durability::PageCache
        } else {
            Durability::Fsync
        },
        ..LogConfig::default()
    }
}

fn options() -> DirOptions {
    DirOptions {
        owner: Some(("simulated".to_owned(), 1)),
        new_directory_id: Uuid::from_random_bits(0x1234_5678_9abc_def0_1122_3344_5566_7788),
        limits: limits(),
    }
}

struct Process {
    rt: Rt,
    rng: Rng,
    set: LogSet,
    dir: LogDir,
    logs: Vec<(LogId, Uuid)>,
    model: Rc<RefCell<Model>>,
    values: u64,
}

/// One life: opens the directory, compares it with the model, works, and stops in order.
pub async fn live(rt: Rt, rng: Rng, model: Rc<RefCell<Model>>, plan: Plan) -> Exit {
    let opened = LogDir::open(rt.disk(), Path::new(DIR), options(), rt.wall_clock_ms()).await;
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return refused(&error, plan),
    };
    let mut process = Process::take_over(rt, rng, model, opened).await;
    match process.work(plan).await {
        Ok(()) => {}
        Err(error) => return refused(&error, plan),
    }
    process.stop(plan).await
}

/// With a disk that only crashes, nothing may go wrong; with one that fails, storage must say so.
fn refused(error: &DirError, plan: Plan) -> Exit {
    match error {
        DirError::Dead { .. } | DirError::Io { .. } if plan.disk_may_fail => Exit::DirDead,
        other => panic!("storage refuses what it left behind: {other}"),
    }
}

impl Process {
    async fn take_over(rt: Rt, rng: Rng, model: Rc<RefCell<Model>>, opened: OpenedDir) -> Self {
        let OpenedDir {
            dir,
            logs,
            previous_broker_epoch,
            was_clean,
        } = opened;
        let set = dir.log_set(0);
        let mut process = Self {
            rt,
            rng,
            set,
            dir,
            logs: Vec::new(),
            model,
            values: 0,
        };
        let mut found = Logs::new();
        for log in logs {
            assert!(
                log.damage().is_none(),
                "{} is damaged: {:?}",
                log.name(),
                log.damage()
            );
            let (name, topic_id) = (log.name().clone(), log.topic_id());
            let is_page_cache = name.partition == 0;
            let (start, end) = (log.log_start(), log.end());
            let id = process.set.adopt(log, config(is_page_cache));
            process.logs.push((id, topic_id));
            let batches = process.read_all(id, start, end).await;
            found.insert(
                topic_id,
                LogModel {
                    name,
                    is_page_cache,
                    start,
                    end,
                    batches,
                },
            );
        }
        let has_page_cache = found.values().any(|log| log.is_page_cache);
        let mut model = process.model.borrow_mut();
        if let Err(miss) = model.restart(found) {
            panic!("{miss}");
        }
        // With page-cache durability nobody can say what a crash lost.
        if has_page_cache && !was_clean {
            assert_eq!(previous_broker_epoch, None);
            model.broker_epochs.forget();
        } else {
            model
                .broker_epochs
                .restart(was_clean, previous_broker_epoch);
        }
        drop(model);
        process
    }

    async fn read_all(&self, id: LogId, start: i64, end: i64) -> Vec<Batch> {
        let (mut from, mut found) = (start, Vec::new());
        while from < end {
            let fetched = match self
                .set
                .read(id, from, 4 << 10, end)
                .expect("inside the log")
            {
                Read::Ready(fetched) => fetched,
                Read::Cold(read) => match read.run().await {
                    Ok(fetched) => fetched,
                    Err(error) => panic!("a read of what was recovered failed: {error}"),
                },
            };
            assert!(
                fetched.next_offset > from,
                "a read from {from} below the end {end} found nothing"
            );
            from = fetched.next_offset;
            found.extend(parse(&fetched.parts));
        }
        found
    }

    async fn work(&mut self, plan: Plan) -> Result<(), DirError> {
        for _ in 0..plan.operations {
            self.act(plan).await?;
            self.set.submit(self.rt.wall_clock_ms());
            if self.rng.chance(0.4) {
                self.pass(Duration::from_micros(self.rng.clone().exponential(600)))
                    .await?;
            }
        }
        Ok(())
    }

    async fn act(&mut self, plan: Plan) -> Result<(), DirError> {
        let now_ms = self.rt.wall_clock_ms();
        if self.logs.is_empty() {
            self.create(plan, now_ms);
            return Ok(());
        }
        let (id, topic_id) = self.logs[self.rng.index(self.logs.len())];
        match self.rng.below(100) {
            0..=63 => self.append(id, topic_id, now_ms),
            64..=69 => self.delete_records(id, topic_id, now_ms),
            70..=73 => self.truncate(id, topic_id, now_ms).await?,
            74..=78 => self.create(plan, now_ms),
            79..=80 => self.remove(id, topic_id, now_ms),
            81..=83 => self.set.begin_epoch(id, EPOCH).expect("there"),
            84..=88 => self.set.upkeep(now_ms),
            89..=93 => self.read(id, topic_id).await,
            94..=95 => self.record_epoch().await?,
            _ => {
                self.pass(Duration::from_millis(self.rng.clone().below(30)))
                    .await?
            }
        }
        self.rng.bits();
        Ok(())
    }

    fn append(&mut self, id: LogId, topic_id: Uuid, now_ms: i64) {
        if self.set.backlogged() {
            return;
        }
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for _ in 0..=self.rng.below(4) {
            self.values += 1;
            let mut value = format!("{topic_id} {} {}", self.values, self.rng.bits()).into_bytes();
            let len = value.len() + self.rng.index(900);
            value.resize(len, b'.');
            let no_headers: [(&[u8], Option<&[u8]>); 0] = [];
            builder
                .append(now_ms, None, Some(&value), no_headers)
                .expect("small");
        }
        let bytes = builder.build().expect("it has records");
        let view = BatchView::new(bytes).expect("just built");
        let mut stamped = view.clone();
        let Ok(appended) = self
            .set
            .append_as_leader(id, vec![view], EPOCH, Origin::Client, now_ms)
        else {
            return;
        };
        stamped.stamp(appended.first_offset, EPOCH);
        let batch = Batch {
            base: appended.first_offset,
            next: appended.last_offset + 1,
            bytes: stamped.to_bytes(),
        };
        self.model.borrow_mut().note(topic_id, Op::Append(batch));
    }

    fn create(&mut self, plan: Plan, now_ms: i64) {
        if self.logs.len() >= LOGS_MAX {
            return;
        }
        // Whether a log promises durability follows from its name, so that a restart knows it.
        let partition = self.rng.below(NAMES) as i32;
        let is_page_cache = partition == 0;
        let name = LogName::new(format!("topic{}", self.rng.below(NAMES)), partition);
        let is_taken = self.model.borrow().now.values().any(|log| log.name == name);
        // What a failed sync leaves in the page cache is beyond page-cache durability: nothing is promised.
        if is_taken || (is_page_cache && plan.disk_may_fail) {
            return;
        }
        let bits = u128::from(self.rng.bits()) << 64 | u128::from(self.rng.bits());
        let topic_id = Uuid::from_random_bits(bits);
        let id = self
            .set
            .create(name.clone(), topic_id, config(is_page_cache), now_ms);
        self.logs.push((id, topic_id));
        let op = Op::Create {
            name,
            is_page_cache,
        };
        self.model.borrow_mut().note(topic_id, op);
    }

    fn remove(&mut self, id: LogId, topic_id: Uuid, now_ms: i64) {
        self.set.remove(id, now_ms).expect("there");
        self.logs.retain(|(other, _)| *other != id);
        self.model.borrow_mut().note(topic_id, Op::Remove);
    }

    fn delete_records(&mut self, id: LogId, topic_id: Uuid, now_ms: i64) {
        if self.is_page_cache(id) {
            return;
        }
        let log = self.set.log(id).expect("there");
        let (start, flushed, end) = (log.log_start(), log.flushed_end(), log.end());
        assert!(
            start <= flushed && flushed <= end,
            "{start} <= {flushed} <= {end}"
        );
        self.set.set_high_watermark(id, flushed).expect("there");
        let before = start
            + self
                .rng
                .below(flushed.saturating_sub(start).unsigned_abs() + 1) as i64;
        let start = self
            .set
            .delete_records(id, before, now_ms)
            .expect("below the high watermark");
        self.model
            .borrow_mut()
            .note(topic_id, Op::RaiseStart { start });
    }

    async fn truncate(&mut self, id: LogId, topic_id: Uuid, now_ms: i64) -> Result<(), DirError> {
        if self.is_page_cache(id) {
            return Ok(());
        }
        let log = self.set.log(id).expect("there");
        let (start, end) = (log.log_start(), log.end());
        if self.rng.chance(0.2) {
            let offset = self.rng.below(end.unsigned_abs() + 20) as i64;
            self.set
                .truncate_fully_and_start_at(id, offset, now_ms)
                .expect("there");
            self.model
                .borrow_mut()
                .note(topic_id, Op::StartAt { offset });
            return Ok(());
        }
        let offset = start + self.rng.below((end - start).unsigned_abs() + 1) as i64;
        if offset <= start || offset >= end {
            return Ok(());
        }
        use ottla_broker_storage::TruncateError;
        match self.set.truncate_to(id, offset, now_ms).await {
            Ok(end) => self.model.borrow_mut().note(topic_id, Op::Truncate { end }),
            Err(TruncateError::Dir(error)) => return Err(error),
            Err(TruncateError::Io(error)) => {
                return Err(DirError::Io {
                    doing: "truncating",
                    path: DIR.into(),
                    error,
                });
            }
            Err(error @ TruncateError::NoSuchLog(_)) => panic!("{error}"),
        }
        Ok(())
    }

    /// Any read of anything acknowledged gives exactly what was sent.
    async fn read(&mut self, id: LogId, topic_id: Uuid) {
        let log = self.set.log(id).expect("there");
        let (start, upper) = (log.log_start(), log.flushed_end());
        if start >= upper {
            return;
        }
        let from = start + self.rng.below((upper - start).unsigned_abs()) as i64;
        let fetched = match self
            .set
            .read(id, from, 3_000, upper)
            .expect("inside the log")
        {
            Read::Ready(fetched) => fetched,
            Read::Cold(read) => match read.run().await {
                Ok(fetched) => fetched,
                Err(error) => panic!("a cold read failed: {error}"),
            },
        };
        let found = parse(&fetched.parts);
        let model = self.model.borrow();
        let sent = &model.now[&topic_id].batches;
        let first = sent
            .iter()
            .position(|batch| batch.next > from)
            .expect("below the end");
        assert!(
            !found.is_empty(),
            "a read from {from} below {upper} found nothing"
        );
        assert!(
            sent[first..].starts_with(&found),
            "a read from {from} is not what was sent"
        );
    }

    async fn record_epoch(&mut self) -> Result<(), DirError> {
        let epoch = self.rng.below(1_000_000) as i64;
        self.model.borrow_mut().broker_epochs.under_way = Some(epoch);
        self.dir.record_broker_epoch(epoch).await?;
        self.model.borrow_mut().broker_epochs.record(epoch);
        Ok(())
    }

    /// Lets time pass while the disk's answers are taken in.
    async fn pass(&mut self, time: Duration) -> Result<(), DirError> {
        let until = self.rt.now() + time;
        loop {
            let progress = tokio::select! {
                biased;
                progress = self.set.next() => progress,
                () = sleep(&self.rt, until - self.rt.now()) => return Ok(()),
            };
            let flushed = self.set.apply(progress, self.rt.wall_clock_ms())?;
            for flushed in flushed {
                let known = self.logs.iter().find(|(id, _)| *id == flushed.log);
                if let Some((id, topic_id)) = known
                    && !self.is_page_cache(*id)
                {
                    self.model
                        .borrow_mut()
                        .flushed(*topic_id, flushed.end_offset);
                }
            }
        }
    }

    async fn stop(mut self, plan: Plan) -> Exit {
        let epoch = self.rng.below(1_000_000) as i64;
        if let Err(error) = self.set.drain(self.rt.wall_clock_ms()).await {
            return refused(&error, plan);
        }
        self.model.borrow_mut().all_is_durable();
        self.model.borrow_mut().broker_epochs.stop = Some(epoch);
        let Self { set, dir, .. } = self;
        drop(set);
        match dir.close_clean(epoch).await {
            Ok(closed) => assert_eq!(closed, Closed::ForKafka),
            Err(error) => return refused(&error, plan),
        }
        Exit::Stopped
    }

    fn is_page_cache(&self, id: LogId) -> bool {
        self.set
            .log(id)
            .is_some_and(|log| log.config().durability == Durability::PageCache)
    }
}

fn parse(parts: &[Bytes]) -> Vec<Batch> {
    let whole = Bytes::from(parts.concat());
    let each = |batch: Result<BatchView, _>| {
        let batch = batch.expect("whole batches");
        batch.check_crc().expect("as sent");
        let header = batch.header();
        Batch {
            base: header.base_offset,
            next: header.next_offset(),
            bytes: batch.to_bytes(),
        }
    };
    batches(whole).map(each).collect()
}
