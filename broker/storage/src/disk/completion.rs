//! The future that a submitted disk operation answers with, and the end that a disk completes.
//!
//! Invariant: a completion is resolved exactly once; a disk that drops the other end without an
//! answer resolves it with `BrokenPipe`, so that nobody waits for ever. No runtime is needed.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::DiskOutcome;

#[derive(Default)]
struct Cell {
    result: Option<io::Result<DiskOutcome>>,
    waker: Option<Waker>,
    finished: bool,
}

type Shared = Arc<Mutex<Cell>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Cell> {
    shared
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Resolves to the outcome of one operation. Dropping it does not cancel the operation.
pub struct Completion(Shared);

/// The disk's end of a [`Completion`].
pub struct Completer(Shared);

impl Completion {
    /// Both ends of an operation that is on its way.
    pub fn pair() -> (Completer, Completion) {
        let shared = Shared::default();
        (Completer(shared.clone()), Completion(shared))
    }

    /// An operation that is finished already.
    pub fn ready(result: io::Result<DiskOutcome>) -> Completion {
        let (completer, completion) = Self::pair();
        completer.complete(result);
        completion
    }
}

impl Completer {
    /// Answers and wakes whoever waits. The waker runs on the calling thread.
    pub fn complete(self, result: io::Result<DiskOutcome>) {
        finish(&self.0, result);
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the disk dropped the operation");
        if !locked(&self.0).finished {
            finish(&self.0, Err(gone()));
        }
    }
}

fn finish(shared: &Shared, result: io::Result<DiskOutcome>) {
    let waker = {
        let mut cell = locked(shared);
        cell.finished = true;
        cell.result = Some(result);
        cell.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Future for Completion {
    type Output = io::Result<DiskOutcome>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut cell = locked(&self.0);
        match cell.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                cell.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a storage future to its end on this thread. For command line tools and tests on real
/// files; a broker awaits instead, and the simulator must never block.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_across_threads_and_never_hangs() {
        let (completer, completion) = Completion::pair();
        let disk = std::thread::spawn(move || completer.complete(Ok(DiskOutcome::Done)));
        assert!(matches!(block_on(completion), Ok(DiskOutcome::Done)));
        disk.join().expect("the thread completes");
        let (completer, completion) = Completion::pair();
        drop(completer);
        assert_eq!(
            block_on(completion).expect_err("dropped").kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
