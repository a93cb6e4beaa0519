//! What a client of this port may take: a connection for a few seconds, and one of few.
//!
//! Invariant: no connection outlives [`Limits::time`], whatever its client does or leaves undone, and there
//! are never more than [`Limits::connections`]; others wait in the kernel's backlog. So a client that sends
//! nothing, garbage, or reads nothing holds a probe up for seconds at most.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// How long, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From accept to the last byte.
    pub time: Duration,
    /// Connections at a time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Prometheus gives up a scrape after ten seconds, a probe after one.
            time: Duration::from_secs(10),
            // Prometheus, a few probes, a person: each may have up to 400 KB buffered before it is refused.
            connections: 32,
        }
    }
}

/// Pause after a failed accept: long enough not to spin while the process is out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A socket whose connections are few and short.
pub struct Limited {
    socket: TcpListener,
    time: Duration,
    slots: Arc<Semaphore>,
}

impl Limited {
    /// Around a socket that listens.
    pub fn new(socket: TcpListener, limits: Limits) -> Self {
        Self {
            socket,
            time: limits.time,
            slots: Arc::new(Semaphore::new(limits.connections)),
        }
    }
}

impl axum::serve::Listener for Limited {
    type Io = Short;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Short, SocketAddr) {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let slot = slot.expect("nobody closes it");
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    let ends = Box::pin(sleep(self.time));
                    return (
                        Short {
                            stream,
                            ends,
                            _slot: slot,
                        },
                        peer,
                    );
                }
                Err(_) => sleep(ACCEPT_RETRY).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A connection that fails when its time is over.
pub struct Short {
    stream: TcpStream,
    ends: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Short {
    /// An error once the time is over; else the task wakes when it is.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.ends.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Short {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Short {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
