//! Tests of `layers`, and of `describe` and `topic`, which show the same resolution.

use expect_test::{Expect, expect};

use super::*;
use crate::key;
use crate::topic::{CleanupPolicy, CompressionType, Durability, TopicConfig};

fn overrides(pairs: &[(&str, &str)]) -> Overrides {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn layers(file: &[(&str, &str)], cluster: &[(&str, &str)], broker: &[(&str, &str)]) -> Layers {
    Layers {
        broker: overrides(broker),
        cluster: overrides(cluster),
        file: overrides(file),
    }
}

/// What a topic says of `name` under these layers.
fn check(layers: &Layers, own: &[(&str, &str)], name: &str, expect: Expect) {
    let entries = layers.describe_topic(&overrides(own));
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    let synonyms: Vec<_> = entry
        .synonyms
        .iter()
        .map(|s| {
            format!(
                "  {:?} {}={}",
                s.source,
                s.name,
                s.value.as_deref().unwrap_or("-")
            )
        })
        .collect();
    let value = entry.value.as_deref().unwrap_or("-");
    expect.assert_eq(&format!(
        "{value} ({})\n{}",
        entry.source.wire_code(),
        synonyms.join("\n")
    ));
}

#[test]
fn topic_over_broker_over_cluster_over_file_over_default() {
    let all = layers(
        &[("log.retention.ms", "4")],
        &[("log.retention.ms", "3")],
        &[("log.retention.ms", "2")],
    );
    check(
        &all,
        &[("retention.ms", "1")],
        "retention.ms",
        expect![[r#"
            1 (1)
              Topic retention.ms=1
              Broker log.retention.ms=2
              Cluster log.retention.ms=3
              File log.retention.ms=4
              Default log.retention.hours=168"#]],
    );
    check(
        &Layers::default(),
        &[],
        "retention.ms",
        expect![[r#"
            604800000 (5)
              Default log.retention.hours=168"#]],
    );
    check(
        &layers(
            &[("log.retention.hours", "1"), ("log.retention.minutes", "2")],
            &[],
            &[],
        ),
        &[],
        "retention.ms",
        expect![[r#"
            120000 (4)
              File log.retention.minutes=2
              File log.retention.hours=1
              Default log.retention.hours=168"#]],
    );
    check(
        &layers(&[("log.retention.hours", "-1")], &[], &[]),
        &[],
        "retention.ms",
        expect![[r#"
            -1 (4)
              File log.retention.hours=-1
              Default log.retention.hours=168"#]],
    );
    check(
        &Layers::default(),
        &[],
        "remote.storage.enable",
        expect![[r#"
        false (5)
          Default remote.storage.enable=false"#]],
    );
}

#[test]
fn what_cannot_be_a_value_is_passed_over() {
    let layers = layers(
        &[("num.partitions", "5")],
        &[("num.partitions", "many")],
        &[("num.partitions", "0")],
    );
    assert_eq!(layers.get(key::NUM_PARTITIONS), 5);
}

#[test]
fn coarser_keys_stand_in() {
    assert_eq!(Layers::default().get(key::LOG_RETENTION_MS), 604_800_000);
    assert_eq!(
        layers(&[("log.roll.hours", "2")], &[], &[]).get(key::LOG_ROLL_MS),
        7_200_000
    );
    assert_eq!(
        layers(&[("log.retention.hours", "2147483647")], &[], &[]).get(key::LOG_RETENTION_MS),
        2_147_483_647 * 3_600_000
    );
}

#[test]
fn a_topic_becomes_typed() {
    let own = overrides(&[
        ("cleanup.policy", "compact, delete"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "9"),
        ("retention.ms", "-1"),
        ("retention.bytes", "1000"),
        ("ottla.durability", "fsync"),
        ("message.timestamp.type", "LogAppendTime"),
        ("internal.segment.bytes", "5000"),
    ]);
    let topic = TopicConfig::new(&layers(&[("message.max.bytes", "77")], &[], &[]), &own);
    assert_eq!(
        topic.cleanup,
        CleanupPolicy {
            delete: true,
            compact: true
        }
    );
    assert_eq!(topic.compression, CompressionType::Zstd(9));
    assert_eq!(
        (
            topic.retention_ms,
            topic.retention_bytes,
            topic.max_message_bytes
        ),
        (None, Some(1000), 77)
    );
    assert_eq!(
        (
            topic.durability,
            topic.timestamps_at_append,
            topic.segment_bytes
        ),
        (Durability::Fsync, true, 5000)
    );

    let plain = TopicConfig::new(&Layers::default(), &Overrides::new());
    assert_eq!(
        plain.cleanup,
        CleanupPolicy {
            delete: true,
            compact: false
        }
    );
    assert_eq!(
        (plain.compression, plain.durability),
        (CompressionType::Producer, Durability::Fsync)
    );
    assert_eq!(
        (
            plain.retention_ms,
            plain.retention_bytes,
            plain.segment_bytes
        ),
        (Some(604_800_000), None, 1 << 30)
    );
    let row =
        crate::table::find(crate::table::Scope::Topic, "ottla.durability").expect("it is a row");
    assert!(crate::check::check(row, "page-cache").is_ok());
    assert!(crate::check::check(row, "none").is_err());
}

#[test]
fn brokers_show_secrets_to_nobody() {
    // A peer that serves TLS may have stored one.
    let layers = layers(
        &[("ssl.key.password", "canary"), ("num.partitions", "3")],
        &[("min.insync.replicas", "2")],
        &[],
    );
    let entries = layers.describe_broker();
    assert!(!format!("{entries:?} {layers:?}").contains("canary"));
    let entry = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
    assert!(entry("ssl.key.password").secret && entry("ssl.key.password").value.is_none());
    assert_eq!(
        (
            entry("num.partitions").value.as_deref(),
            entry("num.partitions").read_only
        ),
        (Some("3"), true)
    );
    assert_eq!(
        (
            entry("min.insync.replicas").source,
            entry("min.insync.replicas").read_only
        ),
        (Source::Cluster, false)
    );
    assert_eq!(
        entry("log.retention.ms").value.as_deref(),
        Some("604800000")
    );
    assert_eq!(entry("advertised.listeners").value, None);
    assert_eq!(
        layers
            .describe_cluster()
            .iter()
            .map(|entry| entry.name)
            .collect::<Vec<_>>(),
        ["min.insync.replicas"]
    );
}

#[test]
fn groups_stand_on_the_broker() {
    let layers = layers(&[("group.share.session.timeout.ms", "50000")], &[], &[]);
    let entries = layers.describe_group(&overrides(&[("consumer.session.timeout.ms", "46000")]));
    let value = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        (entry.value.clone().unwrap(), entry.source)
    };
    assert_eq!(
        value("consumer.session.timeout.ms"),
        ("46000".to_owned(), Source::Group)
    );
    assert_eq!(
        value("share.session.timeout.ms"),
        ("50000".to_owned(), Source::File)
    );
    assert_eq!(
        value("share.auto.offset.reset"),
        ("latest".to_owned(), Source::Default)
    );
}
