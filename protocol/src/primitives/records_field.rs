//! The `records` field of Produce, Fetch and their kin: record batches that pass through unread.

use bytes::Bytes;

/// Record batches as the wire has them. Decoding gives `Bytes`, a slice of the frame; encoding may
/// carry many slices (one per stored buffer), which are not copied when they are large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// One contiguous piece.
    Bytes(Bytes),
    /// Pieces in order.
    Parts(Vec<Bytes>),
}

impl Records {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Parts(parts) => parts.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        match self {
            Self::Bytes(bytes) => std::slice::from_ref(bytes),
            Self::Parts(parts) => parts,
        }
    }

    /// One contiguous piece; copies only when there are several.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Parts(parts) => parts.concat().into(),
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}
