//! The rules of the CRDs, evaluated as an API server would.

use serde_json::{Value, json};

use super::*;

fn cluster(change: impl FnOnce(&mut Value)) -> KafkaCluster {
    let mut manifest = json!({
        "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": "c"},
        "spec": {
            "replicas": 3,
            "storage": {"type": "persistent-claim", "size": "10Gi"},
            "listeners": [{"name": "plain", "port": 9092, "type": "internal", "tls": false}],
            "config": {"log.retention.ms": 60000},
        },
    });
    change(&mut manifest);
    serde_json::from_value(manifest).expect("a KafkaCluster")
}

fn topic(change: impl FnOnce(&mut Value)) -> KafkaTopic {
    let mut manifest = json!({
        "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaTopic",
        "metadata": {"name": "orders"},
        "spec": {"clusterRef": {"name": "c"}, "partitions": 12},
    });
    change(&mut manifest);
    serde_json::from_value(manifest).expect("a KafkaTopic")
}

/// What a new cluster is refused for.
fn refused(change: impl FnOnce(&mut Value)) -> String {
    let errors = cluster(change).validate_cel().expect_err("refused");
    errors.to_string()
}

/// What a change of a cluster is refused for.
fn refused_change(change: impl FnOnce(&mut Value)) -> String {
    let errors = cluster(change)
        .validate_cel_update(&cluster(|_| {}))
        .expect_err("refused");
    errors.to_string()
}

#[test]
fn good_manifests_pass() {
    assert!(cluster(|_| {}).validate_cel().is_ok());
    assert!(topic(|_| {}).validate_cel().is_ok());
    assert!(
        cluster(|_| {})
            .validate_cel_update(&cluster(|_| {}))
            .is_ok()
    );
    let grown = topic(|t| t["spec"]["partitions"] = json!(13));
    assert!(grown.validate_cel_update(&topic(|_| {})).is_ok());
    let larger = cluster(|c| c["spec"]["storage"]["size"] = json!("0.5Ti"));
    assert!(larger.validate_cel_update(&cluster(|_| {})).is_ok());
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let long = "a".repeat(41);
    assert!(refused(|c| c["metadata"]["name"] = json!(long)).contains("at most 40 characters"));
    assert!(
        refused(|c| c["metadata"]["name"] = json!("My_Cluster")).contains("lower-case letters")
    );
}

#[test]
fn listeners_are_checked() {
    let two = |a: Value, b: Value| {
        refused(|c| {
            c["spec"]["listeners"] = json!([
                {"name": a["name"], "port": a["port"], "type": "internal"},
                {"name": b["name"], "port": b["port"], "type": "internal"},
            ])
        })
    };
    assert!(
        two(
            json!({"name": "a", "port": 9092}),
            json!({"name": "b", "port": 9092})
        )
        .contains("same port")
    );
    assert!(
        two(
            json!({"name": "a", "port": 9092}),
            json!({"name": "a", "port": 9093})
        )
        .contains("same name")
    );
    let one = |key: &str, value: Value| refused(|c| c["spec"]["listeners"][0][key] = value);
    assert!(one("tls", json!(true)).contains("tls is not served"));
    assert!(one("name", json!("controller")).contains("Ottla's own listeners"));
    assert!(one("name", json!("Plain")).contains("lower-case"));
    assert!(one("port", json!(9404)).contains("metrics"));
}

#[test]
fn keys_that_the_manifest_decides_are_refused() {
    let key = |key: &str| refused(|c| c["spec"]["config"] = json!({key: "x"}));
    assert!(key("node.id").contains("follow from the rest of the manifest"));
    assert!(key("ottla.metrics.listener").contains("follow from the rest of the manifest"));
    assert!(key("log.dirs").contains("follow from the rest of the manifest"));
    assert!(key("controller.quorum.voters").contains("follow from the rest of the manifest"));
    assert!(key("listener.name.plain.ssl.key").contains("follow from the rest of the manifest"));
}

#[test]
fn storage_never_shrinks() {
    let size = |size: &str| refused_change(|c| c["spec"]["storage"]["size"] = json!(size));
    let message = size("9Gi");
    assert!(
        message.contains("storage cannot shrink (10Gi to 9Gi)"),
        "{message}"
    );
    assert!(message.contains("spec.storage.size"), "{message}");
    assert!(refused(|c| c["spec"]["storage"]["size"] = json!("ten")).contains("positive quantity"));
    assert!(refused(|c| c["spec"]["storage"]["size"] = json!("0")).contains("positive quantity"));
}

#[test]
fn topics_keep_what_they_are() {
    let change = |change: &dyn Fn(&mut Value)| {
        topic(|t| change(t))
            .validate_cel_update(&topic(|_| {}))
            .expect_err("refused")
            .to_string()
    };
    let fewer = change(&|t| t["spec"]["partitions"] = json!(6));
    assert!(fewer.contains("partitions cannot decrease"), "{fewer}");
    assert!(change(&|t| t["spec"]["topicName"] = json!("other")).contains("cannot be renamed"));
    assert!(change(&|t| t["spec"]["clusterRef"]["name"] = json!("d")).contains("another cluster"));
    let named = |name: &str| {
        topic(|t| t["spec"]["topicName"] = json!(name))
            .validate_cel()
            .expect_err("refused")
            .to_string()
    };
    assert!(named("..").contains("is not '.' or '..'"));
    assert!(named("a b").contains("letters, digits"));
    assert!(named("__consumer_offsets").contains("Kafka's own"));
}

/// The walk over a CRD that [`every_rule_has_a_bound`] makes.
fn walk<'a>(schema: &'a Value, path: String, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(&path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(child, format!("{path}.{name}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], format!("{path}[]"), visit);
    }
}

#[test]
fn every_rule_has_a_bound() {
    for crd in crds() {
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(
            &schema["properties"]["spec"],
            "spec".into(),
            &mut |path, node| {
                let bound = match node["type"].as_str() {
                    Some("string") => node["maxLength"].is_u64() || node["enum"].is_array(),
                    Some("array") => node["maxItems"].is_u64(),
                    Some("object") => {
                        node["properties"].is_object() || node["maxProperties"].is_u64()
                    }
                    _ => true,
                };
                assert!(bound, "{path} has no bound: {node}");
            },
        );
    }
}

#[test]
fn crds_are_free_of_what_a_server_drops() {
    let text = serde_json::to_string(&crds()).expect("JSON");
    for dropped in [":null", "\"default\":false", "\"default\":[]", ".0,"] {
        assert!(!text.contains(dropped), "{dropped} in {text}");
    }
    for crd in crds() {
        let version = &crd["spec"]["versions"][0];
        assert_eq!(version["name"], VERSION);
        assert_eq!(
            version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"],
            json!({"observedGeneration": -1})
        );
        assert_eq!(crd["spec"]["group"], GROUP);
    }
}

#[test]
fn config_values_keep_kafkas_spelling() {
    assert_eq!(ConfigValue::Int(10_737_418_240).to_string(), "10737418240");
    assert_eq!(ConfigValue::Text("false".into()).to_string(), "false");
}

#[test]
fn compiled_rules_say_where() {
    let rules = Rules::of_kind("KafkaCluster").expect("a kind of ours");
    let json = |change: fn(&mut Value)| serde_json::to_value(cluster(change)).expect("JSON");
    let old = json(|_| {});
    assert_eq!(rules.broken(&old, None), []);
    assert_eq!(rules.broken(&old, Some(&old)), []);
    let fields = |object: Value| -> Vec<String> {
        rules
            .broken(&object, Some(&old))
            .into_iter()
            .map(|broken| broken.field.join("/"))
            .collect()
    };
    let port = json(|c| c["spec"]["listeners"][0]["port"] = json!(9404));
    assert_eq!(fields(port), ["spec/listeners/0/port"]);
    let name = json(|c| c["metadata"]["name"] = json!("N"));
    assert_eq!(fields(name), ["metadata/name"]);
    let size = json(|c| c["spec"]["storage"]["size"] = json!("1Gi"));
    assert_eq!(fields(size), ["spec/storage/size"]);
    assert!(Rules::of_kind("KafkaUser").is_none());
}
