//! Plans as a story: a small world carries out what a plan says may be done now, and each test
//! shows the rounds it takes until nothing is left, or what is refused and why.

mod rounds;
mod world;

use expect_test::expect;
use ottla_operator_api::{ConditionStatus, condition_type};
use world::World;

use crate::*;

#[test]
fn the_same_arguments_give_the_same_plan() {
    let mut world = World::new(3);
    world.settle();
    let (desired, observed) = (world.desired.clone(), world.observed.clone());
    let one = serde_json::to_string(&plan(&desired, &observed, 1)).unwrap();
    let two = serde_json::to_string(&plan(&desired, &observed, 1)).unwrap();
    assert_eq!(one, two);
}

#[test]
fn an_idle_cluster_has_a_still_status() {
    let mut world = World::new(3);
    world.settle();
    let before = plan(&world.desired, &world.observed, world.now_ms);
    assert_eq!(before.steps, vec![]);
    assert_eq!(before.again, None);
    world.observed.last_status = Some(before.status.clone());
    let after = plan(&world.desired, &world.observed, world.now_ms + 3_600_000);
    assert_eq!(before.status, after.status);
}

#[test]
fn conditions_are_what_kstatus_expects() {
    let mut world = World::new(1);
    let kinds = |plan: &Plan| {
        let conditions = &plan.status.conditions;
        conditions
            .iter()
            .map(|c| (c.type_.clone(), c.status))
            .collect::<Vec<_>>()
    };
    let creating = plan(&world.desired, &world.observed, 0);
    assert_eq!(
        kinds(&creating),
        [
            (condition_type::READY.to_owned(), ConditionStatus::False),
            (
                condition_type::RECONCILING.to_owned(),
                ConditionStatus::True
            ),
        ]
    );
    world.settle();
    let ready = plan(&world.desired, &world.observed, world.now_ms);
    assert_eq!(
        kinds(&ready),
        [(condition_type::READY.to_owned(), ConditionStatus::True)]
    );
    world.set_config("num.partitons", "3");
    let stalled = plan(&world.desired, &world.observed, world.now_ms);
    assert_eq!(
        kinds(&stalled),
        [
            (condition_type::READY.to_owned(), ConditionStatus::False),
            (condition_type::STALLED.to_owned(), ConditionStatus::True),
        ]
    );
    assert_eq!(stalled.steps, vec![]);
    assert_eq!(
        stalled.status.observed_generation,
        world.desired.generation()
    );
}

#[test]
fn the_hash_names_what_is_declared() {
    let mut world = World::new(1);
    let before = plan(&world.desired, &world.observed, 0).hash;
    world.settle();
    let after = plan(&world.desired, &world.observed, world.now_ms).hash;
    assert_eq!(before, after, "addresses are found, not declared");
    world.set_config("num.partitions", "3");
    assert_ne!(
        before,
        plan(&world.desired, &world.observed, world.now_ms).hash
    );
}

#[test]
fn a_refused_change_stops_no_healing() {
    let mut world = World::new(3);
    world.settle();
    world.set_config("num.partitons", "3");
    world.kill(1, "killed");
    let plan = plan(&world.desired, &world.observed, world.now_ms);
    assert_eq!(plan.refused.len(), 1);
    assert_eq!(plan.steps.len(), 1, "{:?}", plan.steps);
    assert_eq!(plan.steps[0].action, Action::Start { broker: 1 });
    assert_eq!(plan.steps[0].state, StepState::Next);
}

#[test]
fn settings_are_checked_as_a_broker_would() {
    let told = |key: &str, value: &str| {
        let mut world = World::new(1);
        world.set_config(key, value);
        let plan = plan(&world.desired, &world.observed, 0);
        let lines: Vec<String> = plan.refused.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    expect!["spec.config.num.partitons: Kafka has no such setting; did you mean num.partitions?"]
        .assert_eq(&told("num.partitons", "3"));
    expect!["spec.config.num.partitions: three: must be a whole number between -2147483648 and 2147483647"].assert_eq(&told("num.partitions", "three"));
    expect!["spec.config.num.partitions: 0: must be at least 1"]
        .assert_eq(&told("num.partitions", "0"));
    expect!["spec.config.log.cleanup.policy: forever: must be a list of compact, delete without repetition or empty elements"].assert_eq(&told("log.cleanup.policy", "forever"));
    expect![""].assert_eq(&told("group.min.session.timeout.ms", "99999999"));
    expect!["spec.config.zookeeper.connect: Kafka has no such setting"]
        .assert_eq(&told("zookeeper.connect", "zk:2181"));
    expect!["spec.config.authorizer.class.name: this version refuses it: authorization is not served so far; everybody could do everything"].assert_eq(&told("authorizer.class.name", "org.example.A"));
    assert_eq!(told("ottla.durability", "fsync"), "");
}

#[test]
fn what_is_accepted_without_effect_is_told() {
    let mut world = World::new(1);
    world.set_config("background.threads", "3");
    let plan = plan(&world.desired, &world.observed, 0);
    assert_eq!(plan.refused, vec![]);
    expect!["background.threads has no effect"].assert_eq(&plan.warnings.join("\n"));
}

#[test]
fn a_rehearsal_shows_every_step_and_does_none() {
    let mut world = World::new(2);
    world.settle();
    world.set_config("num.partitions", "5");
    let before = world.observed.clone();
    let (steps, left) = rehearse(&world.desired, &world.observed, world.now_ms);
    let told: Vec<String> = steps
        .iter()
        .map(|step| {
            format!(
                "{} {} {}",
                step.id,
                step.action.name(),
                step.action.target()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 Restart broker-1",
            "2 Start broker-1",
            "3 Restart broker-0",
            "4 Start broker-0"
        ]
    );
    assert_eq!(left.steps, vec![]);
    assert_eq!(world.observed, before);
}
