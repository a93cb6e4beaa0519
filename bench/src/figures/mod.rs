//! The figures a release is told by, ours beside Apache Kafka's in the same run: how long until the
//! first acknowledged record, what an idle broker weighs, how long a restart takes after a kill.
//!
//! Both start from the same `server.properties` (durability aside: ours acknowledges after fsync,
//! Kafka does not) and are asked by the same raw-socket prober, so that no client's start is counted.
//! Rounds are interleaved. Nothing here fails: it prints a table.

mod peer;
mod probe;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::flags::Flags;
use crate::measure::{Table, interleave, median};
use crate::produce_frame::encode_batch;
use crate::replay::{Load, frames, replay};
use peer::{Peer, Running};

/// Usage text of the verb.
pub const USAGE: &str = "figures [--ottla PROGRAM] [--kafka-classpath CLASSPATH] [--dir DIR] [--rounds N] [--log-gb GB] [--idle-seconds S]
          [--three-brokers MANIFEST]
    Cold start, idle memory, restart after kill -9 with GB of logs, size of the program; ours beside Kafka's.
    `cargo xtask peers classpath 4.3.1` prints the classpath.";

/// Partitions of the topic that is filled before the kill.
const FILL_PARTITIONS: i32 = 6;

#[derive(Default, Clone)]
struct Figures {
    format: f64,
    cold_start: f64,
    cold_start_cpu: f64,
    idle_rss_mb: f64,
    idle_cpu_percent: f64,
    restart: f64,
    restart_cpu: f64,
    stop: f64,
}

/// One figure of all.
type Column = fn(&Figures) -> f64;

/// Runs the verb.
pub fn run(args: &[String]) -> Result<()> {
    let known = [
        "ottla",
        "kafka-classpath",
        "dir",
        "rounds",
        "log-gb",
        "idle-seconds",
        "three-brokers",
    ];
    let flags = Flags::parse(args, &known)?;
    let dir = PathBuf::from(flags.text("dir").unwrap_or("target/ottla-bench-figures"));
    let program = flags.text("ottla").map(PathBuf::from);
    let mut peers = Vec::new();
    if let Some(program) = &program {
        peers.push(Peer::Ottla {
            program: program.clone(),
        });
    }
    if let Some(classpath) = flags.text("kafka-classpath") {
        peers.push(Peer::Kafka {
            classpath: classpath.to_owned(),
        });
    }
    if peers.is_empty() {
        bail!("nobody to measure: give --ottla, --kafka-classpath or both");
    }
    let idle = Duration::from_secs_f64(flags.value("idle-seconds", 5.0)?);
    let log_bytes = (flags.value("log-gb", 1.0)? * 1e9) as u64;
    let rounds = interleave(&peers, flags.value("rounds", 3)?, |peer| {
        figures_of(peer, &dir, idle, log_bytes)
            .with_context(|| format!("while {} was measured", peer.name()))
    })?;
    print_table(&peers, &rounds, log_bytes);
    if let Some(program) = &program {
        print_program_size(program)?;
        if let Some(manifest) = flags.text("three-brokers") {
            three_brokers(program, manifest, &dir.join("three"), idle)?;
        }
    }
    let _ = fs::remove_dir_all(&dir);
    Ok(())
}

fn figures_of(peer: &Peer, dir: &Path, idle: Duration, log_bytes: u64) -> Result<Figures> {
    let dir = dir.join(peer.name());
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut figures = Figures::default();
    let port = peer.write_properties(&dir, FILL_PARTITIONS)?;

    let begin = Instant::now();
    peer.format(&dir)?;
    figures.format = begin.elapsed().as_secs_f64();
    let (running, seconds) = started(peer, &dir, port)?;
    figures.cold_start = seconds + figures.format;
    figures.cold_start_cpu = running.cpu().as_secs_f64();

    sleep(idle / 2);
    let (cpu, begin) = (running.cpu(), Instant::now());
    sleep(idle / 2);
    figures.idle_cpu_percent =
        (running.cpu() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
    figures.idle_rss_mb = running.resident_mb();

    fill(port, log_bytes)?;
    running.kill()?;
    let (running, seconds) = started(peer, &dir, port)?;
    figures.restart = seconds;
    figures.restart_cpu = running.cpu().as_secs_f64();
    let begin = Instant::now();
    running.stop()?;
    figures.stop = begin.elapsed().as_secs_f64();
    fs::remove_dir_all(&dir)?;
    Ok(figures)
}

/// Starts the peer and waits for its first acknowledged record; seconds from fork to answer.
fn started(peer: &Peer, dir: &Path, port: u16) -> Result<(Running, f64)> {
    let begin = Instant::now();
    let mut running = peer.start(dir)?;
    probe::first_acknowledged(port, "bench", || running.is_alive())?;
    Ok((running, begin.elapsed().as_secs_f64()))
}

/// Produces until about `bytes` are in the log.
fn fill(port: u16, bytes: u64) -> Result<()> {
    let batch = encode_batch(900, 1000, 3);
    let mut load = Load {
        frames: frames("bench", FILL_PARTITIONS, 1, 1, &batch),
        connections: 4,
        depth: 4,
        rate: 0.0,
        time: Duration::from_millis(500),
    };
    let mut filled = 0;
    while filled < bytes {
        let replayed = replay(([127, 0, 0, 1], port).into(), &load)?;
        filled += replayed.requests * batch.len() as u64;
        let per_second = (filled as f64 / replayed.wall.as_secs_f64()).max(1.0);
        let missing = bytes.saturating_sub(filled) as f64 / per_second;
        load.time = Duration::from_secs_f64(missing.clamp(0.05, 2.0));
        load.frames = Rc::clone(&load.frames);
    }
    Ok(())
}

/// A figure below this is no work, whatever its unit.
const NOTHING: f64 = 1e-4;

fn print_table(peers: &[Peer], rounds: &[Vec<Figures>], log_bytes: u64) {
    let mut header = vec!["figure".to_owned()];
    header.extend(peers.iter().map(|peer| peer.name().to_owned()));
    if peers.len() == 2 {
        header.push("ratio (min–max of the rounds)".to_owned());
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = Table::new(&header);
    let restart = format!(
        "kill -9 with {:.1} GB of logs → first ack, s",
        log_bytes as f64 / 1e9
    );
    let rows: [(&str, Column); 8] = [
        ("empty directory → first ack, s", |figures| {
            figures.cold_start
        }),
        ("  of which formatting, s", |figures| figures.format),
        ("  CPU-s without formatting", |figures| {
            figures.cold_start_cpu
        }),
        ("idle RSS, MB", |figures| figures.idle_rss_mb),
        ("idle CPU, % of a core", |figures| figures.idle_cpu_percent),
        (&restart, |figures| figures.restart),
        ("  CPU-s of it", |figures| figures.restart_cpu),
        ("clean stop, s", |figures| figures.stop),
    ];
    for (name, value) in rows {
        let mut cells = vec![name.to_owned()];
        for peer in rounds {
            let mut values: Vec<f64> = peer.iter().map(value).collect();
            cells.push(format!("{:.3}", median(&mut values)));
        }
        if let [ours, theirs] = rounds {
            let each = ours.iter().zip(theirs);
            let mut ratios: Vec<f64> = each
                .map(|(ours, theirs)| value(theirs) / value(ours))
                .collect();
            let middle = median(&mut ratios);
            // Where one of them has nothing to do, there is nothing to compare.
            let compares = rounds.iter().flatten().all(|round| value(round) > NOTHING);
            cells.push(match (compares, ratios.as_slice()) {
                (true, [low, .., high]) => format!("{middle:.1} × ({low:.1}–{high:.1})"),
                (true, _) => format!("{middle:.1} ×"),
                (false, _) => "–".to_owned(),
            });
        }
        table.row(cells);
    }
    table.print();
}

fn print_program_size(program: &Path) -> Result<()> {
    let stripped = std::env::temp_dir().join(format!("ottla-bench-{}", std::process::id()));
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(program)
        .status();
    let whole = fs::metadata(program)?.len() as f64 / 1e6;
    match status {
        Ok(status) if status.success() => {
            let size = fs::metadata(&stripped)?.len() as f64 / 1e6;
            fs::remove_file(&stripped)?;
            println!("\nprogram: {size:.1} MB stripped ({whole:.1} MB as built)");
        }
        _ => println!("\nprogram: {whole:.1} MB as built (no `strip` here)"),
    }
    Ok(())
}

/// `ottla up --detach` of a manifest: seconds until it says Ready, and what its processes weigh.
fn three_brokers(program: &Path, manifest: &str, dir: &Path, idle: Duration) -> Result<()> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    let ottla = |args: &[&str]| {
        Command::new(program)
            .args(args)
            .arg("--dir")
            .arg(dir)
            .output()
    };
    let begin = Instant::now();
    let up = ottla(&["up", manifest, "--detach"])?;
    let ready = begin.elapsed().as_secs_f64();
    if !up.status.success() {
        bail!(
            "`ottla up {manifest}` failed: {}",
            String::from_utf8_lossy(&up.stderr)
        );
    }
    println!("\n{manifest}: Ready after {ready:.2} s");
    sleep(idle);
    for (pid, command) in peer::processes_mentioning(dir) {
        println!("  idle RSS {:.1} MB  {command}", peer::resident_mb(pid));
    }
    let down = ottla(&["down", "--purge"])?;
    if !down.status.success() {
        bail!(
            "`ottla down` failed: {}",
            String::from_utf8_lossy(&down.stderr)
        );
    }
    Ok(())
}
