//! Logs with page-cache durability after a crash: their files are read from where the last checkpoint left them.
//!
//! What the commit log knows of such a log is what the checkpoint knew, and what was asked of it besides appends
//! (set/durability.rs says when it may be told more). Invariant: nothing of its files is cut before they were read here.

use super::DirError;
use super::recover::snapshot_steps;
use super::verify::{Files, History, Verified};
use crate::disk::{File, OpenMode};
use crate::entry::Entry;
use crate::names::SegmentFile;
use crate::rewind::{Rereading, SegmentEntries};
use crate::state::LogState;

/// What page-cache durability wrote without telling the commit log is taken as far as it is sound, as Apache Kafka does.
pub(super) async fn catch_up(
    files: &Files<'_>,
    entry: &mut Entry,
    history: &History,
    verified: &mut Verified,
) -> Result<(), DirError> {
    let rereading = Rereading {
        checks_crc: true,
        ..files.rereading()
    };
    let mut bases: Vec<i64> = files
        .listing
        .into_iter()
        .flatten()
        .filter_map(|file| SegmentFile::parse(&file.name))
        .filter(|(_, kind)| *kind == SegmentFile::Log)
        .map(|(base, _)| base)
        .collect();
    bases.sort_unstable();
    let mut is_sound = true;
    for base in bases {
        let state = &mut entry.state;
        if base < state.active.base_offset || !is_sound {
            continue;
        }
        if base > state.active.base_offset {
            if base != state.end() || state.active.len == 0 {
                break;
            }
            state.roll(base, files.opening.now_ms);
            verified.steps.extend(snapshot_steps(&files.dir, state));
        }
        let len = files.len(&state.active, SegmentFile::Log).unwrap_or(0);
        if len <= u64::from(state.active.len) {
            continue;
        }
        let bad = rereading
            .catch_up(state, &mut SegmentEntries::default(), len, i64::MAX)
            .await
            .map_err(|error| files.io(error))?;
        is_sound = bad.is_none();
        entry.is_stale_for_kafka = true;
        let active = entry.state.active.clone();
        files.rebuild_indexes(entry, &active).await?;
        if active.txn_entries > 0 {
            files.rebuild_txn_index(&entry.state, &active).await?;
        }
        verified.unsynced.push(File::new(
            SegmentFile::Log.path(&files.dir, base),
            OpenMode::Write,
        ));
    }
    if let Some((log_start, local_start)) = history.start {
        raise_start(
            &mut entry.state,
            log_start,
            local_start,
            files.opening.now_ms,
        );
    }
    Ok(())
}

/// Records were deleted, and perhaps the tail that some of them were in was lost: then the log begins anew behind them.
fn raise_start(state: &mut LogState, log_start: i64, local_start: i64, now_ms: i64) {
    match log_start > state.end() {
        true => *state = LogState::new(log_start, now_ms),
        false => drop(state.raise_start(log_start, local_start)),
    }
}
