//! Groups: many frames and their batches as one write.
//!
//! ```text
//! 0 magic u32 | 4 version u16 | 6 lane u16 | 8 directory u64 | 16 generation u64 | 24 sequence u64
//! 32 frames length u32 | 36 payload length u32 | 40 frame count u32 | 44 body CRC u32
//! 48 frames CRC u32 | 52 zero | 60 header CRC u32
//! ```
//! The body CRC runs over each frame followed by the first 21 bytes of each of its batches (what a batch's
//! own CRC leaves out), in order. The frames have a CRC of their own, so that a group with one bad batch still tells whose it is.

use bytes::{Bytes, BytesMut};
use ottla_protocol::records::batches;

use super::BLOCK;
use super::frame::{AppendFrame, Frame};

const MAGIC: u32 = 0x4f54_434c;
const VERSION: u16 = 1;
const HEADER_LEN: usize = 64;

/// Leading bytes of a batch that its own checksum does not cover, and the field that holds it.
const BATCH_PREFIX: usize = 21;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Where a group stands: distinguishes it from leftovers in the same blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// First eight bytes of the directory id.
    pub directory: u64,
    /// Which owner's commit log.
    pub lane: u16,
    /// Of the chunk; rises with each use of any chunk.
    pub generation: u64,
    /// Of the group; each is one more than the one before.
    pub sequence: u64,
}

/// Collects frames until they are written.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    frames: Vec<u8>,
    count: u32,
    payload: Vec<Bytes>,
    payload_len: usize,
    crc: u32,
}

impl GroupBuilder {
    /// Bytes that it will take in a chunk.
    pub fn len_on_disk(&self) -> usize {
        (HEADER_LEN + self.frames.len() + self.payload_len).next_multiple_of(BLOCK)
    }

    /// Adds batches: for each its slices, the first of which holds at least the batch's header.
    pub fn append<'a>(
        &mut self,
        frame: AppendFrame,
        batches: impl IntoIterator<Item = &'a [Bytes]>,
    ) {
        self.frame(&Frame::Append(frame));
        let before = self.payload_len;
        for slices in batches {
            self.crc = crc32c::crc32c_append(self.crc, &slices[0][..BATCH_PREFIX]);
            for slice in slices {
                self.payload_len += slice.len();
                self.payload.push(slice.clone());
            }
        }
        debug_assert_eq!(self.payload_len - before, frame.len as usize);
    }

    /// Adds a frame without payload.
    pub fn frame(&mut self, frame: &Frame) {
        let before = self.frames.len();
        frame.encode(&mut self.frames);
        self.crc = crc32c::crc32c_append(self.crc, &self.frames[before..]);
        self.count += 1;
    }

    /// The group as slices to be written, whole blocks together.
    pub fn seal(self, place: GroupPlace) -> Vec<Bytes> {
        let padding = self.len_on_disk() - HEADER_LEN - self.frames.len() - self.payload_len;
        let header = GroupHeader {
            place,
            frames_len: self.frames.len() as u32,
            payload_len: self.payload_len as u32,
            count: self.count,
            body_crc: self.crc,
            frames_crc: crc32c::crc32c(&self.frames),
        };
        let mut head = BytesMut::with_capacity(HEADER_LEN + self.frames.len());
        head.extend_from_slice(&header.encode());
        head.extend_from_slice(&self.frames);
        let mut slices = Vec::with_capacity(self.payload.len() + 2);
        slices.push(head.freeze());
        slices.extend(self.payload);
        slices.push(Bytes::from_static(&ZEROS[..padding]));
        slices
    }
}

/// The first 64 bytes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Where it stands.
    pub place: GroupPlace,
    /// Bytes of all frames.
    pub frames_len: u32,
    /// Bytes of all batches.
    pub payload_len: u32,
    /// Number of frames.
    pub count: u32,
    /// Checksum of frames and batch prefixes.
    pub body_crc: u32,
    /// Checksum of the frames alone.
    pub frames_crc: u32,
}

impl GroupHeader {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        out[4..6].copy_from_slice(&VERSION.to_be_bytes());
        out[6..8].copy_from_slice(&self.place.lane.to_be_bytes());
        out[8..16].copy_from_slice(&self.place.directory.to_be_bytes());
        out[16..24].copy_from_slice(&self.place.generation.to_be_bytes());
        out[24..32].copy_from_slice(&self.place.sequence.to_be_bytes());
        out[32..36].copy_from_slice(&self.frames_len.to_be_bytes());
        out[36..40].copy_from_slice(&self.payload_len.to_be_bytes());
        out[40..44].copy_from_slice(&self.count.to_be_bytes());
        out[44..48].copy_from_slice(&self.body_crc.to_be_bytes());
        out[48..52].copy_from_slice(&self.frames_crc.to_be_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a header; `None` for anything that is not one, whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_LEN>()?;
        let u32_at =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        let ours = u32_at(0) == MAGIC && head[4..6] == VERSION.to_be_bytes();
        if !ours || u32_at(60) != crc32c::crc32c(&head[..60]) {
            return None;
        }
        Some(Self {
            place: GroupPlace {
                directory: u64_at(8),
                lane: u16::from_be_bytes([head[6], head[7]]),
                generation: u64_at(16),
                sequence: u64_at(24),
            },
            frames_len: u32_at(32),
            payload_len: u32_at(36),
            count: u32_at(40),
            body_crc: u32_at(44),
            frames_crc: u32_at(48),
        })
    }

    /// Bytes of the whole group in its chunk.
    pub fn len_on_disk(&self) -> usize {
        (HEADER_LEN + self.frames_len as usize + self.payload_len as usize).next_multiple_of(BLOCK)
    }
}

/// A frame with its batches (empty for frames that have none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFrame {
    /// What happened.
    pub frame: Frame,
    /// The batches, back to back.
    pub payload: Bytes,
    /// Every batch is sound and continues the one before. Always true in a whole group.
    pub is_sound: bool,
}

/// Bytes that are not a group of which anything can be told: torn, stale, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a group of the commit log: {0}")]
pub struct NotAGroup(pub &'static str);

/// A group as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadGroup {
    /// The header.
    pub header: GroupHeader,
    /// All frames.
    pub frames: Vec<ReadFrame>,
    /// Every byte is as it was written. If not, sound frames still are.
    pub is_whole: bool,
}

/// Reads the group at the start of `bytes` and checks every byte of it.
pub fn read_group(bytes: &Bytes) -> Result<ReadGroup, NotAGroup> {
    let header = GroupHeader::parse(bytes).ok_or(NotAGroup("no header"))?;
    if header.len_on_disk() > bytes.len() {
        return Err(NotAGroup("it is longer than its chunk"));
    }
    let frames_end = HEADER_LEN + header.frames_len as usize;
    let mut rest = &bytes[HEADER_LEN..frames_end];
    if crc32c::crc32c(rest) != header.frames_crc {
        return Err(NotAGroup("the checksum of its frames does not fit"));
    }
    let mut payload = bytes.slice(frames_end..frames_end + header.payload_len as usize);
    let (mut crc, mut frames) = (0, Vec::new());
    for _ in 0..header.count {
        let before = rest;
        let frame = Frame::decode(&mut rest).map_err(|_| NotAGroup("a frame cannot be read"))?;
        crc = crc32c::crc32c_append(crc, &before[..before.len() - rest.len()]);
        let len = match &frame {
            Frame::Append(append) => append.len as usize,
            _ => 0,
        };
        if len > payload.len() {
            return Err(NotAGroup("a frame is longer than the payload"));
        }
        let part = payload.split_to(len);
        let is_sound = match &frame {
            Frame::Append(append) => is_sound(append, &part, &mut crc),
            _ => true,
        };
        frames.push(ReadFrame {
            frame,
            payload: part,
            is_sound,
        });
    }
    let is_whole = crc == header.body_crc && frames.iter().all(|frame| frame.is_sound);
    Ok(ReadGroup {
        header,
        frames,
        is_whole,
    })
}

/// Whether the batches are those that the frame announces; their prefixes go into the checksum.
fn is_sound(frame: &AppendFrame, payload: &Bytes, crc: &mut u32) -> bool {
    let (mut count, mut offset) = (0, frame.base_offset);
    for batch in batches(payload.clone()) {
        let Ok(batch) = batch else { return false };
        let header = batch.header();
        let fits =
            header.base_offset >= offset && (count > 0 || header.base_offset == frame.base_offset);
        if !fits || batch.check_crc().is_err() {
            return false;
        }
        *crc = crc32c::crc32c_append(*crc, &header.encode()[..BATCH_PREFIX]);
        offset = header.next_offset();
        count += 1;
    }
    count == frame.batches && offset == frame.end_offset
}

#[cfg(test)]
mod tests;
