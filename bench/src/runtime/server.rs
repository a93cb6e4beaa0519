//! The server of the runtime experiment, in four shapes:
//!
//! - `inline`: one current-thread runtime; connection tasks append themselves. No commit possible;
//!   it shows what the message to the owner costs.
//! - `single`: one current-thread runtime, one owner loop.
//! - `sharded`: two current-thread runtimes, each with an owner loop; connections are dealt out in
//!   turn, partitions are owned by `index mod 2`, so half of the appends cross cores.
//! - `stealing`: the multi-threaded runtime with two workers, one actor per partition.

use std::cell::RefCell;
use std::io::{self, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::owner::{Event, Group, Inline, Offsets, commit_loop, own};
use crate::flags::Flags;
use crate::produce_frame::{ProduceParts, decode_request, encode_response, split_frame};

const CORES: usize = 2;
const PARTITIONS: usize = 64;
const READ_BYTES: usize = 64 << 10;

/// Usage text of the verb.
pub const USAGE: &str =
    "serve --shape inline|single|sharded|stealing [--commit none|log] [--dir DIR] [--port PORT]
    The server of `runtime` by itself. Prints `port N` and serves until stdin ends.";

/// Names of the shapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RuntimeShape {
    /// Connection tasks append themselves.
    Inline,
    /// One core, one owner loop.
    Single,
    /// Two cores, an owner loop each.
    Sharded,
    /// Work stealing, an actor per partition.
    Stealing,
}

impl RuntimeShape {
    /// All shapes in their order of presentation.
    pub const ALL: [Self; 4] = [Self::Single, Self::Inline, Self::Sharded, Self::Stealing];

    /// The name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Single => "single",
            Self::Sharded => "sharded",
            Self::Stealing => "stealing",
        }
    }
}

impl FromStr for RuntimeShape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|shape| shape.name() == text) {
            Some(shape) => Ok(shape),
            None => bail!("unknown shape {text:?}"),
        }
    }
}

/// Runs the verb.
pub fn serve(args: &[String]) -> Result<()> {
    let flags = Flags::parse(args, &["shape", "commit", "dir", "port"])?;
    let shape: RuntimeShape = flags.text("shape").context("--shape is needed")?.parse()?;
    let dir = PathBuf::from(flags.text("dir").unwrap_or("target/ottla-bench-runtime"));
    let commit = match flags.text("commit").unwrap_or("none") {
        "none" => None,
        "log" => Some(start_commit_thread(dir)?),
        other => bail!("--commit: {other:?} is not none or log"),
    };
    let listener = TcpListener::bind(("127.0.0.1", flags.value("port", 0)?))?;
    println!("port {}", listener.local_addr()?.port());
    std::thread::spawn(move || match shape {
        RuntimeShape::Inline => on_cores(&listener, 1, |_| {
            Local::Inline(Rc::new(RefCell::new(Inline::new())))
        }),
        RuntimeShape::Single => on_cores(&listener, 1, channels_to_owners(1, commit)),
        RuntimeShape::Sharded => on_cores(&listener, CORES, channels_to_owners(CORES, commit)),
        RuntimeShape::Stealing => work_stealing(&listener, commit),
    });
    // Whoever started us holds the other end.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

type Commit = Option<std::sync::mpsc::Sender<Group>>;

fn start_commit_thread(dir: PathBuf) -> Result<std::sync::mpsc::Sender<Group>> {
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (sender, groups) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if let Err(error) = commit_loop(&dir.join("commit.log"), &groups) {
            eprintln!("commit thread: {error}");
        }
    });
    Ok(sender)
}

/// Where appends go: one address per owner, partition `index mod owners`.
#[derive(Clone)]
struct Owners(Arc<Vec<mpsc::UnboundedSender<Event>>>);

/// How the connections of one core reach the owners.
#[derive(Clone)]
enum Local {
    Inline(Rc<RefCell<Inline>>),
    Owners(Owners),
}

/// Prepares `owners` owner loops; core `n` runs loop `n` and gets the addresses of all.
fn channels_to_owners(
    owners: usize,
    commit: Commit,
) -> impl Fn(usize) -> Local + Send + Sync + 'static {
    let mut addresses = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..owners {
        let (sender, receiver) = mpsc::unbounded_channel();
        addresses.push(sender);
        receivers.push(std::sync::Mutex::new(Some(receiver)));
    }
    let addresses = Owners(Arc::new(addresses));
    let commit = std::sync::Mutex::new(commit);
    move |core| {
        let receiver = receivers[core]
            .lock()
            .ok()
            .and_then(|mut receiver| receiver.take());
        let commit = commit.lock().ok().and_then(|commit| commit.clone());
        if let Some(receiver) = receiver {
            tokio::task::spawn_local(own(addresses.0[core].downgrade(), receiver, commit));
        }
        Local::Owners(addresses.clone())
    }
}

/// One current-thread runtime per core; core 0 also accepts.
fn on_cores(listener: &TcpListener, cores: usize, local: impl Fn(usize) -> Local + Send + Sync) {
    std::thread::scope(|scope| {
        let local = &local;
        let mut inboxes = Vec::new();
        for core in 0..cores {
            let (inbox, mut arriving) = mpsc::unbounded_channel::<std::net::TcpStream>();
            inboxes.push(inbox);
            scope.spawn(move || {
                let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
                    return;
                };
                LocalSet::new().block_on(&runtime, async {
                    let local = local(core);
                    while let Some(stream) = arriving.recv().await {
                        let local = local.clone();
                        tokio::task::spawn_local(async move {
                            report(one_connection(stream, local).await)
                        });
                    }
                });
            });
        }
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let _ = inboxes[number % cores].send(stream);
        }
    });
}

fn work_stealing(listener: &TcpListener, commit: Commit) {
    let Ok(runtime) = Builder::new_multi_thread()
        .worker_threads(CORES)
        .enable_all()
        .build()
    else {
        return;
    };
    let _entered = runtime.enter();
    let mut addresses = Vec::new();
    for _ in 0..PARTITIONS {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(own(sender.downgrade(), receiver, commit.clone()));
        addresses.push(sender);
    }
    let owners = Owners(Arc::new(addresses));
    for stream in listener.incoming().flatten() {
        let owners = owners.clone();
        tokio::spawn(async move { report(one_stolen_connection(stream, owners).await) });
    }
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        eprintln!("connection: {error:#}");
    }
}

fn take_over(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

async fn one_connection(stream: std::net::TcpStream, local: Local) -> Result<()> {
    match local {
        Local::Owners(owners) => one_stolen_connection(stream, owners).await,
        Local::Inline(partitions) => {
            let mut stream = take_over(stream)?;
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            let mut answers = BytesMut::new();
            while read_more(&mut stream, &mut buffer).await? {
                while let Some(frame) = split_frame(&mut buffer) {
                    let request = decode_request(frame).context("not a Produce v7 frame")?;
                    let offsets = partitions.borrow_mut().append(&request.batches);
                    encode_response(&mut answers, request.correlation, &request.topic, &offsets);
                }
                stream.write_all(&answers).await?;
                answers.clear();
            }
            Ok(())
        }
    }
}

/// Parses every complete request in the buffer, sends all of them to their owners, then answers all
/// with one write.
async fn one_stolen_connection(stream: std::net::TcpStream, owners: Owners) -> Result<()> {
    let mut stream = take_over(stream)?;
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let mut answers = BytesMut::new();
    while read_more(&mut stream, &mut buffer).await? {
        let mut dispatched = Vec::new();
        while let Some(frame) = split_frame(&mut buffer) {
            let request = decode_request(frame).context("not a Produce v7 frame")?;
            dispatched.push(owners.dispatch(request));
        }
        for (correlation, topic, replies) in dispatched {
            let mut offsets = Vec::new();
            for reply in replies {
                offsets.append(&mut reply.await?);
            }
            encode_response(&mut answers, correlation, &topic, &offsets);
        }
        stream.write_all(&answers).await?;
        answers.clear();
    }
    Ok(())
}

async fn read_more(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<bool> {
    buffer.reserve(READ_BYTES);
    Ok(stream.read_buf(buffer).await? > 0)
}

impl Owners {
    /// One message per owner that has a part in the request.
    fn dispatch(&self, request: ProduceParts) -> (i32, Bytes, Vec<oneshot::Receiver<Offsets>>) {
        let mut parts: Vec<Vec<(i32, Bytes)>> = vec![Vec::new(); self.0.len()];
        for (index, batch) in request.batches {
            parts[index as usize % self.0.len()].push((index, batch));
        }
        let mut replies = Vec::new();
        for (address, batches) in self.0.iter().zip(parts) {
            if !batches.is_empty() {
                let (reply, receiver) = oneshot::channel();
                let _ = address.send(Event::Append { batches, reply });
                replies.push(receiver);
            }
        }
        (request.correlation, request.topic, replies)
    }
}
