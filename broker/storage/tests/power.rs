//! Power cuts, kills, failing syncs and full disks, on a disk that keeps no promise it did not make. What was
//! acknowledged is there afterwards, in its place; what was not may be; nothing else ever is.

mod harness;

use std::path::Path;
use std::sync::Arc;

use harness::power::{Dice, PowerDisk};
use harness::*;
use ottla_broker_storage::disk::block_on;
use ottla_broker_storage::{
    AppendError, Closed, DirError, DirOptions, Durability, Health, Limits, LogConfig, LogId,
    Origin, RetentionPolicy,
};

const ROOT: &str = "/data";

fn limits(dice: &mut Dice) -> Limits {
    Limits {
        commit_log_bytes_max: 128 << 10,
        chunk_bytes_first: 16 << 10,
        chunk_bytes_max: 64 << 10,
        group_bytes_max: 1 << (11 + dice.below(5)),
        tail_bytes_max: 1 << (12 + dice.below(5)),
        write_out_bytes: 1 << (9 + dice.below(6)),
        write_out_ms: 1000,
        checkpoint_ms: 30_000,
        retention_check_ms: 300_000,
    }
}

fn options(dice: &mut Dice) -> DirOptions {
    DirOptions {
        limits: limits(dice),
        ..harness::options()
    }
}

fn config(durability: Durability) -> LogConfig {
    let retention = Some(RetentionPolicy {
        age_max_ms: None,
        bytes_max: Some(20_000),
    });
    LogConfig {
        segment_bytes: 6000,
        index_interval_bytes: 500,
        retention,
        file_delete_delay_ms: 500,
        durability,
        ..LogConfig::default()
    }
}

/// What the test knows of a log: every value ever appended, by offset, and how far it was acknowledged.
#[derive(Clone, Default)]
struct Known {
    values: Vec<Vec<u8>>,
    acknowledged: i64,
}

struct World {
    dice: Dice,
    disk: Arc<PowerDisk>,
    known: Vec<Known>,
    lives: u64,
}

impl World {
    fn open(&mut self, durability: Durability) -> Owner {
        let options = options(&mut self.dice);
        let opened =
            try_open_on(self.disk.clone(), Path::new(ROOT), options).expect("the directory opens");
        let mut owner = Owner::of(opened, config(durability));
        owner.now_ms += self.lives as i64 * 10_000_000;
        owner
    }

    fn id(owner: &Owner, log: usize) -> Option<LogId> {
        let name = format!("log{log}");
        owner
            .set
            .logs()
            .find(|(_, found)| *found.name().topic == *name)
            .map(|(id, _)| id)
    }

    /// Every acknowledged record is there and right; what is there beyond was at least sent.
    fn check(&mut self, owner: &Owner) {
        for (log, known) in self.known.iter_mut().enumerate() {
            let Some(id) = Self::id(owner, log) else {
                assert_eq!(known.acknowledged, 0, "log{log} is gone");
                known.values.clear();
                continue;
            };
            let found = owner.set.log(id).expect("there");
            assert_eq!(found.damage(), None);
            let (start, end) = (found.log_start(), found.end());
            assert!(
                end >= known.acknowledged,
                "log{log} ends at {end}, {} were acknowledged",
                known.acknowledged
            );
            assert!(
                end <= known.values.len() as i64,
                "log{log} has records that nobody sent"
            );
            for bytes_max in [1, 3000] {
                let records = owner.consume(id, start, bytes_max);
                assert_eq!(
                    records.len() as i64,
                    end - start,
                    "log{log} from {start} to {end}"
                );
                for (offset, value) in records {
                    assert_eq!(value, known.values[offset as usize], "log{log} at {offset}");
                }
            }
            known.values.truncate(end as usize);
            known.acknowledged = end;
        }
    }

    /// Appends and lets time pass until the power goes or the steps are done. Returns whether it went.
    fn live(&mut self, owner: &mut Owner, steps: u64) -> bool {
        for _ in 0..steps {
            let log = self.dice.below(self.known.len() as u64) as usize;
            let is_alive = match self.dice.below(10) {
                0 => self.pass(owner, 1500),
                1 => self.pass(owner, 40_000),
                2 => self.pass(owner, 200),
                _ => self.append(owner, log),
            };
            if !is_alive {
                return true;
            }
        }
        false
    }

    fn append(&mut self, owner: &mut Owner, log: usize) -> bool {
        let id = Self::id(owner, log).unwrap_or_else(|| owner.create(&format!("log{log}")));
        let count = self.dice.below(4) + 1;
        let base = self.known[log].values.len();
        let values: Vec<Vec<u8>> = (0..count)
            .map(|i| {
                let mut value = format!("{log}/{}/{}/", self.lives, base as u64 + i).into_bytes();
                value.resize(
                    value.len() + self.dice.below(1500) as usize,
                    b'a' + (self.dice.below(26) as u8),
                );
                value
            })
            .collect();
        let refs: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let batch = batch(owner.now_ms, &refs);
        match owner.set.append_as_leader(
            id,
            vec![batch],
            self.lives as i32,
            Origin::Client,
            owner.now_ms,
        ) {
            Ok(appended) => assert_eq!(appended.first_offset, base as i64),
            Err(AppendError::DirDead(_)) => return false,
            Err(error) => panic!("{error}"),
        }
        self.known[log].values.extend(values);
        owner.set.submit(owner.now_ms);
        if self.dice.below(3) == 0 {
            self.settle(owner)
        } else {
            true
        }
    }

    fn pass(&mut self, owner: &mut Owner, ms: i64) -> bool {
        owner.now_ms += ms;
        owner.set.upkeep(owner.now_ms);
        self.settle(owner)
    }

    /// Waits for the disk, and notes what is acknowledged.
    fn settle(&mut self, owner: &mut Owner) -> bool {
        while !owner.set.is_quiet() {
            let progress = block_on(owner.set.next());
            let Ok(flushed) = owner.set.apply(progress, owner.now_ms) else {
                return false;
            };
            for flushed in flushed {
                let log = owner.set.log(flushed.log).expect("there");
                let name: usize = log.name().topic["log".len()..].parse().expect("named so");
                self.known[name].acknowledged =
                    self.known[name].acknowledged.max(flushed.end_offset);
                let high_watermark = flushed.end_offset;
                owner
                    .set
                    .set_high_watermark(flushed.log, high_watermark)
                    .expect("there");
            }
        }
        !owner.dir.health().is_dead()
    }
}

fn run(seed: u64, durability: Durability, cuts: bool) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let logs = dice.below(5) as usize + 1;
    let mut world = World {
        dice,
        disk: PowerDisk::new(),
        known: vec![Known::default(); logs],
        lives: 0,
    };
    for _ in 0..5 {
        world.lives += 1;
        let mut owner = world.open(durability);
        world.check(&owner);
        if cuts {
            let operations = world.dice.below(400) + 5;
            world.disk.cut_power_after(operations);
        }
        let steps = world.dice.below(120) + 10;
        let has_no_power = world.live(&mut owner, steps);
        if !has_no_power && world.dice.below(3) == 0 {
            let now_ms = owner.now_ms;
            let closed = block_on(owner.set.drain(now_ms)).is_ok()
                && block_on(owner.dir.close_clean(1)).is_ok();
            // A clean stop settles what was never acknowledged, one way or the other.
            assert!(closed || cuts);
        }
        drop(owner);
        world.disk = match cuts {
            true => world.disk.after_power_cut(&mut world.dice),
            false => world.disk.after_kill(),
        };
    }
    let owner = world.open(durability);
    world.check(&owner);
}

fn seeds(name: &str, count: u64, run: impl Fn(u64)) {
    for seed in 0..count {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
        if let Err(panic) = result {
            eprintln!("{name}: seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn power_cuts_take_nothing_that_was_acknowledged() {
    seeds("power", 300, |seed| run(seed, Durability::Fsync, true));
}

#[test]
fn kills_take_nothing_that_was_acknowledged() {
    seeds("kill", 100, |seed| run(seed, Durability::Fsync, false));
}

#[test]
fn kills_take_nothing_that_was_acknowledged_from_the_page_cache() {
    seeds("page-cache", 100, |seed| {
        run(seed, Durability::PageCache, false)
    });
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged_and_nothing_before_is_lost() {
    seeds("failed sync", 100, |seed| {
        let mut dice = Dice(seed * 2 + 1);
        let disk = PowerDisk::new();
        let mut world = World {
            dice: dice.clone(),
            disk: disk.clone(),
            known: vec![Known::default(); 3],
            lives: 1,
        };
        let mut owner = world.open(Durability::Fsync);
        disk.fail_sync_after(dice.below(50));
        let is_dead = world.live(&mut owner, 400);
        assert!(is_dead, "one of the first fifty syncs fails");
        assert!(matches!(owner.dir.health(), Health::Dead(_)));
        let id = owner.set.logs().next().map(|(id, _)| id);
        if let Some(id) = id {
            assert!(matches!(
                owner.try_append(id, batch(1, &[b"no"])),
                Err(AppendError::DirDead(_))
            ));
        }
        drop(owner);
        world.disk = disk.after_power_cut(&mut dice);
        world.lives += 1;
        let owner = world.open(Durability::Fsync);
        world.check(&owner);
    });
}

#[test]
fn a_full_disk_stops_writes_not_reads_and_heals_by_itself() {
    let disk = PowerDisk::new();
    let mut dice = Dice(77);
    let opened = try_open_on(disk.clone(), Path::new(ROOT), options(&mut dice)).expect("opens");
    let mut owner = Owner::of(
        opened,
        LogConfig {
            retention: None,
            ..config(Durability::Fsync)
        },
    );
    let mut world = World {
        dice,
        disk: disk.clone(),
        known: vec![Known::default(); 2],
        lives: 1,
    };
    world.live(&mut owner, 100);
    world.settle(&mut owner);
    disk.set_capacity(disk.used() + 20_000);
    let mut refused = 0;
    for _ in 0..300 {
        let id = World::id(&owner, 0).expect("there");
        match owner.try_append(id, batch(1, &[&[b'f'; 500]])) {
            Ok(_) => world.known[0].values.push(vec![b'f'; 500]),
            Err(AppendError::DiskFull) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        owner.set.submit(owner.now_ms);
        assert!(world.pass(&mut owner, 300));
    }
    assert!(
        refused > 100 && owner.dir.health() == Health::Full,
        "{refused}"
    );
    for log in 0..2 {
        let Some(id) = World::id(&owner, log) else {
            continue;
        };
        let start = owner.set.log(id).expect("there").log_start();
        let end = owner.set.log(id).expect("there").high_watermark();
        assert_eq!(
            owner.consume(id, start, 5000).len() as i64,
            end - start,
            "reads go on"
        );
    }
    // Room again: without a restart, everything that was taken is written and appends go on.
    disk.set_capacity(1 << 40);
    for _ in 0..4 {
        assert!(world.pass(&mut owner, 300));
    }
    assert_eq!(owner.dir.health(), Health::Serving);
    let id = World::id(&owner, 0).expect("there");
    owner.append(id, batch(1, &[b"again"]));
    world.known[0].values.push(b"again".to_vec());
    assert!(world.pass(&mut owner, 40_000));
    assert_eq!(
        owner.set.log(id).expect("there").flushed_end(),
        world.known[0].values.len() as i64
    );
    drop(owner);
    world.disk = disk.after_power_cut(&mut world.dice);
    let owner = world.open(Durability::Fsync);
    world.check(&owner);
}

#[test]
fn a_full_disk_at_a_clean_stop_is_an_error_and_loses_nothing() {
    let disk = PowerDisk::new();
    let mut dice = Dice(99);
    let mut world = World {
        dice: dice.clone(),
        disk: disk.clone(),
        known: vec![Known::default(); 2],
        lives: 1,
    };
    let mut owner = world.open(Durability::Fsync);
    for _ in 0..20 {
        world.append(&mut owner, 0);
    }
    world.settle(&mut owner);
    disk.set_capacity(disk.used() + 100);
    let now_ms = owner.now_ms;
    assert!(matches!(
        block_on(owner.set.drain(now_ms)),
        Err(DirError::Full { .. })
    ));
    drop(owner);
    world.disk = disk.after_power_cut(&mut dice);
    world.lives = 2;
    let owner = world.open(Durability::Fsync);
    world.check(&owner);
    assert_eq!(owner.close(1), Closed::ForKafka);
}

#[test]
fn a_small_disk_fills_with_records_and_its_reserve_lets_room_be_made() {
    const CAPACITY: u64 = 96 << 20;
    let disk = PowerDisk::new();
    disk.set_capacity(CAPACITY);
    let opened = try_open_on(
        disk.clone(),
        Path::new(ROOT),
        DirOptions {
            limits: Limits::default(),
            ..harness::options()
        },
    )
    .expect("opens");
    let mut owner = Owner::of(
        opened,
        LogConfig {
            segment_bytes: 1 << 20,
            retention: None,
            file_delete_delay_ms: 0,
            ..LogConfig::default()
        },
    );
    let filling = owner.create("filling");
    owner.config.may_use_reserve = true;
    let metadata = owner.create("metadata");
    owner.append(metadata, batch(1, &[b"a topic"]));
    owner.flush();
    owner.pass(1);

    // No time passes: what is taken is counted, not only looked at every few seconds.
    let value = vec![b'v'; 200 << 10];
    let mut taken = 0;
    let refused = loop {
        match owner.try_append(filling, batch(1, &[&value])) {
            Ok(_) => taken += value.len() as u64,
            Err(error) => break error,
        }
        owner.flush();
    };
    assert!(matches!(refused, AppendError::DiskFull), "{refused}");
    assert!(taken > CAPACITY / 2, "only {taken} bytes of records fit");
    for _ in 0..4 {
        owner.pass(1000);
    }
    assert_eq!(owner.dir.health(), Health::Full);
    let left = CAPACITY - disk.used();
    assert!(left > 2 << 20, "the reserve has {left} bytes left");

    // The reserve is there for what makes room.
    owner.append(metadata, batch(1, &[b"the topic is gone"]));
    let end = owner.set.log(filling).expect("there").end();
    owner
        .set
        .delete_records(filling, end, owner.now_ms)
        .expect("deleted");
    owner.flush();
    for _ in 0..4 {
        owner.pass(1000);
    }
    assert_eq!(owner.dir.health(), Health::Serving);
    owner.append(filling, batch(1, &[&value]));
    owner.flush();
    assert_eq!(owner.consume(filling, end, 1 << 20), [(end, value)]);
    assert_eq!(owner.consume(metadata, 0, 1 << 20).len(), 2);
}

#[test]
fn more_than_the_commit_log_holds_may_wait_for_it() {
    let limits = Limits {
        commit_log_bytes_max: 64 << 10,
        chunk_bytes_first: 16 << 10,
        chunk_bytes_max: 32 << 10,
        group_bytes_max: 4 << 10,
        ..Limits::default()
    };
    let opened = try_open_on(
        PowerDisk::new(),
        Path::new(ROOT),
        DirOptions {
            limits,
            ..harness::options()
        },
    )
    .expect("opens");
    let mut owner = Owner::of(opened, LogConfig::default());
    let id = owner.create("burst");
    // A checkpoint begins while most of them are queued, and waits for the last.
    for _ in 0..100 {
        owner.append(id, batch(1, &[&[b'v'; 3000]]));
    }
    owner.flush();
    assert_eq!(owner.set.log(id).expect("there").flushed_end(), 100);
    owner.pass(60_000);
    for _ in 0..100 {
        owner.append(id, batch(1, &[&[b'w'; 3000]]));
    }
    owner.flush();
    assert_eq!(owner.consume(id, 0, 1 << 20).len(), 200);
}
