//! The process under test: an owner of one log directory that does a bit of everything, at random,
//! and keeps the model's book. It runs the storage crate as the broker does.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker::rt::{Rt, sleep};
use ottla_broker_sim::Rng;
use ottla_broker_storage::disk::Lane;
use ottla_broker_storage::names::SegmentFile;
use ottla_broker_storage::{
    Closed, DirError, DirOptions, Durability, Limits, LogConfig, LogDir, LogId, LogName, LogSet,
    OpenedDir, Origin, Read, TruncateError,
};
use ottla_protocol::Uuid;
use ottla_protocol::records::{BatchBuilder, BatchOptions, BatchView, Producer, batches};

use crate::model::{Batch, Found, FoundLogs, LastSequences, LogModel, Model, Op};

pub const DIR: &str = "/data/logs";
/// Names are few, so that a deleted topic's name is soon taken again.
const NAMES: u64 = 4;
const LOGS_MAX: usize = 6;
/// Idempotent producers of each log.
const PRODUCERS: u64 = 3;

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
    /// What there is most of.
    pub mix: Mix,
}

/// What a history has most of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// A bit of everything.
    #[default]
    Everything,
    /// A replica that changes between leader and follower, and truncates.
    Truncations,
    /// Logs with page-cache durability, and changes of it.
    PageCache,
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

/// Whether a log promises durability follows from its name, so that a restart knows it.
fn is_page_cache(partition: i32) -> bool {
    partition < 2
}

fn config(partition: i32) -> LogConfig {
    LogConfig {
        segment_bytes: 8 << 10,
        index_interval_bytes: 512,
        file_delete_delay_ms: 30 * i64::from(partition % 2),
        retention: None,
        durability: match is_page_cache(partition) {
            true => Durability::PageCache,
            false => Durability::Fsync,
        },
        // Those of partition 1 are synced before they are acknowledged.
        flush_messages: if partition == 1 { 1 } else { i64::MAX },
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
        let mut found = FoundLogs::new();
        for log in logs {
            assert!(
                log.damage().is_none(),
                "{} is damaged: {:?}",
                log.name(),
                log.damage()
            );
            let (name, topic_id) = (log.name().clone(), log.topic_id());
            let (start, end) = (log.log_start(), log.end());
            let partition = name.partition;
            let id = process.set.adopt(log, config(partition));
            process.logs.push((id, topic_id));
            let log = LogModel {
                is_page_cache: is_page_cache(partition),
                name,
                start,
                end,
                batches: process.read_all(id, start, end).await,
                epoch_min: 1,
            };
            process.check_epochs(id, &log);
            let producers = process.last_sequences(id);
            found.insert(topic_id, Found { log, producers });
        }
        let has_page_cache = found.values().any(|found| found.log.is_page_cache);
        let mut model = process.model.borrow_mut();
        let lost_acknowledged = match model.restart(&found) {
            Ok(restarted) => restarted.lost_acknowledged,
            Err(miss) => panic!("{miss}"),
        };
        // With page-cache durability it cannot be said after a crash, unless all happened to be synced.
        let is_unknown = has_page_cache && !was_clean && previous_broker_epoch.is_none();
        match is_unknown || lost_acknowledged {
            true => {
                assert_eq!(previous_broker_epoch, None);
                model.broker_epochs.forget();
            }
            false => model
                .broker_epochs
                .restart(was_clean, previous_broker_epoch),
        }
        drop(model);
        process
    }

    /// Every batch is of the epoch that the log says it is of.
    fn check_epochs(&self, id: LogId, log: &LogModel) {
        let state = self.set.log(id).expect("there");
        for batch in log.readable() {
            let said = state.epoch_of(batch.base.max(log.start));
            assert_eq!(
                said,
                Some(batch.epoch),
                "epoch of the batch at {} of {}",
                batch.base,
                log.name
            );
        }
    }

    fn last_sequences(&self, id: LogId) -> LastSequences {
        let producers = self.set.log(id).expect("there").producers();
        let last = |(id, producer): (i64, &ottla_broker_storage::producers::Producer)| {
            let batch = producer.batches.back()?;
            Some((id, (batch.last_sequence, batch.last_offset)))
        };
        producers.iter().filter_map(last).collect()
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
        match (plan.mix, self.rng.below(100)) {
            (Mix::Truncations, 0..=14) => self.truncate(id, topic_id, now_ms).await?,
            (Mix::Truncations, 15..=34) => self.append(id, topic_id, Role::Follower, now_ms),
            (Mix::PageCache, 0..=9) => self.change_durability(id),
            (Mix::PageCache, 10..=14) => self.delete_records(id, topic_id, now_ms),
            (_, 0..=53) => self.append(id, topic_id, Role::Leader, now_ms),
            (_, 54..=63) => self.append(id, topic_id, Role::Follower, now_ms),
            (_, 64..=69) => self.delete_records(id, topic_id, now_ms),
            (_, 70..=73) => self.truncate(id, topic_id, now_ms).await?,
            (_, 74..=78) => self.create(plan, now_ms),
            (_, 79..=80) => self.remove(id, topic_id, now_ms),
            (_, 81..=83) => {
                let epoch = self.newest_epoch(id, topic_id) + 1;
                self.set.begin_epoch(id, epoch).expect("there");
            }
            (_, 84..=88) => self.set.upkeep(now_ms),
            (_, 89..=93) => self.read(id, topic_id).await,
            (_, 94..=95) => self.record_epoch().await?,
            _ => {
                self.pass(Duration::from_millis(self.rng.clone().below(30)))
                    .await?
            }
        }
        self.rng.bits();
        Ok(())
    }

    /// The newest epoch that the log knows, or that its last batch has.
    fn newest_epoch(&self, id: LogId, topic_id: Uuid) -> i32 {
        let known = self.set.log(id).expect("there").latest_epoch();
        known.unwrap_or(1).max(self.last_epoch(topic_id))
    }

    fn last_epoch(&self, topic_id: Uuid) -> i32 {
        self.model.borrow().now[&topic_id].last_epoch()
    }

    fn last_batch_epoch(&self, topic_id: Uuid) -> Option<i32> {
        let model = self.model.borrow();
        model.now[&topic_id].batches.last().map(|batch| batch.epoch)
    }

    fn append(&mut self, id: LogId, topic_id: Uuid, role: Role, now_ms: i64) {
        if self.set.backlogged() {
            return;
        }
        let producer = match self.rng.below(2 * PRODUCERS) {
            id if id < PRODUCERS => Some(id as i64),
            _ => None,
        };
        let sequence_of = |id| {
            let model = self.model.borrow();
            let last = model.now[&topic_id].last_sequences();
            last.get(&id).map_or(0, |(last, _)| last + 1)
        };
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: producer.map(|id| Producer {
                id,
                epoch: 0,
                base_sequence: sequence_of(id),
            }),
            ..BatchOptions::default()
        });
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
        let appended = match role {
            Role::Leader => {
                let epoch = self.newest_epoch(id, topic_id);
                stamped.stamp(self.set.log(id).expect("there").end(), epoch);
                self.set
                    .append_as_leader(id, vec![view], epoch, Origin::Client, now_ms)
            }
            // A leader may still send an epoch below one that this replica began and wrote nothing in.
            Role::Follower => {
                let epoch = self.last_epoch(topic_id) + self.rng.below(2) as i32;
                stamped.stamp(self.set.log(id).expect("there").end(), epoch);
                self.set
                    .append_as_follower(id, vec![stamped.clone()], now_ms)
            }
        };
        let Ok(appended) = appended else {
            return;
        };
        assert!(!appended.is_duplicate, "every sequence is sent once");
        let batch = as_batch(&stamped);
        assert_eq!(
            (batch.base, batch.next),
            (appended.first_offset, appended.last_offset + 1)
        );
        self.model.borrow_mut().note(topic_id, Op::Append(batch));
    }

    /// The topic's `ottla.durability` is changed, or changed back.
    fn change_durability(&mut self, id: LogId) {
        let log = self.set.log(id).expect("there");
        if !is_page_cache(log.name().partition) {
            return;
        }
        let durability = match log.config().durability {
            Durability::Fsync => Durability::PageCache,
            Durability::PageCache => Durability::Fsync,
        };
        let config = LogConfig {
            durability,
            ..*log.config()
        };
        self.set.configure(id, config).expect("there");
    }

    fn create(&mut self, plan: Plan, now_ms: i64) {
        if self.logs.len() >= LOGS_MAX {
            return;
        }
        let partition = match plan.mix {
            Mix::PageCache => self.rng.below(3) as i32,
            _ => self.rng.below(NAMES) as i32,
        };
        let is_page_cache = is_page_cache(partition);
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
            .create(name.clone(), topic_id, config(partition), now_ms);
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
        let log = self.set.log(id).expect("there");
        let (start, end) = (log.log_start(), log.end());
        if self.rng.chance(0.2) {
            let offset = self.rng.below(end.unsigned_abs() + 20) as i64;
            let begun = self
                .set
                .truncate_fully_and_start_at(id, offset, now_ms)
                .await;
            if let Err(error) = begun {
                return truncation_error(error);
            }
            self.model.borrow_mut().all_is_durable();
            self.model
                .borrow_mut()
                .note(topic_id, Op::StartAt { offset });
            return Ok(());
        }
        let offset = start + self.rng.below((end - start).unsigned_abs() + 1) as i64;
        if offset <= start {
            return Ok(());
        }
        let is_cut = offset < end;
        match self.set.truncate_to(id, offset, now_ms).await {
            Ok(end) => {
                let mut model = self.model.borrow_mut();
                if is_cut {
                    // What stays was read again from its files, where it is synced.
                    model.all_is_durable();
                    model.note(topic_id, Op::Truncate { end });
                }
                drop(model);
                // An epoch that was only begun goes with what was cut, and with an empty tail, too.
                if end > start {
                    let latest = self.set.log(id).expect("there").latest_epoch();
                    assert_eq!(latest, self.last_batch_epoch(topic_id));
                }
            }
            Err(error) => return truncation_error(error),
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
                if let Some((id, topic_id)) = known {
                    let config = self.set.log(*id).expect("there").config();
                    let is_synced =
                        config.durability == Durability::Fsync || config.flush_messages == 1;
                    self.model
                        .borrow_mut()
                        .flushed(*topic_id, flushed.end_offset, is_synced);
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
        let logs = self
            .set
            .logs()
            .map(|(_, log)| (log.path().to_owned(), log.segment_count(), log.end()));
        let logs: Vec<_> = logs.collect();
        self.check_files(&logs).await;
        let Self { set, dir, .. } = self;
        drop(set);
        match dir.close_clean(epoch).await {
            Ok(closed) => assert_eq!(closed, Closed::ForKafka),
            Err(error) => return refused(&error, plan),
        }
        Exit::Stopped
    }

    /// What Apache Kafka would find: the segments that the log has, and no others.
    async fn check_files(&self, wanted: &[(PathBuf, usize, i64)]) {
        for (path, segments, end) in wanted {
            let listed = self.rt.disk().list(Lane::Any, path).await;
            let listed = listed.expect("a clean stop leaves every log a directory");
            let bases: Vec<i64> = listed
                .iter()
                .filter_map(|file| SegmentFile::parse(&file.name))
                .filter(|(_, kind)| *kind == SegmentFile::Log)
                .map(|(base, _)| base)
                .collect();
            assert_eq!(bases.len(), *segments, "{}: {bases:?}", path.display());
            assert!(
                bases.iter().all(|base| base <= end),
                "{} ends at {end} and has {bases:?}",
                path.display()
            );
        }
    }
}

/// On which side of replication a batch comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Leader,
    Follower,
}

fn truncation_error(error: TruncateError) -> Result<(), DirError> {
    Err(match error {
        TruncateError::Dir(error) => error,
        TruncateError::Io(error) => DirError::Io {
            doing: "truncating",
            path: DIR.into(),
            error,
        },
        TruncateError::NoSuchLog(_) => panic!("{error}"),
    })
}

fn as_batch(batch: &BatchView) -> Batch {
    let header = batch.header();
    let sequence = header.has_producer_id().then(|| header.last_sequence());
    Batch {
        base: header.base_offset,
        next: header.next_offset(),
        epoch: header.partition_leader_epoch,
        producer: sequence.map(|last| (header.producer_id, last)),
        bytes: batch.to_bytes(),
    }
}

fn parse(parts: &[Bytes]) -> Vec<Batch> {
    let whole = Bytes::from(parts.concat());
    let each = |batch: Result<BatchView, _>| {
        let batch = batch.expect("whole batches");
        batch.check_crc().expect("as sent");
        as_batch(&batch)
    };
    batches(whole).map(each).collect()
}
