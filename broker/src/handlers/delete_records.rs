//! Deletes records from the front of partitions.

use ottla_broker_metadata::Image;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::delete_records_request::DeleteRecordsRequest;
use ottla_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::topic_lookup::{error_code, led_by};
use crate::auth::{Operation, Resource};
use crate::partition::{DeleteRecords, Request};
use crate::server::RequestContext;

/// DeleteRecords, versions 0–2.
///
/// Behaviour: the log start offset moves and is durable before the answer; −1 deletes up to the high
/// watermark. Topics that are only compacted refuse with POLICY_VIOLATION, since what is deleted there
/// is decided by keys.
/// Version notes: v2 flexible.
pub async fn delete_records(
    ctx: RequestContext,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let image = ctx.services.image.load();
    let mut response = DeleteRecordsResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let outcome = delete(
                &ctx,
                &image,
                &topic.name,
                partition.partition_index,
                partition.offset,
            )
            .await;
            let (error_code, low_watermark) = match outcome {
                Ok(low_watermark) => (ErrorCode::NONE, low_watermark),
                Err(code) => (code, -1),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code,
                ..Default::default()
            });
        }
        response.topics.push(DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions,
            ..Default::default()
        });
    }
    response
}

async fn delete(
    ctx: &RequestContext,
    image: &Image,
    topic: &str,
    index: i32,
    before: i64,
) -> Result<i64, ErrorCode> {
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::Delete, Resource::Topic(topic))
    {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let known = image
        .topic(topic)
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = led_by(ctx.services.node.id, known, index)?;
    if !ctx.services.topic_configs.deletes(known) {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let done = ctx.services.partitions.ask(|reply| {
        Request::DeleteRecords(DeleteRecords {
            partition,
            before,
            reply,
        })
    });
    done.await
        .and_then(|done| done)
        .map_err(|error| error_code(&error))
}
