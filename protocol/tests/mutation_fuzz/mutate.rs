//! Makes bad bytes of good ones: what a broken or hostile peer would send.

use crate::instances::Random;

/// Lengths, counts and tags that have hurt somebody somewhere.
const NASTY: [&[u8]; 12] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x80, 0x80, 0x80, 0x00],
    &[0x7f, 0xff],
    &[0x80, 0x00],
    &[0xff, 0x7f],
    &[0xc3, 0x28],
    &[0x00],
];

/// Changes a few things.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let some = random.below(16) as usize;
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 if at < bytes.len() => {
                bytes[at] = bytes[at]
                    .wrapping_add(random.below(9) as u8)
                    .wrapping_sub(4)
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..bytes.len().min(at + some))),
            5 => drop(bytes.splice(at..at, random.bytes(some))),
            6 => overwrite(bytes, at, NASTY[random.below(NASTY.len() as u64) as usize]),
            7 => {
                let piece = bytes[at..bytes.len().min(at + some)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            // The head of one and the tail of another, as a connection that lost its place sends them.
            _ => {
                bytes.truncate(at);
                bytes.extend(&other[random.below(other.len() as u64 + 1) as usize..]);
            }
        }
    }
}

/// Writes `bytes` over what is there, and past the end if need be.
pub fn overwrite(target: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = target.len().min(at + bytes.len());
    target.splice(at..end, bytes.iter().copied());
}

/// All nasty values, for those who want to try each.
pub fn nasty() -> impl Iterator<Item = &'static [u8]> {
    NASTY.into_iter()
}
