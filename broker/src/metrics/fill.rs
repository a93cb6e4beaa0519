//! From a snapshot to the samples of a page. Runs on the listener's thread: it may walk over all topics.
//!
//! Invariant: nothing is told twice by a cluster: a partition by its leader, a group by its coordinator, the cluster
//! as a whole by the active controller. Series per partition end at [`PARTITIONS_MAX`], and the page says how many are
//! left out; sums and lags know of all. Not here: gathering, text.

use std::collections::{BTreeMap, HashMap};

use ottla_broker_group::GroupFigures;
use ottla_broker_metadata::{NO_LEADER, PartitionRef};
use ottla_broker_storage::Health;
use ottla_protocol::Uuid;

use super::gather::Snapshot;
use super::meters::{Connections, Traffic};
use super::page::Page;
use super::table::Metric::{self, *};
use crate::controller::{METADATA_PARTITION, METADATA_TOPIC};
use crate::partition::ReplicaFigures;

/// Replicas with series of their own: some 2.5 MB of text in all dialects.
pub(super) const PARTITIONS_MAX: usize = 2_000;

/// Puts everything on the page.
pub fn fill(page: &mut Page, snapshot: &Snapshot) {
    node(page, snapshot);
    traffic(page, snapshot);
    requests(page, snapshot);
    if snapshot.roles.broker {
        partitions(page, snapshot);
        groups(page, snapshot);
    }
    storage(page, snapshot);
    if snapshot.roles.controller {
        let is_active = snapshot.quorum.leader_id == snapshot.node_id;
        page.put(ControllerActive, &[], is_active);
        if is_active {
            cluster(page, snapshot);
        }
    }
    metadata(page, snapshot);
}

fn node(page: &mut Page, snapshot: &Snapshot) {
    page.put(BuildInfo, &[&env!("CARGO_PKG_VERSION")], 1u32);
    let roles = [
        (snapshot.roles.broker, "broker"),
        (snapshot.roles.controller, "controller"),
    ];
    let roles: Vec<&str> = roles
        .into_iter()
        .filter_map(|(has, role)| has.then_some(role))
        .collect();
    let labels: [&dyn std::fmt::Display; 3] =
        [&snapshot.node_id, &snapshot.cluster_id, &roles.join(",")];
    page.put(NodeInfo, &labels, 1u32);
}

// ---- what clients do

fn traffic(page: &mut Page, snapshot: &Snapshot) {
    if snapshot.roles.broker {
        for (metric, value) in all_topics(&snapshot.figures.all_topics) {
            page.put(metric, &[], value);
        }
    }
    for (id, traffic) in &snapshot.figures.topics {
        let Some(topic) = snapshot.image.topic_by_id(id) else {
            continue;
        };
        for (metric, value) in one_topic(traffic) {
            page.put(metric, &[&topic.name], value);
        }
    }
}

fn all_topics(traffic: &Traffic) -> [(Metric, u64); 8] {
    [
        (AllBytesIn, traffic.bytes_in),
        (AllBytesOut, traffic.bytes_out),
        (AllRecordsIn, traffic.records_in),
        (AllRecordsOut, traffic.records_out),
        (AllProduces, traffic.produce_requests),
        (AllProduceErrors, traffic.produce_errors),
        (AllFetches, traffic.fetch_requests),
        (AllFetchErrors, traffic.fetch_errors),
    ]
}

fn one_topic(traffic: &Traffic) -> [(Metric, u64); 8] {
    [
        (TopicBytesIn, traffic.bytes_in),
        (TopicBytesOut, traffic.bytes_out),
        (TopicRecordsIn, traffic.records_in),
        (TopicRecordsOut, traffic.records_out),
        (TopicProduces, traffic.produce_requests),
        (TopicProduceErrors, traffic.produce_errors),
        (TopicFetches, traffic.fetch_requests),
        (TopicFetchErrors, traffic.fetch_errors),
    ]
}

fn requests(page: &mut Page, snapshot: &Snapshot) {
    for (key, api) in &snapshot.figures.apis {
        let name = key.name();
        page.put(Requests, &[&name], api.requests);
        page.put(RequestBytes, &[&name], api.request_bytes);
        page.put(ResponseBytes, &[&name], api.response_bytes);
        page.put_tally(RequestSeconds, &[&name], &api.latency, 1e-9);
    }
    for (key, code, count) in &snapshot.figures.errors {
        page.put(RequestErrors, &[&key.name(), code], *count);
    }
    for (name, connections) in &snapshot.figures.listeners {
        let Connections {
            accepted,
            closed,
            refused,
            broken,
        } = *connections;
        page.put(ConnectionsOpen, &[name], accepted - closed);
        page.put(ConnectionsAccepted, &[name], accepted);
        page.put(ConnectionsRefused, &[name], refused);
        page.put(ConnectionsBroken, &[name], broken);
    }
}

// ---- partitions

fn partitions(page: &mut Page, snapshot: &Snapshot) {
    let of_topics = snapshot
        .replicas
        .iter()
        .filter(|replica| replica.partition != METADATA_PARTITION);
    let led = of_topics.clone().filter(|replica| replica.leads);
    let states = led.clone().filter_map(|replica| state(snapshot, replica));
    let under_replicated = states.filter(is_under_replicated).count();
    let damaged = of_topics.clone().filter(|replica| replica.is_damaged);
    page.put(PartitionsLed, &[], led.count());
    page.put(PartitionsHere, &[], of_topics.clone().count());
    page.put(UnderReplicated, &[], under_replicated);
    page.put(PartitionsDamaged, &[], damaged.count());
    let left_out = of_topics.clone().count().saturating_sub(PARTITIONS_MAX);
    page.put(PartitionSeriesLeftOut, &[], left_out);
    for replica in of_topics.take(PARTITIONS_MAX) {
        let id = &replica.partition;
        if let Some(topic) = snapshot.image.topic_by_id(&id.topic) {
            log(page, replica, &topic.name);
            if let Some(state) = state(snapshot, replica).filter(|_| replica.leads) {
                led_partition(page, replica, &topic.name, state);
            }
        }
    }
}

fn state<'a>(snapshot: &'a Snapshot, replica: &ReplicaFigures) -> Option<PartitionRef<'a>> {
    let id = &replica.partition;
    snapshot.image.partition_by_id(&id.topic, id.index)
}

fn is_under_replicated(state: &PartitionRef<'_>) -> bool {
    state.isr.len() < state.replicas.len()
}

fn log(page: &mut Page, replica: &ReplicaFigures, topic: &str) {
    let labels: [&dyn std::fmt::Display; 2] = [&topic, &replica.partition.index];
    page.put(LogSize, &labels, replica.log.bytes);
    page.put(LogStart, &labels, replica.log.log_start);
    page.put(LogEnd, &labels, replica.log.log_end);
}

fn led_partition(page: &mut Page, replica: &ReplicaFigures, topic: &str, state: PartitionRef<'_>) {
    let labels: [&dyn std::fmt::Display; 2] = [&topic, &replica.partition.index];
    page.put(HighWatermark, &labels, replica.log.high_watermark);
    page.put(OldestOffset, &labels, replica.log.log_start);
    page.put(Replicas, &labels, state.replicas.len());
    page.put(InSyncReplicas, &labels, state.isr.len());
    page.put(LeaderId, &labels, state.leader);
    page.put(LeaderPreferred, &labels, state.has_preferred_leader());
    page.put(IsUnderReplicated, &labels, is_under_replicated(&state));
}

fn storage(page: &mut Page, snapshot: &Snapshot) {
    if let Some(metadata) = snapshot
        .replicas
        .iter()
        .find(|replica| replica.partition == METADATA_PARTITION)
    {
        log(page, metadata, METADATA_TOPIC);
        page.put(QuorumLogEnd, &[], metadata.log.log_end);
    }
    let directory = snapshot.directory.display();
    let is_full = matches!(snapshot.health, Health::Full);
    page.put(LogDirsOffline, &[], snapshot.health.is_dead());
    page.put(LogDirFull, &[&directory], is_full);
    if let Some(commits) = &snapshot.commits {
        page.put(CommitLogBytes, &[], commits.log_bytes);
        page.put(CommitLogUsed, &[], commits.used_bytes);
        page.put_tally(GroupCommitBytes, &[], &commits.group_bytes, 1.0);
        page.put_tally(GroupCommitLogs, &[], &commits.group_logs, 1.0);
    }
}

// ---- groups

/// The states of groups here, each with its row in a dialect that has one metric per state.
const STATES: [(&str, Metric); 4] = [
    ("Empty", GroupsEmpty),
    ("Stable", GroupsStable),
    ("PreparingRebalance", GroupsPreparing),
    ("CompletingRebalance", GroupsCompleting),
];

fn groups(page: &mut Page, snapshot: &Snapshot) {
    page.put(GroupsAll, &[], snapshot.groups.len());
    for (state, metric) in STATES {
        let in_state = snapshot.groups.iter().filter(|group| group.state == state);
        let count = in_state.count();
        page.put(Groups, &[&state], count);
        page.put(metric, &[], count);
    }
    let led = snapshot.replicas.iter().filter(|replica| replica.leads);
    let ends: HashMap<(Uuid, i32), i64> = led
        .map(|replica| {
            let id = &replica.partition;
            ((id.topic, id.index), replica.log.high_watermark)
        })
        .collect();
    for group in &snapshot.groups {
        page.put(GroupMembers, &[&group.id], group.members);
        let end_of = |topic: &str, index| {
            let topic = snapshot.image.topic(topic)?;
            ends.get(&(topic.id, index)).copied()
        };
        offsets(page, group, end_of);
    }
}

/// What is known of a group's offsets in one topic.
#[derive(Default)]
struct OfTopic {
    offsets: i64,
    lag: i64,
    unknown: usize,
}

fn offsets(page: &mut Page, group: &GroupFigures, end_of: impl Fn(&str, i32) -> Option<i64>) {
    let mut topics: BTreeMap<&str, OfTopic> = BTreeMap::new();
    for (topic, partition, offset) in &group.offsets {
        let of_topic = topics.entry(topic).or_default();
        of_topic.offsets += offset;
        page.put(GroupOffset, &[&group.id, topic, partition], *offset);
        match end_of(topic, *partition) {
            Some(end) => {
                // A group may have committed beyond the end: of a log that was made anew, for example.
                let lag = (end - offset).max(0);
                of_topic.lag += lag;
                page.put(GroupLag, &[&group.id, topic, partition], lag);
            }
            None => of_topic.unknown += 1,
        }
    }
    for (topic, of_topic) in &topics {
        page.put(GroupOffsetSum, &[&group.id, topic], of_topic.offsets);
        if of_topic.unknown == 0 {
            page.put(GroupLagSum, &[&group.id, topic], of_topic.lag);
        }
    }
    let unknown: usize = topics.values().map(|of_topic| of_topic.unknown).sum();
    page.put(GroupLagUnknown, &[&group.id], unknown);
}

// ---- the cluster and its metadata

fn cluster(page: &mut Page, snapshot: &Snapshot) {
    let image = &snapshot.image;
    let brokers = image.cluster.brokers.values();
    let fenced = brokers.filter(|broker| broker.fenced).count();
    page.put(BrokersFenced, &[], fenced);
    page.put(BrokersActive, &[], image.cluster.brokers.len() - fenced);
    let (mut partitions, mut offline, mut not_preferred) = (0usize, 0usize, 0usize);
    for topic in image.topics.iter() {
        partitions += topic.partitions.len();
        for (_, state) in topic.partitions.iter() {
            offline += usize::from(state.leader == NO_LEADER);
            not_preferred += usize::from(!state.has_preferred_leader());
        }
    }
    page.put(ClusterTopics, &[], image.topics.len());
    page.put(ClusterPartitions, &[], partitions);
    page.put(PartitionsOffline, &[], offline);
    page.put(NotPreferred, &[], not_preferred);
    for topic in image.topics.iter().take(PARTITIONS_MAX) {
        page.put(TopicPartitions, &[&topic.name], topic.partitions.len());
    }
}

fn metadata(page: &mut Page, snapshot: &Snapshot) {
    let (quorum, applied) = (&snapshot.quorum, &snapshot.image.provenance);
    // Control records of an epoch's beginning are committed and change no image.
    let behind = (quorum.high_watermark - 1 - applied.offset).max(0);
    let age_ms = match behind {
        0 => 0,
        _ => (snapshot.now_ms - applied.timestamp_ms).max(0),
    };
    page.put(ImageOffset, &[], applied.offset);
    page.put(ApplyLagRecords, &[], behind);
    page.put(ApplyLagSeconds, &[], age_ms as f64 / 1000.0);
    page.put(QuorumLeader, &[], quorum.leader_id);
    page.put(QuorumEpoch, &[], quorum.epoch);
    page.put(QuorumHighWatermark, &[], quorum.high_watermark);
    page.put(QuorumVoters, &[], quorum.voters);
}

#[cfg(test)]
mod tests;
