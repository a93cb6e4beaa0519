//! What is known of one segment without reading it: where it begins and ends, its times, its index entries.
//!
//! Pure. The same code runs when a leader appends, when the commit log is replayed and when a segment is scanned,
//! so all three arrive at the same bytes. Not here: files.

use ottla_protocol::records::BatchHeader;

use crate::index::{OffsetEntry, TimeEntry};

/// Timestamp of an empty segment.
pub const NO_TIMESTAMP: i64 = -1;

/// One segment. Everything a sealed one needs to be checked and read without touching its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First offset that it may hold; its name.
    pub base_offset: i64,
    /// Offset after its last batch; the base offset while it is empty.
    pub end_offset: i64,
    /// Bytes of its log file.
    pub len: u32,
    /// When it was made, wall-clock ms.
    pub created_ms: i64,
    /// maxTimestamp of its first batch: what `segment.ms` counts from.
    pub first_timestamp: i64,
    /// Largest timestamp and the last offset of the batch that has it.
    pub latest: TimeEntry,
    /// Entries of the offset index.
    pub index_entries: u32,
    /// Entries of the time index.
    pub time_entries: u32,
    /// Timestamp of the last entry of the time index.
    pub time_indexed: i64,
    /// Entries of the transaction index.
    pub txn_entries: u32,
    /// Bytes since the last entry of the offset index.
    pub bytes_unindexed: u32,
}

/// Index entries that an append made due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// For `.index`.
    pub offset: Option<OffsetEntry>,
    /// For `.timeindex`.
    pub time: Option<TimeEntry>,
}

impl Segment {
    /// An empty segment.
    pub fn new(base_offset: i64, now_ms: i64) -> Self {
        Self {
            base_offset,
            end_offset: base_offset,
            len: 0,
            created_ms: now_ms,
            first_timestamp: NO_TIMESTAMP,
            latest: TimeEntry {
                timestamp: NO_TIMESTAMP,
                offset: base_offset,
            },
            index_entries: 0,
            time_entries: 0,
            time_indexed: NO_TIMESTAMP,
            txn_entries: 0,
            bytes_unindexed: 0,
        }
    }

    /// A batch goes to the end.
    pub fn append(&mut self, header: &BatchHeader, index_interval_bytes: u32) -> Indexed {
        assert!(
            header.base_offset >= self.end_offset,
            "offsets ascend inside a segment"
        );
        if self.len == 0 {
            self.first_timestamp = header.max_timestamp;
        }
        if header.max_timestamp > self.latest.timestamp {
            self.latest = TimeEntry {
                timestamp: header.max_timestamp,
                offset: header.last_offset(),
            };
        }
        let mut indexed = Indexed::default();
        if self.bytes_unindexed > index_interval_bytes {
            self.index_entries += 1;
            self.bytes_unindexed = 0;
            indexed.offset = Some(OffsetEntry {
                offset: header.last_offset(),
                position: self.len,
            });
            indexed.time = self.index_time();
        }
        self.len += header.size() as u32;
        self.bytes_unindexed += header.size() as u32;
        self.end_offset = header.next_offset();
        indexed
    }

    /// The entry that the time index ends with when the segment is sealed or the log closed, unless it has it already.
    pub fn index_time(&mut self) -> Option<TimeEntry> {
        if self.latest.timestamp <= self.time_indexed {
            return None;
        }
        self.time_indexed = self.latest.timestamp;
        self.time_entries += 1;
        Some(self.latest)
    }

    /// Whether a batch of `size` bytes still fits: by bytes, by index, and by Kafka's 32-bit relative offsets.
    pub fn has_room(&self, size: usize, last_offset: i64, limits: &SegmentLimits) -> bool {
        let fits =
            self.len == 0 || u64::from(self.len) + size as u64 <= u64::from(limits.bytes_max);
        let indexes = self.index_entries < limits.index_bytes_max / 8
            && self.time_entries + 1 < limits.index_bytes_max / 12;
        fits && indexes && last_offset - self.base_offset <= i64::from(i32::MAX)
    }

    /// Whether it has been open for `segment.ms`, seen from a batch with `timestamp` (`None`: from the clock).
    pub fn is_old(&self, timestamp: Option<i64>, now_ms: i64, age_max_ms: i64) -> bool {
        let age = match timestamp {
            Some(timestamp) if self.first_timestamp != NO_TIMESTAMP => {
                timestamp.saturating_sub(self.first_timestamp)
            }
            _ => now_ms.saturating_sub(self.created_ms),
        };
        self.len > 0 && age > age_max_ms
    }

    /// The time that retention looks at: the largest timestamp, or when it was made if no record has one.
    pub fn retention_ms(&self) -> i64 {
        if self.latest.timestamp >= 0 {
            self.latest.timestamp
        } else {
            self.created_ms
        }
    }
}

/// When a segment is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLimits {
    /// `segment.bytes`.
    pub bytes_max: u32,
    /// `segment.index.bytes`.
    pub index_bytes_max: u32,
}
