//! Why a log may not lead: what is missing or wrong below its flushed end, by name.
//!
//! Damage is never cured by cutting it off: records that were acknowledged may be in it. A damaged log refuses appends, serves
//! what can still be read and checked, and waits for a replica that has the rest, or for a person.

use crate::reader::ReadError;

/// What is wrong with a log. The text names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The whole directory is gone.
    #[error(
        "the directory {0} is missing, though records were written to it: bring it back, or delete the topic"
    )]
    MissingDirectory(String),
    /// A segment is gone.
    #[error(
        "the segment {file} of {directory} is missing, though records were written to it: bring it back from a copy"
    )]
    MissingSegment {
        /// Directory of the log.
        directory: String,
        /// File name.
        file: String,
    },
    /// A segment ends too early.
    #[error(
        "the segment {file} of {directory} has {len} bytes, {expected} were flushed: bring it back from a copy"
    )]
    ShortSegment {
        /// Directory of the log.
        directory: String,
        /// File name.
        file: String,
        /// Bytes there.
        len: u64,
        /// Bytes that were flushed.
        expected: u64,
    },
    /// Bytes are not what was written.
    #[error(
        "the segment {file} of {directory} is corrupt at byte {position}, below its flushed end: {what}"
    )]
    Corrupt {
        /// Directory of the log.
        directory: String,
        /// File name.
        file: String,
        /// Where the bad batch begins.
        position: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The commit log does not continue the log.
    #[error("the commit log does not continue {directory}: {what}")]
    Gap {
        /// Directory of the log.
        directory: String,
        /// What does not fit.
        what: String,
    },
    /// A durable group of the commit log cannot be read, and it may have held records of this log.
    #[error(
        "group {sequence} of the commit log is damaged and may have held records of {directory}"
    )]
    LostGroup {
        /// Directory of the log.
        directory: String,
        /// Sequence number.
        sequence: u64,
    },
    /// Found before the last restart, and in the files: gone when they are brought back.
    #[error("{0}")]
    Noted(String),
    /// Found before the last restart: records are lost that no file of this directory ever held.
    #[error("{0}")]
    Lost(String),
    /// Its topic id cannot be told.
    #[error("{directory}/partition.metadata cannot be used: {what}")]
    TopicId {
        /// Directory of the log.
        directory: String,
        /// Why.
        what: String,
    },
}

impl Damage {
    /// Files that are whole again end it. Records that only the commit log had cannot come back that way.
    pub(crate) fn may_heal(&self) -> bool {
        !matches!(
            self,
            Damage::Gap { .. } | Damage::LostGroup { .. } | Damage::Lost(_)
        )
    }

    /// What a failed read says about the log, if it says that it is damaged.
    pub fn of_read(error: &ReadError) -> Option<Damage> {
        let ReadError::Corrupt {
            path,
            position,
            what,
        } = error
        else {
            return None;
        };
        let name = |part: Option<&std::ffi::OsStr>| {
            part.unwrap_or_default().to_string_lossy().into_owned()
        };
        Some(Damage::Corrupt {
            directory: name(path.parent().and_then(|dir| dir.file_name())),
            file: name(path.file_name()),
            position: *position,
            what: what.clone(),
        })
    }
}
