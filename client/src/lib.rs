//! A Kafka client: connection, metadata, admin, producer, consumer. It speaks to any Kafka; the operator, the command line, the
//! end-to-end tests and the brokers among themselves use it.
//!
//! Rooms: `net` (the seam to time, tasks and sockets) with `tcp` as its everyday side, `connection` (frames, correlation, versions),
//! then what is built of connections. Invariant: only `tcp` touches tokio's clock and sockets, so that the simulator can run the rest.

pub mod connection;
pub mod net;
pub mod tcp;

pub use connection::{Connection, ConnectionError, ConnectionOptions, Versions};
