//! A string of the wire: validated UTF-8 that shares the memory of the frame it came in.
//!
//! Invariant: the bytes are UTF-8. Every constructor checks or starts from a `str`.
//! The price of sharing: a `Str` kept for long keeps its whole frame alive; `Str::detached` copies
//! it out for owners that outlive the request.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;

use super::DecodeError;

/// An immutable string whose clone is a reference count.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Str(Bytes);

impl Str {
    /// A string without an allocation.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Takes bytes over without copying them. Errors: `NotUtf8`.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, DecodeError> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(DecodeError::NotUtf8),
        }
    }

    /// The string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        #[expect(
            unsafe_code,
            reason = "checking UTF-8 again at every access would double the cost of decoding"
        )]
        // SAFETY: every constructor validated the bytes, and `Bytes` is immutable.
        unsafe {
            std::str::from_utf8_unchecked(&self.0)
        }
    }

    /// The bytes, sharing memory.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// A copy that shares memory with nobody, for owners that outlive the frame.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

// `Hash`, `Eq` and `Ord` agree with `str`: both compare bytes, and `hash` below delegates.
impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl From<&String> for Str {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_memory_and_looks_up_by_str() {
        let frame = Bytes::from_static("…topic".as_bytes());
        let text = Str::from_utf8(frame.slice(3..)).unwrap();
        assert_eq!(text.as_bytes().as_ptr(), frame[3..].as_ptr());
        let set = std::collections::BTreeSet::from([text.clone()]);
        assert!(set.contains("topic"));
        assert_ne!(
            text.detached().as_bytes().as_ptr(),
            text.as_bytes().as_ptr()
        );
        assert_eq!(Str::from_utf8(frame.slice(1..)), Err(DecodeError::NotUtf8));
    }
}
