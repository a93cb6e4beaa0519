//! A node: a simulated machine with one process. This is the other side of the broker's runtime seam.
//!
//! A node has lives: each start of its process is one. What a task of an earlier life still asks for
//! is answered as if the machine were gone.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use ottla_broker::rt::{Instant, Listener, LocalFuture, Runtime, Stream};
use ottla_broker_storage::disk::Disk;

use crate::clock::{Clock, Event, Timer};
use crate::executor::Executor;
use crate::net::Net;
use crate::rng::Rng;

/// The wall clock at virtual time zero, in milliseconds.
pub const EPOCH_MS: i64 = 1_760_000_000_000;

/// The clock of one machine: how it differs from true time.
#[derive(Clone, Debug)]
pub struct NodeClock {
    /// Parts per million by which it runs too fast.
    pub drift_ppm: i64,
    /// Milliseconds by which its wall clock is ahead; may be changed at any time.
    pub wall_offset_ms: Rc<Cell<i64>>,
}

impl NodeClock {
    /// A clock that is right.
    pub fn exact() -> Self {
        Self {
            drift_ppm: 0,
            wall_offset_ms: Rc::default(),
        }
    }

    fn local(&self, global: u64) -> u64 {
        scale(global, 1_000_000 + self.drift_ppm, 1_000_000)
    }

    fn global(&self, local: u64) -> u64 {
        scale(local, 1_000_000, 1_000_000 + self.drift_ppm)
    }
}

fn scale(value: u64, numerator: i64, denominator: i64) -> u64 {
    let scaled = i128::from(value) * i128::from(numerator) / i128::from(denominator);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The runtime of one life of a node.
pub struct SimRuntime {
    pub(crate) node: u32,
    pub(crate) clock: Clock,
    pub(crate) executor: Executor,
    pub(crate) net: Net,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) node_clock: NodeClock,
    pub(crate) rng: RefCell<Rng>,
    /// False once the process of this life is gone.
    pub(crate) alive: Rc<Cell<bool>>,
}

impl Runtime for SimRuntime {
    fn spawn(&self, task: LocalFuture<'static, ()>) {
        if self.alive.get() {
            self.executor.spawn(self.node, task);
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.node_clock.local(self.clock.now()))
    }

    fn wall_clock_ms(&self) -> i64 {
        let elapsed = (self.node_clock.local(self.clock.now()) / 1_000_000) as i64;
        EPOCH_MS + elapsed + self.node_clock.wall_offset_ms.get()
    }

    fn sleep_until(&self, deadline: Instant) -> LocalFuture<'static, ()> {
        // Rounded up: a sleeper that wakes before its deadline by its own clock would sleep again at once.
        let at = self.node_clock.global(deadline.nanos()).saturating_add(1);
        Box::pin(Sleep::new(&self.clock, at))
    }

    fn listen(
        &self,
        _host: &str,
        port: u16,
    ) -> LocalFuture<'static, io::Result<Box<dyn Listener>>> {
        let bound = self.net.listen(self.node, port);
        Box::pin(async move { Ok(Box::new(bound?) as Box<dyn Listener>) })
    }

    fn connect(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>> {
        let (net, node, host) = (self.net.clone(), self.node, host.to_owned());
        Box::pin(async move {
            let stream = net.connect(node, &host, port)?.connected().await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn random(&self) -> u64 {
        self.rng.borrow_mut().bits()
    }
}

/// A sleep in virtual time.
pub struct Sleep {
    timer: Arc<Mutex<Timer>>,
}

impl Sleep {
    /// Sleeps until a point of true virtual time.
    pub fn new(clock: &Clock, at: u64) -> Self {
        let timer = Arc::<Mutex<Timer>>::default();
        clock.core().schedule(at, Event::Timer(timer.clone()));
        Self { timer }
    }
}

fn locked(timer: &Mutex<Timer>) -> MutexGuard<'_, Timer> {
    timer
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The time of a timer has come.
pub(crate) fn ring(timer: &Mutex<Timer>) {
    let waker = {
        let mut timer = locked(timer);
        timer.due = true;
        timer.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = locked(&self.timer);
        if timer.due {
            return Poll::Ready(());
        }
        timer.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        locked(&self.timer).waker = None;
    }
}
