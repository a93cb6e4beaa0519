//! A consumer's place in a group, by the classic protocol: joining, syncing, heartbeats in a task of their own, leaving.
//!
//! ```text
//!  outside ──join──► joined ──sync──► member ──heartbeat──► member
//!     ▲                ▲                 │
//!     │                └── rebalance ────┤
//!     └──── unknown member, illegal generation, polls too rare
//! ```

use crate::cluster::{Cluster, Lane, TopicPartition};
use crate::consumer::{ConsumerConfig, assignor, protocol};
use crate::error::ClientError;
use crate::group_offsets::Committer;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_protocol::{ApiKey, ErrorCode, Str};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// The join and the sync may be held back this much longer than the rebalance timeout, as in Java's client.
const JOIN_SLACK: Duration = Duration::from_secs(5);
/// From this version on LeaveGroup names members in a list.
const LEAVE_BATCH_FROM: i16 = 3;

/// A consumer's place in its group.
pub(crate) struct Membership {
    cluster: Cluster,
    group: Str,
    config: ConsumerConfig,
    state: Rc<RefCell<State>>,
    /// Wakes the consumer when its place has changed.
    changed: Rc<Notify>,
}

#[derive(Default)]
struct State {
    member_id: Str,
    generation: i32,
    /// Synced in this generation, and nothing to the contrary heard since.
    stable: bool,
    fatal: Option<ClientError>,
    last_poll: Duration,
    /// Counts joins, so that the heartbeat task of an earlier one ends.
    round: u64,
}

impl State {
    /// Joins again, as the same member or as a new one.
    fn lose_place(&mut self, member_too: bool) {
        self.stable = false;
        if member_too {
            self.member_id = Str::default();
            self.generation = -1;
        }
    }

    /// What an error of a group request means for the place. True if joining again will heal it.
    fn heed(&mut self, error: ErrorCode) -> bool {
        match error {
            ErrorCode::REBALANCE_IN_PROGRESS => self.lose_place(false),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => self.lose_place(true),
            _ => return false,
        }
        true
    }
}

impl Membership {
    pub(crate) fn new(
        cluster: Cluster,
        group: Str,
        config: ConsumerConfig,
        changed: Rc<Notify>,
    ) -> Membership {
        let state = State {
            generation: -1,
            last_poll: cluster.net().now(),
            ..State::default()
        };
        Membership {
            cluster,
            group,
            config,
            state: Rc::new(RefCell::new(state)),
            changed,
        }
    }

    /// Notes that the consumer is at work. Errors: what has ended the membership for good.
    pub(crate) fn polled(&self) -> Result<(), ClientError> {
        let mut state = self.state.borrow_mut();
        state.last_poll = self.cluster.net().now();
        state.fatal.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn is_stable(&self) -> bool {
        self.state.borrow().stable
    }

    /// Who commits now.
    pub(crate) fn committer(&self) -> Committer {
        let state = self.state.borrow();
        Committer {
            generation: state.generation,
            member_id: state.member_id.clone(),
            instance_id: self.config.instance_id.clone(),
        }
    }

    /// What the error of a commit means for the place in the group.
    pub(crate) fn heed(&self, error: ErrorCode) {
        self.state.borrow_mut().heed(error);
    }

    pub(crate) fn generation(&self) -> i32 {
        self.state.borrow().generation
    }

    pub(crate) fn member_id(&self) -> Str {
        self.state.borrow().member_id.clone()
    }

    /// Joins the group, as often as it takes, and gives the partitions that are ours now.
    pub(crate) async fn join(
        &self,
        topics: &BTreeSet<Str>,
    ) -> Result<Vec<TopicPartition>, ClientError> {
        let mut pause = self.cluster.config().retry_backoff;
        loop {
            let error = match self.join_once(topics).await {
                Ok(partitions) => return Ok(partitions),
                Err(error) => error,
            };
            self.cluster.heed_group_error(&self.group, &error);
            match error.code() {
                // Told our id: come again with it at once (KIP-394).
                Some(ErrorCode::MEMBER_ID_REQUIRED) => continue,
                Some(code) if self.state.borrow_mut().heed(code) => {}
                _ if error.is_retriable() => {}
                _ => return Err(error),
            }
            self.cluster.net().sleep(self.cluster.jittered(pause)).await;
            pause = (pause * 2).min(self.cluster.config().retry_backoff_max);
        }
    }

    async fn join_once(&self, topics: &BTreeSet<Str>) -> Result<Vec<TopicPartition>, ClientError> {
        let connection = self.cluster.coordinator(&self.group, Lane::Group).await?;
        let protocols = vec![JoinGroupRequestProtocol {
            name: assignor::NAME.into(),
            metadata: protocol::subscription(topics),
            ..Default::default()
        }];
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.poll_interval_max),
            member_id: self.state.borrow().member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: protocol::PROTOCOL_TYPE.into(),
            protocols,
            ..Default::default()
        };
        let limit = self.config.poll_interval_max + JOIN_SLACK;
        let joined = connection.call_within(&request, limit).await?;
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            self.state.borrow_mut().member_id = joined.member_id.clone();
        }
        ClientError::check(ApiKey::JoinGroup, joined.error_code, None)?;
        {
            let mut state = self.state.borrow_mut();
            state.member_id = joined.member_id.clone();
            state.generation = joined.generation_id;
        }
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = if leads {
            self.assign(&joined).await?
        } else {
            Vec::new()
        };
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Some(protocol::PROTOCOL_TYPE.into()),
            protocol_name: joined.protocol_name.clone(),
            assignments,
            ..Default::default()
        };
        let synced = connection.call_within(&request, limit).await?;
        ClientError::check(ApiKey::SyncGroup, synced.error_code, None)?;
        let partitions = protocol::read_assignment(synced.assignment)?;
        self.begin_heartbeats();
        Ok(partitions)
    }

    /// The leader's task: who reads what.
    async fn assign(
        &self,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let mut members = Vec::with_capacity(joined.members.len());
        for member in &joined.members {
            members.push(assignor::Member {
                id: member.member_id.clone(),
                instance_id: member.group_instance_id.clone(),
                topics: protocol::read_subscription(member.metadata.clone())?,
            });
        }
        let topics: BTreeSet<Str> = members
            .iter()
            .flat_map(|member| member.topics.iter().cloned())
            .collect();
        let topics: Vec<Str> = topics.into_iter().collect();
        let answers = self
            .cluster
            .retry(async || self.cluster.ask_metadata(Some(&topics)).await)
            .await?;
        // A topic that does not exist (yet) has no partitions to give.
        let known = answers
            .into_iter()
            .filter_map(|(name, topic)| Some((name, topic.ok()?.partitions.len())));
        let partitions: BTreeMap<Str, usize> = known.collect();
        let assigned = assignor::assign(members, &partitions);
        let assignment =
            |(member_id, partitions): (Str, Vec<TopicPartition>)| SyncGroupRequestAssignment {
                member_id,
                assignment: protocol::assignment(&partitions),
                ..Default::default()
            };
        Ok(assigned.into_iter().map(assignment).collect())
    }

    fn begin_heartbeats(&self) {
        let round = {
            let mut state = self.state.borrow_mut();
            state.stable = true;
            state.round += 1;
            state.round
        };
        let heart = Heart {
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            config: self.config.clone(),
            state: self.state.clone(),
            changed: self.changed.clone(),
            round,
        };
        self.cluster.net().spawn(Box::pin(heart.beat()));
    }

    /// Leaves the group, so that others take over at once. A static member keeps its place for its return (KIP-345).
    pub(crate) async fn leave(&self) {
        let member_id = {
            let mut state = self.state.borrow_mut();
            state.round += 1;
            let member_id = state.member_id.clone();
            state.lose_place(true);
            member_id
        };
        if member_id.is_empty() || self.config.instance_id.is_some() {
            return;
        }
        if let Err(error) = say_goodbye(&self.cluster, &self.group, member_id).await {
            // The session timeout will say it for us.
            tracing::debug!(%error, group = %self.group, "could not leave");
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.state.borrow_mut().round += 1;
    }
}

/// The heartbeat task of one generation.
struct Heart {
    cluster: Cluster,
    group: Str,
    config: ConsumerConfig,
    state: Rc<RefCell<State>>,
    changed: Rc<Notify>,
    round: u64,
}

impl Heart {
    async fn beat(self) {
        loop {
            self.cluster
                .net()
                .sleep(self.config.heartbeat_interval)
                .await;
            let (request, idle) = {
                let state = self.state.borrow();
                if state.round != self.round || !state.stable {
                    return;
                }
                let request = HeartbeatRequest {
                    group_id: self.group.clone(),
                    generation_id: state.generation,
                    member_id: state.member_id.clone(),
                    group_instance_id: self.config.instance_id.clone(),
                    ..Default::default()
                };
                (
                    request,
                    self.cluster.net().now().saturating_sub(state.last_poll),
                )
            };
            if idle > self.config.poll_interval_max {
                return self.give_up_place(request.member_id).await;
            }
            let answer = self.send(&request).await;
            let mut state = self.state.borrow_mut();
            if state.round != self.round {
                return;
            }
            match answer {
                Ok(()) => {}
                Err(error) => {
                    self.cluster.heed_group_error(&self.group, &error);
                    let healed = error.code().is_some_and(|code| state.heed(code));
                    if !healed && !error.is_retriable() {
                        state.lose_place(true);
                        state.fatal = Some(error);
                    }
                    self.changed.notify_one();
                }
            }
        }
    }

    async fn send(&self, request: &HeartbeatRequest) -> Result<(), ClientError> {
        let connection = self
            .cluster
            .coordinator(&self.group, Lane::Coordinator)
            .await?;
        let response = connection.call(request).await?;
        ClientError::check(ApiKey::Heartbeat, response.error_code, None)
    }

    /// The application has stopped polling: others must have its partitions.
    async fn give_up_place(&self, member_id: Str) {
        tracing::warn!(group = %self.group, "no poll for {} ms: leaving the group", self.config.poll_interval_max.as_millis());
        self.state.borrow_mut().lose_place(true);
        self.changed.notify_one();
        if self.config.instance_id.is_none() {
            let _ = say_goodbye(&self.cluster, &self.group, member_id).await;
        }
    }
}

async fn say_goodbye(cluster: &Cluster, group: &Str, member_id: Str) -> Result<(), ClientError> {
    let connection = cluster.coordinator(group, Lane::Coordinator).await?;
    let mut request = LeaveGroupRequest {
        group_id: group.clone(),
        ..Default::default()
    };
    if connection.version::<LeaveGroupRequest>()? >= LEAVE_BATCH_FROM {
        request.members = vec![MemberIdentity {
            member_id,
            ..Default::default()
        }];
    } else {
        request.member_id = member_id;
    }
    let response = connection.call(&request).await?;
    ClientError::check(ApiKey::LeaveGroup, response.error_code, None)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
