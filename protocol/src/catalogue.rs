//! Every message of this crate by name, with one thing to do: decode and encode again. For oracles,
//! fuzzers and dump tools, which treat all messages alike; nothing on the data path looks here.

mod table;

use std::ops::RangeInclusive;

use bytes::Bytes;
use thiserror::Error;

use crate::{DecodeError, EncodeError, Frame, Message, Reader, Writer};

/// One message.
#[derive(Debug)]
pub struct Entry {
    /// The fact table it comes from: `messages`, `metadata_records`, …
    pub family: &'static str,
    /// Kafka's name, as in `FetchRequest`.
    pub name: &'static str,
    /// All versions the codec knows, unstable ones included.
    pub versions: RangeInclusive<i16>,
    recode: fn(Bytes, i16, i16) -> Result<Frame, RecodeError>,
    describe: fn(Bytes, i16) -> Result<String, DecodeError>,
}

/// Which way it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecodeError {
    /// The bytes are not this message.
    #[error("cannot decode: {0}")]
    Decode(#[from] DecodeError),
    /// What was decoded cannot be said in the version to write.
    #[error("cannot encode: {0}")]
    Encode(#[from] EncodeError),
}

impl Entry {
    /// Decodes the whole of `bytes` and encodes what came out, perhaps in another version.
    pub fn recode(&self, bytes: Bytes, from: i16, to: i16) -> Result<Frame, RecodeError> {
        (self.recode)(bytes, from, to)
    }

    /// Decodes the whole of `bytes` and shows it for people, by `Debug`.
    pub fn describe(&self, bytes: Bytes, version: i16) -> Result<String, DecodeError> {
        (self.describe)(bytes, version)
    }
}

/// All messages, by family.
#[must_use]
pub fn entries() -> &'static [Entry] {
    table::ENTRIES
}

const fn entry<T: Message + std::fmt::Debug>(
    family: &'static str,
    name: &'static str,
    versions: RangeInclusive<i16>,
) -> Entry {
    Entry {
        family,
        name,
        versions,
        recode: recode::<T>,
        describe: describe::<T>,
    }
}

fn whole<T: Message>(bytes: Bytes, version: i16) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    reader.expect_end()?;
    Ok(message)
}

fn recode<T: Message>(bytes: Bytes, from: i16, to: i16) -> Result<Frame, RecodeError> {
    let message = whole::<T>(bytes, from)?;
    let mut writer = Writer::new();
    message.encode(&mut writer, to)?;
    Ok(writer.finish())
}

fn describe<T: Message + std::fmt::Debug>(
    bytes: Bytes,
    version: i16,
) -> Result<String, DecodeError> {
    Ok(format!("{:?}", whole::<T>(bytes, version)?))
}
