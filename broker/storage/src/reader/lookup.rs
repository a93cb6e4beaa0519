//! Lookups that look into records or into index files: offsets by time, the latest record, aborted transactions.

use ottla_protocol::records::{
    BatchView, OffsetAtTime, RecordError, first_at_or_after, offset_of_max_timestamp,
};

use super::{ReadError, Segments};
use crate::cursor::WalkError;
use crate::epochs::EpochCache;
use crate::index::parse_txn_index;
use crate::names::SegmentFile;
use crate::producers::AbortedTxn;
use crate::segment::Segment;

/// A record's place in time, in the log, and among leader epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetInTime {
    /// Offset of the record.
    pub offset: i64,
    /// Its timestamp, ms.
    pub timestamp: i64,
    /// Leader epoch of its batch, if known.
    pub leader_epoch: Option<i32>,
}

/// A log as it was when the snapshot was taken. Holds all it needs; use it anywhere.
pub struct LogReader {
    pub(crate) segments: Segments,
    /// Batches that no segment file has yet.
    pub(crate) unwritten: Vec<BatchView>,
    pub(crate) log_start: i64,
    pub(crate) epochs: EpochCache,
    /// Aborted transactions that are in no index file yet.
    pub(crate) recent_txns: Vec<AbortedTxn>,
    /// Most bytes that one batch may take when it is decompressed.
    pub(crate) decompressed_bytes_max: usize,
}

impl LogReader {
    /// The first record below `upper` whose timestamp is at least `timestamp` (ListOffsets). Searches by record, not by batch.
    pub async fn offset_for_time(
        &self,
        timestamp: i64,
        upper: i64,
    ) -> Result<Option<OffsetInTime>, ReadError> {
        for index in self.segments.index_of(self.log_start)..self.segments.len() {
            let segment = self.segments.at(index);
            if segment.base_offset >= upper {
                return Ok(None);
            }
            if segment.latest.timestamp >= timestamp
                && let Some(found) = self.find_in(segment, timestamp).await?
            {
                return Ok(self.placed(found, upper));
            }
        }
        for batch in &self.unwritten {
            let found = first_at_or_after(
                batch,
                timestamp,
                self.log_start,
                self.decompressed_bytes_max,
            );
            if let Some(found) =
                found.map_err(|error| self.bad_record(&self.segments.active, 0, error))?
            {
                return Ok(self.placed(found, upper));
            }
        }
        Ok(None)
    }

    async fn find_in(
        &self,
        segment: &Segment,
        timestamp: i64,
    ) -> Result<Option<OffsetAtTime>, ReadError> {
        let after = self
            .segments
            .before_time(segment, timestamp)
            .await?
            .unwrap_or(segment.base_offset);
        if after >= self.segments.written_end {
            return Ok(None);
        }
        let position = self
            .segments
            .position_of(segment, after.max(self.log_start))
            .await?;
        let failed = |error| self.segments.failed(segment, error);
        let mut cursor = self.segments.walk(segment, position);
        while let Some(header) = cursor.peek().await.map_err(failed)? {
            if header.max_timestamp < timestamp || header.last_offset() < self.log_start {
                cursor.next_header().await.map_err(failed)?;
                continue;
            }
            let Some(found) = cursor.next_batch().await.map_err(failed)? else {
                return Ok(None);
            };
            let position = found.position;
            found
                .batch
                .check_crc()
                .map_err(|what| failed(WalkError::Bad { position, what }))?;
            let record = first_at_or_after(
                &found.batch,
                timestamp,
                self.log_start,
                self.decompressed_bytes_max,
            );
            if let Some(record) =
                record.map_err(|error| self.bad_record(segment, position, error))?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp below `upper`; the first of several (KIP-734).
    pub async fn latest(&self, upper: i64) -> Result<Option<OffsetInTime>, ReadError> {
        let mut latest: Option<(i64, BatchAt)> = None;
        for index in self.segments.index_of(self.log_start)..self.segments.len() {
            let segment = self.segments.at(index);
            let best = latest.as_ref().map_or(-1, |(timestamp, _)| *timestamp);
            if segment.latest.timestamp > best && segment.base_offset < upper {
                let found = self.latest_in(segment, best, upper).await?;
                latest = found.or(latest);
            }
        }
        for (at, batch) in self.unwritten.iter().enumerate() {
            let best = latest.as_ref().map_or(-1, |(timestamp, _)| *timestamp);
            if batch.header().max_timestamp > best && batch.header().next_offset() <= upper {
                latest = Some((batch.header().max_timestamp, BatchAt::Unwritten(at)));
            }
        }
        let Some((_, place)) = latest else {
            return Ok(None);
        };
        let (batch, segment) = match place {
            BatchAt::Unwritten(at) => (self.unwritten[at].clone(), &self.segments.active),
            BatchAt::Written(batch, index) => (batch, self.segments.at(index)),
        };
        let record = offset_of_max_timestamp(&batch, self.decompressed_bytes_max);
        let record = record.map_err(|error| self.bad_record(segment, 0, error))?;
        Ok(record.and_then(|record| self.placed(record, upper)))
    }

    /// The first batch of a segment with the largest timestamp above `best`. Most often the time index ends with it; only a
    /// log whose latest records are not committed yet is walked further.
    async fn latest_in(
        &self,
        segment: &Segment,
        best: i64,
        upper: i64,
    ) -> Result<Option<(i64, BatchAt)>, ReadError> {
        let failed = |error| self.segments.failed(segment, error);
        let is_whole = segment.end_offset <= upper.min(self.segments.written_end);
        let position = if is_whole {
            self.segments
                .position_of(segment, segment.latest.offset)
                .await?
        } else {
            0
        };
        let mut cursor = self.segments.walk(segment, position);
        let (mut best, mut found) = (best, None);
        while let Some(header) = cursor.peek().await.map_err(failed)? {
            if header.next_offset() > upper {
                break;
            }
            if header.max_timestamp <= best || header.last_offset() < self.log_start {
                cursor.next_header().await.map_err(failed)?;
                continue;
            }
            let Some(next) = cursor.next_batch().await.map_err(failed)? else {
                break;
            };
            let position = next.position;
            next.batch
                .check_crc()
                .map_err(|what| failed(WalkError::Bad { position, what }))?;
            best = header.max_timestamp;
            found = Some((
                best,
                BatchAt::Written(next.batch, self.segments.index_of(header.base_offset)),
            ));
            if is_whole && best == segment.latest.timestamp {
                break;
            }
        }
        Ok(found)
    }

    /// Aborted transactions that a read-committed consumer of `from..to` must know (Fetch), by first offset.
    pub async fn aborted_transactions(
        &self,
        from: i64,
        to: i64,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        let mut aborted = Vec::new();
        for index in self.segments.index_of(from)..self.segments.len() {
            let segment = self.segments.at(index);
            if segment.txn_entries == 0 {
                continue;
            }
            let path = self.segments.path(segment, SegmentFile::TxnIndex);
            let bytes =
                crate::atomic_file::read(&*self.segments.disk, crate::disk::Lane::Any, &path).await;
            let bytes = bytes
                .map_err(|error| ReadError::Io {
                    path: path.clone(),
                    error,
                })?
                .unwrap_or_default();
            let entries = parse_txn_index(&bytes).ok_or_else(|| ReadError::Corrupt {
                path,
                position: 0,
                what: "not a transaction index".to_owned(),
            })?;
            aborted.extend(entries.into_iter().filter(|txn| overlaps(txn, from, to)));
        }
        aborted.extend(
            self.recent_txns
                .iter()
                .filter(|txn| overlaps(txn, from, to)),
        );
        aborted.sort_by_key(|txn| txn.first_offset);
        aborted.dedup();
        Ok(aborted)
    }

    fn placed(&self, found: OffsetAtTime, upper: i64) -> Option<OffsetInTime> {
        let OffsetAtTime { offset, timestamp } = found;
        (offset < upper).then(|| OffsetInTime {
            offset,
            timestamp,
            leader_epoch: self.epochs.epoch_of(offset),
        })
    }

    fn bad_record(&self, segment: &Segment, position: u64, error: RecordError) -> ReadError {
        ReadError::Corrupt {
            path: self.segments.path(segment, SegmentFile::Log),
            position,
            what: error.to_string(),
        }
    }
}

enum BatchAt {
    Written(BatchView, usize),
    Unwritten(usize),
}

fn overlaps(txn: &AbortedTxn, from: i64, to: i64) -> bool {
    txn.last_offset >= from && txn.first_offset < to
}
