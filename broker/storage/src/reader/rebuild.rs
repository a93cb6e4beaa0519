//! Making the indexes of a sealed segment again from its batches.

use std::path::Path;

use bytes::Bytes;

use crate::atomic_file;
use crate::cursor::{Cursor, WalkError};
use crate::disk::{Disk, File, Lane, OpenMode};
use crate::index::{put_offset_entry, put_time_entry};
use crate::names::SegmentFile;
use crate::segment::{Indexed, Segment};

/// The two index files' bytes.
pub(crate) struct Rebuilt {
    pub(crate) offsets: Bytes,
    pub(crate) times: Bytes,
}

/// Reads a segment's headers, writes both index files anew, and returns them.
pub(crate) async fn rebuild_indexes(
    disk: &dyn Disk,
    dir: &Path,
    segment: &Segment,
    index_interval_bytes: u32,
) -> Result<Rebuilt, WalkError> {
    let base = segment.base_offset;
    let file = File::new(SegmentFile::Log.path(dir, base), OpenMode::Read);
    let mut cursor = Cursor::new(disk, Lane::Any, file, 0, u64::from(segment.len));
    let mut again = Segment::new(base, segment.created_ms);
    let (mut offsets, mut times) = (Vec::new(), Vec::new());
    while let Some((_, header)) = cursor.next_header().await? {
        let Indexed { offset, time } = again.append(&header, index_interval_bytes);
        offset
            .into_iter()
            .for_each(|entry| put_offset_entry(&mut offsets, base, entry));
        time.into_iter()
            .for_each(|entry| put_time_entry(&mut times, base, entry));
    }
    again
        .index_time()
        .into_iter()
        .for_each(|entry| put_time_entry(&mut times, base, entry));
    let rebuilt = Rebuilt {
        offsets: offsets.into(),
        times: times.into(),
    };
    for (kind, bytes) in [
        (SegmentFile::Index, &rebuilt.offsets),
        (SegmentFile::TimeIndex, &rebuilt.times),
    ] {
        let path = kind.path(dir, base);
        let file = atomic_file::temporary_file(&path);
        let steps = atomic_file::unsynced_steps(&path, &file, bytes.clone());
        disk.run_all(Lane::Any, steps).await?;
    }
    Ok(rebuilt)
}
