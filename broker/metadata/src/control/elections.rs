//! ElectLeaders, and the elections that the controller makes on its own: back to preferred leaders, and
//! unclean ones where the topic allows them.
//! Not here: elections that follow from brokers coming and going (brokers.rs).

use super::leadership::{Change, Election};
use super::{Controller, Decision, RECORDS_PER_REQUEST_MAX, Refusal};
use crate::image::NO_LEADER;
use crate::levels;
use crate::record::VersionedRecord;
use ottla_protocol::messages::elect_leaders_request::ElectLeadersRequest;
use ottla_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use ottla_protocol::{ErrorCode, Uuid};

/// Elections of one periodic round, as in Kafka: the rest follows in the next round.
const ELECTIONS_PER_ROUND_MAX: usize = 1000;

impl Controller {
    /// Elects preferred leaders (type 0), or any live replica for partitions without a leader (type 1).
    /// Without a list of topics: all partitions, of which only those with something to do are answered.
    pub fn elect_leaders(&self, request: &ElectLeadersRequest) -> Decision<ElectLeadersResponse> {
        let election = match request.election_type {
            0 => Election::Preferred,
            1 => Election::Unclean,
            _ => {
                return Decision::nothing(ElectLeadersResponse {
                    error_code: ErrorCode::INVALID_REQUEST,
                    ..Default::default()
                });
            }
        };
        let mut records = Vec::new();
        let mut results = Vec::new();
        let mut elect = |topic: &ottla_protocol::Str, index: i32| {
            let outcome = if records.len() < RECORDS_PER_REQUEST_MAX {
                self.elect(topic, index, election)
            } else {
                Err(Refusal::new(
                    ErrorCode::POLICY_VIOLATION,
                    format!("one request may elect at most {RECORDS_PER_REQUEST_MAX} leaders"),
                ))
            };
            let refusal = outcome.map(|record| records.push(record)).err();
            PartitionResult {
                partition_id: index,
                error_code: refusal
                    .as_ref()
                    .map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.map(|refusal| refusal.message.into()),
                ..Default::default()
            }
        };
        match &request.topic_partitions {
            Some(topics) => {
                for topic in topics {
                    let partition_result = topic
                        .partitions
                        .iter()
                        .map(|index| elect(&topic.topic, *index))
                        .collect();
                    results.push(ReplicaElectionResult {
                        topic: topic.topic.clone(),
                        partition_result,
                        ..Default::default()
                    });
                }
            }
            None => {
                for topic in self.image().topics.iter() {
                    let all = topic
                        .partitions
                        .iter()
                        .map(|(index, _)| elect(&topic.name, index));
                    let partition_result: Vec<_> = all
                        .filter(|result| result.error_code != ErrorCode::ELECTION_NOT_NEEDED)
                        .collect();
                    results.push(ReplicaElectionResult {
                        topic: topic.name.clone(),
                        partition_result,
                        ..Default::default()
                    });
                }
            }
        }
        Decision::in_order(
            records,
            ElectLeadersResponse {
                replica_election_results: results,
                ..Default::default()
            },
        )
    }

    /// True while some partition is not led by its first replica.
    pub fn has_unpreferred_leaders(&self) -> bool {
        !self.index.unpreferred.is_empty()
    }

    /// One round of giving leaderships back to preferred replicas (auto.leader.rebalance.enable); the
    /// reply is true if another round should follow at once.
    pub fn elect_preferred_leaders(&self) -> Decision<bool> {
        self.elect_some(self.index.unpreferred.iter(), Election::Preferred)
    }

    /// One round of unclean elections for partitions without a leader whose topic allows them; the reply
    /// is true if another round should follow at once.
    pub fn elect_unclean_leaders(&self) -> Decision<bool> {
        let allowed = |(topic, _): &(Uuid, i32)| {
            self.image()
                .topic_by_id(topic)
                .is_some_and(|topic| self.automatic_election(&topic.name) == Election::Unclean)
        };
        self.elect_some(
            self.index.leaderless.iter().filter(allowed),
            Election::Unclean,
        )
    }

    fn elect_some(
        &self,
        partitions: impl Iterator<Item = (Uuid, i32)>,
        election: Election,
    ) -> Decision<bool> {
        let records: Vec<_> = partitions
            .filter_map(|(topic, index)| self.election_record(topic, index, election))
            .take(ELECTIONS_PER_ROUND_MAX)
            .collect();
        let more = records.len() == ELECTIONS_PER_ROUND_MAX;
        Decision::in_order(records, more)
    }

    fn elect(
        &self,
        topic: &ottla_protocol::Str,
        index: i32,
        election: Election,
    ) -> Result<VersionedRecord, Refusal> {
        let unknown = || {
            Refusal::new(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                format!("partition {index} of topic '{topic}' does not exist"),
            )
        };
        let found = self.image().topic(topic).ok_or_else(unknown)?;
        let partition = found.partition(index).ok_or_else(unknown)?;
        let needed = match election {
            Election::Preferred => !partition.has_preferred_leader(),
            Election::Online | Election::Unclean => partition.leader == NO_LEADER,
        };
        if !needed {
            return Err(Refusal::new(
                ErrorCode::ELECTION_NOT_NEEDED,
                "the partition has the leader it should have",
            ));
        }
        self.election_record(found.id, index, election)
            .ok_or_else(|| match election {
                Election::Preferred => Refusal::new(
                    ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
                    "the first replica is not in sync or not alive",
                ),
                Election::Online | Election::Unclean => Refusal::new(
                    ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
                    "no replica is alive",
                ),
            })
    }

    fn election_record(
        &self,
        topic: Uuid,
        index: i32,
        election: Election,
    ) -> Option<VersionedRecord> {
        let (name, partition) = self.partition(topic, index)?;
        let acceptable = |replica: i32| self.may_lead(replica, partition);
        let directory = |replica: i32| self.default_directory(replica);
        let mut change = Change::new(
            (topic, index),
            partition,
            self.rules(name, partition),
            &acceptable,
            &directory,
        );
        change.election = election;
        Some(VersionedRecord::new(
            change.build()?,
            levels::partition_version(self.image().metadata_version()),
        ))
    }
}
