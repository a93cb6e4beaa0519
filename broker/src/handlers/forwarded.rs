//! What the controller decides: each handler authorises and passes the request on, in this process or
//! in an Envelope. The rules are in `broker/metadata`.
//!
//! Versions: CreateTopics 2–7 · DeleteTopics 1–6 · CreatePartitions 0–3 · AlterConfigs 0–2 ·
//! IncrementalAlterConfigs 0–1 · UpdateFeatures 0–2 · UnregisterBroker 0 · ListPartitionReassignments 0 ·
//! DescribeQuorum 0–2.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::alter_configs_request::AlterConfigsRequest;
use ottla_protocol::messages::alter_configs_response::AlterConfigsResponse;
use ottla_protocol::messages::create_partitions_request::CreatePartitionsRequest;
use ottla_protocol::messages::create_partitions_response::CreatePartitionsResponse;
use ottla_protocol::messages::create_topics_request::CreateTopicsRequest;
use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use ottla_protocol::messages::delete_topics_response::DeleteTopicsResponse;
use ottla_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use ottla_protocol::messages::describe_quorum_response::DescribeQuorumResponse;
use ottla_protocol::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequest;
use ottla_protocol::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponse;
use ottla_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_protocol::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_protocol::messages::update_features_request::UpdateFeaturesRequest;
use ottla_protocol::messages::update_features_response::UpdateFeaturesResponse;

use crate::auth::{Operation, Resource};
use crate::controller::{Caller, Forwarded};
use crate::server::RequestContext;

/// CreateTopics. Version notes: v4 default partitions and factor (KIP-464) · v5 the configuration comes
/// back (KIP-525) · v7 topic ids.
pub async fn create_topics(
    ctx: RequestContext,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    decide(ctx, Operation::Create, request).await
}

/// DeleteTopics. Version notes: v5 error messages · v6 by id.
pub async fn delete_topics(
    ctx: RequestContext,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    decide(ctx, Operation::Delete, request).await
}

/// CreatePartitions. A topic's partitions never become fewer.
pub async fn create_partitions(
    ctx: RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    decide(ctx, Operation::Alter, request).await
}

/// AlterConfigs: replaces all overrides of a resource.
pub async fn alter_configs(
    ctx: RequestContext,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    decide(ctx, Operation::AlterConfigs, request).await
}

/// IncrementalAlterConfigs (KIP-339).
pub async fn incremental_alter_configs(
    ctx: RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    decide(ctx, Operation::AlterConfigs, request).await
}

/// UpdateFeatures (KIP-584).
pub async fn update_features(
    ctx: RequestContext,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    decide(ctx, Operation::Alter, request).await
}

/// UnregisterBroker: the registration goes, replicas must have been moved before.
pub async fn unregister_broker(
    ctx: RequestContext,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    decide(ctx, Operation::Alter, request).await
}

/// ListPartitionReassignments (KIP-455).
pub async fn list_partition_reassignments(
    ctx: RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    decide(ctx, Operation::Describe, request).await
}

/// DescribeQuorum. Version notes: v1 fetch times · v2 directory ids and listeners (KIP-853).
pub async fn describe_quorum(
    ctx: RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    decide(ctx, Operation::Describe, request).await
}

async fn decide<R: Forwarded>(
    ctx: RequestContext,
    operation: Operation,
    request: R,
) -> R::Response {
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, operation, Resource::Cluster)
    {
        return request.refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    }
    let caller = Caller {
        principal: ctx.principal,
        version: ctx.version,
    };
    ctx.services.controller.decide(caller, request).await
}
