//! Tells which broker coordinates a group.

use ottla_broker_group::partition_for_group;
use ottla_broker_metadata::Image;
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use ottla_protocol::{ErrorCode, Str};

use crate::auth::{Operation, Resource};
use crate::coordinator::OFFSETS_TOPIC;
use crate::server::RequestContext;

const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;
const KEY_TYPE_SHARE: i8 = 2;

/// FindCoordinator, versions 0–6.
///
/// Behaviour: the coordinator of a group is the leader of the group's partition of
/// `__consumer_offsets`, which is created at the first question. Transaction and share coordinators are
/// not served yet: COORDINATOR_NOT_AVAILABLE would make clients ask for ever, so they are refused.
/// Version notes: v1 key types · v3 flexible · v4 many keys at once (KIP-699) · v6 share (KIP-932).
pub async fn find_coordinator(
    ctx: RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if request.key_type == KEY_TYPE_GROUP {
        crate::coordinator::ensure_offsets_topic(&ctx.services, &ctx.principal).await;
    }
    let image = ctx.services.image.load();
    if ctx.version >= 4 {
        let keys = request.coordinator_keys.iter();
        let coordinators = keys
            .map(|key| find(&ctx, &image, request.key_type, key))
            .collect();
        return FindCoordinatorResponse {
            coordinators,
            ..Default::default()
        };
    }
    let found = find(&ctx, &image, request.key_type, &request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn find(ctx: &RequestContext, image: &Image, key_type: i8, key: &Str) -> Coordinator {
    match locate(ctx, image, key_type, key) {
        Ok((node_id, host, port)) => Coordinator {
            key: key.clone(),
            node_id,
            host,
            port,
            ..Default::default()
        },
        Err(error_code) => Coordinator {
            key: key.clone(),
            node_id: -1,
            port: -1,
            error_code,
            error_message: Some(Str::from(error_code.to_string())),
            ..Default::default()
        },
    }
}

fn locate(
    ctx: &RequestContext,
    image: &Image,
    key_type: i8,
    key: &Str,
) -> Result<(i32, Str, i32), ErrorCode> {
    match key_type {
        KEY_TYPE_GROUP => {}
        KEY_TYPE_TRANSACTION => return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        KEY_TYPE_SHARE => return Err(ErrorCode::GROUP_AUTHORIZATION_FAILED),
        _ => return Err(ErrorCode::INVALID_REQUEST),
    }
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::Describe, Resource::Group(key))
    {
        return Err(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    }
    let topic = image
        .topic(OFFSETS_TOPIC)
        .ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    let index = partition_for_group(key, topic.partitions.len() as i32);
    let partition = topic
        .partition(index)
        .ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    let leader = image
        .alive_broker(partition.leader)
        .ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    let endpoint = leader
        .endpoint(&ctx.connection.listener)
        .ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    Ok((leader.id, endpoint.host.clone(), i32::from(endpoint.port)))
}
