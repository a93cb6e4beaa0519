//! The loop that owns all group coordinators of a shard: select an event, apply it, upkeep.
//!
//! ```text
//!   Lead ─▶ Loading ── Loaded ─▶ Active ── append failed or no longer led ─▶ gone
//! ```
//! Invariant: while this broker leads a partition of `__consumer_offsets` nobody else appends to it, so
//! the offset of the next append is known before it is durable; a coordinator whose append fails or
//! lands elsewhere is dropped and loaded again from the log. Not here: decisions (broker/group).

use std::collections::BTreeMap;
use std::rc::Rc;

use ottla_broker_group::{
    AppendId, Coordinator, GroupConfig, Now, Output, Record, Reply, Response, Ticket,
};
use ottla_broker_storage::Origin;
use ottla_protocol::records::{BatchBuilder, BatchOptions, BatchView};
use tokio::sync::{mpsc, oneshot};

use super::load::{Loaded, load};
use super::{Event, Led, Surveyed};
use crate::partition::{Append, AppendEntry, Appended, PartitionError, PartitionsHandle, Request};
use crate::rt::{Instant, Rt};

/// How an append ended.
pub(crate) struct AppendEnd {
    led: Led,
    id: AppendId,
    expected_base_offset: i64,
    outcome: Result<Appended, PartitionError>,
}

/// Runs until the last handle is gone.
pub(super) async fn run(
    rt: Rt,
    config: GroupConfig,
    partitions: PartitionsHandle,
    mailbox: mpsc::UnboundedSender<Event>,
    mut events: mpsc::UnboundedReceiver<Event>,
) {
    let mut owner = Owner {
        rt: Rc::clone(&rt),
        config,
        partitions,
        mailbox,
        by_partition: BTreeMap::new(),
        waiting: BTreeMap::new(),
        next_ticket: 0,
    };
    loop {
        let deadline = owner.next_deadline();
        let wake = rt.sleep_until(deadline.unwrap_or(Instant::from_nanos(u64::MAX / 4)));
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => owner.apply(event),
                None => return,
            },
            () = wake, if deadline.is_some() => owner.fire_deadlines(),
        }
    }
}

struct Owner {
    rt: Rt,
    config: GroupConfig,
    partitions: PartitionsHandle,
    mailbox: mpsc::UnboundedSender<Event>,
    by_partition: BTreeMap<i32, Hosted>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Option<Response>>>,
    next_ticket: u64,
}

struct Hosted {
    led: Led,
    state: State,
}

enum State {
    Loading,
    Active {
        coordinator: Box<Coordinator>,
        next_offset: i64,
    },
    /// The log could not be read: requests are refused until the leader epoch changes.
    Failed,
}

impl Owner {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Call {
                partition,
                call,
                request,
                reply,
            } => {
                let now = self.now();
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                let Some(hosted) = self.by_partition.get_mut(&partition) else {
                    // The asker may be gone; nobody else wants to know.
                    let _ = reply.send(None);
                    return;
                };
                let call = call.into_call(ticket);
                match &mut hosted.state {
                    State::Active { coordinator, .. } => {
                        self.waiting.insert(ticket, reply);
                        let mut out = Vec::new();
                        coordinator.handle(&call, request, now, &mut out);
                        self.carry_out(partition, out);
                    }
                    State::Loading => {
                        let code = ottla_protocol::ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
                        let _ = reply.send(Some(request.refused(code)));
                    }
                    State::Failed => {
                        let code = ottla_protocol::ErrorCode::COORDINATOR_NOT_AVAILABLE;
                        let _ = reply.send(Some(request.refused(code)));
                    }
                }
            }
            Event::Lead(led) => self.lead(led),
            Event::TopicsDeleted(topics) => {
                let now = self.now();
                for partition in self.active() {
                    self.with(partition, |coordinator, out| {
                        coordinator.topics_deleted(&topics, now, out)
                    });
                }
            }
            Event::Survey(from, reply) => {
                // The asker may have given up.
                let _ = reply.send(self.survey(from));
            }
            Event::Loaded(loaded) => self.loaded(loaded),
            Event::Appended(end) => self.appended(end),
        }
    }

    fn survey(&self, from: i32) -> Option<Surveyed> {
        let (partition, hosted) = self.by_partition.range(from..).next()?;
        let groups = match &hosted.state {
            State::Active { coordinator, .. } => coordinator.figures().collect(),
            State::Loading | State::Failed => Vec::new(),
        };
        Some(Surveyed {
            partition: *partition,
            groups,
        })
    }

    /// Takes up what is newly led and gives up what is not led any more.
    fn lead(&mut self, led: Vec<Led>) {
        let wanted: BTreeMap<i32, Led> = led
            .into_iter()
            .map(|led| (led.partition.index, led))
            .collect();
        let gone: Vec<i32> = self
            .by_partition
            .iter()
            .filter(|(index, hosted)| wanted.get(index) != Some(&hosted.led))
            .map(|(index, _)| *index)
            .collect();
        for index in gone {
            self.drop_partition(index);
        }
        for (index, led) in wanted {
            if !self.by_partition.contains_key(&index) {
                self.start_load(index, led);
            }
        }
    }

    fn start_load(&mut self, index: i32, led: Led) {
        self.by_partition.insert(
            index,
            Hosted {
                led,
                state: State::Loading,
            },
        );
        let (partitions, config, mailbox) = (
            self.partitions.clone(),
            self.config.clone(),
            self.mailbox.clone(),
        );
        self.rt.spawn(Box::pin(async move {
            // An owner that is gone needs no coordinator.
            let _ = mailbox.send(Event::Loaded(load(partitions, config, led).await));
        }));
    }

    fn drop_partition(&mut self, index: i32) {
        let Some(hosted) = self.by_partition.remove(&index) else {
            return;
        };
        if let State::Active { coordinator, .. } = hosted.state {
            let replies = coordinator.resign(self.now());
            self.send_replies(replies);
        }
    }

    fn loaded(&mut self, loaded: Loaded) {
        let now = self.now();
        let index = loaded.led.partition.index;
        let Some(hosted) = self
            .by_partition
            .get_mut(&index)
            .filter(|hosted| hosted.led == loaded.led)
        else {
            return;
        };
        match loaded.result {
            Ok((coordinator, next_offset)) => {
                hosted.state = State::Active {
                    coordinator: Box::new(coordinator),
                    next_offset,
                };
                self.with(index, |coordinator, out| coordinator.start(now, out));
            }
            Err(error) => {
                tracing::error!(partition = index, %error, "cannot load groups from __consumer_offsets; its groups are not served");
                hosted.state = State::Failed;
            }
        }
    }

    fn appended(&mut self, end: AppendEnd) {
        let now = self.now();
        let index = end.led.partition.index;
        if self
            .by_partition
            .get(&index)
            .is_none_or(|hosted| hosted.led != end.led)
        {
            return;
        }
        match end.outcome {
            Ok(appended) if appended.base_offset == end.expected_base_offset => {
                self.with(index, |coordinator, out| {
                    coordinator.committed(appended.end_offset, now, out)
                });
            }
            other => {
                // Later records were decided on top of these: nothing of the state in memory can be trusted.
                tracing::error!(partition = index, append = end.id.0, outcome = ?other, "group records were not written; loading again");
                let led = end.led;
                self.drop_partition(index);
                self.start_load(index, led);
            }
        }
    }

    fn fire_deadlines(&mut self) {
        let now = self.now();
        for partition in self.active() {
            self.with(partition, |coordinator, out| {
                if coordinator
                    .next_deadline()
                    .is_some_and(|deadline| deadline <= now.monotonic_ms)
                {
                    coordinator.on_deadline(now, out);
                }
            });
        }
    }

    /// Lets the coordinator of `partition` act and carries out what it wants.
    fn with(&mut self, partition: i32, act: impl FnOnce(&mut Coordinator, &mut Vec<Output>)) {
        let mut out = Vec::new();
        if let Some(Hosted {
            state: State::Active { coordinator, .. },
            ..
        }) = self.by_partition.get_mut(&partition)
        {
            act(coordinator, &mut out);
        }
        self.carry_out(partition, out);
    }

    fn carry_out(&mut self, partition: i32, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Reply(reply) => self.send_replies(vec![reply]),
                Output::Append { id, records } => self.append(partition, id, &records),
            }
        }
    }

    fn append(&mut self, partition: i32, id: AppendId, records: &[Record]) {
        let now_ms = self.rt.wall_clock_ms();
        let Some(Hosted {
            led,
            state:
                State::Active {
                    coordinator,
                    next_offset,
                },
        }) = self.by_partition.get_mut(&partition)
        else {
            return;
        };
        let led = *led;
        let batch = batch_of(records, now_ms);
        let expected_base_offset = *next_offset;
        *next_offset += records.len() as i64;
        let entry = AppendEntry {
            partition: led.partition,
            batch,
            leader_epoch: led.leader_epoch,
            origin: Origin::Coordinator,
        };
        let outcome = self.partitions.ask(|reply| {
            Request::Append(Append {
                entries: vec![entry],
                reply,
            })
        });
        coordinator.appended(id, expected_base_offset);
        let mailbox = self.mailbox.clone();
        self.rt.spawn(Box::pin(async move {
            let outcome = outcome
                .await
                .and_then(|mut outcomes| outcomes.pop().unwrap_or(Err(PartitionError::Stopping)));
            let _ = mailbox.send(Event::Appended(AppendEnd {
                led,
                id,
                expected_base_offset,
                outcome,
            }));
        }));
    }

    fn send_replies(&mut self, replies: Vec<Reply>) {
        for reply in replies {
            if let Some(waiting) = self.waiting.remove(&reply.ticket) {
                let _ = waiting.send(Some(reply.response));
            }
        }
    }

    fn active(&self) -> Vec<i32> {
        let is_active = |hosted: &Hosted| matches!(hosted.state, State::Active { .. });
        self.by_partition
            .iter()
            .filter(|(_, hosted)| is_active(hosted))
            .map(|(index, _)| *index)
            .collect()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self
            .by_partition
            .values()
            .filter_map(|hosted| match &hosted.state {
                State::Active { coordinator, .. } => coordinator.next_deadline(),
                State::Loading | State::Failed => None,
            });
        deadlines.min().map(Instant::from_ms)
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: self.rt.now().ms(),
            wall_ms: self.rt.wall_clock_ms(),
        }
    }
}

/// One batch with all records: they stand or fall together.
fn batch_of(records: &[Record], now_ms: i64) -> BatchView {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in records {
        builder
            .append(now_ms, Some(&record.key), record.value.as_deref(), [])
            .expect("group records are far below the limit of a batch");
    }
    let bytes = builder
        .build()
        .expect("a coordinator appends at least one record");
    BatchView::new(bytes).expect("what was just built can be read")
}
