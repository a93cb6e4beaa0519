//! Snapshots of the metadata log for who cannot begin with its records.

use bytes::Bytes;
use ottla_broker_raft::{ReplicaKey, SnapshotId};
use ottla_protocol::messages::fetch_snapshot_request::{
    self, FetchSnapshotRequest, PartitionSnapshot as Wanted,
};
use ottla_protocol::messages::fetch_snapshot_response::{
    self, FetchSnapshotResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionSnapshot, TopicSnapshot,
};
use ottla_protocol::{ErrorCode, Records, Str};

use crate::auth::{Operation, Resource};
use crate::controller::{METADATA_PARTITION, METADATA_TOPIC, SnapshotFile};
use crate::server::RequestContext;

/// Most bytes of one answer, whatever is asked for: what Kafka's fetchers ask for by default.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// First version whose response can tell where the leader is.
const NODE_ENDPOINTS_SINCE: i16 = 1;

/// FetchSnapshot, versions 0–1.
///
/// Behaviour: bytes of the file by position, wherever batches begin and end (KIP-630); only the leader
/// of the named epoch answers; the format's checkpoint is never given out. The fetcher is done when
/// position and length reach the size.
/// Version notes: v1 directory ids and the leader's endpoint (KIP-853).
pub async fn fetch_snapshot(
    ctx: RequestContext,
    request: FetchSnapshotRequest,
) -> FetchSnapshotResponse {
    let refused = |error_code| FetchSnapshotResponse {
        error_code,
        ..Default::default()
    };
    let foreign = request
        .cluster_id
        .as_ref()
        .is_some_and(|id| *id != ctx.services.node.cluster_id);
    if foreign {
        return refused(ErrorCode::INCONSISTENT_CLUSTER_ID);
    }
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::ClusterAction, Resource::Cluster)
    {
        return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    }
    let Some((name, wanted)) = only_partition(&request) else {
        return refused(ErrorCode::INVALID_REQUEST);
    };
    if **name != *METADATA_TOPIC || wanted.partition != METADATA_PARTITION.index {
        let data = PartitionSnapshot {
            index: wanted.partition,
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ..no_snapshot()
        };
        return respond(name.clone(), data, Vec::new());
    }
    let (data, leader_id) = answer(&ctx, &request, wanted).await;
    let endpoints = if ctx.version >= NODE_ENDPOINTS_SINCE {
        leader_endpoint(&ctx, leader_id)
    } else {
        Vec::new()
    };
    respond(METADATA_TOPIC.into(), data, endpoints)
}

fn only_partition(request: &FetchSnapshotRequest) -> Option<(&Str, &Wanted)> {
    let [topic] = &request.topics[..] else {
        return None;
    };
    let [partition] = &topic.partitions[..] else {
        return None;
    };
    Some((&topic.name, partition))
}

fn no_snapshot() -> PartitionSnapshot {
    PartitionSnapshot {
        unaligned_records: Some(Records::Bytes(Bytes::new())),
        ..Default::default()
    }
}

async fn answer(
    ctx: &RequestContext,
    request: &FetchSnapshotRequest,
    wanted: &Wanted,
) -> (PartitionSnapshot, i32) {
    let replica = ReplicaKey {
        id: request.replica_id,
        directory_id: wanted.replica_directory_id,
    };
    let fetch_snapshot_request::SnapshotId {
        end_offset, epoch, ..
    } = wanted.snapshot_id;
    let id = SnapshotId { end_offset, epoch };
    let judgement = ctx
        .services
        .controller
        .judge_snapshot_fetch(replica, wanted.current_leader_epoch, id)
        .await;
    let mut data = PartitionSnapshot {
        index: METADATA_PARTITION.index,
        current_leader: LeaderIdAndEpoch {
            leader_id: judgement.leader_id,
            leader_epoch: judgement.epoch,
            ..Default::default()
        },
        ..no_snapshot()
    };
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let read = match judgement.file {
        Ok(file) => read(&file, wanted.position, max_bytes)
            .await
            .map(|bytes| (file.bytes, bytes)),
        Err(refused) => Err(refused),
    };
    match read {
        Ok((size, bytes)) => {
            data.snapshot_id = fetch_snapshot_response::SnapshotId {
                end_offset,
                epoch,
                ..Default::default()
            };
            data.size = size as i64;
            data.position = wanted.position;
            data.unaligned_records = Some(Records::Bytes(bytes));
        }
        Err(code) => data.error_code = code,
    }
    (data, judgement.leader_id)
}

async fn read(file: &SnapshotFile, position: i64, max_bytes: usize) -> Result<Bytes, ErrorCode> {
    let position = u64::try_from(position)
        .ok()
        .filter(|position| *position < file.bytes)
        .ok_or(ErrorCode::POSITION_OUT_OF_RANGE)?;
    let len = max_bytes.min(ANSWER_BYTES_MAX);
    match file.read(position, len).await {
        Ok(Some(bytes)) => Ok(bytes),
        // Deleted since it was looked up.
        Ok(None) => Err(ErrorCode::SNAPSHOT_NOT_FOUND),
        Err(error) => {
            tracing::error!(%error, "cannot read a metadata snapshot for another node");
            Err(ErrorCode::KAFKA_STORAGE_ERROR)
        }
    }
}

fn leader_endpoint(ctx: &RequestContext, leader_id: i32) -> Vec<NodeEndpoint> {
    let voters = ctx.services.controller.voters();
    let leader = voters.into_iter().find(|voter| voter.id == leader_id);
    leader
        .map(|voter| NodeEndpoint {
            node_id: voter.id,
            host: voter.host,
            port: voter.port,
            ..Default::default()
        })
        .into_iter()
        .collect()
}

fn respond(
    name: Str,
    data: PartitionSnapshot,
    node_endpoints: Vec<NodeEndpoint>,
) -> FetchSnapshotResponse {
    FetchSnapshotResponse {
        topics: vec![TopicSnapshot {
            name,
            partitions: vec![data],
            ..Default::default()
        }],
        node_endpoints,
        ..Default::default()
    }
}
