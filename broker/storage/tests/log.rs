//! Appends, reads, rolls, retention, truncation and lookups on real files, with clean restarts and kills in between.

mod harness;

use harness::*;
use ottla_broker_storage::{Closed, LogConfig, RetentionPolicy};

fn value(i: i64, len: usize) -> Vec<u8> {
    let mut value = format!("record {i} ").into_bytes();
    value.resize(len, b'x');
    value
}

/// Small segments, so that everything crosses them.
fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 20_000,
        ..LogConfig::default()
    }
}

fn fill(owner: &mut Owner, id: ottla_broker_storage::LogId, count: i64) {
    let first = owner.set.log(id).expect("there").end();
    let mut at = first;
    while at < first + count {
        let many = (at % 7 + 1).min(first + count - at);
        let values: Vec<Vec<u8>> = (at..at + many)
            .map(|i| value(i, 100 + (i % 13) as usize * 100))
            .collect();
        let refs: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let now_ms = owner.now_ms;
        owner.append(id, batch(now_ms + at, &refs));
        at += many;
        if at % 5 == 0 {
            owner.flush();
        }
    }
    owner.flush();
}

fn check_all(owner: &Owner, id: ottla_broker_storage::LogId, from: i64, end: i64) {
    for bytes_max in [1, 5000, 1 << 20] {
        let records = owner.consume(id, from, bytes_max);
        let offsets: Vec<i64> = records.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(
            offsets,
            (from..end).collect::<Vec<_>>(),
            "with {bytes_max} bytes at a time"
        );
        for (offset, found) in records {
            assert_eq!(found, value(offset, 100 + (offset % 13) as usize * 100));
        }
    }
}

#[test]
fn every_record_comes_back_across_segments_hot_cold_stopped_and_killed() {
    let root = scratch();
    let mut owner = Owner::open_with(root.path(), small());
    let id = owner.create("orders");
    fill(&mut owner, id, 1000);
    assert!(owner.set.log(id).expect("there").segment_count() > 10);
    check_all(&owner, id, 0, 1000);
    owner.crash();
    let mut owner = Owner::open_with(root.path(), small());
    assert!(!owner.was_clean);
    let id = owner.find("orders");
    check_all(&owner, id, 0, 1000);
    fill(&mut owner, id, 500);
    owner.pass(60_000);
    fill(&mut owner, id, 500);
    check_all(&owner, id, 0, 2000);
    owner.crash();
    let mut owner = Owner::open_with(root.path(), small());
    let id = owner.find("orders");
    check_all(&owner, id, 0, 2000);
    fill(&mut owner, id, 100);
    assert_eq!(owner.close(42), Closed::ForKafka);
    let owner = Owner::open_with(root.path(), small());
    assert!(owner.was_clean);
    assert_eq!(owner.previous_broker_epoch, Some(42));
    let id = owner.find("orders");
    check_all(&owner, id, 0, 2100);
    for from in (0..2100).step_by(21) {
        let fetched = owner.fetch(id, from, 3000);
        let first = decode(&fetched)
            .into_iter()
            .find(|(offset, _)| *offset >= from)
            .expect("not empty");
        assert_eq!(first.0, from);
    }
    owner.crash();
}

#[test]
fn retention_takes_whole_segments_and_survives_a_kill() {
    let root = scratch();
    let retention = Some(RetentionPolicy {
        age_max_ms: None,
        bytes_max: Some(50_000),
    });
    let config = LogConfig {
        retention,
        file_delete_delay_ms: 0,
        ..small()
    };
    let mut owner = Owner::open_with(root.path(), config);
    let id = owner.create("orders");
    fill(&mut owner, id, 600);
    owner.pass(600_000);
    let (start, size) = {
        let log = owner.set.log(id).expect("there");
        (log.log_start(), log.size_bytes())
    };
    assert!(
        start > 0 && (50_000..75_000).contains(&size),
        "{start} {size}"
    );
    owner.pass(2000);
    owner.pass(2000);
    check_all(&owner, id, start, 600);
    let files = std::fs::read_dir(owner.log_path(id))
        .expect("listed")
        .count();
    owner.crash();
    let owner = Owner::open_with(root.path(), config);
    let id = owner.find("orders");
    assert_eq!(owner.set.log(id).expect("there").log_start(), start);
    assert_eq!(owner.set.log(id).expect("there").damage(), None);
    assert!(
        std::fs::read_dir(owner.log_path(id))
            .expect("listed")
            .count()
            <= files
    );
    check_all(&owner, id, start, 600);
}

#[test]
fn records_of_old_age_go_with_the_active_segment() {
    let root = scratch();
    let retention = Some(RetentionPolicy {
        age_max_ms: Some(1000),
        bytes_max: None,
    });
    let config = LogConfig {
        retention,
        file_delete_delay_ms: 0,
        ..small()
    };
    let mut owner = Owner::open_with(root.path(), config);
    let id = owner.create("orders");
    fill(&mut owner, id, 100);
    owner.pass(600_000);
    owner.flush();
    assert_eq!(owner.set.log(id).expect("there").log_start(), 100);
    owner.pass(2000);
    owner.crash();
    let mut owner = Owner::open_with(root.path(), config);
    let id = owner.find("orders");
    let log = owner.set.log(id).expect("there");
    assert_eq!((log.log_start(), log.end(), log.damage()), (100, 100, None));
    fill(&mut owner, id, 10);
    check_all(&owner, id, 100, 110);
    assert_eq!(owner.close(1), Closed::ForKafka);
    let owner = Owner::open_with(root.path(), config);
    let id = owner.find("orders");
    check_all(&owner, id, 100, 110);
}

#[test]
fn deleted_records_stay_deleted() {
    let root = scratch();
    let mut owner = Owner::open_with(root.path(), small());
    let id = owner.create("orders");
    fill(&mut owner, id, 300);
    assert!(owner.set.delete_records(id, 301, owner.now_ms).is_err());
    assert_eq!(owner.set.delete_records(id, 123, owner.now_ms), Ok(123));
    assert_eq!(owner.set.delete_records(id, 50, owner.now_ms), Ok(123));
    owner.append(id, batch(1300, &[&value(300, 200)]));
    owner.flush();
    owner.crash();
    let owner = Owner::open_with(root.path(), small());
    let id = owner.find("orders");
    assert_eq!(owner.set.log(id).expect("there").log_start(), 123);
    check_all(&owner, id, 123, 301);
    assert!(owner.set.read(id, 122, 100, 200).is_err());
    assert_eq!(owner.close(1), Closed::ForKafka);
    let owner = Owner::open_with(root.path(), small());
    let id = owner.find("orders");
    check_all(&owner, id, 123, 301);
}

#[test]
fn truncation_goes_back_to_a_batch_boundary_and_forward_again() {
    use ottla_broker_storage::disk::block_on;
    let root = scratch();
    let mut owner = Owner::open_with(root.path(), small());
    let id = owner.create("orders");
    fill(&mut owner, id, 300);
    for (to, crash) in [(250, false), (249, true), (100, true), (3, false)] {
        let now_ms = owner.now_ms;
        let end = block_on(owner.set.truncate_to(id, to, now_ms)).expect("truncated");
        assert!(end <= to && end > to - 7, "{end}");
        fill(&mut owner, id, 60);
        if crash {
            owner.crash();
            owner = Owner::open_with(root.path(), small());
        }
        check_all(&owner, owner.find("orders"), 0, end + 60);
    }
    let now_ms = owner.now_ms;
    let begun = owner.set.truncate_fully_and_start_at(id, 1000, now_ms);
    block_on(begun).expect("begun anew");
    fill(&mut owner, id, 50);
    owner.crash();
    let owner = Owner::open_with(root.path(), small());
    let id = owner.find("orders");
    assert_eq!(owner.set.log(id).expect("there").log_start(), 1000);
    check_all(&owner, id, 1000, 1050);
    assert_eq!(owner.close(1), Closed::ForKafka);
}
