//! Readiness as a script: what is seen, and what the probe says.

use std::sync::Arc;

use ottla_broker_metadata::{Provenance, Replayer};
use ottla_protocol::Uuid;
use ottla_protocol::metadata_records::{
    MetadataRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};

use super::*;
use crate::config::Roles;

const TOPIC: Uuid = Uuid([7; 16]);

/// A cluster whose topic `t` has two partitions on brokers 1 and 2; broker 1 looks at it.
struct Watched {
    replayer: Replayer,
    offset: i64,
    image: Arc<Image>,
    readiness: Readiness,
    roles: Roles,
    leader_id: i32,
}

impl Watched {
    fn new() -> Self {
        let mut watched = Self {
            replayer: Replayer::default(),
            offset: 0,
            image: Arc::default(),
            readiness: Readiness::default(),
            roles: Roles {
                broker: true,
                controller: false,
            },
            leader_id: 3,
        };
        watched.replay(
            TopicRecord {
                name: "t".into(),
                topic_id: TOPIC,
                ..Default::default()
            }
            .into(),
        );
        for partition_id in 0..2 {
            watched.replay(
                PartitionRecord {
                    topic_id: TOPIC,
                    partition_id,
                    replicas: vec![1, 2],
                    isr: vec![2],
                    leader: 2,
                    ..Default::default()
                }
                .into(),
            );
        }
        watched
    }

    fn replay(&mut self, record: MetadataRecord) {
        self.replayer.replay(self.offset, &record).expect("it fits");
        let at = Provenance {
            offset: self.offset,
            epoch: 1,
            timestamp_ms: 0,
        };
        self.offset += 1;
        if let Some((image, _)) = self.replayer.publish(at) {
            self.image = Arc::new(image);
        }
    }

    fn isr(&mut self, partition_id: i32, isr: &[i32]) {
        self.replay(
            PartitionChangeRecord {
                topic_id: TOPIC,
                partition_id,
                isr: Some(isr.to_vec()),
                ..Default::default()
            }
            .into(),
        );
    }

    fn probe(&mut self, stage: Stage) -> String {
        let look = Look {
            stage,
            node: Some(NodeLook {
                id: 1,
                roles: self.roles,
                image: Arc::clone(&self.image),
                leader_id: self.leader_id,
            }),
        };
        match self.readiness.judge(&look) {
            Ok(()) => "ready".to_owned(),
            Err(reason) => reason,
        }
    }
}

#[test]
fn a_broker_is_ready_once_each_replica_was_in_its_isr() {
    let mut watched = Watched::new();
    assert_eq!(
        watched.probe(Stage::Starting("registering")),
        "the broker is registering"
    );
    assert_eq!(
        watched.probe(Stage::Serving),
        "the broker is not in the ISR of 2 of its partitions yet, the first is t-0"
    );
    watched.isr(0, &[1, 2]);
    assert_eq!(
        watched.probe(Stage::Serving),
        "the broker is not in the ISR of 1 of its partitions yet, the first is t-1"
    );
    // Out again before the other is in: once each is enough.
    watched.isr(0, &[2]);
    watched.isr(1, &[1, 2]);
    assert_eq!(watched.probe(Stage::Serving), "ready");
}

#[test]
fn readiness_is_sticky_until_the_stop() {
    let mut watched = Watched::new();
    watched.isr(0, &[1, 2]);
    watched.isr(1, &[1, 2]);
    assert_eq!(watched.probe(Stage::Serving), "ready");
    watched.isr(0, &[2]);
    assert_eq!(watched.probe(Stage::Serving), "ready");
    assert_eq!(watched.probe(Stage::Stopping), "the broker is stopping");
}

#[test]
fn nothing_is_waited_for_that_is_gone() {
    let mut watched = Watched::new();
    assert_ne!(watched.probe(Stage::Serving), "ready");
    watched.replay(
        RemoveTopicRecord {
            topic_id: TOPIC,
            ..Default::default()
        }
        .into(),
    );
    assert_eq!(watched.probe(Stage::Serving), "ready");
}

#[test]
fn a_controller_is_ready_when_it_knows_the_leader() {
    let mut watched = Watched::new();
    watched.roles = Roles {
        broker: false,
        controller: true,
    };
    watched.leader_id = -1;
    assert_eq!(
        watched.probe(Stage::Serving),
        "the controller knows no leader of the quorum"
    );
    watched.leader_id = 3;
    assert_eq!(watched.probe(Stage::Serving), "ready");
    // An election is no reason to take it out of its service.
    watched.leader_id = -1;
    assert_eq!(watched.probe(Stage::Serving), "ready");
}
