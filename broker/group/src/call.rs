//! What goes into the coordinator and what comes out: plain data, one group per call. Requests that name many groups (OffsetFetch 8+,
//! DescribeGroups, DeleteGroups) are split by the handler, because their groups may live in different partitions.
//! Not here: authorisation, topic existence and topic ids; the handler has settled them before the call.

use crate::record::Record;
use ottla_protocol::messages::delete_groups_response::DeletableGroupResult;
use ottla_protocol::messages::describe_groups_response::DescribedGroup;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::messages::join_group_request::JoinGroupRequest;
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::leave_group_request::LeaveGroupRequest;
use ottla_protocol::messages::leave_group_response::LeaveGroupResponse;
use ottla_protocol::messages::list_groups_response::ListedGroup;
use ottla_protocol::messages::offset_commit_request::OffsetCommitRequest;
use ottla_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_protocol::messages::offset_delete_response::OffsetDeleteResponse;
use ottla_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use ottla_protocol::messages::sync_group_request::SyncGroupRequest;
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ErrorCode, Str};

/// Names one waiting request of the shell. The coordinator gives each ticket back exactly once, in a [`Reply`], unless it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one append. Ids grow in the order in which the records belong in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// The two clocks, read by the caller. Timers follow the monotonic one, everything that is written to the log the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never steps; any origin.
    pub monotonic_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

/// Who calls, and how.
#[derive(Clone, Debug)]
pub struct Call {
    /// Comes back with the reply.
    pub ticket: Ticket,
    /// Version of the API in which the request was read and the response will be written.
    pub version: i16,
    /// Client id of the request header ("" when null): the first half of a generated member id.
    pub client_id: Str,
    /// Address of the client as Kafka prints it, `/10.0.0.7`.
    pub client_host: Str,
    /// Fresh random bits: the second half of a generated member id. Given in, because this crate has no randomness.
    pub random: u128,
}

/// One request for one group.
#[derive(Clone, Debug)]
pub enum Request {
    /// JoinGroup 0–9.
    Join(JoinGroupRequest),
    /// SyncGroup 0–5.
    Sync(SyncGroupRequest),
    /// Heartbeat 0–4.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup 0–5.
    Leave(LeaveGroupRequest),
    /// OffsetCommit 2–10. The handler has removed unknown and unauthorised topics, and has filled in name and topic id of the others.
    OffsetCommit(OffsetCommitRequest),
    /// One group of OffsetFetch 1–10 (`offset_fetch_wire` turns old requests into this shape), name and topic id filled in.
    OffsetFetch {
        /// The group and what it asks for; `topics: None` means everything.
        group: OffsetFetchRequestGroup,
        /// Answer UNSTABLE_OFFSET_COMMIT for partitions that an open transaction is about to commit.
        require_stable: bool,
    },
    /// OffsetDelete 0.
    OffsetDelete(OffsetDeleteRequest),
    /// One group of DescribeGroups 0–6. Authorised operations are filled in by the handler.
    Describe(Str),
    /// One group of DeleteGroups 0–2.
    DeleteGroup(Str),
    /// ListGroups 0–5: the groups of this partition.
    List(ListFilter),
}

/// Which groups ListGroups shows; an empty list lets everything pass. Compared without regard to case (KIP-518, KIP-848).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// State names such as `Stable`.
    pub states: Vec<Str>,
    /// Type names; classic groups are `classic`.
    pub types: Vec<Str>,
}

/// The answer to the [`Request`] of the same name.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Response {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponseGroup),
    OffsetDelete(OffsetDeleteResponse),
    Describe(DescribedGroup),
    DeleteGroup(DeletableGroupResult),
    List(Result<Vec<ListedGroup>, ErrorCode>),
}

/// A response and the ticket it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The ticket of the call.
    pub ticket: Ticket,
    /// What to answer.
    pub response: Response,
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Append these records as one batch (they stand or fall together), then call `appended` or `append_failed`, before any other call.
    Append {
        /// To be named in the answer.
        id: AppendId,
        /// At least one record.
        records: Vec<Record>,
    },
    /// Send this.
    Reply(Reply),
}

impl Request {
    /// The answer that refuses this request with one error everywhere the response has room for one: for NOT_COORDINATOR and
    /// COORDINATOR_LOAD_IN_PROGRESS (said by the face, when no coordinator is loaded), INVALID_GROUP_ID, authorisation, shutdown.
    /// Fits every version of the API.
    pub fn refused(&self, error: ErrorCode) -> Response {
        self.refused_at(0, error)
    }

    /// As `refused`, in the form that Kafka gives it in this version of the API.
    pub fn refused_at(&self, version: i16, error: ErrorCode) -> Response {
        match self {
            Request::Join(request) => {
                Response::Join(join_error(version, request.member_id.clone(), error))
            }
            Request::Sync(_) => Response::Sync(SyncGroupResponse {
                error_code: error,
                ..Default::default()
            }),
            Request::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse {
                error_code: error,
                ..Default::default()
            }),
            Request::Leave(_) => Response::Leave(LeaveGroupResponse {
                error_code: error,
                ..Default::default()
            }),
            Request::OffsetCommit(request) => {
                Response::OffsetCommit(commit_response(request, |_| error))
            }
            Request::OffsetFetch { group, .. } => Response::OffsetFetch(OffsetFetchResponseGroup {
                group_id: group.group_id.clone(),
                error_code: error,
                ..Default::default()
            }),
            Request::OffsetDelete(_) => Response::OffsetDelete(OffsetDeleteResponse {
                error_code: error,
                ..Default::default()
            }),
            Request::Describe(group_id) => Response::Describe(DescribedGroup {
                group_id: group_id.clone(),
                error_code: error,
                ..Default::default()
            }),
            Request::DeleteGroup(group_id) => Response::DeleteGroup(DeletableGroupResult {
                group_id: group_id.clone(),
                error_code: error,
                ..Default::default()
            }),
            Request::List(_) => Response::List(Err(error)),
        }
    }

    /// The group the request is about; `None` for a list.
    pub fn group_id(&self) -> Option<&Str> {
        match self {
            Request::Join(request) => Some(&request.group_id),
            Request::Sync(request) => Some(&request.group_id),
            Request::Heartbeat(request) => Some(&request.group_id),
            Request::Leave(request) => Some(&request.group_id),
            Request::OffsetCommit(request) => Some(&request.group_id),
            Request::OffsetFetch { group, .. } => Some(&group.group_id),
            Request::OffsetDelete(request) => Some(&request.group_id),
            Request::Describe(group_id) | Request::DeleteGroup(group_id) => Some(group_id),
            Request::List(_) => None,
        }
    }

    /// Whether Kafka accepts the empty group id here. It does for the offsets of simple consumers, which never join, and for reading.
    pub(crate) fn allows_empty_group_id(&self) -> bool {
        match self {
            Request::OffsetCommit(_)
            | Request::OffsetFetch { .. }
            | Request::List(_)
            | Request::Describe(_)
            | Request::DeleteGroup(_) => true,
            Request::Join(_)
            | Request::Sync(_)
            | Request::Heartbeat(_)
            | Request::Leave(_)
            | Request::OffsetDelete(_) => false,
        }
    }
}

impl Response {
    /// The same answer after its records could not be written: what was success becomes `error`, what was an error stays.
    pub(crate) fn failed(mut self, error: ErrorCode) -> Response {
        let replace = |code: &mut ErrorCode| {
            if *code == ErrorCode::NONE {
                *code = error;
            }
        };
        match &mut self {
            Response::Join(response) => replace(&mut response.error_code),
            Response::Sync(response) => replace(&mut response.error_code),
            Response::Heartbeat(response) => replace(&mut response.error_code),
            Response::Leave(response) => replace(&mut response.error_code),
            Response::OffsetCommit(response) => {
                response
                    .topics
                    .iter_mut()
                    .flat_map(|topic| &mut topic.partitions)
                    .for_each(|p| replace(&mut p.error_code));
            }
            Response::OffsetFetch(response) => {
                replace(&mut response.error_code);
                response.topics.clear();
            }
            Response::OffsetDelete(response) => replace(&mut response.error_code),
            Response::Describe(response) => replace(&mut response.error_code),
            Response::DeleteGroup(response) => replace(&mut response.error_code),
            Response::List(response) => {
                if response.is_ok() {
                    *response = Err(error);
                }
            }
        }
        self
    }
}

/// From this version on a JoinGroup answer without a protocol says null; before, null cannot be written.
const NULL_PROTOCOL_FROM: i16 = 7;

/// A JoinGroup answer that carries nothing but an error.
pub(crate) fn join_error(version: i16, member_id: Str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error,
        member_id,
        protocol_name: (version < NULL_PROTOCOL_FROM).then(Str::default),
        ..Default::default()
    }
}

/// An OffsetCommit answer in the shape of its request, each partition with the error that `verdict` gives it.
pub(crate) fn commit_response(
    request: &OffsetCommitRequest,
    verdict: impl Fn(
        &ottla_protocol::messages::offset_commit_request::OffsetCommitRequestPartition,
    ) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: verdict(partition),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}
