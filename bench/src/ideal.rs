//! The ideal server: what a durable Produce costs when nothing but the physics is done. Receive,
//! check the CRC, write, acknowledge; blocking, one thread per connection, no metadata, no log.
//!
//! It is the floor the broker's figures are divided by, not a design.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;

use crate::flags::Flags;
use crate::produce_frame::{check_batch, decode_request, encode_response, split_frame};
use crate::storage::{AlignedBuffer, CommitLog};

/// Usage text of the verb.
pub const USAGE: &str = "ideal [--port PORT] [--dir DIR] [--durability none|page-cache|commit-log]
    The floor: receive + CRC + write + acknowledge. Prints `port N` and serves until stdin ends.";

#[derive(Clone, Copy)]
enum Durability {
    None,
    PageCache,
    CommitLog,
}

enum Sink {
    None,
    PageCache {
        file: File,
        end: u64,
    },
    CommitLog {
        log: CommitLog,
        group: AlignedBuffer,
    },
}

/// Runs the verb.
pub fn run(args: &[String]) -> Result<()> {
    let flags = Flags::parse(args, &["port", "dir", "durability"])?;
    let dir = PathBuf::from(flags.text("dir").unwrap_or("target/ottla-bench-ideal"));
    let durability = match flags.text("durability").unwrap_or("page-cache") {
        "none" => Durability::None,
        "page-cache" => Durability::PageCache,
        "commit-log" => Durability::CommitLog,
        other => bail!("--durability: {other:?} is not none, page-cache or commit-log"),
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let listener = TcpListener::bind(("127.0.0.1", flags.value("port", 0)?))?;
    println!("port {}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let dir = dir.clone();
            std::thread::spawn(move || {
                if let Err(error) = serve(
                    stream,
                    durability,
                    &dir.join(format!("connection-{number}")),
                ) {
                    eprintln!("connection {number}: {error:#}");
                }
            });
        }
    });
    // Whoever started us holds the other end.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn open_sink(durability: Durability, path: &Path) -> Result<Sink> {
    Ok(match durability {
        Durability::None => Sink::None,
        Durability::PageCache => Sink::PageCache {
            file: File::create(path)?,
            end: 0,
        },
        Durability::CommitLog => Sink::CommitLog {
            log: CommitLog::create(path, 64 << 20)?,
            group: AlignedBuffer::with_capacity(8 << 20),
        },
    })
}

fn serve(mut stream: TcpStream, durability: Durability, path: &Path) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut sink = open_sink(durability, path)?;
    let mut buffer = BytesMut::new();
    let mut chunk = vec![0; 1 << 20];
    let mut answers = BytesMut::new();
    loop {
        let received = stream.read(&mut chunk)?;
        if received == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..received]);
        answers.clear();
        while let Some(frame) = split_frame(&mut buffer) {
            let request = decode_request(frame).context("not a Produce v7 frame")?;
            let mut offsets = Vec::with_capacity(request.batches.len());
            for (index, batch) in &request.batches {
                check_batch(batch).context("wrong CRC")?;
                sink.add(batch)?;
                offsets.push((*index, 0));
            }
            encode_response(&mut answers, request.correlation, &request.topic, &offsets);
        }
        if !answers.is_empty() {
            sink.commit()?;
            stream.write_all(&answers)?;
        }
    }
}

impl Sink {
    fn add(&mut self, batch: &[u8]) -> Result<()> {
        match self {
            Self::None => {}
            Self::PageCache { file, end } => {
                file.write_all_at(batch, *end)?;
                *end += batch.len() as u64;
            }
            Self::CommitLog { group, .. } => group.extend(batch),
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if let Self::CommitLog { log, group } = self {
            log.commit(group)?;
            group.clear();
        }
        Ok(())
    }
}
