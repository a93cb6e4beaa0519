//! What can be said of the groups to whoever watches them. Only reads.

use super::Coordinator;
use ottla_protocol::Str;

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFigures {
    /// Its id.
    pub id: Str,
    /// Name of its state as Kafka spells it.
    pub state: &'static str,
    /// Members it has now.
    pub members: usize,
    /// Topic, partition and the offset that is committed for it.
    pub offsets: Vec<(Str, i32, i64)>,
}

impl Coordinator {
    /// All groups, by id.
    pub fn figures(&self) -> impl Iterator<Item = GroupFigures> {
        self.groups.iter().map(|(id, group)| GroupFigures {
            id: id.clone(),
            state: group.state_name(),
            members: group.member_count(),
            offsets: self.committed_of(id),
        })
    }

    fn committed_of(&self, group: &Str) -> Vec<(Str, i32, i64)> {
        let topics = self.offsets.of_group(group).into_iter().flatten();
        let partitions = topics.flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(|(partition, committed)| (topic.clone(), *partition, committed.offset))
        });
        partitions.collect()
    }
}
