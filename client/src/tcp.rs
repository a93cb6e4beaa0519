//! The client's world made of tokio: plain TCP, tokio's clock and local tasks. The only room of this crate that uses them.
//! Not here: TLS (`tls`, over the streams that come from here).

use crate::net::{LocalFuture, Net, NetRef, Stream};
use std::cell::Cell;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;

/// Tokio on a current-thread runtime inside a `LocalSet`.
#[derive(Debug)]
pub struct Tcp {
    started: Instant,
    random: Cell<u64>,
}

/// The world of this process. Must be used inside a tokio `LocalSet` (see [`run`]).
pub fn net() -> NetRef {
    // The standard library's hasher keys are the only randomness that needs no further crate; 64 bits of seed are enough for
    // member ids and jitter.
    let seed = RandomState::new().build_hasher().finish();
    Rc::new(Tcp {
        started: Instant::now(),
        random: Cell::new(seed),
    })
}

/// Runs a client's work to its end on a runtime of its own: for command lines, and for programs whose tasks must be `Send` (call it
/// from a thread of its own there, as in `spawn_blocking`).
///
/// Errors: the runtime cannot be started (no descriptors left).
pub fn run<T, F: Future<Output = T>>(work: impl FnOnce(NetRef) -> F) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    Ok(runtime.block_on(local.run_until(async { work(net()).await })))
}

impl Net for Tcp {
    fn spawn(&self, task: LocalFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wall_clock_ms(&self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn connect(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>> {
        let address = (host.to_owned(), port);
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // Requests are written whole; waiting for more bytes would only add latency.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn random(&self) -> u64 {
        // splitmix64: equidistributed, and no two calls alike.
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
