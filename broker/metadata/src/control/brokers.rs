//! What a broker's coming and going means for partitions: fencing, unfencing, controlled shutdown, a
//! restart, a lost directory, leaving for good. However many partitions a broker led, its death is one
//! decision.
//! Not here: when these happen (heartbeat.rs, registration.rs), how one partition changes (leadership.rs).

use super::leadership::{Change, Election, Rules, UNKNOWN_BROKER_DIRECTORY};
use super::{Controller, Decision, Refusal};
use crate::image::{BrokerRegistration, PartitionRef};
use crate::levels;
use crate::record::VersionedRecord;
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_protocol::metadata_records::{BrokerRegistrationChangeRecord, UnregisterBrokerRecord};
use ottla_protocol::{ErrorCode, Str, Uuid};

/// Which broker is about to leave or to join the set of those that may lead. The image does not know yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shift {
    /// Leaves ISRs and leaderships.
    pub(super) remove: Option<i32>,
    /// May lead although the image says that it is fenced.
    pub(super) add: Option<i32>,
    /// Leaves ISRs, ELRs and leaderships: it came back without what it had acknowledged.
    pub(super) lost_data: Option<i32>,
}

impl Controller {
    /// Fences one broker whose session is over. Call it when [`Self::next_deadline`] has passed, until it
    /// returns `None`: one broker at a time, so that the next decision sees what the last one did.
    pub fn expire(&self, now_ms: i64) -> Option<Decision<i32>> {
        let (broker, _) = self.sessions.expired(self.image(), now_ms)?;
        let mut records = Vec::new();
        self.fence(self.image().broker(broker)?, &mut records);
        Some(Decision::in_order(records, broker))
    }

    /// UnregisterBroker: the registration goes; replicas should have been moved before.
    pub fn unregister_broker(
        &self,
        request: &UnregisterBrokerRequest,
    ) -> Decision<UnregisterBrokerResponse> {
        let id = request.broker_id;
        let Some(broker) = self.image().broker(id) else {
            let message = format!("broker {id} is not registered");
            return Decision::nothing(UnregisterBrokerResponse {
                error_code: ErrorCode::BROKER_ID_NOT_REGISTERED,
                error_message: Some(message.into()),
                ..Default::default()
            });
        };
        let mut records = Vec::new();
        let shift = Shift {
            remove: Some(id),
            ..Shift::default()
        };
        self.move_partitions(shift, self.index.in_isr(id), &mut records);
        self.move_partitions(shift, self.index.in_elr(id), &mut records);
        records.push(VersionedRecord::new(
            UnregisterBrokerRecord {
                broker_id: id,
                broker_epoch: broker.epoch,
                ..Default::default()
            },
            0,
        ));
        Decision::in_order(
            records,
            UnregisterBrokerResponse {
                error_message: None,
                ..Default::default()
            },
        )
    }

    pub(super) fn fence(&self, broker: &BrokerRegistration, records: &mut Vec<VersionedRecord>) {
        let shift = Shift {
            remove: Some(broker.id),
            ..Shift::default()
        };
        self.move_partitions(shift, self.index.in_isr(broker.id), records);
        let change = BrokerRegistrationChangeRecord {
            broker_id: broker.id,
            broker_epoch: broker.epoch,
            fenced: 1,
            ..Default::default()
        };
        records.push(VersionedRecord::new(change, 0));
    }

    pub(super) fn unfence(&self, broker: &BrokerRegistration, records: &mut Vec<VersionedRecord>) {
        let change = BrokerRegistrationChangeRecord {
            broker_id: broker.id,
            broker_epoch: broker.epoch,
            fenced: -1,
            ..Default::default()
        };
        records.push(VersionedRecord::new(change, 0));
        let holds = |(topic, index): &(Uuid, i32)| {
            self.partition(*topic, *index)
                .is_some_and(|(_, partition)| partition.replicas.contains(&broker.id))
        };
        let shift = Shift {
            add: Some(broker.id),
            ..Shift::default()
        };
        self.move_partitions(shift, self.index.leaderless.iter().filter(holds), records);
    }

    pub(super) fn start_controlled_shutdown(
        &self,
        broker: &BrokerRegistration,
        records: &mut Vec<VersionedRecord>,
    ) {
        if !broker.in_controlled_shutdown {
            let change = BrokerRegistrationChangeRecord {
                broker_id: broker.id,
                broker_epoch: broker.epoch,
                in_controlled_shutdown: 1,
                ..Default::default()
            };
            records.push(VersionedRecord::new(change, 1));
        }
        let shift = Shift {
            remove: Some(broker.id),
            ..Shift::default()
        };
        self.move_partitions(shift, self.index.in_isr(broker.id), records);
    }

    /// A new incarnation registers. `clean`: it has everything that its predecessor acknowledged.
    pub(super) fn restarted(&self, broker: i32, clean: bool, records: &mut Vec<VersionedRecord>) {
        if clean || !self.image().features.elr_enabled() {
            let shift = Shift {
                remove: Some(broker),
                ..Shift::default()
            };
            self.move_partitions(shift, self.index.in_isr(broker), records);
        } else {
            let shift = Shift {
                lost_data: Some(broker),
                ..Shift::default()
            };
            self.move_partitions(shift, self.index.in_isr(broker), records);
            self.move_partitions(shift, self.index.in_elr(broker), records);
        }
    }

    /// Directories of a broker went offline: its replicas there leave their ISRs.
    pub(super) fn directories_offline(
        &self,
        broker: &BrokerRegistration,
        offline: &[Uuid],
        records: &mut Vec<VersionedRecord>,
    ) {
        let (lost, left): (Vec<Uuid>, Vec<Uuid>) = broker
            .log_dirs
            .iter()
            .partition(|dir| offline.contains(dir));
        if lost.is_empty() {
            return;
        }
        let on_lost = |(topic, index): &(Uuid, i32)| {
            self.partition(*topic, *index)
                .and_then(|(_, partition)| partition.directory_of(broker.id))
                .is_some_and(|dir| lost.contains(&dir))
        };
        let shift = Shift {
            remove: Some(broker.id),
            ..Shift::default()
        };
        self.move_partitions(shift, self.index.in_isr(broker.id).filter(on_lost), records);
        let change = BrokerRegistrationChangeRecord {
            broker_id: broker.id,
            broker_epoch: broker.epoch,
            log_dirs: left,
            ..Default::default()
        };
        records.push(VersionedRecord::new(change, 2));
    }

    pub(super) fn directories_cordoned(
        &self,
        broker: &BrokerRegistration,
        cordoned: Option<&Vec<Uuid>>,
        records: &mut Vec<VersionedRecord>,
    ) {
        let Some(cordoned) = cordoned else { return };
        let same = broker.cordoned_log_dirs.as_ref().is_some_and(|known| {
            known.len() == cordoned.len() && known.iter().all(|dir| cordoned.contains(dir))
        });
        if same || self.image().metadata_version() < levels::METADATA_VERSION_CORDONED {
            return;
        }
        let change = BrokerRegistrationChangeRecord {
            broker_id: broker.id,
            broker_epoch: broker.epoch,
            cordoned_log_dirs: Some(cordoned.clone()),
            ..Default::default()
        };
        records.push(VersionedRecord::new(change, 3));
    }

    /// Changes leaders and ISRs of `partitions` as the shift demands.
    pub(super) fn move_partitions(
        &self,
        shift: Shift,
        partitions: impl Iterator<Item = (Uuid, i32)>,
        records: &mut Vec<VersionedRecord>,
    ) {
        let version = levels::partition_version(self.image().metadata_version());
        for (topic, index) in partitions {
            let Some((name, partition)) = self.partition(topic, index) else {
                continue;
            };
            let acceptable = |replica: i32| {
                Some(replica) != shift.remove
                    && Some(replica) != shift.lost_data
                    && self.image().broker(replica).is_some_and(|broker| {
                        (Some(replica) == shift.add || broker.is_active())
                            && self.has_online_directory(broker, partition)
                    })
            };
            let directory = |replica: i32| self.default_directory(replica);
            let mut change = Change::new(
                (topic, index),
                partition,
                self.rules(name, partition),
                &acceptable,
                &directory,
            );
            change.election = self.automatic_election(name);
            change.lost_data = shift.lost_data;
            change.isr.retain(|replica| {
                Some(*replica) != shift.remove && Some(*replica) != shift.lost_data
            });
            if let Some(record) = change.build() {
                records.push(VersionedRecord::new(record, version));
            }
        }
    }

    /// True if the broker may lead this partition as the image stands.
    pub(super) fn may_lead(&self, replica: i32, partition: PartitionRef<'_>) -> bool {
        self.image().broker(replica).is_some_and(|broker| {
            broker.is_active() && self.has_online_directory(broker, partition)
        })
    }

    fn has_online_directory(
        &self,
        broker: &BrokerRegistration,
        partition: PartitionRef<'_>,
    ) -> bool {
        partition
            .directory_of(broker.id)
            .is_none_or(|dir| broker.has_online_directory(dir))
    }

    pub(super) fn default_directory(&self, broker: i32) -> Uuid {
        self.image()
            .broker(broker)
            .map_or(UNKNOWN_BROKER_DIRECTORY, |broker| {
                broker.default_directory()
            })
    }

    pub(super) fn rules(&self, topic: &Str, partition: PartitionRef<'_>) -> Rules {
        let min_isr = self
            .topic_config(topic, "min.insync.replicas")
            .and_then(|value| value.parse().ok())
            .unwrap_or(1_usize);
        Rules {
            elr_enabled: self.image().features.elr_enabled(),
            min_isr: min_isr.min(partition.replicas.len()),
        }
    }

    pub(super) fn automatic_election(&self, topic: &Str) -> Election {
        match self
            .topic_config(topic, "unclean.leader.election.enable")
            .as_deref()
        {
            Some("true") => Election::Unclean,
            _ => Election::Online,
        }
    }

    pub(super) fn registration(
        &self,
        broker: i32,
        epoch: i64,
    ) -> Result<&BrokerRegistration, Refusal> {
        self.check_broker_epoch(broker, epoch)?;
        self.image()
            .broker(broker)
            .map(|broker| &**broker)
            .ok_or_else(|| {
                Refusal::new(
                    ErrorCode::BROKER_ID_NOT_REGISTERED,
                    format!("broker {broker} is not registered"),
                )
            })
    }
}
