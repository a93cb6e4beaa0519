//! The group coordinator of one `__consumer_offsets` partition, as a record core: pure, no clock, no I/O.
//!
//! What it remembers is of two kinds, kept apart on purpose:
//! - **durable** state is what the partition's records say (committed offsets, a group's last `GroupMetadata` record). The only writer
//!   is [`Coordinator::replay`], used for a log that is loaded and for the core's own records alike, so the two can never diverge.
//! - **soft** state is what a restart may forget (who is waiting in a join, sessions, timers, a generation that nobody has
//!   synced yet). Kafka forgets exactly the same, and clients heal it by joining again.
//!
//! The shell drives it: requests go in by [`Coordinator::handle`], [`Output`]s come out as data. The order of calls is the durability
//! order: [`Output::Append`] is appended by the shell, then answered by `appended` or `append_failed` before any other call;
//! replies that speak of those records leave at [`Coordinator::committed`], when the high watermark has passed them.
//!
//! Rooms: `call` (the face's data), `coordinator` (dispatch, replay, deadlines), `classic/` (the classic protocol's machine), `offsets/`
//! (committed offsets), `record` (bytes), `in_flight` (appended, not yet committed), `timers`. Other group types come beside `classic`.

mod call;
mod classic;
mod config;
mod coordinator;
mod in_flight;
mod offsets;
mod partition;
mod record;
mod timers;

pub use call::{AppendId, Call, ListFilter, Now, Output, Reply, Request, Response, Ticket};
pub use config::GroupConfig;
pub use coordinator::{Coordinator, DeletedTopic, GroupFigures};
pub use offsets::wire as offset_fetch_wire;
pub use partition::partition_for_group;
pub use record::{Record, RecordError, Replayed};

#[cfg(test)]
mod tests;
