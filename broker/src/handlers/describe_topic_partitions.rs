//! Describes topics page by page, with eligible leader replicas.

use ottla_broker_metadata::{Image, PartitionRef, Topic};
use ottla_protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use ottla_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use ottla_protocol::{ErrorCode, Str};

use crate::auth::{Operation, Resource};
use crate::server::RequestContext;
use crate::topic_names;

const OPERATIONS_UNKNOWN: i32 = i32::MIN;
/// Partitions per response at most (`max.request.partition.size.limit`).
const PARTITIONS_MAX: usize = 2000;

/// DescribeTopicPartitions, version 0 (KIP-966).
///
/// Behaviour: topics in name order, partitions in index order, from the cursor on; when the limit is
/// reached the response names where to go on. An empty list of topics means all.
pub async fn describe_topic_partitions(
    ctx: RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = ctx.services.image.load();
    let mut names: Vec<Str> = if request.topics.is_empty() {
        image
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect()
    };
    names.sort();
    names.dedup();
    let (from_topic, mut from_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.clone(), cursor.partition_index.max(0)),
        None => (Str::default(), 0),
    };
    let limit = usize::try_from(request.response_partition_limit)
        .unwrap_or(0)
        .clamp(1, PARTITIONS_MAX);
    let mut left = limit;
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= from_topic) {
        let from = if name == from_topic {
            std::mem::take(&mut from_partition)
        } else {
            0
        };
        if left == 0 {
            response.next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: from,
                ..Default::default()
            });
            break;
        }
        if !ctx.services.authorizer.allows(
            &ctx.principal,
            Operation::Describe,
            Resource::Topic(&name),
        ) {
            if !request.topics.is_empty() {
                response
                    .topics
                    .push(refused(name, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
            }
            continue;
        }
        let Some(topic) = image.topic(&name) else {
            response
                .topics
                .push(refused(name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            continue;
        };
        let (described, next) = page(&ctx, &image, topic, from, left);
        left -= described.partitions.len();
        response.topics.push(described);
        if let Some(partition_index) = next {
            response.next_cursor = Some(Cursor {
                topic_name: name,
                partition_index,
                ..Default::default()
            });
            break;
        }
    }
    response
}

fn refused(name: Str, error_code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name),
        topic_authorized_operations: OPERATIONS_UNKNOWN,
        ..Default::default()
    }
}

/// Up to `left` partitions of `topic` from `from` on, and the first that did not fit.
fn page(
    ctx: &RequestContext,
    image: &Image,
    topic: &Topic,
    from: i32,
    left: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
    let mut rest = topic.partitions.iter().filter(|(index, _)| *index >= from);
    let partitions = rest
        .by_ref()
        .take(left)
        .map(|(index, partition)| described(ctx, image, index, partition));
    let described = DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic_names::is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: OPERATIONS_UNKNOWN,
        ..Default::default()
    };
    (described, rest.next().map(|(index, _)| index))
}

fn described(
    ctx: &RequestContext,
    image: &Image,
    partition_index: i32,
    partition: PartitionRef<'_>,
) -> DescribeTopicPartitionsResponsePartition {
    let alive = image.alive_broker(partition.leader).is_some();
    DescribeTopicPartitionsResponsePartition {
        error_code: if alive {
            ErrorCode::NONE
        } else {
            ErrorCode::LEADER_NOT_AVAILABLE
        },
        partition_index,
        leader_id: if alive { partition.leader } else { -1 },
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.isr.to_vec(),
        eligible_leader_replicas: Some(partition.elr.to_vec()),
        last_known_elr: Some(partition.last_known_elr.to_vec()),
        offline_replicas: image.offline_replicas(partition, &ctx.connection.listener),
        ..Default::default()
    }
}
