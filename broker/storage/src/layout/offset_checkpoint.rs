//! `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`, `replication-offset-checkpoint`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Malformed, checkpoint_lines, number};
use crate::names::LogName;

/// One offset for each log.
pub type OffsetCheckpoint = BTreeMap<LogName, i64>;

/// Reads such a file. A topic name never contains a space, so fields are split at spaces.
pub fn parse_offset_checkpoint(text: &str) -> Result<OffsetCheckpoint, Malformed> {
    let mut offsets = OffsetCheckpoint::new();
    for (line, entry) in checkpoint_lines(text)? {
        let mut fields = entry.split_whitespace();
        let topic = fields
            .next()
            .ok_or_else(|| Malformed::new(line, "a field is missing"))?;
        let partition = number(line, fields.next())?;
        let offset: i64 = number(line, fields.next())?;
        if offset < 0 {
            return Err(Malformed::new(line, format!("offset {offset} is negative")));
        }
        offsets.insert(LogName::new(topic, partition), offset);
    }
    Ok(offsets)
}

/// Writes such a file.
pub fn render_offset_checkpoint(offsets: &OffsetCheckpoint) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (name, offset) in offsets {
        let _ = writeln!(text, "{} {} {offset}", name.topic, name.partition);
    }
    text
}
