//! What changed between two images: names only, so that a delta costs what changed; the values are in
//! the images on either side.
//! Invariant: whatever differs between the images is named; what is named may also be equal (a change
//! that was taken back).

use crate::image::{Image, NO_LEADER, PartitionRef, QuotaEntity, Resource, Topic};
use crate::shared_map::SharedMap;
use ottla_protocol::{Str, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Features whose level changed, `metadata.version` included.
    pub features: BTreeSet<Str>,
    /// Brokers registered, changed or unregistered.
    pub brokers: BTreeSet<i32>,
    /// Controllers registered or changed.
    pub controllers: BTreeSet<i32>,
    /// Topics that are in the new image and changed, each with its changed partitions.
    pub topics: BTreeMap<Uuid, BTreeSet<i32>>,
    /// Topics that are gone, as they last were.
    pub deleted_topics: BTreeMap<Uuid, Arc<Topic>>,
    /// Resources whose overrides changed.
    pub configs: BTreeSet<Resource>,
    /// The producer id allocator moved.
    pub producer_ids: bool,
    /// Entities whose quotas changed.
    pub client_quotas: BTreeSet<QuotaEntity>,
    /// ACLs added or removed.
    pub acls: BTreeSet<Uuid>,
    /// SCRAM credentials changed.
    pub scram_credentials: BTreeSet<(i8, Str)>,
    /// Delegation tokens changed.
    pub delegation_tokens: BTreeSet<Str>,
}

/// What one broker has to do about its replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalChanges {
    /// Replicas to delete: the topic is gone or the broker is no longer assigned.
    pub deletes: BTreeSet<(Uuid, i32)>,
    /// Partitions the broker leads now, whose state changed.
    pub leaders: BTreeSet<(Uuid, i32)>,
    /// Partitions the broker holds and does not lead (they may have no leader), whose state changed.
    pub followers: BTreeSet<(Uuid, i32)>,
}

impl Delta {
    /// True if nothing is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Everything that differs between two images: what a snapshot changed. Visits both images, but skips
    /// topics that they share.
    pub fn between(old: &Image, new: &Image) -> Self {
        let mut delta = Self::default();
        let features = |image: &Image| image.features.iter().collect::<BTreeMap<_, _>>();
        let (old_features, new_features) = (features(old), features(new));
        for feature in old_features.keys().chain(new_features.keys()) {
            if old_features.get(feature) != new_features.get(feature) {
                delta.features.insert(feature.clone());
            }
        }
        delta.brokers = differing(&old.cluster.brokers, &new.cluster.brokers);
        delta.controllers = differing(&old.cluster.controllers, &new.cluster.controllers);
        delta.acls = differing(&old.acls, &new.acls);
        delta.scram_credentials = differing(&old.scram_credentials, &new.scram_credentials);
        delta.delegation_tokens = differing(&old.delegation_tokens, &new.delegation_tokens);
        delta.client_quotas = differing(&old.client_quotas, &new.client_quotas);
        delta.producer_ids = old.next_producer_id != new.next_producer_id;
        for (resource, overrides) in old.configs.iter() {
            if new.configs.get(resource) != Some(overrides) {
                delta.configs.insert(resource.clone());
            }
        }
        for (resource, _) in new.configs.iter() {
            if old.configs.get(resource).is_none() {
                delta.configs.insert(resource.clone());
            }
        }
        for topic in old.topics.iter_by_id() {
            if new.topics.by_id(&topic.id).is_none() {
                delta.deleted_topics.insert(topic.id, Arc::clone(topic));
            }
        }
        for topic in new.topics.iter_by_id() {
            let Some(former) = old.topics.by_id(&topic.id) else {
                delta.topics.insert(
                    topic.id,
                    topic.partitions.iter().map(|(index, _)| index).collect(),
                );
                continue;
            };
            if Arc::ptr_eq(former, topic) || former == topic {
                continue;
            }
            let gone = former
                .partitions
                .iter()
                .filter(|(index, _)| topic.partition(*index).is_none());
            let changed = topic
                .partitions
                .iter()
                .filter(|(index, partition)| former.partition(*index) != Some(*partition));
            delta.topics.insert(
                topic.id,
                gone.chain(changed).map(|(index, _)| index).collect(),
            );
        }
        delta
    }

    /// What `broker` has to do about its replicas. `old` and `new` are the images this delta leads from and to.
    pub fn local_changes(&self, broker: i32, old: &Image, new: &Image) -> LocalChanges {
        let mut changes = LocalChanges::default();
        // A topic that came and went within this delta is in neither image: there is nothing to delete.
        for topic in self
            .deleted_topics
            .keys()
            .filter_map(|id| old.topics.by_id(id))
        {
            let held = topic
                .partitions
                .iter()
                .filter(|(_, partition)| partition.replicas.contains(&broker));
            changes
                .deletes
                .extend(held.map(|(index, _)| (topic.id, index)));
        }
        for (topic, partitions) in &self.topics {
            for index in partitions {
                let before = old.partition_by_id(topic, *index);
                let after = new.partition_by_id(topic, *index);
                let holds = |partition: Option<PartitionRef<'_>>| {
                    partition.is_some_and(|partition| partition.replicas.contains(&broker))
                };
                if !holds(after) {
                    if holds(before) {
                        changes.deletes.insert((*topic, *index));
                    }
                } else if before != after {
                    let leads = after
                        .is_some_and(|partition| partition.leader == broker && broker != NO_LEADER);
                    if leads {
                        &mut changes.leaders
                    } else {
                        &mut changes.followers
                    }
                    .insert((*topic, *index));
                }
            }
        }
        changes
    }

    /// Adds a later delta to this one.
    pub fn extend(&mut self, later: Self) {
        self.features.extend(later.features);
        self.brokers.extend(later.brokers);
        self.controllers.extend(later.controllers);
        for (id, topic) in later.deleted_topics {
            self.topics.remove(&id);
            self.deleted_topics.insert(id, topic);
        }
        for (id, partitions) in later.topics {
            self.topics.entry(id).or_default().extend(partitions);
        }
        self.configs.extend(later.configs);
        self.producer_ids |= later.producer_ids;
        self.client_quotas.extend(later.client_quotas);
        self.acls.extend(later.acls);
        self.scram_credentials.extend(later.scram_credentials);
        self.delegation_tokens.extend(later.delegation_tokens);
    }
}

fn differing<K: Ord + Clone, V: PartialEq>(
    old: &SharedMap<K, V>,
    new: &SharedMap<K, V>,
) -> BTreeSet<K> {
    let changed = old
        .iter()
        .filter(|(key, value)| new.get(*key) != Some(*value))
        .map(|(key, _)| key.clone());
    let added = new.keys().filter(|key| !old.contains_key(*key)).cloned();
    changed.chain(added).collect()
}
