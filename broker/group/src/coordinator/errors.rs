//! What a log says when it cannot take group records, as clients of a group may hear it: retry, or look for the coordinator.

use crate::call::Response;
use ottla_protocol::ErrorCode;

/// For the answer to the request that wanted the records.
pub(super) fn error_for_client(response: &Response, error: ErrorCode) -> ErrorCode {
    match (response, error) {
        (
            Response::OffsetCommit(_),
            ErrorCode::MESSAGE_TOO_LARGE
            | ErrorCode::RECORD_LIST_TOO_LARGE
            | ErrorCode::INVALID_FETCH_SIZE,
        ) => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
        (_, error) => error_of_group_write(error),
    }
}

/// For everything else.
pub(super) fn error_of_group_write(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => {
            ErrorCode::NOT_COORDINATOR
        }
        ErrorCode::MESSAGE_TOO_LARGE
        | ErrorCode::RECORD_LIST_TOO_LARGE
        | ErrorCode::INVALID_FETCH_SIZE => ErrorCode::UNKNOWN_SERVER_ERROR,
        other => other,
    }
}
