//! Topics by id and by name.
//! Invariant: `by_name` and `by_id` name the same topics.

use super::partitions::{PartitionRef, Partitions};
use crate::shared_map::SharedMap;
use ottla_protocol::{Str, Uuid};
use std::sync::Arc;

/// All topics. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    by_id: SharedMap<Uuid, Arc<Topic>>,
    by_name: SharedMap<Str, Uuid>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// At most 249 of `[a-zA-Z0-9._-]`.
    pub name: Str,
    /// Lives as long as the topic; a topic made again under the name gets another.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Partitions,
}

impl Topic {
    /// The partition with number `index`.
    pub fn partition(&self, index: i32) -> Option<PartitionRef<'_>> {
        self.partitions.get(index)
    }
}

impl Topics {
    /// Number of topics.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True without topics.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The topic with this id.
    pub fn by_id(&self, id: &Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(id)
    }

    /// The topic with this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// The id of the topic with this name.
    pub fn id_of(&self, name: &str) -> Option<Uuid> {
        self.by_name.get(name).copied()
    }

    /// All topics in name order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// Topics in name order from `name` (inclusive) on: the cursor of DescribeTopicPartitions.
    pub fn iter_from(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name
            .iter_from(name)
            .filter_map(|(_, id)| self.by_id.get(id))
    }

    /// All topics in id order: the order of snapshots, which loads fastest.
    pub fn iter_by_id(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_id.values()
    }

    /// Number of partitions of all topics. Visits every topic.
    pub fn partition_count(&self) -> usize {
        self.by_id
            .values()
            .map(|topic| topic.partitions.len())
            .sum()
    }

    pub(crate) fn insert(&mut self, topic: Topic) {
        self.by_name.insert(topic.name.clone(), topic.id);
        self.by_id.insert(topic.id, Arc::new(topic));
    }

    pub(crate) fn remove(&mut self, id: &Uuid) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(id)?;
        self.by_name.remove(&*topic.name);
        Some(topic)
    }

    /// For replay: the topic is copied if an older image still holds it (its chunks of partitions are not).
    pub(crate) fn get_mut(&mut self, id: &Uuid) -> Option<&mut Topic> {
        self.by_id.get_mut(id).map(Arc::make_mut)
    }
}
