//! A log's state through appends, rolls and retention.

use super::*;
use crate::index::OffsetEntry;
use crate::segment::SegmentLimits;
use ottla_protocol::records::Attributes;

const INTERVAL: u32 = 4096;
const LIMITS: SegmentLimits = SegmentLimits {
    bytes_max: 10_000,
    index_bytes_max: 1 << 20,
};

fn header(base_offset: i64, count: i32, size: usize, epoch: i32, timestamp: i64) -> BatchHeader {
    BatchHeader {
        base_offset,
        batch_length: size as i32 - 12,
        partition_leader_epoch: epoch,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: count - 1,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: count,
    }
}

#[test]
fn index_entries_point_at_batches_behind_the_interval() {
    let mut state = LogState::new(0, 5);
    let mut found = Vec::new();
    for i in 0..6 {
        // The third batch is the latest; later entries add nothing to the time index.
        let timestamp = if i == 2 { 900 } else { 100 + i };
        let appended = state.append(&header(i * 10, 10, 3000, 0, timestamp), None, INTERVAL);
        found.extend(
            appended
                .indexed
                .offset
                .map(|entry| (entry, appended.indexed.time)),
        );
    }
    assert_eq!(
        found,
        [
            (
                OffsetEntry {
                    offset: 29,
                    position: 6000
                },
                Some(TimeEntry {
                    timestamp: 900,
                    offset: 29
                })
            ),
            (
                OffsetEntry {
                    offset: 49,
                    position: 12_000
                },
                None
            ),
        ]
    );
    assert_eq!(
        (
            state.active.index_entries,
            state.active.time_entries,
            state.active.len
        ),
        (2, 1, 18_000)
    );
    assert_eq!(state.roll(60, 7), None);
    assert_eq!(state.sealed[0].retention_ms(), 900);
}

#[test]
fn rolls_by_size_time_and_offset_range() {
    let mut segment = Segment::new(100, 0);
    assert!(
        segment.has_room(50_000, 100, &LIMITS),
        "an empty segment takes any batch"
    );
    segment.append(&header(100, 1, 9000, 0, 1000), INTERVAL);
    assert!(segment.has_room(1000, 101, &LIMITS));
    assert!(!segment.has_room(1001, 101, &LIMITS));
    assert!(!segment.has_room(100, 101 + i64::from(i32::MAX), &LIMITS));
    assert!(!segment.is_old(Some(1500), 0, 500));
    assert!(segment.is_old(Some(1501), 0, 500));
    assert!(
        segment.is_old(None, 501, 500),
        "the clock counts from its making"
    );
}

#[test]
fn retention_forgets_whole_segments_and_keeps_the_active_one() {
    let mut state = LogState::new(0, 0);
    for i in 0..4 {
        state.append(&header(i * 10, 10, 100, i as i32, 1), None, INTERVAL);
        state.roll((i + 1) * 10, 0);
    }
    let gone: Vec<i64> = state
        .raise_start(25, 25)
        .iter()
        .map(|segment| segment.base_offset)
        .collect();
    assert_eq!(gone, [0, 10]);
    assert_eq!(
        (
            state.log_start,
            state.local_start,
            state.epochs.entries()[0].start_offset
        ),
        (25, 25, 25)
    );
    assert_eq!(state.raise_start(40, 40).len(), 2);
    assert_eq!((state.segments().count(), state.end()), (1, 40));
    assert!(
        state.raise_start(10, 10).is_empty(),
        "a start never goes back"
    );
    assert_eq!(state.log_start, 40);
}
