//! What is lost, cut, flipped or zeroed on disk between two lives: above the flushed end it goes silently, below it
//! the log is damaged and says where, and caches are made again. A record that was acknowledged never vanishes in silence.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::*;
use ottla_broker_storage::{Damage, DirError, LogConfig};

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .expect("listed")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

fn cut(path: &Path, len: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("there")
        .set_len(len)
        .expect("cut");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("there");
    bytes[at] ^= 0x40;
    fs::write(path, bytes).expect("written");
}

/// 40 records of one to a batch, all flushed; the first 20 of them checkpointed.
fn half_checkpointed(root: &Path, config: LogConfig) -> Owner {
    let mut owner = Owner::open_with(root, config);
    let id = owner.create("orders");
    for i in 0..40 {
        let text = format!("record {i:4} {}", "x".repeat(300));
        owner.append(id, batch(owner.now_ms, &[text.as_bytes()]));
        owner.flush();
        if i == 19 {
            owner.pass(60_000);
            owner.pass(1);
        }
    }
    owner
}

fn values(owner: &Owner) -> Vec<i64> {
    let id = owner.find("orders");
    owner
        .consume(id, 0, 1 << 20)
        .into_iter()
        .map(|(offset, value)| {
            assert!(
                value.starts_with(format!("record {offset:4}").as_bytes()),
                "offset {offset} holds another record"
            );
            offset
        })
        .collect()
}

fn damage(owner: &Owner) -> Option<Damage> {
    owner
        .set
        .log(owner.find("orders"))
        .expect("there")
        .damage()
        .cloned()
}

#[test]
fn a_segment_cut_at_any_byte_is_whole_again_or_refuses_to_lead() {
    let root = scratch();
    half_checkpointed(root.path(), LogConfig::default()).crash();
    let segment = files(&root.path().join("orders-0"), ".log").remove(0);
    let (len, batch_len) = (fs::metadata(&segment).expect("there").len(), 382);
    // Twenty batches were checkpointed, so the file has at least those.
    let checkpointed = 20 * batch_len;
    assert!(len >= checkpointed, "{len}");
    let copy = scratch();
    for to in (checkpointed - 2 * batch_len..=len.max(checkpointed)).rev() {
        let case = copy.path().join(to.to_string());
        copy_dir(root.path(), &case);
        cut(
            &case
                .join("orders-0")
                .join(segment.file_name().expect("a name")),
            to,
        );
        let owner = Owner::open(&case);
        match damage(&owner) {
            None => {
                assert!(to >= checkpointed, "cut to {to} unnoticed");
                assert_eq!(values(&owner), (0..40).collect::<Vec<_>>(), "cut to {to}");
            }
            Some(damage) => {
                assert!(to < checkpointed, "cut to {to}: {damage}");
                assert!(
                    matches!(damage, Damage::ShortSegment { len, .. } if len == to),
                    "{damage}"
                );
                assert!(
                    damage
                        .to_string()
                        .contains("00000000000000000000.log of orders-0"),
                    "{damage}"
                );
            }
        }
        drop(owner);
        fs::remove_dir_all(&case).expect("removed");
    }
}

#[test]
fn a_commit_log_cut_at_any_byte_of_its_last_groups_loses_only_what_was_not_acknowledged() {
    let root = scratch();
    half_checkpointed(root.path(), LogConfig::default()).crash();
    let chunk = root.path().join("ottla-commit-0-0.log");
    let bytes = fs::read(&chunk).expect("there");
    // One group is one block here: the creation with the first append, then one append each.
    let groups = 40;
    let copy = scratch();
    for group in [groups - 2, groups - 1] {
        for at in (0..4096).step_by(61) {
            let case = copy.path().join(format!("{group}-{at}"));
            copy_dir(root.path(), &case);
            let mut torn = bytes.clone();
            torn[group * 4096 + at..].fill(0);
            fs::write(case.join("ottla-commit-0-0.log"), torn).expect("written");
            let owner = Owner::open(&case);
            assert_eq!(damage(&owner), None, "group {group} torn at {at}");
            let found = values(&owner);
            // The block holds some 500 bytes; a tear behind them tears nothing.
            let whole = if at > 600 { group + 1 } else { group };
            assert!(
                found.len() == whole || (found.len() == whole + 1 && at > 450),
                "group {group} torn at {at}: {} records",
                found.len()
            );
            assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
            drop(owner);
            fs::remove_dir_all(&case).expect("removed");
        }
    }
}

#[test]
fn a_damaged_group_with_others_behind_it_is_not_taken_for_the_end() {
    let root = scratch();
    half_checkpointed(root.path(), LogConfig::default()).crash();
    let copy = scratch();
    for (name, at) in [("header", 10), ("frames", 70), ("batch", 300)] {
        for group in [25usize, 38] {
            let case = copy.path().join(format!("{name}-{group}"));
            copy_dir(root.path(), &case);
            flip(&case.join("ottla-commit-0-0.log"), group * 4096 + at);
            let owner = Owner::open(&case);
            let damage =
                damage(&owner).unwrap_or_else(|| panic!("{name} of group {group} goes unnoticed"));
            assert!(
                matches!(damage, Damage::LostGroup { .. } | Damage::Gap { .. }),
                "{damage}"
            );
            let found = values(&owner);
            assert_eq!(
                found,
                (0..group as i64).collect::<Vec<_>>(),
                "{name} of group {group}"
            );
            drop(owner);
            // It is remembered, also when nothing is left in the commit log to tell it by.
            let mut owner = Owner::open(&case);
            let id = owner.find("orders");
            assert!(owner.set.log(id).expect("there").damage().is_some());
            assert!(owner.try_append(id, batch(1, &[b"no"])).is_err());
            assert!(matches!(
                owner.close(3),
                ottla_broker_storage::Closed::Kept(_)
            ));
        }
    }
}

#[test]
fn a_missing_directory_or_segment_is_not_an_empty_log() {
    let root = scratch();
    let small = LogConfig {
        segment_bytes: 2000,
        ..LogConfig::default()
    };
    half_checkpointed(root.path(), small).crash();
    let copy = scratch();
    for clean in [false, true] {
        if clean {
            assert_eq!(
                Owner::open_with(root.path(), small).close(9),
                ottla_broker_storage::Closed::ForKafka
            );
        }
        let case = copy.path().join(format!("dir-{clean}"));
        copy_dir(root.path(), &case);
        fs::remove_dir_all(case.join("orders-0")).expect("removed");
        let owner = Owner::open_with(&case, small);
        assert_eq!(
            damage(&owner),
            Some(Damage::MissingDirectory("orders-0".to_owned()))
        );
        owner.crash();
        let logs = files(&root.path().join("orders-0"), ".log");
        assert!(logs.len() >= 4);
        for log in &logs[..2] {
            let name = log.file_name().expect("a name").to_owned();
            let case = copy
                .path()
                .join(format!("{}-{clean}", name.to_string_lossy()));
            copy_dir(root.path(), &case);
            fs::remove_file(case.join("orders-0").join(&name)).expect("removed");
            let owner = Owner::open_with(&case, small);
            let damage = damage(&owner).expect("noticed");
            assert!(
                damage.to_string().contains(&*name.to_string_lossy()),
                "{damage}"
            );
            drop(owner);
            // Brought back, the log is whole again.
            fs::copy(log, case.join("orders-0").join(&name)).expect("copied");
            let owner = Owner::open_with(&case, small);
            assert_eq!(values(&owner), (0..40).collect::<Vec<_>>());
            assert_eq!(
                owner.set.log(owner.find("orders")).expect("there").damage(),
                None
            );
            owner.crash();
        }
    }
}

#[test]
fn a_flipped_bit_reaches_no_consumer() {
    use ottla_broker_storage::disk::block_on;
    use ottla_broker_storage::{Read, ReadError};
    let root = scratch();
    let small = LogConfig {
        segment_bytes: 2000,
        ..LogConfig::default()
    };
    let owner = half_checkpointed(root.path(), small);
    assert_eq!(owner.close(1), ottla_broker_storage::Closed::ForKafka);
    let name = files(&root.path().join("orders-0"), ".log").remove(2);
    let name = name.file_name().expect("a name").to_owned();
    let len = fs::metadata(root.path().join("orders-0").join(&name))
        .expect("there")
        .len() as usize;
    let copy = scratch();
    for at in (0..len).step_by(37) {
        let case = copy.path().join(at.to_string());
        copy_dir(root.path(), &case);
        let log = case.join("orders-0").join(&name);
        flip(&log, at);
        let owner = Owner::open_with(&case, small);
        let id = owner.find("orders");
        let (mut from, mut is_found) = (0, owner.set.log(id).expect("there").damage().is_some());
        while from < 40 && !is_found {
            let Ok(Read::Cold(read)) = owner.set.read(id, from, 1000, 40) else {
                panic!("nothing is in memory")
            };
            match block_on(read.run()) {
                Ok(fetched) => {
                    for (offset, value) in decode(&fetched) {
                        assert!(
                            value.starts_with(format!("record {offset:4}").as_bytes()),
                            "byte {at} was flipped"
                        );
                    }
                    assert!(
                        fetched.next_offset > from,
                        "byte {at} was flipped: no progress at {from}"
                    );
                    from = fetched.next_offset;
                }
                Err(ReadError::Corrupt { path, .. }) => {
                    assert_eq!(path, log);
                    is_found = true;
                }
                Err(error) => panic!("byte {at} was flipped: {error}"),
            }
        }
        // Leader epoch is covered by no checksum on disk; everything else is.
        let in_epoch = (12..16).contains(&(at % 382));
        assert!(
            is_found || in_epoch,
            "byte {at} was flipped and nobody noticed"
        );
        drop(owner);
        fs::remove_dir_all(&case).expect("removed");
    }
}

#[test]
fn caches_that_are_missing_short_zeroed_or_of_the_future_are_made_again() {
    let root = scratch();
    let config = LogConfig {
        segment_bytes: 30_000,
        ..LogConfig::default()
    };
    let mut owner = Owner::open_with(root.path(), config);
    let id = owner.create("orders");
    for i in 0..40 {
        let text = format!("record {i:4} {}", "x".repeat(2000));
        let options = idempotent(5, 0, i, false);
        owner.append(
            id,
            build(options, owner.now_ms + i64::from(i), &[text.as_bytes()]),
        );
    }
    owner.flush();
    assert_eq!(owner.close(1), ottla_broker_storage::Closed::ForKafka);
    let copy = scratch();
    let mut cases = 0;
    for suffix in [
        ".index",
        ".timeindex",
        ".snapshot",
        "leader-epoch-checkpoint",
    ] {
        for file in files(&root.path().join("orders-0"), suffix) {
            let name = file
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let bytes = fs::read(&file).expect("there");
            for (how, with) in [
                ("missing", None),
                ("short", Some(bytes[..bytes.len() / 2].to_vec())),
                ("zeroed", Some(vec![0; bytes.len()])),
                ("of the future", Some(vec![0x7f; bytes.len()])),
            ] {
                cases += 1;
                for is_ours in [true, false] {
                    let case = copy.path().join(format!("{name}-{how}-{is_ours}"));
                    copy_dir(root.path(), &case);
                    match &with {
                        None => {
                            fs::remove_file(case.join("orders-0").join(&name)).expect("removed")
                        }
                        Some(bytes) => {
                            fs::write(case.join("orders-0").join(&name), bytes).expect("written")
                        }
                    }
                    if !is_ours {
                        // As if Apache Kafka had been here: our manifest does not count.
                        fs::remove_file(case.join("ottla-manifest")).expect("removed");
                    }
                    check_cached(&case, config, &format!("{name} {how}, manifest {is_ours}"));
                    fs::remove_dir_all(&case).expect("removed");
                }
            }
        }
    }
    assert!(cases > 20, "{cases}");
}

fn check_cached(root: &Path, config: LogConfig, what: &str) {
    use ottla_broker_storage::disk::block_on;
    let mut owner = Owner::open_with(root, config);
    let id = owner.find("orders");
    assert_eq!(owner.set.log(id).expect("there").damage(), None, "{what}");
    assert_eq!(
        owner.set.log(id).expect("there").latest_epoch(),
        Some(0),
        "{what}"
    );
    for from in (0..40).rev() {
        let first = decode(&owner.fetch(id, from, 1))[0].0;
        assert_eq!(first, from, "{what}");
        let reader = owner.set.reader(id).expect("there");
        let found = block_on(reader.offset_for_time(owner.now_ms + from, 40))
            .expect("readable")
            .expect("found");
        assert_eq!(found.offset, from, "{what}");
    }
    let text = format!("record   39 {}", "x".repeat(2000));
    let again = owner.append(
        id,
        build(
            idempotent(5, 0, 39, false),
            owner.now_ms,
            &[text.as_bytes()],
        ),
    );
    assert!(
        again.is_duplicate && again.first_offset == 39,
        "{what}: {again:?}"
    );
    assert!(
        owner
            .try_append(
                id,
                build(idempotent(5, 0, 41, false), owner.now_ms, &[b"gap"])
            )
            .is_err(),
        "{what}"
    );
    assert_eq!(
        owner.close(2),
        ottla_broker_storage::Closed::ForKafka,
        "{what}"
    );
}

#[test]
fn without_its_manifest_a_directory_in_use_is_refused() {
    let root = scratch();
    half_checkpointed(root.path(), LogConfig::default()).crash();
    let manifest = root.path().join("ottla-manifest");
    flip(&manifest, 40);
    assert!(matches!(
        try_open(root.path()),
        Err(DirError::Manifest { .. })
    ));
    fs::remove_file(&manifest).expect("removed");
    let error = try_open(root.path()).err().expect("refused").to_string();
    assert!(
        error.contains("ottla-manifest") && error.contains("restore"),
        "{error}"
    );
}
