//! The runtime seam: the only room of the broker that reaches time, network, disk, tasks and
//! randomness. Everything else in the shell takes an [`Rt`] and runs unchanged on the real side
//! (`rt/real.rs`) and on the simulated side (`broker/sim`).
//!
//! Invariant: one `Rt` serves one shard, which is single-threaded; tasks are `!Send`, so state is
//! owned by exactly one task and never locked. TLS ([`tls`]) wraps a [`Stream`] of either side. Not here:
//! protocol.

pub mod client_net;
pub mod real;
pub mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_storage::disk::Disk;
use tokio::io::{AsyncRead, AsyncWrite};

/// A handle on the runtime of one shard; cloning it is a reference count.
pub type Rt = Rc<dyn Runtime>;

/// A future that stays on its shard.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What the shell may ask of the world.
pub trait Runtime {
    /// Starts a task on this shard. It ends when its future ends or the process (or the simulated
    /// node) dies; a task that must end earlier watches a channel of its owner.
    fn spawn(&self, task: LocalFuture<'static, ()>);

    /// Monotonic time; its zero has no meaning.
    fn now(&self) -> Instant;

    /// Wall-clock time in milliseconds since the epoch. May jump both ways.
    fn wall_clock_ms(&self) -> i64;

    /// Completes at `deadline` or, if that has passed, at the next turn of the shard.
    fn sleep_until(&self, deadline: Instant) -> LocalFuture<'static, ()>;

    /// Binds a listening socket. Errors: as the operating system's bind (port taken, denied).
    fn listen(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Listener>>>;

    /// Opens a connection; resolves `host` first. Errors: as the operating system's connect.
    fn connect(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>>;

    /// The disk that this node's data directories are on.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Uniformly random bits; not for secrets.
    fn random(&self) -> u64;
}

/// Sleeps for `duration` from now.
pub fn sleep(rt: &Rt, duration: Duration) -> LocalFuture<'static, ()> {
    rt.sleep_until(rt.now() + duration)
}

/// A bound socket that yields connections.
pub trait Listener {
    /// The address that was bound; tells the port when port 0 was asked for.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection and the address of its peer. Errors are of one connection attempt
    /// (for example: no descriptor left); accepting may go on after them.
    fn accept(&mut self) -> LocalFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
}

/// A byte stream to a peer: a socket, a simulated link, TLS over either.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A point of monotonic time, in nanoseconds from a zero without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// The point `nanos` after the runtime's zero. For runtimes only.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Nanoseconds after the runtime's zero.
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// Whole milliseconds after the runtime's zero: the `now_ms` that the pure cores take.
    pub const fn ms(self) -> i64 {
        (self.nanos / 1_000_000) as i64
    }

    /// The point at which [`Instant::ms`] turns to `ms`; negative values are the zero.
    pub const fn from_ms(ms: i64) -> Self {
        let ms = if ms < 0 { 0 } else { ms as u64 };
        Self {
            nanos: ms.saturating_mul(1_000_000),
        }
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant {
            nanos: self.nanos.saturating_add(nanos),
        }
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    fn sub(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}
