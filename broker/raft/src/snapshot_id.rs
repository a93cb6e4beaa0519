//! Names of metadata snapshots.

use std::fmt;
use std::str::FromStr;

/// A snapshot by its end offset (exclusive) and the epoch of the last record in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// Offset after the last record.
    pub end_offset: i64,
    /// Epoch of the last record.
    pub epoch: i32,
}

impl SnapshotId {
    /// What `kafka-storage format` writes: voters and kraft.version, never replicated.
    pub const BOOTSTRAP: SnapshotId = SnapshotId {
        end_offset: 0,
        epoch: 0,
    };

    /// Kafka's file name, `<20 digits>-<10 digits>.checkpoint`.
    pub fn file_name(self) -> String {
        format!("{self}.checkpoint")
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end_offset, self.epoch)
    }
}

/// A name that is none of a finished snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASnapshot;

impl FromStr for SnapshotId {
    type Err = NotASnapshot;

    /// Parses a file name; `.part` and `.deleted` files are not snapshots.
    fn from_str(name: &str) -> Result<Self, NotASnapshot> {
        let (offset, epoch) = name
            .strip_suffix(".checkpoint")
            .and_then(|stem| stem.split_once('-'))
            .ok_or(NotASnapshot)?;
        if offset.len() != 20 || epoch.len() != 10 {
            return Err(NotASnapshot);
        }
        let end_offset = offset.parse().map_err(|_| NotASnapshot)?;
        let epoch = epoch.parse().map_err(|_| NotASnapshot)?;
        Ok(Self { end_offset, epoch })
    }
}
