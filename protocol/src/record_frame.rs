//! How records of internal topics say what they are.
//!
//! Metadata and remote log records (`keyed_records!`): the value opens with frame version 1, type
//! and version as unsigned varints; the record has no key.
//! Coordinator records (`coordinator_records!`): the key opens with an int16 type and is a message
//! in version 0; the value opens with an int16 version, or is null, which deletes the key.
//!
//! Unknown types and versions, and bytes behind the end, are errors: who applies records must not
//! guess.

use bytes::Bytes;

use crate::{DecodeError, EncodeError, Message, Reader, Writer};

const FRAME_VERSION: u32 = 1;

/// Reads frame version, type and version.
pub(crate) fn open(value: Bytes) -> Result<(Reader, i16, i16), DecodeError> {
    let mut reader = Reader::new(value);
    match reader.uvarint()? {
        FRAME_VERSION => {}
        other => return Err(DecodeError::UnknownFrame(other)),
    }
    let key = reader.uvarint()?;
    let version = reader.uvarint()?;
    let key = i16::try_from(key).map_err(|_| DecodeError::UnknownType(key))?;
    let version = i16::try_from(version).map_err(|_| DecodeError::UnsupportedVersion(i16::MAX))?;
    Ok((reader, key, version))
}

/// Reads the rest of a value or key.
pub(crate) fn body<M: Message>(mut reader: Reader, version: i16) -> Result<M, DecodeError> {
    let message = M::decode(&mut reader, version)?;
    reader.expect_end()?;
    Ok(message)
}

/// Writes a value with its frame version, type and version.
pub(crate) fn seal<M: Message>(key: i16, version: i16, body: &M) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.uvarint(FRAME_VERSION);
    writer.uvarint(u32::from(key.cast_unsigned()));
    writer.uvarint(u32::from(version.cast_unsigned()));
    body.encode(&mut writer, version)?;
    Ok(writer.finish().into_bytes())
}

/// Writes a coordinator record's key (prefix: its type) or value (prefix: its version).
pub(crate) fn prefixed<M: Message>(
    prefix: i16,
    version: i16,
    body: &M,
) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(prefix);
    body.encode(&mut writer, version)?;
    Ok(writer.finish().into_bytes())
}

/// Reads a coordinator record's value, if it has one.
pub(crate) fn value<M: Message>(value: Option<Bytes>) -> Result<Option<M>, DecodeError> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader::new(value);
    let version = reader.i16()?;
    body(reader, version).map(Some)
}

/// An enum over records whose value says what it is.
macro_rules! keyed_records {
    ($(#[$doc:meta])* $name:ident { $($key:literal: $variant:ident($record:ident) $versions:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum $name { $($variant($record),)* }

        impl $name {
            /// Reads a record's value.
            ///
            /// Errors: unknown frame, type or version, bytes behind the end, or a broken body.
            pub fn decode(value: bytes::Bytes) -> Result<Self, crate::DecodeError> {
                let (reader, key, version) = crate::record_frame::open(value)?;
                match key {
                    $($key => crate::record_frame::body(reader, version).map(Self::$variant),)*
                    _ => Err(crate::DecodeError::UnknownType(key as u32)),
                }
            }

            /// Type and version of a record's value, without reading its body.
            pub fn type_and_version(value: &bytes::Bytes) -> Result<(i16, i16), crate::DecodeError> {
                crate::record_frame::open(value.clone()).map(|(_, key, version)| (key, version))
            }

            /// Writes the record's value.
            pub fn encode(&self, version: i16) -> Result<bytes::Bytes, crate::EncodeError> {
                match self {
                    $(Self::$variant(record) => crate::record_frame::seal($key, version, record),)*
                }
            }

            /// The record's type.
            #[must_use]
            pub fn key(&self) -> i16 {
                match self { $(Self::$variant(_) => $key,)* }
            }

            /// The versions of this type of record.
            #[must_use]
            pub fn versions(&self) -> std::ops::RangeInclusive<i16> {
                match self { $(Self::$variant(_) => $versions,)* }
            }

            /// Kafka's name of the record.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($record),)* }
            }
        }

        $(impl From<$record> for $name {
            fn from(record: $record) -> Self {
                Self::$variant(record)
            }
        })*
    };
}

/// An enum over one coordinator's records: key, and value or nothing.
macro_rules! coordinator_records {
    ($(#[$doc:meta])* $name:ident { $($key:literal: $variant:ident($key_type:ident, $value_type:ident) $versions:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum $name { $($variant($key_type, Option<$value_type>),)* }

        impl $name {
            /// Reads a record. A null value deletes the key.
            ///
            /// Errors: unknown type or version, bytes behind the end, or a broken body. A coordinator
            /// skips `UnknownType`: a newer one may have written it.
            pub fn decode(key: bytes::Bytes, value: Option<bytes::Bytes>) -> Result<Self, crate::DecodeError> {
                let mut reader = crate::Reader::new(key);
                match reader.i16()? {
                    $($key => Ok(Self::$variant(
                        crate::record_frame::body(reader, 0)?,
                        crate::record_frame::value(value)?,
                    )),)*
                    other => Err(crate::DecodeError::UnknownType(u32::from(other.cast_unsigned()))),
                }
            }

            /// Writes the record's key.
            pub fn encode_key(&self) -> Result<bytes::Bytes, crate::EncodeError> {
                match self {
                    $(Self::$variant(key, _) => crate::record_frame::prefixed($key, 0, key),)*
                }
            }

            /// Writes the record's value in this version, or nothing when it deletes its key.
            pub fn encode_value(&self, version: i16) -> Result<Option<bytes::Bytes>, crate::EncodeError> {
                match self {
                    $(Self::$variant(_, value) => value
                        .as_ref()
                        .map(|value| crate::record_frame::prefixed(version, version, value))
                        .transpose(),)*
                }
            }

            /// The record's type.
            #[must_use]
            pub fn key(&self) -> i16 {
                match self { $(Self::$variant(..) => $key,)* }
            }

            /// The versions of the value.
            #[must_use]
            pub fn versions(&self) -> std::ops::RangeInclusive<i16> {
                match self { $(Self::$variant(..) => $versions,)* }
            }

            /// Kafka's name of the record.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(..) => stringify!($variant),)* }
            }
        }
    };
}

#[cfg(test)]
mod tests;
