//! What a log directory must hold: every operation that was asked of it, in order, and how many of
//! them are acknowledged.
//!
//! The rule is exact. Group commit puts operations of one owner on the disk in the order they were
//! made, so what a restart finds must be the state after *some* number of them, the same for all logs,
//! and that number is not below what was acknowledged. Nothing lost, nothing invented, nothing from
//! a truncated branch.
//!
//! Logs with page-cache durability are held to less: what was asked of them apart from appends obeys the
//! rule above; behind the last truncation of those comes some prefix of what was appended, never shorter
//! than what was acknowledged when only the process was killed, nor than what was synced after any crash.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use ottla_broker_sim::Crash;
use ottla_broker_storage::LogName;
use ottla_protocol::Uuid;

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            base,
            next,
            epoch,
            producer,
            ..
        } = self;
        write!(f, "{base}..{next} epoch {epoch} producer {producer:?}")
    }
}

/// A batch as it lies in the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    pub base: i64,
    pub next: i64,
    pub epoch: i32,
    /// Producer and the sequence of its last record.
    pub producer: Option<(i64, i32)>,
    pub bytes: Bytes,
}

/// The last sequence of each producer and the offset that it has.
pub type LastSequences = BTreeMap<i64, (i32, i64)>;

/// What a start found is a state that may be.
pub struct Restarted {
    /// Records that were acknowledged with page-cache durability are lost.
    pub lost_acknowledged: bool,
}

/// What a start found of a log.
pub struct Found {
    pub log: LogModel,
    pub producers: LastSequences,
}

/// One log.
#[derive(Clone)]
pub struct LogModel {
    pub name: LogName,
    pub is_page_cache: bool,
    pub start: i64,
    pub end: i64,
    pub batches: Vec<Batch>,
    /// No leader sends a batch of an earlier epoch: that of a batch below the start, which may lie in the files still.
    pub epoch_min: i32,
}

impl LogModel {
    fn new(name: LogName, is_page_cache: bool) -> Self {
        Self {
            name,
            is_page_cache,
            start: 0,
            end: 0,
            batches: Vec::new(),
            epoch_min: 1,
        }
    }

    /// What idempotence needs to know: of every batch since the log began, whether it may be read or not.
    pub fn last_sequences(&self) -> LastSequences {
        let of = |batch: &Batch| {
            let (id, sequence) = batch.producer?;
            Some((id, (sequence, batch.next - 1)))
        };
        self.batches.iter().filter_map(of).collect()
    }

    /// The epoch of the last batch, or one that no batch to come is older than.
    pub fn last_epoch(&self) -> i32 {
        let last = self.batches.last().map(|batch| batch.epoch);
        last.unwrap_or(self.epoch_min)
    }

    /// Batches that may still be read.
    pub fn readable(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().filter(|batch| batch.next > self.start)
    }

    fn truncate(&mut self, end: i64) {
        self.batches.retain(|batch| batch.next <= end);
        self.end = end;
        self.start = self.start.min(end);
    }
}

/// Something asked of a log.
#[derive(Clone, Debug)]
pub enum Op {
    Create { name: LogName, is_page_cache: bool },
    Append(Batch),
    Truncate { end: i64 },
    StartAt { offset: i64 },
    RaiseStart { start: i64 },
    Remove,
}

pub type Logs = BTreeMap<Uuid, LogModel>;
pub type FoundLogs = BTreeMap<Uuid, Found>;

/// See the module.
#[derive(Default)]
pub struct Model {
    /// As found at the last start.
    base: Logs,
    ops: Vec<(Uuid, Op)>,
    /// So many operations are acknowledged.
    durable: usize,
    /// Of logs with page-cache durability: up to where they are synced, and up to where acknowledged.
    synced: BTreeMap<Uuid, i64>,
    acknowledged: BTreeMap<Uuid, i64>,
    /// The power went since the last start that was compared.
    lost_power: bool,
    /// After all operations.
    pub now: Logs,
    /// A clean stop was asked for: all operations must be found if it succeeded.
    pub broker_epochs: BrokerEpochs,
}

/// Broker epochs: what a start may hand on as PreviousBrokerEpoch.
#[derive(Default, Clone)]
pub struct BrokerEpochs {
    /// Recorded, or handed over by the clean stop before.
    pub recorded: Option<i64>,
    /// Being recorded.
    pub under_way: Option<i64>,
    /// Of the clean stop that was begun.
    pub stop: Option<i64>,
}

impl BrokerEpochs {
    /// A start found this one.
    pub fn restart(&mut self, was_clean: bool, found: Option<i64>) {
        let mut allowed = vec![self.recorded];
        allowed.extend(self.under_way.map(Some));
        // A start that was cut short may have taken it over from a clean stop.
        allowed.extend(self.stop.map(Some));
        if was_clean {
            allowed = vec![self.stop];
        }
        assert!(
            allowed.contains(&found),
            "previous broker epoch {found:?} where {allowed:?} may be"
        );
        *self = Self {
            recorded: found,
            ..Self::default()
        };
    }

    /// A start could not say what a crash had lost. No later one may, of what was recorded before.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// It is recorded.
    pub fn record(&mut self, epoch: i64) {
        *self = Self {
            recorded: Some(epoch),
            ..Self::default()
        };
    }
}

impl Model {
    /// An operation was taken.
    pub fn note(&mut self, topic_id: Uuid, op: Op) {
        if let Op::Truncate { end } | Op::StartAt { offset: end } = op {
            for ends in [&mut self.synced, &mut self.acknowledged] {
                ends.entry(topic_id)
                    .and_modify(|known| *known = (*known).min(end));
            }
        }
        apply(&mut self.now, topic_id, &op);
        self.ops.push((topic_id, op));
    }

    /// A log is acknowledged up to an offset; so is everything that was asked before that.
    /// `is_synced`: with page-cache durability, it is promised to be on disk all the same.
    pub fn flushed(&mut self, topic_id: Uuid, end: i64, is_synced: bool) {
        if self.now.get(&topic_id).is_some_and(|log| log.is_page_cache) {
            self.acknowledged.insert(topic_id, end);
            if is_synced {
                self.synced.insert(topic_id, end);
            }
            return;
        }
        let is_it = |(id, op): &(Uuid, Op)| {
            *id == topic_id && matches!(op, Op::Append(batch) if batch.next <= end)
        };
        if let Some(index) = self.ops.iter().rposition(is_it) {
            self.durable = self.durable.max(index + 1);
        }
    }

    /// The process is gone.
    pub fn crashed(&mut self, crash: Crash) {
        self.lost_power |= crash == Crash::Power;
    }

    /// Everything asked so far is acknowledged, and synced.
    pub fn all_is_durable(&mut self) {
        self.durable = self.ops.len();
        for (topic_id, log) in self.now.iter().filter(|(_, log)| log.is_page_cache) {
            self.synced.insert(*topic_id, log.end);
        }
    }

    /// Compares with what a start after a crash found, and goes on from there. The error tells the
    /// nearest misses.
    pub fn restart(&mut self, found: &FoundLogs) -> Result<Restarted, String> {
        let mut state = self.base.clone();
        let mut misses = String::new();
        for taken in 0..=self.ops.len() {
            if taken > 0 {
                let (topic_id, op) = &self.ops[taken - 1];
                apply(&mut state, *topic_id, op);
            }
            if taken < self.durable {
                continue;
            }
            match self.difference(&state, taken, found) {
                Ok(state) => {
                    let is_lost = |(topic_id, end): (&Uuid, &i64)| {
                        state.get(topic_id).is_some_and(|log| log.end < *end)
                    };
                    let lost_acknowledged = self.acknowledged.iter().any(is_lost);
                    *self = Self {
                        base: state.clone(),
                        now: state,
                        broker_epochs: self.broker_epochs.clone(),
                        ..Self::default()
                    };
                    // A start syncs what it found.
                    self.all_is_durable();
                    return Ok(Restarted { lost_acknowledged });
                }
                Err(miss) => {
                    let _ = writeln!(misses, "  after {taken} operations: {miss}");
                }
            }
        }
        let (durable, all) = (self.durable, self.ops.len());
        for (topic_id, op) in &self.ops {
            let _ = writeln!(misses, "  asked of {topic_id}: {op:?}");
        }
        Err(format!(
            "what was found is no state between {durable} acknowledged and {all} operations:\n{misses}"
        ))
    }

    /// How what was found differs from the state after `taken` operations; if it does not, that state.
    fn difference(&self, state: &Logs, taken: usize, found: &FoundLogs) -> Result<Logs, String> {
        let mut wanted_logs = Logs::new();
        for (topic_id, found) in found {
            let name = &found.log.name;
            let Some(wanted) = state.get(topic_id) else {
                return Err(format!("{name} ({topic_id}) is there"));
            };
            let wanted = match wanted.is_page_cache {
                true => self
                    .page_cache_log(*topic_id, taken, found)
                    .map_err(|miss| format!("{name}: {miss}"))?,
                false => wanted.clone(),
            };
            if let Some(miss) = log_difference(&wanted, found) {
                return Err(format!("{name}: {miss}"));
            }
            wanted_logs.insert(*topic_id, wanted);
        }
        let lost = state
            .iter()
            .find(|(topic_id, _)| !found.contains_key(topic_id));
        match lost {
            Some((topic_id, log)) => Err(format!("{} ({topic_id}) is not there", log.name)),
            None => Ok(wanted_logs),
        }
    }

    /// The log as it may be when it ends where it was found to and `taken` operations of all logs count.
    fn page_cache_log(
        &self,
        topic_id: Uuid,
        taken: usize,
        found: &Found,
    ) -> Result<LogModel, String> {
        let end = found.log.end;
        let mut logs: Logs = self
            .base
            .get_key_value(&topic_id)
            .map(|(id, log)| (*id, log.clone()))
            .into_iter()
            .collect();
        let mut least = self.base.get(&topic_id).map_or(0, |log| log.end);
        let (mut start, mut is_all) = (0, true);
        for (index, (_, op)) in self
            .ops
            .iter()
            .enumerate()
            .filter(|(_, (id, _))| *id == topic_id)
        {
            match op {
                // Files run ahead of the commit log, but not across a truncation.
                Op::Append(_) => apply(&mut logs, topic_id, op),
                Op::RaiseStart { start: raised } if index < taken => start = start.max(*raised),
                Op::RaiseStart { .. } => {}
                Op::Truncate { .. } | Op::StartAt { .. } if index >= taken => {
                    is_all = false;
                    break;
                }
                Op::Create { .. } | Op::Remove if index >= taken => {}
                _ => {
                    apply(&mut logs, topic_id, &Op::RaiseStart { start });
                    apply(&mut logs, topic_id, op);
                    least = logs.get(&topic_id).map_or(0, |log| log.end);
                    start = 0;
                }
            }
        }
        let mut log = logs.remove(&topic_id).ok_or("it should not be there")?;
        // Of what came behind a truncation that does not count nothing is known of this branch.
        let known =
            |ends: &BTreeMap<Uuid, i64>| is_all.then(|| ends.get(&topic_id).copied()).flatten();
        least = least.max(known(&self.synced).unwrap_or(0));
        if !self.lost_power {
            least = least.max(known(&self.acknowledged).unwrap_or(0));
        }
        if end < least.min(log.end) {
            return Err(format!("it ends at {end}, but must not before {least}"));
        }
        // The tail that the deleted records were in may be lost: the log begins anew behind it.
        let is_lost = end == start
            && (log.batches.iter().all(|batch| batch.next != end)
                || self.lost_power && found.producers.is_empty());
        log.truncate(end);
        log.start = log.start.max(start);
        if is_lost {
            log.epoch_min = log.last_epoch();
            log.batches.clear();
        }
        Ok(log)
    }
}

fn apply(logs: &mut Logs, topic_id: Uuid, op: &Op) {
    if let Op::Create {
        name,
        is_page_cache,
    } = op
    {
        logs.insert(topic_id, LogModel::new(name.clone(), *is_page_cache));
        return;
    }
    let Some(log) = logs.get_mut(&topic_id) else {
        return;
    };
    match op {
        Op::Create { .. } => {}
        Op::Append(batch) => {
            log.end = batch.next;
            log.batches.push(batch.clone());
        }
        Op::Truncate { end } => log.truncate(*end),
        Op::StartAt { offset } => {
            log.batches.clear();
            (log.start, log.end) = (*offset, *offset);
        }
        Op::RaiseStart { start } => log.start = log.start.max(*start),
        Op::Remove => {
            logs.remove(&topic_id);
        }
    }
}

fn log_difference(wanted: &LogModel, found: &Found) -> Option<String> {
    let (producers, found) = (&found.producers, &found.log);
    if wanted.name != found.name {
        return Some(format!("is called {}", found.name));
    }
    if (wanted.start, wanted.end) != (found.start, found.end) {
        let (start, end) = (found.start, found.end);
        return Some(format!(
            "{start}..{end} where {}..{} was",
            wanted.start, wanted.end
        ));
    }
    let mut pairs = wanted.readable().zip(found.readable());
    if wanted.readable().count() != found.readable().count() {
        let counts = (found.readable().count(), wanted.readable().count());
        return Some(format!("{} batches where {} were", counts.0, counts.1));
    }
    if let Some((wanted, _)) = pairs.find(|(wanted, found)| wanted != found) {
        return Some(format!("the batch at {} is another", wanted.base));
    }
    let last_sequences = wanted.last_sequences();
    (last_sequences != *producers)
        .then(|| format!("producers {producers:?} where {last_sequences:?} were"))
}
