//! Manifests with one thing wrong, and what their author is told.

use expect_test::{Expect, expect};

use super::*;

const GOOD: &str = r#"apiVersion: ottla.io/v1alpha1
kind: KafkaCluster
metadata:
  name: demo
spec:
  replicas: 3
  storage: {type: persistent-claim, size: 1Gi}
  listeners:
    - {name: plain, port: 9092, type: internal, tls: false}
  config:
    num.partitions: 3
---
apiVersion: ottla.io/v1alpha1
kind: KafkaTopic
metadata:
  name: orders
spec:
  clusterRef: {name: demo}
  partitions: 6
"#;

fn read_text(text: &str) -> Result<Manifests, Vec<Fault>> {
    read(&[Input {
        name: "demo.yaml".into(),
        text: text.into(),
    }])
}

/// `GOOD` with one text replaced, and what its author is told.
fn check(from: &str, to: &str, expected: Expect) {
    assert!(GOOD.contains(from), "{from}");
    let faults = read_text(&GOOD.replace(from, to)).expect_err("a fault");
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_good_manifest() {
    let manifests = read_text(GOOD).unwrap();
    assert_eq!(manifests.clusters[0].object.spec.replicas, 3);
    assert_eq!(manifests.topics[0].object.kafka_name(), "orders");
    assert!(read_text(&format!("---\n{GOOD}---\n")).is_ok());
}

#[test]
fn typos() {
    check(
        "replicas:",
        "replicass:",
        expect!["demo.yaml:6:3: spec.replicass: unknown field; did you mean replicas?"],
    );
    check(
        "size:",
        "sise:",
        expect!["demo.yaml:7:37: spec.storage.sise: unknown field; did you mean size?"],
    );
    check(
        "tls: false",
        "tsl: false",
        expect!["demo.yaml:9:49: spec.listeners[0].tsl: unknown field; did you mean tls?"],
    );
    check(
        "KafkaTopic",
        "KafkaTopics",
        expect!["demo.yaml:14:1: kind: there is no kind KafkaTopics; did you mean KafkaTopic?"],
    );
    check(
        "ottla.io/v1alpha1\nkind: KafkaCluster",
        "kafka.strimzi.io/v1\nkind: KafkaCluster",
        expect![
            "demo.yaml:1:1: apiVersion: kafka.strimzi.io/v1 is not Ottla's; manifests here are KafkaCluster and KafkaTopic of ottla.io/v1alpha1"
        ],
    );
    check(
        "metadata:\n  name: demo",
        "metadata:\n  nam: demo",
        expect![[r#"
            demo.yaml:4:3: metadata.nam: unknown field; did you mean name?
            demo.yaml:3:1: metadata.name: is missing"#]],
    );
    check(
        "persistent-claim",
        "persistent-clam",
        expect![[
            r#"demo.yaml:7:13: spec.storage.type: "persistent-clam" is not supported; did you mean persistent-claim?"#
        ]],
    );
    check(
        "persistent-claim",
        "ephemeral",
        expect![[
            r#"demo.yaml:7:13: spec.storage.type: "ephemeral" is not supported; supported: persistent-claim"#
        ]],
    );
}

#[test]
fn what_belongs_to_a_later_version() {
    check(
        "replicas: 3",
        "replicas: 3\n  authorization: {type: simple}",
        expect![
            "demo.yaml:7:3: spec.authorization: such fields belong to a later version of Ottla (this is 0.1.0); remove it"
        ],
    );
    check(
        "tls: false",
        "tls: true",
        expect![
            "demo.yaml:9:49: spec.listeners[0].tls: tls is not served by this version: set tls to false"
        ],
    );
    check(
        "kind: KafkaTopic",
        "kind: KafkaUser",
        expect![
            "demo.yaml:14:1: kind: KafkaUser objects belong to a later version of Ottla (this is 0.1.0); remove it"
        ],
    );
    check(
        "type: internal",
        "type: loadbalancer",
        expect![[
            r#"demo.yaml:9:33: spec.listeners[0].type: "loadbalancer" is not supported; supported: internal"#
        ]],
    );
}

#[test]
fn wrong_values() {
    check(
        "replicas: 3",
        "replicas: 0",
        expect!["demo.yaml:6:3: spec.replicas: should be greater than or equal to 1, is 0"],
    );
    check(
        "replicas: 3",
        "replicas: three",
        expect![[
            r#"demo.yaml:6:3: spec.replicas: expected a whole number, found the text "three""#
        ]],
    );
    check(
        "replicas: 3",
        "replicas: \"3\"",
        expect![[r#"demo.yaml:6:3: spec.replicas: expected a whole number, found the text "3""#]],
    );
    check(
        "replicas: 3",
        "replicas: 3.5",
        expect!["demo.yaml:6:3: spec.replicas: expected a whole number, found the number 3.5"],
    );
    check(
        "  replicas: 3\n",
        "",
        expect!["demo.yaml:5:1: spec.replicas: is missing"],
    );
    check(
        "num.partitions: 3",
        "auto.create.topics.enable: false",
        expect![[
            r#"demo.yaml:11:5: spec.config.auto.create.topics.enable: expected a whole number or a text, found the truth value false; write "false""#
        ]],
    );
    check(
        "num.partitions: 3",
        "node.id: 7",
        expect![
            "demo.yaml:10:3: spec.config: node.id, process.roles, the listeners and the directories follow from the rest of the manifest and cannot be set in config"
        ],
    );
    check(
        "port: 9092",
        "port: 80",
        expect![
            "demo.yaml:9:21: spec.listeners[0].port: should be greater than or equal to 9092, is 80"
        ],
    );
    check(
        "size: 1Gi",
        "size: 1GB",
        expect![
            "demo.yaml:7:37: spec.storage.size: a size is a positive quantity such as 500Mi, 10Gi or 1Ti"
        ],
    );
    check(
        "name: demo\nspec",
        "name: Demo\nspec",
        expect![
            "demo.yaml:4:3: metadata.name: a name has lower-case letters, digits, '-' and '.', begins and ends with a letter or digit, and has at most 253 characters"
        ],
    );
    check(
        "name: demo\nspec",
        "name: a-name-that-is-far-too-long-for-a-kafka-cluster\nspec",
        expect![
            "demo.yaml:4:3: metadata.name: a cluster's name has at most 40 characters, so that the names of its parts fit"
        ],
    );
    check(
        "name: orders",
        "name: orders\n  namespace: x\n  label: y",
        expect!["demo.yaml:18:3: metadata.label: unknown field; did you mean labels?"],
    );
    check(
        "- {name: plain, port: 9092, type: internal, tls: false}",
        "[]",
        expect!["demo.yaml:8:3: spec.listeners: should have at least 1 items, has 0"],
    );
}

#[test]
fn what_is_not_yaml() {
    check(
        "spec:\n  replicas",
        "spec:\n replicas",
        expect!["demo.yaml:7:10: not YAML: mapping values are not allowed in this context"],
    );
    check(
        "{type: persistent-claim, size: 1Gi}",
        "{type: persistent-claim",
        expect![
            "demo.yaml:8:12: not YAML: while parsing a flow mapping, did not find expected ',' or '}'"
        ],
    );
    check(
        "replicas: 3",
        "replicas: 3\n  replicas: 4",
        expect!["demo.yaml:7:3: not YAML: duplicate mapping key: replicas"],
    );
    let told = |text: &str| read_text(text).expect_err("a fault")[0].to_string();
    expect!["demo.yaml:1:1: no manifest stands here; a KafkaCluster is expected"]
        .assert_eq(&told(""));
    expect!["demo.yaml:1:1: apiVersion: is missing; write `apiVersion: ottla.io/v1alpha1`"]
        .assert_eq(&told("hello"));
    expect!["demo.yaml:1:1: apiVersion: is missing; write `apiVersion: ottla.io/v1alpha1`"]
        .assert_eq(&told("- a\n- b\n"));
    expect![[r#"demo.yaml:1:1: not YAML: unexpected character: `\u{1}'"#]]
        .assert_eq(&told("\u{1}\u{2}"));
}

#[test]
fn an_object_declared_twice() {
    let twice = format!("{GOOD}---\n{GOOD}");
    let faults = read_text(&twice).expect_err("faults");
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    expect![[r#"
        demo.yaml:24:3: metadata.name: demo is declared already at demo.yaml:4:3
        demo.yaml:36:3: metadata.name: orders is declared already at demo.yaml:16:3"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn changes_that_cannot_be() {
    let old = read_text(GOOD).unwrap();
    let told = |from: &str, to: &str| {
        let new = read_text(&GOOD.replace(from, to)).unwrap();
        let cluster = check_change("KafkaCluster", &new.clusters[0], &old.clusters[0].object);
        let topic = check_change("KafkaTopic", &new.topics[0], &old.topics[0].object);
        let lines: Vec<String> = cluster
            .iter()
            .chain(&topic)
            .map(ToString::to_string)
            .collect();
        lines.join("\n")
    };
    assert_eq!(told("replicas: 3", "replicas: 4"), "");
    expect!["demo.yaml:19:3: spec.partitions: partitions cannot decrease: set the number back to what it was, or more"].assert_eq(&told("partitions: 6", "partitions: 5"));
    expect!["demo.yaml:7:37: spec.storage.size: storage cannot shrink (1Gi to 900Mi): set the size back to 1Gi or more"].assert_eq(&told("size: 1Gi", "size: 900Mi"));
    expect!["demo.yaml:17:1: spec: topicName cannot be changed: a topic cannot be renamed"]
        .assert_eq(&told("partitions: 6", "partitions: 6\n  topicName: other"));
}

#[test]
fn no_later_field_is_known_already() {
    for kind in ["KafkaCluster", "KafkaTopic"] {
        let schema = ottla_operator_api::schema(kind).unwrap();
        let mut nodes = vec![&schema["properties"]["spec"]];
        while let Some(node) = nodes.pop() {
            for (name, child) in node["properties"].as_object().into_iter().flatten() {
                assert!(!later::is_later(name), "{kind} has {name}");
                nodes.push(child);
            }
            nodes.push(&node["items"]);
            if node.is_null() {
                nodes.pop();
            }
        }
    }
}
