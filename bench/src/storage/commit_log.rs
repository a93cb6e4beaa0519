//! The commit log of the experiment: one file, written over its whole length once, then recycled
//! block by block, opened with O_DIRECT.
//!
//! Overwriting blocks that exist needs no journal commit of the file system, so the flush after it
//! is only the device's. Not here: generations and checksums of blocks, which cost the same in
//! every shape and are left to the real storage.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::pwrite;

/// O_DIRECT wants memory, position and length in multiples of the logical block; 4 KiB fits all disks.
pub const BLOCK: usize = 4096;

/// A heap buffer whose usable part starts on a block boundary.
pub struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// A buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let memory = vec![0; capacity.next_multiple_of(BLOCK) + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Self {
            memory,
            start,
            len: 0,
        }
    }

    /// Forgets the content.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends bytes; the caller keeps within the capacity.
    pub fn extend(&mut self, bytes: &[u8]) {
        let at = self.start + self.len;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// The content, padded with whatever follows up to a whole block.
    pub fn blocks(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len.next_multiple_of(BLOCK)]
    }
}

/// The preallocated, recycled log.
pub struct CommitLog {
    file: File,
    capacity: u64,
    position: u64,
    wraps: u64,
}

impl CommitLog {
    /// Creates the log and writes all of it once, so that no later write allocates.
    pub fn create(path: &Path, capacity: u64) -> io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?);
        let mut zeros = AlignedBuffer::with_capacity(1 << 20);
        zeros.extend(&vec![0; 1 << 20]);
        let mut at = 0;
        while at < capacity {
            write_all_at(&file, zeros.blocks(), at)?;
            at += 1 << 20;
        }
        file.sync_all()?;
        Ok(Self {
            file,
            capacity: at,
            position: 0,
            wraps: 0,
        })
    }

    /// Writes the blocks of one group and makes them durable.
    pub fn commit(&mut self, group: &AlignedBuffer) -> io::Result<()> {
        let blocks = group.blocks();
        if self.position + blocks.len() as u64 > self.capacity {
            self.position = 0;
            self.wraps += 1;
        }
        write_all_at(&self.file, blocks, self.position)?;
        self.position += blocks.len() as u64;
        self.file.sync_data()
    }
}

fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = pwrite(file, bytes, at)?;
        bytes = &bytes[written..];
        at += written as u64;
    }
    Ok(())
}
