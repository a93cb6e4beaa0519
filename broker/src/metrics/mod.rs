//! What can be measured of a node, and how it is told to Prometheus.
//!
//! ```text
//!   meters.rs    counted by the shard as it serves ─┐
//!   owners       asked, a page at a time ───────────┼─ gather.rs ─▶ Snapshot ─▶ fill.rs ─▶ page.rs ─▶ text
//!   process.rs   /proc, statvfs, fdatasync ─────────┘   (shard)      (plain data)  (thread of the listener)
//!                                                                              names: table.rs
//! ```
//! Invariant: a number has one owner and is counted there in the open; a scrape copies. Everything that costs
//! in proportion to topics and partitions beyond that copy is done outside the shard. One row of the table names a
//! metric in every dialect, so that all dialects tell the same value. Not here: HTTP (`crate::management`).

mod fill;
mod gather;
mod meters;
mod page;
mod process;
mod reference;
mod table;

pub use fill::fill;
pub use gather::{Snapshot, gather};
pub use meters::{Connections, Meters, Traffic, add_to, records_in};
pub use page::{Dialect, Page};
pub use process::Process;
pub use reference::markdown;
pub use table::Metric;
