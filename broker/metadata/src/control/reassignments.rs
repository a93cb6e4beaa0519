//! ListPartitionReassignments: which partitions are on their way to other replicas.
//! Not here: starting and ending reassignments (`alter_partition` ends one when the new replicas are in sync).

use super::Controller;
use ottla_protocol::Uuid;
use ottla_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use std::collections::BTreeMap;

impl Controller {
    /// The partitions that are being reassigned: all without a list of topics, else those of the list,
    /// in its order. What is not being reassigned, or does not exist, is left out and is no error (KIP-455).
    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        let topics: Vec<OngoingTopicReassignment> = match &request.topics {
            None => {
                let mut ongoing = BTreeMap::<Uuid, Vec<i32>>::new();
                for (topic, partition) in self.index.reassigning.iter() {
                    ongoing.entry(topic).or_default().push(partition);
                }
                ongoing
                    .iter()
                    .filter_map(|(topic, partitions)| self.ongoing(topic, partitions))
                    .collect()
            }
            Some(named) => named
                .iter()
                .filter_map(|named| {
                    let topic = self.image().topic(&named.name)?;
                    self.ongoing(&topic.id, &named.partition_indexes)
                })
                .collect(),
        };
        ListPartitionReassignmentsResponse {
            topics,
            ..Default::default()
        }
    }

    /// Those of `partitions` that are being reassigned; `None` if there are none.
    fn ongoing(&self, topic: &Uuid, partitions: &[i32]) -> Option<OngoingTopicReassignment> {
        let topic = self.image().topic_by_id(topic)?;
        let partitions: Vec<OngoingPartitionReassignment> = partitions
            .iter()
            .filter_map(|index| {
                let partition = topic.partition(*index)?;
                partition
                    .is_reassigning()
                    .then(|| OngoingPartitionReassignment {
                        partition_index: *index,
                        replicas: partition.replicas.to_vec(),
                        adding_replicas: partition.adding.to_vec(),
                        removing_replicas: partition.removing.to_vec(),
                        ..Default::default()
                    })
            })
            .collect();
        (!partitions.is_empty()).then(|| OngoingTopicReassignment {
            name: topic.name.clone(),
            partitions,
            ..Default::default()
        })
    }
}
