//! Reads records for consumers (and, from the replication release on, for followers).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ottla_broker_metadata::Image;
use ottla_broker_storage::{ColdRead, Damage, ReadError};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use ottla_protocol::messages::fetch_response::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use ottla_protocol::{ApiKey, ErrorCode, Records, Str, Uuid};

use super::topic_lookup::{error_code, led_by, reachable, wants_leader_hint};
use crate::auth::{Operation, Resource};
use crate::metrics::{Meters, Traffic, add_to, records_in};
use crate::partition::{
    Fetch, FetchWant, Fetched, FetchedData, PartitionError, PartitionId, ReadLimit, Request,
};
use crate::server::RequestContext;
use crate::server::fetch_sessions::{Sent, SessionFetch, TopicRef, Wanted};

/// First version whose response can tell who leads.
const LEADER_HINT_SINCE: i16 = 12;
/// First version whose response can tell where the leader is (KIP-951).
const NODE_ENDPOINTS_SINCE: i16 = 16;

/// Fetch, versions 4–18, for consumers.
///
/// Behaviour: answers at once when `min_bytes` are there or a partition has an error, else when they
/// are or after `max_wait_ms`; always at least one whole batch if there is any (KIP-74), so limits are
/// soft by one batch; consumers read up to the high watermark. Without transactions the last stable
/// offset is the high watermark and nothing is aborted.
/// Version notes: v5 log start offset · v7 incremental sessions (KIP-227) · v9 leader epoch fencing
/// (KIP-320) · v11 rack · v12 diverging epoch (KIP-595) · v13 topic ids · v16 leader hint (KIP-951).
pub async fn fetch(ctx: RequestContext, request: FetchRequest) -> FetchResponse {
    let session = {
        let new_id = ctx.services.rt.random() as i32;
        let now_ms = ctx.services.rt.now().ms();
        ctx.services
            .fetch_sessions
            .borrow_mut()
            .begin(&request, ctx.version, new_id, now_ms)
    };
    let session = match session {
        Ok(session) => session,
        Err(error_code) => {
            return FetchResponse {
                error_code,
                ..Default::default()
            };
        }
    };
    let outcomes = read(&ctx, &request, &session).await;
    respond(&ctx, &session, outcomes)
}

/// Outcome per wanted partition, in order, with the topic it belongs to.
async fn read(
    ctx: &RequestContext,
    request: &FetchRequest,
    session: &SessionFetch,
) -> Vec<Result<Fetched, ErrorCode>> {
    let image = ctx.services.image.load();
    let resolved: Vec<Result<PartitionId, ErrorCode>> = session
        .wanted
        .iter()
        .map(|wanted| resolve(ctx, &image, wanted))
        .collect();
    // An error is news: nobody waits behind it.
    let some_refused = resolved.iter().any(Result::is_err);
    let max_wait_ms = if some_refused {
        0
    } else {
        request.max_wait_ms.max(0) as u64
    };
    let broker_limit = ctx.services.settings.fetch_bytes_max;
    let max_bytes = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(broker_limit);
    let wants = resolved
        .iter()
        .zip(&session.wanted)
        .filter_map(|(partition, wanted)| {
            partition
                .as_ref()
                .ok()
                .map(|partition| want(*partition, &wanted.request))
        });
    let answer = ctx.services.partitions.ask(|reply| {
        Request::Fetch(Fetch {
            wants: wants.collect(),
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0),
            max_bytes,
            deadline: ctx.services.rt.now() + Duration::from_millis(max_wait_ms),
            upper: ReadLimit::HighWatermark,
            reply,
        })
    });
    let mut fetched = answer.await.unwrap_or_default().into_iter();
    let mut outcomes = Vec::with_capacity(resolved.len());
    let mut budget = max_bytes;
    let mut nothing_yet = true;
    let mut counts = Counts::new(ctx);
    for partition in resolved {
        let topic = partition.as_ref().ok().map(|partition| partition.topic);
        let outcome = match partition {
            Err(code) => Err(code),
            Ok(partition) => match fetched.next().unwrap_or(Err(PartitionError::Stopping)) {
                Ok(found) => warm(ctx, partition, found, &mut budget, &mut nothing_yet).await,
                Err(error) => Err(error_code(&error)),
            },
        };
        counts.add(topic, &outcome);
        outcomes.push(outcome);
    }
    outcomes
}

/// Counts what is read, looking a topic up once for all its partitions that follow each other.
struct Counts<'a> {
    meters: &'a Meters,
    current: Option<(Uuid, Rc<Cell<Traffic>>)>,
}

impl<'a> Counts<'a> {
    fn new(ctx: &'a RequestContext) -> Self {
        Self {
            meters: &ctx.services.meters,
            current: None,
        }
    }

    fn add(&mut self, topic: Option<Uuid>, outcome: &Result<Fetched, ErrorCode>) {
        if let Err(code) = outcome {
            self.meters.failed(ApiKey::Fetch, *code);
        }
        let Some(id) = topic else {
            return;
        };
        let traffic = match self.current.take().filter(|(current, _)| *current == id) {
            Some((_, traffic)) => traffic,
            None => self.meters.topic(id),
        };
        add_to(&traffic, |traffic| {
            traffic.fetch_requests += 1;
            match outcome {
                Ok(Fetched {
                    data: FetchedData::Hot(chunks),
                    ..
                }) => {
                    traffic.bytes_out += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                    traffic.records_out += records_in(chunks);
                }
                Ok(_) => {}
                Err(_) => traffic.fetch_errors += 1,
            }
        });
        self.current = Some((id, traffic));
    }
}

fn resolve(ctx: &RequestContext, image: &Image, wanted: &Wanted) -> Result<PartitionId, ErrorCode> {
    let topic = match &wanted.topic {
        TopicRef::Id(id) => image.topic_by_id(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?,
        TopicRef::Name(name) => image
            .topic(name)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?,
    };
    if !ctx.services.authorizer.allows(
        &ctx.principal,
        Operation::Read,
        Resource::Topic(&topic.name),
    ) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    led_by(ctx.services.node.id, topic, wanted.request.partition)
}

fn want(partition: PartitionId, request: &FetchPartition) -> FetchWant {
    FetchWant {
        partition,
        from: request.fetch_offset,
        max_bytes: usize::try_from(request.partition_max_bytes).unwrap_or(0),
        leader_epoch: request.current_leader_epoch,
        last_fetched_epoch: request.last_fetched_epoch,
    }
}

/// Reads what is not in memory. The first data of the response may pass every limit by one batch.
async fn warm(
    ctx: &RequestContext,
    partition: PartitionId,
    mut found: Fetched,
    budget: &mut usize,
    nothing_yet: &mut bool,
) -> Result<Fetched, ErrorCode> {
    let chunks = match found.data {
        FetchedData::Hot(chunks) => chunks,
        FetchedData::Cold(_) if *budget == 0 && !*nothing_yet => Vec::new(),
        FetchedData::Cold(read) => read_cold(ctx, partition, *read).await?,
    };
    let bytes: usize = chunks.iter().map(bytes::Bytes::len).sum();
    *budget = budget.saturating_sub(bytes);
    *nothing_yet &= bytes == 0;
    found.data = FetchedData::Hot(chunks);
    Ok(found)
}

async fn read_cold(
    ctx: &RequestContext,
    partition: PartitionId,
    read: ColdRead,
) -> Result<Vec<bytes::Bytes>, ErrorCode> {
    match read.run().await {
        Ok(fetched) => Ok(fetched.parts),
        // Retention took the segment while we read: the client's next fetch finds the new start.
        Err(ReadError::Gone(_)) => Ok(Vec::new()),
        Err(ReadError::OffsetOutOfRange { .. }) => Err(ErrorCode::OFFSET_OUT_OF_RANGE),
        Err(error @ ReadError::Corrupt { .. }) => {
            if let Some(damage) = Damage::of_read(&error) {
                ctx.services
                    .partitions
                    .send(Request::Corrupt(partition, damage));
            }
            Err(ErrorCode::CORRUPT_MESSAGE)
        }
        Err(error @ ReadError::Io { .. }) => {
            tracing::error!(%error, "cannot read records from disk");
            Err(ErrorCode::KAFKA_STORAGE_ERROR)
        }
    }
}

fn respond(
    ctx: &RequestContext,
    session: &SessionFetch,
    outcomes: Vec<Result<Fetched, ErrorCode>>,
) -> FetchResponse {
    let image = ctx.services.image.load();
    let mut sessions = ctx.services.fetch_sessions.borrow_mut();
    let mut response = FetchResponse {
        session_id: session.session_id,
        ..Default::default()
    };
    let mut position: BTreeMap<TopicRef, usize> = BTreeMap::new();
    for (wanted, outcome) in session.wanted.iter().zip(outcomes) {
        let index = wanted.request.partition;
        let failed = outcome.is_err();
        let data = match outcome {
            Ok(found) => partition_data(index, found),
            Err(code) => refused(ctx, &image, wanted, code, &mut response.node_endpoints),
        };
        let sent = Sent {
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
            has_records: data
                .records
                .as_ref()
                .is_some_and(|records| !records.is_empty()),
            must_tell: failed || data.diverging_epoch.end_offset >= 0,
        };
        if !sessions.note_sent(session, &wanted.topic, index, sent) {
            continue;
        }
        let at = *position.entry(wanted.topic.clone()).or_insert_with(|| {
            let (topic, topic_id) = match &wanted.topic {
                TopicRef::Id(id) => (Str::default(), *id),
                TopicRef::Name(name) => (name.clone(), Uuid::ZERO),
            };
            response.responses.push(FetchableTopicResponse {
                topic,
                topic_id,
                ..Default::default()
            });
            response.responses.len() - 1
        });
        response.responses[at].partitions.push(data);
    }
    response
}

fn partition_data(partition_index: i32, found: Fetched) -> PartitionData {
    let FetchedData::Hot(chunks) = found.data else {
        unreachable!("warm() has read what was cold");
    };
    let mut data = PartitionData {
        partition_index,
        high_watermark: found.high_watermark,
        last_stable_offset: found.high_watermark,
        log_start_offset: found.log_start,
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Some(Records::Parts(chunks)),
        ..Default::default()
    };
    if let Some((epoch, end_offset)) = found.diverging {
        data.diverging_epoch = EpochEndOffset {
            epoch,
            end_offset,
            ..Default::default()
        };
    }
    data
}

fn refused(
    ctx: &RequestContext,
    image: &Image,
    wanted: &Wanted,
    error_code: ErrorCode,
    endpoints: &mut Vec<NodeEndpoint>,
) -> PartitionData {
    let mut data = PartitionData {
        partition_index: wanted.request.partition,
        error_code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        records: Some(Records::Parts(Vec::new())),
        ..Default::default()
    };
    if ctx.version < LEADER_HINT_SINCE || !wants_leader_hint(error_code) {
        return data;
    }
    let topic = match &wanted.topic {
        TopicRef::Id(id) => image.topic_by_id(id),
        TopicRef::Name(name) => image.topic(name),
    };
    if let Some(partition) = topic.and_then(|topic| topic.partition(wanted.request.partition)) {
        data.current_leader = LeaderIdAndEpoch {
            leader_id: partition.leader,
            leader_epoch: partition.leader_epoch,
            ..Default::default()
        };
        if ctx.version >= NODE_ENDPOINTS_SINCE {
            add_endpoint(ctx, image, partition.leader, endpoints);
        }
    }
    data
}

fn add_endpoint(
    ctx: &RequestContext,
    image: &Image,
    leader: i32,
    endpoints: &mut Vec<NodeEndpoint>,
) {
    if endpoints.iter().any(|endpoint| endpoint.node_id == leader) {
        return;
    }
    if let Some((broker, endpoint)) = reachable(image, leader, &ctx.connection.listener) {
        endpoints.push(NodeEndpoint {
            node_id: leader,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            ..Default::default()
        });
    }
}
