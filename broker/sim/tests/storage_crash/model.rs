//! What a log directory must hold: every operation that was asked of it, in order, and how many of
//! them are acknowledged.
//!
//! The rule is exact. Group commit puts operations of one owner on the disk in the order they were
//! made, so what a restart finds must be the state after *some* number of them, the same for all logs,
//! and that number is not below what was acknowledged. Nothing lost, nothing invented, nothing from
//! a truncated branch. Logs with page-cache durability are held to less: a prefix of what was sent.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use ottla_broker_storage::LogName;
use ottla_protocol::Uuid;

/// A batch as it lies in the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    pub base: i64,
    pub next: i64,
    pub bytes: Bytes,
}

/// One log.
#[derive(Clone)]
pub struct LogModel {
    pub name: LogName,
    pub is_page_cache: bool,
    pub start: i64,
    pub end: i64,
    pub batches: Vec<Batch>,
}

impl LogModel {
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
#[derive(Clone)]
pub enum Op {
    Create { name: LogName, is_page_cache: bool },
    Append(Batch),
    Truncate { end: i64 },
    StartAt { offset: i64 },
    RaiseStart { start: i64 },
    Remove,
}

pub type Logs = BTreeMap<Uuid, LogModel>;

/// See the module.
#[derive(Default)]
pub struct Model {
    /// As found at the last start.
    base: Logs,
    ops: Vec<(Uuid, Op)>,
    /// So many operations are acknowledged.
    durable: usize,
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
    /// Nothing was recorded since a clean stop: a crash may then forget the epoch, as Kafka does.
    pub is_forgettable: bool,
}

impl BrokerEpochs {
    /// A start found this one.
    pub fn restart(&mut self, was_clean: bool, found: Option<i64>) {
        let mut allowed = vec![self.recorded];
        allowed.extend(self.under_way.map(Some));
        // A clean stop that was begun removes it first.
        if self.is_forgettable || self.stop.is_some() {
            allowed.push(None);
        }
        if was_clean {
            allowed = vec![self.stop];
        }
        assert!(
            allowed.contains(&found),
            "previous broker epoch {found:?} where {allowed:?} may be"
        );
        *self = Self {
            recorded: found,
            is_forgettable: was_clean,
            ..Self::default()
        };
    }

    /// A start could not say; a later one may, of what was recorded before.
    pub fn forget(&mut self) {
        self.is_forgettable = true;
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
        apply(&mut self.now, topic_id, &op);
        self.ops.push((topic_id, op));
    }

    /// A log is acknowledged up to an offset; so is everything that was asked before that.
    pub fn flushed(&mut self, topic_id: Uuid, end: i64) {
        let is_it = |(id, op): &(Uuid, Op)| {
            *id == topic_id && matches!(op, Op::Append(batch) if batch.next <= end)
        };
        if let Some(index) = self.ops.iter().rposition(is_it) {
            self.durable = self.durable.max(index + 1);
        }
    }

    /// Everything asked so far is acknowledged.
    pub fn all_is_durable(&mut self) {
        self.durable = self.ops.len();
    }

    /// Compares with what a start found, and goes on from there. The error tells the nearest misses.
    pub fn restart(&mut self, found: Logs) -> Result<usize, String> {
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
            match difference(&state, &found, &self.now) {
                None => {
                    let lost = self.ops.len() - taken;
                    self.base = found.clone();
                    self.now = found;
                    self.ops.clear();
                    self.durable = 0;
                    return Ok(lost);
                }
                Some(miss) => {
                    let _ = writeln!(misses, "  after {taken} operations: {miss}");
                }
            }
        }
        let (durable, all) = (self.durable, self.ops.len());
        Err(format!(
            "what was found is no state between {durable} acknowledged and {all} operations:\n{misses}"
        ))
    }
}

fn apply(logs: &mut Logs, topic_id: Uuid, op: &Op) {
    if let Op::Create {
        name,
        is_page_cache,
    } = op
    {
        let log = LogModel {
            name: name.clone(),
            is_page_cache: *is_page_cache,
            start: 0,
            end: 0,
            batches: Vec::new(),
        };
        logs.insert(topic_id, log);
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

/// How what was found differs from a state; `all` is everything ever asked, for page-cache logs.
fn difference(state: &Logs, found: &Logs, all: &Logs) -> Option<String> {
    for (topic_id, log) in found {
        let Some(wanted) = state.get(topic_id) else {
            return Some(format!("{} ({topic_id}) is there", log.name));
        };
        if let Some(miss) = log_difference(wanted, log, all.get(topic_id)) {
            return Some(format!("{}: {miss}", log.name));
        }
    }
    let lost = state
        .iter()
        .find(|(topic_id, _)| !found.contains_key(topic_id));
    lost.map(|(topic_id, log)| format!("{} ({topic_id}) is not there", log.name))
}

fn log_difference(wanted: &LogModel, found: &LogModel, sent: Option<&LogModel>) -> Option<String> {
    if wanted.name != found.name {
        return Some(format!("is called {}", found.name));
    }
    let wanted = match (wanted.is_page_cache, sent) {
        (true, Some(sent)) => {
            let mut prefix = sent.clone();
            prefix.truncate(found.end);
            prefix
        }
        _ => wanted.clone(),
    };
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
    pairs
        .find(|(wanted, found)| wanted != found)
        .map(|(wanted, _)| format!("the batch at {} is another", wanted.base))
}
