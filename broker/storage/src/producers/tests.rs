//! Sequences and transactions of producers, as lines of batches and what becomes of them.

use super::*;
use expect_test::{Expect, expect};
use ottla_protocol::records::Attributes;
use std::fmt::Write;

/// A batch of `count` records from `offset` on.
fn batch(producer_id: i64, epoch: i16, sequence: i32, offset: i64, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: offset,
        batch_length: 100,
        partition_leader_epoch: 0,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: count - 1,
        base_timestamp: 1000,
        max_timestamp: 1000 + offset,
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        record_count: count,
    }
}

fn in_txn(mut header: BatchHeader) -> BatchHeader {
    header.attributes = header.attributes.with_transactional(true);
    header
}

fn marker(producer_id: i64, epoch: i16, offset: i64) -> BatchHeader {
    let mut header = in_txn(batch(producer_id, epoch, NO_SEQUENCE, offset, 1));
    header.attributes = header.attributes.with_control(true);
    header
}

const ABORT: EndTxnMarker = EndTxnMarker {
    commit: false,
    coordinator_epoch: 3,
};
const COMMIT: EndTxnMarker = EndTxnMarker {
    commit: true,
    coordinator_epoch: 3,
};

/// Sends batches as a client would, each at the next offset, and tells what became of each.
fn check(sends: &[(i64, i16, i32, i32)], expected: Expect) {
    let mut producers = Producers::default();
    let (mut end, mut text) = (0, String::new());
    for &(producer_id, epoch, sequence, count) in sends {
        let header = batch(producer_id, epoch, sequence, end, count);
        let _ = match producers.check(&header, Origin::Client) {
            Ok(Sequenced::New) => {
                producers.apply(&header);
                end = header.next_offset();
                writeln!(text, "{}..{}", header.base_offset, header.last_offset())
            }
            Ok(Sequenced::Duplicate(sent)) => {
                writeln!(text, "again: {}..{}", sent.first_offset(), sent.last_offset)
            }
            Err(error) => writeln!(text, "{error}"),
        };
    }
    expected.assert_eq(&text);
}

#[test]
fn retries_within_the_window_get_their_first_answer() {
    let mut sends: Vec<_> = (0..6).map(|i| (7, 0, i * 2, 2)).collect();
    sends.extend([(7, 0, 2, 2), (7, 0, 10, 2), (7, 0, 0, 2), (7, 0, 2, 3)]);
    check(
        &sends,
        expect![[r#"
            0..1
            2..3
            4..5
            6..7
            8..9
            10..11
            again: 2..3
            again: 10..11
            producer 7 epoch 0: sequence 0 where 12 was due
            producer 7 epoch 0: sequence 2 where 12 was due
        "#]],
    );
}

#[test]
fn epochs_fence_and_begin_at_zero() {
    check(
        &[
            (7, 3, 40, 1),
            (7, 2, 41, 1),
            (7, 4, 5, 1),
            (7, 4, 0, 1),
            (7, 3, 41, 1),
            (-1, -1, -1, 1),
        ],
        expect![[r#"
            0..0
            producer 7 is fenced: its epoch is 2, 3 has written already
            producer 7 epoch 4: sequence 5 where 0 was due
            1..1
            producer 7 is fenced: its epoch is 3, 4 has written already
            2..2
        "#]],
    );
}

#[test]
fn sequences_wrap_to_zero_not_below() {
    check(
        &[
            (7, 0, i32::MAX - 1, 2),
            (7, 0, 0, 3),
            (7, 0, i32::MAX - 1, 2),
            (8, 0, i32::MAX, 3),
            (8, 0, 2, 1),
            (8, 0, i32::MAX, 3),
        ],
        expect![[r#"
            0..1
            2..4
            again: 0..1
            5..7
            8..8
            again: 5..7
        "#]],
    );
}

#[test]
fn an_aborted_transaction_holds_the_last_stable_offset_until_settled() {
    let mut producers = Producers::default();
    producers.apply(&in_txn(batch(1, 0, 0, 10, 5)));
    producers.apply(&in_txn(batch(2, 0, 0, 15, 5)));
    producers.apply(&in_txn(batch(1, 0, 5, 20, 5)));
    assert_eq!(producers.first_unstable_offset(), Some(10));
    assert_eq!(
        producers.check(&batch(1, 0, 10, 25, 1), Origin::Client),
        Err(ProducerError::NotTransactional { producer_id: 1 })
    );
    let aborted = producers
        .apply_marker(&marker(1, 0, 25), &ABORT)
        .expect("aborted");
    assert_eq!(
        aborted,
        AbortedTxn {
            producer_id: 1,
            first_offset: 10,
            last_offset: 25,
            last_stable_offset: 15
        }
    );
    assert_eq!(producers.first_unstable_offset(), Some(10));
    producers.settle(25);
    assert_eq!(producers.first_unstable_offset(), Some(10));
    producers.settle(26);
    assert_eq!(producers.first_unstable_offset(), Some(15));
    assert_eq!(producers.apply_marker(&marker(2, 0, 26), &COMMIT), None);
    producers.settle(27);
    assert_eq!(producers.first_unstable_offset(), None);
    let old = EndTxnMarker {
        commit: true,
        coordinator_epoch: 2,
    };
    assert!(matches!(
        producers.check_marker(&marker(2, 0, 27), &old, Origin::Coordinator),
        Err(ProducerError::CoordinatorFenced {
            epoch: 2,
            current: 3,
            ..
        })
    ));
    assert_eq!(
        producers.check_marker(&marker(2, 0, 27), &old, Origin::Replication),
        Ok(())
    );
}

#[test]
fn after_a_marker_of_a_new_epoch_sequences_begin_at_zero() {
    let mut producers = Producers::default();
    producers.apply(&in_txn(batch(1, 0, 0, 0, 5)));
    producers.apply_marker(&marker(1, 1, 5), &ABORT);
    let next = |sequence| producers.check(&in_txn(batch(1, 1, sequence, 6, 1)), Origin::Client);
    assert!(matches!(
        next(5),
        Err(ProducerError::OutOfOrder { expected: 0, .. })
    ));
    assert_eq!(next(0), Ok(Sequenced::New));
}

#[test]
fn silent_producers_are_forgotten_but_not_inside_a_transaction() {
    let mut producers = Producers::default();
    producers.apply(&batch(1, 0, 0, 0, 1));
    producers.apply(&in_txn(batch(2, 0, 0, 1, 1)));
    producers.expire(1000 + 500, 500);
    assert_eq!(producers.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
    assert_eq!(
        producers.check(&batch(1, 0, 77, 2, 1), Origin::Client),
        Ok(Sequenced::New)
    );
}

#[test]
fn snapshots_read_back_with_a_window_of_one_and_damage_is_named() {
    let mut producers = Producers::default();
    producers.apply(&batch(1, 0, 0, 0, 2));
    producers.apply(&batch(1, 0, 2, 2, 2));
    producers.apply(&in_txn(batch(2, 5, 0, 4, 1)));
    producers.apply_marker(&marker(3, 1, 5), &COMMIT);
    let bytes = producers.to_snapshot();
    assert_eq!(bytes.len(), 10 + 3 * 46);
    let back = Producers::from_snapshot(&bytes).expect("whole");
    assert_eq!(back.find(1).expect("there").batches.len(), 1);
    assert_eq!(
        (back.find(2), back.find(3)),
        (producers.find(2), producers.find(3))
    );
    assert_eq!(back.first_unstable_offset(), Some(4));
    for cut in 0..bytes.len() {
        assert!(
            Producers::from_snapshot(&bytes[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert!(Producers::from_snapshot(&bad).is_err(), "flipped at {at}");
    }
}
