//! Finds offsets by timestamp or by special value.

use ottla_broker_metadata::Image;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::topic_lookup::{error_code, led_by};
use crate::auth::{Operation, Resource};
use crate::partition::{OffsetAnswer, OffsetAt, OffsetQuery, Request};
use crate::server::RequestContext;

/// First version that can tell the leader epoch of an offset (KIP-320).
const LEADER_EPOCHS_SINCE: i16 = 4;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// ListOffsets, versions 1–11.
///
/// Behaviour: a timestamp is answered with the first record at or after it, found inside its batch;
/// no such record is offset −1 and timestamp −1 without error. Without tiered storage everything is
/// local, so "earliest local" is "earliest" and nothing is tiered or pending upload (−1).
/// Version notes: v2 isolation level · v4 leader epochs (KIP-320) · v6 flexible · v7 greatest timestamp
/// (KIP-734) · v8 earliest local · v9 latest tiered · v11 earliest pending upload.
pub async fn list_offsets(ctx: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut response = ListOffsetsResponse::default();
    let image = ctx.services.image.load();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let found = find(&ctx, &image, topic, partition).await;
            partitions.push(answer(ctx.version, partition.partition_index, found));
        }
        response.topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions,
            ..Default::default()
        });
    }
    response
}

struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found {
    offset: -1,
    timestamp: -1,
    leader_epoch: -1,
};

async fn find(
    ctx: &RequestContext,
    image: &Image,
    topic: &ListOffsetsTopic,
    wanted: &ListOffsetsPartition,
) -> Result<Found, ErrorCode> {
    if !ctx.services.authorizer.allows(
        &ctx.principal,
        Operation::Describe,
        Resource::Topic(&topic.name),
    ) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let known = image
        .topic(&topic.name)
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = led_by(ctx.services.node.id, known, wanted.partition_index)?;
    let at = match wanted.timestamp {
        LATEST => OffsetAt::Latest,
        EARLIEST | EARLIEST_LOCAL => OffsetAt::Earliest,
        MAX_TIMESTAMP => OffsetAt::MaxTimestamp,
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(NOTHING),
        timestamp if timestamp >= 0 => OffsetAt::Timestamp(timestamp),
        _ => return Err(ErrorCode::UNSUPPORTED_VERSION),
    };
    let query = ctx.services.partitions.ask(|reply| {
        Request::Offset(OffsetQuery {
            partition,
            at,
            leader_epoch: wanted.current_leader_epoch,
            reply,
        })
    });
    let answer = query
        .await
        .and_then(|answer| answer)
        .map_err(|error| error_code(&error))?;
    match answer {
        OffsetAnswer::Known {
            offset,
            timestamp,
            leader_epoch,
        } => Ok(Found {
            offset,
            timestamp,
            leader_epoch,
        }),
        OffsetAnswer::Lookup { reader, at, upper } => {
            let looked_up = match at {
                OffsetAt::Timestamp(timestamp) => reader.offset_for_time(timestamp, upper).await,
                _ => reader.latest(upper).await,
            };
            match looked_up {
                Ok(Some(found)) => Ok(Found {
                    offset: found.offset,
                    timestamp: found.timestamp,
                    leader_epoch: found.leader_epoch.unwrap_or(-1),
                }),
                Ok(None) => Ok(NOTHING),
                Err(error) => {
                    tracing::error!(topic = %topic.name, partition = wanted.partition_index, %error, "cannot look up an offset");
                    Err(ErrorCode::KAFKA_STORAGE_ERROR)
                }
            }
        }
    }
}

fn answer(
    version: i16,
    partition_index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (error_code, found) = match found {
        Ok(found) => (ErrorCode::NONE, found),
        Err(code) => (code, NOTHING),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp: found.timestamp,
        offset: found.offset,
        leader_epoch: if version >= LEADER_EPOCHS_SINCE {
            found.leader_epoch
        } else {
            -1
        },
        ..Default::default()
    }
}
