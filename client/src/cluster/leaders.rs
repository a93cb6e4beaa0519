//! Requests about partitions, each of which must reach its partition's leader: split by leader, sent at once, and repeated for the
//! partitions whose leader has moved.

use crate::cluster::{Cluster, Lane};
use crate::connection::Connection;
use crate::error::{ClientError, Failure};
use ottla_protocol::{ApiKey, Str};
use std::collections::BTreeMap;

/// A partition by name.
pub type TopicPartition = (Str, i32);

/// One partition's part in a request to its leader.
pub(crate) struct Part<V> {
    pub(crate) topic: Str,
    pub(crate) partition: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) value: V,
}

/// What the leaders said, partition by partition.
pub type ByPartition<T> = BTreeMap<TopicPartition, Result<T, Failure>>;

impl Cluster {
    /// Sends each partition's value to its leader by means of `send`, until every partition has an answer that is final.
    pub(crate) async fn ask_leaders<V: Clone, T>(
        &self,
        api: ApiKey,
        wanted: BTreeMap<TopicPartition, V>,
        send: impl AsyncFn(
            &Connection,
            Vec<Part<V>>,
        ) -> Result<Vec<(TopicPartition, Result<T, Failure>)>, ClientError>,
    ) -> Result<ByPartition<T>, ClientError> {
        let mut open = wanted;
        let mut done: ByPartition<T> = BTreeMap::new();
        let asked = self
            .retry(async || {
                let mut again = None;
                for (leader, parts) in self.split_by_leader(&open).await? {
                    let topics: Vec<Str> = parts.iter().map(|part| part.topic.clone()).collect();
                    let answers = match self.broker(leader, Lane::Data).await {
                        Ok(connection) => send(&connection, parts).await,
                        Err(error) => Err(error),
                    };
                    let answers = answers
                        .inspect_err(|_| topics.iter().for_each(|topic| self.doubt_topic(topic)))?;
                    for (partition, answer) in answers {
                        match answer {
                            Err(failure) if failure.error.is_retriable() => {
                                self.doubt_topic(&partition.0);
                                again = Some(ClientError::Refused { api, failure });
                            }
                            answer => {
                                open.remove(&partition);
                                done.insert(partition, answer);
                            }
                        }
                    }
                }
                again.map_or(Ok(()), Err)
            })
            .await;
        asked.map(|()| done)
    }

    async fn split_by_leader<V: Clone>(
        &self,
        wanted: &BTreeMap<TopicPartition, V>,
    ) -> Result<BTreeMap<i32, Vec<Part<V>>>, ClientError> {
        let mut by_leader: BTreeMap<i32, Vec<Part<V>>> = BTreeMap::new();
        for ((topic, partition), value) in wanted {
            let (leader, leader_epoch) = self.leader(topic, *partition).await?;
            let part = Part {
                topic: topic.clone(),
                partition: *partition,
                leader_epoch,
                value: value.clone(),
            };
            by_leader.entry(leader).or_default().push(part);
        }
        Ok(by_leader)
    }
}

/// Groups parts by topic, in order, as requests want them.
pub(crate) fn by_topic<V>(parts: Vec<Part<V>>) -> Vec<(Str, Vec<Part<V>>)> {
    let mut topics: Vec<(Str, Vec<Part<V>>)> = Vec::new();
    for part in parts {
        match topics.last_mut() {
            Some((topic, parts)) if *topic == part.topic => parts.push(part),
            Some(_) | None => topics.push((part.topic.clone(), vec![part])),
        }
    }
    topics
}
