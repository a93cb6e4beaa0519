//! The wire's vocabulary: strings, uuids, record bytes, tagged fields, and the two ends that move
//! them. Everything generated is written in these words. Not here: any message's shape.

mod error;
mod plain;
mod reader;
mod records_field;
mod str;
mod tags;
mod uuid;
mod writer;

pub use error::{DecodeError, EncodeError};
pub use plain::Plain;
pub use reader::Reader;
pub use records_field::Records;
pub use str::Str;
pub use tags::{UnknownTag, UnknownTags};
pub use uuid::Uuid;
pub use writer::{Frame, Writer};

pub(crate) use error::{nullable_if, refuse, refuse_null, refuse_tags};
