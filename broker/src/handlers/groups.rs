//! What a group coordinator decides: the classic group protocol and committed offsets. Each handler
//! authorises, finds the group's partition and passes the request on; the rules are in `broker/group`.
//!
//! Versions: JoinGroup 0–9 · SyncGroup 0–5 · Heartbeat 0–4 · LeaveGroup 0–5 · OffsetCommit 2–10 ·
//! OffsetFetch 1–10 · OffsetDelete 0 · DescribeGroups 0–6 · ListGroups 0–5 · DeleteGroups 0–2.

use ottla_broker_group::{ListFilter, Request, Response, offset_fetch_wire, partition_for_group};
use ottla_broker_metadata::Image;
use ottla_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_protocol::messages::delete_groups_response::DeleteGroupsResponse;
use ottla_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_protocol::messages::describe_groups_response::DescribeGroupsResponse;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::messages::join_group_request::JoinGroupRequest;
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::leave_group_request::LeaveGroupRequest;
use ottla_protocol::messages::leave_group_response::LeaveGroupResponse;
use ottla_protocol::messages::list_groups_request::ListGroupsRequest;
use ottla_protocol::messages::list_groups_response::ListGroupsResponse;
use ottla_protocol::messages::offset_commit_request::OffsetCommitRequest;
use ottla_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use ottla_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use ottla_protocol::messages::sync_group_request::SyncGroupRequest;
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ErrorCode, Str, Uuid};

use crate::auth::{Operation, Resource};
use crate::coordinator::{CallContext, OFFSETS_TOPIC};
use crate::server::RequestContext;

/// First version of OffsetCommit and OffsetFetch that names topics by id.
const OFFSET_TOPIC_IDS_SINCE: i16 = 10;

/// Passes `request` to the coordinator of its group and unpacks the answer of the same kind.
macro_rules! passed {
    ($ctx:expr, $operation:ident, $request:expr, $kind:ident) => {{
        let response = to_coordinator(&$ctx, Operation::$operation, $request).await;
        match response {
            Response::$kind(response) => response,
            other => unreachable!("a {} request was answered by {other:?}", stringify!($kind)),
        }
    }};
}

/// JoinGroup, versions 0–9.
pub async fn join_group(ctx: RequestContext, request: JoinGroupRequest) -> JoinGroupResponse {
    passed!(ctx, Read, Request::Join(request), Join)
}

/// SyncGroup, versions 0–5.
pub async fn sync_group(ctx: RequestContext, request: SyncGroupRequest) -> SyncGroupResponse {
    passed!(ctx, Read, Request::Sync(request), Sync)
}

/// Heartbeat, versions 0–4.
pub async fn heartbeat(ctx: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse {
    passed!(ctx, Read, Request::Heartbeat(request), Heartbeat)
}

/// LeaveGroup, versions 0–5.
pub async fn leave_group(ctx: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse {
    passed!(ctx, Read, Request::Leave(request), Leave)
}

/// OffsetDelete, version 0. Partitions that are not there are answered here.
pub async fn offset_delete(
    ctx: RequestContext,
    mut request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let image = ctx.services.image.load();
    let mut refused = Vec::new();
    request.topics.retain_mut(|topic| {
        let asked = std::mem::take(&mut topic.partitions);
        let (there, missing): (Vec<_>, Vec<_>) = asked.into_iter().partition(|partition| {
            image
                .partition(&topic.name, partition.partition_index)
                .is_some()
        });
        if !missing.is_empty() {
            let partitions = missing
                .into_iter()
                .map(|partition| OffsetDeleteResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                });
            refused.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: partitions.collect(),
            });
        }
        topic.partitions = there;
        !topic.partitions.is_empty()
    });
    let mut response = passed!(ctx, Delete, Request::OffsetDelete(request), OffsetDelete);
    if response.error_code == ErrorCode::NONE {
        response.topics.extend(refused);
    }
    response
}

/// DescribeGroups, versions 0–6. Each group may live in another partition.
pub async fn describe_groups(
    ctx: RequestContext,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut response = DescribeGroupsResponse::default();
    for group in request.groups {
        let mut described = passed!(ctx, Describe, Request::Describe(group), Describe);
        described.authorized_operations = i32::MIN;
        response.groups.push(described);
    }
    response
}

/// DeleteGroups, versions 0–2. Each group may live in another partition.
pub async fn delete_groups(
    ctx: RequestContext,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut response = DeleteGroupsResponse::default();
    for group in request.groups_names {
        response.results.push(passed!(
            ctx,
            Delete,
            Request::DeleteGroup(group),
            DeleteGroup
        ));
    }
    response
}

/// ListGroups, versions 0–5: the groups that this broker coordinates.
pub async fn list_groups(ctx: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse {
    let filter = ListFilter {
        states: request.states_filter,
        types: request.types_filter,
    };
    let image = ctx.services.image.load();
    let mut response = ListGroupsResponse::default();
    let Some(topic) = image.topic(OFFSETS_TOPIC) else {
        return response;
    };
    for (index, partition) in topic.partitions.iter() {
        if partition.leader != ctx.services.node.id {
            continue;
        }
        let answer = ctx
            .services
            .groups
            .ask(index, call_context(&ctx), Request::List(filter.clone()))
            .await;
        match answer {
            Some(Response::List(Ok(groups))) => response.groups.extend(groups),
            Some(Response::List(Err(error_code))) => {
                return ListGroupsResponse {
                    error_code,
                    ..Default::default()
                };
            }
            _ => {}
        }
    }
    let may_see = |group: &str| {
        ctx.services
            .authorizer
            .allows(&ctx.principal, Operation::Describe, Resource::Group(group))
    };
    response.groups.retain(|group| may_see(&group.group_id));
    response
}

/// OffsetCommit, versions 2–10. Unknown topics are answered here; the coordinator sees the others by
/// name and id.
pub async fn offset_commit(
    ctx: RequestContext,
    mut request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let image = ctx.services.image.load();
    let mut refused = Vec::new();
    request.topics.retain_mut(|topic| {
        let known = known_topic(
            &ctx,
            &image,
            topic.topic_id,
            &topic.name,
            OFFSET_TOPIC_IDS_SINCE,
        );
        let asked = std::mem::take(&mut topic.partitions);
        let (there, missing): (Vec<_>, Vec<_>) = asked.into_iter().partition(|partition| {
            known
                .as_ref()
                .is_ok_and(|(name, _)| image.partition(name, partition.partition_index).is_some())
        });
        let error_code = match known {
            Ok((name, id)) => {
                (topic.name, topic.topic_id) = (name, id);
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            }
            Err(error_code) => error_code,
        };
        if !missing.is_empty() {
            let partitions = missing
                .into_iter()
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code,
                    ..Default::default()
                });
            refused.push(OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..Default::default()
            });
        }
        topic.partitions = there;
        !topic.partitions.is_empty()
    });
    let mut response = if request.topics.is_empty() && !refused.is_empty() {
        OffsetCommitResponse::default()
    } else {
        passed!(ctx, Read, Request::OffsetCommit(request), OffsetCommit)
    };
    response.topics.extend(refused);
    response
}

/// OffsetFetch, versions 1–10. Many groups at once since version 8 (KIP-709).
pub async fn offset_fetch(ctx: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let image = ctx.services.image.load();
    let require_stable = request.require_stable;
    let asked = offset_fetch_wire::groups_of(ctx.version, request);
    let mut answers = Vec::with_capacity(asked.len());
    for group in &asked {
        answers.push(offsets_of_group(&ctx, &image, group.clone(), require_stable).await);
    }
    offset_fetch_wire::response_of(ctx.version, &asked, answers)
}

async fn offsets_of_group(
    ctx: &RequestContext,
    image: &Image,
    mut group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let mut refused = Vec::new();
    if let Some(topics) = &mut group.topics {
        topics.retain_mut(|topic| {
            if ctx.version < OFFSET_TOPIC_IDS_SINCE {
                // Offsets of topics that are gone are still answered by name.
                topic.topic_id = image
                    .topic(&topic.name)
                    .map_or(Uuid::ZERO, |known| known.id);
                return true;
            }
            match image.topic_by_id(&topic.topic_id) {
                Some(known) => {
                    topic.name = known.name.clone();
                    true
                }
                None => {
                    let partitions =
                        topic
                            .partition_indexes
                            .iter()
                            .map(|index| OffsetFetchResponsePartitions {
                                partition_index: *index,
                                committed_offset: -1,
                                committed_leader_epoch: -1,
                                metadata: Some(Str::default()),
                                error_code: ErrorCode::UNKNOWN_TOPIC_ID,
                                ..Default::default()
                            });
                    refused.push(OffsetFetchResponseTopics {
                        topic_id: topic.topic_id,
                        partitions: partitions.collect(),
                        ..Default::default()
                    });
                    false
                }
            }
        });
    }
    let everything = group.topics.is_none();
    let mut answer = passed!(
        *ctx,
        Describe,
        Request::OffsetFetch {
            group,
            require_stable
        },
        OffsetFetch
    );
    if ctx.version >= OFFSET_TOPIC_IDS_SINCE {
        for topic in &mut answer.topics {
            if topic.topic_id == Uuid::ZERO {
                topic.topic_id = image
                    .topic(&topic.name)
                    .map_or(Uuid::ZERO, |known| known.id);
            }
        }
        if everything {
            // What has no id any more cannot be named in these versions.
            answer.topics.retain(|topic| topic.topic_id != Uuid::ZERO);
        }
    }
    answer.topics.extend(refused);
    answer
}

/// Name and id of a topic that a request names by one of them.
fn known_topic(
    ctx: &RequestContext,
    image: &Image,
    id: Uuid,
    name: &Str,
    ids_since: i16,
) -> Result<(Str, Uuid), ErrorCode> {
    let topic = if ctx.version >= ids_since {
        image.topic_by_id(&id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
    } else {
        image
            .topic(name)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    };
    if !ctx.services.authorizer.allows(
        &ctx.principal,
        Operation::Read,
        Resource::Topic(&topic.name),
    ) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    Ok((topic.name.clone(), topic.id))
}

async fn to_coordinator(ctx: &RequestContext, operation: Operation, request: Request) -> Response {
    let group = request.group_id().cloned().unwrap_or_default();
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, operation, Resource::Group(&group))
    {
        return request.refused_at(ctx.version, ErrorCode::GROUP_AUTHORIZATION_FAILED);
    }
    let partitions = ctx
        .services
        .image
        .load()
        .topic(OFFSETS_TOPIC)
        .map(|topic| topic.partitions.len());
    let not_here = request.refused_at(ctx.version, ErrorCode::NOT_COORDINATOR);
    let Some(partitions) = partitions else {
        return not_here;
    };
    let partition = partition_for_group(&group, i32::try_from(partitions).unwrap_or(i32::MAX));
    ctx.services
        .groups
        .ask(partition, call_context(ctx), request)
        .await
        .unwrap_or(not_here)
}

fn call_context(ctx: &RequestContext) -> CallContext {
    let random = u128::from(ctx.services.rt.random()) << 64 | u128::from(ctx.services.rt.random());
    CallContext {
        version: ctx.version,
        client_id: ctx.client_id.clone().unwrap_or_default(),
        client_host: Str::from(format!("/{}", ctx.connection.peer.ip())),
        random,
    }
}
