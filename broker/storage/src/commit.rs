//! The commit log: where every append becomes durable, all partitions of an owner together.
//!
//! ```text
//! chunk file:  [ group seq 7 | group seq 8 | group seq 9 |  zeros or an older generation … ]
//! group:       64-byte header | frames | batches, back to back, as they will stand in segments | padding to 4096
//! ```
//! A group is one write and one fdatasync; the next is written only when it is durable. So a whole group proves that all
//! before it were durable: a torn last group was never acknowledged and goes silently, damage with a whole group behind it is
//! named. Chunks are recycled: a group counts only with its chunk's generation and the next sequence number, so leftovers of an
//! earlier use are never taken for data. Batches carry their own CRC-32C; the group's checksum covers everything that theirs does not,
//! so no byte is summed twice on the way in.
//! Not here: when a group is written (set/), what replay does with frames (dir/recover).

mod frame;
mod group;
mod ring;

pub use frame::{AppendFrame, Frame};
pub use group::{GroupBuilder, GroupHeader, GroupPlace, ReadGroup, read_group};
pub use ring::{Chunk, Ring};

/// Groups begin at multiples of this and are padded to it (O_DIRECT).
pub const BLOCK: usize = crate::disk::DIRECT_BLOCK;
