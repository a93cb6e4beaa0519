//! The loop that owns the partitions of a shard: select an event, apply it, upkeep.
//!
//! One turn: take every request that is in the mailbox, append and read, then submit all appends as one
//! group commit. While that is on its way the next group collects. When it is durable, high watermarks
//! move, acknowledgements leave and waiting fetches are served.
//!
//! Invariant: the high watermark of a partition with one replica is its flushed end; nothing is
//! acknowledged above it. Not here: wire types, record validation (handlers), files (broker/storage).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ottla_broker_storage::{
    Damage, Flushed, Log, LogId, LogName, LogSet, OpenedLog, Progress, Read, ReadError,
};
use ottla_protocol::records::batches;
use tokio::sync::{mpsc, oneshot};

use super::waiters::Waiters;
use super::{
    Append, AppendEntry, Appended, DeleteRecords, EpochEndQuery, Fetch, FetchWant, Fetched,
    FetchedData, Hosted, LogBounds, LogSize, OffsetAnswer, OffsetAt, OffsetQuery, PartitionError,
    PartitionId, PartitionsHandle, Publication, ReadLimit, Replicate, Request, Scan, StartAt,
    Truncate,
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

    // ---- appending

    fn append(&mut self, append: Append) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut outcomes = Vec::with_capacity(append.entries.len());
        let mut left = 0;
        for (index, entry) in append.entries.into_iter().enumerate() {
            match self.append_entry(entry) {
                Ok((partition, appended)) => {
                    outcomes.push(Ok(appended));
                    if self.is_flushed(partition, appended.end_offset) {
                        continue;
                    }
                    left += 1;
                    let waiting = Unacknowledged {
                        end: appended.end_offset,
                        ticket,
                        entry: index,
                    };
                    self.unacknowledged
                        .entry(partition)
                        .or_default()
                        .push_back(waiting);
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        let ticket_state = Ticket {
            outcomes,
            left,
            reply: TicketReply::Append(append.reply),
        };
        self.hold_or_answer(ticket, ticket_state);
    }

    fn append_entry(
        &mut self,
        entry: AppendEntry,
    ) -> Result<(PartitionId, Appended), PartitionError> {
        let partition = entry.partition;
        let replica = self.led(partition, entry.leader_epoch)?;
        let origin = entry.origin;
        let stamps = entry.batch.header().attributes.timestamp_type();
        let log_append_time_ms = match stamps {
            ottla_protocol::records::TimestampType::LogAppendTime => {
                entry.batch.header().max_timestamp
            }
            ottla_protocol::records::TimestampType::CreateTime => -1,
        };
        let now_ms = self.rt.wall_clock_ms();
        let appended = self.set.append_as_leader(
            replica.log,
            vec![entry.batch],
            replica.leader_epoch,
            origin,
            now_ms,
        )?;
        Ok((
            partition,
            Appended {
                base_offset: appended.first_offset,
                end_offset: appended.last_offset + 1,
                log_append_time_ms,
                log_start: appended.log_start,
            },
        ))
    }

    fn replicate(&mut self, replicate: Replicate) {
        let appended = self.replicate_batches(&replicate);
        match appended {
            Ok(end) if self.is_flushed(replicate.partition, end) => {
                let _ = replicate.reply.send(Ok(end));
            }
            Ok(end) => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                let waiting = Unacknowledged {
                    end,
                    ticket,
                    entry: 0,
                };
                self.unacknowledged
                    .entry(replicate.partition)
                    .or_default()
                    .push_back(waiting);
                let appended = Appended {
                    base_offset: end,
                    end_offset: end,
                    log_append_time_ms: -1,
                    log_start: -1,
                };
                let state = Ticket {
                    outcomes: vec![Ok(appended)],
                    left: 1,
                    reply: TicketReply::Replicate(replicate.reply),
                };
                self.tickets.insert(ticket, state);
            }
            Err(error) => {
                let _ = replicate.reply.send(Err(error));
            }
        }
    }

    fn replicate_batches(&mut self, replicate: &Replicate) -> Result<i64, PartitionError> {
        let replica = self
            .hosted
            .get(&replicate.partition)
            .ok_or(PartitionError::NotLeader)?;
        let mut views = Vec::new();
        for batch in batches(replicate.batches.clone()) {
            views.push(batch.map_err(|error| PartitionError::Storage(error.to_string()))?);
        }
        let appended = self
            .set
            .append_as_follower(replica.log, views, self.rt.wall_clock_ms())?;
        Ok(appended.last_offset + 1)
    }

    fn hold_or_answer(&mut self, id: u64, ticket: Ticket) {
        if ticket.left == 0 {
            answer(ticket);
        } else {
            self.tickets.insert(id, ticket);
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

    // ---- the disk's answers

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

    fn acknowledge(&mut self, partition: PartitionId, flushed_end: i64) {
        let Some(queue) = self.unacknowledged.get_mut(&partition) else {
            return;
        };
        let mut done = Vec::new();
        while queue
            .front()
            .is_some_and(|waiting| waiting.end <= flushed_end)
        {
            done.extend(queue.pop_front());
        }
        if queue.is_empty() {
            self.unacknowledged.remove(&partition);
        }
        for waiting in done {
            self.count_down(waiting.ticket);
        }
    }

    fn count_down(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id) else {
            return;
        };
        ticket.left -= 1;
        if ticket.left == 0 {
            self.tickets.remove(&id).into_iter().for_each(answer);
        }
    }

    /// Nothing that was not flushed is acknowledged, ever.
    fn refuse_unacknowledged(&mut self, reason: &str) {
        for (_, queue) in std::mem::take(&mut self.unacknowledged) {
            for waiting in queue {
                if let Some(ticket) = self.tickets.get_mut(&waiting.ticket) {
                    ticket.outcomes[waiting.entry] =
                        Err(PartitionError::Storage(reason.to_owned()));
                }
                self.count_down(waiting.ticket);
            }
        }
    }

    fn take_up_deferred(&mut self) {
        while !self.set.backlogged() {
            let Some(request) = self.deferred.pop_front() else {
                return;
            };
            self.apply(request);
            self.set.submit(self.rt.wall_clock_ms());
        }
    }

    // ---- reading

    fn fetch(&mut self, fetch: Fetch) {
        let found = self.read_all(&fetch);
        let is_enough =
            found.has_news || found.bytes >= fetch.min_bytes || fetch.deadline <= self.rt.now();
        if is_enough {
            let _ = fetch.reply.send(found.outcomes);
        } else {
            self.waiters.add(fetch);
        }
    }

    fn read_all(&self, fetch: &Fetch) -> Found {
        let mut found = Found {
            outcomes: Vec::with_capacity(fetch.wants.len()),
            bytes: 0,
            has_news: false,
        };
        for want in &fetch.wants {
            let left = fetch.max_bytes.saturating_sub(found.bytes);
            let outcome = self.read(want, fetch.upper, left, found.bytes == 0);
            match &outcome {
                Ok(fetched) => {
                    found.bytes += fetched.data.bytes_expected();
                    found.has_news |= fetched.diverging.is_some();
                }
                Err(_) => found.has_news = true,
            }
            found.outcomes.push(outcome);
        }
        found
    }

    fn read(
        &self,
        want: &FetchWant,
        limit: ReadLimit,
        left: usize,
        at_least_one: bool,
    ) -> Result<Fetched, PartitionError> {
        let replica = self.led(want.partition, want.leader_epoch)?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        let mut fetched = Fetched {
            data: FetchedData::Hot(Vec::new()),
            high_watermark: log.high_watermark(),
            log_start: log.log_start(),
            diverging: None,
        };
        if want.last_fetched_epoch >= 0 {
            let end = log.end_of_epoch(want.last_fetched_epoch);
            match end {
                Some(end) if end.epoch < want.last_fetched_epoch || end.end_offset < want.from => {
                    fetched.diverging = Some((end.epoch, end.end_offset));
                    return Ok(fetched);
                }
                Some(_) => {}
                None => return Err(out_of_range(want.from, log)),
            }
        }
        if want.from < log.log_start() || want.from > log.end() {
            return Err(out_of_range(want.from, log));
        }
        let upper = match limit {
            ReadLimit::HighWatermark => log.high_watermark(),
            ReadLimit::LogEnd => log.end(),
        };
        let max_bytes = want.max_bytes.min(left);
        if want.from >= upper || (max_bytes == 0 && !at_least_one) {
            return Ok(fetched);
        }
        fetched.data = self.read_log(replica.log, want.from, max_bytes, upper)?;
        Ok(fetched)
    }

    fn read_log(
        &self,
        log: LogId,
        from: i64,
        max_bytes: usize,
        upper: i64,
    ) -> Result<FetchedData, PartitionError> {
        match self.set.read(log, from, max_bytes, upper) {
            Ok(Read::Ready(fetched)) => Ok(FetchedData::Hot(fetched.parts)),
            Ok(Read::Cold(read)) => Ok(FetchedData::Cold(read)),
            Err(ReadError::OffsetOutOfRange {
                offset,
                log_start,
                end,
            }) => Err(PartitionError::OffsetOutOfRange {
                offset,
                start: log_start,
                end,
            }),
            Err(error) => Err(PartitionError::Storage(error.to_string())),
        }
    }

    fn serve_waiters(&mut self, partition: PartitionId) {
        for id in self.waiters.of(partition) {
            let Some(fetch) = self.waiters.fetch(id) else {
                continue;
            };
            if fetch.reply.is_closed() {
                self.waiters.remove(id);
                continue;
            }
            let found = self.read_all(fetch);
            if (found.has_news || found.bytes >= fetch.min_bytes)
                && let Some(fetch) = self.waiters.remove(id)
            {
                let _ = fetch.reply.send(found.outcomes);
            }
        }
    }

    fn pass_time(&mut self) {
        let now = self.rt.now();
        while let Some(fetch) = self.waiters.expired(now) {
            let found = self.read_all(&fetch);
            let _ = fetch.reply.send(found.outcomes);
        }
        self.set.upkeep(self.rt.wall_clock_ms());
        self.upkeep_due = now + UPKEEP_EVERY;
    }

    /// The log of a replica here, whoever leads it.
    fn log_of(&self, partition: PartitionId) -> Result<&Log, PartitionError> {
        let replica = self
            .hosted
            .get(&partition)
            .ok_or(PartitionError::NotLeader)?;
        self.set.log(replica.log).ok_or(PartitionError::NotLeader)
    }

    fn bounds(&self, partition: PartitionId) -> Result<LogBounds, PartitionError> {
        let log = self.log_of(partition)?;
        Ok(LogBounds {
            log_start: log.log_start(),
            high_watermark: log.high_watermark(),
            log_end: log.end(),
            bytes: log.size_bytes(),
        })
    }

    fn scan(&self, scan: Scan) {
        let read = self.bounds(scan.partition).and_then(|bounds| {
            let replica = self
                .hosted
                .get(&scan.partition)
                .ok_or(PartitionError::NotLeader)?;
            self.read_log(replica.log, scan.from, scan.max_bytes, bounds.log_end)
        });
        let _ = scan.reply.send(read);
    }

    fn mark_corrupt(&mut self, partition: PartitionId, damage: Damage) {
        let Some(replica) = self.hosted.get(&partition) else {
            return;
        };
        tracing::error!(%damage, "this partition is damaged on disk and refuses to lead");
        let marked = self.set.mark_damaged(replica.log, damage);
        debug_assert!(marked.is_ok(), "a hosted partition has a log");
    }

    // ---- questions

    fn offset(&self, query: OffsetQuery) {
        let _ = query
            .reply
            .send(self.find_offset(query.partition, query.at, query.leader_epoch));
    }

    fn find_offset(
        &self,
        partition: PartitionId,
        at: OffsetAt,
        epoch: i32,
    ) -> Result<OffsetAnswer, PartitionError> {
        let replica = self.led(partition, epoch)?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        let known = |offset: i64| OffsetAnswer::Known {
            offset,
            timestamp: -1,
            // The end belongs to the leader's epoch: what comes next will carry it.
            leader_epoch: log.epoch_of(offset).unwrap_or(replica.leader_epoch),
        };
        Ok(match at {
            OffsetAt::Latest => known(log.high_watermark()),
            OffsetAt::Earliest => known(log.log_start()),
            OffsetAt::MaxTimestamp | OffsetAt::Timestamp(_) => OffsetAnswer::Lookup {
                reader: Box::new(
                    self.set
                        .reader(replica.log)
                        .map_err(|error| PartitionError::Storage(error.to_string()))?,
                ),
                at,
                upper: log.high_watermark(),
            },
        })
    }

    fn epoch_end(&self, query: EpochEndQuery) {
        let end = self
            .led(query.partition, query.current_leader_epoch)
            .and_then(|replica| {
                let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
                let end = log.end_of_epoch(query.leader_epoch);
                Ok(end.map_or((-1, -1), |end| (end.epoch, end.end_offset)))
            });
        let _ = query.reply.send(end);
    }

    fn delete_records(&mut self, delete: DeleteRecords) {
        let moved = self.move_log_start(delete.partition, delete.before);
        let _ = delete.reply.send(moved);
    }

    fn move_log_start(
        &mut self,
        partition: PartitionId,
        before: i64,
    ) -> Result<i64, PartitionError> {
        let replica = self.led(partition, -1)?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        let target = if before == -1 {
            log.high_watermark()
        } else {
            before
        };
        if target < 0 || target > log.high_watermark() {
            return Err(out_of_range(target, log));
        }
        let moved = self
            .set
            .delete_records(replica.log, target, self.rt.wall_clock_ms());
        moved.map_err(|error| PartitionError::Storage(error.to_string()))?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        Ok(log.log_start())
    }

    fn raise_log_start(
        &mut self,
        partition: PartitionId,
        log_start: i64,
    ) -> Result<(), PartitionError> {
        let log = self.log_of(partition)?.id();
        self.set
            .raise_log_start(log, log_start, self.rt.wall_clock_ms())
            .map_err(|error| PartitionError::Storage(error.to_string()))
    }

    /// Rare, and nothing else may happen to the log meanwhile: the loop waits for it.
    async fn cut(&mut self, cut: Cut) {
        let now_ms = self.rt.wall_clock_ms();
        let log = self.log_of(cut.partition()).map(Log::id);
        let (done, reply) = match (log, cut) {
            (
                Err(error),
                Cut::Truncate(Truncate { reply, .. }) | Cut::StartAt(StartAt { reply, .. }),
            ) => {
                let _ = reply.send(Err(error));
                return;
            }
            (Ok(log), Cut::Truncate(Truncate { end, reply, .. })) => (
                self.set.truncate_to(log, end, now_ms).await.map(drop),
                reply,
            ),
            (Ok(log), Cut::StartAt(StartAt { offset, reply, .. })) => (
                self.set
                    .truncate_fully_and_start_at(log, offset, now_ms)
                    .await,
                reply,
            ),
        };
        let _ = reply.send(done.map_err(|error| PartitionError::Storage(error.to_string())));
    }

    // ---- metadata

    fn publish(&mut self, publication: Publication) {
        for partition in publication.dropped {
            self.drop_partition(partition);
        }
        for hosted in publication.hosted {
            self.host(hosted);
        }
    }

    fn host(&mut self, hosted: Hosted) {
        let now_ms = self.rt.wall_clock_ms();
        let known = self.hosted.get(&hosted.partition).copied();
        let log = match known {
            Some(replica) => {
                let configured = self.set.configure(replica.log, hosted.config);
                debug_assert!(configured.is_ok(), "a hosted partition has a log");
                replica.log
            }
            None => match self.found.remove(&hosted.partition) {
                Some(found) => self.set.adopt(found, hosted.config),
                None => {
                    let name = LogName::new(hosted.topic_name, hosted.partition.index);
                    self.set
                        .create(name, hosted.partition.topic, hosted.config, now_ms)
                }
            },
        };
        let begins = hosted.leads
            && known
                .is_none_or(|replica| !replica.leads || replica.leader_epoch < hosted.leader_epoch);
        if begins {
            let begun = self.set.begin_epoch(log, hosted.leader_epoch);
            debug_assert!(begun.is_ok(), "the log was just found or made");
            self.lead(log);
        }
        let replica = Replica {
            log,
            leads: hosted.leads,
            leader_epoch: hosted.leader_epoch,
        };
        self.hosted.insert(hosted.partition, replica);
        self.by_log.insert(log, hosted.partition);
        if known.is_some_and(|known| {
            known.leads && !hosted.leads || known.leader_epoch != hosted.leader_epoch
        }) {
            // Whoever waits here must look for the new leader or learn the new epoch.
            self.serve_waiters(hosted.partition);
        }
    }

    /// The only replica leads: all that is durable is committed.
    fn lead(&mut self, log: LogId) {
        let Some(state) = self.set.log(log) else {
            return;
        };
        if let Some(damage) = state.damage() {
            tracing::error!(partition = %state.name(), %damage, "this partition refuses to lead");
        }
        let flushed_end = state.flushed_end();
        let moved = self.set.set_high_watermark(log, flushed_end);
        debug_assert!(moved.is_ok(), "the log was just looked at");
    }

    fn drop_partition(&mut self, partition: PartitionId) {
        let Some(replica) = self.hosted.remove(&partition) else {
            return;
        };
        self.by_log.remove(&replica.log);
        let removed = self.set.remove(replica.log, self.rt.wall_clock_ms());
        debug_assert!(removed.is_ok(), "a hosted partition has a log");
        for waiting in self.unacknowledged.remove(&partition).into_iter().flatten() {
            if let Some(ticket) = self.tickets.get_mut(&waiting.ticket) {
                ticket.outcomes[waiting.entry] = Err(PartitionError::NotLeader);
            }
            self.count_down(waiting.ticket);
        }
        self.serve_waiters(partition);
    }

    /// What the metadata does not know of is kept, but out of the way.
    fn retire_unclaimed(&mut self) {
        for (_, found) in std::mem::take(&mut self.found) {
            tracing::warn!(partition = %found.name(), "the metadata does not know this partition; its directory is renamed to -stray");
            let log = self.set.adopt(found, Default::default());
            let retired = self.set.retire_stray(log);
            debug_assert!(retired.is_ok(), "the log was just adopted");
        }
    }

    /// True when everything is written out.
    async fn stop(&mut self) -> bool {
        for (_, ticket) in std::mem::take(&mut self.tickets) {
            tracing::debug!(left = ticket.left, "an append is not acknowledged any more");
        }
        match self.set.drain(self.rt.wall_clock_ms()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "not everything could be written out");
                false
            }
        }
    }
}

struct Found {
    outcomes: Vec<Result<Fetched, PartitionError>>,
    bytes: usize,
    has_news: bool,
}

fn answer(ticket: Ticket) {
    match ticket.reply {
        TicketReply::Append(reply) => {
            let _ = reply.send(ticket.outcomes);
        }
        TicketReply::Replicate(reply) => {
            let end = ticket
                .outcomes
                .into_iter()
                .next()
                .map(|outcome| outcome.map(|appended| appended.end_offset));
            let _ = reply.send(end.unwrap_or(Err(PartitionError::Stopping)));
        }
    }
}

fn out_of_range(offset: i64, log: &Log) -> PartitionError {
    PartitionError::OffsetOutOfRange {
        offset,
        start: log.log_start(),
        end: log.end(),
    }
}
