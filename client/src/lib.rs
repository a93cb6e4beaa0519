//! A Kafka client: connection, metadata, admin, producer, consumer. It speaks to any Kafka; the operator, the command line, the
//! end-to-end tests and the brokers among themselves use it.
//!
//! Rooms: `net` (the seam to time, tasks and sockets) with `tcp` as its everyday side, `connection` (frames, correlation, versions),
//! then what is built of connections: `cluster` (brokers, metadata, coordinators, retries), and upon it `admin`, `producer`, `consumer`.
//! Beside them `tls`, which wraps a stream. Invariant: only `tcp` touches tokio's clock and sockets, so that the simulator can run the rest.

pub mod admin;
pub mod cluster;
mod config;
pub mod connection;
pub mod consumer;
mod error;
mod group_offsets;
pub mod net;
pub mod producer;
pub mod tcp;
pub mod tls;

pub use admin::Admin;
pub use cluster::Cluster;
pub use config::ClientConfig;
pub use connection::{Connection, ConnectionError, ConnectionOptions, Versions};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord, Reset, StartAt};
pub use error::{ClientError, Failure};
pub use producer::{Acks, Delivered, Delivery, Producer, ProducerConfig, ProducerRecord};
pub use tls::Tls;
