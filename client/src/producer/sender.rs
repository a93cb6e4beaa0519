//! The task behind a producer: decides what to send where, and hands answers to the queues. `send` puts records into the queues
//! directly (one thread owns both), so nothing is copied and nothing waits in a channel.
//!
//! Invariant: at most one batch of a partition in one request; a request's answers reach their queues before the next decision.

use crate::cluster::{Cluster, Lane, Topic, TopicPartition};
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::net::NetRef;
use crate::producer::partitioner::Partitioner;
use crate::producer::queue::{After, Identity, Outcome, PartitionQueue, Rules};
use crate::producer::{Acks, Delivered, ProducerConfig, ProducerRecord};
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_protocol::{ApiKey, Records, Str, Uuid};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot};

/// The last version that names topics instead of identifying them.
const LAST_VERSION_BY_NAME: i16 = 12;

/// What the handles and the task share.
pub(crate) struct Shared {
    pub(crate) config: ProducerConfig,
    rules: Rules,
    request_timeout: Duration,
    state: RefCell<State>,
    /// Free bytes of the buffer.
    room: Semaphore,
    /// The task has something to look at.
    wake: Notify,
    /// Something was answered.
    answered: Notify,
    flushers: Cell<usize>,
    stopped: RefCell<Option<ClientError>>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<TopicPartition, PartitionQueue>,
    partitioner: Partitioner,
    identity: Option<Identity>,
    /// The identity must be replaced as soon as nothing is with a broker.
    reset: bool,
    next_request: u64,
    /// Topics whose metadata is being asked for.
    asking: BTreeSet<Str>,
}

/// One request that is about to leave.
struct Departure {
    number: u64,
    leader: i32,
    parts: Vec<(TopicPartition, Records)>,
}

impl Shared {
    pub(crate) fn new(client: &ClientConfig, config: ProducerConfig) -> Shared {
        let idempotent = config.idempotent && config.acks == Acks::All;
        let rules = Rules {
            batch_bytes: config.batch_bytes.min(config.request_bytes_max),
            linger: config.linger,
            compression: config.compression,
            // Brokers remember five batches; without idempotence a retry could overtake.
            in_flight_max: if idempotent {
                config.in_flight_max.clamp(1, 5)
            } else {
                1
            },
            delivery_timeout: config.delivery_timeout,
            retry_backoff: client.retry_backoff,
            retry_backoff_max: client.retry_backoff_max,
        };
        Shared {
            rules,
            request_timeout: client.request_timeout,
            state: RefCell::default(),
            room: Semaphore::new(config.buffer_bytes.min(Semaphore::MAX_PERMITS)),
            wake: Notify::new(),
            answered: Notify::new(),
            flushers: Cell::new(0),
            stopped: RefCell::new(None),
            config,
        }
    }

    fn is_idempotent(&self) -> bool {
        self.config.idempotent && self.config.acks == Acks::All
    }

    /// Waits for room in the buffer.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<(), ClientError> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.room.acquire_many(permits).await {
            Ok(permit) => {
                // Given back by number when the record is answered.
                permit.forget();
                Ok(())
            }
            Err(_) => Err(self.why_stopped()),
        }
    }

    pub(crate) fn append(
        &self,
        topic: &Topic,
        record: ProducerRecord,
        timestamp: i64,
        sender: oneshot::Sender<Result<Delivered, ClientError>>,
        net: &NetRef,
    ) -> Result<(), ClientError> {
        if self.stopped.borrow().is_some() {
            return Err(self.why_stopped());
        }
        let mut state = self.state.borrow_mut();
        let keyless = record.partition.is_none() && record.key.is_none();
        let partition = match record.partition {
            Some(partition) => partition,
            None => state
                .partitioner
                .partition(topic, record.key.as_deref(), || net.random()),
        };
        let place = (record.topic.clone(), partition);
        let queue = state
            .queues
            .entry(place)
            .or_insert_with(|| PartitionQueue::new(record.topic.clone(), partition));
        let appended = queue.append(&record, timestamp, sender, &self.rules, net.now());
        if keyless {
            state
                .partitioner
                .appended(&record.topic, record.size(), self.rules.batch_bytes);
        }
        drop(state);
        self.wake.notify_one();
        match appended {
            Ok(after) => {
                self.release(after.released);
                Ok(())
            }
            Err(error) => {
                self.release(record.size());
                Err(ClientError::Records {
                    topic: record.topic,
                    partition,
                    reason: error.to_string(),
                })
            }
        }
    }

    pub(crate) async fn flush(&self) {
        self.flushers.set(self.flushers.get() + 1);
        loop {
            let answered = self.answered.notified();
            self.wake.notify_one();
            if self
                .state
                .borrow()
                .queues
                .values()
                .all(PartitionQueue::is_idle)
            {
                break;
            }
            answered.await;
        }
        self.flushers.set(self.flushers.get() - 1);
    }

    pub(crate) fn stop(&self, error: &ClientError) {
        if self.stopped.borrow().is_some() {
            return;
        }
        *self.stopped.borrow_mut() = Some(error.clone());
        self.room.close();
        self.state
            .borrow_mut()
            .queues
            .values_mut()
            .for_each(|queue| {
                queue.fail_all(error);
            });
        self.wake.notify_one();
        self.answered.notify_waiters();
    }

    fn why_stopped(&self) -> ClientError {
        let stopped = self.stopped.borrow().clone();
        stopped.unwrap_or_else(|| ClientError::Closed("the producer is gone".to_owned()))
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.room.add_permits(bytes);
        }
    }

    /// Hands one answer to its queue.
    fn answer(&self, cluster: &Cluster, place: &TopicPartition, number: u64, outcome: Outcome) {
        let mut state = self.state.borrow_mut();
        let Some(queue) = state.queues.get_mut(place) else {
            return;
        };
        let after = queue.answered(number, outcome, &self.rules, cluster.net().now());
        if after.doubt_leader {
            cluster.doubt_topic(&place.0);
        }
        state.reset |= after.reset;
        drop(state);
        self.release(after.released);
    }
}

/// The task. Ends when the producer is stopped.
pub(crate) async fn run(cluster: Cluster, shared: Rc<Shared>) {
    while shared.stopped.borrow().is_none() {
        let now = cluster.net().now();
        expire(&shared, now);
        if shared.is_idempotent() && needs_identity(&shared) {
            renew_identity(&cluster, &shared).await;
            continue;
        }
        // Each round takes one batch of a partition; more may be allowed.
        loop {
            let departures = depart(&cluster, &shared, now);
            if departures.is_empty() {
                break;
            }
            for departure in departures {
                let (cluster, shared) = (cluster.clone(), shared.clone());
                cluster
                    .net()
                    .clone()
                    .spawn(Box::pin(carry(cluster, shared, departure)));
            }
        }
        let deadline = next_deadline(&shared);
        let pause = deadline.map(|deadline| deadline.saturating_sub(cluster.net().now()));
        let sleep = cluster
            .net()
            .sleep(pause.unwrap_or(Duration::from_secs(3600)));
        tokio::select! {
            biased;
            () = shared.wake.notified() => {}
            () = sleep => {}
        }
    }
}

fn expire(shared: &Shared, now: Duration) {
    let mut state = shared.state.borrow_mut();
    let mut all = After::default();
    for queue in state.queues.values_mut() {
        let after = queue.expire(&shared.rules, now);
        all.released += after.released;
        all.reset |= after.reset;
    }
    state.reset |= all.reset;
    drop(state);
    if all.released > 0 {
        shared.release(all.released);
        shared.answered.notify_waiters();
    }
}

/// When the task must look again without being woken. Partitions that wait for metadata are woken by its answer.
fn next_deadline(shared: &Shared) -> Option<Duration> {
    let state = shared.state.borrow();
    if state.reset && state.queues.values().any(PartitionQueue::has_in_flight) {
        return None;
    }
    let waits = |topic: &Str| state.asking.contains(topic);
    let queues = state.queues.iter().filter(|((topic, _), _)| !waits(topic));
    queues
        .filter_map(|(_, queue)| queue.next_deadline(&shared.rules))
        .min()
}

/// True if batches wait for a first identity, or for another one and nothing is with a broker any more.
fn needs_identity(shared: &Shared) -> bool {
    let state = shared.state.borrow();
    if state.queues.values().all(PartitionQueue::is_idle) {
        return false;
    }
    if state.reset {
        return !state.queues.values().any(PartitionQueue::has_in_flight);
    }
    state.identity.is_none()
}

/// Gets a producer id. What cannot be repaired (no permission, say) fails all records that wait.
async fn renew_identity(cluster: &Cluster, shared: &Shared) {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..Default::default()
    };
    let answer = cluster
        .retry(async || {
            let response = cluster.any_broker().await?.call(&request).await?;
            ClientError::check(ApiKey::InitProducerId, response.error_code, None)?;
            Ok(Identity {
                producer_id: response.producer_id,
                epoch: response.producer_epoch,
            })
        })
        .await;
    let mut released = 0;
    let mut state = shared.state.borrow_mut();
    match answer {
        Ok(identity) => {
            state.identity = Some(identity);
            if std::mem::take(&mut state.reset) {
                tracing::warn!(
                    producer_id = identity.producer_id,
                    "starting over under a new producer id"
                );
                released += state
                    .queues
                    .values_mut()
                    .map(PartitionQueue::reset)
                    .sum::<usize>();
            }
        }
        Err(error) => {
            released += state
                .queues
                .values_mut()
                .map(|queue| queue.fail_all(&error))
                .sum::<usize>()
        }
    }
    drop(state);
    shared.release(released);
    if released > 0 {
        shared.answered.notify_waiters();
    }
}

/// Collects what may be sent now, by leader.
fn depart(cluster: &Cluster, shared: &Rc<Shared>, now: Duration) -> Vec<Departure> {
    let mut state = shared.state.borrow_mut();
    if state.reset {
        return Vec::new();
    }
    let flushing = shared.flushers.get() > 0;
    let State {
        queues,
        identity,
        next_request,
        asking,
        ..
    } = &mut *state;
    let mut departures: BTreeMap<i32, Vec<Departure>> = BTreeMap::new();
    let mut leaderless: BTreeSet<Str> = BTreeSet::new();
    for (place, queue) in queues
        .iter_mut()
        .filter(|((topic, _), _)| !asking.contains(topic))
    {
        // One batch per partition and round: a second in the same request is not allowed, in another it comes with the next round.
        let Some(batch) = queue.next_to_send(&shared.rules, now, flushing) else {
            continue;
        };
        let Some(leader) = known_leader(cluster, place) else {
            leaderless.insert(place.0.clone());
            queue.put_back(batch);
            continue;
        };
        let of_leader = departures.entry(leader).or_default();
        let size = |departure: &Departure| {
            departure
                .parts
                .iter()
                .map(|(_, records)| records.len())
                .sum::<usize>()
        };
        let full = of_leader
            .last()
            .is_none_or(|last| size(last) + batch.size() > shared.config.request_bytes_max);
        if full {
            of_leader.push(Departure {
                number: *next_request,
                leader,
                parts: Vec::new(),
            });
            *next_request += 1;
        }
        let departure = of_leader
            .last_mut()
            .expect("pushed above when there was none");
        let records = queue.sent(batch, *identity, departure.number).wire();
        departure.parts.push((place.clone(), records));
    }
    asking.extend(leaderless.iter().cloned());
    drop(state);
    for topic in leaderless {
        let (cluster, shared) = (cluster.clone(), shared.clone());
        cluster
            .net()
            .clone()
            .spawn(Box::pin(ask_leader(cluster, shared, topic)));
    }
    departures.into_values().flatten().collect()
}

fn known_leader(cluster: &Cluster, (topic, partition): &TopicPartition) -> Option<i32> {
    if cluster.is_doubted(topic) {
        return None;
    }
    cluster
        .metadata()
        .topics
        .get(topic)?
        .partition(*partition)?
        .leader
}

/// Asks for a topic whose leaders are not known. A pause follows an answer that does not help.
async fn ask_leader(cluster: Cluster, shared: Rc<Shared>, topic: Str) {
    let answer = cluster.refresh_topic(&topic).await;
    let helped = answer.is_ok_and(|topic| {
        topic
            .partitions
            .iter()
            .all(|partition| partition.leader.is_some())
    });
    if !helped {
        cluster
            .net()
            .sleep(cluster.jittered(shared.rules.retry_backoff))
            .await;
    }
    shared.state.borrow_mut().asking.remove(&topic);
    shared.wake.notify_one();
}

/// Sends one request and hands its answers to the queues.
async fn carry(cluster: Cluster, shared: Rc<Shared>, departure: Departure) {
    let places: Vec<TopicPartition> = departure
        .parts
        .iter()
        .map(|(place, _)| place.clone())
        .collect();
    let number = departure.number;
    let sent = match cluster.broker(departure.leader, Lane::Data).await {
        Ok(connection) => send(&cluster, &shared, &connection, departure).await,
        Err(error) => Err(error),
    };
    let outcomes = match sent {
        Ok(outcomes) => outcomes,
        Err(error) => places
            .iter()
            .map(|place| (place.clone(), Outcome::Lost(error.clone())))
            .collect(),
    };
    for place in places {
        let missing = || {
            Outcome::Lost(ClientError::Incomplete {
                api: ApiKey::Produce,
                what: place.0.to_string(),
            })
        };
        let outcome = outcomes.get(&place).cloned().unwrap_or_else(missing);
        shared.answer(&cluster, &place, number, outcome);
    }
    shared.wake.notify_one();
    shared.answered.notify_waiters();
}

async fn send(
    cluster: &Cluster,
    shared: &Shared,
    connection: &Connection,
    departure: Departure,
) -> Result<BTreeMap<TopicPartition, Outcome>, ClientError> {
    let mut names: BTreeMap<Uuid, Str> = BTreeMap::new();
    let mut topics: BTreeMap<Str, Vec<PartitionProduceData>> = BTreeMap::new();
    let places: Vec<TopicPartition> = departure
        .parts
        .iter()
        .map(|(place, _)| place.clone())
        .collect();
    for ((topic, index), records) in departure.parts {
        let data = PartitionProduceData {
            index,
            records: Some(records),
            ..Default::default()
        };
        topics.entry(topic).or_default().push(data);
    }
    let mut version = connection.version::<ProduceRequest>()?;
    let topic_data: Vec<TopicProduceData> = topics
        .into_iter()
        .map(|(name, partition_data)| {
            let topic_id = cluster
                .metadata()
                .topics
                .get(&name)
                .map(|topic| topic.id)
                .unwrap_or_default();
            names.insert(topic_id, name.clone());
            TopicProduceData {
                name,
                topic_id,
                partition_data,
                ..Default::default()
            }
        })
        .collect();
    if topic_data.iter().any(|topic| topic.topic_id == Uuid::ZERO) {
        version = version.min(LAST_VERSION_BY_NAME);
    }
    let request = ProduceRequest {
        transactional_id: None,
        acks: match shared.config.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        },
        timeout_ms: i32::try_from(shared.request_timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data,
        ..Default::default()
    };
    if shared.config.acks == Acks::None {
        connection.send_only_at(&request, version)?;
        let unknown = |place| {
            (
                place,
                Outcome::Written {
                    base_offset: -1,
                    append_time: -1,
                },
            )
        };
        return Ok(places.into_iter().map(unknown).collect());
    }
    let response = connection
        .call_at(&request, version, shared.request_timeout)
        .await?;
    Ok(outcomes(response, version, &names))
}

fn outcomes(
    response: ProduceResponse,
    version: i16,
    names: &BTreeMap<Uuid, Str>,
) -> BTreeMap<TopicPartition, Outcome> {
    let mut outcomes = BTreeMap::new();
    for topic in response.responses {
        let by_id = || names.get(&topic.topic_id).cloned().unwrap_or_default();
        let name = if version > LAST_VERSION_BY_NAME {
            by_id()
        } else {
            topic.name.clone()
        };
        for partition in topic.partition_responses {
            let outcome = match partition.error_code {
                ottla_protocol::ErrorCode::NONE => Outcome::Written {
                    base_offset: partition.base_offset,
                    append_time: partition.log_append_time_ms,
                },
                error => Outcome::Refused {
                    error,
                    message: partition.error_message,
                },
            };
            outcomes.insert((name.clone(), partition.index), outcome);
        }
    }
    outcomes
}
