//! The wire and record format of Apache Kafka 4.3.1: pure, no I/O.
//!
//! Invariant: a decode never panics, never recurses and asks the allocator for at most
//! 64 × frame + 64 KiB bytes, whatever the bytes are (`primitives::reader`). What the schemas say
//! lives in `schemas/`; `cargo xtask codegen` turns it into `messages`, `metadata_records` and
//! `coordinator_records`. Not here: sockets, clocks, and what a request means.

#[macro_use]
mod record_frame;

pub mod catalogue;
#[allow(missing_docs, reason = "generated: names and meaning are Kafka's")]
pub mod coordinator_records;
pub mod frame;
pub mod header;
#[allow(missing_docs, reason = "generated: names and meaning are Kafka's")]
pub mod messages;
#[allow(missing_docs, reason = "generated: names and meaning are Kafka's")]
pub mod metadata_records;
pub mod records;
#[allow(missing_docs, reason = "generated: names and meaning are Kafka's")]
pub mod remote_log_records;

mod api_key;
mod error_code;
mod message;
mod primitives;

pub use api_key::{ApiKey, Listener};
pub use bytes::Bytes;
pub use error_code::ErrorCode;
pub use message::{Message, Request};
pub use primitives::{
    DecodeError, EncodeError, Frame, Plain, Reader, Records, Str, UnknownTag, UnknownTags, Uuid,
    Writer,
};
