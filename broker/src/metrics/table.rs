//! Every metric as one row: what it is called in each dialect, its type and its labels. The page, the reference
//! (docs/metrics.md) and the tests read this table and nothing else names a metric.
//!
//! Native names are Prometheus's manner: base units, `_total` on what only grows. `strimzi` is what Strimzi's JMX
//! rules make of Apache Kafka's MBeans, `exporter` what kafka_exporter calls it: the names that dashboards and alert
//! rules in use ask for. A dialect has a name only for what is told in it with the same meaning.

/// What Prometheus is told a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; starts anew with the process.
    Counter,
    /// A value as of now.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// A name in another dialect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// Labels, in the order of the row's own.
    pub labels: &'static [&'static str],
    /// The value there is the native one times this.
    pub scale: f64,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Ours; `None` for a number that only another dialect has a use for.
    pub native: Option<&'static str>,
    /// Type.
    pub kind: Kind,
    /// Labels of the native name.
    pub labels: &'static [&'static str],
    /// In the dialect of Strimzi's JMX rules.
    pub strimzi: Option<Alias>,
    /// In kafka_exporter's dialect.
    pub exporter: Option<Alias>,
    /// One sentence.
    pub help: &'static str,
}

macro_rules! native {
    (-) => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

macro_rules! alias {
    () => {
        None
    };
    ($name:literal [$($label:literal)*]) => {
        Some(Alias { name: $name, labels: &[$($label),*], scale: 1.0 })
    };
    ($name:literal [$($label:literal)*] times $scale:literal) => {
        Some(Alias { name: $name, labels: &[$($label),*], scale: $scale })
    };
}

macro_rules! rows {
    ($(
        $metric:ident $kind:ident $native:tt [$($label:literal)*]
        $(strimzi($($strimzi:tt)*))? $(exporter($($exporter:tt)*))? $help:literal;
    )*) => {
        /// A row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        /// All rows, in the order of the page.
        pub const ROWS: &[Row] = &[$(Row {
            native: native!($native),
            kind: Kind::$kind,
            labels: &[$($label),*],
            strimzi: alias!($($($strimzi)*)?),
            exporter: alias!($($($exporter)*)?),
            help: $help,
        },)*];
    };
}

impl Metric {
    /// Its row.
    pub const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

rows! {
    BuildInfo         Gauge     "ottla_build_info" ["version"] "The version that runs; always 1.";
    NodeInfo          Gauge     "ottla_node_info" ["node_id" "cluster_id" "roles"] "Who this process is; always 1.";
    BrokerReady       Gauge     "ottla_broker_ready" [] "1 while /readyz says ok.";

    AllBytesIn        Counter   "ottla_broker_bytes_in_total" [] strimzi("kafka_server_brokertopicmetrics_bytesin_total" []) "Bytes of record batches that clients appended, all topics together, as stored.";
    AllBytesOut       Counter   "ottla_broker_bytes_out_total" [] strimzi("kafka_server_brokertopicmetrics_bytesout_total" []) "Bytes of record batches sent to consumers, all topics together.";
    AllRecordsIn      Counter   "ottla_broker_records_in_total" [] strimzi("kafka_server_brokertopicmetrics_messagesin_total" []) "Records that clients appended, all topics together.";
    AllRecordsOut     Counter   "ottla_broker_records_out_total" [] "Records sent to consumers, all topics together, counted by whole batches.";
    AllProduces       Counter   "ottla_broker_produce_requests_total" [] strimzi("kafka_server_brokertopicmetrics_totalproducerequests_total" []) "Partitions in Produce requests, all topics together: a request for three partitions counts three times, as in Kafka.";
    AllProduceErrors  Counter   "ottla_broker_produce_errors_total" [] strimzi("kafka_server_brokertopicmetrics_failedproducerequests_total" []) "Those of them that were refused.";
    AllFetches        Counter   "ottla_broker_fetch_requests_total" [] strimzi("kafka_server_brokertopicmetrics_totalfetchrequests_total" []) "Partitions in Fetch requests, all topics together.";
    AllFetchErrors    Counter   "ottla_broker_fetch_errors_total" [] strimzi("kafka_server_brokertopicmetrics_failedfetchrequests_total" []) "Those of them that were refused.";

    TopicBytesIn      Counter   "ottla_topic_bytes_in_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_bytesin_total" ["topic"]) "Bytes of record batches that clients appended, as stored.";
    TopicBytesOut     Counter   "ottla_topic_bytes_out_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_bytesout_total" ["topic"]) "Bytes of record batches sent to consumers.";
    TopicRecordsIn    Counter   "ottla_topic_records_in_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_messagesin_total" ["topic"]) "Records that clients appended.";
    TopicRecordsOut   Counter   "ottla_topic_records_out_total" ["topic"] "Records sent to consumers, counted by whole batches.";
    TopicProduces     Counter   "ottla_topic_produce_requests_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_totalproducerequests_total" ["topic"]) "Partitions of the topic in Produce requests.";
    TopicProduceErrors Counter  "ottla_topic_produce_errors_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_failedproducerequests_total" ["topic"]) "Those of them that were refused.";
    TopicFetches      Counter   "ottla_topic_fetch_requests_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_totalfetchrequests_total" ["topic"]) "Partitions of the topic in Fetch requests.";
    TopicFetchErrors  Counter   "ottla_topic_fetch_errors_total" ["topic"] strimzi("kafka_server_brokertopicmetrics_failedfetchrequests_total" ["topic"]) "Those of them that were refused.";

    Requests          Counter   "ottla_requests_total" ["api"] strimzi("kafka_network_requestmetrics_requestspersec" ["request"]) "Requests that were started.";
    RequestErrors     Counter   "ottla_request_errors_total" ["api" "error"] strimzi("kafka_network_requestmetrics_errorspersec" ["request" "error"]) "Errors in the answers to Produce and Fetch, one per partition that was refused. Other APIs are not counted yet.";
    RequestBytes      Counter   "ottla_request_bytes_total" ["api"] "Bytes of requests.";
    ResponseBytes     Counter   "ottla_response_bytes_total" ["api"] "Bytes of answers.";
    RequestSeconds    Histogram "ottla_request_seconds" ["api"] "From the arrival of a request to its answer: for Produce with its flush, for Fetch with the wait that the consumer asked for.";

    ConnectionsOpen   Gauge     "ottla_connections" ["listener"] strimzi("kafka_server_socket_server_metrics_connection_count" ["listener"]) "Open connections.";
    ConnectionsAccepted Counter "ottla_connections_accepted_total" ["listener"] "Connections that were let in.";
    ConnectionsRefused Counter  "ottla_connections_refused_total" ["listener"] "Connections turned away because of max.connections.";
    ConnectionsBroken Counter   "ottla_connections_broken_total" ["listener"] "Connections closed because what came could not be read as a request.";

    PartitionsLed     Gauge     "ottla_partitions_led" [] strimzi("kafka_server_replicamanager_leadercount" []) "Partitions that this broker leads.";
    PartitionsHere    Gauge     "ottla_partitions" [] strimzi("kafka_server_replicamanager_partitioncount" []) "Partitions with a replica here.";
    UnderReplicated   Gauge     "ottla_partitions_under_replicated" [] strimzi("kafka_server_replicamanager_underreplicatedpartitions" []) "Partitions led here with fewer replicas in sync than they have.";
    PartitionsDamaged Gauge     "ottla_partitions_damaged" [] "Replicas here whose log is damaged, so that they refuse to lead.";
    PartitionSeriesLeftOut Gauge "ottla_metrics_partitions_left_out" [] "Replicas here that have no series of their own on this page because there are too many.";

    LogSize           Gauge     "ottla_partition_log_size_bytes" ["topic" "partition"] strimzi("kafka_log_log_size" ["topic" "partition"]) "Bytes of the log's segments.";
    LogStart          Gauge     "ottla_partition_log_start_offset" ["topic" "partition"] strimzi("kafka_log_log_logstartoffset" ["topic" "partition"]) "First offset of the log.";
    LogEnd            Gauge     "ottla_partition_log_end_offset" ["topic" "partition"] strimzi("kafka_log_log_logendoffset" ["topic" "partition"]) "Offset of the next record.";
    HighWatermark     Gauge     "ottla_partition_high_watermark" ["topic" "partition"] exporter("kafka_topic_partition_current_offset" ["topic" "partition"]) "Everything below is committed; told by the leader.";
    OldestOffset      Gauge     - ["topic" "partition"] exporter("kafka_topic_partition_oldest_offset" ["topic" "partition"]) "First offset of the log, told by the leader.";
    Replicas          Gauge     "ottla_partition_replicas" ["topic" "partition"] strimzi("kafka_cluster_partition_replicascount" ["topic" "partition"]) exporter("kafka_topic_partition_replicas" ["topic" "partition"]) "Replicas of the partition; told by the leader.";
    InSyncReplicas    Gauge     "ottla_partition_in_sync_replicas" ["topic" "partition"] strimzi("kafka_cluster_partition_insyncreplicascount" ["topic" "partition"]) exporter("kafka_topic_partition_in_sync_replica" ["topic" "partition"]) "Replicas in sync; told by the leader.";
    LeaderId          Gauge     - ["topic" "partition"] exporter("kafka_topic_partition_leader" ["topic" "partition"]) "Id of the leader, told by itself.";
    LeaderPreferred   Gauge     - ["topic" "partition"] exporter("kafka_topic_partition_leader_is_preferred" ["topic" "partition"]) "1 if the leader is the first replica, told by the leader.";
    IsUnderReplicated Gauge     - ["topic" "partition"] exporter("kafka_topic_partition_under_replicated_partition" ["topic" "partition"]) "1 if a replica is not in sync, told by the leader.";

    LogDirsOffline    Gauge     "ottla_log_directories_offline" [] strimzi("kafka_log_logmanager_offlinelogdirectorycount" []) "Log directories out of use because their disk failed.";
    LogDirFull        Gauge     "ottla_log_directory_full" ["directory"] "1 while appends wait because there is too little space.";
    LogDirFree        Gauge     "ottla_log_directory_free_bytes" ["directory"] "Bytes that are free on the log directory's file system.";
    LogDirTotal       Gauge     "ottla_log_directory_file_system_bytes" ["directory"] "Bytes of the log directory's file system.";
    CommitLogBytes    Gauge     "ottla_commit_log_bytes" [] "Bytes of the commit log's files.";
    CommitLogUsed     Gauge     "ottla_commit_log_used_bytes" [] "Bytes of the commit log that no checkpoint has released.";
    GroupCommitBytes  Histogram "ottla_group_commit_bytes" [] "Bytes of each group commit.";
    GroupCommitLogs   Histogram "ottla_group_commit_logs" [] "Logs that each group commit made durable together.";
    SyncSeconds       Histogram "ottla_disk_sync_seconds" [] "How long each fdatasync took, of commit log, segments and small files.";

    Groups            Gauge     "ottla_groups" ["state"] "Consumer groups coordinated here, by state.";
    GroupsAll         Gauge     - [] strimzi("kafka_coordinator_group_groupmetadatamanager_numgroups" []) "Consumer groups coordinated here.";
    GroupsEmpty       Gauge     - [] strimzi("kafka_coordinator_group_groupmetadatamanager_numgroupsempty" []) "Those in state Empty.";
    GroupsStable      Gauge     - [] strimzi("kafka_coordinator_group_groupmetadatamanager_numgroupsstable" []) "Those in state Stable.";
    GroupsPreparing   Gauge     - [] strimzi("kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance" []) "Those in state PreparingRebalance.";
    GroupsCompleting  Gauge     - [] strimzi("kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance" []) "Those in state CompletingRebalance.";
    GroupMembers      Gauge     "ottla_group_members" ["group"] exporter("kafka_consumergroup_members" ["consumergroup"]) "Members of the group.";
    GroupOffset       Gauge     "ottla_group_committed_offset" ["group" "topic" "partition"] exporter("kafka_consumergroup_current_offset" ["consumergroup" "topic" "partition"]) "Offset that the group has committed.";
    GroupOffsetSum    Gauge     - ["group" "topic"] exporter("kafka_consumergroup_current_offset_sum" ["consumergroup" "topic"]) "Sum of the offsets that the group has committed.";
    GroupLag          Gauge     "ottla_group_lag_records" ["group" "topic" "partition"] exporter("kafka_consumergroup_lag" ["consumergroup" "topic" "partition"]) "Offsets from the committed one to the high watermark, where both are known to the group's coordinator: for partitions that its broker leads.";
    GroupLagSum       Gauge     "ottla_group_topic_lag_records" ["group" "topic"] exporter("kafka_consumergroup_lag_sum" ["consumergroup" "topic"]) "Their sum over the topic; told when it is known for every partition with a committed offset.";
    GroupLagUnknown   Gauge     "ottla_group_lag_unknown_partitions" ["group"] "Partitions with a committed offset whose lag this broker does not know, since another one leads them.";

    ControllerActive  Gauge     "ottla_controller_active" [] strimzi("kafka_controller_kafkacontroller_activecontrollercount" []) "1 on the controller that leads the quorum, 0 on the others.";
    BrokersActive     Gauge     "ottla_cluster_brokers_active" [] strimzi("kafka_controller_kafkacontroller_activebrokercount" []) exporter("kafka_brokers" []) "Registered brokers that are not fenced; told by the active controller.";
    BrokersFenced     Gauge     "ottla_cluster_brokers_fenced" [] strimzi("kafka_controller_kafkacontroller_fencedbrokercount" []) "Registered brokers that are fenced; told by the active controller.";
    ClusterTopics     Gauge     "ottla_cluster_topics" [] strimzi("kafka_controller_kafkacontroller_globaltopiccount" []) "Topics; told by the active controller.";
    ClusterPartitions Gauge     "ottla_cluster_partitions" [] strimzi("kafka_controller_kafkacontroller_globalpartitioncount" []) "Partitions of all topics; told by the active controller.";
    PartitionsOffline Gauge     "ottla_cluster_partitions_offline" [] strimzi("kafka_controller_kafkacontroller_offlinepartitionscount" []) "Partitions without a leader; told by the active controller.";
    NotPreferred      Gauge     "ottla_cluster_partitions_not_preferred" [] strimzi("kafka_controller_kafkacontroller_preferredreplicaimbalancecount" []) "Partitions whose leader is not their first replica; told by the active controller.";
    TopicPartitions   Gauge     "ottla_topic_partitions" ["topic"] exporter("kafka_topic_partitions" ["topic"]) "Partitions of the topic; told by the active controller.";

    ImageOffset       Gauge     "ottla_metadata_image_offset" [] strimzi("kafka_controller_kafkacontroller_lastappliedrecordoffset" []) "Offset of the last metadata record that this process has applied.";
    ApplyLagRecords   Gauge     "ottla_metadata_apply_lag_records" [] "Committed metadata records that this process has heard of and not applied.";
    ApplyLagSeconds   Gauge     "ottla_metadata_apply_lag_seconds" [] strimzi("kafka_controller_kafkacontroller_lastappliedrecordlagms" [] times 1000.0) "Age of the last applied metadata record while there are others to apply; 0 when there are none.";
    QuorumLeader      Gauge     "ottla_quorum_leader_id" [] strimzi("kafka_server_raftmetrics_current_leader" []) "Id of the controller that leads the quorum; -1 if unknown.";
    QuorumEpoch       Gauge     "ottla_quorum_epoch" [] strimzi("kafka_server_raftmetrics_current_epoch" []) "Epoch of the quorum.";
    QuorumHighWatermark Gauge   "ottla_quorum_high_watermark" [] strimzi("kafka_server_raftmetrics_high_watermark" []) "Everything below is committed in the metadata log, as far as this process has heard.";
    QuorumLogEnd      Gauge     "ottla_quorum_log_end_offset" [] strimzi("kafka_server_raftmetrics_log_end_offset" []) "Offset of the next record in this process's copy of the metadata log.";
    QuorumVoters      Gauge     "ottla_quorum_voters" [] "Controllers that vote.";

    CpuSeconds        Counter   "process_cpu_seconds_total" [] "Processor time of this process, user and system.";
    ResidentBytes     Gauge     "process_resident_memory_bytes" [] "Memory of this process that is resident.";
    VirtualBytes      Gauge     "process_virtual_memory_bytes" [] "Address space of this process.";
    OpenFds           Gauge     "process_open_fds" [] "Open file descriptors.";
    MaxFds            Gauge     "process_max_fds" [] "Most file descriptors that may be open.";
    StartTime         Gauge     "process_start_time_seconds" [] "When this process started, in seconds since the epoch.";
    ScrapeSeconds     Gauge     "ottla_metrics_gather_seconds" [] "How long it took to gather this page.";
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn native_names_keep_to_prometheus_conventions() {
        let mut seen = BTreeSet::new();
        for row in ROWS {
            assert!(row.help.ends_with('.'), "{}", row.help);
            let Some(name) = row.native else {
                assert!(row.strimzi.is_some() || row.exporter.is_some(), "{row:?}");
                continue;
            };
            assert!(seen.insert(name), "{name} stands twice");
            assert!(
                name.starts_with("ottla_") || name.starts_with("process_"),
                "{name}"
            );
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(is_name), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                row.kind == Kind::Counter,
                "{name}"
            );
            for not_a_unit in ["_ms", "_percent", "_kb", "_mb", "_count", "_sum", "_bucket"] {
                assert!(!name.ends_with(not_a_unit), "{name}");
            }
        }
    }

    /// Rows that share a name in a dialect are one metric there: same type, told apart by labels.
    #[test]
    fn names_that_are_shared_in_a_dialect_fit_together() {
        for dialect in [|row: &Row| row.strimzi, |row: &Row| row.exporter] {
            let mut known: BTreeMap<&str, (Kind, Vec<&[&str]>)> = BTreeMap::new();
            for row in ROWS {
                let Some(alias) = dialect(row) else { continue };
                assert_eq!(alias.labels.len(), row.labels.len(), "{}", alias.name);
                assert!(row.kind != Kind::Histogram, "{}", alias.name);
                let (kind, labels) = known.entry(alias.name).or_insert((row.kind, Vec::new()));
                assert_eq!(*kind, row.kind, "{}", alias.name);
                assert!(
                    !labels.contains(&alias.labels),
                    "{} twice alike",
                    alias.name
                );
                labels.push(alias.labels);
            }
        }
    }
}
