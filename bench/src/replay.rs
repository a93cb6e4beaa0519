//! The replayer: sends Produce frames that were encoded before the clock started, over N
//! connections, and throws the answers away after a look at the error code.
//!
//! A client that encodes while it measures is the bottleneck on a small machine. Closed loop keeps
//! `depth` requests of each connection in flight; open loop sends on a schedule and counts latency
//! from the moment a request was *due*, so that a stalled server cannot hide its stall.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::flags::Flags;
use crate::measure::{Latencies, Reading, Subject, Table};
use crate::produce_frame::{encode_batch, encode_request, response_error, split_frame};

/// Usage text of the verb.
pub const USAGE: &str = "replay --to HOST:PORT --topic NAME [--pid PID] [--partitions N] [--per-request N] [--records N] [--value-bytes N]
         [--acks N] [--connections N] [--depth N] [--rate REQUESTS/S] [--seconds S] [--warm-up S]
    Loads any broker that speaks Produce v7; with --pid also prints that process's CPU-seconds.";

/// What to send and how.
#[derive(Clone)]
pub struct Load {
    /// Whole frames, one sequence for all connections.
    pub frames: Rc<Vec<Bytes>>,
    /// Connections, all from one thread.
    pub connections: usize,
    /// Requests in flight per connection.
    pub depth: usize,
    /// Requests a second over all connections; 0 = closed loop.
    pub rate: f64,
    /// Length of the measurement.
    pub time: Duration,
}

/// What came back.
pub struct Replayed {
    /// Round trips; in open loop from the due time.
    pub latencies: Latencies,
    /// Requests answered.
    pub requests: u64,
    /// Wall time from the first send to the last answer.
    pub wall: Duration,
}

/// Runs the verb.
pub fn run(args: &[String]) -> Result<()> {
    let known = [
        "to",
        "topic",
        "pid",
        "partitions",
        "per-request",
        "records",
        "value-bytes",
        "acks",
        "connections",
        "depth",
        "rate",
        "seconds",
        "warm-up",
    ];
    let flags = Flags::parse(args, &known)?;
    let address: SocketAddr = flags
        .text("to")
        .context("--to is needed")?
        .parse()
        .context("--to is HOST:PORT")?;
    let topic = flags.text("topic").context("--topic is needed")?;
    let frames = frames(
        topic,
        flags.value("partitions", 6)?,
        flags.value("per-request", 1)?,
        flags.value("acks", -1)?,
        &encode_batch(
            flags.value("records", 16)?,
            flags.value("value-bytes", 1000)?,
            7,
        ),
    );
    let payload = frames[0].len();
    let mut load = Load {
        frames,
        connections: flags.value("connections", 4)?,
        depth: flags.value("depth", 5)?,
        rate: flags.value("rate", 0.0)?,
        time: Duration::from_secs_f64(flags.value("warm-up", 0.5)?),
    };
    replay(address, &load)?;
    load.time = Duration::from_secs_f64(flags.value("seconds", 5.0)?);
    let subject = flags
        .text("pid")
        .map(str::parse)
        .transpose()
        .context("--pid")?
        .map_or(Subject::Own, Subject::Process);
    let before = Reading::now(subject, None);
    let mut replayed = replay(address, &load)?;
    let cost = Reading::now(subject, None).since(&before);
    let gigabytes = replayed.requests as f64 * payload as f64 / 1e9;
    let whose = if matches!(subject, Subject::Own) {
        "client"
    } else {
        "broker"
    };
    let mut table = Table::new(&[
        "requests/s",
        "MB/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "whose CPU",
        "CPU µs/request",
        "CPU-s/GB",
        "PSI %",
    ]);
    table.row(vec![
        format!(
            "{:.0}",
            replayed.requests as f64 / replayed.wall.as_secs_f64()
        ),
        format!("{:.0}", gigabytes * 1e3 / replayed.wall.as_secs_f64()),
        format!("{:.3}", replayed.latencies.quantile_ms(0.5)),
        format!("{:.3}", replayed.latencies.quantile_ms(0.99)),
        format!("{:.3}", replayed.latencies.quantile_ms(0.999)),
        whose.to_owned(),
        format!(
            "{:.1}",
            cost.process_cpu.as_secs_f64() * 1e6 / replayed.requests as f64
        ),
        format!("{:.2}", cost.process_cpu.as_secs_f64() / gigabytes),
        format!("{:.0}", cost.psi_percent),
    ]);
    table.print();
    Ok(())
}

/// One frame per group of `per_request` partitions, so that a pass over all frames touches each of
/// `partitions` once.
pub fn frames(
    topic: &str,
    partitions: i32,
    per_request: i32,
    acks: i16,
    batch: &Bytes,
) -> Rc<Vec<Bytes>> {
    let all: Vec<i32> = (0..partitions).collect();
    Rc::new(
        all.chunks(per_request.max(1) as usize)
            .map(|group| encode_request(topic, group, acks, batch))
            .collect(),
    )
}

/// Sends the load and waits for the last answer.
pub fn replay(address: SocketAddr, load: &Load) -> Result<Replayed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut streams = Vec::new();
        for _ in 0..load.connections {
            let stream = TcpStream::connect(address)
                .await
                .with_context(|| format!("cannot connect to {address}"))?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let start = Instant::now();
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(number, stream)| {
                tokio::task::spawn_local(one_connection(stream, number, load.clone(), start))
            })
            .collect();
        let mut latencies = Latencies::default();
        for task in tasks {
            latencies.extend(&task.await??);
        }
        let requests = latencies.len() as u64;
        Ok(Replayed {
            latencies,
            requests,
            wall: start.elapsed(),
        })
    })
}

/// What the sending and the reading half of a connection share.
struct Flight {
    due: RefCell<VecDeque<Instant>>,
    /// Free places; closed when the connection has failed.
    free: Semaphore,
    latencies: RefCell<Latencies>,
}

async fn one_connection(
    stream: TcpStream,
    number: usize,
    load: Load,
    start: Instant,
) -> Result<Latencies> {
    let (reading, mut writing) = stream.into_split();
    let flight = Rc::new(Flight {
        due: RefCell::default(),
        free: Semaphore::new(load.depth),
        latencies: RefCell::default(),
    });
    let reader = tokio::task::spawn_local({
        let flight = Rc::clone(&flight);
        async move {
            let failure = read_answers(reading, &flight).await;
            flight.free.close();
            failure
        }
    });
    // Each connection has its own share of the schedule, shifted so that they do not fire together.
    let step =
        (load.rate > 0.0).then(|| Duration::from_secs_f64(load.connections as f64 / load.rate));
    let shift = step.map_or(Duration::ZERO, |step| {
        step.mul_f64(number as f64 / load.connections as f64)
    });
    let mut sent = 0_u32;
    let stopped = loop {
        let scheduled = step.map(|step| start + shift + step * sent);
        if let Some(due) = scheduled {
            tokio::time::sleep_until(due.into()).await;
        }
        let Ok(place) = flight.free.acquire().await else {
            break true;
        };
        let due = scheduled.unwrap_or_else(Instant::now);
        if due - start >= load.time {
            break false;
        }
        place.forget();
        flight.due.borrow_mut().push_back(due);
        writing
            .write_all(&load.frames[(sent as usize + number * 7) % load.frames.len()])
            .await?;
        sent += 1;
    };
    let all = u32::try_from(load.depth)?;
    if stopped || flight.free.acquire_many(all).await.is_err() {
        return Err(reader.await?);
    }
    reader.abort();
    Ok(flight.latencies.take())
}

/// Reads answers for as long as the connection is good; returns why it no longer is.
async fn read_answers(mut reading: OwnedReadHalf, flight: &Flight) -> anyhow::Error {
    let mut buffer = BytesMut::with_capacity(64 << 10);
    loop {
        match reading.read_buf(&mut buffer).await {
            Ok(0) => return anyhow!("the broker closed the connection"),
            Ok(_) => {}
            Err(error) => return error.into(),
        }
        while let Some(frame) = split_frame(&mut buffer) {
            let Some(due) = flight.due.borrow_mut().pop_front() else {
                return anyhow!("an answer nobody asked for");
            };
            flight.latencies.borrow_mut().record(due.elapsed());
            flight.free.add_permits(1);
            match response_error(frame) {
                Some(0) => {}
                code => return anyhow!("the broker answered with error code {code:?}"),
            }
        }
    }
}
