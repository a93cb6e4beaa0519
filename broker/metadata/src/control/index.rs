//! What the active controller must find without visiting every partition: who is in whose ISR, which
//! partitions lack a leader or a preferred leader or are being reassigned, which names collide, who owns a log directory.
//! Derived from the image, built when a controller becomes active and kept in step by `replay`.
//!
//! Invariant: equal to `Index::of(image)` of the working image after every record.
//! Not here: anything that an image's readers need; brokers carry no such index.

use crate::image::{Image, NO_LEADER, PartitionRef};
use ottla_protocol::{Str, Uuid};
use std::collections::{BTreeMap, BTreeSet};

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Partitions whose ISR has the broker.
    in_isr: BTreeMap<i32, PartitionSet>,
    /// Partitions whose ELR has the broker.
    in_elr: BTreeMap<i32, PartitionSet>,
    /// Number of partitions that the broker leads.
    led: BTreeMap<i32, usize>,
    pub(crate) leaderless: PartitionSet,
    /// Partitions whose leader is not their first replica.
    pub(crate) unpreferred: PartitionSet,
    /// Partitions on their way to other replicas.
    pub(crate) reassigning: PartitionSet,
    /// Topics by their name with '.' turned into '_', where that differs from the name or contains '_'.
    colliding: BTreeMap<String, BTreeSet<Str>>,
    /// Which broker registered a log directory.
    pub(crate) directory_owner: BTreeMap<Uuid, i32>,
    pub(crate) partition_count: usize,
}

/// A set of partitions: one bit each, 64 to an entry, so that the partitions of large topics cost next to
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionSet(BTreeMap<(Uuid, i32), u64>);

impl PartitionSet {
    /// All partitions in order of topic id and number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> {
        self.0.iter().flat_map(|((topic, chunk), bits)| {
            (0..64)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| (*topic, chunk * 64 + bit))
        })
    }

    /// True without partitions.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set(&mut self, topic: Uuid, index: i32, present: bool) {
        let (key, bit) = ((topic, index / 64), 1u64 << (index % 64));
        if present {
            *self.0.entry(key).or_default() |= bit;
        } else if let Some(bits) = self.0.get_mut(&key) {
            *bits &= !bit;
            if *bits == 0 {
                self.0.remove(&key);
            }
        }
    }
}

impl Index {
    /// The index of a whole image: when a controller becomes active.
    pub(crate) fn of(image: &Image) -> Self {
        let mut index = Self::default();
        for topic in image.topics.iter_by_id() {
            index.name(&topic.name, true);
            for (number, partition) in topic.partitions.iter() {
                index.partition(topic.id, number, None, Some(partition));
            }
        }
        for broker in image.cluster.brokers.values() {
            index.directories(broker.id, &[], &broker.log_dirs);
        }
        index
    }

    /// Partitions with `broker` in their ISR.
    pub(crate) fn in_isr(&self, broker: i32) -> impl Iterator<Item = (Uuid, i32)> {
        self.in_isr
            .get(&broker)
            .into_iter()
            .flat_map(PartitionSet::iter)
    }

    /// Partitions with `broker` in their ELR.
    pub(crate) fn in_elr(&self, broker: i32) -> impl Iterator<Item = (Uuid, i32)> {
        self.in_elr
            .get(&broker)
            .into_iter()
            .flat_map(PartitionSet::iter)
    }

    /// True if `broker` leads at least one partition.
    pub(crate) fn leads(&self, broker: i32) -> bool {
        self.led.contains_key(&broker)
    }

    /// An existing topic whose metrics would bear the same name as those of `name`: Kafka turns '.' into
    /// '_' there, so `a.b` and `a_b` may not both exist.
    pub(crate) fn collides_with(&self, name: &str) -> Option<&Str> {
        self.colliding.get(&collision_key(name)?)?.first()
    }

    pub(crate) fn name(&mut self, name: &Str, present: bool) {
        let Some(key) = collision_key(name) else {
            return;
        };
        let names = self.colliding.entry(key.clone()).or_default();
        if present {
            names.insert(name.clone());
        } else {
            names.remove(name);
        }
        if names.is_empty() {
            self.colliding.remove(&key);
        }
    }

    pub(crate) fn directories(&mut self, broker: i32, before: &[Uuid], after: &[Uuid]) {
        for dir in before {
            self.directory_owner.remove(dir);
        }
        self.directory_owner
            .extend(after.iter().map(|dir| (*dir, broker)));
    }

    /// A partition changed (or came, or went).
    pub(crate) fn partition(
        &mut self,
        topic: Uuid,
        index: i32,
        before: Option<PartitionRef<'_>>,
        after: Option<PartitionRef<'_>>,
    ) {
        let isr = (
            before.map_or(&[][..], |p| p.isr),
            after.map_or(&[][..], |p| p.isr),
        );
        move_members(&mut self.in_isr, topic, index, isr);
        let elr = (
            before.map_or(&[][..], |p| p.elr),
            after.map_or(&[][..], |p| p.elr),
        );
        move_members(&mut self.in_elr, topic, index, elr);

        let leaders = (
            before.map_or(NO_LEADER, |p| p.leader),
            after.map_or(NO_LEADER, |p| p.leader),
        );
        if leaders.0 != leaders.1 {
            if let Some(count) = self.led.get_mut(&leaders.0) {
                *count -= 1;
                if *count == 0 {
                    self.led.remove(&leaders.0);
                }
            }
            if leaders.1 != NO_LEADER {
                *self.led.entry(leaders.1).or_default() += 1;
            }
        }
        self.leaderless
            .set(topic, index, after.is_some_and(|p| p.leader == NO_LEADER));
        self.unpreferred.set(
            topic,
            index,
            after.is_some_and(|p| !p.has_preferred_leader()),
        );
        self.reassigning
            .set(topic, index, after.is_some_and(|p| p.is_reassigning()));
        self.partition_count =
            self.partition_count + usize::from(after.is_some()) - usize::from(before.is_some());
    }
}

fn move_members(
    sets: &mut BTreeMap<i32, PartitionSet>,
    topic: Uuid,
    index: i32,
    (before, after): (&[i32], &[i32]),
) {
    if before == after {
        return;
    }
    for broker in before.iter().filter(|broker| !after.contains(broker)) {
        if let Some(set) = sets.get_mut(broker) {
            set.set(topic, index, false);
            if set.is_empty() {
                sets.remove(broker);
            }
        }
    }
    for broker in after.iter().filter(|broker| !before.contains(broker)) {
        sets.entry(*broker).or_default().set(topic, index, true);
    }
}

fn collision_key(name: &str) -> Option<String> {
    (name.contains('.') || name.contains('_')).then(|| name.replace('.', "_"))
}
