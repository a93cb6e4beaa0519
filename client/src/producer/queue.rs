//! The batches of one partition: one that fills, those that wait, those that are with the broker. Decides what may be sent and what an
//! answer means; sends nothing itself.
//!
//! ```text
//!  open ──full, lingered, flushed──► ready ──sent──► in flight ──► delivered | failed
//!                                      ▲                 │
//!                                      └── again, in the order of sequence numbers
//! ```
//! Invariant: sequence numbers are given in the order of sending and belong to the batch for good; a batch that comes back is sent
//! again before any later one, and only when nothing of the partition is with the broker, so order survives every retry.

use crate::error::ClientError;
use crate::producer::batch::{self, Batch, OpenBatch};
use crate::producer::{Delivered, ProducerRecord};
use ottla_protocol::records::{BuildError, Compression, Producer, sequence_plus};
use ottla_protocol::{ErrorCode, Str};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;

/// Who the broker knows us as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// A broker's answer for one batch.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Written {
        base_offset: i64,
        append_time: i64,
    },
    Refused {
        error: ErrorCode,
        message: Option<Str>,
    },
    /// No answer: it may have been written.
    Lost(ClientError),
}

/// What the sender has to do after an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct After {
    /// Bytes of the memory budget that are free again.
    pub(crate) released: usize,
    /// The leader may be another.
    pub(crate) doubt_leader: bool,
    /// The broker has lost the thread: a new producer id is needed.
    pub(crate) reset: bool,
}

pub(crate) struct PartitionQueue {
    topic: Str,
    partition: i32,
    open: Option<OpenBatch>,
    ready: VecDeque<Batch>,
    /// Request number and batch, in the order of sending.
    in_flight: VecDeque<(u64, Batch)>,
    next_sequence: i32,
    /// The broker has taken a batch under the present identity. Before that it would take any sequence number as a beginning, so a
    /// second batch must not overtake the first.
    begun: bool,
    /// Not before this time, after an attempt that failed.
    not_before: Duration,
}

/// The rules that do not change from batch to batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) batch_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) compression: Compression,
    pub(crate) in_flight_max: usize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) retry_backoff: Duration,
    pub(crate) retry_backoff_max: Duration,
}

impl PartitionQueue {
    pub(crate) fn new(topic: Str, partition: i32) -> PartitionQueue {
        PartitionQueue {
            topic,
            partition,
            open: None,
            ready: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_sequence: 0,
            begun: false,
            not_before: Duration::ZERO,
        }
    }

    /// Takes a record. Errors: it is larger than any batch can be.
    pub(crate) fn append(
        &mut self,
        record: &ProducerRecord,
        timestamp: i64,
        sender: oneshot::Sender<Result<Delivered, ClientError>>,
        rules: &Rules,
        now: Duration,
    ) -> Result<After, BuildError> {
        let mut after = After::default();
        let full = |open: &OpenBatch| open.size() + record.size() > rules.batch_bytes;
        if self.open.as_ref().is_some_and(full) {
            after.released = self.seal_open();
        }
        let open = self
            .open
            .get_or_insert_with(|| OpenBatch::new(rules.compression, now));
        let appended = open.append(record, timestamp, sender);
        if appended.is_err() && open.size() <= ottla_protocol::records::HEADER_LEN {
            self.open = None;
        }
        appended.map(|()| after)
    }

    /// Closes the open batch; gives back the memory of one that cannot be built.
    pub(crate) fn seal_open(&mut self) -> usize {
        let Some(open) = self.open.take() else {
            return 0;
        };
        match open.seal() {
            Ok(batch) => {
                self.ready.push_back(batch);
                0
            }
            Err((error, waiters)) => batch::fail(waiters, &self.unwritable(&error)),
        }
    }

    fn unwritable(&self, error: &BuildError) -> ClientError {
        ClientError::Records {
            topic: self.topic.clone(),
            partition: self.partition,
            reason: error.to_string(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none() && self.ready.is_empty() && self.in_flight.is_empty()
    }

    pub(crate) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// When there is something to do next: a batch has lingered enough, a pause is over, a batch is too old.
    pub(crate) fn next_deadline(&self, rules: &Rules) -> Option<Duration> {
        let lingered = self.open.as_ref().map(|open| open.opened() + rules.linger);
        let pause = self
            .ready
            .front()
            .filter(|_| self.in_flight.is_empty())
            .map(|_| self.not_before);
        let oldest = self
            .ready
            .front()
            .map(|batch| batch.opened + rules.delivery_timeout);
        [lingered, pause, oldest].into_iter().flatten().min()
    }

    /// Takes the next batch that may be sent now; `send` notes it as sent. `flushing` does not let the open batch linger.
    pub(crate) fn next_to_send(
        &mut self,
        rules: &Rules,
        now: Duration,
        flushing: bool,
    ) -> Option<Batch> {
        let in_flight_max = if self.begun { rules.in_flight_max } else { 1 };
        if now < self.not_before || self.in_flight.len() >= in_flight_max {
            return None;
        }
        let comes_back = self.ready.front().is_some_and(|batch| batch.attempts > 0);
        if comes_back && !self.in_flight.is_empty() {
            return None;
        }
        if self.ready.is_empty() {
            let open = self.open.as_ref()?;
            if !flushing && now < open.opened() + rules.linger {
                return None;
            }
            self.seal_open();
        }
        self.ready.pop_front()
    }

    /// Gives a batch back that was taken and could not be sent.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        self.ready.push_front(batch);
    }

    /// Stamps a batch that is about to be sent in request number `request`, and notes it as with the broker.
    pub(crate) fn sent(
        &mut self,
        mut batch: Batch,
        identity: Option<Identity>,
        request: u64,
    ) -> &Batch {
        if let (Some(identity), None) = (identity, batch.stamp) {
            batch.stamp = Some(Producer {
                id: identity.producer_id,
                epoch: identity.epoch,
                base_sequence: self.next_sequence,
            });
            self.next_sequence = sequence_plus(self.next_sequence, batch.count());
        }
        batch.attempts += 1;
        self.in_flight.push_back((request, batch));
        &self.in_flight.back().expect("pushed above").1
    }

    /// The answer to a batch that was sent in request number `request`.
    pub(crate) fn answered(
        &mut self,
        request: u64,
        outcome: Outcome,
        rules: &Rules,
        now: Duration,
    ) -> After {
        let Some(at) = self
            .in_flight
            .iter()
            .position(|(number, _)| *number == request)
        else {
            return After::default();
        };
        let Some((_, batch)) = self.in_flight.remove(at) else {
            return After::default();
        };
        match outcome {
            Outcome::Written {
                base_offset,
                append_time,
            } => {
                self.begun = true;
                let released = batch.deliver(&self.topic, self.partition, base_offset, append_time);
                After {
                    released,
                    ..After::default()
                }
            }
            Outcome::Lost(error) => self.again(batch.doubted(true), error, rules, now),
            Outcome::Refused { error, message } => self.refused(batch, error, message, rules, now),
        }
    }

    fn refused(
        &mut self,
        batch: Batch,
        error: ErrorCode,
        message: Option<Str>,
        rules: &Rules,
        now: Duration,
    ) -> After {
        let failure = ClientError::Refused {
            api: ottla_protocol::ApiKey::Produce,
            failure: crate::error::Failure { error, message },
        };
        match error {
            // An attempt of which we did not hear was written.
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER => {
                let released = batch.deliver(&self.topic, self.partition, -1, -1);
                After {
                    released,
                    ..After::default()
                }
            }
            // An earlier batch is not there yet: it is on its way back to us. If this is the earliest, the broker has lost state.
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER if batch.stamp.is_some() => {
                let earliest = !self.has_earlier_than(&batch);
                let after = self.again(batch, failure, rules, now);
                After {
                    reset: earliest,
                    ..after
                }
            }
            ErrorCode::UNKNOWN_PRODUCER_ID | ErrorCode::INVALID_PRODUCER_EPOCH
                if batch.stamp.is_some() =>
            {
                let after = self.again(batch, failure, rules, now);
                After {
                    reset: true,
                    ..after
                }
            }
            ErrorCode::MESSAGE_TOO_LARGE if batch.count() > 1 => {
                let (first, second) = batch.split();
                self.insert(second);
                self.insert(first);
                After::default()
            }
            _ if error.is_retriable() => {
                // These two come after the append.
                let in_doubt = matches!(
                    error,
                    ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND | ErrorCode::REQUEST_TIMED_OUT
                );
                self.again(batch.doubted(in_doubt), failure, rules, now)
            }
            _ => {
                // What follows this batch counts on its sequence numbers.
                let reset = batch.stamp.is_some();
                After {
                    released: batch.fail(&failure),
                    doubt_leader: false,
                    reset,
                }
            }
        }
    }

    fn again(&mut self, batch: Batch, error: ClientError, rules: &Rules, now: Duration) -> After {
        if now >= batch.opened + rules.delivery_timeout
            || !error.is_retriable() && !is_about_sequence(&error)
        {
            let waited = now.saturating_sub(batch.opened);
            let reset = batch.stamp.is_some();
            let gave_up = ClientError::GaveUp {
                waited,
                last: Box::new(error),
            };
            return After {
                released: batch.fail(&gave_up),
                doubt_leader: true,
                reset,
            };
        }
        let pause =
            rules.retry_backoff * 2u32.saturating_pow(batch.attempts.saturating_sub(1).min(16));
        self.not_before = now + pause.min(rules.retry_backoff_max);
        self.insert(batch);
        After {
            doubt_leader: true,
            ..After::default()
        }
    }

    /// Puts a batch back into its place: those with sequence numbers in their order, before those without.
    fn insert(&mut self, batch: Batch) {
        let behind = |one: &Batch| match (one.stamp, batch.stamp) {
            (Some(one), Some(this)) => is_after(one.base_sequence, this.base_sequence),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let at = self
            .ready
            .iter()
            .position(behind)
            .unwrap_or(self.ready.len());
        self.ready.insert(at, batch);
    }

    fn has_earlier_than(&self, batch: &Batch) -> bool {
        let Some(this) = batch.stamp else {
            return false;
        };
        let waiting = self
            .ready
            .iter()
            .chain(self.in_flight.iter().map(|(_, one)| one));
        waiting
            .filter_map(|one| one.stamp)
            .any(|one| is_after(this.base_sequence, one.base_sequence))
    }

    /// Fails what has waited too long. True in `reset` if the broker may now miss sequence numbers.
    pub(crate) fn expire(&mut self, rules: &Rules, now: Duration) -> After {
        let mut after = After::default();
        while let Some(batch) = self
            .ready
            .pop_front_if(|batch| now >= batch.opened + rules.delivery_timeout)
        {
            after.reset |= batch.stamp.is_some();
            let waited = now.saturating_sub(batch.opened);
            let last = Box::new(ClientError::NoLeader {
                topic: self.topic.clone(),
                partition: self.partition,
            });
            after.released += batch.fail(&ClientError::GaveUp { waited, last });
        }
        after
    }

    /// Begins anew under another identity. Batches that may have been written cannot be sent under it without the danger of being
    /// there twice; they fail.
    pub(crate) fn reset(&mut self) -> usize {
        let doubt = ClientError::Closed(
            "the broker lost this producer's state; whether the record was written is not known"
                .to_owned(),
        );
        self.next_sequence = 0;
        self.begun = false;
        let mut released = 0;
        for mut batch in std::mem::take(&mut self.ready) {
            if batch.in_doubt {
                released += batch.fail(&doubt);
            } else {
                batch.stamp = None;
                self.ready.push_back(batch);
            }
        }
        released
    }

    /// Fails everything: the producer is closed.
    pub(crate) fn fail_all(&mut self, error: &ClientError) -> usize {
        let mut released = self.seal_open();
        for batch in std::mem::take(&mut self.ready) {
            released += batch.fail(error);
        }
        for (_, batch) in std::mem::take(&mut self.in_flight) {
            released += batch.fail(error);
        }
        released
    }
}

fn is_about_sequence(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
                | ErrorCode::UNKNOWN_PRODUCER_ID
                | ErrorCode::INVALID_PRODUCER_EPOCH
        )
    )
}

/// Whether sequence number `one` comes after `other`, on the circle of 2^31 numbers.
fn is_after(one: i32, other: i32) -> bool {
    let distance = one.wrapping_sub(other) & i32::MAX;
    distance != 0 && distance < i32::MAX / 2
}
