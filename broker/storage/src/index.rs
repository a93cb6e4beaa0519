//! The sparse indexes beside a segment: their entries, their bytes, and whether a file can be believed.
//!
//! `.index` holds (offset − base, position) as 8 bytes, `.timeindex` (timestamp, offset − base) as 12,
//! `.txnindex` aborted transactions as 34; all big-endian, ascending. They are caches: none has a checksum,
//! so a file that is not plausible is rebuilt from the segment. Pure. Not here: reading and writing them.

use bytes::{Buf, BufMut};

use crate::producers::AbortedTxn;

/// Bytes of one entry of an offset index.
pub const OFFSET_ENTRY_LEN: usize = 8;
/// Bytes of one entry of a time index.
pub const TIME_ENTRY_LEN: usize = 12;
/// Bytes of one entry of a transaction index.
pub const TXN_ENTRY_LEN: usize = 34;

const TXN_VERSION: i16 = 0;

/// The batch whose *last* offset is `offset` begins at `position` (Kafka 4.x indexes last offsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of a batch.
    pub offset: i64,
    /// Byte of the segment at which the batch begins.
    pub position: u32,
}

/// No record up to `offset` is later than `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Largest timestamp so far, ms.
    pub timestamp: i64,
    /// Last offset of the batch that has it.
    pub offset: i64,
}

/// Appends an entry's bytes.
pub fn put_offset_entry(out: &mut Vec<u8>, base_offset: i64, entry: OffsetEntry) {
    out.put_u32((entry.offset - base_offset) as u32);
    out.put_u32(entry.position);
}

/// Appends an entry's bytes.
pub fn put_time_entry(out: &mut Vec<u8>, base_offset: i64, entry: TimeEntry) {
    out.put_i64(entry.timestamp);
    out.put_u32((entry.offset - base_offset) as u32);
}

/// Appends an entry's bytes.
pub fn put_txn_entry(out: &mut Vec<u8>, txn: &AbortedTxn) {
    out.put_i16(TXN_VERSION);
    out.put_i64(txn.producer_id);
    out.put_i64(txn.first_offset);
    out.put_i64(txn.last_offset);
    out.put_i64(txn.last_stable_offset);
}

/// An offset index that was read whole.
#[derive(Clone, Copy, Debug)]
pub struct OffsetIndex<'a> {
    base_offset: i64,
    bytes: &'a [u8],
}

impl<'a> OffsetIndex<'a> {
    /// Believes `bytes` only if they are whole entries that strictly ascend and stay inside the segment.
    /// Zeroed, stale and foreign files fail here.
    pub fn checked(
        bytes: &'a [u8],
        base_offset: i64,
        end_offset: i64,
        segment_len: u32,
    ) -> Option<Self> {
        if !bytes.len().is_multiple_of(OFFSET_ENTRY_LEN) {
            return None;
        }
        let index = Self { base_offset, bytes };
        let mut last: Option<OffsetEntry> = None;
        for entry in index.entries() {
            let ascends = last
                .is_none_or(|last| entry.offset > last.offset && entry.position > last.position);
            if !ascends || entry.offset >= end_offset || entry.position >= segment_len {
                return None;
            }
            last = Some(entry);
        }
        Some(index)
    }

    fn len(&self) -> usize {
        self.bytes.len() / OFFSET_ENTRY_LEN
    }

    fn entry(&self, at: usize) -> OffsetEntry {
        let mut entry = &self.bytes[at * OFFSET_ENTRY_LEN..(at + 1) * OFFSET_ENTRY_LEN];
        OffsetEntry {
            offset: self.base_offset + i64::from(entry.get_u32()),
            position: entry.get_u32(),
        }
    }

    /// All entries, ascending.
    pub fn entries(&self) -> impl Iterator<Item = OffsetEntry> + 'a {
        let index = *self;
        (0..self.len()).map(move |at| index.entry(at))
    }

    /// The last entry whose offset is not larger than `offset`: where to begin looking for it.
    pub fn floor(&self, offset: i64) -> Option<OffsetEntry> {
        let after = partition_point(self.len(), |at| self.entry(at).offset <= offset);
        after.checked_sub(1).map(|at| self.entry(at))
    }

    /// The last entry.
    pub fn last(&self) -> Option<OffsetEntry> {
        self.len().checked_sub(1).map(|at| self.entry(at))
    }
}

/// A time index that was read whole.
#[derive(Clone, Copy, Debug)]
pub struct TimeIndex<'a> {
    base_offset: i64,
    bytes: &'a [u8],
}

impl<'a> TimeIndex<'a> {
    /// Believes `bytes` only if they are whole entries, timestamps strictly and offsets weakly ascending.
    pub fn checked(bytes: &'a [u8], base_offset: i64, end_offset: i64) -> Option<Self> {
        if !bytes.len().is_multiple_of(TIME_ENTRY_LEN) {
            return None;
        }
        let index = Self { base_offset, bytes };
        let mut last: Option<TimeEntry> = None;
        for entry in index.entries() {
            let ascends = last
                .is_none_or(|last| entry.timestamp > last.timestamp && entry.offset >= last.offset);
            if !ascends || entry.offset >= end_offset {
                return None;
            }
            last = Some(entry);
        }
        Some(index)
    }

    fn len(&self) -> usize {
        self.bytes.len() / TIME_ENTRY_LEN
    }

    fn entry(&self, at: usize) -> TimeEntry {
        let mut entry = &self.bytes[at * TIME_ENTRY_LEN..(at + 1) * TIME_ENTRY_LEN];
        TimeEntry {
            timestamp: entry.get_i64(),
            offset: self.base_offset + i64::from(entry.get_u32()),
        }
    }

    /// All entries, ascending.
    pub fn entries(&self) -> impl Iterator<Item = TimeEntry> + 'a {
        let index = *self;
        (0..self.len()).map(move |at| index.entry(at))
    }

    /// The last entry that is earlier than `timestamp`: no record up to its offset can be the answer.
    pub fn before(&self, timestamp: i64) -> Option<TimeEntry> {
        let after = partition_point(self.len(), |at| self.entry(at).timestamp < timestamp);
        after.checked_sub(1).map(|at| self.entry(at))
    }

    /// The last entry.
    pub fn last(&self) -> Option<TimeEntry> {
        self.len().checked_sub(1).map(|at| self.entry(at))
    }
}

/// Reads a transaction index; `None` when it is not plausible.
pub fn parse_txn_index(bytes: &[u8]) -> Option<Vec<AbortedTxn>> {
    if !bytes.len().is_multiple_of(TXN_ENTRY_LEN) {
        return None;
    }
    bytes
        .chunks_exact(TXN_ENTRY_LEN)
        .map(|mut entry| {
            let version = entry.get_i16();
            let txn = AbortedTxn {
                producer_id: entry.get_i64(),
                first_offset: entry.get_i64(),
                last_offset: entry.get_i64(),
                last_stable_offset: entry.get_i64(),
            };
            (version == TXN_VERSION && txn.first_offset < txn.last_offset).then_some(txn)
        })
        .collect()
}

/// How many of `0..len` are before the point where `is_before` turns false.
fn partition_point(len: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_and_befores() {
        let mut bytes = Vec::new();
        for i in 1..=100u32 {
            put_offset_entry(
                &mut bytes,
                1000,
                OffsetEntry {
                    offset: 1000 + i64::from(i) * 10,
                    position: i * 500,
                },
            );
        }
        let index = OffsetIndex::checked(&bytes, 1000, 2001, 60_000).expect("plausible");
        assert_eq!(index.floor(1009), None);
        assert_eq!(index.floor(1010).map(|e| e.position), Some(500));
        assert_eq!(index.floor(1019).map(|e| e.position), Some(500));
        assert_eq!(index.floor(9999), index.last());
        let mut bytes = Vec::new();
        for i in 0..10 {
            put_time_entry(
                &mut bytes,
                0,
                TimeEntry {
                    timestamp: i * 100,
                    offset: i,
                },
            );
        }
        let index = TimeIndex::checked(&bytes, 0, 10).expect("plausible");
        assert_eq!(index.before(0), None);
        assert_eq!(index.before(500).map(|e| e.offset), Some(4));
        assert_eq!(index.before(501).map(|e| e.offset), Some(5));
    }

    #[test]
    fn damaged_files_are_not_believed() {
        let mut bytes = Vec::new();
        for i in 1..=10u32 {
            put_offset_entry(
                &mut bytes,
                0,
                OffsetEntry {
                    offset: i64::from(i),
                    position: i * 100,
                },
            );
        }
        let checked = |bytes: &[u8]| OffsetIndex::checked(bytes, 0, 11, 1001).is_some();
        assert!(checked(&bytes));
        assert!(!checked(&bytes[..79]));
        for entry in 1..10 {
            let mut zeroed = bytes.clone();
            zeroed[entry * 8..entry * 8 + 8].fill(0);
            assert!(!checked(&zeroed), "entry {entry} zeroed");
        }
        assert!(
            OffsetIndex::checked(&bytes, 0, 10, 1001).is_none(),
            "an entry from the future"
        );
        assert!(
            OffsetIndex::checked(&bytes, 0, 11, 1000).is_none(),
            "a position behind the end"
        );
    }

    #[test]
    fn aborted_transactions_read_back() {
        let txn = AbortedTxn {
            producer_id: 4,
            first_offset: 10,
            last_offset: 20,
            last_stable_offset: 15,
        };
        let mut bytes = Vec::new();
        put_txn_entry(&mut bytes, &txn);
        assert_eq!(bytes.len(), TXN_ENTRY_LEN);
        assert_eq!(parse_txn_index(&bytes), Some(vec![txn]));
        assert_eq!(parse_txn_index(&bytes[1..]), None);
        assert_eq!(parse_txn_index(&[0; TXN_ENTRY_LEN]), None);
    }
}
