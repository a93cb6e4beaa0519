//! Which storage shape makes a round of appends durable, at what latency and at what cost (ADR 1).
//!
//! A round is what a group commit finds waiting: some bytes for each of P dirty partitions. It ends
//! when all of it is durable *and* the flushed point itself is, because a shape that cannot say
//! after a crash what was flushed cannot tell damage from an unacknowledged tail. What a shape owes
//! after the acknowledgement (write-out, its flush) is drained inside the measured interval.

mod commit_log;
mod segments;
mod shapes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::flags::Flags;
use crate::measure::{Cost, Latencies, Reading, Subject, Table, calm_rounds, interleave, median};
pub use commit_log::{AlignedBuffer, CommitLog};
use shapes::{Shape, ShapeKind, WriteBehind};

/// Usage text of the verb.
pub const USAGE: &str = "storage [--dir DIR] [--seconds S] [--rounds N] [--shapes a,syncfs,b,b-lazy,c,page-cache] [--cases PxBYTES,…] [--rate ROUNDS/S] [--flush-step-mb MB] [--write-out-kb KB]
    Durable rounds of P dirty partitions with BYTES each, shape by shape, in interleaved rounds. With --rate the rounds are due
    on a schedule and latency counts from the moment a round was due; without, as fast as they go.";

/// One workload: how many partitions a round touches and how many bytes each gets.
#[derive(Clone, Copy)]
struct Case {
    partitions: usize,
    bytes: usize,
}

impl std::str::FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (partitions, bytes) = text.split_once('x').context("a case is PARTITIONSxBYTES")?;
        let (digits, unit) = match bytes.strip_suffix('K') {
            Some(digits) => (digits, 1024),
            None => (bytes, 1),
        };
        let case = Self {
            partitions: partitions.parse()?,
            bytes: digits.parse::<usize>()? * unit,
        };
        if case.partitions == 0 || case.bytes == 0 || case.partitions * case.bytes > 64 << 20 {
            bail!("a round has between 1 byte and 64 MiB");
        }
        Ok(case)
    }
}

/// How long a run lasts, how many rounds a second are due (unless 0), and what happens behind
/// the commit log.
#[derive(Clone, Copy)]
struct Pace {
    time: Duration,
    rate: f64,
    behind: WriteBehind,
}

struct Outcome {
    latencies: Latencies,
    payload: u64,
    commit_wall: Duration,
    cost: Cost,
}

/// Runs the verb.
pub fn run(args: &[String]) -> Result<()> {
    let flags = Flags::parse(
        args,
        &[
            "dir",
            "seconds",
            "rounds",
            "shapes",
            "cases",
            "rate",
            "flush-step-mb",
            "write-out-kb",
        ],
    )?;
    let dir = PathBuf::from(flags.text("dir").unwrap_or("target/ottla-bench-storage"));
    let seconds: f64 = flags.value("seconds", 0.6)?;
    let rounds: usize = flags.value("rounds", 4)?;
    let shapes = flags.list("shapes", &ShapeKind::ALL)?;
    let small = ["1x4K", "8x4K", "64x4K", "1000x4K"];
    let spread = ["1x1024K", "8x128K", "64x16K", "1000x1K"];
    let large = ["1x256K", "8x256K", "64x256K"];
    let cases: Vec<Case> = match flags.text("cases") {
        Some(_) => flags.list("cases", &[])?,
        None => small
            .iter()
            .chain(&spread)
            .chain(&large)
            .map(|case| case.parse())
            .collect::<Result<_>>()?,
    };
    let flush_step = flags.value::<u64>("flush-step-mb", 4)?.clamp(1, 64) << 20;
    let behind = WriteBehind {
        coalesce: flags.value::<usize>("write-out-kb", 32)? << 10,
        flush_step,
    };
    let pace = Pace {
        time: Duration::from_secs_f64(seconds),
        rate: flags.value("rate", 0.0)?,
        behind,
    };
    for case in cases {
        let results = interleave(&shapes, rounds, |shape| one_run(*shape, case, &dir, pace))?;
        print_case(case, &shapes, results);
    }
    Ok(())
}

fn one_run(kind: ShapeKind, case: Case, dir: &Path, pace: Pace) -> Result<Outcome> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let payload = vec![0xA5; case.bytes];
    let mut shape = Shape::open(kind, dir, case.partitions, case.bytes, pace.behind)?;
    // Two rounds unmeasured: the files exist, the threads have run. Then nobody else's dirty pages are waiting.
    for _ in 0..2 {
        shape.round(&payload)?;
    }
    shape.drain()?;
    rustix::fs::syncfs(fs::File::open(dir)?)?;

    let mut latencies = Latencies::default();
    let before = Reading::now(Subject::Own, Some(dir));
    let start = Instant::now();
    while start.elapsed() < pace.time || latencies.len() < 3 {
        let mut due = Instant::now();
        if pace.rate > 0.0 {
            due = start + Duration::from_secs_f64(latencies.len() as f64 / pace.rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        shape.round(&payload)?;
        latencies.record(due.elapsed());
    }
    let commit_wall = start.elapsed();
    shape.drain()?;
    let cost = Reading::now(Subject::Own, Some(dir)).since(&before);
    let payload = (latencies.len() * case.partitions * case.bytes) as u64;
    drop(shape);
    fs::remove_dir_all(dir)?;
    Ok(Outcome {
        latencies,
        payload,
        commit_wall,
        cost,
    })
}

fn print_case(case: Case, shapes: &[ShapeKind], mut results: Vec<Vec<Outcome>>) {
    let psi: Vec<Vec<f64>> = results
        .iter()
        .map(|rounds| {
            rounds
                .iter()
                .map(|outcome| outcome.cost.psi_percent)
                .collect()
        })
        .collect();
    let calm = calm_rounds(&psi);
    println!(
        "\n{} partitions × {} KiB = {} KiB a round; {} of {} rounds calm",
        case.partitions,
        case.bytes as f64 / 1024.0,
        case.partitions * case.bytes / 1024,
        calm.len(),
        psi[0].len()
    );
    let mut table = Table::new(&[
        "shape",
        "p50 ms",
        "p99 ms",
        "rounds/s",
        "MB/s acked",
        "MB/s drained",
        "CPU-s/GB",
        "kthread CPU-s/GB",
        "written ×",
        "device ×",
        "PSI %",
    ]);
    for (shape, rounds) in shapes.iter().zip(&mut results) {
        let mut pooled = Latencies::default();
        for round in &calm {
            pooled.extend(&rounds[*round].latencies);
        }
        let column = |value: fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = calm.iter().map(|round| value(&rounds[*round])).collect();
            median(&mut values)
        };
        table.row(vec![
            shape.name().to_owned(),
            format!("{:.2}", pooled.quantile_ms(0.5)),
            format!("{:.2}", pooled.quantile_ms(0.99)),
            format!(
                "{:.0}",
                column(|o| o.latencies.len() as f64 / o.commit_wall.as_secs_f64())
            ),
            format!(
                "{:.0}",
                column(|o| o.payload as f64 / 1e6 / o.commit_wall.as_secs_f64())
            ),
            format!(
                "{:.0}",
                column(|o| o.payload as f64 / 1e6 / o.cost.wall.as_secs_f64())
            ),
            format!(
                "{:.2}",
                column(|o| o.cost.process_cpu.as_secs_f64() / (o.payload as f64 / 1e9))
            ),
            format!(
                "{:.2}",
                column(|o| o.cost.kernel_cpu.as_secs_f64() / (o.payload as f64 / 1e9))
            ),
            format!(
                "{:.2}",
                column(|o| o.cost.process_written as f64 / o.payload as f64)
            ),
            format!(
                "{:.2}",
                column(|o| o.cost.device_written as f64 / o.payload as f64)
            ),
            format!("{:.0}", column(|o| o.cost.psi_percent)),
        ]);
    }
    table.print();
}
