//! Which chunk the next group goes to, and when a chunk may be used again.
//!
//! Pure. Invariant: a chunk is written from its front by one generation at a time, and taken again only when every
//! group in it is released (its batches are durable in segments, and the manifest says so).

/// One preallocated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Number, as in its file name.
    pub number: u32,
    /// Bytes.
    pub len: u64,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    chunk: Chunk,
    generation: u64,
    filled: u64,
    last_sequence: u64,
}

/// Where a group is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Chunk.
    pub chunk: Chunk,
    /// Byte in it.
    pub at: u64,
    /// Stamp for the group.
    pub generation: u64,
}

/// The chunks of one lane.
#[derive(Debug)]
pub struct Ring {
    /// Ready to be written from the front.
    free: Vec<Chunk>,
    /// Oldest first; the last one is being filled.
    used: Vec<Used>,
    next_generation: u64,
}

impl Ring {
    /// Chunks that exist already, none of which holds anything that counts; `next_generation` is above all seen in them.
    pub fn new(free: Vec<Chunk>, next_generation: u64) -> Self {
        Self {
            free,
            used: Vec::new(),
            next_generation,
        }
    }

    /// A chunk was made.
    pub fn add(&mut self, chunk: Chunk) {
        self.free.push(chunk);
    }

    /// Takes room for a group of `len` bytes; `None` when no chunk has it.
    pub fn place(&mut self, len: u64, sequence: u64) -> Option<Place> {
        let has_room = self
            .used
            .last()
            .is_some_and(|used| used.filled + len <= used.chunk.len);
        if !has_room {
            let fits = self.free.iter().position(|chunk| chunk.len >= len)?;
            let chunk = self.free.remove(fits);
            self.used.push(Used {
                chunk,
                generation: self.next_generation,
                filled: 0,
                last_sequence: sequence,
            });
            self.next_generation += 1;
        }
        let used = self.used.last_mut()?;
        let place = Place {
            chunk: used.chunk,
            at: used.filled,
            generation: used.generation,
        };
        used.filled += len;
        used.last_sequence = sequence;
        Some(place)
    }

    /// Groups up to `sequence` are needed no more. The chunk that is being filled stays where it is.
    pub fn release(&mut self, sequence: u64) {
        while self.used.len() > 1 && self.used[0].last_sequence <= sequence {
            self.free.push(self.used.remove(0).chunk);
        }
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.used
            .iter()
            .map(|used| used.chunk.len)
            .chain(self.free.iter().map(|chunk| chunk.len))
            .sum()
    }

    /// Bytes that hold groups not yet released.
    pub fn used_bytes(&self) -> u64 {
        self.used.iter().map(|used| used.filled).sum()
    }

    /// Bytes that the next groups may take before a chunk must be released or made.
    pub fn room(&self) -> u64 {
        let rest = self
            .used
            .last()
            .map_or(0, |used| used.chunk.len - used.filled);
        rest + self.free.iter().map(|chunk| chunk.len).sum::<u64>()
    }

    /// A number that no chunk has.
    pub fn next_number(&self) -> u32 {
        let numbers = self
            .used
            .iter()
            .map(|used| used.chunk.number)
            .chain(self.free.iter().map(|chunk| chunk.number));
        numbers.max().map_or(0, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_used_again_only_when_released() {
        let chunk = |number| Chunk { number, len: 100 };
        let mut ring = Ring::new(vec![chunk(0), chunk(1)], 5);
        let place = |ring: &mut Ring, len, sequence| {
            ring.place(len, sequence)
                .map(|place| (place.chunk.number, place.at, place.generation))
        };
        assert_eq!(place(&mut ring, 60, 1), Some((0, 0, 5)));
        assert_eq!(place(&mut ring, 40, 2), Some((0, 60, 5)));
        assert_eq!(place(&mut ring, 60, 3), Some((1, 0, 6)));
        assert_eq!(place(&mut ring, 60, 4), None);
        ring.release(1);
        assert_eq!(place(&mut ring, 60, 4), None, "group 2 still needs chunk 0");
        ring.release(2);
        assert_eq!(place(&mut ring, 60, 4), Some((0, 0, 7)));
        assert_eq!(place(&mut ring, 200, 5), None, "no chunk is long enough");
        ring.add(Chunk {
            number: ring.next_number(),
            len: 200,
        });
        assert_eq!(place(&mut ring, 200, 5), Some((2, 0, 8)));
        assert_eq!((ring.bytes(), ring.used_bytes()), (400, 60 + 60 + 200));
    }
}
