//! Tells where a leader epoch ends, so that a client can see whether its log position still exists.

use ottla_broker_metadata::Image;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use ottla_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use super::topic_lookup::{error_code, led_by};
use crate::auth::{Operation, Resource};
use crate::partition::{EpochEndQuery, Request};
use crate::server::RequestContext;

/// OffsetForLeaderEpoch, versions 2–4.
///
/// Behaviour: answers with the largest epoch that is not above the one asked for and the offset after
/// its last record; epoch and offset −1 when there is none.
/// Version notes: v3 replica id · v4 flexible.
pub async fn offset_for_leader_epoch(
    ctx: RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let image = ctx.services.image.load();
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let outcome = find(&ctx, &image, &topic.topic, partition).await;
            let (error_code, (leader_epoch, end_offset)) = match outcome {
                Ok(found) => (ErrorCode::NONE, found),
                Err(code) => (code, (-1, -1)),
            };
            partitions.push(EpochEndOffset {
                error_code,
                partition: partition.partition,
                leader_epoch,
                end_offset,
                ..Default::default()
            });
        }
        response.topics.push(OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions,
            ..Default::default()
        });
    }
    response
}

async fn find(
    ctx: &RequestContext,
    image: &Image,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::Describe, Resource::Topic(topic))
    {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let known = image
        .topic(topic)
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = led_by(ctx.services.node.id, known, wanted.partition)?;
    let found = ctx.services.partitions.ask(|reply| {
        Request::EpochEnd(EpochEndQuery {
            partition,
            current_leader_epoch: wanted.current_leader_epoch,
            leader_epoch: wanted.leader_epoch,
            reply,
        })
    });
    found
        .await
        .and_then(|found| found)
        .map_err(|error| error_code(&error))
}
