//! Records of `__consumer_offsets` as bytes: key = i16 type + body, value = i16 version + body, no value = tombstone.
//! Byte for byte what Apache Kafka 4.3.1 writes, so that its tools and its brokers read our topic and we read theirs.
//! Not here: batches, offsets in the log (the shell), what a record means (`offsets`, `classic`).

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::coordinator_records::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use ottla_protocol::{DecodeError, EncodeError, Message, Reader, Str, Writer};

/// One record for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Never empty.
    pub key: Bytes,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// Bytes that are not a record of this topic. A log that holds one must not be served as if the record were not there.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The key or value ends early or holds an impossible field.
    #[error("a group record cannot be read: {0}")]
    Damaged(#[from] DecodeError),
    /// A value version newer than this code.
    #[error("a {record} record has version {version}, which this broker does not know")]
    UnknownVersion {
        /// Name of the record.
        record: &'static str,
        /// The version found.
        version: i16,
    },
}

/// What a replayed record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is part of the state now.
    Applied,
    /// Its type belongs to a kind of group that is not served; like Kafka we pass over it (it may stem from a broker of another
    /// version), and the shell logs it.
    Ignored {
        /// The type in the first two bytes of the key.
        record_type: i16,
    },
}

/// A record's meaning. `None` as value is a tombstone.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Offset(OffsetCommitKey, Option<OffsetCommitValue>),
    Group(Str, Option<GroupMetadataValue>),
    Other(i16),
}

/// Strings of the non-flexible records have an i16 length. The face refuses ids and names longer than this before they get here; the
/// slack is for the suffix of a generated member id.
pub(crate) const STRING_MAX: usize = i16::MAX as usize - 64;

/// Type 0 is the key of the same shape that Kafka wrote before 0.9; compacted logs may still hold it.
const OFFSET_COMMIT_LEGACY: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
/// Version 1 is the only one with an explicit expiry time, 4 the only one with a topic id; Kafka 4.3.1 writes these two.
const OFFSET_VALUE_EXPIRING: i16 = 1;
const OFFSET_VALUE: i16 = 4;
const OFFSET_VALUE_NEWEST: i16 = 4;
/// Kafka 4.3.1 stays with the last version before tagged fields.
const GROUP_VALUE: i16 = 3;
const GROUP_VALUE_NEWEST: i16 = 4;

pub(crate) fn offset_commit(key: &OffsetCommitKey, value: &OffsetCommitValue) -> Record {
    let version = if value.expire_timestamp == -1 {
        OFFSET_VALUE
    } else {
        OFFSET_VALUE_EXPIRING
    };
    Record {
        key: encode(OFFSET_COMMIT, 0, key),
        value: Some(encode(version, version, value)),
    }
}

pub(crate) fn offset_tombstone(key: &OffsetCommitKey) -> Record {
    Record {
        key: encode(OFFSET_COMMIT, 0, key),
        value: None,
    }
}

pub(crate) fn group_metadata(group_id: &Str, value: &GroupMetadataValue) -> Record {
    Record {
        key: group_key(group_id),
        value: Some(encode(GROUP_VALUE, GROUP_VALUE, value)),
    }
}

pub(crate) fn group_tombstone(group_id: &Str) -> Record {
    Record {
        key: group_key(group_id),
        value: None,
    }
}

fn group_key(group_id: &Str) -> Bytes {
    encode(
        GROUP_METADATA,
        0,
        &GroupMetadataKey {
            group: group_id.clone(),
        },
    )
}

/// Reads a record.
pub(crate) fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Entry, RecordError> {
    let mut reader = Reader::new(key.clone());
    match reader.i16()? {
        OFFSET_COMMIT_LEGACY | OFFSET_COMMIT => {
            let key = OffsetCommitKey::decode(&mut reader, 0)?;
            Ok(Entry::Offset(
                key,
                decode_value("OffsetCommit", OFFSET_VALUE_NEWEST, value)?,
            ))
        }
        GROUP_METADATA => {
            let key = GroupMetadataKey::decode(&mut reader, 0)?;
            Ok(Entry::Group(
                key.group,
                decode_value("GroupMetadata", GROUP_VALUE_NEWEST, value)?,
            ))
        }
        other => Ok(Entry::Other(other)),
    }
}

fn decode_value<V: Message>(
    record: &'static str,
    newest: i16,
    value: Option<&Bytes>,
) -> Result<Option<V>, RecordError> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    if !(0..=newest).contains(&version) {
        return Err(RecordError::UnknownVersion { record, version });
    }
    Ok(Some(V::decode(&mut reader, version)?))
}

fn encode(prefix: i16, version: i16, message: &impl Message) -> Bytes {
    let mut writer = Writer::new();
    let written: Result<(), EncodeError> = message.encode(&mut writer, version);
    written.expect("these versions have every field that is set, and the face refuses strings that do not fit (STRING_MAX)");
    let body = writer.finish();
    let mut bytes = BytesMut::with_capacity(2 + body.len);
    bytes.put_i16(prefix);
    body.chunks.iter().for_each(|chunk| bytes.put_slice(chunk));
    bytes.freeze()
}
