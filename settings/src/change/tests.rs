//! Tests of `change`: requests in, records or faults out.

use expect_test::{Expect, expect};

use super::*;

fn overrides(pairs: &[(&str, &str)]) -> Overrides {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// `key=value` sets, `key-` deletes, `key+=value` appends, `key-=value` subtracts.
fn operation(text: &str) -> (String, Operation) {
    if let Some((name, value)) = text.split_once("+=") {
        return (name.to_owned(), Operation::Append(value.to_owned()));
    }
    if let Some((name, value)) = text.split_once("-=") {
        return (name.to_owned(), Operation::Subtract(value.to_owned()));
    }
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Operation::Set(value.to_owned())),
        None => (text.trim_end_matches('-').to_owned(), Operation::Delete),
    }
}

fn shown(result: Result<Vec<Changed>, Fault>) -> String {
    match result {
        Ok(changed) => changed
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("(deleted)")))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(fault) => fault.to_string(),
    }
}

fn check(target: Target, current: &[(&str, &str)], operations: &[&str], expect: Expect) {
    let operations: Vec<_> = operations.iter().map(|text| operation(text)).collect();
    expect.assert_eq(&shown(alter(
        target,
        &Layers::default(),
        &overrides(current),
        &operations,
    )));
}

#[test]
fn topics() {
    let current = &[("retention.ms", "1000"), ("cleanup.policy", "compact")][..];
    check(
        Target::Topic,
        current,
        &[
            "retention.ms-",
            "segment.bytes=1048576",
            "cleanup.policy+=delete,compact",
        ],
        expect![[r#"
            cleanup.policy=compact,delete
            retention.ms=(deleted)
            segment.bytes=1048576"#]],
    );
    check(
        Target::Topic,
        current,
        &["retention.ms=1000", "flush.ms-"],
        expect![[""]],
    );
    check(
        Target::Topic,
        &[],
        &["cleanup.policy+=compact"],
        expect![[r#"cleanup.policy=delete,compact"#]],
    );
    check(
        Target::Topic,
        current,
        &["cleanup.policy-=compact"],
        expect![[r#"cleanup.policy="#]],
    );
    // What a newer peer stored can be removed.
    check(
        Target::Topic,
        &[("future.key", "1")],
        &["future.key-"],
        expect![[r#"future.key=(deleted)"#]],
    );
}

#[test]
fn topic_faults() {
    let bad = |operations: &[&str], expect| check(Target::Topic, &[], operations, expect);
    bad(
        &["retention.m=1"],
        expect![[r#"unknown topic configuration retention.m; did you mean retention.ms?"#]],
    );
    bad(
        &["retention.ms=soon"],
        expect![[
            r#"retention.ms=soon: must be a whole number between -9223372036854775808 and 9223372036854775807"#
        ]],
    );
    bad(
        &["retention.ms=-2"],
        expect![[r#"retention.ms=-2: must be at least -1"#]],
    );
    bad(
        &["retention.ms+=1"],
        expect![[
            r#"retention.ms is no list: nothing can be appended to it or subtracted from it"#
        ]],
    );
    bad(
        &["cleanup.policy=remove"],
        expect![[
            r#"cleanup.policy=remove: must be a list of compact, delete without repetition or empty elements"#
        ]],
    );
    bad(
        &["min.compaction.lag.ms=5", "max.compaction.lag.ms=4"],
        expect![[r#"min.compaction.lag.ms: 5 must not be greater than max.compaction.lag.ms (4)"#]],
    );
    bad(
        &["remote.storage.enable=true"],
        expect![[
            r#"remote.storage.enable is refused: remote storage is not served so far; records would stay on local disks only"#
        ]],
    );
    bad(
        &["remote.storage.enable=false"],
        expect![[r#"remote.storage.enable=false"#]],
    );
    assert!(create_topic(&Layers::default(), &overrides(&[("num.partitions", "1")])).is_err());
    assert!(create_topic(&Layers::default(), &overrides(&[("retention.ms", "1")])).is_ok());
}

#[test]
fn brokers() {
    check(
        Target::Broker,
        &[],
        &["num.partitions=3"],
        expect![
            "num.partitions cannot be changed while the broker runs; set it in server.properties or in the manifest, and restart"
        ],
    );
    check(
        Target::Cluster,
        &[],
        &["listeners=PLAINTEXT://:1"],
        expect![[r#"listeners can be changed for single brokers only, not for the cluster"#]],
    );
    check(
        Target::Cluster,
        &[],
        &["log.retention.ms=5", "num.io.threads=8"],
        expect![[r#"
        log.retention.ms=5
        num.io.threads=8"#]],
    );
    check(
        Target::Broker,
        &[],
        &["ssl.keystore.location=/etc/k"],
        expect![
            "ssl.keystore.location cannot be changed while the broker runs, since TLS is settled when a broker starts (only the stores' files are read again when they change); set it in server.properties or in the manifest, and restart"
        ],
    );
}

#[test]
fn a_change_that_would_do_nothing_is_refused() {
    check(
        Target::Broker,
        &[],
        &["num.io.threads=16"],
        expect!["num.io.threads has no effect in this version, so only its default (8) is taken"],
    );
    check(
        Target::Broker,
        &[],
        &["listeners=PLAINTEXT://:1"],
        expect![
            "listeners cannot be changed while the broker runs, since its sockets are opened when a broker starts; set it in server.properties or in the manifest, and restart"
        ],
    );
    check(
        Target::Cluster,
        &[],
        &["log.cleanup.policy=compact"],
        expect![
            "log.cleanup.policy is refused: compact asks for keys, as in Kafka, but nothing is compacted so far"
        ],
    );
    // Stored by a controller of Apache Kafka: it stays, goes, and stands in nobody's way, but is told.
    let stored = &[
        ("num.io.threads", "16"),
        ("gone.key", "1"),
        ("message.max.bytes", "5"),
    ];
    check(
        Target::Broker,
        stored,
        &["num.io.threads=16", "message.max.bytes=6"],
        expect!["message.max.bytes=6"],
    );
    check(
        Target::Broker,
        stored,
        &["num.io.threads=17"],
        expect!["num.io.threads has no effect in this version, so only its default (8) is taken"],
    );
    let told: Vec<String> = passed_over(Target::Broker, &overrides(stored))
        .iter()
        .map(ToString::to_string)
        .collect();
    expect![[r#"
        unknown broker configuration gone.key
        num.io.threads has no effect in this version, so only its default (8) is taken"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn numbers_of_brokers_must_fit_each_other() {
    check(
        Target::Cluster,
        &[],
        &["log.retention.ms=0"],
        expect!["log.retention.ms: must be positive, or -1"],
    );
    // Broken before, by a peer: other keys can still be changed.
    check(
        Target::Cluster,
        &[("log.retention.ms", "0")],
        &["message.max.bytes=5"],
        expect!["message.max.bytes=5"],
    );
}

#[test]
fn groups_stay_within_what_the_broker_allows() {
    check(
        Target::Group,
        &[],
        &["consumer.session.timeout.ms=50000"],
        expect![[r#"consumer.session.timeout.ms=50000"#]],
    );
    check(
        Target::Group,
        &[],
        &["consumer.session.timeout.ms=70000"],
        expect![[
            r#"consumer.session.timeout.ms: 70000 is beyond group.consumer.max.session.timeout.ms (60000)"#
        ]],
    );
    check(
        Target::Group,
        &[],
        &["share.delivery.count.limit=11"],
        expect![[
            r#"share.delivery.count.limit: 11 is beyond group.share.max.delivery.count.limit (10)"#
        ]],
    );
    check(
        Target::Group,
        &[],
        &["streams.num.standby.replicas=3"],
        expect![[
            r#"streams.num.standby.replicas: 3 is beyond group.streams.max.standby.replicas (2)"#
        ]],
    );
    check(
        Target::Group,
        &[],
        &["group.max.size=3"],
        expect![[r#"unknown group configuration group.max.size"#]],
    );
}

#[test]
fn replacing_drops_what_is_not_given() {
    let current = overrides(&[("retention.ms", "1"), ("flush.ms", "2")]);
    let given = overrides(&[("flush.ms", "3")]);
    expect![[r#"
        flush.ms=3
        retention.ms=(deleted)"#]]
    .assert_eq(&shown(replace(
        Target::Topic,
        &Layers::default(),
        &current,
        &given,
    )));
}
