//! One HTTP request by hand, as a probe makes it: what is tested is the listener, not a client's leniency.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

const LIMIT: Duration = Duration::from_secs(15);

/// An answer.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// What follows.
    pub body: String,
}

/// `GET path` of the server at 127.0.0.1:`port`. Errors: nobody listens, or what comes back is no HTTP/1.1.
pub fn http_get(port: u16, path: &str) -> Result<HttpAnswer> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("headers do not end")?;
    let status = head.split(' ').nth(1).context("no status line")?;
    Ok(HttpAnswer {
        status: status.parse()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
