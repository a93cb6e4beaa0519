//! A small seeded generator (SplitMix64): the same seed gives the same instances everywhere.

/// A stream of random numbers.
pub struct Random(u64);

impl Random {
    /// The stream that belongs to this name and number, so that adding a message changes no other's.
    pub fn named(seed: u64, name: &str, number: i16) -> Self {
        let mixed = name
            .bytes()
            .chain(number.to_be_bytes())
            .fold(seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        Self(mixed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// That many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Less than `end` characters of one to four bytes each.
    pub fn text(&mut self, end: u64) -> String {
        const LETTERS: [char; 8] = ['a', 'Z', '-', '\0', 'ß', '語', '\u{ffff}', '🦀'];
        (0..self.below(end))
            .map(|_| LETTERS[self.below(8) as usize])
            .collect()
    }
}
