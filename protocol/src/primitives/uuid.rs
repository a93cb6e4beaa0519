//! Kafka's uuid: 16 bytes, written as 22 characters of base64url without padding.
//! Not here: randomness; callers bring their own bits.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A topic id, directory id, incarnation id or cluster id.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The text is not 22 characters of base64url that stand for 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a uuid: 22 characters of base64url are expected")]
pub struct ParseUuidError;

impl Uuid {
    /// No id. As a directory id: MIGRATING.
    pub const ZERO: Self = Self::from_u128(0);
    /// The topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Self = Self::from_u128(1);
    /// Directory id of a replica that no directory has taken yet.
    pub const UNASSIGNED_DIRECTORY: Self = Self::from_u128(1);
    /// Directory id of a replica whose directory is gone.
    pub const LOST_DIRECTORY: Self = Self::from_u128(2);

    /// The uuid whose big-endian bytes are this number.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// The bytes as a big-endian number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// A version 4 uuid from random bits. Never one of the reserved ones (they have version 0), and
    /// never one whose text starts with '-', which command lines take for a flag.
    #[must_use]
    pub const fn from_random_bits(bits: u128) -> Self {
        let mut bytes = bits.to_be_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        if bytes[0] >> 2 == 62 {
            bytes[0] &= 0x7f;
        }
        Self(bytes)
    }

    /// Whether Kafka gives this id a meaning of its own: the numbers below 100 are set aside.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.as_u128() < 100
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.as_u128();
        let mut text = [0u8; 22];
        for (place, byte) in text.iter_mut().enumerate() {
            // 21 characters of 6 bits from the top, then one of the last 2 bits and 4 zeros.
            let sextet = if place < 21 {
                bits >> (122 - 6 * place)
            } else {
                bits << 4
            };
            *byte = ALPHABET[(sextet & 0x3f) as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    /// Also takes the padded form ("…==").
    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let text = text.strip_suffix("==").unwrap_or(text).as_bytes();
        let Some((last, head)) = text.split_last().filter(|_| text.len() == 22) else {
            return Err(ParseUuidError);
        };
        let mut bits = 0u128;
        for &byte in head {
            bits = bits << 6 | u128::from(sextet(byte)?);
        }
        let last = sextet(*last)?;
        if last & 0x0f != 0 {
            return Err(ParseUuidError);
        }
        Ok(Self::from_u128(bits << 2 | u128::from(last >> 4)))
    }
}

fn sextet(byte: u8) -> Result<u8, ParseUuidError> {
    match byte {
        b'A'..=b'Z' => Ok(byte - b'A'),
        b'a'..=b'z' => Ok(byte - b'a' + 26),
        b'0'..=b'9' => Ok(byte - b'0' + 52),
        b'-' => Ok(62),
        b'_' => Ok(63),
        _ => Err(ParseUuidError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        // What Kafka's own tools print for these ids.
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
        for bits in [
            0,
            1,
            2,
            u128::MAX,
            0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        ] {
            let uuid = Uuid::from_u128(bits);
            assert_eq!(uuid.to_string().parse(), Ok(uuid));
        }
    }

    #[test]
    fn refuses_other_text() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAA+A",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }

    #[test]
    fn random_ones_are_not_reserved_and_start_with_no_dash() {
        for bits in [0, u128::MAX, 0xf8 << 120, 0xfb << 120, 0xfc << 120] {
            let uuid = Uuid::from_random_bits(bits);
            assert!(
                !uuid.is_reserved() && !uuid.to_string().starts_with('-'),
                "{uuid}"
            );
        }
    }
}
