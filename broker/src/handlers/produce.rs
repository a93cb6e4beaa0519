//! Appends what clients send.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_metadata::{Image, Topic};
use ottla_broker_storage::Origin;
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    ProduceResponse, TopicProduceResponse,
};
use ottla_protocol::records::{BatchView, ValidateError, validate};
use ottla_protocol::{ApiKey, ErrorCode, Records, Str};

use super::topic_lookup::{error_code, led_by, reachable, wants_leader_hint};
use crate::auth::{Operation, Resource};
use crate::metrics::{Traffic, add_to};
use crate::partition::{Append, AppendEntry, Appended, PartitionError, PartitionId, Request};
use crate::server::RequestContext;
use crate::server::dispatch::Reply;
use crate::topic_names;

/// First version that names topics by id (KIP-516).
const TOPIC_IDS_SINCE: i16 = 13;
/// First version whose response can tell who leads (KIP-951).
const LEADER_HINT_SINCE: i16 = 10;

/// Produce, versions 3–13.
///
/// Behaviour: acks 0 sends no response and closes the connection on error, since there is no other
/// way to tell; acks 1 and −1 answer when the leader's flush is done, and −1 also when every in-sync
/// replica has flushed. Each partition stands alone: one refused batch fails nothing else.
/// Version notes: v7 zstd (KIP-110) · v8 per-record errors (KIP-467) · v9 flexible (KIP-482) ·
/// v10 current leader hint (KIP-951) · v12 implicit transaction start (KIP-890; transactions are not
/// served yet) · v13 topic ids (KIP-516).
pub async fn produce(ctx: RequestContext, request: ProduceRequest) -> Reply<ProduceResponse> {
    let acks = request.acks;
    if !matches!(acks, -1..=1) {
        return Reply::Send(refuse_all(&ctx, &request, ErrorCode::INVALID_REQUIRED_ACKS));
    }
    if request.transactional_id.is_some() {
        return Reply::Send(refuse_all(
            &ctx,
            &request,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ));
    }
    let image = ctx.services.image.load();
    let mut plan = Plan::default();
    for topic in request.topic_data {
        plan.add_topic(&ctx, &image, topic);
    }
    let entries = std::mem::take(&mut plan.entries);
    // The append is in the owner's mailbox before this function first yields: that is what keeps
    // pipelined requests of one connection in order.
    let outcomes = ctx
        .services
        .partitions
        .ask(|reply| Request::Append(Append { entries, reply }));
    let outcomes = outcomes.await.unwrap_or_default();
    for (slot, outcome) in plan.slots.iter().zip(outcomes) {
        plan.answers[slot.topic].partitions[slot.partition].result = outcome_of(outcome);
    }
    count(&ctx, &plan);
    if acks == 0 {
        let failed = plan
            .answers
            .iter()
            .flat_map(|topic| &topic.partitions)
            .any(|p| p.result.is_err());
        return if failed { Reply::Close } else { Reply::Silent };
    }
    Reply::Send(response(&ctx, plan.answers))
}

fn count(ctx: &RequestContext, plan: &Plan) {
    for slot in &plan.slots {
        let topic = &plan.answers[slot.topic];
        if let (Some(traffic), Ok(_)) = (&topic.traffic, &topic.partitions[slot.partition].result) {
            add_to(traffic, |traffic| {
                traffic.bytes_in += slot.bytes as u64;
                traffic.records_in += slot.records;
            });
        }
    }
    for topic in &plan.answers {
        let refusals = topic
            .partitions
            .iter()
            .filter_map(|p| p.result.as_ref().err());
        let mut failed = 0;
        for refusal in refusals {
            failed += 1;
            ctx.services.meters.failed(ApiKey::Produce, refusal.code);
        }
        if let Some(traffic) = &topic.traffic {
            add_to(traffic, |traffic| {
                traffic.produce_requests += topic.partitions.len() as u64;
                traffic.produce_errors += failed;
            });
        }
    }
}

/// What is to be appended, and where each outcome goes.
#[derive(Default)]
struct Plan {
    entries: Vec<AppendEntry>,
    slots: Vec<Slot>,
    answers: Vec<TopicAnswer>,
}

struct Slot {
    topic: usize,
    partition: usize,
    bytes: usize,
    records: u64,
}

struct TopicAnswer {
    name: Str,
    id: ottla_protocol::Uuid,
    /// `None` for a topic that may not be written to.
    traffic: Option<Rc<Cell<Traffic>>>,
    partitions: Vec<PartitionAnswer>,
}

struct PartitionAnswer {
    index: i32,
    result: Result<Appended, Refusal>,
}

/// Why a partition's batch was not appended.
struct Refusal {
    code: ErrorCode,
    message: Option<Str>,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            records: Vec::new(),
        }
    }
}

impl Plan {
    fn add_topic(&mut self, ctx: &RequestContext, image: &Image, data: TopicProduceData) {
        let topic = if ctx.version >= TOPIC_IDS_SINCE {
            image
                .topic_by_id(&data.topic_id)
                .ok_or(ErrorCode::UNKNOWN_TOPIC_ID)
        } else {
            image
                .topic(&data.name)
                .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        };
        let topic = topic.and_then(|topic| {
            if topic_names::is_internal(&topic.name) {
                return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
            }
            let allowed = ctx.services.authorizer.allows(
                &ctx.principal,
                Operation::Write,
                Resource::Topic(&topic.name),
            );
            if allowed {
                Ok(topic)
            } else {
                Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
            }
        });
        let mut answer = TopicAnswer {
            name: data.name,
            id: data.topic_id,
            traffic: topic.ok().map(|topic| ctx.services.meters.topic(topic.id)),
            partitions: Vec::new(),
        };
        for partition in data.partition_data {
            let index = partition.index;
            let entry = topic
                .map_err(Refusal::from)
                .and_then(|topic| prepare(ctx, topic, partition));
            let result = match entry {
                Ok(entry) => {
                    self.slots.push(Slot {
                        topic: self.answers.len(),
                        partition: answer.partitions.len(),
                        bytes: entry.batch.size(),
                        records: entry.batch.header().record_count.max(0) as u64,
                    });
                    self.entries.push(entry);
                    // Overwritten by the outcome; stays if the owner is gone.
                    Err(Refusal::from(ErrorCode::NOT_LEADER_OR_FOLLOWER))
                }
                Err(refusal) => Err(refusal),
            };
            answer.partitions.push(PartitionAnswer { index, result });
        }
        self.answers.push(answer);
    }
}

/// Checks one partition's batch against the topic.
fn prepare(
    ctx: &RequestContext,
    topic: &Arc<Topic>,
    data: PartitionProduceData,
) -> Result<AppendEntry, Refusal> {
    let partition: PartitionId = led_by(ctx.services.node.id, topic, data.index)?;
    let records = match data.records {
        Some(Records::Bytes(bytes)) => bytes,
        Some(Records::Parts(parts)) => Bytes::from(parts.concat()),
        None => Bytes::new(),
    };
    let now_ms = ctx.services.rt.wall_clock_ms();
    let rules = ctx.services.topic_configs.rules(topic, now_ms, ctx.version);
    let batch: BatchView = validate(records, &rules).map_err(refusal_of)?;
    if batch.header().attributes.is_transactional() {
        return Err(ErrorCode::INVALID_TXN_STATE.into());
    }
    Ok(AppendEntry {
        partition,
        batch,
        leader_epoch: -1,
        origin: Origin::Client,
    })
}

fn outcome_of(outcome: Result<Appended, PartitionError>) -> Result<Appended, Refusal> {
    outcome.map_err(|error| Refusal {
        code: error_code(&error),
        message: Some(Str::from(error.to_string())),
        records: Vec::new(),
    })
}

/// What `ottla_protocol::records::validate` refused, with the records at fault (KIP-467).
fn refusal_of(error: ValidateError) -> Refusal {
    let records = match &error {
        ValidateError::Rejected(rejections) => rejections
            .iter()
            .map(|rejection| BatchIndexAndErrorMessage {
                batch_index: rejection.batch_index,
                batch_index_error_message: Some(Str::from(rejection.kind.to_string())),
                ..Default::default()
            })
            .collect(),
        _ => Vec::new(),
    };
    Refusal {
        code: error.error_code(),
        message: Some(Str::from(error.to_string())),
        records,
    }
}

fn response(ctx: &RequestContext, answers: Vec<TopicAnswer>) -> ProduceResponse {
    let image = ctx.services.image.load();
    let mut response = ProduceResponse::default();
    for topic in answers {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            partitions.push(partition_response(
                ctx,
                &image,
                &topic.name,
                &topic.id,
                partition,
                &mut response.node_endpoints,
            ));
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses: partitions,
            ..Default::default()
        });
    }
    response
}

fn partition_response(
    ctx: &RequestContext,
    image: &Image,
    name: &Str,
    id: &ottla_protocol::Uuid,
    answer: PartitionAnswer,
    endpoints: &mut Vec<NodeEndpoint>,
) -> PartitionProduceResponse {
    match answer.result {
        Ok(appended) => PartitionProduceResponse {
            index: answer.index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start,
            ..Default::default()
        },
        Err(refusal) => {
            let mut response = PartitionProduceResponse {
                index: answer.index,
                error_code: refusal.code,
                error_message: refusal.message,
                record_errors: refusal.records,
                base_offset: -1,
                log_append_time_ms: -1,
                log_start_offset: -1,
                ..Default::default()
            };
            if ctx.version >= LEADER_HINT_SINCE && wants_leader_hint(refusal.code) {
                let topic = image.topic_by_id(id).or_else(|| image.topic(name));
                if let Some(partition) = topic.and_then(|topic| topic.partition(answer.index)) {
                    response.current_leader = LeaderIdAndEpoch {
                        leader_id: partition.leader,
                        leader_epoch: partition.leader_epoch,
                        ..Default::default()
                    };
                    add_endpoint(ctx, image, partition.leader, endpoints);
                }
            }
            response
        }
    }
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

fn refuse_all(ctx: &RequestContext, request: &ProduceRequest, code: ErrorCode) -> ProduceResponse {
    let answers = request.topic_data.iter().map(|topic| TopicAnswer {
        name: topic.name.clone(),
        id: topic.topic_id,
        traffic: None,
        partitions: topic
            .partition_data
            .iter()
            .map(|partition| PartitionAnswer {
                index: partition.index,
                result: Err(code.into()),
            })
            .collect(),
    });
    response(ctx, answers.collect())
}
