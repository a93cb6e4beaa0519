//! The bytes of `<offset>-<epoch>.checkpoint` files: an image between a header and a footer.
//!
//! The first batch holds control records: SnapshotHeader and, from kraft.version 1 on, KRaftVersion and
//! the voters; then metadata records; the last batch is the SnapshotFooter. Offsets count from 0 and mean
//! nothing outside the file. `bootstrap.checkpoint` has the same form, with kraft.version 0 and epoch 0.
//!
//! Invariant: a file without its footer is not a snapshot (it was cut while being written or fetched).
//! Not here: names of such files and who may delete them (broker/raft), writing them (broker/storage).

use crate::batches::{DecodeBatchError, EncodeBatchError, Packer, decode_batch};
use crate::record::VersionedRecord;
use ottla_protocol::messages::kraft_version_record::KRaftVersionRecord;
use ottla_protocol::messages::snapshot_footer_record::SnapshotFooterRecord;
use ottla_protocol::messages::snapshot_header_record::SnapshotHeaderRecord;
use ottla_protocol::messages::voters_record::VotersRecord;
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::{
    BatchError, BatchOptions, BatchView, ControlError, ControlRecord, ControlType, RecordError,
    batches, control_batch,
};
use ottla_protocol::{Bytes, DecodeError, Message, Reader, Writer};
use thiserror::Error;

/// Data batches of a snapshot: large enough to be dense, small enough to be read piece by piece.
const SNAPSHOT_BATCH_BYTES: usize = 256 * 1024;

/// Kafka writes and reads all control records of the quorum in version 0.
const CONTROL_RECORD_VERSION: i16 = 0;

/// What a snapshot says besides records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotHead {
    /// Wall clock of the last log batch that it contains, ms; 0 in `bootstrap.checkpoint`.
    pub last_contained_log_timestamp: i64,
    /// kraft.version at its end offset.
    pub kraft_version: i16,
    /// The voters at its end offset; only with kraft.version 1 and above.
    pub voters: Option<VotersRecord>,
}

/// Why bytes are not a snapshot. None of them is repaired: another copy must be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum SnapshotError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Records(#[from] DecodeBatchError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("control record {0:?} cannot be read: {1}")]
    ControlValue(ControlType, DecodeError),
    #[error("the snapshot does not begin with its header")]
    NoHeader,
    #[error("control record {0:?} stands where a snapshot has none")]
    Unexpected(ControlType),
    #[error("the snapshot has no footer: it was not written to its end")]
    NoFooter,
    #[error("the snapshot goes on behind its footer")]
    AfterFooter,
}

/// A snapshot as consecutive batches, made one by one. `epoch` is that of the snapshot's id.
pub fn encode_snapshot(
    records: impl Iterator<Item = VersionedRecord>,
    head: &SnapshotHead,
    epoch: i32,
    now_ms: i64,
) -> impl Iterator<Item = Result<Bytes, EncodeBatchError>> {
    let options = BatchOptions {
        partition_leader_epoch: epoch,
        ..BatchOptions::default()
    };
    let (header, header_records) = header_batch(head, options, now_ms);
    let data_options = BatchOptions {
        base_offset: header_records,
        ..options
    };
    let mut packer = Packer::new(data_options, SNAPSHOT_BATCH_BYTES);
    let mut records = records;
    let mut stage = Stage::Header(header);
    std::iter::from_fn(move || {
        loop {
            match std::mem::replace(&mut stage, Stage::Done) {
                Stage::Header(header) => {
                    stage = Stage::Records;
                    return Some(Ok(header));
                }
                Stage::Records => {
                    let Some(record) = records.next() else {
                        stage = Stage::LastRecords;
                        continue;
                    };
                    let full = packer.push(&record, now_ms, false);
                    if full.is_ok() {
                        stage = Stage::Records;
                    }
                    match full.transpose() {
                        Some(batch) => return Some(batch),
                        None => continue,
                    }
                }
                Stage::LastRecords => {
                    let last = packer.finish();
                    if last.is_ok() {
                        stage = Stage::Footer;
                    }
                    match last.transpose() {
                        Some(batch) => return Some(batch),
                        None => continue,
                    }
                }
                Stage::Footer => {
                    let at = BatchOptions {
                        base_offset: packer.next_offset(),
                        ..options
                    };
                    let footer = SnapshotFooterRecord::default();
                    let footer = [(ControlType::SnapshotFooter, &*control_value(&footer))];
                    return Some(Ok(control_batch(at, now_ms, &footer)));
                }
                Stage::Done => return None,
            }
        }
    })
}

enum Stage {
    Header(Bytes),
    Records,
    LastRecords,
    Footer,
    Done,
}

/// The first batch and its number of records.
fn header_batch(head: &SnapshotHead, options: BatchOptions, now_ms: i64) -> (Bytes, i64) {
    let header = SnapshotHeaderRecord {
        last_contained_log_timestamp: head.last_contained_log_timestamp,
        ..Default::default()
    };
    let mut records = vec![(ControlType::SnapshotHeader, control_value(&header))];
    if head.kraft_version > 0 {
        let version = KRaftVersionRecord {
            kraft_version: head.kraft_version,
            ..Default::default()
        };
        records.push((ControlType::KRaftVersion, control_value(&version)));
        if let Some(voters) = &head.voters {
            records.push((ControlType::KRaftVoters, control_value(voters)));
        }
    }
    let borrowed: Vec<(ControlType, &[u8])> = records
        .iter()
        .map(|(control_type, value)| (*control_type, &**value))
        .collect();
    (
        control_batch(options, now_ms, &borrowed),
        borrowed.len() as i64,
    )
}

fn control_value(message: &impl Message) -> Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, CONTROL_RECORD_VERSION)
        .expect("version 0 of these messages says all their fields");
    writer.finish().into_bytes()
}

/// Reads a snapshot batch by batch.
#[derive(Debug, Default)]
pub struct SnapshotReader {
    head: Option<SnapshotHead>,
    ended: bool,
}

impl SnapshotReader {
    /// Starts before the first batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was read of the head so far; `None` before the header.
    pub fn head(&self) -> Option<&SnapshotHead> {
        self.head.as_ref()
    }

    /// Takes the next batch; returns its metadata records.
    pub fn batch(&mut self, batch: &BatchView) -> Result<Vec<MetadataRecord>, SnapshotError> {
        if self.ended {
            return Err(SnapshotError::AfterFooter);
        }
        batch.check_crc()?;
        if batch.header().attributes.is_control() {
            self.control(batch)?;
            return Ok(Vec::new());
        }
        if self.head.is_none() {
            return Err(SnapshotError::NoHeader);
        }
        Ok(decode_batch(batch)?
            .into_iter()
            .map(|(_, record)| record)
            .collect())
    }

    /// The end of the file.
    pub fn finish(self) -> Result<SnapshotHead, SnapshotError> {
        match self.head {
            Some(head) if self.ended => Ok(head),
            Some(_) => Err(SnapshotError::NoFooter),
            None => Err(SnapshotError::NoHeader),
        }
    }

    fn control(&mut self, batch: &BatchView) -> Result<(), SnapshotError> {
        let records = batch
            .records(SNAPSHOT_BATCH_BYTES)
            .map_err(DecodeBatchError::from)?;
        for record in &records {
            let record = ControlRecord::parse(&record?)?;
            let value = records.share(record.value);
            match (record.control_type, &mut self.head) {
                (ControlType::SnapshotHeader, head @ None) => {
                    let header: SnapshotHeaderRecord = control_message(&record, value)?;
                    *head = Some(SnapshotHead {
                        last_contained_log_timestamp: header.last_contained_log_timestamp,
                        ..SnapshotHead::default()
                    });
                }
                (_, None) => return Err(SnapshotError::NoHeader),
                (ControlType::KRaftVersion, Some(head)) => {
                    let version: KRaftVersionRecord = control_message(&record, value)?;
                    head.kraft_version = version.kraft_version;
                }
                (ControlType::KRaftVoters, Some(head)) => {
                    head.voters = Some(control_message(&record, value)?);
                }
                (ControlType::SnapshotFooter, Some(_)) => self.ended = true,
                (other, Some(_)) => return Err(SnapshotError::Unexpected(other)),
            }
        }
        Ok(())
    }
}

/// A whole snapshot in memory: its head and its records. For `bootstrap.checkpoint` and tests; large ones
/// are read batch by batch.
pub fn decode_snapshot(bytes: Bytes) -> Result<(SnapshotHead, Vec<MetadataRecord>), SnapshotError> {
    let mut reader = SnapshotReader::new();
    let mut records = Vec::new();
    for batch in batches(bytes) {
        records.extend(reader.batch(&batch?)?);
    }
    Ok((reader.finish()?, records))
}

fn control_message<M: Message>(
    record: &ControlRecord<'_>,
    value: Bytes,
) -> Result<M, SnapshotError> {
    // Trailing bytes are let pass, as in Kafka: a later version may add fields.
    M::decode(&mut Reader::new(value), CONTROL_RECORD_VERSION)
        .map_err(|error| SnapshotError::ControlValue(record.control_type, error))
}
