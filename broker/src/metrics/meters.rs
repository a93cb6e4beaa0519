//! What the shard counts as it serves: requests, traffic, connections.
//!
//! Invariant: one shard owns these numbers, so counting is an add in a cell: no atomics, no locks, and (beyond one
//! look at the clock per answer) nothing that a request waits for. They only grow; a deleted topic's numbers go on
//! in the sums. Not here: what others own and are asked for (`survey.rs`), names (`table.rs`).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ottla_broker_metadata::Image;
use ottla_broker_storage::Tally;
use ottla_protocol::records::HEADER_LEN;
use ottla_protocol::{ApiKey, Bytes, ErrorCode, Str, Uuid};

/// Latencies in nanoseconds, few: below a fsync, a fsync, several, a long poll, something ill.
const LATENCY_BOUNDS_NANOS: [u64; 8] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    50_000_000,
    500_000_000,
    5_000_000_000,
];

/// A histogram of latencies in nanoseconds.
pub type Latency = Tally<8>;

/// The numbers of one shard.
pub struct Meters {
    /// By API key; most are never used on one listener or the other.
    apis: Vec<OnceCell<Box<RefCell<ApiFigures>>>>,
    errors: RefCell<BTreeMap<(i16, i16), u64>>,
    topics: RefCell<BTreeMap<Uuid, Rc<Cell<Traffic>>>>,
    /// Traffic of topics that are gone.
    of_deleted: Cell<Traffic>,
    listeners: RefCell<Vec<(Str, Rc<Cell<Connections>>)>>,
}

/// One API.
#[derive(Clone, Copy, Debug)]
pub struct ApiFigures {
    /// Requests that were started.
    pub requests: u64,
    /// Bytes of their frames.
    pub request_bytes: u64,
    /// Bytes of the answers' frames.
    pub response_bytes: u64,
    /// From the arrival of a request to its answer.
    pub latency: Latency,
}

/// What clients did to a topic, or to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Partitions in Produce requests.
    pub produce_requests: u64,
    /// Those of them that were refused.
    pub produce_errors: u64,
    /// Bytes of batches that were appended.
    pub bytes_in: u64,
    /// Records in them.
    pub records_in: u64,
    /// Partitions in Fetch requests.
    pub fetch_requests: u64,
    /// Those of them that were refused.
    pub fetch_errors: u64,
    /// Bytes of batches that were sent.
    pub bytes_out: u64,
    /// Records in them.
    pub records_out: u64,
}

/// The connections of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Let in.
    pub accepted: u64,
    /// Ended since.
    pub closed: u64,
    /// Turned away: `max.connections`.
    pub refused: u64,
    /// Closed because what came could not be read as a request.
    pub broken: u64,
}

/// A copy of all numbers at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// APIs that were asked for.
    pub apis: Vec<(ApiKey, ApiFigures)>,
    /// Errors in answers, by API and code.
    pub errors: Vec<(ApiKey, ErrorCode, u64)>,
    /// Topics that had traffic since the start and are there.
    pub topics: Vec<(Uuid, Traffic)>,
    /// All topics, also those that are gone.
    pub all_topics: Traffic,
    /// By listener.
    pub listeners: Vec<(Str, Connections)>,
}

impl Default for Meters {
    fn default() -> Self {
        let last = ApiKey::ALL.iter().map(|key| *key as usize).max();
        let apis = (0..=last.unwrap_or(0)).map(|_| OnceCell::new());
        Self {
            apis: apis.collect(),
            errors: RefCell::default(),
            topics: RefCell::default(),
            of_deleted: Cell::default(),
            listeners: RefCell::default(),
        }
    }
}

impl Meters {
    /// A request of `bytes` was started.
    pub fn started(&self, key: i16, bytes: usize) {
        self.with_api(key, |api| {
            api.requests += 1;
            api.request_bytes += bytes as u64;
        });
    }

    /// It was answered with `bytes`, `took` after it came.
    pub fn answered(&self, key: i16, bytes: usize, took: Duration) {
        self.with_api(key, |api| {
            api.response_bytes += bytes as u64;
            api.latency
                .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        });
    }

    fn with_api(&self, key: i16, change: impl FnOnce(&mut ApiFigures)) {
        let Some(slot) = usize::try_from(key).ok().and_then(|key| self.apis.get(key)) else {
            return;
        };
        let api = slot.get_or_init(|| {
            Box::new(RefCell::new(ApiFigures {
                requests: 0,
                request_bytes: 0,
                response_bytes: 0,
                latency: Latency::new(LATENCY_BOUNDS_NANOS),
            }))
        });
        change(&mut api.borrow_mut());
    }

    /// An answer holds this error.
    pub fn failed(&self, api: ApiKey, code: ErrorCode) {
        *self
            .errors
            .borrow_mut()
            .entry((api as i16, code.0))
            .or_default() += 1;
    }

    /// The numbers of a topic.
    pub fn topic(&self, id: Uuid) -> Rc<Cell<Traffic>> {
        Rc::clone(self.topics.borrow_mut().entry(id).or_default())
    }

    /// The numbers of a listener.
    pub fn listener(&self, name: &Str) -> Rc<Cell<Connections>> {
        let mut listeners = self.listeners.borrow_mut();
        if let Some((_, known)) = listeners.iter().find(|(known, _)| known == name) {
            return Rc::clone(known);
        }
        let connections = Rc::<Cell<Connections>>::default();
        listeners.push((name.clone(), Rc::clone(&connections)));
        connections
    }

    /// A copy. Topics that `image` does not know any more are forgotten, but for the sums.
    pub fn figures(&self, image: &Image) -> Figures {
        let mut topics = self.topics.borrow_mut();
        topics.retain(|id, traffic| {
            let stays = image.topic_by_id(id).is_some();
            if !stays {
                add_to(&self.of_deleted, |sum| *sum = sum.plus(traffic.get()));
            }
            stays
        });
        let traffic = topics.values().map(|traffic| traffic.get());
        let all_topics = traffic.fold(self.of_deleted.get(), Traffic::plus);
        let apis = ApiKey::ALL.iter().filter_map(|key| {
            let api = self.apis.get(*key as usize)?.get()?;
            Some((*key, *api.borrow()))
        });
        let errors = self.errors.borrow();
        let errors = errors.iter().filter_map(|((api, code), count)| {
            Some((ApiKey::from_i16(*api)?, ErrorCode(*code), *count))
        });
        let listeners = self.listeners.borrow();
        Figures {
            apis: apis.collect(),
            errors: errors.collect(),
            topics: topics
                .iter()
                .map(|(id, traffic)| (*id, traffic.get()))
                .collect(),
            all_topics,
            listeners: listeners
                .iter()
                .map(|(name, connections)| (name.clone(), connections.get()))
                .collect(),
        }
    }
}

/// Adds to numbers in a cell.
pub fn add_to<T: Copy>(cell: &Cell<T>, change: impl FnOnce(&mut T)) {
    let mut value = cell.get();
    change(&mut value);
    cell.set(value);
}

impl Traffic {
    fn plus(self, other: Self) -> Self {
        Self {
            produce_requests: self.produce_requests + other.produce_requests,
            produce_errors: self.produce_errors + other.produce_errors,
            bytes_in: self.bytes_in + other.bytes_in,
            records_in: self.records_in + other.records_in,
            fetch_requests: self.fetch_requests + other.fetch_requests,
            fetch_errors: self.fetch_errors + other.fetch_errors,
            bytes_out: self.bytes_out + other.bytes_out,
            records_out: self.records_out + other.records_out,
        }
    }
}

/// Records in whole batches that lie one after the other in `chunks`. A batch may lie in several chunks, its header
/// does not; where one does after all, counting ends.
pub fn records_in(chunks: &[Bytes]) -> u64 {
    let mut records = 0;
    let mut skip = 0;
    for chunk in chunks {
        let mut at = skip;
        while at < chunk.len() {
            let Some(header) = chunk.get(at..at + HEADER_LEN) else {
                return records;
            };
            let number = |at: usize| {
                let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
                u32::from_be_bytes(bytes)
            };
            records += u64::from(number(RECORD_COUNT_AT));
            at += LENGTH_AT + 4 + number(LENGTH_AT) as usize;
        }
        skip = at - chunk.len();
    }
    records
}

/// Where a batch's header says how many bytes follow.
const LENGTH_AT: usize = 8;
/// Where it says how many records there are.
const RECORD_COUNT_AT: usize = 57;

#[cfg(test)]
mod tests {
    use ottla_protocol::records::{BatchBuilder, BatchOptions};

    use super::*;

    fn batch(records: i32) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for _ in 0..records {
            builder
                .append(1, None, Some(b"value"), [])
                .expect("it is small");
        }
        builder.build().expect("it has records")
    }

    #[test]
    fn records_are_counted_however_batches_lie() {
        let (three, five) = (batch(3), batch(5));
        let joined = Bytes::from([&three[..], &five[..]].concat());
        let apart = [three.slice(..HEADER_LEN), three.slice(HEADER_LEN..), five];
        assert_eq!(records_in(std::slice::from_ref(&joined)), 8);
        assert_eq!(records_in(&apart), 8);
        assert_eq!(records_in(&[]), 0);
        // What cannot be a header is not guessed at.
        assert_eq!(records_in(&[joined.slice(..10)]), 0);
    }

    #[test]
    fn a_deleted_topic_goes_on_in_the_sum() {
        let meters = Meters::default();
        let topic = meters.topic(Uuid([1; 16]));
        add_to(&topic, |traffic| traffic.bytes_in += 10);
        let figures = meters.figures(&Image::default());
        assert!(figures.topics.is_empty());
        assert_eq!(figures.all_topics.bytes_in, 10);
        assert_eq!(meters.figures(&Image::default()).all_topics.bytes_in, 10);
    }

    #[test]
    fn apis_are_counted_by_their_key() {
        let meters = Meters::default();
        meters.started(ApiKey::Metadata as i16, 30);
        meters.answered(ApiKey::Metadata as i16, 100, Duration::from_millis(2));
        // Nobody's keys, which dispatch refuses.
        meters.started(-1, 1);
        meters.started(i16::MAX, 1);
        let figures = meters.figures(&Image::default());
        let [(ApiKey::Metadata, api)] = &figures.apis[..] else {
            panic!("one API was asked for: {:?}", figures.apis);
        };
        assert_eq!(
            (api.requests, api.request_bytes, api.response_bytes),
            (1, 30, 100)
        );
        assert_eq!((api.latency.count(), api.latency.sum()), (1, 2_000_000));
    }
}
