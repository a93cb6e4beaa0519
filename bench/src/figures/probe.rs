//! The prober: raw sockets and hand-made frames, so that the first acknowledgement is seen within a
//! millisecond of being sent and no client library's start is counted.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::{BufMut, Bytes, BytesMut};

use crate::produce_frame::{encode_batch, encode_request, response_error, split_frame};

/// How long a start may take before the figure is given up.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(1);
/// A broker that accepts but does not answer in this time is asked again on a new connection.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks until a record is acknowledged by all in-sync replicas. The topic is created on the way, by
/// a Metadata request that allows it.
pub fn first_acknowledged(port: u16, topic: &str, mut alive: impl FnMut() -> bool) -> Result<()> {
    let create = metadata_request(topic);
    let produce = encode_request(topic, &[0], -1, &encode_batch(1, 10, 1));
    let begin = Instant::now();
    let mut last = "nothing listens".to_owned();
    while begin.elapsed() < PATIENCE {
        if !alive() {
            bail!("the process ended before its first acknowledgement (last seen: {last})");
        }
        match acknowledged_on_one_connection(port, &create, &produce) {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        sleep(PAUSE);
    }
    bail!(
        "no acknowledgement within {} s (last seen: {last})",
        PATIENCE.as_secs()
    )
}

fn acknowledged_on_one_connection(port: u16, create: &Bytes, produce: &Bytes) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    loop {
        ask(&mut stream, create)?;
        let answer = ask(&mut stream, produce)?;
        match response_error(answer) {
            Some(0) => return Ok(()),
            Some(_) => sleep(PAUSE),
            None => return Err(io::Error::other("the answer to Produce is cut short")),
        }
    }
}

fn ask(stream: &mut TcpStream, request: &Bytes) -> io::Result<Bytes> {
    stream.write_all(request)?;
    let mut buffer = BytesMut::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(frame) = split_frame(&mut buffer) {
            return Ok(frame);
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => buffer.extend_from_slice(&chunk[..len]),
        }
    }
}

/// Metadata version 4 for one topic, which it lets the broker create.
fn metadata_request(topic: &str) -> Bytes {
    let mut body = BytesMut::new();
    body.put_i16(3);
    body.put_i16(4);
    body.put_i32(0);
    body.put_i16(5);
    body.put_slice(b"bench");
    body.put_i32(1);
    body.put_i16(topic.len() as i16);
    body.put_slice(topic.as_bytes());
    body.put_u8(1);
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.put(body);
    frame.freeze()
}
