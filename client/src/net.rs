//! The seam between the client and the world: time, tasks, sockets, randomness. Everything else in this crate runs unchanged on tokio
//! (`tcp`), on the broker's runtime, and in the simulator.
//!
//! Invariant: everything lives on one thread (tasks are `!Send`), so state is owned or in cells, never locked.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A future that stays on its thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A byte stream to a broker: a socket, TLS over one, a simulated link.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A handle on the world; cloning it is a reference count.
pub type NetRef = Rc<dyn Net>;

/// What the client asks of the world.
pub trait Net {
    /// Starts a task on this thread.
    fn spawn(&self, task: LocalFuture<'static, ()>);

    /// Monotonic time since any zero.
    fn now(&self) -> Duration;

    /// Milliseconds since the Unix epoch; stamps records that come without a time.
    fn wall_clock_ms(&self) -> i64;

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> LocalFuture<'static, ()>;

    /// Opens a connection; resolves `host` first. Errors: as the operating system's connect.
    fn connect(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>>;

    /// Uniformly random bits; not for secrets.
    fn random(&self) -> u64;
}

/// A wait that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Gives `future` at most `duration`.
pub(crate) async fn timeout<T>(
    net: &NetRef,
    duration: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let sleep = net.sleep(duration);
    tokio::select! {
        biased;
        done = future => Ok(done),
        () = sleep => Err(Elapsed),
    }
}
