//! From before to after, round by round. Each paragraph is one plan; unmarked steps are carried
//! out before the next.

use expect_test::{Expect, expect};
use serde_json::json;

use super::world::World;
use crate::{FailureSeen, Power, ProcessSeen};

fn check(story: &str, expected: Expect) {
    expected.assert_eq(story);
}

#[test]
fn three_brokers_and_a_topic_from_nothing() {
    let mut world = World::new(3);
    world.add_topic(
        "orders",
        json!({"partitions": 6, "config": {"retention.ms": 1000}}),
    );
    check(
        &world.settle(),
        expect![[r#"
            Starting
              Prepare broker-0 (a new broker)
              Prepare broker-1 (a new broker)
              Prepare broker-2 (a new broker)
              CreateTopic topic orders (KafkaTopic orders declares it) — waits for brokers to serve
            Starting
              Start broker-0 (a new broker)
              Start broker-1 (a new broker)
              Start broker-2 (a new broker)
              CreateTopic topic orders (KafkaTopic orders declares it) — waits for brokers to serve
            Ready
              CreateTopic topic orders (KafkaTopic orders declares it)
            Ready
        "#]],
    );
}

#[test]
fn a_broker_that_died_comes_back() {
    let mut world = World::new(3);
    world.settle();
    world.kill(2, "killed by signal 9");
    check(
        &world.settle(),
        expect![[r#"
        Degraded
          Start broker-2 (it ended: killed by signal 9)
        Ready
    "#]],
    );
}

#[test]
fn a_broker_that_dies_again_and_again_is_given_a_pause() {
    let mut world = World::new(1);
    world.settle();
    let retry_at_ms = world.now_ms + 5_000;
    world.broker(0).process = ProcessSeen::Down {
        exits: 4,
        cause: None,
        retry_at_ms,
    };
    let plan = crate::plan(&world.desired, &world.observed, world.now_ms);
    assert_eq!(plan.again, Some(retry_at_ms));
    check(
        &world.settle(),
        expect![[r#"
        Degraded
          Start broker-0 (it ended) — waits for a pause before it is tried again
    "#]],
    );
}

/// Phase and message of the condition Ready.
fn said(world: &World) -> String {
    let status = crate::plan(&world.desired, &world.observed, world.now_ms).status;
    let phase = status.phase.expect("a phase");
    format!("{phase:?}: {}", status.conditions[0].message)
}

#[test]
fn what_is_in_the_way_is_said() {
    let mut world = World::new(2);
    world.settle();
    world.broker(1).process = ProcessSeen::Held("0/3 nodes are available".into());
    expect!["Degraded: broker-1 cannot run yet: 0/3 nodes are available"].assert_eq(&said(&world));
    world.broker(1).process = ProcessSeen::Starting;
    expect!["Degraded: broker-1 starts"].assert_eq(&said(&world));

    let mut world = World::new(2);
    world.settle();
    world.desired.cluster.spec.replicas = 3;
    let failure = FailureSeen {
        message: "exceeded quota: full".into(),
        retry_at_ms: world.now_ms + 5_000,
    };
    world.observed.failures.insert("broker-2".into(), failure);
    let pause = "Updating: changes are being made; broker-2: exceeded quota: full";
    assert_eq!(said(&world), pause);
    // The next attempt says nothing else.
    world.now_ms += 6_000;
    assert_eq!(said(&world), pause);
}

#[test]
fn a_static_setting_rolls_the_brokers_controller_last() {
    let mut world = World::new(3);
    world.settle();
    world.set_config("num.partitions", "5");
    check(
        &world.settle(),
        expect![[r#"
            Updating
              Restart broker-2 (num.partitions changes from its default to 5)
              Restart broker-1 (num.partitions changes from its default to 5) — waits for broker-2 to serve
              Restart broker-0 (num.partitions changes from its default to 5) — waits for broker-1 to serve
            Updating
              Start broker-2 (to run with what changed)
              Restart broker-1 (num.partitions changes from its default to 5) — waits for broker-2 to serve
              Restart broker-0 (num.partitions changes from its default to 5) — waits for broker-1 to serve
            Updating
              Restart broker-1 (num.partitions changes from its default to 5)
              Restart broker-0 (num.partitions changes from its default to 5) — waits for broker-1 to serve
            Updating
              Start broker-1 (to run with what changed)
              Restart broker-0 (num.partitions changes from its default to 5) — waits for broker-1 to serve
            Updating
              Restart broker-0 (num.partitions changes from its default to 5)
            Updating
              Start broker-0 (to run with what changed)
            Ready
        "#]],
    );
}

#[test]
fn a_dynamic_setting_restarts_nothing() {
    let mut world = World::new(2);
    world.settle();
    world.set_config("log.retention.ms", "1000");
    check(
        &world.settle(),
        expect![[r#"
        Updating
          Reconfigure all brokers (log.retention.ms can change while brokers run)
        Ready
    "#]],
    );
    world.drop_config("log.retention.ms");
    check(
        &world.settle(),
        expect![[r#"
        Updating
          Reconfigure all brokers (log.retention.ms can change while brokers run)
        Ready
    "#]],
    );
}

#[test]
fn a_setting_without_effect_restarts_nothing() {
    let mut world = World::new(1);
    world.settle();
    world.set_config("num.io.threads", "16");
    check(
        &world.settle(),
        expect![[r#"
        Ready
    "#]],
    );
    world.drop_config("num.io.threads");
    check(
        &world.settle(),
        expect![[r#"
        Ready
    "#]],
    );
}

#[test]
fn a_setting_that_a_running_broker_would_refuse_goes_into_its_file() {
    let mut world = World::new(1);
    world.settle();
    // An earlier version set it while brokers ran, and it would hold over the file.
    world
        .observed
        .owned_config
        .insert("group.max.size".into(), "10".into());
    world.set_config("group.max.size", "20");
    check(
        &world.settle(),
        expect![[r#"
        Updating
          Reconfigure all brokers (group.max.size can change while brokers run)
          Restart broker-0 (group.max.size changes from 10 to 20)
        Updating
          Start broker-0 (to run with what changed)
        Ready
    "#]],
    );
}

#[test]
fn a_setting_of_the_file_is_taken_back_by_a_restart() {
    let mut world = World::new(1);
    world.set_config("log.retention.ms", "1000");
    world.settle();
    world.drop_config("log.retention.ms");
    check(
        &world.settle(),
        expect![[r#"
            Updating
              Restart broker-0 (log.retention.ms goes back to its default)
            Updating
              Start broker-0 (to run with what changed)
            Ready
        "#]],
    );
}

#[test]
fn more_brokers() {
    let mut world = World::new(1);
    world.settle();
    world.set_replicas(3);
    check(
        &world.settle(),
        expect![[r#"
        Updating
          Prepare broker-1 (a new broker)
          Prepare broker-2 (a new broker)
        Updating
          Start broker-1 (a new broker)
          Start broker-2 (a new broker)
        Ready
    "#]],
    );
}

#[test]
fn fewer_brokers_only_when_they_hold_nothing() {
    let mut world = World::new(3);
    world.settle();
    world.set_replicas(1);
    check(
        &world.settle(),
        expect![[r#"
        Updating
          Stop broker-2 (spec.replicas is 1) — waits for the cluster to say what the broker holds
          Stop broker-1 (spec.replicas is 1) — waits for the cluster to say what the broker holds
    "#]],
    );
    world.holds(&[(1, &[]), (2, &["a", "b", "c", "d", "e"])]);
    check(
        &world.settle(),
        expect![[r#"
            Stalled
              Stop broker-2 (spec.replicas is 1) — blocked: spec.replicas: broker-2 holds the only copy of partitions of a, b, c and 2 more; set replicas back, or delete these topics
              Stop broker-1 (spec.replicas is 1) — waits for all of them to be free
        "#]],
    );
    world.set_replicas(2);
    world.holds(&[(1, &["a"]), (2, &[])]);
    check(
        &world.settle(),
        expect![[r#"
            Updating
              Stop broker-2 (spec.replicas is 2)
            Updating
              Remove broker-2 (spec.replicas is 2)
            Ready
        "#]],
    );
}

#[test]
fn a_topic_grows_and_changes() {
    let mut world = World::new(1);
    let config = json!({"retention.ms": 1000, "cleanup.policy": "delete"});
    world.add_topic("orders", json!({"partitions": 1, "config": config}));
    world.settle();
    let foreign = world.kafka().topics.get_mut("orders").unwrap();
    foreign
        .config
        .insert("max.message.bytes".into(), "5".into());
    let config = json!({"retention.ms": 2000});
    world.add_topic("orders", json!({"partitions": 4, "config": config}));
    check(
        &world.settle(),
        expect![[r#"
            Ready
              AddPartitions topic orders (4 declared, 1 there)
              ConfigureTopic topic orders (retention.ms, cleanup.policy differs)
            Ready
        "#]],
    );
    let left = world.kafka().topics["orders"].config.clone();
    check(
        &format!("{left:?}"),
        expect![[r#"{"max.message.bytes": "5", "retention.ms": "2000"}"#]],
    );
}

#[test]
fn a_topic_that_has_more_partitions_than_declared_is_left_alone() {
    let mut world = World::new(1);
    world.add_topic("orders", json!({"partitions": 4}));
    world.settle();
    world.add_topic("orders", json!({"partitions": 2}));
    check(
        &world.settle(),
        expect![[r#"
            Ready
              AddPartitions topic orders (2 declared, 4 there) — blocked: spec.partitions: the topic has 4 partitions, and none can be taken away; declare 4 or more
        "#]],
    );
}

#[test]
fn topics_that_are_gone_are_kept_or_deleted() {
    let mut world = World::new(1);
    world.add_topic("kept", json!({"partitions": 1}));
    world.add_topic("gone", json!({"partitions": 1, "deletionPolicy": "Delete"}));
    world.settle();
    world.drop_topic("kept");
    world.drop_topic("gone");
    check(
        &world.settle(),
        expect![[r#"
            Ready
              DeleteTopic topic gone (KafkaTopic gone is gone, its deletionPolicy is Delete)
              ReleaseTopic topic kept (KafkaTopic kept is gone, its deletionPolicy keeps the records)
            Ready
        "#]],
    );
    let left: Vec<_> = world.kafka().topics.keys().cloned().collect();
    assert_eq!(left, ["kept"]);
}

#[test]
fn what_this_version_cannot_do_is_refused_with_the_reason() {
    let mut world = World::new(3);
    world.set_config("offsets.topic.replication.factor", "3");
    world.set_config("num.partitons", "3");
    world.add_topic("a", json!({"partitions": 1, "replicas": 3}));
    world.add_topic("b", json!({"partitions": 1, "topicName": "a"}));
    check(
        &world.settle(),
        expect![[r#"
        Stalled
          refused spec.config.num.partitons: Kafka has no such setting; did you mean num.partitions?
          refused spec.config.offsets.topic.replication.factor: this version keeps one copy of each partition, and 3 are asked for; set it to 1
          refused spec.replicas: this version keeps one copy of each partition, and 3 are asked for; set replicas to 1
          refused spec.topicName: KafkaTopic a declares topic a already
    "#]],
    );
}

#[test]
fn the_controller_is_the_last_to_stop() {
    let mut world = World::new(3);
    world.settle();
    world.desired.power = Power::Off;
    check(
        &world.settle(),
        expect![[r#"
            Stopping
              Stop broker-2 (the cluster is stopped)
              Stop broker-1 (the cluster is stopped)
              Stop broker-0 (the cluster is stopped) — waits for the other brokers to stop
            Stopping
              Stop broker-0 (the cluster is stopped)
            Stopped
        "#]],
    );
    world.desired.power = Power::On;
    check(
        &world.settle(),
        expect![[r#"
            Starting
              Start broker-0 (it does not run)
              Start broker-1 (it does not run)
              Start broker-2 (it does not run)
            Ready
        "#]],
    );
}

#[test]
fn what_failed_is_tried_again_after_a_pause() {
    let mut world = World::new(1);
    world.add_topic("orders", json!({"partitions": 1}));
    let failure = crate::FailureSeen {
        message: "the broker said no".into(),
        retry_at_ms: world.now_ms + 1_000,
    };
    let failures = &mut world.observed.failures;
    failures.insert("topic orders".into(), failure);
    check(
        &world.settle(),
        expect![[r#"
        Starting
          Prepare broker-0 (a new broker)
          CreateTopic topic orders (KafkaTopic orders declares it) — waits for brokers to serve
        Starting
          Start broker-0 (a new broker)
          CreateTopic topic orders (KafkaTopic orders declares it) — waits for brokers to serve
        Ready
          CreateTopic topic orders (KafkaTopic orders declares it) — waits for another attempt: the broker said no
    "#]],
    );
    let status = &world.observed.last_topic_status["orders"];
    check(
        &status.conditions[0].message,
        expect!["waiting for another attempt: the broker said no"],
    );
    world.now_ms += 1_000;
    check(
        &world.settle(),
        expect![[r#"
        Ready
          CreateTopic topic orders (KafkaTopic orders declares it)
        Ready
    "#]],
    );
}
