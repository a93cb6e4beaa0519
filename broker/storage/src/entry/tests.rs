//! Entries read back, and no bytes make the reader panic.

use super::*;
use ottla_protocol::records::{Attributes, BatchHeader, EndTxnMarker};
use proptest::prelude::*;

pub(crate) fn sample() -> Entry {
    let mut state = LogState::new(100, 5);
    let mut header = BatchHeader {
        base_offset: 100,
        batch_length: 5000,
        partition_leader_epoch: 3,
        crc: 0,
        attributes: Attributes::default().with_transactional(true),
        last_offset_delta: 9,
        base_timestamp: 1000,
        max_timestamp: 1500,
        producer_id: 77,
        producer_epoch: 2,
        base_sequence: 0,
        record_count: 10,
    };
    for at in 0..8 {
        header.base_offset = 100 + at * 10;
        header.base_sequence = at as i32 * 10;
        header.producer_id = 77 + at % 2;
        state.append(&header, None, 4096);
        if at == 3 {
            state.roll(header.next_offset(), 6);
        }
    }
    header.base_offset = 180;
    header.last_offset_delta = 0;
    header.attributes = header.attributes.with_control(true);
    state.append(
        &header,
        Some(&EndTxnMarker {
            commit: true,
            coordinator_epoch: 4,
        }),
        4096,
    );
    state.raise_start(105, 110);
    Entry {
        id: LogId(9),
        name: LogName::new("orders", 4),
        topic_id: Uuid([3; 16]),
        has_dir: true,
        durability: Durability::PageCache,
        is_stale_for_kafka: true,
        high_watermark: 150,
        damage: Some(Damage::Noted("a hole".to_owned())),
        state,
    }
}

#[test]
fn entries_read_back() {
    let entry = sample();
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    assert_eq!(Entry::decode(&mut &bytes[..]).as_ref(), Ok(&entry));
    for cut in 0..bytes.len() {
        assert!(Entry::decode(&mut &bytes[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_without_panic(at in 0usize..400, with in any::<[u8; 8]>()) {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        let at = at.min(bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&with);
        let _ = Entry::decode(&mut &bytes[..]);
    }
}
