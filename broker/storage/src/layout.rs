//! Apache Kafka's small text files, byte for byte: what `kafka.Kafka` 4.3.1 writes and reads in a log directory.
//!
//! Pure: text in, values out, and back. Not here: when they are written (dir/), and how (atomic_file).

mod clean_shutdown;
mod epoch_checkpoint;
mod meta_properties;
mod offset_checkpoint;
mod partition_metadata;

pub use clean_shutdown::{parse_clean_shutdown, render_clean_shutdown};
pub use epoch_checkpoint::{parse_epoch_checkpoint, render_epoch_checkpoint};
pub use meta_properties::MetaProperties;
pub use offset_checkpoint::{OffsetCheckpoint, parse_offset_checkpoint, render_offset_checkpoint};
pub use partition_metadata::{parse_partition_metadata, render_partition_metadata};

/// A text file that does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Malformed {
    fn new(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

/// Kafka's checkpoint form: version, number of entries, one line each.
fn checkpoint_lines(text: &str) -> Result<Vec<(usize, &str)>, Malformed> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty());
    match lines.next() {
        Some((_, "0")) => {}
        Some((line, version)) => {
            return Err(Malformed::new(
                line,
                format!("version {version} is unknown (0 is known)"),
            ));
        }
        None => return Err(Malformed::new(0, "the file is empty")),
    }
    let count: usize = match lines.next() {
        Some((line, count)) => count
            .parse()
            .map_err(|_| Malformed::new(line, format!("{count:?} is no number of entries")))?,
        None => return Err(Malformed::new(0, "the number of entries is missing")),
    };
    let entries: Vec<_> = lines.collect();
    if entries.len() != count {
        return Err(Malformed::new(
            2,
            format!("{count} entries announced, {} found", entries.len()),
        ));
    }
    Ok(entries)
}

fn number<T: std::str::FromStr>(line: usize, text: Option<&str>) -> Result<T, Malformed> {
    let text = text.ok_or_else(|| Malformed::new(line, "a field is missing"))?;
    text.parse()
        .map_err(|_| Malformed::new(line, format!("{text:?} is not a number in range")))
}

#[cfg(test)]
mod tests;
