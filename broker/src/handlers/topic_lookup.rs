//! From what a client names to a partition that this broker leads, or to the error code and the
//! leader hint (KIP-951) that send the client elsewhere.
//!
//! Not here: authorisation, which each handler asks before it looks anything up.

use ottla_broker_metadata::{BrokerRegistration, Endpoint, Image, Topic};
use ottla_broker_storage::AppendError;
use ottla_broker_storage::producers::ProducerError;
use ottla_protocol::ErrorCode;

use crate::partition::{PartitionError, PartitionId};

/// The partition `index` of `topic`, if this broker leads it. Errors: `UNKNOWN_TOPIC_OR_PARTITION`,
/// `NOT_LEADER_OR_FOLLOWER`.
pub fn led_by(node_id: i32, topic: &Topic, index: i32) -> Result<PartitionId, ErrorCode> {
    let partition = topic
        .partition(index)
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if partition.leader != node_id {
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    Ok(PartitionId {
        topic: topic.id,
        index,
    })
}

/// A broker that clients of `listener` can reach, and where.
pub fn reachable<'a>(
    image: &'a Image,
    broker: i32,
    listener: &str,
) -> Option<(&'a BrokerRegistration, &'a Endpoint)> {
    let broker = image.alive_broker(broker)?;
    Some((broker, broker.endpoint(listener)?))
}

/// Whether an error tells the client to look for another leader, so that a hint saves it a Metadata
/// round trip.
pub fn wants_leader_hint(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
    )
}

/// The wire code of what a partition's owner refused.
pub fn error_code(error: &PartitionError) -> ErrorCode {
    match error {
        PartitionError::NotLeader | PartitionError::Stopping => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        PartitionError::FencedLeaderEpoch => ErrorCode::FENCED_LEADER_EPOCH,
        PartitionError::UnknownLeaderEpoch => ErrorCode::UNKNOWN_LEADER_EPOCH,
        PartitionError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        PartitionError::Append(error) => append_error_code(error),
        PartitionError::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

fn append_error_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Producer(ProducerError::Fenced { .. }) => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::Producer(ProducerError::OutOfOrder { .. }) => {
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
        }
        AppendError::Producer(ProducerError::NotTransactional { .. }) => {
            ErrorCode::INVALID_TXN_STATE
        }
        AppendError::Producer(ProducerError::CoordinatorFenced { .. }) => {
            ErrorCode::TRANSACTION_COORDINATOR_FENCED
        }
        AppendError::LargerThanSegment { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::Offsets { .. } | AppendError::Marker(_) => ErrorCode::INVALID_RECORD,
        AppendError::DiskFull | AppendError::DirDead(_) | AppendError::Damaged(_) => {
            ErrorCode::KAFKA_STORAGE_ERROR
        }
        AppendError::NoSuchLog(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
    }
}
