//! What only the controller's port serves: the metadata log for other nodes, and what brokers tell the
//! controller.
//!
//! Snapshots of it: `fetch_snapshot.rs`.
//! Versions: Fetch 12–18 (of the metadata log) · Envelope 0 · BrokerRegistration 0–4 ·
//! BrokerHeartbeat 0–2 · AllocateProducerIds 0.

use std::time::Duration;

use bytes::Bytes;
use ottla_broker_raft::{FetchClaim, FetchVerdict, ReplicaKey};
use ottla_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_protocol::messages::allocate_producer_ids_response::AllocateProducerIdsResponse;
use ottla_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_protocol::messages::broker_heartbeat_response::BrokerHeartbeatResponse;
use ottla_protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use ottla_protocol::messages::broker_registration_response::BrokerRegistrationResponse;
use ottla_protocol::messages::envelope_request::EnvelopeRequest;
use ottla_protocol::messages::envelope_response::EnvelopeResponse;
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use ottla_protocol::messages::fetch_response::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData, SnapshotId,
};
use ottla_protocol::{ErrorCode, Records, Uuid};

use crate::auth::{Operation, Resource};
use crate::controller::{
    Caller, Forwarded, Judgement, METADATA_PARTITION, METADATA_TOPIC, decode_principal,
};
use crate::partition::{Fetch, FetchWant, FetchedData, ReadLimit, Request};
use crate::server::RequestContext;
use crate::server::dispatch::{self, Answer, Forwarding};

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 13;
/// First version in which a fetcher tells the high watermark that it knows.
const HIGH_WATERMARK_SINCE: i16 = 18;
/// First version whose response can tell where the leader is.
const NODE_ENDPOINTS_SINCE: i16 = 16;
/// Longest wait of a fetch; a leader that has nothing to say must still be heard of.
const WAIT_MAX_MS: u64 = 500;

/// Fetch of the metadata log, by observers.
///
/// Behaviour: epochs are compared first, then histories; a fetcher that departs is told where to cut.
/// Observers read up to the high watermark, so that what they get is committed when they get it.
pub async fn fetch(ctx: RequestContext, request: FetchRequest) -> FetchResponse {
    let foreign = request
        .cluster_id
        .as_ref()
        .is_some_and(|id| *id != ctx.services.node.cluster_id);
    if foreign {
        return FetchResponse {
            error_code: ErrorCode::INCONSISTENT_CLUSTER_ID,
            ..Default::default()
        };
    }
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::ClusterAction, Resource::Cluster)
    {
        return FetchResponse {
            error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            ..Default::default()
        };
    }
    let named = request.topics.first().filter(|topic| {
        if ctx.version >= TOPIC_IDS_SINCE {
            topic.topic_id == METADATA_PARTITION.topic
        } else {
            topic.topic == *METADATA_TOPIC
        }
    });
    let wanted = named
        .and_then(|topic| topic.partitions.first())
        .filter(|_| request.topics.len() == 1);
    let Some(wanted) = wanted.filter(|wanted| wanted.partition == METADATA_PARTITION.index) else {
        return FetchResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..Default::default()
        };
    };
    let replica_id = if ctx.version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    let replica = ReplicaKey {
        id: replica_id,
        directory_id: wanted.replica_directory_id,
    };
    let claim = FetchClaim {
        epoch: wanted.current_leader_epoch,
        fetch_offset: wanted.fetch_offset,
        last_fetched_epoch: wanted.last_fetched_epoch,
    };
    let judgement = ctx.services.controller.judge_fetch(replica, claim).await;
    let data = answer(&ctx, &request, wanted, judgement).await;
    let (topic, topic_id) = if ctx.version >= TOPIC_IDS_SINCE {
        (Default::default(), METADATA_PARTITION.topic)
    } else {
        (METADATA_TOPIC.into(), Uuid::ZERO)
    };
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic,
            topic_id,
            partitions: vec![data],
            ..Default::default()
        }],
        node_endpoints: if ctx.version >= NODE_ENDPOINTS_SINCE {
            leader_endpoint(&ctx, judgement.leader_id)
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

async fn answer(
    ctx: &RequestContext,
    request: &FetchRequest,
    wanted: &FetchPartition,
    judgement: Judgement,
) -> PartitionData {
    let mut data = PartitionData {
        partition_index: METADATA_PARTITION.index,
        high_watermark: judgement.high_watermark,
        last_stable_offset: judgement.high_watermark,
        log_start_offset: judgement.log_start,
        current_leader: LeaderIdAndEpoch {
            leader_id: judgement.leader_id,
            leader_epoch: judgement.epoch,
            ..Default::default()
        },
        preferred_read_replica: -1,
        records: Some(Records::Bytes(Bytes::new())),
        ..Default::default()
    };
    match judgement.verdict {
        FetchVerdict::Refuse(code) => data.error_code = code,
        FetchVerdict::Diverging { epoch, end_offset } => {
            data.diverging_epoch = EpochEndOffset {
                epoch,
                end_offset,
                ..Default::default()
            };
        }
        FetchVerdict::Snapshot(id) => {
            data.snapshot_id = SnapshotId {
                end_offset: id.end_offset,
                epoch: id.epoch,
                ..Default::default()
            };
        }
        FetchVerdict::Serve => read(ctx, request, wanted, &mut data).await,
    }
    data
}

async fn read(
    ctx: &RequestContext,
    request: &FetchRequest,
    wanted: &FetchPartition,
    data: &mut PartitionData,
) {
    // A fetcher that does not know how far the log is committed is told at once (KIP-1166).
    let has_news =
        ctx.version >= HIGH_WATERMARK_SINCE && wanted.high_watermark < data.high_watermark;
    let wait_ms = if has_news {
        0
    } else {
        (request.max_wait_ms.max(0) as u64).min(WAIT_MAX_MS)
    };
    let wait = Duration::from_millis(wait_ms);
    let want = FetchWant {
        partition: METADATA_PARTITION,
        from: wanted.fetch_offset,
        // JVM observers bound the response, not the partition.
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0),
        leader_epoch: -1,
        last_fetched_epoch: -1,
    };
    let fetched = ctx.services.partitions.ask(|reply| {
        Request::Fetch(Fetch {
            max_bytes: want.max_bytes,
            wants: vec![want],
            min_bytes: 1,
            deadline: ctx.services.rt.now() + wait,
            upper: ReadLimit::HighWatermark,
            reply,
        })
    });
    let found = fetched
        .await
        .ok()
        .and_then(|mut found| found.pop())
        .and_then(Result::ok);
    let Some(found) = found else {
        data.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
        return;
    };
    // Newer than the judgement's: what is sent is committed.
    data.high_watermark = found.high_watermark;
    let chunks = match found.data {
        FetchedData::Hot(chunks) => Ok(chunks),
        FetchedData::Cold(read) => read.run().await.map(|fetched| fetched.parts),
    };
    match chunks {
        Ok(chunks) => data.records = Some(Records::Parts(chunks)),
        Err(error) => {
            tracing::error!(%error, "cannot read the metadata log for another node");
            data.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
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
            port: i32::from(voter.port),
            ..Default::default()
        })
        .into_iter()
        .collect()
}

/// Envelope, version 0: a client's request that a broker passes on, with the client's principal.
///
/// Behaviour: only requests that the controller decides upon may be inside. The outer error is for the
/// broker; UNSUPPORTED_VERSION is the one that it passes on, by closing its client's connection.
pub async fn envelope(ctx: RequestContext, request: EnvelopeRequest) -> EnvelopeResponse {
    let refused = |error_code| EnvelopeResponse {
        error_code,
        ..Default::default()
    };
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::ClusterAction, Resource::Cluster)
    {
        return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    }
    if !matches!(request.client_host_address.len(), 4 | 16) {
        return refused(ErrorCode::INVALID_REQUEST);
    }
    let Ok(principal) = decode_principal(request.request_principal.unwrap_or_default()) else {
        return refused(ErrorCode::PRINCIPAL_DESERIALIZATION_FAILURE);
    };
    let started = dispatch::start_forwarded(request.request_data, principal, &ctx);
    let answer = match started {
        Ok(answer) => answer.await,
        Err(error) => {
            tracing::warn!(peer = %ctx.connection.peer, %error, "an Envelope holds what cannot be forwarded");
            return refused(match error {
                Forwarding::NotForwardable(_) => ErrorCode::INVALID_REQUEST,
                Forwarding::Unsupported(_) => ErrorCode::UNSUPPORTED_VERSION,
            });
        }
    };
    match answer {
        // The length prefix belongs to a connection, not to an Envelope.
        Answer::Frame(frame) => EnvelopeResponse {
            response_data: Some(frame.into_bytes().slice(4..)),
            ..Default::default()
        },
        Answer::Nothing | Answer::Close => refused(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

/// BrokerRegistration, versions 0–4.
pub async fn broker_registration(
    ctx: RequestContext,
    request: BrokerRegistrationRequest,
) -> BrokerRegistrationResponse {
    between_nodes(ctx, request).await
}

/// BrokerHeartbeat, versions 0–2.
pub async fn broker_heartbeat(
    ctx: RequestContext,
    request: BrokerHeartbeatRequest,
) -> BrokerHeartbeatResponse {
    between_nodes(ctx, request).await
}

/// AllocateProducerIds, version 0.
pub async fn allocate_producer_ids(
    ctx: RequestContext,
    request: AllocateProducerIdsRequest,
) -> AllocateProducerIdsResponse {
    between_nodes(ctx, request).await
}

async fn between_nodes<R: Forwarded>(ctx: RequestContext, request: R) -> R::Response {
    if !ctx
        .services
        .authorizer
        .allows(&ctx.principal, Operation::ClusterAction, Resource::Cluster)
    {
        return request.refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    }
    let caller = Caller {
        principal: ctx.principal,
        version: ctx.version,
    };
    ctx.services.controller.decide(caller, request).await
}
