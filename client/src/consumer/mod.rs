//! A consumer: partitions assigned by hand or by a group, records out of `poll`.
//!
//! Rooms: `fetcher` (positions and fetches), `fetched` (bytes to records), `membership` (the group), `assignor` and `protocol` (what its
//! members tell each other). Not here: KIP-848 groups, share groups, cooperative rebalancing, incremental fetch sessions, reading
//! from followers.

mod assignor;
mod fetched;
mod fetcher;
mod membership;
mod protocol;

use crate::cluster::{Cluster, Isolation, OffsetSpec, TopicPartition};
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::group_offsets::{self, CommittedOffset, GroupOffsets};
use crate::net::NetRef;
use bytes::Bytes;
use fetcher::Positions;
use membership::Membership;
use ottla_protocol::{ApiKey, Str};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Where to begin when there is no other word on it (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// At the first record there is.
    Earliest,
    /// Behind the last one.
    Latest,
}

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record there is.
    Earliest,
    /// Behind the last record.
    Latest,
    /// At an offset.
    Offset(i64),
    /// At the first record at or after this time, in ms since the epoch; behind the last one if there is none.
    Time(i64),
    /// Where the group has committed, else as `ConsumerConfig::reset` says.
    Committed,
}

impl From<Reset> for StartAt {
    fn from(reset: Reset) -> StartAt {
        match reset {
            Reset::Earliest => StartAt::Earliest,
            Reset::Latest => StartAt::Latest,
        }
    }
}

/// Settings of a consumer. Defaults are Kafka's; the key that means the same there is named.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// `group.id`; needed for `subscribe` and for commits.
    pub group_id: Option<Str>,
    /// `group.instance.id`: makes a static member.
    pub instance_id: Option<Str>,
    /// `auto.offset.reset`; `None` makes it an error.
    pub reset: Option<Reset>,
    /// `isolation.level`.
    pub isolation: Isolation,
    /// `fetch.min.bytes`.
    pub fetch_bytes_min: i32,
    /// `fetch.max.wait.ms`.
    pub fetch_wait_max: Duration,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: i32,
    /// `max.poll.records`; a poll may give somewhat more, because it gives whole batches.
    pub poll_records_max: usize,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`, which is also how long a rebalance waits for us.
    pub poll_interval_max: Duration,
    /// `auto.commit.interval.ms`; `None` is `enable.auto.commit=false`.
    pub auto_commit: Option<Duration>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            group_id: None,
            instance_id: None,
            reset: Some(Reset::Latest),
            isolation: Isolation::ReadUncommitted,
            fetch_bytes_min: 1,
            fetch_wait_max: Duration::from_millis(500),
            fetch_bytes_max: 50 * 1024 * 1024,
            partition_bytes_max: 1024 * 1024,
            poll_records_max: 500,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            poll_interval_max: Duration::from_secs(300),
            auto_commit: Some(Duration::from_secs(5)),
        }
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Str,
    /// The partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Ms since the epoch.
    pub timestamp_ms: i64,
    /// Of the leader that wrote it.
    pub leader_epoch: i32,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In order; names may repeat, and need not be UTF-8.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A consumer. Reads when it is polled; a member of a group must be polled often enough to stay one.
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    positions: Rc<RefCell<Positions>>,
    /// Something arrived, or the place in the group has changed.
    changed: Rc<Notify>,
    subscription: BTreeSet<Str>,
    membership: Option<Membership>,
    last_commit: Duration,
}

impl Consumer {
    /// Of a cluster that is known by its bootstrap servers.
    pub fn new(net: NetRef, client: ClientConfig, config: ConsumerConfig) -> Consumer {
        Consumer::of(Cluster::new(net, client), config)
    }

    /// Sharing connections with others. A consumer's long polls hold up other consumers on the same handle.
    pub fn of(cluster: Cluster, config: ConsumerConfig) -> Consumer {
        let last_commit = cluster.net().now();
        Consumer {
            cluster,
            config,
            positions: Rc::default(),
            changed: Rc::default(),
            subscription: BTreeSet::new(),
            membership: None,
            last_commit,
        }
    }

    /// Reads these partitions, and no group has a say in it.
    pub fn assign(&mut self, partitions: BTreeMap<TopicPartition, StartAt>) {
        self.subscription.clear();
        self.membership = None;
        self.positions.borrow_mut().assign(partitions);
    }

    /// Reads these topics as a member of the group; who reads which partition is the group's to say. Joins at the next poll.
    /// Errors: no group id.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = Str>) -> Result<(), ClientError> {
        let group = self.group()?;
        self.subscription = topics.into_iter().collect();
        self.positions.borrow_mut().assign(BTreeMap::new());
        let membership = Membership::new(
            self.cluster.clone(),
            group,
            self.config.clone(),
            self.changed.clone(),
        );
        self.membership = Some(membership);
        Ok(())
    }

    /// Records, as soon as there are any, at most after `wait` (a rebalance may take longer). None: nothing came in time.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = self.cluster.net().now() + wait;
        self.commit_if_due().await;
        loop {
            self.keep_place().await?;
            self.look_up_starts().await?;
            let records = self
                .positions
                .borrow_mut()
                .take_records(self.config.poll_records_max)?;
            if !records.is_empty() {
                return Ok(records);
            }
            fetcher::send_fetches(&self.cluster, &self.config, &self.positions, &self.changed)
                .await?;
            let now = self.cluster.net().now();
            if now >= deadline {
                return Ok(records);
            }
            // Partitions whose fetch failed are paused; look at them again soon.
            let pause = (deadline - now).min(self.cluster.config().retry_backoff);
            let sleep = self.cluster.net().sleep(pause);
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// The partitions that are read now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.borrow().assignment()
    }

    /// Reads on from somewhere else. False if the partition is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, start: StartAt) -> bool {
        self.positions.borrow_mut().seek(partition, start)
    }

    /// Stops or resumes handing out a partition's records.
    pub fn set_paused(&mut self, partition: &TopicPartition, paused: bool) {
        self.positions.borrow_mut().set_paused(partition, paused);
    }

    /// The offset of the next record that `poll` will give; `None` before the first poll.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions
            .borrow()
            .position(partition)
            .map(|(offset, _)| offset)
    }

    /// The high watermark as of the last fetch.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions.borrow().high_watermark(partition)
    }

    /// Where the partitions that are read end now.
    pub async fn ends(&self) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let wanted = self
            .assignment()
            .into_iter()
            .map(|place| (place, OffsetSpec::Latest))
            .collect();
        let listed = self
            .cluster
            .list_offsets(wanted, self.config.isolation)
            .await?;
        let mut ends = BTreeMap::new();
        for (place, answer) in listed {
            let listed = answer.map_err(|failure| ClientError::Refused {
                api: ApiKey::ListOffsets,
                failure,
            })?;
            ends.insert(place, listed.offset);
        }
        Ok(ends)
    }

    /// Whether everything before these ends has been handed out. Partitions that are no longer ours do not count.
    pub fn has_reached(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        let positions = self.positions.borrow();
        let assigned: BTreeSet<TopicPartition> = positions.assignment().into_iter().collect();
        let ours = ends.iter().filter(|(place, _)| assigned.contains(*place));
        ours.into_iter().all(|(place, end)| {
            positions
                .position(place)
                .is_some_and(|(offset, _)| offset >= *end)
        })
    }

    /// Commits the positions: everything that `poll` has given counts as done.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let offsets = self.positions_to_commit();
        self.commit_offsets(&offsets).await
    }

    /// Commits these offsets. Errors: the first partition's that was refused; others may have been committed.
    pub async fn commit_offsets(&mut self, offsets: &GroupOffsets) -> Result<(), ClientError> {
        self.last_commit = self.cluster.net().now();
        if offsets.is_empty() {
            return Ok(());
        }
        let group = self.group()?;
        let committer = self.membership.as_ref().map(Membership::committer);
        let answers =
            group_offsets::commit(&self.cluster, &group, committer.as_ref(), offsets).await?;
        for answer in answers.into_values() {
            if let Err(failure) = answer {
                if let Some(membership) = &self.membership {
                    membership.heed(failure.error);
                }
                return Err(ClientError::Refused {
                    api: ApiKey::OffsetCommit,
                    failure,
                });
            }
        }
        Ok(())
    }

    /// What the group has committed for these partitions.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<GroupOffsets, ClientError> {
        group_offsets::fetch(&self.cluster, &self.group()?, Some(partitions), true).await
    }

    /// Generation of the group; −1 outside of one.
    pub fn generation(&self) -> i32 {
        self.membership.as_ref().map_or(-1, Membership::generation)
    }

    /// Member id in the group; empty outside of one.
    pub fn member_id(&self) -> Str {
        self.membership
            .as_ref()
            .map(Membership::member_id)
            .unwrap_or_default()
    }

    /// Commits if that is automatic, and leaves the group.
    pub async fn close(mut self) {
        if self.config.auto_commit.is_some() {
            self.commit_quietly().await;
        }
        if let Some(membership) = &self.membership {
            membership.leave().await;
        }
    }

    fn group(&self) -> Result<Str, ClientError> {
        self.config
            .group_id
            .clone()
            .ok_or_else(|| ClientError::Closed("the consumer has no group id".to_owned()))
    }

    fn positions_to_commit(&self) -> GroupOffsets {
        let positions = self.positions.borrow();
        let committed = positions.assignment().into_iter().filter_map(|place| {
            let (offset, leader_epoch) = positions.position(&place)?;
            Some((
                place,
                CommittedOffset {
                    offset,
                    leader_epoch,
                    metadata: Str::default(),
                },
            ))
        });
        committed.collect()
    }

    async fn commit_if_due(&mut self) {
        let Some(interval) = self
            .config
            .auto_commit
            .filter(|_| self.config.group_id.is_some())
        else {
            return;
        };
        let due = self.cluster.net().now().saturating_sub(self.last_commit) >= interval;
        let outside = self
            .membership
            .as_ref()
            .is_some_and(|membership| !membership.is_stable());
        if due && !outside {
            self.commit_quietly().await;
        }
    }

    /// A commit nobody waits for: what it misses, the next one makes up for.
    async fn commit_quietly(&mut self) {
        if self.config.group_id.is_some()
            && let Err(error) = self.commit().await
        {
            tracing::debug!(%error, "an automatic commit failed");
        }
    }

    /// Joins, or joins again, when the group wants it.
    async fn keep_place(&mut self) -> Result<(), ClientError> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        membership.polled()?;
        if membership.is_stable() {
            return Ok(());
        }
        // The last word on what is given up, while it is still ours.
        if self.config.auto_commit.is_some() && membership.generation() >= 0 {
            self.commit_quietly().await;
        }
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        // Everything is given up before the join (eager rebalancing), so that nobody reads twice.
        self.positions.borrow_mut().assign(BTreeMap::new());
        let partitions = membership.join(&self.subscription).await?;
        tracing::info!(
            generation = membership.generation(),
            partitions = partitions.len(),
            "joined"
        );
        membership.polled()?;
        let assigned = partitions
            .into_iter()
            .map(|place| (place, StartAt::Committed))
            .collect();
        self.positions.borrow_mut().assign(assigned);
        Ok(())
    }

    /// Finds where to begin in partitions that have not begun.
    async fn look_up_starts(&mut self) -> Result<(), ClientError> {
        let unstarted = self.positions.borrow().unstarted();
        if unstarted.is_empty() {
            return Ok(());
        }
        let committed = |start: &StartAt| *start == StartAt::Committed;
        let by_commit: Vec<TopicPartition> = unstarted
            .iter()
            .filter(|(_, start)| committed(start))
            .map(|(place, _)| place.clone())
            .collect();
        let found = if by_commit.is_empty() {
            GroupOffsets::new()
        } else {
            self.committed(&by_commit).await?
        };
        let mut wanted: BTreeMap<TopicPartition, OffsetSpec> = BTreeMap::new();
        for (place, start) in unstarted {
            if let Some(committed) = found.get(&place).filter(|_| committed(&start)) {
                self.positions.borrow_mut().begin_at(
                    &place,
                    committed.offset,
                    committed.leader_epoch,
                );
                continue;
            }
            let start = if committed(&start) {
                let (topic, partition) = (place.0.clone(), place.1);
                self.config
                    .reset
                    .ok_or(ClientError::NoPosition { topic, partition })?
                    .into()
            } else {
                start
            };
            wanted.insert(place, spec_of(start));
        }
        self.begin_at_listed(wanted).await
    }

    async fn begin_at_listed(
        &mut self,
        wanted: BTreeMap<TopicPartition, OffsetSpec>,
    ) -> Result<(), ClientError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut later: BTreeMap<TopicPartition, OffsetSpec> = BTreeMap::new();
        for (place, answer) in self
            .cluster
            .list_offsets(wanted, self.config.isolation)
            .await?
        {
            let listed = answer.map_err(|failure| ClientError::Refused {
                api: ApiKey::ListOffsets,
                failure,
            })?;
            if listed.offset < 0 {
                // No record is as young as that.
                later.insert(place, OffsetSpec::Latest);
            } else {
                self.positions
                    .borrow_mut()
                    .begin_at(&place, listed.offset, -1);
            }
        }
        Box::pin(self.begin_at_listed(later)).await
    }
}

fn spec_of(start: StartAt) -> OffsetSpec {
    match start {
        StartAt::Earliest => OffsetSpec::Earliest,
        StartAt::Latest | StartAt::Offset(_) | StartAt::Committed => OffsetSpec::Latest,
        StartAt::Time(timestamp) => OffsetSpec::AtTime(timestamp),
    }
}
