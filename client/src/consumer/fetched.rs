//! What a broker sent of one partition, read batch by batch: decompressed when it is its turn, filtered of what the reader must not
//! see. Positions move over what is filtered, so control batches and compacted gaps never hold a reader up.

use crate::consumer::ConsumerRecord;
use bytes::Bytes;
use ottla_protocol::Str;
use ottla_protocol::messages::fetch_response::AbortedTransaction;
use ottla_protocol::records::{
    BatchRecords, BatchView, Batches, ControlRecord, ControlType, batches,
};
use std::collections::BTreeSet;

/// No batch may unfold to more than this: a few bytes of zstd can ask for all memory.
const DECOMPRESSED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The unread rest of a fetch of one partition.
pub(crate) struct Fetched {
    topic: Str,
    partition: i32,
    batches: Batches,
    /// Aborted transactions that begin further on, the next one last; `None`: the reader sees everything.
    aborted: Option<Vec<AbortedTransaction>>,
    /// Producers inside of an aborted transaction here.
    aborting: BTreeSet<i64>,
}

/// One batch's worth for the reader.
pub(crate) struct Portion {
    pub(crate) records: Vec<ConsumerRecord>,
    /// Where the reader stands afterwards.
    pub(crate) next_position: i64,
    pub(crate) leader_epoch: i32,
}

impl Fetched {
    /// `aborted` must be given for readers that see committed records only.
    pub(crate) fn new(
        topic: Str,
        partition: i32,
        data: Bytes,
        aborted: Option<Vec<AbortedTransaction>>,
    ) -> Fetched {
        let aborted = aborted.map(|mut aborted| {
            aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
            aborted
        });
        Fetched {
            topic,
            partition,
            batches: batches(data),
            aborted,
            aborting: BTreeSet::new(),
        }
    }

    /// The next batch from `position` on. `Err`: the data is damaged, with the reason.
    pub(crate) fn next(&mut self, position: i64) -> Result<Option<Portion>, String> {
        let batch = match self.batches.next() {
            None => return Ok(None),
            Some(Ok(batch)) => batch,
            // A fetch may end inside of a batch; the next one begins there.
            Some(Err(ottla_protocol::records::BatchError::Torn { .. })) => return Ok(None),
            Some(Err(error)) => return Err(error.to_string()),
        };
        batch.check_crc().map_err(|error| error.to_string())?;
        let header = *batch.header();
        let visible = self.is_visible(&batch)?;
        let records = if visible {
            self.records(&batch, position)?
        } else {
            Vec::new()
        };
        Ok(Some(Portion {
            records,
            next_position: header.next_offset().max(position),
            leader_epoch: header.partition_leader_epoch,
        }))
    }

    fn is_visible(&mut self, batch: &BatchView) -> Result<bool, String> {
        let header = batch.header();
        let Some(aborted) = &mut self.aborted else {
            return Ok(!header.attributes.is_control());
        };
        while let Some(begun) =
            aborted.pop_if(|transaction| transaction.first_offset <= header.last_offset())
        {
            self.aborting.insert(begun.producer_id);
        }
        if header.attributes.is_control() {
            if is_abort(batch)? {
                self.aborting.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(!(header.attributes.is_transactional() && self.aborting.contains(&header.producer_id)))
    }

    fn records(&self, batch: &BatchView, position: i64) -> Result<Vec<ConsumerRecord>, String> {
        let decoded = batch
            .records(DECOMPRESSED_BYTES_MAX)
            .map_err(|error| error.to_string())?;
        let mut records =
            Vec::with_capacity(decoded.header().record_count.clamp(0, 1 << 16) as usize);
        for record in decoded.iter() {
            let record = record.map_err(|error| error.to_string())?;
            // A batch is sent whole; the reader may want only its end.
            if record.offset >= position {
                records.push(self.record(&decoded, &record));
            }
        }
        Ok(records)
    }

    fn record(
        &self,
        decoded: &BatchRecords,
        record: &ottla_protocol::records::Record<'_>,
    ) -> ConsumerRecord {
        let header = |(key, value): (&[u8], Option<&[u8]>)| {
            (decoded.share(key), value.map(|value| decoded.share(value)))
        };
        ConsumerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp,
            leader_epoch: decoded.header().partition_leader_epoch,
            key: record.key.map(|key| decoded.share(key)),
            value: record.value.map(|value| decoded.share(value)),
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

fn is_abort(batch: &BatchView) -> Result<bool, String> {
    let decoded = batch
        .records(DECOMPRESSED_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    match decoded.iter().next() {
        None => Ok(false),
        Some(record) => {
            let record = record.map_err(|error| error.to_string())?;
            let control = ControlRecord::parse(&record).map_err(|error| error.to_string())?;
            Ok(control.control_type == ControlType::Abort)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fetched;
    use bytes::{Bytes, BytesMut};
    use ottla_protocol::messages::fetch_response::AbortedTransaction;
    use ottla_protocol::records::{
        BatchBuilder, BatchOptions, EndTxnMarker, Producer, patch_base_offset,
    };

    fn batch(base_offset: i64, producer: Option<i64>, values: &[&str]) -> Bytes {
        let options = BatchOptions {
            base_offset,
            producer: producer.map(|id| Producer {
                id,
                epoch: 0,
                base_sequence: 0,
            }),
            transactional: producer.is_some(),
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        for value in values {
            builder.append(1, None, Some(value.as_bytes()), []).unwrap();
        }
        builder.build().unwrap()
    }

    fn marker(base_offset: i64, producer: i64, commit: bool) -> Bytes {
        let marker = EndTxnMarker {
            commit,
            coordinator_epoch: 0,
        }
        .batch(producer, 0, 1);
        let mut marker = BytesMut::from(&marker[..]);
        patch_base_offset(&mut marker, base_offset);
        marker.freeze()
    }

    /// 0,1 of nobody · 2,3 of 7, aborted by 4 · 5 of 8, committed by 6 · 7 of 7, committed by 8.
    fn log() -> Bytes {
        let parts = [
            batch(0, None, &["a", "b"]),
            batch(2, Some(7), &["x", "y"]),
            marker(4, 7, false),
            batch(5, Some(8), &["c"]),
            marker(6, 8, true),
            batch(7, Some(7), &["d"]),
            marker(8, 7, true),
        ];
        parts.concat().into()
    }

    fn read(data: Bytes, from: i64, aborted: Option<Vec<AbortedTransaction>>) -> (String, i64) {
        let mut fetched = Fetched::new("t".into(), 0, data, aborted);
        let (mut seen, mut position) = (String::new(), from);
        while let Some(portion) = fetched.next(position).unwrap() {
            position = portion.next_position;
            seen.extend(portion.records.iter().map(|record| {
                String::from_utf8_lossy(record.value.as_ref().unwrap()).into_owned()
            }));
        }
        (seen, position)
    }

    #[test]
    fn a_reader_of_everything_sees_aborted_records_but_no_markers() {
        assert_eq!(read(log(), 0, None), ("abxycd".to_owned(), 9));
        assert_eq!(read(log(), 1, None), ("bxycd".to_owned(), 9));
        assert_eq!(read(log(), 6, None), ("d".to_owned(), 9));
    }

    #[test]
    fn a_reader_of_committed_records_is_spared_what_was_aborted() {
        let aborted = || {
            Some(vec![AbortedTransaction {
                producer_id: 7,
                first_offset: 2,
                ..Default::default()
            }])
        };
        assert_eq!(read(log(), 0, aborted()), ("abcd".to_owned(), 9));
        assert_eq!(read(log(), 3, aborted()), ("cd".to_owned(), 9));
    }

    #[test]
    fn a_torn_end_is_left_for_the_next_fetch_and_damage_is_told() {
        let log = log();
        assert_eq!(
            read(log.slice(..log.len() - 1), 0, None),
            ("abxycd".to_owned(), 8)
        );
        let mut damaged = BytesMut::from(&log[..]);
        damaged[70] ^= 1;
        assert!(
            Fetched::new("t".into(), 0, damaged.freeze(), None)
                .next(0)
                .is_err()
        );
    }
}
