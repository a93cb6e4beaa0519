//! Whole brokers under a simulated network, disk and clock, driven by one seed.
//!
//! The other side of two seams: [`ottla_broker::rt::Runtime`] and [`ottla_broker_storage::disk::Disk`].
//! What runs here is the shell that runs in production, and one seed run twice gives one trace hash.
//! Invariant: nothing in this crate reads a real clock, a real file, a thread or a hash order.
//! Not here: the history checker, swarm options, shrinking of failing seeds.

mod clock;
mod disk;
mod executor;
mod net;
mod node;
mod rng;
mod sim;
mod trace;

pub use clock::SECOND;
pub use disk::{CrashPoint, DiskFault, DiskOptions, FaultPoint, SimDisk};
pub use net::NetOptions;
pub use rng::Rng;
pub use sim::{Crash, NodeHandle, Options, Report, Sim, run};
