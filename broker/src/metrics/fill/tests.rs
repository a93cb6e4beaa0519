//! Snapshots as a page shows them: who tells what, and where series end.

use std::sync::Arc;

use ottla_broker_metadata::{Image, Provenance, Replayer};
use ottla_protocol::metadata_records::{PartitionRecord, TopicRecord};

use super::super::gather::Quorum;
use super::super::meters::Meters;
use super::super::page::Dialect;
use super::*;
use crate::config::Roles;
use crate::partition::{LogBounds, PartitionId};

const TOPIC: Uuid = Uuid([7; 16]);

/// Topic `t` with so many partitions on brokers 1 and 2; the even ones are led by 1, and 2 is in no ISR.
fn image(partitions: i32) -> Arc<Image> {
    let mut replayer = Replayer::default();
    let topic = TopicRecord {
        name: "t".into(),
        topic_id: TOPIC,
        ..Default::default()
    };
    replayer.replay(0, &topic.into()).expect("it fits");
    for partition_id in 0..partitions {
        let partition = PartitionRecord {
            topic_id: TOPIC,
            partition_id,
            replicas: vec![1, 2],
            isr: vec![1],
            leader: 1 + partition_id % 2,
            ..Default::default()
        };
        let offset = i64::from(partition_id) + 1;
        replayer.replay(offset, &partition.into()).expect("it fits");
    }
    let published = replayer.publish(Provenance {
        offset: 10,
        epoch: 3,
        timestamp_ms: 4_000,
    });
    Arc::new(published.expect("there is something new").0)
}

/// Broker 1, which has all replicas; each log is at 5..30, committed up to 20.
fn snapshot(partitions: i32) -> Snapshot {
    let image = image(partitions);
    let replica = |index: i32| ReplicaFigures {
        partition: PartitionId {
            topic: TOPIC,
            index,
        },
        leads: index % 2 == 0,
        is_damaged: false,
        log: LogBounds {
            log_start: 5,
            high_watermark: 20,
            log_end: 30,
            bytes: 1000,
        },
    };
    Snapshot {
        node_id: 1,
        roles: Roles {
            broker: true,
            controller: false,
        },
        cluster_id: "cluster".into(),
        now_ms: 5_000,
        quorum: Quorum {
            leader_id: 9,
            epoch: 3,
            high_watermark: 11,
            voters: 1,
        },
        figures: Meters::default().figures(&image),
        image,
        replicas: (0..partitions).map(replica).collect(),
        commits: None,
        groups: Vec::new(),
        directory: "/data".into(),
        health: Health::Serving,
    }
}

/// The samples whose names begin with one of `prefixes`.
fn samples(snapshot: &Snapshot, prefixes: &[&str]) -> Vec<String> {
    let mut page = Page::new(&Dialect::ALL);
    fill(&mut page, snapshot);
    let text = page.finish();
    let wanted = |line: &&str| prefixes.iter().any(|prefix| line.starts_with(prefix));
    text.lines().filter(wanted).map(str::to_owned).collect()
}

#[test]
fn a_partition_is_told_by_its_leader_and_its_log_by_each_replica() {
    let found = samples(
        &snapshot(2),
        &[
            "ottla_partition_log_end",
            "ottla_partition_high",
            "kafka_topic_partition_",
            "ottla_partitions",
        ],
    );
    assert_eq!(
        found,
        [
            "ottla_partitions_led 1",
            "ottla_partitions 2",
            "ottla_partitions_under_replicated 1",
            "ottla_partitions_damaged 0",
            "ottla_partition_log_end_offset{topic=\"t\",partition=\"0\"} 30",
            "ottla_partition_log_end_offset{topic=\"t\",partition=\"1\"} 30",
            "ottla_partition_high_watermark{topic=\"t\",partition=\"0\"} 20",
            "kafka_topic_partition_current_offset{topic=\"t\",partition=\"0\"} 20",
            "kafka_topic_partition_oldest_offset{topic=\"t\",partition=\"0\"} 5",
            "kafka_topic_partition_replicas{topic=\"t\",partition=\"0\"} 2",
            "kafka_topic_partition_in_sync_replica{topic=\"t\",partition=\"0\"} 1",
            "kafka_topic_partition_leader{topic=\"t\",partition=\"0\"} 1",
            "kafka_topic_partition_leader_is_preferred{topic=\"t\",partition=\"0\"} 1",
            "kafka_topic_partition_under_replicated_partition{topic=\"t\",partition=\"0\"} 1",
        ]
    );
}

#[test]
fn a_lag_is_told_only_where_it_is_known() {
    let mut snapshot = snapshot(4);
    let of_topic = |partition: i32, offset: i64| ("t".into(), partition, offset);
    snapshot.groups.push(GroupFigures {
        id: "g".into(),
        state: "Stable",
        members: 2,
        // Of a led partition, of one beyond its end, of one that another broker leads, of a topic that is gone.
        offsets: vec![
            of_topic(0, 12),
            of_topic(2, 25),
            of_topic(3, 1),
            ("gone".into(), 0, 4),
        ],
    });
    let found = samples(
        &snapshot,
        &[
            "ottla_group_lag",
            "ottla_group_topic",
            "kafka_consumergroup_lag",
            "ottla_groups{state=\"S",
        ],
    );
    assert_eq!(
        found,
        [
            "ottla_groups{state=\"Stable\"} 1",
            "ottla_group_lag_records{group=\"g\",topic=\"t\",partition=\"0\"} 8",
            "ottla_group_lag_records{group=\"g\",topic=\"t\",partition=\"2\"} 0",
            "ottla_group_lag_unknown_partitions{group=\"g\"} 2",
            "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 8",
            "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"2\"} 0",
        ]
    );
}

#[test]
fn series_end_and_sums_go_on() {
    let most = PARTITIONS_MAX as i32;
    let snapshot = snapshot(most + 10);
    let logs = samples(&snapshot, &["ottla_partition_log_size_bytes"]);
    assert_eq!(logs.len(), PARTITIONS_MAX);
    let sums = samples(
        &snapshot,
        &["ottla_metrics_partitions_left_out", "ottla_partitions "],
    );
    assert_eq!(
        sums,
        [
            format!("ottla_partitions {}", most + 10),
            "ottla_metrics_partitions_left_out 10".to_owned(),
        ]
    );
}

#[test]
fn the_cluster_is_told_by_the_active_controller() {
    let mut snapshot = snapshot(2);
    let of_cluster = [
        "ottla_controller_active",
        "ottla_cluster_partitions ",
        "kafka_brokers",
    ];
    assert!(samples(&snapshot, &of_cluster).is_empty());
    snapshot.roles.controller = true;
    assert_eq!(
        samples(&snapshot, &of_cluster),
        ["ottla_controller_active 0"]
    );
    snapshot.quorum.leader_id = 1;
    assert_eq!(
        samples(&snapshot, &of_cluster),
        [
            "ottla_controller_active 1",
            "ottla_cluster_partitions 2",
            "kafka_brokers 0"
        ]
    );
}

#[test]
fn metadata_lags_only_while_there_is_more_to_apply() {
    let mut snapshot = snapshot(1);
    let lags = [
        "ottla_metadata_apply",
        "kafka_controller_kafkacontroller_lastappliedrecordlagms",
    ];
    let none = [
        "ottla_metadata_apply_lag_records 0",
        "ottla_metadata_apply_lag_seconds 0",
        "kafka_controller_kafkacontroller_lastappliedrecordlagms 0",
    ];
    assert_eq!(samples(&snapshot, &lags), none);
    snapshot.quorum.high_watermark = 14;
    let some = [
        "ottla_metadata_apply_lag_records 3",
        "ottla_metadata_apply_lag_seconds 1",
        "kafka_controller_kafkacontroller_lastappliedrecordlagms 1000",
    ];
    assert_eq!(samples(&snapshot, &lags), some);
}

#[test]
fn a_dead_or_full_directory_is_told() {
    let mut snapshot = snapshot(1);
    let health = ["ottla_log_directories_offline", "ottla_log_directory_full"];
    for (state, offline, full) in [
        (Health::Serving, 0, 0),
        (Health::Full, 0, 1),
        (Health::Dead("gone".into()), 1, 0),
    ] {
        snapshot.health = state;
        assert_eq!(
            samples(&snapshot, &health),
            [
                format!("ottla_log_directories_offline {offline}"),
                format!("ottla_log_directory_full{{directory=\"/data\"}} {full}"),
            ]
        );
    }
}
