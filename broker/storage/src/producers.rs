//! What one log knows about its producers: sequences for idempotence, open transactions for the last stable offset.
//!
//! Pure and rebuilt by replaying batch headers: `check` only reads, `apply` is the only writer and never
//! fails, because what a leader has appended is history for followers and recovery. Rules: KIP-98, KIP-360; a window of
//! five batches answers retries of `max.in.flight.requests.per.connection=5`.
//! Not here: producer ids (controller), the transaction coordinator, verification of transactions (KIP-890).

mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use ottla_protocol::records::{BatchHeader, EndTxnMarker, NO_PRODUCER_EPOCH, NO_SEQUENCE};

pub use snapshot::SnapshotError;

/// Batches remembered for each producer: the most that an idempotent producer has in flight.
pub const WINDOW: usize = 5;

/// Coordinator epoch of a producer that has seen no marker.
pub const NO_COORDINATOR_EPOCH: i32 = -1;

/// Who appends, and so what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client's Produce: everything is checked.
    Client,
    /// A group or transaction coordinator on this broker: epochs are checked, sequences are not.
    Coordinator,
    /// A leader's batches at a follower, or the metadata log: nothing is refused.
    Replication,
}

/// A batch that a producer may send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBatch {
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Last offset less first offset.
    pub offset_delta: i32,
    /// Its largest timestamp, ms.
    pub timestamp: i64,
}

impl SentBatch {
    /// Offset of its first record.
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Sequence of its first record; wraps below 0 to the top as sequences do.
    fn first_sequence(&self) -> i32 {
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        (first & i64::from(i32::MAX)) as i32
    }
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Newest epoch seen.
    pub epoch: i16,
    /// Epoch of the transaction coordinator that wrote the last marker, or -1.
    pub coordinator_epoch: i32,
    /// Largest timestamp of the last batch or marker, ms: what expiry counts from.
    pub last_timestamp: i64,
    /// Where the open transaction began.
    pub txn_first_offset: Option<i64>,
    /// The last batches of this epoch, oldest first.
    pub batches: VecDeque<SentBatch>,
}

impl Producer {
    fn new() -> Self {
        Self {
            epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: -1,
            txn_first_offset: None,
            batches: VecDeque::new(),
        }
    }

    fn last_sequence(&self) -> i32 {
        self.batches
            .back()
            .map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn find(&self, header: &BatchHeader) -> Option<SentBatch> {
        let range = (header.base_sequence, header.last_sequence());
        let same = |batch: &&SentBatch| (batch.first_sequence(), batch.last_sequence) == range;
        (header.producer_epoch == self.epoch)
            .then(|| self.batches.iter().find(same).copied())
            .flatten()
    }

    fn enter(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// A newer incarnation of the producer has written already. → INVALID_PRODUCER_EPOCH
    #[error(
        "producer {producer_id} is fenced: its epoch is {epoch}, {current} has written already"
    )]
    Fenced {
        /// Producer.
        producer_id: i64,
        /// Its epoch in the batch.
        epoch: i16,
        /// Newest epoch here.
        current: i16,
    },
    /// A batch before this one is missing. → OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("producer {producer_id} epoch {epoch}: sequence {found} where {expected} was due")]
    OutOfOrder {
        /// Producer.
        producer_id: i64,
        /// Its epoch.
        epoch: i16,
        /// First sequence of the batch.
        found: i32,
        /// What would have been accepted.
        expected: i32,
    },
    /// A plain batch inside the producer's own transaction. → INVALID_TXN_STATE
    #[error("producer {producer_id} has an open transaction but sent a batch outside of it")]
    NotTransactional {
        /// Producer.
        producer_id: i64,
    },
    /// A marker of a transaction coordinator that has been replaced. → TRANSACTION_COORDINATOR_FENCED
    #[error(
        "producer {producer_id}: marker of coordinator epoch {epoch}, {current} has written already"
    )]
    CoordinatorFenced {
        /// Producer.
        producer_id: i64,
        /// Epoch in the marker.
        epoch: i32,
        /// Newest epoch here.
        current: i32,
    },
}

/// A batch that passed [`Producers::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// To be appended.
    New,
    /// Appended before: the answer is that append's.
    Duplicate(SentBatch),
}

/// A transaction that ended by abort: what `.txnindex` holds, and what a read-committed Fetch is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Producer.
    pub producer_id: i64,
    /// Its first batch.
    pub first_offset: i64,
    /// Its marker.
    pub last_offset: i64,
    /// The last stable offset when the marker had been appended.
    pub last_stable_offset: i64,
}

/// All producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<i64, Producer>,
    /// First offset → producer.
    open: BTreeMap<i64, i64>,
    /// First offset → marker's offset, for transactions whose marker may be above the high watermark.
    ended: BTreeMap<i64, i64>,
}

impl Producers {
    /// No producer is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// By producer id, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(&id, producer)| (id, producer))
    }

    /// One producer.
    pub fn find(&self, producer_id: i64) -> Option<&Producer> {
        self.by_id.get(&producer_id)
    }

    /// Whether a batch of records may be appended. Batches without producer id always may.
    pub fn check(&self, header: &BatchHeader, origin: Origin) -> Result<Sequenced, ProducerError> {
        let producer_id = header.producer_id;
        let known = if header.has_producer_id() {
            self.by_id.get(&producer_id)
        } else {
            None
        };
        let (Some(producer), true) = (known, origin != Origin::Replication) else {
            return Ok(Sequenced::New);
        };
        if origin == Origin::Client
            && let Some(sent) = producer.find(header)
        {
            return Ok(Sequenced::Duplicate(sent));
        }
        fence(producer_id, producer, header.producer_epoch)?;
        if origin == Origin::Client {
            in_sequence(producer, header)?;
        }
        if producer.txn_first_offset.is_some() && !header.attributes.is_transactional() {
            return Err(ProducerError::NotTransactional { producer_id });
        }
        Ok(Sequenced::New)
    }

    /// Whether a transaction marker may be appended.
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        marker: &EndTxnMarker,
        origin: Origin,
    ) -> Result<(), ProducerError> {
        let producer_id = header.producer_id;
        let (Some(producer), true) = (self.by_id.get(&producer_id), origin != Origin::Replication)
        else {
            return Ok(());
        };
        fence(producer_id, producer, header.producer_epoch)?;
        if marker.coordinator_epoch < producer.coordinator_epoch {
            let current = producer.coordinator_epoch;
            return Err(ProducerError::CoordinatorFenced {
                producer_id,
                epoch: marker.coordinator_epoch,
                current,
            });
        }
        Ok(())
    }

    /// A batch of records was appended.
    pub fn apply(&mut self, header: &BatchHeader) {
        if !header.has_producer_id() {
            return;
        }
        let producer = self
            .by_id
            .entry(header.producer_id)
            .or_insert_with(Producer::new);
        producer.enter(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        if producer.batches.len() == WINDOW {
            producer.batches.pop_front();
        }
        producer.batches.push_back(SentBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        if header.attributes.is_transactional() && producer.txn_first_offset.is_none() {
            producer.txn_first_offset = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// A transaction marker was appended. Returns what the transaction index must hold after an abort.
    pub fn apply_marker(
        &mut self,
        header: &BatchHeader,
        marker: &EndTxnMarker,
    ) -> Option<AbortedTxn> {
        let producer = self
            .by_id
            .entry(header.producer_id)
            .or_insert_with(Producer::new);
        producer.enter(header.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = header.max_timestamp;
        // A marker without a transaction here (its batches are gone by retention, or never came) ends nothing.
        let first_offset = producer.txn_first_offset.take()?;
        let last_offset = header.last_offset();
        self.open.remove(&first_offset);
        self.ended.insert(first_offset, last_offset);
        let last_stable_offset = self.open.keys().next().copied().unwrap_or(last_offset + 1);
        (!marker.commit).then_some(AbortedTxn {
            producer_id: header.producer_id,
            first_offset,
            last_offset,
            last_stable_offset,
        })
    }

    /// First offset of a transaction that is open, or whose end is not below the high watermark given to
    /// [`Producers::settle`] last. A read-committed consumer reads up to here.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let open = self.open.keys().next();
        let ended = self.ended.keys().next();
        open.into_iter().chain(ended).min().copied()
    }

    /// Transactions whose marker lies below `high_watermark` are decided.
    pub fn settle(&mut self, high_watermark: i64) {
        self.ended.retain(|_, &mut marker| marker >= high_watermark);
    }

    /// Forgets producers without open transaction that were silent for `expiration_ms`.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_id.retain(|_, producer| {
            producer.txn_first_offset.is_some()
                || now_ms.saturating_sub(producer.last_timestamp) < expiration_ms
        });
    }

    /// Nobody is known any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Transactions that ended at or above the high watermark: first offset and marker's offset.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (i64, i64)> {
        self.ended.iter().map(|(&first, &marker)| (first, marker))
    }

    /// Puts an ended transaction in as it was written down.
    pub(crate) fn restore_ended(&mut self, first_offset: i64, marker: i64) {
        self.ended.insert(first_offset, marker);
    }

    /// Puts a producer in as it was written down: from a snapshot or the manifest.
    pub(crate) fn restore(&mut self, producer_id: i64, producer: Producer) {
        if let Some(first_offset) = producer.txn_first_offset {
            self.open.insert(first_offset, producer_id);
        }
        self.by_id.insert(producer_id, producer);
    }
}

fn fence(producer_id: i64, producer: &Producer, epoch: i16) -> Result<(), ProducerError> {
    match epoch < producer.epoch {
        true => Err(ProducerError::Fenced {
            producer_id,
            epoch,
            current: producer.epoch,
        }),
        false => Ok(()),
    }
}

fn in_sequence(producer: &Producer, header: &BatchHeader) -> Result<(), ProducerError> {
    let expected = match producer.last_sequence() {
        // Known, but only by a marker: it has no sequence of its own yet, unless no epoch either.
        _ if producer.epoch == NO_PRODUCER_EPOCH => return Ok(()),
        _ if header.producer_epoch != producer.epoch => 0,
        NO_SEQUENCE | i32::MAX => 0,
        last => last + 1,
    };
    if header.base_sequence == expected {
        return Ok(());
    }
    let BatchHeader {
        producer_id,
        producer_epoch: epoch,
        base_sequence: found,
        ..
    } = *header;
    Err(ProducerError::OutOfOrder {
        producer_id,
        epoch,
        found,
        expected,
    })
}

#[cfg(test)]
mod tests;
