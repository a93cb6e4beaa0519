//! The moments when a directory changes hands: a clean stop gives it to Apache Kafka, a start takes it back. Kafka takes a
//! log's start from its first segment and knows no manifest, so what it must not find has to be gone for good before it may
//! look, and a start that is cut short must not forget what only the manifest says. Not here: random histories (power.rs).

mod harness;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::power::{Dice, PowerDisk};
use harness::*;
use ottla_broker_storage::disk::{Disk, DiskOp, DiskOutcome, Lane, block_on};
use ottla_broker_storage::{Closed, Damage, LogConfig};

const ROOT: &str = "/data";

fn open(disk: &Arc<PowerDisk>) -> Owner {
    let opened = try_open_on(disk.clone(), Path::new(ROOT), options()).expect("opens");
    Owner::of(opened, config())
}

/// A few records to a segment.
fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        ..LogConfig::default()
    }
}

fn segments(disk: &PowerDisk, topic: &str) -> Vec<String> {
    let dir = PathBuf::from(ROOT).join(format!("{topic}-0"));
    match block_on(disk.submit(Lane::Any, DiskOp::List(dir))).expect("listed") {
        DiskOutcome::Entries(entries) => entries
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| name.ends_with(".log"))
            .collect(),
        _ => unreachable!("a list is answered with entries"),
    }
}

fn forty_records(owner: &mut Owner, topic: &str) {
    let id = owner.create(topic);
    for _ in 0..40 {
        owner.append(id, batch(owner.now_ms, &[&[b'v'; 300]]));
        owner.flush();
    }
}

#[test]
fn a_power_cut_after_a_clean_stop_brings_no_deleted_segment_back() {
    let disk = PowerDisk::new();
    let mut owner = open(&disk);
    forty_records(&mut owner, "orders");
    owner.pass(60_000);
    owner.pass(1);
    assert_eq!(segments(&disk, "orders").len(), 8);
    let id = owner.find("orders");
    // Where a segment begins: Kafka's checkpoint of log starts does not name such a log.
    let start = owner.set.delete_records(id, 35, owner.now_ms);
    assert_eq!(start.expect("below the high watermark"), 35);
    assert_eq!(owner.close(7), Closed::ForKafka);
    let left = segments(&disk, "orders");
    assert_eq!(left, ["00000000000000000035.log"]);
    for seed in 1..40 {
        let found = segments(&disk.after_power_cut(&mut Dice(seed)), "orders");
        assert_eq!(found, left, "dice {seed}");
    }
}

#[test]
fn a_start_that_is_cut_short_does_not_forget_that_a_log_is_missing() {
    let disk = PowerDisk::new();
    let mut owner = open(&disk);
    forty_records(&mut owner, "orders");
    forty_records(&mut owner, "payments");
    assert_eq!(owner.close(7), Closed::ForKafka);
    let root = PathBuf::from(ROOT);
    let loss = DiskOp::Sequence(vec![
        DiskOp::RemoveTree(root.join("payments-0")),
        DiskOp::SyncDir(root),
    ]);
    block_on(disk.submit(Lane::Any, loss)).expect("removed");
    let missing = |owner: &Owner| {
        let log = owner.set.log(owner.find("payments")).expect("there");
        let damage = log.damage().expect("noticed").to_string();
        let expected = Damage::MissingDirectory("payments-0".to_owned());
        assert_eq!(damage, expected.to_string());
        assert_eq!(owner.previous_broker_epoch, None);
    };
    let mut cuts = 0;
    loop {
        let life = disk.after_kill();
        life.cut_power_after(cuts);
        let opened = try_open_on(life.clone(), Path::new(ROOT), options());
        let is_through = opened.is_ok();
        drop(opened);
        missing(&open(&life.after_kill()));
        missing(&open(&life.after_power_cut(&mut Dice(cuts + 1))));
        if is_through {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "only {cuts} operations");
}
