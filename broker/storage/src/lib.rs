//! The log: segments, indexes, epochs, producer state, recovery and group commit, on a Disk seam.
//!
//! A map. [`LogDir`] opens a log directory (identity, lock, recovery); [`LogSet`] owns one owner's logs in it: appends, group
//! commit, hot reads, retention; [`ColdRead`] and [`LogReader`] read what is not in memory, anywhere. At rest a directory is
//! Apache Kafka's, byte for byte. Everything that touches a disk goes through [`disk::Disk`], so the simulator runs this very code.
//!
//! Rooms: `disk` (the seam, real files) · `dir` (open, recover, close) · `set` (a running owner) · `reader` (cold reads) ·
//! `commit` (the commit log's form) · `manifest`, `entry` (what is written down) · `state`, `segment`, `index`, `epochs`,
//! `producers` (pure bookkeeping) · `layout`, `names` (Kafka's small files) · `cursor`, `rewind` (reading segments again).
//! Not here: which batches are valid (protocol), replication, compaction (to come), tiered storage (to come).

pub mod atomic_file;
pub mod disk;
pub mod epochs;
pub mod layout;
pub mod names;
pub mod producers;

mod commit;
mod cursor;
mod damage;
mod dir;
mod entry;
mod index;
mod manifest;
mod reader;
mod rewind;
mod segment;
mod set;
mod state;
mod tally;

pub use damage::Damage;
pub use dir::{Closed, DirError, DirOptions, Health, LogDir, OpenedDir, OpenedLog, seal};
pub use entry::{Durability, LogId};
pub use names::LogName;
pub use producers::{AbortedTxn, Origin};
pub use reader::{ColdRead, Fetched, LogReader, OffsetInTime, ReadError};
pub use set::{
    AppendError, AppendedRecords, CommitFigures, DeleteRecordsError, Flushed, Limits, Log,
    LogConfig, LogSet, NoSuchLog, Progress, Read, RetentionPolicy, TruncateError,
};
pub use tally::Tally;
