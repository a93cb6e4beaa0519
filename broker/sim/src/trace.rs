//! What happened, as one number: every event of a run is folded into a hash, so that two runs of a
//! seed can be compared and a leak of real time, real randomness or hash order shows at once.
//!
//! The last events are also kept as text, to be printed when a run fails. Source of the fold:
//! wyhash's multiply-and-xor step; nothing here needs to resist an adversary.

use std::collections::VecDeque;
use std::fmt;

/// How many events are kept as text.
const KEPT: usize = 2000;

/// The hash over all events and the last of them.
#[derive(Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    last: VecDeque<String>,
}

impl Trace {
    /// Folds one event in: what kind, and the numbers that tell it apart.
    pub fn event(&mut self, now: u64, kind: &str, numbers: &[u64], bytes: &[u8]) {
        self.events += 1;
        let mut hash = mix(self.hash, now ^ self.events);
        hash = fold(hash, kind.as_bytes());
        for number in numbers {
            hash = mix(hash, *number);
        }
        self.hash = fold(hash, bytes);
    }

    /// Keeps a line about the latest event for the post-mortem; folded in as well.
    pub fn note(&mut self, now: u64, line: fmt::Arguments<'_>) {
        self.event(now, "note", &[], line.to_string().as_bytes());
        self.remark(now, line);
    }

    /// Keeps a line for the post-mortem that is not part of the hash.
    pub fn remark(&mut self, now: u64, line: fmt::Arguments<'_>) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last
            .push_back(format!("{:>14.6} {line}", now as f64 / 1e9));
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        mix(self.hash, self.events)
    }

    /// Number of events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last notes, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}

/// A 64-bit digest of bytes; used for contents in events.
pub fn fold(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(seed, bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = mix(
            hash,
            u64::from_le_bytes(word.try_into().expect("chunks of eight bytes")),
        );
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(hash, u64::from_le_bytes(rest))
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_kind_numbers_and_bytes_all_count() {
        let run = |events: &[(&str, u64, &[u8])]| {
            let mut trace = Trace::default();
            for (kind, number, bytes) in events {
                trace.event(1, kind, &[*number], bytes);
            }
            trace.hash()
        };
        let base = run(&[("wake", 1, b"ab"), ("wake", 2, b"")]);
        assert_eq!(base, run(&[("wake", 1, b"ab"), ("wake", 2, b"")]));
        for other in [
            run(&[("wake", 2, b""), ("wake", 1, b"ab")]),
            run(&[("read", 1, b"ab"), ("wake", 2, b"")]),
            run(&[("wake", 1, b"aB"), ("wake", 2, b"")]),
            run(&[("wake", 1, b"ab\0"), ("wake", 2, b"")]),
            run(&[("wake", 1, b"ab")]),
        ] {
            assert_ne!(base, other);
        }
    }
}
