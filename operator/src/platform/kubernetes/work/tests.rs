//! A cluster played on an API server that stores what is applied: what is written, step by step.

use expect_test::{Expect, expect};
use kube::runtime::watcher::Event;
use ottla_operator_api::KafkaCluster;
use ottla_operator_plan::{Desired, Observed, Power, plan};

use super::*;
use crate::platform::kubernetes::look;
use crate::platform::kubernetes::names::Names;

struct Server {
    cache: Cache,
    version: u64,
    replicas: i32,
    partitions: i32,
    size: &'static str,
}

impl Server {
    fn new() -> Server {
        Server {
            cache: Cache::default(),
            version: 0,
            replicas: 1,
            partitions: 1,
            size: "1Gi",
        }
    }

    fn cluster(&self) -> KafkaCluster {
        serde_json::from_value(json!({
            "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "c", "namespace": "n", "uid": "u", "generation": 1},
            "spec": {
                "replicas": self.replicas,
                "storage": {"type": "persistent-claim", "size": self.size},
                "listeners": [{"name": "plain", "port": 9092, "type": "internal"}],
                "config": {"num.partitions": self.partitions},
            },
        }))
        .unwrap()
    }

    /// What an operator with `image` would write now.
    fn wanted(&self, image: &str) -> Vec<Wanted> {
        let names = Names {
            namespace: "n".into(),
            cluster: "c".into(),
        };
        let cluster = self.cluster();
        let objects = look::by_broker(
            self.cache.of_cluster(Kind::PersistentVolumeClaim, &names),
            self.cache.of_cluster(Kind::StatefulSet, &names),
            self.cache.of_cluster(Kind::Pod, &names),
        );
        let brokers = objects.iter();
        let observed = Observed {
            cluster_id: "id".into(),
            brokers: brokers
                .map(|(id, objects)| (*id, look::broker(&names, &cluster, *id, *objects, 0)))
                .collect(),
            ..Observed::default()
        };
        let desired = Desired {
            cluster,
            topics: Vec::new(),
            power: Power::On,
        };
        let plan = plan(&desired, &observed, 0);
        let mut work = Work {
            render: Render {
                names: &names,
                cluster: &desired.cluster,
                image,
            },
            cache: &self.cache,
            objects,
            cluster_id: "id",
            wanted: Vec::new(),
        };
        work.upkeep(&plan, "{}");
        for step in &plan.steps {
            work.step(&step.action, &step.state, &plan);
        }
        work.wanted
    }

    fn store(&mut self, kind: Kind, mut value: Value) {
        self.version += 1;
        value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        value["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        let event = Event::Apply(serde_json::from_value(value).unwrap());
        self.cache.take(kind, event);
    }

    /// Rounds until nothing is wanted.
    fn settle(&mut self, image: &str) {
        for _ in 0..10 {
            if self.carry_out(image).is_empty() {
                return;
            }
        }
        panic!("there is always something to write");
    }

    fn round(&mut self, image: &str, expect: Expect) {
        expect.assert_eq(&self.carry_out(image));
    }

    /// Carries out what is wanted; a StatefulSet gets its pod at once, Ready.
    fn carry_out(&mut self, image: &str) -> String {
        let mut told = String::new();
        for wanted in self.wanted(image) {
            let step = wanted.step.as_deref().unwrap_or("-");
            let verb = match &wanted.write {
                Write::Delete { .. } => "delete",
                _ => "apply",
            };
            told += &format!("{step}: {verb} {}\n", wanted.write.target());
            match wanted.write {
                Write::Apply(part) => self.store(part.kind, part.value),
                Write::Delete { kind, name, .. } => {
                    let there = self.cache.get(kind, "n", &name).unwrap().clone();
                    let gone = serde_json::from_value(there).unwrap();
                    self.cache.take(kind, Event::Delete(gone));
                }
                Write::Status { .. } => {}
            }
        }
        self.pods();
        told
    }

    fn pods(&mut self) {
        let names = Names {
            namespace: "n".into(),
            cluster: "c".into(),
        };
        let sets: Vec<Value> = self
            .cache
            .of_cluster(Kind::StatefulSet, &names)
            .cloned()
            .collect();
        for set in sets {
            let name = format!("{}-0", set["metadata"]["name"].as_str().unwrap());
            if self.cache.get(Kind::Pod, "n", &name).is_none() {
                let mut pod = json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": set["spec"]["template"]["metadata"],
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                });
                pod["metadata"]["name"] = json!(name);
                pod["metadata"]["namespace"] = json!("n");
                self.store(Kind::Pod, pod);
            }
        }
    }
}

#[test]
fn from_nothing_to_nothing_to_do() {
    let mut server = Server::new();
    server.round(
        "a",
        expect![[r#"
        -: apply ConfigMap c-kafka-memory
        -: apply Service c-kafka-brokers
        -: apply Service c-kafka-bootstrap
        -: apply PodDisruptionBudget c-kafka
        -: apply NetworkPolicy c-kafka
        broker-0: apply PersistentVolumeClaim data-c-kafka-0
    "#]],
    );
    server.round(
        "a",
        expect![[r#"
        broker-0: apply ConfigMap c-kafka-0
        broker-0: apply StatefulSet c-kafka-0
    "#]],
    );
    server.round("a", expect![""]);
    // A new operator has another image for new brokers; those that run are left alone.
    server.round("b", expect![""]);
}

#[test]
fn a_restart_is_a_template_and_the_end_of_a_pod() {
    let mut server = Server::new();
    server.settle("a");
    server.partitions = 2;
    server.round(
        "b",
        expect![[r#"
        broker-0: apply ConfigMap c-kafka-0
        broker-0: apply StatefulSet c-kafka-0
    "#]],
    );
    server.round(
        "b",
        expect![[r#"
        broker-0: delete Pod c-kafka-0-0
    "#]],
    );
    server.round("b", expect![""]);
}

#[test]
fn a_volume_grows_and_a_broker_comes() {
    let mut server = Server::new();
    server.settle("a");
    server.size = "2Gi";
    server.replicas = 2;
    server.round(
        "a",
        expect![[r#"
        -: apply PodDisruptionBudget c-kafka
        -: apply PersistentVolumeClaim data-c-kafka-0
        broker-1: apply PersistentVolumeClaim data-c-kafka-1
    "#]],
    );
    server.round(
        "a",
        expect![[r#"
        broker-1: apply ConfigMap c-kafka-1
        broker-1: apply StatefulSet c-kafka-1
    "#]],
    );
    server.round("a", expect![""]);
}

#[test]
fn what_somebody_else_changed_goes_back() {
    let mut server = Server::new();
    server.settle("a");
    let set = server
        .cache
        .get(Kind::StatefulSet, "n", "c-kafka-0")
        .unwrap();
    let mut set = set.clone();
    set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(1);
    server.version += 1;
    set["metadata"]["resourceVersion"] = json!(server.version.to_string());
    server.cache.put(Kind::StatefulSet, set);
    server.round(
        "a",
        expect![[r#"
        -: apply StatefulSet c-kafka-0
    "#]],
    );
    server.round("a", expect![""]);
}
