//! `leader-epoch-checkpoint`: at which offset each leader epoch begins.

use std::fmt::Write;

use super::{Malformed, checkpoint_lines, number};
use crate::epochs::EpochStart;

/// Reads the file; order and sense of the entries are judged by the epoch cache.
pub fn parse_epoch_checkpoint(text: &str) -> Result<Vec<EpochStart>, Malformed> {
    let entry = |(line, entry): (usize, &str)| {
        let mut fields = entry.split_whitespace();
        Ok(EpochStart {
            epoch: number(line, fields.next())?,
            start_offset: number(line, fields.next())?,
        })
    };
    checkpoint_lines(text)?.into_iter().map(entry).collect()
}

/// Writes the file.
pub fn render_epoch_checkpoint(entries: &[EpochStart]) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
    }
    text
}
