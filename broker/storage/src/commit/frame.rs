//! Frames: what a group says. An append, or a change of a log that is not an append.

use bytes::{Buf, BufMut};

use crate::entry::{Entry, LogId, Undecodable};

/// Batches for one place of one segment. Replay writes the same bytes to the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendFrame {
    /// Which log.
    pub log: LogId,
    /// Segment, by base offset.
    pub segment: i64,
    /// Byte of the segment at which the first batch begins.
    pub position: u32,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset after the last record.
    pub end_offset: i64,
    /// Number of batches.
    pub batches: u32,
    /// Bytes of all batches.
    pub len: u32,
}

/// One thing that happened to one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Batches were appended; they follow in the group's payload.
    Append(AppendFrame),
    /// The log is now as described: created, truncated, begun anew.
    Put(Box<Entry>),
    /// First offsets were raised: retention, DeleteRecords.
    Start {
        /// Which log.
        log: LogId,
        /// First offset that may be read.
        log_start: i64,
        /// First offset on this disk.
        local_start: i64,
    },
    /// The log is deleted, with its files.
    Remove(LogId),
    /// The log is not this broker's; its files are kept aside.
    SetAside(LogId),
}

const APPEND: u8 = 1;
const PUT: u8 = 2;
const START: u8 = 3;
const REMOVE: u8 = 4;
const SET_ASIDE: u8 = 5;

impl Frame {
    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Append(append) => {
                out.put_u8(APPEND);
                out.put_u32(append.log.0);
                out.put_i64(append.segment);
                out.put_u32(append.position);
                out.put_i64(append.base_offset);
                out.put_i64(append.end_offset);
                out.put_u32(append.batches);
                out.put_u32(append.len);
            }
            Frame::Put(entry) => {
                out.put_u8(PUT);
                entry.encode(out);
            }
            Frame::Start {
                log,
                log_start,
                local_start,
            } => {
                out.put_u8(START);
                out.put_u32(log.0);
                out.put_i64(*log_start);
                out.put_i64(*local_start);
            }
            Frame::Remove(log) => {
                out.put_u8(REMOVE);
                out.put_u32(log.0);
            }
            Frame::SetAside(log) => {
                out.put_u8(SET_ASIDE);
                out.put_u32(log.0);
            }
        }
    }

    /// Reads one frame from the front of `bytes`.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, Undecodable> {
        Ok(match bytes.try_get_u8()? {
            APPEND => Frame::Append(AppendFrame {
                log: LogId(bytes.try_get_u32()?),
                segment: bytes.try_get_i64()?,
                position: bytes.try_get_u32()?,
                base_offset: bytes.try_get_i64()?,
                end_offset: bytes.try_get_i64()?,
                batches: bytes.try_get_u32()?,
                len: bytes.try_get_u32()?,
            }),
            PUT => Frame::Put(Box::new(Entry::decode(bytes)?)),
            START => Frame::Start {
                log: LogId(bytes.try_get_u32()?),
                log_start: bytes.try_get_i64()?,
                local_start: bytes.try_get_i64()?,
            },
            REMOVE => Frame::Remove(LogId(bytes.try_get_u32()?)),
            SET_ASIDE => Frame::SetAside(LogId(bytes.try_get_u32()?)),
            _ => return Err(Undecodable("a frame of unknown kind")),
        })
    }
}
