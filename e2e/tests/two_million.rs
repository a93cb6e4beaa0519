//! Goal: a log of many segments gives back every record, in order, from wherever one starts to
//! read. Method: two million numbered records over at least ten segments, each at the offset of
//! its number; Java and kcat read all from the beginning and from 100 random offsets, before and
//! after a restart. Small tests miss what is lost between segments.
//! Needs: jvm, kcat.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::{Cluster, JvmKafka, OttlaBroker, java, kafka_classpath};

const COUNT: u64 = 2_000_000;
const TOPIC: &str = "two-million";
const FILLER: &str =
    "the quick brown fox jumps over the lazy dog and on over the next segment of the log";

#[test]
fn apache_kafka() -> Result<()> {
    let kafka = JvmKafka::new(&[])?;
    let data = kafka.data();
    scenario(kafka, &data)
}

#[test]
fn ottla() -> Result<()> {
    let ottla = OttlaBroker::new(&[])?;
    let data = ottla.data();
    scenario(ottla, &data)
}

fn scenario(mut cluster: impl Cluster, data: &Path) -> Result<()> {
    cluster.start()?;
    step(&cluster, "java produces", || java_does("produce", &cluster))?;
    let segments = segments(data)?;
    ensure!(segments >= 10, "only {segments} segments");
    read_every_way(&cluster)?;
    cluster.stop()?;
    cluster.start()?;
    read_every_way(&cluster)?;
    cluster.stop()
}

fn read_every_way(cluster: &impl Cluster) -> Result<()> {
    step(cluster, "java reads all", || java_does("read", cluster))?;
    step(cluster, "java reads from 100 offsets", || {
        java_does("seek", cluster)
    })?;
    step(cluster, "kcat reads all", || kcat_reads(cluster, 0, COUNT))?;
    step(cluster, "kcat reads from 100 offsets", || {
        let mut random = 20u64;
        for _ in 0..100 {
            // A linear congruence is random enough to fall into every segment.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let from = (random >> 33) % COUNT;
            kcat_reads(cluster, from, COUNT.min(from + 100))?;
        }
        Ok(())
    })
}

/// Prints how long a step took: figures for the eye, none is asserted.
fn step(cluster: &impl Cluster, what: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    run().with_context(|| what.to_owned())?;
    println!(
        "{}: {what}: {:.1} s",
        cluster.name(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn java_does(what: &str, cluster: &impl Cluster) -> Result<()> {
    let output = java(&kafka_classpath()?)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm/TwoMillion.java"))
        .args([what, &cluster.bootstrap(), TOPIC, &COUNT.to_string()])
        .output()
        .context("cannot start java")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains("OK ") {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// kcat prints offset and value of `from..to`; each line has to be the next number.
fn kcat_reads(cluster: &impl Cluster, from: u64, to: u64) -> Result<()> {
    let mut kcat = Command::new("kcat")
        .args([
            "-b",
            &cluster.bootstrap(),
            "-C",
            "-q",
            "-t",
            TOPIC,
            "-p",
            "0",
        ])
        .args(["-o", &from.to_string(), "-c", &(to - from).to_string()])
        .args(["-e", "-f", "%o %s\n"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start kcat")?;
    let output = kcat.stdout.take().context("kcat has no output")?;
    let mut next = from;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if line != format!("{next} {next} {FILLER}") {
            kcat.kill()?;
            kcat.wait()?;
            bail!("expected record {next}, kcat printed `{line}`");
        }
        next += 1;
    }
    let status = kcat.wait()?;
    ensure!(
        status.success() && next == to,
        "kcat stopped at {next} of {from}..{to} with {status}"
    );
    Ok(())
}

fn segments(data: &Path) -> Result<usize> {
    let folder = data.join(format!("{TOPIC}-0"));
    let count = fs::read_dir(&folder)
        .with_context(|| format!("no {}", folder.display()))?
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "log"))
        .count();
    Ok(count)
}
