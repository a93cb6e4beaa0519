//! Indexes beside a segment: entries in order, none beyond the segment.
//!
//! The forms are Kafka's: offset index `i32 relative offset, i32 position`; time index `i64
//! timestamp, i32 relative offset`; aborted transactions `i16 version, i64 producer, i64 first,
//! i64 last, i64 last stable offset`. An index in use is longer than its entries, with zeros.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::dump_log::Dump;
use super::segment::time;
use crate::failure::Outcome;
use crate::output;

const OFFSET_ENTRY: usize = 8;
const TIME_ENTRY: usize = 12;
const ABORTED_ENTRY: usize = 34;

/// An offset index.
pub fn dump_offsets(path: &Path, base: i64, dump: &mut Dump) -> Outcome {
    let bytes = whole(path, OFFSET_ENTRY, dump)?;
    let segment_bytes = fs::metadata(path.with_extension("log")).map_or(u64::MAX, |log| log.len());
    let mut last: Option<(i32, i32)> = None;
    let mut count = 0;
    for entry in bytes.chunks_exact(OFFSET_ENTRY) {
        let (relative, position) = (i32_at(entry, 0), i32_at(entry, 4));
        if let Some(last) = last {
            // Zeros behind the last entry are room for more.
            if relative == 0 {
                break;
            }
            if relative <= last.0 || position <= last.1 {
                dump.damage(path, &format!("entry {count} goes back"))?;
            }
        }
        if position < 0 || position as u64 >= segment_bytes {
            if bytes.iter().all(|byte| *byte == 0) {
                break;
            }
            dump.damage(
                path,
                &format!("entry {count} points at byte {position}, behind the segment's end"),
            )?;
        }
        let offset = base + i64::from(relative);
        if dump.records {
            dump.line(
                || format!("    offset {offset} at byte {position}"),
                || json!({"offset": offset, "position": position}),
            )?;
        }
        last = Some((relative, position));
        count += 1;
    }
    sum(count, dump)
}

/// A time index.
pub fn dump_times(path: &Path, base: i64, dump: &mut Dump) -> Outcome {
    let bytes = whole(path, TIME_ENTRY, dump)?;
    let mut last: Option<i64> = None;
    let mut count = 0;
    for entry in bytes.chunks_exact(TIME_ENTRY) {
        let (timestamp, relative) = (i64_at(entry, 0), i32_at(entry, 8));
        if let Some(last) = last {
            if timestamp == 0 && relative == 0 {
                break;
            }
            if timestamp < last {
                dump.damage(path, &format!("entry {count} goes back in time"))?;
            }
        }
        let offset = base + i64::from(relative);
        if dump.records {
            dump.line(
                || format!("    {} at offset {offset}", time(timestamp)),
                || json!({"timestamp": timestamp, "offset": offset}),
            )?;
        }
        last = Some(timestamp);
        count += 1;
    }
    sum(count, dump)
}

/// Aborted transactions.
pub fn dump_aborted(path: &Path, dump: &mut Dump) -> Outcome {
    let bytes = whole(path, ABORTED_ENTRY, dump)?;
    let mut count = 0;
    for entry in bytes.chunks_exact(ABORTED_ENTRY) {
        let [producer, first, last, stable] = [2, 10, 18, 26].map(|at| i64_at(entry, at));
        dump.line(
            || format!("    producer {producer} offsets {first}..={last}, last stable offset {stable}"),
            || json!({"producerId": producer, "firstOffset": first, "lastOffset": last, "lastStableOffset": stable}),
        )?;
        count += 1;
    }
    sum(count, dump)
}

/// The file's bytes, cut to whole entries; a rest is damage.
fn whole(path: &Path, entry: usize, dump: &mut Dump) -> Result<Vec<u8>, crate::failure::Failure> {
    let bytes = fs::read(path)?;
    if bytes.len() % entry != 0 {
        dump.damage(
            path,
            &format!("{} bytes are no whole number of entries", bytes.len()),
        )?;
    }
    Ok(bytes)
}

fn sum(count: usize, dump: &Dump) -> Outcome {
    dump.line(
        || {
            let entries = output::count(count, "entry");
            format!("  {}", entries.replace("entrys", "entries"))
        },
        || json!({"entries": count}),
    )
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(field)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(field)
}
