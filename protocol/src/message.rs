//! What every generated message can do.

use crate::{ApiKey, DecodeError, EncodeError, Reader, Writer};

/// A struct of the protocol: a request, a response, a record, or a part of one.
pub trait Message: Sized {
    /// Fewest bytes that one of these takes on the wire, over all its versions. The reader holds an
    /// array's count against it.
    const SIZE_MIN: usize;

    /// Reads one. Fields that the version does not know get their defaults. The version of a whole
    /// message is checked; parts trust the message they are in.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes one. A field that the version does not know is dropped when Kafka calls it ignorable;
    /// otherwise anything but its default is an error.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A request: which key it has, and what answers it.
pub trait Request: Message {
    /// Its key.
    const KEY: ApiKey;
    /// All versions the codec knows, first and last, unstable ones included
    /// (`ApiKey::valid_versions` has the stable range).
    const VERSIONS: (i16, i16);
    /// What answers it.
    type Response: Message;

    /// Whether the version has compact lengths and tagged fields.
    #[must_use]
    fn is_flexible(version: i16) -> bool {
        Self::KEY.is_flexible(version)
    }
}

#[cfg(test)]
mod tests;
