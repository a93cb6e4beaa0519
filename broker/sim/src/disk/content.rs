//! The bytes of one file, twice: as every reader sees them, and as they would be found after a power
//! cut; and between the two the changes that no sync has made durable.
//!
//! Pages that hold only zeros are not kept, so that a preallocated log costs nothing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::rng::Rng;

const PAGE: u64 = 4096;
const SECTOR: usize = 512;

/// A sparse run of bytes.
#[derive(Clone, Default)]
pub struct Content {
    len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes from `at`, fewer at the end.
    pub fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let end = at.saturating_add(len as u64).min(self.len);
        let mut out = vec![0; end.saturating_sub(at) as usize];
        self.each_part(at, out.len(), |content, page, within, range| {
            if let Some(bytes) = content.pages.get(&page) {
                out[range.clone()].copy_from_slice(&bytes[within..within + range.len()]);
            }
        });
        out
    }

    /// Overwrites from `at`; grows as needed.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.len = self.len.max(at + bytes.len() as u64);
        let mut parts = Vec::new();
        self.each_part(at, bytes.len(), |_, page, within, range| {
            parts.push((page, within, range))
        });
        for (page, within, range) in parts {
            let target = self
                .pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE as usize].into_boxed_slice());
            target[within..within + range.len()].copy_from_slice(&bytes[range]);
        }
    }

    /// Makes a range zero; grows as needed.
    pub fn zero(&mut self, at: u64, len: u64) {
        let end = at + len;
        self.clear(at, end);
        self.len = self.len.max(end);
    }

    /// Sets the length.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.clear(len, self.len);
        }
        self.len = len;
    }

    fn clear(&mut self, at: u64, end: u64) {
        let touched: Vec<u64> = self
            .pages
            .range(at / PAGE..=end / PAGE)
            .map(|(page, _)| *page)
            .collect();
        for page in touched {
            let start = page * PAGE;
            let (from, to) = (
                at.max(start) - start,
                end.min(start + PAGE).saturating_sub(start),
            );
            if from == 0 && to == PAGE {
                self.pages.remove(&page);
            } else if let Some(bytes) = self.pages.get_mut(&page).filter(|_| from < to) {
                bytes[from as usize..to as usize].fill(0);
            }
        }
    }

    /// Calls `part(page, offset in page, range of the bytes)` for each page touched.
    fn each_part(
        &self,
        at: u64,
        len: usize,
        mut part: impl FnMut(&Self, u64, usize, std::ops::Range<usize>),
    ) {
        let mut done = 0;
        while done < len {
            let position = at + done as u64;
            let within = (position % PAGE) as usize;
            let count = (PAGE as usize - within).min(len - done);
            part(self, position / PAGE, within, done..done + count);
            done += count;
        }
    }
}

/// Something that a sync will make durable.
#[derive(Clone)]
pub enum Change {
    /// Bytes at a position.
    Write(u64, Bytes),
    /// Zeros at a position.
    Zero(u64, u64),
    /// A new length.
    Len(u64),
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Write(at, bytes) => content.write(*at, bytes),
            Self::Zero(at, len) => content.zero(*at, *len),
            Self::Len(len) => content.set_len(*len),
        }
    }
}

/// A file.
#[derive(Clone, Default)]
pub struct FileContent {
    live: Content,
    durable: Content,
    unsynced: VecDeque<Change>,
    /// Number of the first change in `unsynced`; changes are numbered from 0 as they are made.
    synced: u64,
    /// Wall-clock time of the last change.
    pub modified_ms: i64,
}

impl FileContent {
    /// What readers see.
    pub fn live(&self) -> &Content {
        &self.live
    }

    /// Makes a change, visible at once, durable never without a sync.
    pub fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push_back(change);
    }

    /// The number that the next change will have.
    pub fn changes(&self) -> u64 {
        self.synced + self.unsynced.len() as u64
    }

    /// How many changes are durable.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Makes all changes before number `upto` durable.
    pub fn sync(&mut self, upto: u64) {
        while self.synced < upto {
            let Some(change) = self.unsynced.pop_front() else {
                return;
            };
            change.apply(&mut self.durable);
            self.synced += 1;
        }
    }

    /// A sync fails: the kernel forgets that the changes are dirty. Readers go on seeing them; some
    /// are on the disk and some never will be.
    pub fn fail_sync(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.unsynced) {
            self.synced += 1;
            if rng.chance(0.5) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// The power goes: of the unsynced changes a random subset has survived, writes torn at sectors.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        // All, none, and anything between: the extremes hide different bugs.
        let survival = [0.0, 1.0, 0.5, 0.9][rng.index(4)];
        let torn = rng.chance(0.5);
        let live_len = self.live.len();
        for change in std::mem::take(&mut self.unsynced) {
            self.synced += 1;
            if !rng.chance(survival) {
                continue;
            }
            match change {
                Change::Write(at, bytes) if torn => write_torn(&mut self.durable, at, &bytes, rng),
                whole => whole.apply(&mut self.durable),
            }
        }
        // The length can be on the disk without the bytes: they read as zeros.
        if live_len > self.durable.len() && rng.chance(0.3) {
            let len = rng.between(self.durable.len(), live_len);
            self.durable.set_len(len);
        }
        self.live = self.durable.clone();
    }

    /// Changes the byte at a position on the disk and in every reader's view.
    pub fn damage(&mut self, at: u64, mask: u8) {
        for content in [&mut self.live, &mut self.durable] {
            if at < content.len() {
                let byte = content.read(at, 1);
                content.write(at, &[byte[0] ^ mask]);
            }
        }
    }
}

fn write_torn(content: &mut Content, at: u64, bytes: &[u8], rng: &mut Rng) {
    // A cut in the middle of a sector does not happen; pieces end where sectors of the file end.
    let first = (SECTOR - (at % SECTOR as u64) as usize).min(bytes.len());
    let prefix_only = rng.chance(0.5);
    let mut start = 0;
    while start < bytes.len() {
        let end = if start == 0 {
            first
        } else {
            (start + SECTOR).min(bytes.len())
        };
        if rng.chance(0.5) {
            content.write(at + start as u64, &bytes[start..end]);
        } else if prefix_only {
            return;
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: &mut FileContent, at: u64, bytes: &'static [u8]) {
        file.change(Change::Write(at, Bytes::from_static(bytes)));
    }

    #[test]
    fn reads_see_writes_across_pages_and_zeros_between() {
        let mut content = Content::default();
        content.write(4090, b"across the page");
        assert_eq!(content.len(), 4105);
        assert_eq!(content.read(4090, 100), b"across the page");
        assert_eq!(content.read(0, 3), [0, 0, 0]);
        content.zero(4092, 6);
        assert_eq!(content.read(4090, 15), b"ac\0\0\0\0\0\0he page");
        content.set_len(4093);
        content.set_len(4100);
        assert_eq!(content.read(4090, 15), b"ac\0\0\0\0\0\0\0\0");
        assert!(content.read(5000, 1).is_empty());
    }

    #[test]
    fn synced_changes_survive_and_no_byte_is_invented() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut file = FileContent::default();
            written(&mut file, 0, b"durable");
            file.sync(file.changes());
            written(&mut file, 7, b"perhaps");
            file.lose_power(&mut rng);
            let found = file.live().read(0, 100);
            assert_eq!(&found[..7], b"durable", "seed {seed}");
            for (index, byte) in found[7..].iter().enumerate() {
                assert!(*byte == 0 || *byte == b"perhaps"[index], "seed {seed}");
            }
        }
    }

    #[test]
    fn a_sync_covers_only_what_was_finished_before_it() {
        let mut file = FileContent::default();
        written(&mut file, 0, b"first");
        let upto = file.changes();
        written(&mut file, 5, b"second");
        file.sync(upto);
        assert_eq!((file.synced(), file.changes()), (1, 2));
        assert_eq!(file.durable.read(0, 20), b"first");
    }

    #[test]
    fn a_torn_write_is_torn_at_sectors() {
        let bytes: Vec<u8> = vec![7; 4096];
        let mut torn = 0;
        for seed in 0..100 {
            let mut content = Content::default();
            content.set_len(4096 + 100);
            write_torn(&mut content, 100, &bytes, &mut Rng::new(seed));
            let found = content.read(0, 4196);
            for sector in found[100..]
                .chunks(1)
                .zip(100_u64..)
                .collect::<Vec<_>>()
                .windows(2)
            {
                if sector[0].0 != sector[1].0 {
                    assert_eq!(sector[1].1 % SECTOR as u64, 0, "seed {seed}");
                    torn += 1;
                }
            }
        }
        assert!(
            torn > 50,
            "most of a hundred writes are torn somewhere: {torn}"
        );
    }
}
