//! Goal: a cleanly stopped directory of ours opens in Apache Kafka 4.3.1, which serves the same records
//! and adds its own; stopped again, it opens in ours with everything there. Method: one properties file
//! and one data directory for both, kcat as the client of both.
//! Needs: jvm, kcat.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{
    Properties, Running, answers, free_ports, java, kafka_classpath, ottla_binary, tail_of, until,
};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "handed-over";

#[test]
fn a_directory_goes_to_apache_kafka_and_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ports = free_ports(2)?;
    // kcat creates no topic.
    let properties = Properties::combined(1, ports[0], ports[1], &dir.path().join("data"))
        .with("auto.create.topics.enable", true);
    let file = dir.path().join("server.properties");
    fs::write(&file, properties.to_string())?;
    let address = format!("127.0.0.1:{}", ports[0]);

    let ours = start_ours(&file, dir.path(), &address, "first")?;
    produce(&address, 1, 50_000)?;
    let written = consume(&address)?;
    ensure!(
        written == numbers(1, 50_000),
        "Ottla gives back {} of 50,000 records",
        written.len()
    );
    stop(ours)?;

    let theirs = start_theirs(&file, dir.path(), &address)?;
    ensure!(
        consume(&address)? == written,
        "Apache Kafka serves other records than Ottla wrote"
    );
    produce(&address, 50_001, 60_000)?;
    stop(theirs)?;

    let ours = start_ours(&file, dir.path(), &address, "second")?;
    let all = consume(&address)?;
    ensure!(
        all == numbers(1, 60_000),
        "Ottla gives back {} of 60,000 records",
        all.len()
    );
    stop(ours)
}

fn start_ours(file: &Path, dir: &Path, address: &str, life: &str) -> Result<Running> {
    let mut command = Command::new(ottla_binary()?);
    command.arg("broker").arg(file);
    started(
        "ottla broker",
        &mut command,
        &dir.join(format!("ottla-{life}.log")),
        address,
    )
}

fn start_theirs(file: &Path, dir: &Path, address: &str) -> Result<Running> {
    let mut command = java(&kafka_classpath()?);
    command.arg("kafka.Kafka").arg(file);
    started(
        "Apache Kafka",
        &mut command,
        &dir.join("kafka.log"),
        address,
    )
}

fn started(name: &str, command: &mut Command, log: &Path, address: &str) -> Result<Running> {
    let mut running = Running::start(name, command, log)?;
    until(format!("{name} to serve"), START_LIMIT, || {
        running.expect_alive()?;
        Ok(answers(address).then_some(()))
    })
    .with_context(|| tail_of(log, 40))?;
    Ok(running)
}

fn stop(mut running: Running) -> Result<()> {
    running.stop(STOP_LIMIT).map(drop)
}

fn numbers(from: u32, to: u32) -> Vec<String> {
    (from..=to).map(|number| number.to_string()).collect()
}

fn kcat(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command
        .args([
            "-q",
            "-b",
            address,
            "-t",
            TOPIC,
            "-X",
            "topic.metadata.refresh.interval.ms=1000",
        ])
        .args(arguments);
    command
}

/// One record per number, in order, acknowledged by all replicas.
fn produce(address: &str, from: u32, to: u32) -> Result<()> {
    let mut producer = kcat(
        address,
        &[
            "-P",
            "-z",
            "lz4",
            "-X",
            "acks=all",
            "-X",
            "enable.idempotence=true",
        ],
    )
    .stdin(Stdio::piped())
    .spawn()?;
    let lines = numbers(from, to).join("\n");
    producer
        .stdin
        .take()
        .context("standard input is piped")?
        .write_all(lines.as_bytes())?;
    ensure!(producer.wait()?.success(), "kcat cannot produce");
    Ok(())
}

fn consume(address: &str) -> Result<Vec<String>> {
    let read = kcat(address, &["-C", "-e", "-o", "beginning"]).output()?;
    ensure!(
        read.status.success(),
        "kcat cannot consume: {}",
        String::from_utf8_lossy(&read.stderr)
    );
    Ok(String::from_utf8(read.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}
