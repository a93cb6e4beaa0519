//! Names of directories and files: Apache Kafka's for partitions, ours (`ottla-…`) beside them.
//!
//! Invariant: a directory that Kafka would read is named as Kafka names it; files of ours lie only in the root
//! of a log directory, where Kafka ignores files it does not know.

use std::fmt;
use std::path::{Path, PathBuf};

use ottla_protocol::{Str, Uuid};

/// The log of one partition, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// Topic.
    pub topic: Str,
    /// Partition index.
    pub partition: i32,
}

impl LogName {
    /// A name; `topic` is not checked against Kafka's rules for topics.
    pub fn new(topic: impl Into<Str>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// The metadata log. Kafka keeps it out of its checkpoint files.
    pub fn is_cluster_metadata(&self) -> bool {
        self.topic == "__cluster_metadata"
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What the name of a directory inside a log directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirName {
    /// `<topic>-<partition>`.
    Log(LogName),
    /// `….<uuid>-delete`: to be removed.
    Deleted,
    /// `….<uuid>-future`: a move between log directories that was under way.
    Future,
    /// `….<uuid>-stray`: set aside, because it was not this broker's.
    Stray,
    /// Nothing of Kafka's.
    Unknown,
}

impl DirName {
    /// Reads a directory's name.
    pub fn parse(name: &str) -> Self {
        for (suffix, kind) in [
            ("-delete", Self::Deleted),
            ("-future", Self::Future),
            ("-stray", Self::Stray),
        ] {
            if name
                .strip_suffix(suffix)
                .is_some_and(|rest| rest.contains('.'))
            {
                return kind;
            }
        }
        match name.rsplit_once('-') {
            Some((topic, number)) if !topic.is_empty() && is_index(number) => {
                match number.parse() {
                    Ok(partition) => Self::Log(LogName::new(topic, partition)),
                    Err(_) => Self::Unknown,
                }
            }
            _ => Self::Unknown,
        }
    }
}

fn is_index(number: &str) -> bool {
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Kafka's name for a partition directory that waits for removal (`delete`) or was set aside (`stray`).
/// Cut so that it fits into the 255 bytes of a file name, as Kafka cuts it.
pub fn retired_dir(name: &LogName, unique: Uuid, suffix: &str) -> String {
    let unique: String = unique.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let tail = format!("-{}.{unique}-{suffix}", name.partition);
    let keep = name.topic.len().min(255 - tail.len());
    format!("{}{tail}", &name.topic[..keep])
}

/// The files that belong to one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SegmentFile {
    /// Record batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// Producer state as of the base offset. Unlike the others its number need not be a segment's.
    Snapshot,
}

impl SegmentFile {
    /// All kinds.
    pub const ALL: [SegmentFile; 5] = [
        Self::Log,
        Self::Index,
        Self::TimeIndex,
        Self::TxnIndex,
        Self::Snapshot,
    ];

    /// The part after the number.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Index => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }

    /// `<20 digits><suffix>` inside a partition directory.
    pub fn path(self, dir: &Path, base_offset: i64) -> PathBuf {
        dir.join(format!("{base_offset:020}{}", self.suffix()))
    }

    /// Reads a file name; `None` for anything else, also for `.deleted`, `.cleaned` and `.swap` files.
    pub fn parse(name: &str) -> Option<(i64, SegmentFile)> {
        let (number, suffix) = name.split_at_checked(20)?;
        let kind = Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        is_index(number)
            .then(|| number.parse().ok())
            .flatten()
            .map(|base| (base, kind))
    }
}

/// Added to a file that waits for its removal.
pub const DELETED_SUFFIX: &str = ".deleted";
/// Partition file: leader epochs.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// Partition file: topic id.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Root file: whose directory this is; under this name only while Kafka may open it.
pub const META_PROPERTIES: &str = "meta.properties";
/// Root file: the same while the directory is in use or its commit log is not empty. Kafka refuses to start without the other.
pub const META_PROPERTIES_IN_USE: &str = "meta.properties.ottla";
/// Root file: held locked by the process that uses the directory.
pub const LOCK: &str = ".lock";
/// Root file: there only after a clean stop.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Root file: offsets up to which logs are flushed.
pub const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// Root file: log start offsets that are not a segment's base.
pub const LOG_START_CHECKPOINT: &str = "log-start-offset-checkpoint";
/// Root file: high watermarks.
pub const REPLICATION_CHECKPOINT: &str = "replication-offset-checkpoint";
/// Root file of ours: every log ever written here, with its segments.
pub const MANIFEST: &str = "ottla-manifest";
/// Root file of ours: the broker epoch of the last registration.
pub const BROKER_EPOCH: &str = "ottla-broker-epoch";
/// Root file of ours: one piece of a lane's commit log.
pub fn commit_chunk(lane: u32, number: u32) -> String {
    format!("ottla-commit-{lane}-{number}.log")
}

/// Reads such a name back as (lane, number).
pub fn parse_commit_chunk(name: &str) -> Option<(u32, u32)> {
    let (lane, number) = name
        .strip_prefix("ottla-commit-")?
        .strip_suffix(".log")?
        .split_once('-')?;
    Some((lane.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        assert_eq!(
            DirName::parse("a-b-12"),
            DirName::Log(LogName::new("a-b", 12))
        );
        assert_eq!(DirName::parse("orders-"), DirName::Unknown);
        assert_eq!(DirName::parse("lost+found"), DirName::Unknown);
        assert_eq!(
            DirName::parse("my-delete-3"),
            DirName::Log(LogName::new("my-delete", 3))
        );
        let retired = retired_dir(
            &LogName::new("x".repeat(249), 7),
            Uuid([0xab; 16]),
            "delete",
        );
        assert_eq!(retired.len(), 255);
        assert_eq!(DirName::parse(&retired), DirName::Deleted);
        assert_eq!(
            SegmentFile::parse("00000000000000000042.timeindex"),
            Some((42, SegmentFile::TimeIndex))
        );
        assert_eq!(SegmentFile::parse("00000000000000000042.log.deleted"), None);
        assert_eq!(parse_commit_chunk(&commit_chunk(3, 14)), Some((3, 14)));
    }
}
