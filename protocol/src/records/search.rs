//! Time lookups inside one batch, for ListOffsets and the time index.
//!
//! Kafka answers with a record, not with a batch: the first record at or after a time. Not here: which batch to
//! look into (broker/storage).

use super::batch::BatchView;
use super::record::RecordError;

/// A record's place in time and in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAtTime {
    /// Offset of the record.
    pub offset: i64,
    /// Its timestamp in ms.
    pub timestamp: i64,
}

/// The first record from `offset_min` on whose timestamp is at least `timestamp`. Decompresses at most `bytes_max`, and only
/// as far as it must; a batch whose maxTimestamp is earlier is not opened.
pub fn first_at_or_after(
    batch: &BatchView,
    timestamp: i64,
    offset_min: i64,
    bytes_max: usize,
) -> Result<Option<OffsetAtTime>, RecordError> {
    if batch.header().max_timestamp < timestamp || batch.header().last_offset() < offset_min {
        return Ok(None);
    }
    find(batch, bytes_max, |record| {
        record.timestamp >= timestamp && record.offset >= offset_min
    })
}

/// The first record that has the batch's largest timestamp (`ListOffsets` with timestamp -3, KIP-734).
/// `None` for an empty batch, or one whose maxTimestamp no record has (seen after compaction).
pub fn offset_of_max_timestamp(
    batch: &BatchView,
    bytes_max: usize,
) -> Result<Option<OffsetAtTime>, RecordError> {
    let max = batch.header().max_timestamp;
    find(batch, bytes_max, |record| record.timestamp == max)
}

fn find(
    batch: &BatchView,
    bytes_max: usize,
    wanted: impl Fn(OffsetAtTime) -> bool,
) -> Result<Option<OffsetAtTime>, RecordError> {
    let mut records = batch.stream(bytes_max)?;
    while let Some(record) = records.next()? {
        let place = OffsetAtTime {
            offset: record.offset,
            timestamp: record.timestamp,
        };
        if wanted(place) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
