//! A batch of one partition on its way: filled, sealed, stamped with who sends it and in which place, delivered or failed.
//!
//! Invariant: a batch's waiters are answered exactly once, all together, in the order of its records.

use crate::error::ClientError;
use crate::producer::{Delivered, ProducerRecord};
use bytes::Bytes;
use ottla_protocol::Records;
use ottla_protocol::records::{
    BatchBuilder, BatchOptions, BatchView, BuildError, Compression, Producer, sequence_plus,
};
use std::time::Duration;
use tokio::sync::oneshot;

/// Whoever waits for a record.
pub(crate) struct Waiter {
    pub(crate) sender: oneshot::Sender<Result<Delivered, ClientError>>,
    timestamp: i64,
    /// Its part of the memory budget.
    bytes: usize,
}

/// A batch that still takes records.
pub(crate) struct OpenBatch {
    builder: BatchBuilder,
    waiters: Vec<Waiter>,
    opened: Duration,
    compression: Compression,
}

/// A batch that is complete.
pub(crate) struct Batch {
    view: BatchView,
    compression: Compression,
    waiters: Vec<Waiter>,
    pub(crate) opened: Duration,
    /// Who sends it, and its first sequence number. Kept over attempts, so that the broker recognises them.
    pub(crate) stamp: Option<Producer>,
    /// An attempt may have been carried out without our knowing.
    pub(crate) in_doubt: bool,
    pub(crate) attempts: u32,
}

impl OpenBatch {
    pub(crate) fn new(compression: Compression, now: Duration) -> OpenBatch {
        OpenBatch {
            builder: builder(compression),
            waiters: Vec::new(),
            opened: now,
            compression,
        }
    }

    /// Adds a record; gives the sender back with the error if it can never fit.
    pub(crate) fn append(
        &mut self,
        record: &ProducerRecord,
        timestamp: i64,
        sender: oneshot::Sender<Result<Delivered, ClientError>>,
    ) -> Result<(), BuildError> {
        let headers = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_ref().as_bytes(), value.as_deref()));
        self.builder.append(
            timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        )?;
        self.waiters.push(Waiter {
            sender,
            timestamp,
            bytes: record.size(),
        });
        Ok(())
    }

    pub(crate) fn size(&self) -> usize {
        self.builder.uncompressed_size()
    }

    pub(crate) fn opened(&self) -> Duration {
        self.opened
    }

    /// No more records. An open batch has at least one.
    pub(crate) fn seal(self) -> Result<Batch, (BuildError, Vec<Waiter>)> {
        let built = self.builder.build();
        match built {
            Ok(bytes) => Ok(Batch {
                view: BatchView::new(bytes).expect("what the builder builds is a batch"),
                compression: self.compression,
                waiters: self.waiters,
                opened: self.opened,
                stamp: None,
                in_doubt: false,
                attempts: 0,
            }),
            Err(error) => Err((error, self.waiters)),
        }
    }
}

impl Batch {
    pub(crate) fn count(&self) -> i32 {
        self.view.header().record_count
    }

    pub(crate) fn size(&self) -> usize {
        self.view.size()
    }

    /// The batch as it goes out: the header anew (the stamp is inside of the checksum), the records shared.
    pub(crate) fn wire(&self) -> Records {
        let mut header = *self.view.header();
        if let Some(stamp) = self.stamp {
            header.producer_id = stamp.id;
            header.producer_epoch = stamp.epoch;
            header.base_sequence = stamp.base_sequence;
            header.seal(self.view.body());
        }
        Records::Parts(vec![
            Bytes::copy_from_slice(&header.encode()),
            self.view.body().clone(),
        ])
    }

    /// Notes whether another attempt may have been carried out without our knowing. No later answer takes such a doubt back.
    pub(crate) fn doubted(self, in_doubt: bool) -> Batch {
        Batch {
            in_doubt: self.in_doubt || in_doubt,
            ..self
        }
    }

    /// Two batches that together are this one, with the same sequence numbers: the broker takes less at a time. Needs two records.
    pub(crate) fn split(self) -> (Batch, Batch) {
        const OWN: &str = "the batch was built here, and each half is smaller";
        let records = self.view.records(usize::MAX).expect(OWN);
        let half = records.header().record_count / 2;
        let mut builders = [(); 2].map(|()| builder(self.compression));
        for (index, record) in (0..).zip(records.iter()) {
            let record = record.expect(OWN);
            let headers = record.headers.iter();
            builders[usize::from(index >= half)]
                .append(record.timestamp, record.key, record.value, headers)
                .expect(OWN);
        }
        let mut first_waiters = self.waiters;
        let second_waiters = first_waiters.split_off(half as usize);
        let second_stamp = self.stamp.map(|stamp| Producer {
            base_sequence: sequence_plus(stamp.base_sequence, half),
            ..stamp
        });
        let part = |builder: BatchBuilder, waiters, stamp| Batch {
            view: BatchView::new(builder.build().expect(OWN)).expect(OWN),
            compression: self.compression,
            waiters,
            opened: self.opened,
            stamp,
            in_doubt: self.in_doubt,
            attempts: self.attempts,
        };
        let [first, second] = builders;
        (
            part(first, first_waiters, self.stamp),
            part(second, second_waiters, second_stamp),
        )
    }

    /// Answers all waiters with success; gives back the memory they held. `base_offset` −1: not known.
    pub(crate) fn deliver(
        self,
        topic: &ottla_protocol::Str,
        partition: i32,
        base_offset: i64,
        append_time: i64,
    ) -> usize {
        let mut bytes = 0;
        for (index, waiter) in (0..).zip(self.waiters) {
            bytes += waiter.bytes;
            let delivered = Delivered {
                topic: topic.clone(),
                partition,
                offset: if base_offset < 0 {
                    -1
                } else {
                    base_offset + index
                },
                timestamp_ms: if append_time < 0 {
                    waiter.timestamp
                } else {
                    append_time
                },
            };
            // Nobody may care.
            let _ = waiter.sender.send(Ok(delivered));
        }
        bytes
    }

    pub(crate) fn fail(self, error: &ClientError) -> usize {
        fail(self.waiters, error)
    }
}

fn builder(compression: Compression) -> BatchBuilder {
    BatchBuilder::new(BatchOptions {
        compression,
        ..BatchOptions::default()
    })
}

/// Answers waiters with an error; gives back the memory they held.
pub(crate) fn fail(waiters: Vec<Waiter>, error: &ClientError) -> usize {
    let mut bytes = 0;
    for waiter in waiters {
        bytes += waiter.bytes;
        let _ = waiter.sender.send(Err(error.clone()));
    }
    bytes
}
