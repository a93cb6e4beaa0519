//! Control records: transaction markers and what KRaft says about itself inside its own log.
//!
//! A control batch has the control bit; a record's key is `i16 version, i16 type`, its value belongs to the type.
//! Invariant: unknown types are kept by number, so that a newer peer's log can be read past them.
//! Not here: the values of KRaft's types; they are ordinary generated messages (`LeaderChangeMessage`,
//! `SnapshotHeaderRecord`, `SnapshotFooterRecord`, `KRaftVersionRecord`, `VotersRecord`), without a version in front.

use bytes::Bytes;

use super::builder::{BatchBuilder, BatchOptions, Producer};
use super::header::NO_SEQUENCE;
use super::record::Record;

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// The producer's transaction ended by abort.
    Abort,
    /// The producer's transaction ended by commit.
    Commit,
    /// First record of a KRaft leader epoch.
    LeaderChange,
    /// First record of a KRaft snapshot.
    SnapshotHeader,
    /// Last record of a KRaft snapshot.
    SnapshotFooter,
    /// kraft.version from here on.
    KRaftVersion,
    /// The voters from here on.
    KRaftVoters,
    /// A type of the future.
    Unknown(i16),
}

impl ControlType {
    /// The number on the wire.
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// By number.
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            id => Self::Unknown(id),
        }
    }

    /// The key of such a record, key version 0.
    pub fn key(self) -> [u8; 4] {
        let id = self.id().to_be_bytes();
        [0, 0, id[0], id[1]]
    }
}

/// Why a record is no control record, or its value not what its type promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The key must hold version and type.
    #[error("control record at offset {offset} has a key of {len} bytes")]
    Key {
        /// Offset of the record.
        offset: i64,
        /// Bytes of the key, 0 when null.
        len: usize,
    },
    /// Key or value version below 0.
    #[error("control record at offset {offset} has version {version}")]
    Version {
        /// Offset of the record.
        offset: i64,
        /// What was found.
        version: i16,
    },
    /// Null or too short.
    #[error("control record at offset {offset} has no whole value")]
    Value {
        /// Offset of the record.
        offset: i64,
    },
    /// Another type was expected.
    #[error("control record at offset {offset} is {found:?}, not the end of a transaction")]
    NotEndTxn {
        /// Offset of the record.
        offset: i64,
        /// What was found.
        found: ControlType,
    },
}

/// A control record's type and its value as it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlRecord<'a> {
    /// Offset of the record.
    pub offset: i64,
    /// What it says.
    pub control_type: ControlType,
    /// The value; its form depends on the type.
    pub value: &'a [u8],
}

impl<'a> ControlRecord<'a> {
    /// Reads the key; `record` comes from a batch with the control bit.
    pub fn parse(record: &Record<'a>) -> Result<Self, ControlError> {
        let offset = record.offset;
        let key = record.key.unwrap_or_default();
        let Some(&[v0, v1, t0, t1]) = key.first_chunk() else {
            return Err(ControlError::Key {
                offset,
                len: key.len(),
            });
        };
        let version = i16::from_be_bytes([v0, v1]);
        if version < 0 {
            return Err(ControlError::Version { offset, version });
        }
        let value = record.value.ok_or(ControlError::Value { offset })?;
        Ok(Self {
            offset,
            control_type: ControlType::from_id(i16::from_be_bytes([t0, t1])),
            value,
        })
    }
}

/// The end of a transaction in one partition. Value: `i16 version, i32 coordinatorEpoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Commit, or abort.
    pub commit: bool,
    /// Leader epoch of the transaction coordinator's partition; must not go back.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Reads a marker; longer values are of the future and read as far as known.
    pub fn parse(record: &ControlRecord<'_>) -> Result<Self, ControlError> {
        let offset = record.offset;
        let commit = match record.control_type {
            ControlType::Commit => true,
            ControlType::Abort => false,
            found => return Err(ControlError::NotEndTxn { offset, found }),
        };
        let Some(&[v0, v1, e0, e1, e2, e3]) = record.value.first_chunk() else {
            return Err(ControlError::Value { offset });
        };
        let version = i16::from_be_bytes([v0, v1]);
        if version < 0 {
            return Err(ControlError::Version { offset, version });
        }
        Ok(Self {
            commit,
            coordinator_epoch: i32::from_be_bytes([e0, e1, e2, e3]),
        })
    }

    /// The marker batch of this producer, written at `timestamp` ms; offset and leader epoch are for the log.
    pub fn batch(self, producer_id: i64, producer_epoch: i16, timestamp: i64) -> Bytes {
        let control_type = if self.commit {
            ControlType::Commit
        } else {
            ControlType::Abort
        };
        let epoch = self.coordinator_epoch.to_be_bytes();
        let options = BatchOptions {
            producer: Some(Producer {
                id: producer_id,
                epoch: producer_epoch,
                base_sequence: NO_SEQUENCE,
            }),
            transactional: true,
            ..BatchOptions::default()
        };
        control_batch(
            options,
            timestamp,
            &[(
                control_type,
                &[0, 0, epoch[0], epoch[1], epoch[2], epoch[3]],
            )],
        )
    }
}

/// A control batch with these records, one after the other. `options.control` is set here.
///
/// Panics without records, or with more than 2 GiB of them: callers write a handful of small ones.
pub fn control_batch(
    options: BatchOptions,
    timestamp: i64,
    records: &[(ControlType, &[u8])],
) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        control: true,
        ..options
    });
    for (control_type, value) in records {
        builder
            .append(timestamp, Some(&control_type.key()), Some(value), [])
            .expect("control records are small");
    }
    builder
        .build()
        .expect("a control batch has records and is small")
}

#[cfg(test)]
mod tests;
