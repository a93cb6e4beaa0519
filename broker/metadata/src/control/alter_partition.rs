//! AlterPartition: a leader asks for another ISR, or says that it has recovered. And
//! AssignReplicasToDirs: a broker says in which directory it put a replica.
//!
//! AlterPartition is refused unless it comes from the leader of the current leader epoch, on top of the
//! current partition epoch, and every member of the new ISR is registered with the epoch that the leader
//! has seen, not fenced and not shutting down (KIP-841, KIP-903). Epochs higher than ours mean that we
//! are no longer the controller and do not know it yet: NOT_CONTROLLER.

use super::leadership::Change;
use super::{Controller, Decision};
use crate::image::{DIRECTORY_LOST, PartitionRef, is_reserved_directory};
use crate::levels;
use crate::record::VersionedRecord;
use crate::replay::{NO_LEADER_CHANGE, changed};
use ottla_protocol::messages::alter_partition_request::{
    AlterPartitionRequest, BrokerState, PartitionData,
};
use ottla_protocol::messages::alter_partition_response::{
    self as response, AlterPartitionResponse,
};
use ottla_protocol::messages::assign_replicas_to_dirs_request::AssignReplicasToDirsRequest;
use ottla_protocol::messages::assign_replicas_to_dirs_response::{
    self as assigned, AssignReplicasToDirsResponse,
};
use ottla_protocol::{ErrorCode, Str, Uuid};

impl Controller {
    /// Changes ISRs as leaders ask. The whole reply fails with STALE_BROKER_EPOCH if the sender is not
    /// the registered broker.
    pub fn alter_partition(
        &self,
        request: &AlterPartitionRequest,
    ) -> Decision<AlterPartitionResponse> {
        if let Err(refusal) = self.check_broker_epoch(request.broker_id, request.broker_epoch) {
            return Decision::nothing(AlterPartitionResponse {
                error_code: refusal.code,
                ..Default::default()
            });
        }
        let mut records = Vec::new();
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let altered =
                    self.alter_one(request.broker_id, topic.topic_id, wanted, &mut records);
                altered.unwrap_or_else(|code| response::PartitionData {
                    partition_index: wanted.partition_index,
                    error_code: code,
                    ..Default::default()
                })
            });
            response::TopicData {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..Default::default()
            }
        });
        let topics = topics.collect();
        Decision::in_order(
            records,
            AlterPartitionResponse {
                topics,
                ..Default::default()
            },
        )
    }

    fn alter_one(
        &self,
        broker: i32,
        topic: Uuid,
        wanted: &PartitionData,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<response::PartitionData, ErrorCode> {
        if self.image().topic_by_id(&topic).is_none() {
            return Err(ErrorCode::UNKNOWN_TOPIC_ID);
        }
        let (name, partition) = self
            .partition(topic, wanted.partition_index)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let isr = wanted_isr(wanted);
        self.check_alteration(broker, partition, wanted, &isr)?;
        let (partition, new_leader) = self.alter(topic, name, partition, wanted, &isr, records);
        // An ISR that completes a reassignment may move the leadership away from who asked.
        if new_leader.is_some_and(|leader| leader != broker) {
            return Err(ErrorCode::NEW_LEADER_ELECTED);
        }
        Ok(response::PartitionData {
            partition_index: wanted.partition_index,
            leader_id: partition.leader,
            leader_epoch: partition.leader_epoch,
            leader_recovery_state: i8::from(partition.leader_recovering),
            partition_epoch: partition.partition_epoch,
            isr: partition.isr,
            ..Default::default()
        })
    }

    /// The partition afterwards, and the leader if the record names one.
    fn alter(
        &self,
        topic: Uuid,
        name: &Str,
        partition: PartitionRef<'_>,
        wanted: &PartitionData,
        isr: &[BrokerState],
        records: &mut Vec<VersionedRecord>,
    ) -> (crate::image::Partition, Option<i32>) {
        let acceptable = |replica: i32| self.may_lead(replica, partition);
        let directory = |replica: i32| self.default_directory(replica);
        let mut change = Change::new(
            (topic, wanted.partition_index),
            partition,
            self.rules(name, partition),
            &acceptable,
            &directory,
        );
        change.election = self.automatic_election(name);
        change.isr = isr.iter().map(|member| member.broker_id).collect();
        change.recovering = wanted.leader_recovery_state == 1;
        let Some(record) = change.build() else {
            return (partition.to_owned(), None);
        };
        let after = changed(partition, &record);
        let new_leader = (record.leader != NO_LEADER_CHANGE).then_some(record.leader);
        records.push(VersionedRecord::new(
            record,
            levels::partition_version(self.image().metadata_version()),
        ));
        (after, new_leader)
    }

    fn check_alteration(
        &self,
        broker: i32,
        partition: PartitionRef<'_>,
        wanted: &PartitionData,
        isr: &[BrokerState],
    ) -> Result<(), ErrorCode> {
        if wanted.leader_epoch > partition.leader_epoch
            || wanted.partition_epoch > partition.partition_epoch
        {
            return Err(ErrorCode::NOT_CONTROLLER);
        }
        if wanted.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if broker != partition.leader {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if wanted.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::INVALID_UPDATE_VERSION);
        }
        let members: Vec<i32> = isr.iter().map(|member| member.broker_id).collect();
        let distinct = (1..members.len()).all(|at| !members[..at].contains(&members[at]));
        let assigned = members
            .iter()
            .all(|member| partition.replicas.contains(member));
        let recovering = wanted.leader_recovery_state == 1;
        let shape = distinct
            && assigned
            && members.contains(&partition.leader)
            && matches!(wanted.leader_recovery_state, 0 | 1);
        if !shape || (recovering && (members.len() > 1 || !partition.leader_recovering)) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let eligible = |member: &BrokerState| {
            let registered = self.image().broker(member.broker_id);
            registered.is_some_and(|registered| {
                registered.is_active()
                    && (member.broker_epoch == -1 || member.broker_epoch == registered.epoch)
            })
        };
        if isr.iter().all(eligible) {
            Ok(())
        } else {
            Err(ErrorCode::INELIGIBLE_REPLICA)
        }
    }

    /// Notes directories of replicas. A replica in a directory that is not online leaves the ISR.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
    ) -> Decision<AssignReplicasToDirsResponse> {
        let broker = match self.registration(request.broker_id, request.broker_epoch) {
            Ok(broker) => broker,
            Err(refusal) => {
                return Decision::nothing(AssignReplicasToDirsResponse {
                    error_code: refusal.code,
                    ..Default::default()
                });
            }
        };
        let mut records = Vec::new();
        let mut moved_offline = Vec::new();
        let directories = request.directories.iter().map(|directory| {
            // LOST is the one reserved id that a broker may report: a replica whose directory died before it was noted.
            let known = !is_reserved_directory(directory.id) || directory.id == DIRECTORY_LOST;
            let online = broker.log_dirs.contains(&directory.id);
            let topics = directory.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|wanted| {
                    let index = wanted.partition_index;
                    let outcome = if known {
                        self.assign_directory(broker.id, topic.topic_id, index, directory.id)
                    } else {
                        Err(ErrorCode::INVALID_REQUEST)
                    };
                    let error_code = outcome
                        .map(|record| records.extend(record))
                        .err()
                        .unwrap_or(ErrorCode::NONE);
                    if error_code == ErrorCode::NONE && !online {
                        moved_offline.push((topic.topic_id, index));
                    }
                    assigned::PartitionData {
                        partition_index: index,
                        error_code,
                        ..Default::default()
                    }
                });
                assigned::TopicData {
                    topic_id: topic.topic_id,
                    partitions: partitions.collect(),
                    ..Default::default()
                }
            });
            assigned::DirectoryData {
                id: directory.id,
                topics: topics.collect(),
                ..Default::default()
            }
        });
        let directories = directories.collect();
        let shift = super::brokers::Shift {
            remove: Some(broker.id),
            ..Default::default()
        };
        let in_isr = moved_offline.into_iter().filter(|(topic, index)| {
            self.partition(*topic, *index)
                .is_some_and(|(_, partition)| partition.isr.contains(&broker.id))
        });
        self.move_partitions(shift, in_isr, &mut records);
        Decision::in_order(
            records,
            AssignReplicasToDirsResponse {
                directories,
                ..Default::default()
            },
        )
    }

    fn assign_directory(
        &self,
        broker: i32,
        topic: Uuid,
        index: i32,
        dir: Uuid,
    ) -> Result<Option<VersionedRecord>, ErrorCode> {
        if self.image().topic_by_id(&topic).is_none() {
            return Err(ErrorCode::UNKNOWN_TOPIC_ID);
        }
        let (name, partition) = self
            .partition(topic, index)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if !partition.replicas.contains(&broker) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        // With its new directory the replica may lead again, which a partition without leader waits for.
        let online = self.image().broker(broker).is_some_and(|registered| {
            registered.is_active() && registered.has_online_directory(dir)
        });
        let acceptable = |replica: i32| {
            if replica == broker {
                online
            } else {
                self.may_lead(replica, partition)
            }
        };
        let directory = |replica: i32| self.default_directory(replica);
        let mut change = Change::new(
            (topic, index),
            partition,
            self.rules(name, partition),
            &acceptable,
            &directory,
        );
        change.directories.push((broker, dir));
        let version = levels::partition_version(self.image().metadata_version());
        Ok(change
            .build()
            .map(|record| VersionedRecord::new(record, version)))
    }
}

/// Version 2 of the request lists bare broker ids: no epoch to check.
fn wanted_isr(wanted: &PartitionData) -> Vec<BrokerState> {
    if wanted.new_isr_with_epochs.is_empty() {
        wanted
            .new_isr
            .iter()
            .map(|broker_id| BrokerState {
                broker_id: *broker_id,
                broker_epoch: -1,
                ..Default::default()
            })
            .collect()
    } else {
        wanted.new_isr_with_epochs.clone()
    }
}
