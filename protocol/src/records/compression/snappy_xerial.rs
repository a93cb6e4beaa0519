//! Snappy as Java's client writes it: a 16-byte header, then blocks, each with its big-endian length in front.
//!
//! ```text
//! 82 53 4e 41 50 50 59 00 | i32 version = 1 | i32 compatible version = 1 | { i32 length | raw snappy block }*
//! ```
//! Invariant: a block is decompressed only into as much memory as its compressed size can honestly yield and the
//! budget allows; the declared size alone reserves nothing (CVE-2023-34455, CVE-2023-43642).
//! Bytes without the header are taken for one raw block: several non-Java clients send that.

use std::io;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_LEN: usize = 16;
// Java's block size.
const BLOCK: usize = 32 * 1024;
// The densest element is a 3-byte copy of 64 bytes.
const RATIO_MAX: usize = 22;

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let len = encoder
            .compress(block, &mut out[at + 4..])
            .expect("the output has the maximal length for this block");
        out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
        out.truncate(at + 4 + len);
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    position: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("a snappy block is larger than the budget that is left")]
struct OverBudget;

pub(super) fn is_over_budget(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<OverBudget>())
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            rest: data,
            framed: data.starts_with(&MAGIC),
            block: Vec::new(),
            position: 0,
        }
    }

    /// As `Read::read`; a block of more than `left` bytes is not decompressed.
    pub(super) fn read(&mut self, out: &mut [u8], left: usize) -> io::Result<usize> {
        while self.position == self.block.len() {
            let Some(compressed) = self.next_block()? else {
                return Ok(0);
            };
            let len = snap::raw::decompress_len(compressed)?;
            if len > compressed.len().saturating_mul(RATIO_MAX) {
                return Err(io::Error::other(
                    "snappy block declares an impossible length",
                ));
            }
            if len > left {
                return Err(io::Error::other(OverBudget));
            }
            self.block.resize(len, 0);
            snap::raw::Decoder::new().decompress(compressed, &mut self.block)?;
            self.position = 0;
        }
        let len = out.len().min(self.block.len() - self.position);
        out[..len].copy_from_slice(&self.block[self.position..self.position + len]);
        self.position += len;
        Ok(len)
    }

    fn next_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if !self.framed {
            let block = std::mem::take(&mut self.rest);
            return Ok((!block.is_empty()).then_some(block));
        }
        // Concatenated streams have a header between blocks.
        while self.rest.starts_with(&MAGIC) {
            self.rest = self.rest.get(HEADER_LEN..).ok_or_else(|| torn("header"))?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (len, after) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| torn("block length"))?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, rest) = after.split_at_checked(len).ok_or_else(|| torn("block"))?;
        self.rest = rest;
        Ok(Some(block))
    }
}

fn torn(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("torn snappy {what}"))
}
