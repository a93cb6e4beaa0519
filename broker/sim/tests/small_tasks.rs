//! The simulator itself, by small tasks: what a network and a disk may do to a program happens, what
//! they may not do does not, and a seed decides all of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use ottla_broker::rt::{Rt, Stream};
use ottla_broker_sim::{
    Crash, CrashPoint, DiskFault, FaultPoint, NetOptions, NodeHandle, Options, SECOND, Sim, run,
};
use ottla_broker_storage::disk::{DiskOp, File, Lane, OpenMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ECHO_PORT: u16 = 7;
const MILLISECOND: u64 = 1_000_000;

async fn echo_server(rt: Rt) {
    let mut listener = rt.listen("", ECHO_PORT).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("accepts");
        rt.spawn(Box::pin(async move {
            let _ = echo(stream).await;
        }));
    }
}

async fn echo(mut stream: Box<dyn Stream>) -> io::Result<()> {
    let mut buffer = vec![0; 1000];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..len]).await?;
    }
}

/// Sends `bytes` through the echo server and returns what came back until the end or an error.
async fn through_echo(rt: &Rt, bytes: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
    let mut got = Vec::new();
    let result = async {
        let stream = rt.connect("server", ECHO_PORT).await?;
        let (mut reading, mut writing) = tokio::io::split(stream);
        rt.spawn(Box::pin(async move {
            let _ = writing.write_all(&bytes).await;
            let _ = writing.shutdown().await;
        }));
        let mut buffer = vec![0; 700];
        loop {
            match reading.read(&mut buffer).await? {
                0 => return Ok(()),
                len => got.extend_from_slice(&buffer[..len]),
            }
        }
    }
    .await;
    (got, result)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 % 251) as u8).collect()
}

fn two_nodes(sim: &Sim) -> (NodeHandle, Rt) {
    let server = sim.add_node("server");
    let client = sim.add_node("client");
    sim.start(server, echo_server);
    (server, sim.runtime(client))
}

#[test]
fn bytes_come_back_in_order_through_any_pieces() {
    for seed in 0..20 {
        let (got, _) = run(seed, Options::default(), async |sim| {
            let (_, rt) = two_nodes(&sim);
            sim.sleep(MILLISECOND).await;
            through_echo(&rt, pattern(300_000)).await
        });
        assert!(got.1.is_ok(), "seed {seed}: {:?}", got.1);
        assert!(got.0 == pattern(300_000), "seed {seed}: bytes differ");
    }
}

#[test]
fn one_seed_is_one_trace() {
    let once = |seed| {
        run(seed, Options::default(), async |sim| {
            let (server, rt) = two_nodes(&sim);
            sim.sleep(MILLISECOND).await;
            through_echo(&rt, pattern(20_000))
                .await
                .1
                .expect("nothing is broken");
            sim.crash(server, Crash::Process);
            sim.start(server, echo_server);
            sim.sleep(MILLISECOND).await;
            through_echo(&rt, pattern(20_000))
                .await
                .1
                .expect("nothing is broken");
            write_log(&rt, 5, &RefCell::default())
                .await
                .expect("nothing is broken");
        })
        .1
    };
    let mut traces = BTreeSet::new();
    for seed in 0..20 {
        let report = once(seed);
        assert_eq!(report, once(seed), "seed {seed} run twice");
        traces.insert(report.trace);
    }
    assert_eq!(traces.len(), 20, "different seeds differ");
}

#[test]
fn connections_are_cut_at_any_byte() {
    let mut lengths = BTreeSet::new();
    for seed in 0..30 {
        let net = NetOptions {
            cut_probability: 0.1,
            ..NetOptions::default()
        };
        let ((got, result), _) = run(
            seed,
            Options {
                net,
                ..Options::default()
            },
            async |sim| {
                let (_, rt) = two_nodes(&sim);
                sim.sleep(MILLISECOND).await;
                through_echo(&rt, pattern(100_000)).await
            },
        );
        assert!(
            pattern(100_000).starts_with(&got),
            "seed {seed}: what came is a prefix of what was sent"
        );
        if result.is_err() {
            lengths.insert(got.len());
        }
    }
    assert!(lengths.len() > 10, "cut at different places: {lengths:?}");
}

#[test]
fn a_dead_process_resets_and_a_dead_machine_is_silent() {
    let (outcome, _) = run(3, Options::default(), async |sim| {
        let (server, rt) = two_nodes(&sim);
        sim.sleep(MILLISECOND).await;
        let mut first = rt.connect("server", ECHO_PORT).await.expect("up");
        sim.sleep(MILLISECOND).await;
        sim.crash(server, Crash::Process);
        let told = tokio::select! {
            biased;
            read = first.read_u8() => read.expect_err("nobody is there").kind(),
            () = sim.sleep(SECOND) => panic!("the kernel of a dead process tells its peers"),
        };
        let refused = rt
            .connect("server", ECHO_PORT)
            .await
            .err()
            .expect("nobody listens")
            .kind();

        sim.start(server, echo_server);
        sim.sleep(MILLISECOND).await;
        let mut second = rt.connect("server", ECHO_PORT).await.expect("up again");
        second.write_u8(1).await.expect("open");
        assert_eq!(second.read_u8().await.expect("echoed"), 1);
        sim.crash(server, Crash::Power);
        tokio::select! {
            biased;
            read = second.read_u8() => panic!("a machine without power sent {read:?}"),
            () = sim.sleep(5 * SECOND) => {}
        }
        let silent = rt
            .connect("server", ECHO_PORT)
            .await
            .err()
            .expect("no power")
            .kind();
        sim.start(server, echo_server);
        sim.sleep(MILLISECOND).await;
        second
            .write_u8(2)
            .await
            .expect("the client's kernel takes it");
        let unknown = second
            .read_u8()
            .await
            .expect_err("the new kernel knows no such connection")
            .kind();
        (told, refused, silent, unknown)
    });
    assert_eq!(
        outcome,
        (
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::TimedOut,
            io::ErrorKind::ConnectionReset
        )
    );
}

#[test]
fn a_one_way_partition_holds_bytes_back_until_it_heals() {
    let (held, _) = run(5, Options::default(), async |sim| {
        let server = sim.add_node("server");
        let client = sim.add_node("client");
        sim.start(server, echo_server);
        let rt = sim.runtime(client);
        sim.sleep(MILLISECOND).await;
        let mut stream = rt.connect("server", ECHO_PORT).await.expect("up");
        sim.block(server, client);
        let before = sim.now();
        stream.write_all(b"there").await.expect("this way is open");
        let mut answer = [0; 5];
        tokio::select! {
            biased;
            _ = stream.read(&mut answer[..1]) => panic!("the way back is blocked"),
            () = sim.sleep(SECOND) => {}
        }
        sim.unblock(server, client);
        stream.read_exact(&mut answer).await.expect("healed");
        assert_eq!(&answer, b"there");
        sim.now() - before
    });
    assert!(held >= SECOND);
}

#[test]
fn a_paused_process_stands_still_and_goes_on() {
    let (took, _) = run(6, Options::default(), async |sim| {
        let (server, rt) = two_nodes(&sim);
        sim.sleep(MILLISECOND).await;
        sim.pause(server, 2 * SECOND);
        let before = sim.now();
        let (got, result) = through_echo(&rt, pattern(10)).await;
        result.expect("it only took long");
        assert_eq!(got, pattern(10));
        sim.now() - before
    });
    assert!(took >= 2 * SECOND, "{took}");
}

/// Appends `count` numbered blocks to a log, each synced before the next; `acked` counts them.
async fn write_log(rt: &Rt, count: u8, acked: &RefCell<u8>) -> io::Result<()> {
    let disk = rt.disk();
    let file = File::new("/data/log", OpenMode::Create);
    for number in 0..count {
        let slices = vec![Bytes::from(vec![number + 1; 1500])];
        let at = u64::from(number) * 1500;
        disk.run(
            Lane::Ordered(0),
            DiskOp::Write {
                file: file.clone(),
                at,
                slices,
            },
        )
        .await?;
        disk.run(Lane::Ordered(0), DiskOp::SyncData(file.clone()))
            .await?;
        if number == 0 {
            disk.run(Lane::Ordered(0), DiskOp::SyncDir("/data".into()))
                .await?;
        }
        *acked.borrow_mut() = number + 1;
    }
    Ok(())
}

#[test]
fn what_was_synced_survives_a_power_cut_at_every_effect() {
    let mut unacked_found = 0;
    for seed in 0..4 {
        for effect in 0..21 {
            for point in [CrashPoint::During(effect), CrashPoint::After(effect)] {
                let ((acked, found), _) = run(seed, Options::default(), async move |sim| {
                    let node = sim.add_node("writer");
                    sim.set_crash_kind(node, Crash::Power);
                    sim.disk(node).crash_at(point);
                    let acked: Rc<RefCell<u8>> = Rc::default();
                    let count = Rc::clone(&acked);
                    sim.start(node, async move |rt| {
                        write_log(&rt, 10, &count).await.expect("the disk is good");
                    });
                    sim.crashed(node).await;
                    let acked = *acked.borrow();
                    (
                        acked,
                        sim.disk(node)
                            .content("/data/log".as_ref())
                            .unwrap_or_default(),
                    )
                });
                let expected: Vec<u8> = (0..acked)
                    .flat_map(|number| vec![number + 1; 1500])
                    .collect();
                assert!(
                    found.len() >= expected.len(),
                    "seed {seed}, {point:?}: acknowledged bytes are gone"
                );
                assert_eq!(found[..expected.len()], expected, "seed {seed}, {point:?}");
                for byte in &found[expected.len()..] {
                    assert!(
                        *byte == 0 || *byte == acked + 1,
                        "seed {seed}, {point:?}: a byte that nobody wrote"
                    );
                }
                unacked_found += usize::from(found.len() > expected.len());
            }
        }
    }
    assert!(
        unacked_found > 10,
        "what was not acknowledged may survive: {unacked_found}"
    );
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    let (found, _) = run(1, Options::default(), async |sim| {
        let node = sim.add_node("writer");
        sim.start(node, async |rt| {
            let file = File::new("/data/log", OpenMode::Create);
            let op = DiskOp::Write {
                file,
                at: 0,
                slices: vec![Bytes::from_static(b"never synced")],
            };
            rt.disk()
                .run(Lane::Any, op)
                .await
                .expect("the disk is good");
        });
        sim.sleep(SECOND).await;
        sim.crash(node, Crash::Process);
        sim.disk(node).content("/data/log".as_ref())
    });
    assert_eq!(found.as_deref(), Some(&b"never synced"[..]));
}

#[test]
fn a_failed_sync_lies_clean_afterwards() {
    let mut lost = 0;
    for seed in 0..20 {
        let (found, _) = run(seed, Options::default(), async |sim| {
            let node = sim.add_node("writer");
            let rt = sim.runtime(node);
            sim.disk(node)
                .inject(FaultPoint::Sync, "log", 0, 1, DiskFault::Error);
            let failed = write_log(&rt, 1, &RefCell::default())
                .await
                .expect_err("injected");
            assert_eq!(failed.raw_os_error(), Some(5));
            let file = File::new("/data/log", OpenMode::Create);
            rt.disk()
                .run(Lane::Any, DiskOp::SyncData(file))
                .await
                .expect("the trap: it says yes now");
            rt.disk()
                .run(Lane::Any, DiskOp::SyncDir("/data".into()))
                .await
                .expect("the disk is good");
            sim.crash(node, Crash::Power);
            sim.disk(node).content("/data/log".as_ref())
        });
        let found = found.expect("its name was synced");
        lost += usize::from(found.iter().all(|byte| *byte == 0));
    }
    assert!((3..18).contains(&lost), "some of twenty are lost: {lost}");
}

#[test]
fn a_full_disk_takes_nothing_and_heals() {
    let ((), _) = run(1, Options::default(), async |sim| {
        let node = sim.add_node("writer");
        let rt = sim.runtime(node);
        sim.disk(node).set_capacity(2000);
        let full = write_log(&rt, 2, &RefCell::default())
            .await
            .expect_err("3000 bytes into 2000");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let space = rt
            .disk()
            .space(Lane::Any, "/data".as_ref())
            .await
            .expect("the disk is good");
        assert_eq!((space.free, space.total), (500, 2000));
        sim.disk(node).set_capacity(1 << 30);
        write_log(&rt, 2, &RefCell::default())
            .await
            .expect("healed");
    });
}

#[test]
fn a_lock_is_given_back_by_its_holder_and_by_a_crash() {
    let ((), _) = run(1, Options::default(), async |sim| {
        let node = sim.add_node("writer");
        let rt = sim.runtime(node);
        let lock = |rt: &Rt, file: &File| {
            let (disk, file) = (rt.disk(), file.clone());
            async move {
                disk.run(Lane::Any, DiskOp::Lock(file))
                    .await
                    .map_err(|error| error.kind())
            }
        };
        let (first, second) = (
            File::new("/data/.lock", OpenMode::Create),
            File::new("/data/.lock", OpenMode::Create),
        );
        assert_eq!(lock(&rt, &first).await, Ok(()));
        assert_eq!(lock(&rt, &second).await, Err(io::ErrorKind::WouldBlock));
        drop(first);
        assert_eq!(lock(&rt, &second).await, Ok(()));
        sim.crash(node, Crash::Process);
        let rt = sim.runtime(node);
        let third = File::new("/data/.lock", OpenMode::Create);
        assert_eq!(lock(&rt, &third).await, Ok(()));
        drop(second);
        let fourth = File::new("/data/.lock", OpenMode::Create);
        assert_eq!(
            lock(&rt, &fourth).await,
            Err(io::ErrorKind::WouldBlock),
            "a dead holder gives nothing back"
        );
    });
}

#[test]
fn clocks_of_nodes_differ_and_jump() {
    let ((), _) = run(9, Options::default(), async |sim| {
        let (one, other) = (sim.add_node("one"), sim.add_node("other"));
        let (first, second) = (sim.runtime(one), sim.runtime(other));
        sim.sleep(100 * SECOND).await;
        assert_ne!(first.now(), second.now());
        let before = second.wall_clock_ms();
        sim.shift_wall_clock(other, -60_000);
        assert_eq!(second.wall_clock_ms(), before - 60_000);
        let until = first.now() + std::time::Duration::from_secs(10);
        first.sleep_until(until).await;
        assert!(first.now() >= until);
    });
}
