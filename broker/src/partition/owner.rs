//! The loop that owns the partitions of a shard: select an event, apply it, upkeep.
//!
//! One turn: take every request that is in the mailbox, append and read, then submit all appends as one
//! group commit. While that is on its way the next group collects. When it is durable, high watermarks
//! move, acknowledgements leave and waiting fetches are served.
//!
//! Invariant: the high watermark of a partition with one replica is its flushed end; nothing is
//! acknowledged above it. Here: the loop and what the disk answers; its rooms are `append.rs`, `read.rs` and
//! `hold.rs`. Not here: wire types, record validation (handlers), files (broker/storage).

mod append;
mod hold;
mod read;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ottla_broker_storage::{Flushed, Log, LogId, LogSet, OpenedLog, Progress};
use tokio::sync::{mpsc, oneshot};

use super::waiters::Waiters;
use super::{
    Appended, LogSize, PartitionError, PartitionId, PartitionsHandle, Request, StartAt, Truncate,
};
use crate::rt::{Instant, Rt};

/// What the owner begins with.
pub struct OwnerConfig {
    /// The logs of this shard.
    pub set: LogSet,
    /// Logs that were found on disk and belong to nobody yet.
    pub found: Vec<OpenedLog>,
}

/// Starts the owner on this shard.
pub fn start(rt: &Rt, config: OwnerConfig) -> PartitionsHandle {
    let (mailbox, requests) = mpsc::unbounded_channel();
    let found = config.found.into_iter().map(|log| {
        let id = PartitionId {
            topic: log.topic_id(),
            index: log.name().partition,
        };
        (id, log)
    });
    let owner = Owner {
        rt: Rc::clone(rt),
        set: config.set,
        found: found.collect(),
        hosted: BTreeMap::new(),
        by_log: BTreeMap::new(),
        unacknowledged: BTreeMap::new(),
        tickets: BTreeMap::new(),
        next_ticket: 0,
        waiters: Waiters::default(),
        deferred: VecDeque::new(),
        stopping: None,
        cutting: None,
        upkeep_due: rt.now() + UPKEEP_EVERY,
    };
    rt.spawn(Box::pin(owner.run(requests)));
    PartitionsHandle { mailbox }
}

struct Owner {
    rt: Rt,
    set: LogSet,
    found: BTreeMap<PartitionId, OpenedLog>,
    hosted: BTreeMap<PartitionId, Replica>,
    by_log: BTreeMap<LogId, PartitionId>,
    /// Appends that wait for a flush, per partition in log order.
    unacknowledged: BTreeMap<PartitionId, VecDeque<Unacknowledged>>,
    tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    waiters: Waiters,
    /// Appends that wait until the disk has caught up with memory.
    deferred: VecDeque<Request>,
    stopping: Option<oneshot::Sender<bool>>,
    /// What the loop does before it takes another request.
    cutting: Option<Cut>,
    /// Upkeep is not put off beyond this by requests that never cease.
    upkeep_due: Instant,
}

/// While there is always a request, time passes all the same: a full disk is looked at again, old segments go.
const UPKEEP_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone, Copy)]
struct Replica {
    log: LogId,
    leads: bool,
    leader_epoch: i32,
}

struct Unacknowledged {
    /// Durable at this flushed end.
    end: i64,
    ticket: u64,
    entry: usize,
}

/// An append request whose partitions are acknowledged one by one.
struct Ticket {
    outcomes: Vec<Result<Appended, PartitionError>>,
    left: usize,
    reply: TicketReply,
}

enum TicketReply {
    Append(oneshot::Sender<Vec<Result<Appended, PartitionError>>>),
    Replicate(oneshot::Sender<Result<i64, PartitionError>>),
}

/// A request that shortens a log.
enum Cut {
    Truncate(Truncate),
    StartAt(StartAt),
}

impl Cut {
    fn partition(&self) -> PartitionId {
        match self {
            Cut::Truncate(truncate) => truncate.partition,
            Cut::StartAt(start) => start.partition,
        }
    }
}

enum Event {
    Request(Request),
    Disk(Progress),
    Time,
    NoMoreHandles,
}

impl Owner {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        loop {
            let event = self.select(&mut requests).await;
            match event {
                Event::Request(request) => {
                    self.apply(request);
                    // All that is waiting shares the next group commit, up to a request that cuts a log:
                    // what comes after it must find the log cut.
                    while self.cutting.is_none()
                        && let Ok(request) = requests.try_recv()
                    {
                        self.apply(request);
                    }
                }
                Event::Disk(progress) => self.take_progress(progress),
                Event::Time => self.pass_time(),
                Event::NoMoreHandles => return,
            }
            if self.rt.now() >= self.upkeep_due {
                self.pass_time();
            }
            self.set.submit(self.rt.wall_clock_ms());
            self.take_up_deferred();
            if let Some(cut) = self.cutting.take() {
                self.cut(cut).await;
            }
            if let Some(stopped) = self.stopping.take() {
                let _ = stopped.send(self.stop().await);
                return;
            }
        }
    }

    async fn select(&mut self, requests: &mut mpsc::UnboundedReceiver<Request>) -> Event {
        let deadline = self.next_deadline();
        let wake = self.rt.sleep_until(deadline);
        tokio::select! {
            biased;
            progress = self.set.next() => Event::Disk(progress),
            request = requests.recv() => request.map_or(Event::NoMoreHandles, Event::Request),
            () = wake => Event::Time,
        }
    }

    fn next_deadline(&self) -> Instant {
        let wall_ms = self.rt.wall_clock_ms();
        let in_ms = self
            .set
            .next_deadline_ms(wall_ms)
            .saturating_sub(wall_ms)
            .clamp(1, 60_000);
        let upkeep = self.rt.now() + Duration::from_millis(in_ms as u64);
        self.waiters
            .next_deadline()
            .map_or(upkeep, |deadline| deadline.min(upkeep))
    }

    fn apply(&mut self, request: Request) {
        match request {
            Request::Append(_) | Request::Replicate(_) if self.set.backlogged() => {
                self.deferred.push_back(request)
            }
            Request::Append(append) => self.append(append),
            Request::Replicate(replicate) => self.replicate(replicate),
            Request::Fetch(fetch) => self.fetch(fetch),
            Request::Truncate(truncate) => self.cutting = Some(Cut::Truncate(truncate)),
            Request::StartAt(start) => self.cutting = Some(Cut::StartAt(start)),
            Request::RaiseLogStart(raise) => {
                let raised = self.raise_log_start(raise.partition, raise.log_start);
                let _ = raise.reply.send(raised);
            }
            Request::Offset(query) => self.offset(query),
            Request::EpochEnd(query) => self.epoch_end(query),
            Request::DeleteRecords(delete) => self.delete_records(delete),
            Request::Sizes(reply) => {
                let sizes = self.hosted.iter().filter_map(|(partition, replica)| {
                    Some(LogSize {
                        partition: *partition,
                        bytes: self.set.log(replica.log)?.size_bytes(),
                    })
                });
                // Whoever asked may be gone; so for all replies below.
                let _ = reply.send(sizes.collect());
            }
            Request::Survey(survey) => self.survey(survey),
            Request::Bounds(partition, reply) => {
                let _ = reply.send(self.bounds(partition));
            }
            Request::Epochs(partition, reply) => {
                let epochs = self
                    .log_of(partition)
                    .map(|log| log.epoch_starts().collect());
                let _ = reply.send(epochs);
            }
            Request::Scan(scan) => self.scan(scan),
            Request::Corrupt(partition, damage) => self.mark_corrupt(partition, damage),
            Request::Publish(publication, done) => {
                self.publish(publication);
                let _ = done.send(());
            }
            Request::RetireUnclaimed => self.retire_unclaimed(),
            Request::Stop(done) => self.stopping = Some(done),
        }
    }

    /// The replica that this broker leads under the epoch that the caller knows (−1: any).
    fn led(&self, partition: PartitionId, epoch: i32) -> Result<Replica, PartitionError> {
        let replica = *self
            .hosted
            .get(&partition)
            .ok_or(PartitionError::NotLeader)?;
        if !replica.leads {
            return Err(PartitionError::NotLeader);
        }
        match epoch {
            -1 => Ok(replica),
            epoch if epoch < replica.leader_epoch => Err(PartitionError::FencedLeaderEpoch),
            epoch if epoch > replica.leader_epoch => Err(PartitionError::UnknownLeaderEpoch),
            _ => Ok(replica),
        }
    }

    fn is_flushed(&self, partition: PartitionId, end: i64) -> bool {
        let log = self
            .hosted
            .get(&partition)
            .and_then(|replica| self.set.log(replica.log));
        log.is_some_and(|log| log.flushed_end() >= end)
    }

    fn take_progress(&mut self, progress: Progress) {
        match self.set.apply(progress, self.rt.wall_clock_ms()) {
            Ok(flushed) => flushed
                .into_iter()
                .for_each(|flushed| self.flushed(flushed)),
            Err(error) => {
                tracing::error!(%error, "the log directory is out of use; its partitions are served no more");
                self.refuse_unacknowledged(&error.to_string());
            }
        }
    }

    fn flushed(&mut self, flushed: Flushed) {
        let Some(partition) = self.by_log.get(&flushed.log).copied() else {
            return;
        };
        // With one replica the leader's flush is everybody's.
        let moved = self.set.set_high_watermark(flushed.log, flushed.end_offset);
        debug_assert!(moved.is_ok(), "a log that was flushed is there");
        self.acknowledge(partition, flushed.end_offset);
        self.serve_waiters(partition);
    }

    /// The log of a replica here, whoever leads it.
    fn log_of(&self, partition: PartitionId) -> Result<&Log, PartitionError> {
        let replica = self
            .hosted
            .get(&partition)
            .ok_or(PartitionError::NotLeader)?;
        self.set.log(replica.log).ok_or(PartitionError::NotLeader)
    }
}

fn out_of_range(offset: i64, log: &Log) -> PartitionError {
    PartitionError::OffsetOutOfRange {
        offset,
        start: log.log_start(),
        end: log.end(),
    }
}
