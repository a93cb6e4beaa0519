//! Tells who is in the cluster.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};

use crate::server::{ListenerKind, RequestContext};

/// A set of operations is not asked for or not known.
const OPERATIONS_UNKNOWN: i32 = i32::MIN;
const ENDPOINTS_OF_BROKERS: i8 = 1;
const ENDPOINTS_OF_CONTROLLERS: i8 = 2;

/// DescribeCluster, versions 0–2.
///
/// Behaviour: a client port lists brokers (fenced ones too when asked), a controller port lists
/// controllers; asking for the other kind is MISMATCHED_ENDPOINT_TYPE, as in Kafka.
/// Version notes: v1 endpoint type (KIP-919) · v2 fenced brokers (KIP-1073).
pub async fn describe_cluster(
    ctx: RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let own_type = match ctx.connection.listener_kind {
        ListenerKind::Broker => ENDPOINTS_OF_BROKERS,
        ListenerKind::Controller => ENDPOINTS_OF_CONTROLLERS,
    };
    if request.endpoint_type != own_type {
        let known = matches!(
            request.endpoint_type,
            ENDPOINTS_OF_BROKERS | ENDPOINTS_OF_CONTROLLERS
        );
        let (error_code, message) = if known {
            (
                ErrorCode::MISMATCHED_ENDPOINT_TYPE,
                "the request was sent to an endpoint of the other type",
            )
        } else {
            (
                ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
                "unknown endpoint type",
            )
        };
        return DescribeClusterResponse {
            error_code,
            error_message: Some(message.into()),
            ..Default::default()
        };
    }
    let brokers = match ctx.connection.listener_kind {
        ListenerKind::Broker => brokers(&ctx, request.include_fenced_brokers),
        ListenerKind::Controller => controllers(&ctx),
    };
    let controller_id = match ctx.connection.listener_kind {
        ListenerKind::Controller => ctx.services.controller.leader_id(),
        ListenerKind::Broker => brokers
            .iter()
            .find(|broker| !broker.is_fenced)
            .map_or(-1, |broker| broker.broker_id),
    };
    DescribeClusterResponse {
        endpoint_type: own_type,
        cluster_id: ctx.services.node.cluster_id.clone(),
        controller_id,
        brokers,
        cluster_authorized_operations: OPERATIONS_UNKNOWN,
        ..Default::default()
    }
}

fn brokers(ctx: &RequestContext, include_fenced: bool) -> Vec<DescribeClusterBroker> {
    let image = ctx.services.image.load();
    let registered = image.cluster.brokers.values();
    registered
        .filter(|broker| include_fenced || !broker.fenced)
        .filter_map(|broker| {
            let endpoint = broker.endpoint(&ctx.connection.listener)?;
            Some(DescribeClusterBroker {
                broker_id: broker.id,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                is_fenced: broker.fenced,
                ..Default::default()
            })
        })
        .collect()
}

fn controllers(ctx: &RequestContext) -> Vec<DescribeClusterBroker> {
    ctx.services
        .controller
        .voters()
        .into_iter()
        .map(|voter| DescribeClusterBroker {
            broker_id: voter.id,
            host: voter.host,
            port: i32::from(voter.port),
            ..Default::default()
        })
        .collect()
}
