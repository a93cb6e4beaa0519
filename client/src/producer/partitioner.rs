//! Which partition a record goes to, as Java's producer decides it: by the hash of its key, so that all clients agree where a key
//! lives; without a key to one partition for a while, then to another, so that batches fill (KIP-480, KIP-794).

use crate::cluster::Topic;
use ottla_protocol::Str;
use std::collections::BTreeMap;

/// Remembers the current partition of each topic for records without a key.
#[derive(Debug, Default)]
pub(crate) struct Partitioner {
    sticky: BTreeMap<Str, Sticky>,
}

#[derive(Debug)]
struct Sticky {
    partition: i32,
    bytes: usize,
}

impl Partitioner {
    /// The partition for a key (or for no key), of a topic that has at least one. `random` is used when the sticky partition changes.
    pub(crate) fn partition(
        &mut self,
        topic: &Topic,
        key: Option<&[u8]>,
        random: impl FnOnce() -> u64,
    ) -> i32 {
        let Some(key) = key else {
            return self.sticky(topic, random);
        };
        by_key(key, topic.partitions.len())
    }

    fn sticky(&mut self, topic: &Topic, random: impl FnOnce() -> u64) -> i32 {
        let led = |index: i32| {
            topic
                .partition(index)
                .is_some_and(|partition| partition.leader.is_some())
        };
        if let Some(sticky) = self
            .sticky
            .get(&topic.name)
            .filter(|sticky| led(sticky.partition))
        {
            return sticky.partition;
        }
        let led: Vec<i32> = topic
            .partitions
            .iter()
            .filter(|one| one.leader.is_some())
            .map(|one| one.index)
            .collect();
        let all: Vec<i32> = topic.partitions.iter().map(|one| one.index).collect();
        let choice = if led.is_empty() { all } else { led };
        let at = random() as usize % choice.len().max(1);
        let partition = choice.get(at).copied().unwrap_or(0);
        self.sticky.insert(
            topic.name.clone(),
            Sticky {
                partition,
                bytes: 0,
            },
        );
        partition
    }

    /// Notes that a record without a key went out; after a batch's worth another partition is due.
    pub(crate) fn appended(&mut self, topic: &Str, bytes: usize, batch_bytes: usize) {
        if let Some(sticky) = self.sticky.get_mut(topic) {
            sticky.bytes += bytes;
            if sticky.bytes >= batch_bytes {
                self.sticky.remove(topic);
            }
        }
    }
}

/// The partition of a key among `partitions` (> 0).
pub(crate) fn by_key(key: &[u8], partitions: usize) -> i32 {
    let hash = (murmur2(key) & i32::MAX).cast_unsigned() as usize;
    (hash % partitions.max(1)) as i32
}

/// MurmurHash 2, 32 bits, with Kafka's seed.
fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Partitioner, by_key, murmur2};
    use crate::cluster::{Partition, Topic};
    use ottla_protocol::Uuid;

    #[test]
    fn keys_land_where_java_puts_them() {
        // key, Utils.murmur2, Utils.toPositive % 100, printed by the JVM client.
        for (key, hash, partition) in [
            ("", 275646681, 81),
            ("a", -1563381124, 24),
            ("ab", 316155434, 34),
            ("abc", 479470107, 7),
            ("abcd", -1323649548, 0),
            ("21", -973932308, 40),
            ("foobar", -790332482, 66),
            ("a-little-bit-long-string", -985981536, 12),
            ("a-little-bit-longer-string", -1486304829, 19),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58897971,
                77,
            ),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
            assert_eq!(by_key(key.as_bytes(), 100), partition, "{key}");
        }
    }

    #[test]
    fn records_without_a_key_stay_for_a_batch_and_avoid_partitions_without_a_leader() {
        let partition = |index, leader| Partition {
            index,
            leader,
            leader_epoch: 0,
            replicas: vec![],
            isr: vec![],
            offline: vec![],
        };
        let mut topic = Topic {
            name: "t".into(),
            id: Uuid::ZERO,
            is_internal: false,
            partitions: vec![
                partition(0, Some(1)),
                partition(1, None),
                partition(2, Some(1)),
            ],
        };
        let mut partitioner = Partitioner::default();
        assert_eq!(partitioner.partition(&topic, None, || 1), 2);
        partitioner.appended(&topic.name, 99, 100);
        assert_eq!(partitioner.partition(&topic, None, || 0), 2);
        partitioner.appended(&topic.name, 1, 100);
        assert_eq!(partitioner.partition(&topic, None, || 0), 0);
        // Its leader goes away.
        topic.partitions[0].leader = None;
        assert_eq!(partitioner.partition(&topic, None, || 0), 2);
    }
}
