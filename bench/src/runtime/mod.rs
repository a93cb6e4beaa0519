//! Which runtime shape carries a request to the partition's owner and back, at what cost (ADR 2).
//!
//! The server runs as a child process so that its CPU time is its own; the replayer loads it from
//! here. Work per request is the same in all shapes: decode, CRC, append to the owner's memory,
//! optionally one group commit on an I/O thread, answer in order. Only who runs where differs.

mod owner;
mod server;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::flags::Flags;
use crate::measure::{Cost, Reading, Subject, Table, calm_rounds, interleave, median};
use crate::produce_frame::encode_batch;
use crate::replay::{Load, Replayed, frames, replay};
use server::RuntimeShape;
pub use server::{USAGE as SERVE_USAGE, serve};

/// Usage text of the verb.
pub const USAGE: &str = "runtime [--shapes inline,single,sharded,stealing] [--commit none|log] [--rate REQUESTS/S] [--seconds S] [--rounds N]
          [--connections 1,8,50] [--depth N] [--requests PxBYTES,…]
    Who owns a partition: produce frames of P partitions with BYTES each, shape by shape, in interleaved rounds.";

struct Outcome {
    replayed: Replayed,
    cost: Cost,
}

#[derive(Clone, Copy)]
struct RequestShape {
    partitions: i32,
    bytes: usize,
}

impl std::str::FromStr for RequestShape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (partitions, bytes) = text
            .split_once('x')
            .context("a request is PARTITIONSxBYTES")?;
        Ok(Self {
            partitions: partitions.parse()?,
            bytes: bytes.parse()?,
        })
    }
}

/// Runs the verb.
pub fn run(args: &[String]) -> Result<()> {
    let flags = Flags::parse(
        args,
        &[
            "shapes",
            "commit",
            "rate",
            "seconds",
            "rounds",
            "connections",
            "depth",
            "requests",
        ],
    )?;
    let shapes = flags.list("shapes", &RuntimeShape::ALL)?;
    let commit = flags.text("commit").unwrap_or("none");
    let requests: Vec<RequestShape> = match flags.text("requests") {
        Some(_) => flags.list("requests", &[])?,
        None => ["1x1000", "1x16000", "16x1000", "64x250"]
            .iter()
            .map(|case| case.parse())
            .collect::<Result<_>>()?,
    };
    let rounds = flags.value("rounds", 4)?;
    for request in requests {
        for connections in flags.list("connections", &[1, 8, 50])? {
            let batch = encode_batch(1, request.bytes, 11);
            let load = Load {
                // 64 partitions in all; a pass over the frames touches each once.
                frames: frames("bench", 64, request.partitions, -1, &batch),
                connections,
                depth: flags.value("depth", 1)?,
                rate: flags.value("rate", 0.0)?,
                time: Duration::from_secs_f64(flags.value("seconds", 0.6)?),
            };
            let results = interleave(&shapes, rounds, |shape| one_run(*shape, commit, &load))?;
            let title = format!(
                "{} partition(s) × {} B a request, {connections} connection(s), depth {}, commit {commit}",
                request.partitions, request.bytes, load.depth
            );
            print_case(&title, &shapes, results);
        }
    }
    Ok(())
}

fn one_run(shape: RuntimeShape, commit: &str, load: &Load) -> Result<Outcome> {
    let mut server = ChildServer::start(&["serve", "--shape", shape.name(), "--commit", commit])?;
    let warm_up = Load {
        time: load.time / 6,
        ..load.clone()
    };
    replay(server.address, &warm_up)?;
    let subject = Subject::Process(server.child.id());
    let before = Reading::now(subject, None);
    let replayed = replay(server.address, load)?;
    let cost = Reading::now(subject, None).since(&before);
    server.stop()?;
    Ok(Outcome { replayed, cost })
}

/// A server verb of this program as a child process; its stdin is its lifeline.
struct ChildServer {
    child: Child,
    address: SocketAddr,
}

impl ChildServer {
    fn start(args: &[&str]) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port: u16 = line
            .trim()
            .strip_prefix("port ")
            .context("the server said no port")?
            .parse()?;
        Ok(Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        })
    }

    fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

fn print_case(title: &str, shapes: &[RuntimeShape], mut results: Vec<Vec<Outcome>>) {
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
    println!("\n{title}; {} of {} rounds calm", calm.len(), psi[0].len());
    let mut table = Table::new(&[
        "shape",
        "CPU µs/request",
        "ratio (min–max)",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "PSI %",
    ]);
    let base: Vec<f64> = results[0].iter().map(cpu_micros).collect();
    for (shape, rounds) in shapes.iter().zip(&mut results) {
        let mut cpu: Vec<f64> = calm
            .iter()
            .map(|round| cpu_micros(&rounds[*round]))
            .collect();
        let mut ratios: Vec<f64> = calm
            .iter()
            .map(|round| cpu_micros(&rounds[*round]) / base[*round])
            .collect();
        let mut rate: Vec<f64> = calm
            .iter()
            .map(|round| {
                rounds[*round].replayed.requests as f64 / rounds[*round].replayed.wall.as_secs_f64()
            })
            .collect();
        let mut pressure: Vec<f64> = calm
            .iter()
            .map(|round| rounds[*round].cost.psi_percent)
            .collect();
        let mut latencies = crate::measure::Latencies::default();
        for round in &calm {
            latencies.extend(&rounds[*round].replayed.latencies);
        }
        let middle = median(&mut ratios);
        table.row(vec![
            shape.name().to_owned(),
            format!("{:.1}", median(&mut cpu)),
            format!(
                "{middle:.2} ({:.2}–{:.2})",
                ratios[0],
                ratios[ratios.len() - 1]
            ),
            format!("{:.0}", median(&mut rate)),
            format!("{:.3}", latencies.quantile_ms(0.5)),
            format!("{:.3}", latencies.quantile_ms(0.99)),
            format!("{:.0}", median(&mut pressure)),
        ]);
    }
    table.print();
}

fn cpu_micros(outcome: &Outcome) -> f64 {
    outcome.cost.process_cpu.as_secs_f64() * 1e6 / outcome.replayed.requests.max(1) as f64
}
