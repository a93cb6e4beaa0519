//! Tells what lies in the log directory of this broker.

use std::collections::BTreeMap;

use ottla_broker_storage::disk::Lane;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::auth::{Operation, Resource};
use crate::partition::Request;
use crate::server::RequestContext;

/// DescribeLogDirs, versions 1–5.
///
/// Behaviour: one log directory per broker in this release; sizes are bytes of segments.
/// Version notes: v2 flexible · v3 top-level error · v4 total and usable bytes of the volume (KIP-827) ·
/// v5 cordoned directories.
pub async fn describe_log_dirs(
    ctx: RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::Describe, Resource::Cluster)
    {
        return DescribeLogDirsResponse {
            error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            ..Default::default()
        };
    }
    let sizes = ctx
        .services
        .partitions
        .ask(Request::Sizes)
        .await
        .unwrap_or_default();
    let image = ctx.services.image.load();
    let mut topics: BTreeMap<_, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for size in sizes {
        let Some(topic) = image.topic_by_id(&size.partition.topic) else {
            continue;
        };
        let wanted = request.topics.as_ref().is_none_or(|topics| {
            topics.iter().any(|wanted| {
                wanted.topic == topic.name && wanted.partitions.contains(&size.partition.index)
            })
        });
        if wanted {
            topics
                .entry(topic.name.clone())
                .or_default()
                .push(DescribeLogDirsPartition {
                    partition_index: size.partition.index,
                    partition_size: i64::try_from(size.bytes).unwrap_or(i64::MAX),
                    offset_lag: 0,
                    is_future_key: false,
                    ..Default::default()
                });
        }
    }
    let log_dir = &ctx.services.settings.log_dir;
    let space = ctx.services.rt.disk().space(Lane::Any, log_dir).await.ok();
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::NONE,
        log_dir: log_dir.display().to_string().into(),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| DescribeLogDirsTopic {
                name,
                partitions,
                ..Default::default()
            })
            .collect(),
        total_bytes: space.map_or(-1, |space| bytes(space.total)),
        usable_bytes: space.map_or(-1, |space| bytes(space.free)),
        ..Default::default()
    };
    DescribeLogDirsResponse {
        results: vec![result],
        ..Default::default()
    }
}
