//! The real disk against a temporary directory.

use super::*;
use crate::disk::{DIRECT_BLOCK, File, OpenMode, block_on};
use bytes::Bytes;
use std::io::ErrorKind;

const A: Lane = Lane::Ordered(1);

fn disk() -> Arc<dyn Disk> {
    FileDisk::new()
}

#[test]
fn writes_gathered_and_reads_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = disk();
    let file = File::new(dir.path().join("x"), OpenMode::Create);
    let slices: Vec<Bytes> = (0..3000u32)
        .map(|i| Bytes::copy_from_slice(&i.to_be_bytes()))
        .collect();
    let write = DiskOp::Write {
        file: file.clone(),
        at: 5,
        slices,
    };
    block_on(disk.run_all(A, vec![write, DiskOp::SyncData(file.clone())])).expect("written");
    let all = block_on(disk.read(Lane::Any, &file, 0, 100_000)).expect("read");
    assert_eq!(all.len(), 5 + 12_000);
    assert_eq!(&all[5 + 4 * 2999..], &2999u32.to_be_bytes());
    assert!(
        block_on(disk.read(Lane::Any, &file, 20_000, 10))
            .expect("behind the end")
            .is_empty()
    );
}

#[test]
fn direct_writes_need_no_aligned_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = disk();
    let file = File::new(dir.path().join("direct"), OpenMode::CreateDirect);
    let total = 3 * DIRECT_BLOCK + (2 << 20);
    let data: Vec<u8> = (0..total).map(|i| (i % 251) as u8).collect();
    let all = Bytes::from(data.clone());
    let slices = vec![all.slice(..13), all.slice(13..5000), all.slice(5000..)];
    let steps = vec![
        DiskOp::Zero {
            file: file.clone(),
            at: 0,
            len: 4 << 20,
        },
        DiskOp::Write {
            file: file.clone(),
            at: DIRECT_BLOCK as u64,
            slices,
        },
        DiskOp::SyncData(file.clone()),
    ];
    block_on(disk.run_all(A, steps)).expect("written");
    let back = block_on(disk.read(A, &file, DIRECT_BLOCK as u64, total)).expect("read");
    assert!(back == data);
    let stat = block_on(disk.stat(A, dir.path().join("direct")))
        .expect("stat")
        .expect("there");
    assert_eq!(stat.len, 4 << 20);
}

#[test]
fn a_sequence_stops_at_the_first_error_and_says_how_far_it_came() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = disk();
    let steps = vec![
        DiskOp::CreateDir(dir.path().join("d")),
        DiskOp::RemoveFile(dir.path().join("nothing")),
        DiskOp::CreateDir(dir.path().join("never")),
    ];
    match block_on(disk.submit(A, DiskOp::Sequence(steps))).expect("a sequence answers") {
        crate::disk::DiskOutcome::Sequence {
            done,
            failed: Some(error),
        } => {
            assert_eq!((done.len(), error.kind()), (1, ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    let names: Vec<String> = block_on(disk.list(A, dir.path()))
        .expect("listed")
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["d"]);
}

#[test]
fn a_lock_is_held_once_also_inside_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = disk();
    let first = File::new(dir.path().join(".lock"), OpenMode::Create);
    let second = File::new(dir.path().join(".lock"), OpenMode::Create);
    block_on(disk.run(A, DiskOp::Lock(first.clone()))).expect("free");
    assert_eq!(
        block_on(disk.run(A, DiskOp::Lock(second)))
            .expect_err("taken")
            .kind(),
        ErrorKind::WouldBlock
    );
    drop(first);
    let third = File::new(dir.path().join(".lock"), OpenMode::Create);
    block_on(disk.run(A, DiskOp::Lock(third))).expect("free again");
}

#[test]
fn an_ordered_lane_keeps_its_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = disk();
    let file = File::new(dir.path().join("x"), OpenMode::Create);
    let writes: Vec<Completion> = (0..200u8)
        .map(|i| {
            disk.submit(
                A,
                DiskOp::Write {
                    file: file.clone(),
                    at: 0,
                    slices: vec![Bytes::from(vec![i; 64])],
                },
            )
        })
        .collect();
    for write in writes {
        block_on(write).expect("written");
    }
    assert_eq!(
        block_on(disk.read(A, &file, 0, 64)).expect("read"),
        vec![199u8; 64]
    );
}
