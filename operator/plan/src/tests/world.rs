//! A world that does what it is told: brokers start at once and topics are there when created.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ottla_operator_api::{ConfigValue, KafkaCluster, KafkaTopic};
use serde_json::json;

use crate::rehearsal::carry_out;
use crate::*;

pub struct World {
    pub desired: Desired,
    pub observed: Observed,
    pub now_ms: i64,
}

impl World {
    pub fn new(replicas: i32) -> World {
        let cluster: KafkaCluster = serde_json::from_value(json!({
            "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "c", "generation": 1},
            "spec": {
                "replicas": replicas,
                "storage": {"type": "persistent-claim", "size": "1Gi"},
                "listeners": [{"name": "plain", "port": 9092, "type": "internal"}],
            },
        }))
        .unwrap();
        let desired = Desired {
            cluster,
            topics: Vec::new(),
            power: Power::On,
        };
        let observed = Observed {
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
            ..Observed::default()
        };
        World {
            desired,
            observed,
            now_ms: 1_795_230_000_000,
        }
    }

    fn changed(&mut self) {
        let generation = self.desired.generation() + 1;
        self.desired.cluster.metadata.generation = Some(generation);
    }

    pub fn set_replicas(&mut self, replicas: i32) {
        self.desired.cluster.spec.replicas = replicas;
        self.changed();
    }

    pub fn set_config(&mut self, key: &str, value: &str) {
        let config = self.desired.cluster.spec.config.get_or_insert_default();
        config.insert(key.into(), ConfigValue::Text(value.into()));
        self.changed();
    }

    pub fn drop_config(&mut self, key: &str) {
        self.desired
            .cluster
            .spec
            .config
            .get_or_insert_default()
            .remove(key);
        self.changed();
    }

    pub fn add_topic(&mut self, name: &str, spec: serde_json::Value) {
        let mut spec = spec;
        spec["clusterRef"] = json!({"name": "c"});
        self.drop_topic(name);
        let topic: KafkaTopic = serde_json::from_value(json!({
            "apiVersion": "ottla.io/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap();
        self.desired.topics.push(topic);
    }

    pub fn drop_topic(&mut self, name: &str) {
        self.desired
            .topics
            .retain(|topic| topic.metadata.name.as_deref() != Some(name));
    }

    pub fn kill(&mut self, broker: i32, cause: &str) {
        self.broker(broker).process = ProcessSeen::Down {
            exits: 1,
            cause: Some(cause.into()),
            retry_at_ms: self.now_ms,
        };
    }

    pub fn broker(&mut self, id: i32) -> &mut BrokerSeen {
        self.observed.brokers.get_mut(&id).unwrap()
    }

    pub fn kafka(&mut self) -> &mut KafkaSeen {
        self.observed.kafka.get_or_insert_default()
    }

    /// Rounds of plan and action until no step may be done; one paragraph a round.
    pub fn settle(&mut self) -> String {
        let mut story = String::new();
        for round in 1.. {
            assert!(round < 20, "it never settles:\n{story}");
            let plan = plan(&self.desired, &self.observed, self.now_ms);
            let phase = plan.status.phase.unwrap();
            writeln!(story, "{phase:?}").unwrap();
            for step in &plan.steps {
                let (action, target) = (step.action.name(), step.action.target());
                let state = match &step.state {
                    StepState::Next => String::new(),
                    StepState::Waiting(what) => format!(" — waits for {what}"),
                    StepState::Blocked(why) => format!(" — blocked: {why}"),
                };
                writeln!(story, "  {action} {target} ({}){state}", step.reason).unwrap();
            }
            for refusal in &plan.refused {
                writeln!(story, "  refused {refusal}").unwrap();
            }
            let next: Vec<Action> = plan
                .steps
                .iter()
                .filter(|step| step.state == StepState::Next)
                .map(|step| step.action.clone())
                .collect();
            self.observed.last_status = Some(plan.status.clone());
            self.observed.last_topic_status = plan.topic_status.clone();
            if next.is_empty() {
                break;
            }
            for action in &next {
                carry_out(&mut self.observed, action, &plan);
            }
        }
        story
    }

    pub fn holds(&mut self, on: &[(i32, &[&str])]) {
        let topics_on: BTreeMap<i32, BTreeSet<String>> = on
            .iter()
            .map(|(id, topics)| (*id, topics.iter().map(ToString::to_string).collect()))
            .collect();
        self.kafka().topics_on = Some(topics_on);
    }
}
