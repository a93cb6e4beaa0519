//! The partitions of one topic, packed: 64 partitions share one reference-counted chunk of flat arrays,
//! so that a partition with three replicas costs about 100 bytes instead of the 400 and more of one
//! vector per field, and changing one partition copies one chunk.
//!
//! Invariant: `rows` holds one row per bit of `present`, in partition order; `ints_end` and
//! `directories_end` ascend and the last equals the array's length.
//! Not here: topics and their names (topics.rs), which leader is chosen (control/leadership.rs).

use super::super::shared_map::SharedMap;
use ottla_protocol::Uuid;
use std::sync::Arc;

/// The leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

const CHUNK_PARTITIONS: i32 = 64;

/// One partition as the metadata log describes it, owned: what decisions compute with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Broker ids in order of preference.
    pub replicas: Vec<i32>,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    /// In-sync replicas.
    pub isr: Vec<i32>,
    /// Replicas a reassignment will remove.
    pub removing: Vec<i32>,
    /// Replicas a reassignment adds.
    pub adding: Vec<i32>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<i32>,
    /// With one entry: the last leader before the partition lost its leader (KIP-966, balanced recovery).
    pub last_known_elr: Vec<i32>,
    /// Broker id, or [`NO_LEADER`].
    pub leader: i32,
    /// True after an unclean election until the leader says that it has recovered.
    pub leader_recovering: bool,
    /// Rises with every change of leader.
    pub leader_epoch: i32,
    /// Rises with every change.
    pub partition_epoch: i32,
}

/// One partition, borrowed from an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRef<'a> {
    /// Broker ids in order of preference.
    pub replicas: &'a [i32],
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: &'a [Uuid],
    /// In-sync replicas.
    pub isr: &'a [i32],
    /// Replicas a reassignment will remove.
    pub removing: &'a [i32],
    /// Replicas a reassignment adds.
    pub adding: &'a [i32],
    /// Eligible leader replicas (KIP-966).
    pub elr: &'a [i32],
    /// See [`Partition::last_known_elr`].
    pub last_known_elr: &'a [i32],
    /// Broker id, or [`NO_LEADER`].
    pub leader: i32,
    /// True after an unclean election until the leader says that it has recovered.
    pub leader_recovering: bool,
    /// Rises with every change of leader.
    pub leader_epoch: i32,
    /// Rises with every change.
    pub partition_epoch: i32,
}

impl Partition {
    /// The same partition, borrowed.
    pub fn as_ref(&self) -> PartitionRef<'_> {
        PartitionRef {
            replicas: &self.replicas,
            directories: &self.directories,
            isr: &self.isr,
            removing: &self.removing,
            adding: &self.adding,
            elr: &self.elr,
            last_known_elr: &self.last_known_elr,
            leader: self.leader,
            leader_recovering: self.leader_recovering,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
        }
    }
}

impl PartitionRef<'_> {
    /// An owned copy.
    pub fn to_owned(self) -> Partition {
        Partition {
            replicas: self.replicas.to_vec(),
            directories: self.directories.to_vec(),
            isr: self.isr.to_vec(),
            removing: self.removing.to_vec(),
            adding: self.adding.to_vec(),
            elr: self.elr.to_vec(),
            last_known_elr: self.last_known_elr.to_vec(),
            leader: self.leader,
            leader_recovering: self.leader_recovering,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
        }
    }

    /// True if the first assigned replica leads.
    pub fn has_preferred_leader(&self) -> bool {
        self.replicas.first().copied().unwrap_or(NO_LEADER) == self.leader
    }

    /// True while a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The log directory of `broker`'s replica; `None` if the broker holds none.
    pub fn directory_of(&self, broker: i32) -> Option<Uuid> {
        let at = self
            .replicas
            .iter()
            .position(|replica| *replica == broker)?;
        self.directories.get(at).copied()
    }
}

/// All partitions of a topic by number. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Partitions {
    /// Partitions 0..64, which are all there are in most topics.
    first: Arc<Chunk>,
    /// Later chunks by `partition / 64`.
    rest: SharedMap<i32, Arc<Chunk>>,
    len: usize,
}

impl Partitions {
    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without partitions (between a topic's record and its first partition record).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The partition with number `index`.
    pub fn get(&self, index: i32) -> Option<PartitionRef<'_>> {
        let (chunk, slot) = locate(index)?;
        if chunk == 0 {
            self.first.get(slot)
        } else {
            self.rest.get(&chunk)?.get(slot)
        }
    }

    /// Number and state of each partition in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, PartitionRef<'_>)> {
        std::iter::once((&0, &self.first))
            .chain(self.rest.iter())
            .flat_map(|(chunk, partitions)| {
                partitions.iter().map(move |(slot, partition)| {
                    (chunk * CHUNK_PARTITIONS + slot as i32, partition)
                })
            })
    }

    /// Sets a partition. `index` must not be negative and no list longer than [`u16::MAX`]; `replay` checks both.
    pub(crate) fn set(&mut self, index: i32, partition: PartitionRef<'_>) {
        let (number, slot) = locate(index).expect("replay refuses negative partition numbers");
        let chunk = if number == 0 {
            &mut self.first
        } else {
            if !self.rest.contains_key(&number) {
                self.rest.insert(number, Arc::default());
            }
            self.rest.get_mut(&number).expect("inserted above")
        };
        if Arc::make_mut(chunk).set(slot, partition) {
            self.len += 1;
        }
    }
}

/// Two maps are equal when their partitions are; chunks that are shared are not compared.
impl PartialEq for Partitions {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.first == other.first && self.rest == other.rest
    }
}

impl Eq for Partitions {}

fn locate(index: i32) -> Option<(i32, u32)> {
    (index >= 0).then_some((index / CHUNK_PARTITIONS, (index % CHUNK_PARTITIONS) as u32))
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chunk {
    /// Bit n: partition n of this chunk exists.
    present: u64,
    rows: Vec<Row>,
    /// Replicas, ISR (unless equal to the replicas), removing, adding, ELR, last known ELR of each row in turn.
    ints: Vec<i32>,
    directories: Vec<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    ints_end: u32,
    directories_end: u32,
    replicas: u16,
    isr: u16,
    removing: u16,
    adding: u16,
    elr: u16,
    last_known_elr: u16,
    leader_recovering: bool,
    isr_is_replicas: bool,
}

impl Chunk {
    fn get(&self, slot: u32) -> Option<PartitionRef<'_>> {
        (self.present >> slot & 1 == 1).then(|| self.row(self.rank(slot)))
    }

    fn iter(&self) -> impl Iterator<Item = (u32, PartitionRef<'_>)> {
        let slots = (0..u64::BITS).filter(|slot| self.present >> slot & 1 == 1);
        slots.enumerate().map(|(rank, slot)| (slot, self.row(rank)))
    }

    /// Rows before `slot`.
    fn rank(&self, slot: u32) -> usize {
        (self.present & ((1 << slot) - 1)).count_ones() as usize
    }

    fn ends_before(&self, rank: usize) -> (usize, usize) {
        rank.checked_sub(1).map_or((0, 0), |before| {
            (
                self.rows[before].ints_end as usize,
                self.rows[before].directories_end as usize,
            )
        })
    }

    fn row(&self, rank: usize) -> PartitionRef<'_> {
        let row = &self.rows[rank];
        let (ints_from, directories_from) = self.ends_before(rank);
        let mut rest = &self.ints[ints_from..row.ints_end as usize];
        let mut take = |count: u16| {
            let (list, tail) = rest.split_at(count as usize);
            rest = tail;
            list
        };
        let replicas = take(row.replicas);
        PartitionRef {
            replicas,
            isr: if row.isr_is_replicas {
                replicas
            } else {
                take(row.isr)
            },
            removing: take(row.removing),
            adding: take(row.adding),
            elr: take(row.elr),
            last_known_elr: take(row.last_known_elr),
            directories: &self.directories[directories_from..row.directories_end as usize],
            leader: row.leader,
            leader_recovering: row.leader_recovering,
            leader_epoch: row.leader_epoch,
            partition_epoch: row.partition_epoch,
        }
    }

    /// True if the partition is new.
    fn set(&mut self, slot: u32, partition: PartitionRef<'_>) -> bool {
        let rank = self.rank(slot);
        let (ints_from, directories_from) = self.ends_before(rank);
        let is_new = self.present >> slot & 1 == 0;
        let (ints_to, directories_to) = if is_new {
            (ints_from, directories_from)
        } else {
            (
                self.rows[rank].ints_end as usize,
                self.rows[rank].directories_end as usize,
            )
        };

        let isr_is_replicas = partition.isr == partition.replicas;
        let lists = [
            partition.replicas,
            if isr_is_replicas { &[] } else { partition.isr },
            partition.removing,
            partition.adding,
            partition.elr,
            partition.last_known_elr,
        ];
        let ints_added: usize = lists.iter().map(|list| list.len()).sum();
        splice(
            &mut self.ints,
            ints_from,
            ints_to,
            lists.iter().flat_map(|list| list.iter().copied()),
            ints_added,
        );
        splice(
            &mut self.directories,
            directories_from,
            directories_to,
            partition.directories.iter().copied(),
            partition.directories.len(),
        );

        let row = Row {
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            ints_end: (ints_from + ints_added) as u32,
            directories_end: (directories_from + partition.directories.len()) as u32,
            replicas: partition.replicas.len() as u16,
            isr: partition.isr.len() as u16,
            removing: partition.removing.len() as u16,
            adding: partition.adding.len() as u16,
            elr: partition.elr.len() as u16,
            last_known_elr: partition.last_known_elr.len() as u16,
            leader_recovering: partition.leader_recovering,
            isr_is_replicas,
        };
        if is_new {
            reserve(&mut self.rows, 1);
            self.rows.insert(rank, row);
            self.present |= 1 << slot;
        } else {
            self.rows[rank] = row;
        }
        for later in &mut self.rows[rank + 1..] {
            later.ints_end = later.ints_end - ints_to as u32 + row.ints_end;
            later.directories_end =
                later.directories_end - directories_to as u32 + row.directories_end;
        }
        is_new
    }
}

/// Replaces `list[from..to]` by `added` entries.
fn splice<T: Copy>(
    list: &mut Vec<T>,
    from: usize,
    to: usize,
    new: impl Iterator<Item = T>,
    added: usize,
) {
    reserve(list, added.saturating_sub(to - from));
    list.splice(from..to, new);
}

/// Grows by a quarter instead of doubling: most chunks are written once and then kept for ever.
fn reserve<T>(list: &mut Vec<T>, added: usize) {
    if list.capacity() - list.len() < added {
        list.reserve_exact(added.max(list.len() / 4));
    }
}

#[cfg(test)]
mod tests {
    use super::{Partition, Partitions};
    use ottla_protocol::Uuid;
    use std::collections::BTreeMap;

    fn partition(n: i32, spread: i32) -> Partition {
        let list = |from: i32, len: i32| (from..from + len).collect::<Vec<_>>();
        Partition {
            replicas: list(n, 1 + spread % 4),
            directories: (0..1 + spread % 4)
                .map(|d| Uuid([d as u8 + 3; 16]))
                .collect(),
            isr: list(n, spread % 3),
            removing: list(7, spread % 2),
            adding: list(9, spread % 3),
            elr: list(11, spread % 4),
            last_known_elr: list(13, spread % 2),
            leader: n,
            leader_recovering: spread % 2 == 1,
            leader_epoch: spread,
            partition_epoch: spread * 2,
        }
    }

    #[test]
    fn packed_partitions_read_back_as_written_in_any_order_and_copies_stay() {
        let mut packed = Partitions::default();
        let mut model = BTreeMap::new();
        let mut copies = Vec::new();
        for step in 0..1500_i32 {
            let index = step * 37 % 211 * if step % 50 == 0 { 1000 } else { 1 };
            let written = partition(index, step * 7 % 12);
            packed.set(index, written.as_ref());
            model.insert(index, written);
            if step % 300 == 0 {
                copies.push((packed.clone(), model.clone()));
            }
        }
        copies.push((packed, model));
        for (packed, model) in copies {
            assert_eq!(packed.len(), model.len());
            let read: Vec<_> = packed
                .iter()
                .map(|(index, partition)| (index, partition.to_owned()))
                .collect();
            assert_eq!(read, model.clone().into_iter().collect::<Vec<_>>());
            for (index, written) in &model {
                assert_eq!(packed.get(*index).unwrap(), written.as_ref());
            }
            assert_eq!(packed.get(-1), None);
            assert_eq!(packed.get(i32::MAX), None);
        }
    }
}
