//! Tests of `control`.

use super::*;
use crate::records::{BatchView, NO_SEQUENCE};

fn only(batch: Bytes, read: impl Fn(ControlRecord<'_>)) {
    let view = BatchView::new(batch).unwrap();
    view.check_crc().unwrap();
    assert!(view.header().attributes.is_control());
    let records = view.records(1 << 20).unwrap();
    for record in &records {
        read(ControlRecord::parse(&record.unwrap()).unwrap());
    }
}

#[test]
fn types_keep_their_numbers() {
    for id in -1..9 {
        assert_eq!(ControlType::from_id(id).id(), id);
    }
    assert_eq!(ControlType::KRaftVoters.key(), [0, 0, 0, 6]);
    assert_eq!(ControlType::from_id(7), ControlType::Unknown(7));
}

#[test]
fn markers_round_trip() {
    for commit in [true, false] {
        let marker = EndTxnMarker {
            commit,
            coordinator_epoch: 17,
        };
        let batch = marker.batch(5, 3, 1000);
        let header = *BatchView::new(batch.clone()).unwrap().header();
        assert!(header.attributes.is_transactional());
        assert_eq!(
            (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence
            ),
            (5, 3, NO_SEQUENCE)
        );
        only(batch, |record| {
            assert_eq!(EndTxnMarker::parse(&record), Ok(marker))
        });
    }
}

#[test]
fn several_records_in_one_batch() {
    let batch = control_batch(
        BatchOptions {
            base_offset: 4,
            ..BatchOptions::default()
        },
        1,
        &[
            (ControlType::SnapshotHeader, &[0, 1]),
            (ControlType::KRaftVersion, &[0, 2]),
        ],
    );
    only(batch, |record| {
        assert_eq!(
            record.offset,
            if record.control_type == ControlType::SnapshotHeader {
                4
            } else {
                5
            }
        );
        assert!(matches!(
            EndTxnMarker::parse(&record),
            Err(ControlError::NotEndTxn { .. })
        ));
    });
}

#[test]
fn bad_keys_and_values() {
    let record = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| Record {
        offset: 8,
        timestamp: 0,
        sequence: -1,
        offset_delta: 0,
        key,
        value,
        headers: Default::default(),
        size: 0,
    };
    let parse = |key, value| ControlRecord::parse(&record(key, value)).map(|r| r.control_type);
    assert_eq!(
        parse(None, None),
        Err(ControlError::Key { offset: 8, len: 0 })
    );
    assert_eq!(
        parse(Some(b"\0\0\0"), None),
        Err(ControlError::Key { offset: 8, len: 3 })
    );
    assert_eq!(
        parse(Some(b"\xff\xff\0\0"), None),
        Err(ControlError::Version {
            offset: 8,
            version: -1
        })
    );
    assert_eq!(
        parse(Some(b"\0\0\0\x01"), None),
        Err(ControlError::Value { offset: 8 })
    );
    // A later key version may be longer.
    assert_eq!(
        parse(Some(b"\0\x01\0\x01more"), Some(b"")),
        Ok(ControlType::Commit)
    );
    let short = ControlRecord {
        offset: 8,
        control_type: ControlType::Commit,
        value: &[0, 0, 0],
    };
    assert_eq!(
        EndTxnMarker::parse(&short),
        Err(ControlError::Value { offset: 8 })
    );
}
