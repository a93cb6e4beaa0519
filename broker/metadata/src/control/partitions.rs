//! CreatePartitions: more partitions for existing topics.
//! Not here: fewer partitions, which Kafka does not know.

use super::{Controller, Decision, RECORDS_PER_REQUEST_MAX, Refusal};
use crate::image::Partition;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use std::collections::BTreeMap;

impl Controller {
    /// Raises partition counts. Topics stand for themselves; all that succeed go into one atomic batch.
    pub fn create_partitions(
        &self,
        request: &CreatePartitionsRequest,
    ) -> Decision<CreatePartitionsResponse> {
        let mut named = BTreeMap::<&str, usize>::new();
        for topic in &request.topics {
            *named.entry(&topic.name).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut placer = self.placer();
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let room = RECORDS_PER_REQUEST_MAX - records.len();
            let outcome = if named[&*topic.name] > 1 {
                Err(Refusal::new(
                    ErrorCode::INVALID_REQUEST,
                    "the request names this topic more than once",
                ))
            } else {
                self.added_partitions(topic, &mut placer, room)
            };
            let refusal = outcome
                .map(|(id, first, added)| {
                    records.extend(
                        (first..)
                            .zip(&added)
                            .map(|(index, partition)| self.partition_record(id, index, partition)),
                    )
                })
                .err();
            results.push(CreatePartitionsTopicResult {
                name: topic.name.clone(),
                error_code: refusal
                    .as_ref()
                    .map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.map(|refusal| refusal.message.into()),
                ..Default::default()
            });
        }
        if request.validate_only {
            records.clear();
        }
        Decision::atomic(
            records,
            CreatePartitionsResponse {
                results,
                ..Default::default()
            },
        )
    }

    /// Topic id, number of the first new partition, and the new partitions.
    fn added_partitions(
        &self,
        wanted: &CreatePartitionsTopic,
        placer: &mut super::placement::Placer,
        room: usize,
    ) -> Result<(ottla_protocol::Uuid, i32, Vec<Partition>), Refusal> {
        let topic = self.image().topic(&wanted.name);
        let topic = topic.ok_or_else(|| {
            Refusal::new(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                format!("topic '{}' does not exist", wanted.name),
            )
        })?;
        let present = topic.partitions.len() as i32;
        if wanted.count <= present {
            let message = format!(
                "topic '{}' has {present} partitions, {} would not be more",
                wanted.name, wanted.count
            );
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        let added = wanted.count - present;
        if added as usize > room {
            return Err(Refusal::new(
                ErrorCode::POLICY_VIOLATION,
                format!("one request may create at most {RECORDS_PER_REQUEST_MAX} partitions"),
            ));
        }
        let factor = topic
            .partitions
            .iter()
            .next()
            .map_or(1, |(_, partition)| partition.replicas.len());
        let partitions = match &wanted.assignments {
            None => self.place(added, factor as i16, placer)?,
            Some(assignments) if assignments.len() != added as usize => {
                let message = format!(
                    "{added} partitions are added, {} are assigned",
                    assignments.len()
                );
                return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
            }
            Some(assignments) => assignments
                .iter()
                .map(|assignment| self.assign(&assignment.broker_ids, factor))
                .collect::<Result<_, _>>()?,
        };
        Ok((topic.id, present, partitions))
    }
}
