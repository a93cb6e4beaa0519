//! Batches of the metadata log: records in, bytes out, and back.
//!
//! Invariant: an unknown record or a trailing byte is an error, never passed over: an image that
//! misses a record is wrong for ever after.

use bytes::Bytes;
use ottla_broker_metadata::{ReplayError, Replayer, VersionedRecord};
use ottla_broker_raft::VoterSet;
use ottla_protocol::messages::kraft_version_record::KRaftVersionRecord;
use ottla_protocol::messages::leader_change_message::{self, LeaderChangeMessage};
use ottla_protocol::messages::voters_record::VotersRecord;
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::{
    BatchBuilder, BatchOptions, BatchView, ControlError, ControlRecord, ControlType,
    DecompressError, RecordError, control_batch,
};
use ottla_protocol::{DecodeError, EncodeError, Message, Reader, Writer};

use crate::partition::scan::ScanError;

/// Largest batch that is unpacked: Kafka writes at most 8 MiB.
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// kraft.version of a quorum with directory ids.
pub const KRAFT_VERSION: i16 = 1;
const LEADER_CHANGE_VERSION: i16 = 0;

/// Why the metadata log cannot be used. The process must stop: what it would serve is not the
/// cluster's metadata.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The log cannot be read.
    #[error("the metadata log cannot be read: {0}")]
    Scan(#[from] ScanError),
    /// A batch cannot be unpacked.
    #[error("a batch of the metadata log cannot be unpacked: {0}")]
    Unpack(#[from] DecompressError),
    /// A record cannot be unpacked.
    #[error("a record of the metadata log cannot be unpacked: {0}")]
    Batch(#[from] RecordError),
    /// A control record has no known form.
    #[error("a control record of the metadata log cannot be read: {0}")]
    Control(#[from] ControlError),
    /// A record has no known form.
    #[error(
        "the metadata record at offset {offset} cannot be read ({source}); was it written by a newer version?"
    )]
    Record {
        /// Where.
        offset: i64,
        /// Why.
        source: DecodeError,
    },
    /// A record contradicts those before it.
    #[error("the metadata record at offset {offset} cannot be applied: {source}")]
    Replay {
        /// Where.
        offset: i64,
        /// Why.
        source: ReplayError,
    },
}

/// Applies a batch of the log; returns the voter set if the batch holds one.
pub fn apply(
    replayer: &mut Replayer,
    batch: &BatchView,
) -> Result<Option<VoterSet>, MetadataLogError> {
    let mut voters = None;
    for record in batch.records(UNPACKED_BYTES_MAX)?.iter() {
        let record = record?;
        let offset = record.offset;
        if batch.header().attributes.is_control() {
            let control = ControlRecord::parse(&record)?;
            if control.control_type == ControlType::KRaftVoters {
                voters = Some(
                    voters_of(control.value)
                        .map_err(|source| MetadataLogError::Record { offset, source })?,
                );
            }
            continue;
        }
        let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
        let record = MetadataRecord::decode(value)
            .map_err(|source| MetadataLogError::Record { offset, source })?;
        replayer
            .replay(offset, &record)
            .map_err(|source| MetadataLogError::Replay { offset, source })?;
    }
    Ok(voters)
}

/// The voter set in the value of a control record.
pub fn voters_of(value: &[u8]) -> Result<VoterSet, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(value));
    Ok(VoterSet::from_record(&VotersRecord::decode(
        &mut reader,
        0,
    )?))
}

/// One batch of metadata records.
pub fn batch_of(
    records: &[VersionedRecord],
    epoch: i32,
    base_offset: i64,
    now_ms: i64,
) -> Result<BatchView, EncodeError> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset,
        partition_leader_epoch: epoch,
        ..Default::default()
    });
    for record in records {
        let value = record.record.encode(record.version)?;
        builder
            .append(now_ms, None, Some(&value), [])
            .expect("a decision is cut into batches far below the limit");
    }
    let bytes = builder
        .build()
        .expect("a batch is built of at least one record");
    Ok(BatchView::new(bytes).expect("what was just built can be read"))
}

/// The control batch that opens an epoch: who leads, and in a new log who votes.
pub fn epoch_opening(
    epoch: i32,
    base_offset: i64,
    leader_id: i32,
    voters: &VoterSet,
    bootstrap_voters: Option<&VotersRecord>,
    now_ms: i64,
) -> Result<BatchView, EncodeError> {
    // Kafka 4.3.1 reads every leader change as version 0, which has no directory ids, whatever kraft.version is.
    let all: Vec<_> = voters
        .iter()
        .map(|(id, _)| leader_change_message::Voter {
            voter_id: id,
            ..Default::default()
        })
        .collect();
    let granting = all
        .iter()
        .filter(|voter| voter.voter_id == leader_id)
        .cloned()
        .collect();
    let leader_change = LeaderChangeMessage {
        version: LEADER_CHANGE_VERSION,
        leader_id,
        voters: all,
        granting_voters: granting,
        ..Default::default()
    };
    let mut values = vec![(
        ControlType::LeaderChange,
        encode(&leader_change, LEADER_CHANGE_VERSION)?,
    )];
    if let Some(voters) = bootstrap_voters {
        let version = KRaftVersionRecord {
            version: 0,
            kraft_version: KRAFT_VERSION,
            ..Default::default()
        };
        values.push((ControlType::KRaftVersion, encode(&version, 0)?));
        values.push((ControlType::KRaftVoters, encode(voters, 0)?));
    }
    let options = BatchOptions {
        base_offset,
        partition_leader_epoch: epoch,
        ..Default::default()
    };
    let records: Vec<(ControlType, &[u8])> = values
        .iter()
        .map(|(kind, value)| (*kind, &value[..]))
        .collect();
    let bytes = control_batch(options, now_ms, &records);
    Ok(BatchView::new(bytes).expect("what was just built can be read"))
}

/// The value of a control record.
pub fn encode(message: &impl Message, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.finish().into_bytes())
}
