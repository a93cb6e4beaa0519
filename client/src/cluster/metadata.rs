//! What is known of the cluster: brokers, topics, leaders. Kept from the last answers; may be stale, which brokers tell when asked.

use ottla_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::collections::BTreeMap;

/// One broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its node id.
    pub id: i32,
    /// Host as advertised on the listener that was asked.
    pub host: Str,
    /// Port.
    pub port: u16,
    /// Rack, if it has one.
    pub rack: Option<Str>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its index.
    pub index: i32,
    /// The leader's node id; `None` while there is none.
    pub leader: Option<i32>,
    /// −1 if the broker is too old to say.
    pub leader_epoch: i32,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
    /// Those on dead brokers or directories.
    pub offline: Vec<i32>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Its id; zero if the broker is too old to say.
    pub id: Uuid,
    /// Whether Kafka uses it for itself.
    pub is_internal: bool,
    /// Ordered by index.
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// The partition of that index.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions
            .binary_search_by_key(&index, |partition| partition.index)
            .ok()
            .map(|at| &self.partitions[at])
    }
}

/// The cluster as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The cluster's id.
    pub cluster_id: Option<Str>,
    /// The broker that takes administrative requests; in KRaft any of them.
    pub controller_id: Option<i32>,
    /// By node id.
    pub brokers: BTreeMap<i32, Broker>,
    /// By name: those that were asked for.
    pub topics: BTreeMap<Str, Topic>,
}

/// A topic in an answer: what it is, or why not.
pub(crate) type TopicAnswer = (Str, Result<Topic, ErrorCode>);

impl Metadata {
    /// Takes over an answer about some topics, or about all (`complete`). Gives the topics of the answer.
    pub(crate) fn apply(&mut self, response: MetadataResponse, complete: bool) -> Vec<TopicAnswer> {
        if !response.brokers.is_empty() {
            self.brokers = response
                .brokers
                .into_iter()
                .filter_map(|broker| {
                    let port = u16::try_from(broker.port).ok()?;
                    Some((
                        broker.node_id,
                        Broker {
                            id: broker.node_id,
                            host: broker.host,
                            port,
                            rack: broker.rack,
                        },
                    ))
                })
                .collect();
        }
        self.cluster_id = response.cluster_id;
        self.controller_id = Some(response.controller_id).filter(|id| *id >= 0);
        let before = if complete {
            std::mem::take(&mut self.topics)
        } else {
            BTreeMap::new()
        };
        let mut answers = Vec::with_capacity(response.topics.len());
        for answer in response.topics {
            let Some(name) = answer.name.clone() else {
                continue;
            };
            if answer.error_code != ErrorCode::NONE {
                self.topics.remove(&name);
                answers.push((name, Err(answer.error_code)));
                continue;
            }
            let known = before.get(&name).or_else(|| self.topics.get(&name));
            let topic = topic_of(name.clone(), answer, known);
            self.topics.insert(name.clone(), topic.clone());
            answers.push((name, Ok(topic)));
        }
        answers
    }
}

fn topic_of(name: Str, answer: MetadataResponseTopic, known: Option<&Topic>) -> Topic {
    let known = known.filter(|known| known.id == answer.topic_id);
    let mut partitions: Vec<Partition> = answer
        .partitions
        .into_iter()
        .map(|partition| {
            let fresh = partition_of(partition);
            // A broker that lags behind must not lead us back to an old leader (KIP-320).
            match known.and_then(|topic| topic.partition(fresh.index)) {
                Some(known) if known.leader_epoch > fresh.leader_epoch => known.clone(),
                Some(_) | None => fresh,
            }
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    Topic {
        name,
        id: answer.topic_id,
        is_internal: answer.is_internal,
        partitions,
    }
}

fn partition_of(partition: MetadataResponsePartition) -> Partition {
    Partition {
        index: partition.partition_index,
        leader: Some(partition.leader_id).filter(|id| *id >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        isr: partition.isr_nodes,
        offline: partition.offline_replicas,
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;
    use ottla_protocol::messages::metadata_response::{
        MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
    };
    use ottla_protocol::{ErrorCode, Uuid};

    fn answer(id: u128, leader_id: i32, leader_epoch: i32) -> MetadataResponse {
        let partition = MetadataResponsePartition {
            leader_id,
            leader_epoch,
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("t".into()),
            topic_id: Uuid::from_random_bits(id),
            partitions: vec![partition],
            ..Default::default()
        };
        MetadataResponse {
            topics: vec![topic],
            ..Default::default()
        }
    }

    #[test]
    fn an_older_epoch_does_not_bring_an_old_leader_back() {
        let mut metadata = Metadata::default();
        let leader = |metadata: &Metadata| metadata.topics["t"].partitions[0].leader;
        metadata.apply(answer(7, 1, 5), false);
        metadata.apply(answer(7, 2, 4), false);
        assert_eq!(leader(&metadata), Some(1));
        metadata.apply(answer(7, 2, 6), true);
        assert_eq!(leader(&metadata), Some(2));
        // Another topic of the same name starts anew.
        metadata.apply(answer(8, 3, 0), true);
        assert_eq!(leader(&metadata), Some(3));
        metadata.apply(answer(8, -1, 1), false);
        assert_eq!(leader(&metadata), None);
    }

    #[test]
    fn a_topic_that_is_gone_is_forgotten() {
        let mut metadata = Metadata::default();
        metadata.apply(answer(7, 1, 5), false);
        let mut gone = answer(7, 1, 5);
        gone.topics[0].error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let answers = metadata.apply(gone, false);
        assert_eq!(
            answers,
            [("t".into(), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))]
        );
        assert!(metadata.topics.is_empty());
    }
}
