//! The only source of chance in a simulation: xoshiro256** seeded through SplitMix64.
//!
//! Written out here, in full, because a seed in a bug report must mean the same run next year, with
//! any version of any crate. Source: Blackman and Vigna, "Scrambled linear pseudorandom number
//! generators" (public domain reference).

/// A seeded stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of a seed; all seeds, 0 included, are good.
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        Self {
            state: std::array::from_fn(|_| split_mix(&mut mix)),
        }
    }

    /// A stream of its own for one part of the simulation, so that what this part draws does not
    /// shift what others draw.
    pub fn fork(&mut self) -> Self {
        Self::new(self.bits())
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product; its bias is below 2^-32 for every bound used here.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into something of that length; 0 when it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True once in `1 / probability` times.
    pub fn chance(&mut self, probability: f64) -> bool {
        (self.bits() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }

    /// Exponentially distributed with the given mean: what waiting times look like.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let uniform = ((self.bits() >> 11) + 1) as f64 / ((1_u64 << 53) as f64);
        (-uniform.ln() * mean as f64) as u64
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(7);
        let drawn: Vec<u64> = (0..3).map(|_| rng.bits()).collect();
        let mut again = Rng::new(7);
        assert_eq!(drawn, (0..3).map(|_| again.bits()).collect::<Vec<_>>());
        assert_ne!(drawn[0], Rng::new(8).bits());
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut rng = Rng::new(1);
        for _ in 0..10_000 {
            assert!(rng.below(3) < 3);
            assert!((5..=9).contains(&rng.between(5, 9)));
        }
        assert_eq!(rng.below(0), 0);
        let mean = (0..10_000).map(|_| rng.exponential(1000)).sum::<u64>() / 10_000;
        assert!(
            (900..1100).contains(&mean),
            "mean of the exponential draws: {mean}"
        );
        assert!((0..1000).filter(|_| rng.chance(0.25)).count().abs_diff(250) < 60);
    }
}
