//! Where a consumer stands in each partition, and the fetches that bring it on: at most one under way per leader, none for partitions
//! whose last fetch has not been read yet.
//!
//! Invariant: an answer counts only for the incarnation of a position that it was asked for; a seek makes a new one.

use crate::cluster::{Cluster, Isolation, Lane, TopicPartition};
use crate::consumer::fetched::Fetched;
use crate::consumer::{ConsumerConfig, ConsumerRecord, StartAt};
use crate::error::{ClientError, Failure};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use ottla_protocol::{ApiKey, ErrorCode, Str, Uuid};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// The last version that names topics instead of identifying them.
const LAST_VERSION_BY_NAME: i16 = 12;
/// Neither begins nor continues a fetch session.
const NO_SESSION_EPOCH: i32 = -1;

/// The positions of a consumer.
#[derive(Default)]
pub(crate) struct Positions {
    partitions: BTreeMap<TopicPartition, Position>,
    /// Leaders with a fetch under way.
    busy: BTreeSet<i32>,
    next_incarnation: u64,
    /// Partition that is served first in the next round, so that a busy one does not starve others.
    turn: usize,
}

struct Position {
    incarnation: u64,
    /// Where to read next; not known before the start has been looked up.
    offset: Option<i64>,
    start: StartAt,
    /// Epoch of the last record read, for the commit.
    leader_epoch: i32,
    high_watermark: i64,
    fetched: Option<Fetched>,
    fetching: bool,
    paused: bool,
    not_before: Duration,
    error: Option<ClientError>,
}

/// One partition's part of a fetch under way.
struct Asked {
    place: TopicPartition,
    incarnation: u64,
}

impl Positions {
    /// Reads exactly these partitions from now on; those that were read already go on where they are.
    pub(crate) fn assign(&mut self, partitions: BTreeMap<TopicPartition, StartAt>) {
        self.partitions
            .retain(|place, _| partitions.contains_key(place));
        for (place, start) in partitions {
            if !self.partitions.contains_key(&place) {
                self.start(place, start);
            }
        }
    }

    /// Reads on from somewhere else. False if the partition is not assigned.
    pub(crate) fn seek(&mut self, place: &TopicPartition, start: StartAt) -> bool {
        if !self.partitions.contains_key(place) {
            return false;
        }
        self.start(place.clone(), start);
        true
    }

    fn start(&mut self, place: TopicPartition, start: StartAt) {
        self.next_incarnation += 1;
        let offset = if let StartAt::Offset(offset) = start {
            Some(offset)
        } else {
            None
        };
        let position = Position {
            incarnation: self.next_incarnation,
            offset,
            start,
            leader_epoch: -1,
            high_watermark: -1,
            fetched: None,
            fetching: false,
            paused: false,
            not_before: Duration::ZERO,
            error: None,
        };
        self.partitions.insert(place, position);
    }

    pub(crate) fn set_paused(&mut self, place: &TopicPartition, paused: bool) {
        if let Some(position) = self.partitions.get_mut(place) {
            position.paused = paused;
        }
    }

    pub(crate) fn assignment(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// Where the next record to be handed out is, and the epoch of the last one.
    pub(crate) fn position(&self, place: &TopicPartition) -> Option<(i64, i32)> {
        let position = self.partitions.get(place)?;
        Some((position.offset?, position.leader_epoch))
    }

    pub(crate) fn high_watermark(&self, place: &TopicPartition) -> Option<i64> {
        self.partitions
            .get(place)
            .map(|position| position.high_watermark)
            .filter(|offset| *offset >= 0)
    }

    /// Partitions whose start has not been looked up.
    pub(crate) fn unstarted(&self) -> Vec<(TopicPartition, StartAt)> {
        let unknown = self
            .partitions
            .iter()
            .filter(|(_, position)| position.offset.is_none());
        unknown
            .map(|(place, position)| (place.clone(), position.start))
            .collect()
    }

    /// The start has been looked up.
    pub(crate) fn begin_at(&mut self, place: &TopicPartition, offset: i64, leader_epoch: i32) {
        if let Some(position) = self.partitions.get_mut(place) {
            position.offset = Some(offset);
            position.leader_epoch = leader_epoch;
        }
    }

    /// Records that have arrived, at most about `records_max`, whole batches at a time. Errors: of one partition, told once.
    pub(crate) fn take_records(
        &mut self,
        records_max: usize,
    ) -> Result<Vec<ConsumerRecord>, ClientError> {
        let mut records = Vec::new();
        let places: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        if places.is_empty() {
            return Ok(records);
        }
        let first = self.turn % places.len();
        self.turn = self.turn.wrapping_add(1);
        for place in places[first..].iter().chain(&places[..first]) {
            let Some(position) = self.partitions.get_mut(place) else {
                continue;
            };
            if let Some(error) = position.error.take() {
                return if records.is_empty() {
                    Err(error)
                } else {
                    position.error = Some(error);
                    Ok(records)
                };
            }
            position.take_records(place, records_max, &mut records)?;
            if records.len() >= records_max {
                break;
            }
        }
        Ok(records)
    }
}

impl Position {
    fn take_records(
        &mut self,
        (topic, partition): &TopicPartition,
        records_max: usize,
        records: &mut Vec<ConsumerRecord>,
    ) -> Result<(), ClientError> {
        while records.len() < records_max && !self.paused {
            let (Some(fetched), Some(offset)) = (&mut self.fetched, self.offset) else {
                return Ok(());
            };
            let portion = fetched
                .next(offset)
                .map_err(|reason| ClientError::Records {
                    topic: topic.clone(),
                    partition: *partition,
                    reason: format!("at offset {offset}: {reason}"),
                })?;
            match portion {
                Some(portion) => {
                    self.offset = Some(portion.next_position);
                    self.leader_epoch = portion.leader_epoch;
                    records.extend(portion.records);
                }
                None => self.fetched = None,
            }
        }
        Ok(())
    }
}

/// Sends a fetch to each leader that has none under way and something to be asked for.
pub(crate) async fn send_fetches(
    cluster: &Cluster,
    config: &ConsumerConfig,
    positions: &Rc<RefCell<Positions>>,
    arrived: &Rc<Notify>,
) -> Result<(), ClientError> {
    let now = cluster.net().now();
    let wanted: Vec<(TopicPartition, u64, i64)> = {
        let positions = positions.borrow();
        let wanting = positions.partitions.iter().filter(|(_, one)| {
            one.fetched.is_none()
                && !one.fetching
                && !one.paused
                && one.error.is_none()
                && now >= one.not_before
        });
        wanting
            .filter_map(|(place, one)| Some((place.clone(), one.incarnation, one.offset?)))
            .collect()
    };
    let mut by_leader: BTreeMap<i32, Vec<(Asked, i32, i64)>> = BTreeMap::new();
    for (place, incarnation, offset) in wanted {
        match cluster.leader(&place.0, place.1).await {
            Ok((leader, epoch)) => by_leader.entry(leader).or_default().push((
                Asked { place, incarnation },
                epoch,
                offset,
            )),
            Err(error) if error.is_retriable() => {
                pause(cluster, positions, &place, incarnation);
            }
            Err(error) => return Err(error),
        }
    }
    for (leader, parts) in by_leader {
        let mut borrowed = positions.borrow_mut();
        if !borrowed.busy.insert(leader) {
            continue;
        }
        for (asked, _, _) in &parts {
            if let Some(position) = borrowed.partitions.get_mut(&asked.place) {
                position.fetching = true;
            }
        }
        drop(borrowed);
        let fetch = fetch(
            cluster.clone(),
            config.clone(),
            positions.clone(),
            arrived.clone(),
            leader,
            parts,
        );
        cluster.net().spawn(Box::pin(fetch));
    }
    Ok(())
}

/// One fetch: asks, and files the answers.
async fn fetch(
    cluster: Cluster,
    config: ConsumerConfig,
    positions: Rc<RefCell<Positions>>,
    arrived: Rc<Notify>,
    leader: i32,
    parts: Vec<(Asked, i32, i64)>,
) {
    let answer = ask(&cluster, &config, leader, &parts).await;
    positions.borrow_mut().busy.remove(&leader);
    let mut answers = match answer {
        Ok(answers) => answers,
        Err(error) => {
            tracing::debug!(%error, leader, "a fetch failed");
            BTreeMap::new()
        }
    };
    for (asked, _, _) in parts {
        let answer = answers.remove(&asked.place);
        let current = {
            let mut borrowed = positions.borrow_mut();
            let position = borrowed.partitions.get_mut(&asked.place);
            position
                .filter(|position| position.incarnation == asked.incarnation)
                .is_some_and(|position| {
                    position.fetching = false;
                    true
                })
        };
        if !current {
            continue;
        }
        match answer {
            Some(data) => file(&cluster, &config, &positions, &asked, data),
            None => {
                cluster.doubt_topic(&asked.place.0);
                pause(&cluster, &positions, &asked.place, asked.incarnation);
            }
        }
    }
    arrived.notify_one();
}

async fn ask(
    cluster: &Cluster,
    config: &ConsumerConfig,
    leader: i32,
    parts: &[(Asked, i32, i64)],
) -> Result<BTreeMap<TopicPartition, PartitionData>, ClientError> {
    let connection = cluster.broker(leader, Lane::Fetch).await?;
    let mut topics: BTreeMap<Str, Vec<FetchPartition>> = BTreeMap::new();
    for (asked, leader_epoch, offset) in parts {
        topics
            .entry(asked.place.0.clone())
            .or_default()
            .push(FetchPartition {
                partition: asked.place.1,
                current_leader_epoch: *leader_epoch,
                fetch_offset: *offset,
                partition_max_bytes: config.partition_bytes_max,
                ..Default::default()
            });
    }
    let mut names: BTreeMap<Uuid, Str> = BTreeMap::new();
    let topics: Vec<FetchTopic> = topics
        .into_iter()
        .map(|(topic, partitions)| {
            let topic_id = cluster
                .metadata()
                .topics
                .get(&topic)
                .map(|topic| topic.id)
                .unwrap_or_default();
            names.insert(topic_id, topic.clone());
            FetchTopic {
                topic,
                topic_id,
                partitions,
                ..Default::default()
            }
        })
        .collect();
    let mut version = connection.version::<FetchRequest>()?;
    if topics.iter().any(|topic| topic.topic_id == Uuid::ZERO) {
        version = version.min(LAST_VERSION_BY_NAME);
    }
    let request = FetchRequest {
        max_wait_ms: i32::try_from(config.fetch_wait_max.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.fetch_bytes_min,
        max_bytes: config.fetch_bytes_max,
        isolation_level: config.isolation.wire(),
        session_epoch: NO_SESSION_EPOCH,
        topics,
        ..Default::default()
    };
    let limit = cluster.config().request_timeout + config.fetch_wait_max;
    let response = connection.call_at(&request, version, limit).await?;
    ClientError::check(ApiKey::Fetch, response.error_code, None)?;
    Ok(by_place(response, version, &names))
}

fn by_place(
    response: FetchResponse,
    version: i16,
    names: &BTreeMap<Uuid, Str>,
) -> BTreeMap<TopicPartition, PartitionData> {
    let mut answers = BTreeMap::new();
    for topic in response.responses {
        let by_id = || names.get(&topic.topic_id).cloned().unwrap_or_default();
        let name = if version > LAST_VERSION_BY_NAME {
            by_id()
        } else {
            topic.topic.clone()
        };
        for partition in topic.partitions {
            answers.insert((name.clone(), partition.partition_index), partition);
        }
    }
    answers
}

/// What one partition's answer means.
fn file(
    cluster: &Cluster,
    config: &ConsumerConfig,
    positions: &Rc<RefCell<Positions>>,
    asked: &Asked,
    data: PartitionData,
) {
    let (topic, partition) = &asked.place;
    let mut borrowed = positions.borrow_mut();
    let Some(position) = borrowed.partitions.get_mut(&asked.place) else {
        return;
    };
    match data.error_code {
        ErrorCode::NONE => {
            position.high_watermark = data.high_watermark;
            let bytes = data
                .records
                .map(ottla_protocol::Records::into_bytes)
                .unwrap_or_default();
            let aborted = match config.isolation {
                Isolation::ReadUncommitted => None,
                Isolation::ReadCommitted => Some(data.aborted_transactions.unwrap_or_default()),
            };
            if !bytes.is_empty() {
                position.fetched = Some(Fetched::new(topic.clone(), *partition, bytes, aborted));
            }
        }
        ErrorCode::OFFSET_OUT_OF_RANGE => match config.reset {
            Some(start) => {
                tracing::info!(%topic, partition, offset = position.offset, "out of range: starting over");
                borrowed.start(asked.place.clone(), start.into());
            }
            None => position.error = Some(ClientError::refused(ApiKey::Fetch, data.error_code)),
        },
        error if error.is_retriable() => {
            drop(borrowed);
            cluster.doubt_topic(topic);
            pause(cluster, positions, &asked.place, asked.incarnation);
        }
        error => {
            let failure = Failure {
                error,
                message: Some(Str::from(format!("{topic}-{partition}"))),
            };
            position.error = Some(ClientError::Refused {
                api: ApiKey::Fetch,
                failure,
            });
        }
    }
}

fn pause(
    cluster: &Cluster,
    positions: &Rc<RefCell<Positions>>,
    place: &TopicPartition,
    incarnation: u64,
) {
    let not_before = cluster.net().now() + cluster.jittered(cluster.config().retry_backoff);
    if let Some(position) = positions.borrow_mut().partitions.get_mut(place)
        && position.incarnation == incarnation
    {
        position.not_before = not_before;
    }
}
