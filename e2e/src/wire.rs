//! A connection that sends whatever bytes a scenario wants, good or bad, and tells what came back.
//! Synchronous and without a client's manners: no version negotiation, no retry.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ottla_protocol::{Bytes, Request, frame};

const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to one broker.
pub struct Wire {
    stream: TcpStream,
    next_correlation: i32,
}

impl Wire {
    /// Connects to `IP:port`.
    pub fn connect(address: &str) -> Result<Wire> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Wire {
            stream,
            next_correlation: 1,
        })
    }

    /// Sends bytes as they are. A peer that has closed already is no error: the answer tells.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if is_closed(error.kind()) => Ok(()),
            other => Ok(other?),
        }
    }

    /// The next frame without its length; None when the peer closed the connection. Errors: neither
    /// an answer nor a close in 20 s.
    pub fn receive(&mut self) -> Result<Option<Bytes>> {
        let mut length = [0u8; 4];
        match self.stream.read_exact(&mut length) {
            Err(error) if is_closed(error.kind()) => return Ok(None),
            other => other.context("neither an answer nor a close")?,
        }
        let length = i32::from_be_bytes(length);
        let Ok(length) = usize::try_from(length) else {
            bail!("a frame of {length} bytes");
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Some(Bytes::from(body)))
    }

    /// Sends a request in this version and reads its response.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        let correlation = self.next_correlation;
        self.next_correlation += 1;
        let sent =
            frame::encode_request(R::KEY, version, correlation, Some("wire".into()), request)?;
        self.send_raw(&sent.into_bytes())?;
        let answer = self
            .receive()?
            .context("the broker closed the connection")?;
        let (echoed, response) = frame::decode_response::<R::Response>(R::KEY, version, answer)?;
        ensure!(echoed == correlation, "the answer is to another request");
        Ok(response)
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
