//! Every message of this crate by name, with one thing to do: decode and encode again. For oracles,
//! fuzzers and dump tools, which treat all messages alike; nothing on the data path looks here.

mod table;

use std::fmt;
use std::ops::RangeInclusive;

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
    decode: fn(&mut Reader, i16) -> Result<(), DecodeError>,
    recode: fn(&mut Reader, i16, i16) -> Result<Frame, RecodeError>,
    describe: fn(&mut Reader, i16) -> Result<String, DecodeError>,
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
    /// Decodes and forgets.
    pub fn decode(&self, reader: &mut Reader, version: i16) -> Result<(), DecodeError> {
        (self.decode)(reader, version)
    }

    /// Decodes and encodes what came out, perhaps in another version.
    pub fn recode(&self, reader: &mut Reader, from: i16, to: i16) -> Result<Frame, RecodeError> {
        (self.recode)(reader, from, to)
    }

    /// Decodes and shows it for people, by `Debug`.
    pub fn describe(&self, reader: &mut Reader, version: i16) -> Result<String, DecodeError> {
        (self.describe)(reader, version)
    }
}

/// All messages, by family.
#[must_use]
pub fn entries() -> &'static [Entry] {
    table::ENTRIES
}

/// The message of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    entries().iter().find(|entry| entry.name == name)
}

const fn entry<T: Message + fmt::Debug>(
    family: &'static str,
    name: &'static str,
    versions: RangeInclusive<i16>,
) -> Entry {
    Entry {
        family,
        name,
        versions,
        decode: decode::<T>,
        recode: recode::<T>,
        describe: describe::<T>,
    }
}

fn decode<T: Message>(reader: &mut Reader, version: i16) -> Result<(), DecodeError> {
    T::decode(reader, version).map(drop)
}

fn recode<T: Message>(reader: &mut Reader, from: i16, to: i16) -> Result<Frame, RecodeError> {
    let mut writer = Writer::new();
    T::decode(reader, from)?.encode(&mut writer, to)?;
    Ok(writer.finish())
}

fn describe<T: Message + fmt::Debug>(
    reader: &mut Reader,
    version: i16,
) -> Result<String, DecodeError> {
    Ok(format!("{:?}", T::decode(reader, version)?))
}
