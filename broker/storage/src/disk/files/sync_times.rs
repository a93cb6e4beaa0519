//! How long the disk takes to make data durable: every fdatasync of every I/O thread.
//!
//! Counted with relaxed atomics by the thread that waited for the disk anyway; read by whoever wants to know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::tally::Tally;

/// Bounds in nanoseconds: a quarter of a millisecond is a good NVMe, ten a disk without a cache, a second is ill.
const BOUNDS_NANOS: [u64; SyncTimes::BOUNDS] = [
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
];

/// See the module.
#[derive(Debug, Default)]
pub struct SyncTimes {
    counts: [AtomicU64; SyncTimes::BOUNDS],
    above: AtomicU64,
    nanos: AtomicU64,
}

impl SyncTimes {
    /// Number of bounds.
    pub const BOUNDS: usize = 9;

    pub(super) fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.iter().position(|bound| nanos <= *bound);
        let count = bucket.map_or(&self.above, |at| &self.counts[at]);
        count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What was seen so far, in nanoseconds.
    pub fn tally(&self) -> Tally<{ SyncTimes::BOUNDS }> {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Tally::of_counts(
            BOUNDS_NANOS,
            std::array::from_fn(|at| load(&self.counts[at])),
            load(&self.above),
            load(&self.nanos),
        )
    }
}
