//! The ends of connections as tasks hold them, and bound ports.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use ottla_broker::rt::{Listener, LocalFuture, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Net, Phase, Piece, WINDOW};

/// One end of a simulated connection.
pub struct SimStream {
    net: Net,
    connection: u64,
    end: usize,
    finished: bool,
}

impl SimStream {
    pub(super) fn new(net: Net, connection: u64, end: usize) -> Self {
        Self {
            net,
            connection,
            end,
            finished: false,
        }
    }

    /// Waits until the other side has accepted.
    pub async fn connected(self) -> io::Result<Self> {
        poll_fn(|cx| {
            let mut state = self.net.state.borrow_mut();
            let Some(connection) = state.connections.get_mut(&self.connection) else {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
            };
            match connection.phase {
                Phase::Established => Poll::Ready(Ok(())),
                Phase::Refused(kind) => Poll::Ready(Err(io::Error::from(kind))),
                Phase::Asking => {
                    connection.connecting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        Ok(self)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.net.close(self.connection, self.end);
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.net.state.borrow_mut();
        let short = state.options.short_probability;
        let Some(connection) = state.connections.get_mut(&self.connection) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let reset = connection.ends[self.end].reset;
        let incoming = &mut connection.directions[1 - self.end];
        // A reset discards what was received but not read: so do kernels.
        if reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if incoming.received.is_empty() {
            if incoming.ended {
                return Poll::Ready(Ok(()));
            }
            incoming.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut len = incoming.received.len().min(buf.remaining());
        let mut core = self.net.clock.core();
        if len > 1 && core.rng.chance(short) {
            len = core.rng.between(1, len as u64) as usize;
        }
        drop(core);
        buf.put_slice(&incoming.received[..len]);
        incoming.received.advance(len);
        let writer = incoming.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state.borrow_mut();
        let state = &mut *state;
        let short = state.options.short_probability;
        let Some(connection) = state.connections.get_mut(&self.connection) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if connection.ends[self.end].reset || self.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let outgoing = &mut connection.directions[self.end];
        let room = WINDOW.saturating_sub(outgoing.on_the_way_bytes + outgoing.received.len());
        let mut len = room.min(bytes.len());
        if len == 0 && !bytes.is_empty() {
            outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        {
            let mut core = self.net.clock.core();
            if len > 1 && core.rng.chance(short) {
                len = core.rng.between(1, len as u64) as usize;
            }
        }
        let piece = Piece::Bytes(Bytes::copy_from_slice(&bytes[..len]));
        self.net.send(state, self.connection, self.end, piece);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            self.finished = true;
            let net = self.net.clone();
            net.send(
                &mut net.state.borrow_mut(),
                self.connection,
                self.end,
                Piece::Fin,
            );
        }
        Poll::Ready(Ok(()))
    }
}

/// A bound port.
pub struct SimListener {
    net: Net,
    node: u32,
    life: u64,
    port: u16,
}

impl SimListener {
    pub(super) fn new(net: Net, node: u32, life: u64, port: u16) -> Self {
        Self {
            net,
            node,
            life,
            port,
        }
    }
}

impl Listener for SimListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(Net::address(self.node, self.port))
    }

    fn accept(&mut self) -> LocalFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(poll_fn(|cx| {
            let mut state = self.net.state.borrow_mut();
            let Some(bound) = state.bound.get_mut(&(self.node, self.port)) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let Some(number) = bound.backlog.pop_front() else {
                bound.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let peer = state
                .connections
                .get(&number)
                .map(|c| Net::address(c.ends[0].node, c.client_port));
            drop(state);
            let Some(peer) = peer else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            };
            let stream = SimStream::new(self.net.clone(), number, 1);
            Poll::Ready(Ok((Box::new(stream) as Box<dyn Stream>, peer)))
        }))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.net.state.borrow_mut();
            match state.bound.get(&(self.node, self.port)) {
                Some(bound) if bound.life == self.life => state
                    .bound
                    .remove(&(self.node, self.port))
                    .map(|bound| bound.backlog),
                _ => None,
            }
        };
        // Connections that nobody accepted are closed by the kernel.
        for number in waiting.into_iter().flatten() {
            self.net.close(number, 1);
        }
    }
}
