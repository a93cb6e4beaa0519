//! Directories of brokers that do not run: what lies in them, and making them Apache Kafka's.

mod dump_log;
mod index;
mod records;
mod seal;
mod segment;
mod small;

pub use dump_log::{DumpLogArgs, dump_log};
pub use seal::{SealArgs, seal};
