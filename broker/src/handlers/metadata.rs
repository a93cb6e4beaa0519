//! Tells clients which brokers, topics and leaders there are, and creates topics on demand.

use ottla_broker_metadata::{Image, PartitionRef, Topic};
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::{ErrorCode, Str, Uuid};

use crate::auth::{Operation, Principal, Resource};
use crate::server::{RequestContext, Services};
use crate::topic_names;

/// A set of operations is not asked for or not known.
const OPERATIONS_UNKNOWN: i32 = i32::MIN;

/// Metadata, versions 0–13.
///
/// Behaviour: no topics in the request means all of them from version 1 on (an empty list in version
/// 0); a topic that is not there is created when both the request and `auto.create.topics.enable`
/// allow it, and answered LEADER_NOT_AVAILABLE so that the client asks again.
/// Version notes: v1 controller and racks · v2 cluster id · v4 auto-creation is the client's choice ·
/// v5 offline replicas · v7 leader epochs · v8–10 authorised operations · v9 flexible · v10 topic ids ·
/// v12 lookup by id · v13 top-level error.
pub async fn metadata(ctx: RequestContext, request: MetadataRequest) -> MetadataResponse {
    if let Some(missing) = missing_topics(&ctx, &request) {
        create(&ctx.services, &ctx.principal, missing).await;
    }
    let image = ctx.services.image.load();
    let topics = match &request.topics {
        None => all_topics(&ctx, &image),
        Some(topics) if topics.is_empty() && ctx.version == 0 => all_topics(&ctx, &image),
        Some(topics) => topics
            .iter()
            .map(|topic| wanted_topic(&ctx, &image, &request, topic))
            .collect(),
    };
    MetadataResponse {
        brokers: brokers(&ctx, &image),
        cluster_id: Some(ctx.services.node.cluster_id.clone()),
        controller_id: any_alive_broker(&ctx, &image),
        topics,
        cluster_authorized_operations: OPERATIONS_UNKNOWN,
        ..Default::default()
    }
}

fn brokers(ctx: &RequestContext, image: &Image) -> Vec<MetadataResponseBroker> {
    image
        .alive_brokers(&ctx.connection.listener)
        .map(|(broker, endpoint)| MetadataResponseBroker {
            node_id: broker.id,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            ..Default::default()
        })
        .collect()
}

/// Clients send controller requests to this broker, and every broker forwards them; naming brokers in
/// turn spreads that work, as Kafka does in KRaft mode.
fn any_alive_broker(ctx: &RequestContext, image: &Image) -> i32 {
    let alive: Vec<i32> = image
        .alive_brokers(&ctx.connection.listener)
        .map(|(broker, _)| broker.id)
        .collect();
    if alive.is_empty() {
        return -1;
    }
    alive[(ctx.services.rt.random() % alive.len() as u64) as usize]
}

fn all_topics(ctx: &RequestContext, image: &Image) -> Vec<MetadataResponseTopic> {
    let visible = image
        .topics
        .iter()
        .filter(|topic| may_describe(ctx, &topic.name));
    visible.map(|topic| described(ctx, image, topic)).collect()
}

fn wanted_topic(
    ctx: &RequestContext,
    image: &Image,
    request: &MetadataRequest,
    wanted: &MetadataRequestTopic,
) -> MetadataResponseTopic {
    let by_id = wanted.topic_id != Uuid::ZERO;
    let topic = match &wanted.name {
        _ if by_id => image.topic_by_id(&wanted.topic_id),
        Some(name) => image.topic(name),
        None => None,
    };
    let refused = |error_code| MetadataResponseTopic {
        error_code,
        name: wanted.name.clone(),
        topic_id: wanted.topic_id,
        topic_authorized_operations: OPERATIONS_UNKNOWN,
        ..Default::default()
    };
    match topic {
        Some(topic) if may_describe(ctx, &topic.name) => described(ctx, image, topic),
        Some(_) => refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        None if by_id => refused(ErrorCode::UNKNOWN_TOPIC_ID),
        None => refused(missing_code(ctx, request, wanted)),
    }
}

fn missing_code(
    ctx: &RequestContext,
    request: &MetadataRequest,
    wanted: &MetadataRequestTopic,
) -> ErrorCode {
    let Some(name) = &wanted.name else {
        return ErrorCode::INVALID_REQUEST;
    };
    if !topic_names::is_valid(name) {
        return ErrorCode::INVALID_TOPIC_EXCEPTION;
    }
    if creates_missing(ctx, request) {
        ErrorCode::LEADER_NOT_AVAILABLE
    } else {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    }
}

fn described(ctx: &RequestContext, image: &Image, topic: &Topic) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic_names::is_internal(&topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|(index, partition)| described_partition(ctx, image, index, partition))
            .collect(),
        topic_authorized_operations: OPERATIONS_UNKNOWN,
        ..Default::default()
    }
}

fn described_partition(
    ctx: &RequestContext,
    image: &Image,
    index: i32,
    partition: PartitionRef<'_>,
) -> MetadataResponsePartition {
    let listener = &ctx.connection.listener;
    let reachable = image
        .alive_broker(partition.leader)
        .map(|leader| leader.endpoint(listener).is_some());
    let (leader_id, error_code) = match reachable {
        Some(true) => (partition.leader, ErrorCode::NONE),
        Some(false) => (-1, ErrorCode::LISTENER_NOT_FOUND),
        None => (-1, ErrorCode::LEADER_NOT_AVAILABLE),
    };
    MetadataResponsePartition {
        error_code,
        partition_index: index,
        leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.isr.to_vec(),
        offline_replicas: image.offline_replicas(partition, listener),
        ..Default::default()
    }
}

fn may_describe(ctx: &RequestContext, topic: &str) -> bool {
    ctx.services
        .authorizer
        .allows(&ctx.principal, Operation::Describe, Resource::Topic(topic))
}

fn creates_missing(ctx: &RequestContext, request: &MetadataRequest) -> bool {
    // Before version 4 clients had no choice.
    let client_allows = ctx.version < 4 || request.allow_auto_topic_creation;
    client_allows && ctx.services.settings.auto_create_topics
}

/// Names in the request that are no topics yet and may be created.
fn missing_topics(ctx: &RequestContext, request: &MetadataRequest) -> Option<Vec<Str>> {
    if !creates_missing(ctx, request) {
        return None;
    }
    let image = ctx.services.image.load();
    let named = request
        .topics
        .iter()
        .flatten()
        .filter_map(|topic| topic.name.as_ref());
    let missing: Vec<Str> = named
        .filter(|name| image.topic(name).is_none() && topic_names::is_valid(name))
        .filter(|name| {
            let create = |resource| {
                ctx.services
                    .authorizer
                    .allows(&ctx.principal, Operation::Create, resource)
            };
            create(Resource::Cluster) || create(Resource::Topic(name))
        })
        .cloned()
        .collect();
    (!missing.is_empty()).then_some(missing)
}

/// Has topics made, the broker's own ones as it wants them. Asks the controller; whatever it answers, the image tells the outcome.
pub async fn create(services: &Services, principal: &Principal, names: Vec<Str>) {
    let topics = names.into_iter().map(|name| {
        let internal = services.settings.internal_topic(&name);
        CreatableTopic {
            num_partitions: internal.as_ref().map_or(-1, |topic| topic.partitions),
            replication_factor: internal
                .as_ref()
                .map_or(-1, |topic| topic.replication_factor),
            configs: internal
                .map(|topic| topic.creatable_configs())
                .unwrap_or_default(),
            name,
            ..Default::default()
        }
    });
    let request = CreateTopicsRequest {
        topics: topics.collect(),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = services
        .controller
        .create_topics(principal.clone(), request)
        .await;
    for topic in response.topics {
        let benign = matches!(
            topic.error_code,
            ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS
        );
        if !benign {
            tracing::warn!(topic = %topic.name, error = %topic.error_code, "cannot create a topic on demand");
        }
    }
}
