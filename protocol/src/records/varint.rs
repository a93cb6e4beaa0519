//! Zig-zag varints as records use them: at most 5 bytes for 32 bits, 10 for 64.
//!
//! Bits of the last byte beyond the width are dropped, as the Java reader does, so that both see the same
//! number. Not here: the unsigned varints of flexible messages (the codec's reader has them).

/// Reads a signed varint; returns the value and the rest. `None` when the bytes end early or run past 5.
#[inline]
pub(super) fn read_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        return Some((zigzag_32(u32::from(first)), rest));
    }
    let (raw, rest) = read_unsigned(bytes, 5)?;
    Some((zigzag_32(raw as u32), rest))
}

/// Reads a signed varlong; returns the value and the rest. `None` when the bytes end early or run past 10.
#[inline]
pub(super) fn read_i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (raw, rest) = read_unsigned(bytes, 10)?;
    Some(((raw >> 1) as i64 ^ -((raw & 1) as i64), rest))
}

fn zigzag_32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline]
fn read_unsigned(bytes: &[u8], len_max: usize) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(len_max).enumerate() {
        // The tenth byte is shifted by 63: only its lowest bit can count.
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

pub(super) fn write_i32(value: i32, out: &mut Vec<u8>) {
    write_unsigned(u64::from(((value << 1) ^ (value >> 31)) as u32), out);
}

pub(super) fn write_i64(value: i64, out: &mut Vec<u8>) {
    write_unsigned(((value << 1) ^ (value >> 63)) as u64, out);
}

fn write_unsigned(mut raw: u64, out: &mut Vec<u8>) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that `write_i32` writes for `value`.
pub(super) fn len_i32(value: i32) -> usize {
    len_unsigned(u64::from(((value << 1) ^ (value >> 31)) as u32))
}

/// Bytes that `write_i64` writes for `value`.
pub(super) fn len_i64(value: i64) -> usize {
    len_unsigned(((value << 1) ^ (value >> 63)) as u64)
}

fn len_unsigned(raw: u64) -> usize {
    (70 - (raw | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_encodings() {
        for (value, bytes) in [
            (0, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[126]),
            (-64, &[127]),
            (64, &[0x80, 1]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            write_i32(value, &mut out);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(read_i32(&out), Some((value, &[][..])));
        }
    }

    #[test]
    fn endless_and_torn_are_refused() {
        assert_eq!(read_i32(&[0x80; 4]), None);
        assert_eq!(read_i32(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), None);
        assert_eq!(read_i64(&[0xff; 11]), None);
        assert_eq!(read_i64(&[]), None);
    }

    proptest! {
        #[test]
        fn round_trip(a: i32, b: i64) {
            let mut out = Vec::new();
            write_i32(a, &mut out);
            prop_assert_eq!(out.len(), len_i32(a));
            write_i64(b, &mut out);
            prop_assert_eq!(out.len(), len_i32(a) + len_i64(b));
            let (got, rest) = read_i32(&out).unwrap();
            prop_assert_eq!(got, a);
            prop_assert_eq!(read_i64(rest), Some((b, &[][..])));
        }
    }
}
