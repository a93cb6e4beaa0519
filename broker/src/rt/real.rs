//! The real side of the seam: tokio's current-thread runtime, the kernel's sockets, real files.
//!
//! One shard is one thread with one `LocalSet`; no work is stolen. Disk work runs on the I/O
//! threads of `ottla_broker_storage`. Source of randomness: the kernel, once, then a counter-based
//! mixer, since these bits pick jitter and ids, not keys.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_broker_storage::disk::Disk;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::{Instant, Listener, LocalFuture, Rt, Runtime, Stream};

/// Connections that wait for `accept`; more than Kafka's 50, since a restarted broker meets all
/// its clients at once.
const LISTEN_BACKLOG: u32 = 1024;

/// Runs `main` on a new shard of this thread until it ends. Errors: the runtime cannot start
/// (no descriptors left).
pub fn block_on<T>(disk: Arc<dyn Disk>, main: impl AsyncFnOnce(Rt) -> T) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    let rt: Rt = Rc::new(RealRuntime::new(disk)?);
    Ok(tasks.block_on(&runtime, main(rt)))
}

/// Completes when the process is asked to stop (SIGTERM or SIGINT).
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

struct RealRuntime {
    zero: std::time::Instant,
    disk: Arc<dyn Disk>,
    random: Cell<u64>,
}

impl RealRuntime {
    fn new(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut seed = [0u8; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self {
            zero: std::time::Instant::now(),
            disk,
            random: Cell::new(u64::from_ne_bytes(seed)),
        })
    }
}

impl Runtime for RealRuntime {
    fn spawn(&self, task: LocalFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }

    fn now(&self) -> Instant {
        let nanos = u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(nanos)
    }

    fn wall_clock_ms(&self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep_until(&self, deadline: Instant) -> LocalFuture<'static, ()> {
        let at = self.zero + Duration::from_nanos(deadline.nanos());
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn listen(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Listener>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let address = resolve(&host, port).await?;
            let socket = socket_for(&address)?;
            // A restarted broker takes its port back while old connections are in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(LISTEN_BACKLOG)?;
            Ok(Box::new(RealListener(listener)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    fn random(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): a counter and a finalizer.
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

struct RealListener(TcpListener);

impl Listener for RealListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&mut self) -> LocalFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer))
        })
    }
}

/// The address to bind for a listener's host; an empty host is every interface, as in Kafka.
async fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    lookup_host((host, port)).await?.next().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("host {host} has no address"),
        )
    })
}

fn socket_for(address: &SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}
