//! Committed offsets of all groups of one partition. Written by replay only; the requests decide on it and leave records.
//!
//! Invariant: a transactional commit is invisible until its marker, and then counts only if no later record has overtaken it
//! (the order of the log decides, not the order of the markers).
//! Not here: who may commit (the group says), topic existence (the handler).

mod commit;
mod delete;
mod expiry;
mod fetch;
pub mod wire;

pub(crate) use commit::decide_commit;
pub(crate) use delete::{decide_delete, decide_delete_all};
pub(crate) use expiry::{decide_expiry, decide_topics_deleted};
pub(crate) use fetch::fetch;

use ottla_protocol::coordinator_records::{OffsetCommitKey, OffsetCommitValue};
use ottla_protocol::{Str, Uuid};
use std::collections::BTreeMap;

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// −1 if the committer did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Str,
    /// Wall clock.
    pub(crate) commit_timestamp_ms: i64,
    /// Explicit end of its life (requests up to v4 could ask for it), −1 for none.
    pub(crate) expire_timestamp_ms: i64,
    /// Zero if unknown.
    pub(crate) topic_id: Uuid,
    /// Where its record lies; decides between a transactional commit and a plain one.
    record_offset: i64,
}

/// topic → partition → what is committed.
pub(crate) type OffsetsOfGroup = BTreeMap<Str, BTreeMap<i32, Committed>>;

/// The committed offsets of a coordinator.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Offsets {
    by_group: BTreeMap<Str, OffsetsOfGroup>,
    /// producer id → group → offsets whose transaction is open.
    open: BTreeMap<i64, BTreeMap<Str, OffsetsOfGroup>>,
}

impl Offsets {
    pub(crate) fn of_group(&self, group: &Str) -> Option<&OffsetsOfGroup> {
        self.by_group.get(group)
    }

    /// Groups that have committed offsets.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Str> {
        self.by_group.keys()
    }

    fn get(&self, group: &Str, topic: &Str, partition: i32) -> Option<&Committed> {
        self.by_group.get(group)?.get(topic)?.get(&partition)
    }

    /// Whether an open transaction is about to commit this offset.
    fn is_open(&self, group: &Str, topic: &Str, partition: i32) -> bool {
        let holds = |groups: &BTreeMap<Str, OffsetsOfGroup>| {
            groups
                .get(group)
                .and_then(|topics| topics.get(topic))
                .is_some_and(|partitions| partitions.contains_key(&partition))
        };
        self.open.values().any(holds)
    }

    pub(crate) fn has_open(&self, group: &Str) -> bool {
        self.open.values().any(|groups| groups.contains_key(group))
    }

    /// Replay of an offset record at `record_offset`; `producer_id` is that of a transactional batch.
    pub(crate) fn replay(
        &mut self,
        record_offset: i64,
        producer_id: Option<i64>,
        key: &OffsetCommitKey,
        value: Option<OffsetCommitValue>,
    ) {
        let Some(value) = value else {
            remove(&mut self.by_group, key);
            return;
        };
        // Copied, or one small string would hold the whole buffer that was read from the log.
        let committed = Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.detached(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: value.expire_timestamp,
            topic_id: value.topic_id,
            record_offset,
        };
        match producer_id {
            None => put(&mut self.by_group, key, committed),
            Some(producer_id) => put(self.open.entry(producer_id).or_default(), key, committed),
        }
    }

    /// Replay of a transaction marker: the offsets staged by `producer_id` become visible, or vanish.
    pub(crate) fn replay_marker(&mut self, producer_id: i64, committed: bool) {
        let Some(groups) = self.open.remove(&producer_id) else {
            return;
        };
        if !committed {
            return;
        }
        for (group, topics) in groups {
            for (topic, partitions) in topics {
                for (partition, staged) in partitions {
                    let overtaken = self
                        .get(&group, &topic, partition)
                        .is_some_and(|current| current.record_offset > staged.record_offset);
                    if !overtaken {
                        let by_topic = self.by_group.entry(group.clone()).or_default();
                        by_topic
                            .entry(topic.clone())
                            .or_default()
                            .insert(partition, staged);
                    }
                }
            }
        }
    }
}

fn put(groups: &mut BTreeMap<Str, OffsetsOfGroup>, key: &OffsetCommitKey, committed: Committed) {
    if !groups.contains_key(&key.group) {
        groups.insert(key.group.detached(), OffsetsOfGroup::new());
    }
    let topics = groups
        .get_mut(&key.group)
        .expect("inserted above when missing");
    match topics.get_mut(&key.topic) {
        Some(partitions) => {
            partitions.insert(key.partition, committed);
        }
        None => {
            topics.insert(
                key.topic.detached(),
                BTreeMap::from([(key.partition, committed)]),
            );
        }
    }
}

fn remove(groups: &mut BTreeMap<Str, OffsetsOfGroup>, key: &OffsetCommitKey) {
    let Some(topics) = groups.get_mut(&key.group) else {
        return;
    };
    let Some(partitions) = topics.get_mut(&key.topic) else {
        return;
    };
    partitions.remove(&key.partition);
    if partitions.is_empty() {
        topics.remove(&key.topic);
    }
    if topics.is_empty() {
        groups.remove(&key.group);
    }
}
