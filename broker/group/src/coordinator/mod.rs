//! The face: one partition's coordinator, from loading to resignation. Dispatches requests, numbers appends, fires deadlines.
//!
//! Invariant: durable state changes in `replay` only. A decision's records are replayed when the shell says that they are in the log
//! (`appended`), and nothing else may be decided in between; so each decision sees all records before its own, as replay would.

mod errors;
mod expiry;
mod requests;
mod survey;

use crate::call::{AppendId, Call, Now, Output, Reply, Request};
use crate::classic::{ClassicGroup, Effect, Step};
use crate::config::GroupConfig;
use crate::in_flight::{AfterCommit, InFlights};
use crate::offsets::Offsets;
use crate::record::{self, Entry, Record, RecordError, Replayed};
use crate::timers::{Timer, Timers};
use bytes::Bytes;
use errors::{error_for_client, error_of_group_write};
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::collections::{BTreeMap, VecDeque};
pub use survey::GroupFigures;

/// A topic that the metadata says is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: Str,
    /// Its id; offsets committed for another id are kept.
    pub id: Uuid,
}

/// The group coordinator of one `__consumer_offsets` partition.
#[derive(Debug, Default)]
pub struct Coordinator {
    config: GroupConfig,
    /// False while the log is being loaded.
    started: bool,
    groups: BTreeMap<Str, ClassicGroup>,
    offsets: Offsets,
    timers: Timers,
    in_flight: InFlights,
    /// Handed out and not answered yet.
    unanswered: VecDeque<(AppendId, Vec<Record>)>,
    next_append: u64,
}

impl Coordinator {
    /// An empty coordinator that waits for its log: `replay` every record, then `start`.
    pub fn new(config: GroupConfig) -> Coordinator {
        Coordinator {
            config,
            ..Coordinator::default()
        }
    }

    /// Applies one record of the log, in the order of the log. `producer_id` is that of the batch if it is transactional, else `None`.
    /// Errors: bytes that are no record; the log must then not be served.
    pub fn replay(
        &mut self,
        offset: i64,
        producer_id: Option<i64>,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<Replayed, RecordError> {
        match record::decode(key, value)? {
            Entry::Offset(key, value) => {
                if value.is_some() && producer_id.is_none() {
                    // Offsets without a group record are those of a simple consumer; such a group is listed as well.
                    self.group_or_new(&key.group);
                }
                self.offsets.replay(offset, producer_id, &key, value);
                Ok(Replayed::Applied)
            }
            Entry::Group(group_id, Some(value)) => {
                self.group_or_new(&group_id).replay(value);
                Ok(Replayed::Applied)
            }
            Entry::Group(group_id, None) => {
                if self
                    .groups
                    .get(&group_id)
                    .is_some_and(|group| group.is_empty())
                {
                    self.groups.remove(&group_id);
                }
                Ok(Replayed::Applied)
            }
            Entry::Other(record_type) => Ok(Replayed::Ignored { record_type }),
        }
    }

    /// Applies a transaction marker (a control batch) of the log.
    pub fn replay_marker(&mut self, producer_id: i64, committed: bool) {
        self.offsets.replay_marker(producer_id, committed);
        let with_offsets: Vec<Str> = self
            .offsets
            .groups()
            .filter(|group| !self.groups.contains_key(*group))
            .cloned()
            .collect();
        with_offsets.iter().for_each(|group| {
            self.group_or_new(group);
        });
    }

    /// The log is loaded: sessions begin, requests are served.
    pub fn start(&mut self, now: Now, out: &mut Vec<Output>) {
        self.started = true;
        self.timers.set(
            Timer::Expiry,
            now.monotonic_ms
                .saturating_add(self.config.offsets_retention_check_interval_ms),
        );
        let mut effects = Vec::new();
        let mut step = Step {
            config: &self.config,
            now,
            timers: &mut self.timers,
            effects: &mut effects,
        };
        self.groups
            .values_mut()
            .for_each(|group| group.restore(&mut step));
        self.emit(effects, now, out);
    }

    /// Replaces the settings. Timers that run keep their times.
    pub fn reconfigure(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// Takes one request. Its reply comes now, or later by another method; each ticket is answered once.
    pub fn handle(&mut self, call: &Call, request: Request, now: Now, out: &mut Vec<Output>) {
        debug_assert!(
            self.unanswered.is_empty(),
            "the last append has not been answered"
        );
        let mut effects = Vec::new();
        match self.refusal(call, &request) {
            Some(error) => {
                let response = request.refused_at(call.version, error);
                effects.push(Effect::Reply(Reply {
                    ticket: call.ticket,
                    response,
                }));
            }
            None => self.dispatch(call, request, now, &mut effects),
        }
        self.emit(effects, now, out);
    }

    /// The shell has appended: the records begin at `base_offset`. They become part of the state; replies wait for the commit.
    pub fn appended(&mut self, id: AppendId, base_offset: i64) {
        let Some((_, records)) = self
            .unanswered
            .pop_front()
            .filter(|(expected, _)| *expected == id)
        else {
            return;
        };
        let end_offset = base_offset.saturating_add(records.len() as i64);
        for (offset, record) in (base_offset..).zip(&records) {
            let replayed = self.replay(offset, None, &record.key, record.value.as_ref());
            debug_assert!(replayed.is_ok(), "own records can be read: {replayed:?}");
        }
        self.in_flight.appended(id, end_offset);
    }

    /// The shell could not append: nothing of it is in the log. `error` is what the log said.
    pub fn append_failed(
        &mut self,
        id: AppendId,
        error: ErrorCode,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if self
            .unanswered
            .front()
            .is_some_and(|(expected, _)| *expected == id)
        {
            self.unanswered.pop_front();
        }
        let Some(failed) = self.in_flight.take(id) else {
            return;
        };
        let mut effects = Vec::new();
        self.conclude_failed(
            failed.group,
            failed.after,
            failed.readers,
            error,
            now,
            &mut effects,
        );
        self.emit(effects, now, out);
    }

    /// Everything below `high_watermark` is committed: those who waited for it are answered.
    pub fn committed(&mut self, high_watermark: i64, now: Now, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        while let Some(entry) = self.in_flight.pop_committed(high_watermark) {
            match (entry.after, &entry.group) {
                (AfterCommit::Reply(reply), _) => effects.push(Effect::Reply(reply)),
                (
                    AfterCommit::Assignment {
                        generation,
                        assignments,
                    },
                    Some(group_id),
                ) => {
                    self.step_group(group_id, now, &mut effects, |group, step| {
                        group.assignment_committed(step, generation, &assignments);
                    });
                }
                (AfterCommit::Assignment { .. }, None) | (AfterCommit::Nothing, _) => {}
            }
            effects.extend(entry.readers.into_iter().map(Effect::Reply));
        }
        self.emit(effects, now, out);
    }

    /// The earliest moment (monotonic) at which `on_deadline` has something to do.
    pub fn next_deadline(&self) -> Option<i64> {
        [self.timers.next_deadline(), self.in_flight.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Fires everything that is due.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        while let Some((group, after, readers)) = self.in_flight.pop_due(now.monotonic_ms) {
            self.conclude_failed(
                group,
                after,
                readers,
                ErrorCode::REQUEST_TIMED_OUT,
                now,
                &mut effects,
            );
        }
        while let Some(timer) = self.timers.pop_due(now.monotonic_ms) {
            match timer {
                Timer::Session { group, member } => {
                    self.step_group(&group, now, &mut effects, |group, step| {
                        group.session_over(step, &member)
                    });
                }
                Timer::Promise { group, member } => {
                    self.step_group(&group, now, &mut effects, |group, step| {
                        group.promise_over(step, &member)
                    });
                }
                Timer::Join { group } => {
                    self.step_group(&group, now, &mut effects, |group, step| {
                        group.join_time_over(step)
                    });
                }
                Timer::Sync { group } => {
                    self.step_group(&group, now, &mut effects, |group, step| {
                        group.sync_time_over(step)
                    });
                }
                // Decided on a state that has everything in it: what this call leaves must be replayed first.
                Timer::Expiry if !effects.is_empty() => {
                    self.timers.set(Timer::Expiry, now.monotonic_ms + 1)
                }
                Timer::Expiry => self.expire(now, &mut effects),
            }
        }
        self.emit(effects, now, out);
    }

    /// Topics are gone: so are their committed offsets.
    pub fn topics_deleted(&mut self, topics: &[DeletedTopic], now: Now, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        self.drop_topics(topics, &mut effects);
        self.emit(effects, now, out);
    }

    /// Gives the partition up: everybody who waits is sent to look for the new coordinator.
    pub fn resign(mut self, now: Now) -> Vec<Reply> {
        let error = ErrorCode::NOT_COORDINATOR;
        let mut effects = Vec::new();
        while let Some(entry) = self.in_flight.pop() {
            if let AfterCommit::Reply(reply) = entry.after {
                effects.push(Effect::Reply(fail(reply, error)));
            }
            effects.extend(
                entry
                    .readers
                    .into_iter()
                    .map(|reply| Effect::Reply(fail(reply, error))),
            );
        }
        let mut step = Step {
            config: &self.config,
            now,
            timers: &mut self.timers,
            effects: &mut effects,
        };
        self.groups
            .values_mut()
            .for_each(|group| group.dismiss_all(&mut step, error));
        effects
            .into_iter()
            .filter_map(|effect| {
                if let Effect::Reply(reply) = effect {
                    Some(reply)
                } else {
                    None
                }
            })
            .collect()
    }

    /// What follows when records are not in the log, or nobody knows whether they will be.
    fn conclude_failed(
        &mut self,
        group: Option<Str>,
        after: AfterCommit,
        readers: Vec<Reply>,
        error: ErrorCode,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match (after, &group) {
            (AfterCommit::Reply(reply), _) => {
                let error = error_for_client(&reply.response, error);
                effects.push(Effect::Reply(fail(reply, error)));
            }
            (AfterCommit::Assignment { generation, .. }, Some(group_id)) => {
                let error = error_of_group_write(error);
                self.step_group(group_id, now, effects, |group, step| {
                    group.assignment_failed(step, generation, error)
                });
            }
            (AfterCommit::Assignment { .. }, None) | (AfterCommit::Nothing, _) => {}
        }
        effects.extend(
            readers
                .into_iter()
                .map(|reply| Effect::Reply(fail(reply, error_of_group_write(error)))),
        );
    }

    /// Steps a group, if it is there.
    fn step_group(
        &mut self,
        group_id: &Str,
        now: Now,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut ClassicGroup, &mut Step<'_>),
    ) -> bool {
        let Some(group) = self.groups.get_mut(group_id) else {
            return false;
        };
        act(
            group,
            &mut Step {
                config: &self.config,
                now,
                timers: &mut self.timers,
                effects,
            },
        );
        true
    }

    fn group_or_new(&mut self, group_id: &Str) -> &mut ClassicGroup {
        if !self.groups.contains_key(group_id) {
            let group_id = group_id.detached();
            self.groups
                .insert(group_id.clone(), ClassicGroup::new(group_id));
        }
        self.groups
            .get_mut(group_id)
            .expect("inserted above when missing")
    }

    /// Turns effects into outputs; appends get their number here.
    fn emit(&mut self, effects: Vec<Effect>, now: Now, out: &mut Vec<Output>) {
        let deadline_ms = now
            .monotonic_ms
            .saturating_add(self.config.commit_timeout_ms);
        for effect in effects {
            match effect {
                Effect::Reply(reply) => out.push(Output::Reply(reply)),
                Effect::Append {
                    group,
                    records,
                    after,
                } => {
                    let id = AppendId(self.next_append);
                    self.next_append += 1;
                    self.in_flight.push(id, group, after, deadline_ms);
                    self.unanswered.push_back((id, records.clone()));
                    out.push(Output::Append { id, records });
                }
            }
        }
    }
}

fn fail(reply: Reply, error: ErrorCode) -> Reply {
    Reply {
        ticket: reply.ticket,
        response: reply.response.failed(error),
    }
}

#[cfg(test)]
impl Coordinator {
    /// Everything durable, printed.
    pub(crate) fn durable(&self) -> String {
        let groups: BTreeMap<&Str, _> = self
            .groups
            .iter()
            .filter_map(|(id, group)| group.recorded().map(|recorded| (id, recorded)))
            .collect();
        format!("{:#?}\n{groups:#?}", self.offsets)
    }
}
