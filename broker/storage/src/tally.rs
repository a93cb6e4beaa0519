//! How often values of which size were seen: what a histogram is drawn from.
//!
//! Plain numbers with one owner, no atomics: adding is a few compares. Bounds are few on purpose, since every
//! one is looked at on the way of a request.

/// Counts of values up to each of `N` bounds, and above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally<const N: usize> {
    bounds: [u64; N],
    counts: [u64; N],
    above: u64,
    sum: u64,
}

impl<const N: usize> Tally<N> {
    /// Nothing seen yet. `bounds` ascend; each is the largest value of its bucket.
    pub const fn new(bounds: [u64; N]) -> Self {
        Self {
            bounds,
            counts: [0; N],
            above: 0,
            sum: 0,
        }
    }

    /// Sees a value.
    pub fn add(&mut self, value: u64) {
        self.sum = self.sum.saturating_add(value);
        let counts = self.bounds.iter().zip(&mut self.counts);
        match counts.into_iter().find(|(bound, _)| value <= **bound) {
            Some((_, count)) => *count += 1,
            None => self.above += 1,
        }
    }

    /// Each bound and how many values were at most that, ascending.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut seen = 0;
        self.bounds
            .iter()
            .zip(&self.counts)
            .map(move |(bound, count)| {
                seen += count;
                (*bound, seen)
            })
    }

    /// How many values were seen.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The tally that these numbers make; for owners that count with atomics.
    pub fn of_counts(bounds: [u64; N], counts: [u64; N], above: u64, sum: u64) -> Self {
        Self {
            bounds,
            counts,
            above,
            sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_buckets() {
        let mut tally = Tally::new([10, 100]);
        for value in [0, 10, 11, 100, 101] {
            tally.add(value);
        }
        let cumulative: Vec<_> = tally.cumulative().collect();
        assert_eq!(cumulative, [(10, 2), (100, 4)]);
        assert_eq!((tally.count(), tally.sum()), (5, 222));
    }
}
