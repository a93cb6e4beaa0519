//! Why bytes are not a message, and why a message has no bytes. Both are `Copy` and never
//! allocate, so that a flood of bad frames costs nothing but its reading.

use thiserror::Error;

use super::UnknownTags;

/// The bytes are not the message they claim to be. The connection they came from is not worth
/// keeping: after a bad frame nothing says where the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A field needs more bytes than the frame (or the tagged field) still has.
    #[error("{needed} bytes needed, {remaining} left")]
    Truncated {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// An array announces more elements than the rest of the frame could hold.
    #[error("{count} elements announced, {remaining} bytes left")]
    CountBeyondFrame {
        /// Announced elements.
        count: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// The frame would make us allocate more than 64 × its size + 64 KiB.
    #[error("the frame asks for more memory than its size justifies")]
    AllocationLimit,
    /// A length below -1, or a string above 32767 bytes.
    #[error("length {0} is impossible")]
    BadLength(i64),
    /// Null where this version knows no null.
    #[error("null in a field that is not nullable in this version")]
    UnexpectedNull,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A varint longer than its type.
    #[error("a varint is longer than its type")]
    VarintTooLong,
    /// Tagged fields must come in strictly ascending order.
    #[error("tag {tag} follows tag {previous}")]
    TagOrder {
        /// The offending tag.
        tag: u32,
        /// The tag before it.
        previous: u32,
    },
    /// The tag is known, but not in this version.
    #[error("tag {tag} does not exist in version {version}")]
    TagNotInVersion {
        /// The offending tag.
        tag: u32,
        /// The message version.
        version: i16,
    },
    /// A tagged field whose content is shorter than its announced size.
    #[error("tag {tag} leaves {unread} of its bytes unread")]
    TagSize {
        /// The offending tag.
        tag: u32,
        /// Bytes that its content did not use.
        unread: usize,
    },
    /// More unknown tagged fields in one struct than any future Kafka will have.
    #[error("too many unknown tagged fields")]
    TooManyUnknownTags,
    /// The message does not exist in this version.
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    /// A record of a type that Kafka 4.3.1 does not have.
    #[error("unknown record type {0}")]
    UnknownType(u32),
    /// A metadata or remote log record whose frame is not of version 1.
    #[error("unknown record frame version {0}")]
    UnknownFrame(u32),
    /// The message ended before its frame.
    #[error("{0} bytes follow the end of the message")]
    TrailingBytes(usize),
}

/// The message cannot be said in this version. Always a bug of the caller, never of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The message does not exist in this version.
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    /// The field carries a value, the version does not know it, and it may not be dropped.
    #[error("`{field}` has a value that version {version} cannot carry")]
    FieldNotInVersion {
        /// The field's name.
        field: &'static str,
        /// The message version.
        version: i16,
    },
    /// The field is null, and this version knows no null there.
    #[error("`{field}` is null, which version {version} cannot carry")]
    NullNotInVersion {
        /// The field's name.
        field: &'static str,
        /// The message version.
        version: i16,
    },
    /// A string above 32767 bytes, or an array, byte field or frame above 2 GiB.
    #[error("length {0} does not fit the wire")]
    TooLong(usize),
    /// Unknown tags out of order, or one that collides with a tag this version knows.
    #[error("unknown tag {0} is out of order or already taken")]
    TagOrder(u32),
}

/// Decoding a field that is nullable only in some versions.
pub(crate) fn nullable_if<T>(nullable: bool, value: Option<T>) -> Result<Option<T>, DecodeError> {
    if value.is_none() && !nullable {
        return Err(DecodeError::UnexpectedNull);
    }
    Ok(value)
}

/// Encoding a field that this version does not know and that may not be dropped silently.
pub(crate) fn refuse(set: bool, field: &'static str, version: i16) -> Result<(), EncodeError> {
    if set {
        return Err(EncodeError::FieldNotInVersion { field, version });
    }
    Ok(())
}

/// Encoding a field that is nullable only in some versions: `null` = null in one of the others.
pub(crate) fn refuse_null(
    null: bool,
    field: &'static str,
    version: i16,
) -> Result<(), EncodeError> {
    if null {
        return Err(EncodeError::NullNotInVersion { field, version });
    }
    Ok(())
}

/// Encoding a version without tagged fields: there is no place for unknown ones.
pub(crate) fn refuse_tags(tags: &UnknownTags, version: i16) -> Result<(), EncodeError> {
    refuse(!tags.is_empty(), "unknown_tagged_fields", version)
}
