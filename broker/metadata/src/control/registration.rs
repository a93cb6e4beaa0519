//! BrokerRegistration and ControllerRegistration: who may join, and under which epoch.
//!
//! The broker epoch is the offset of the first record that the registration writes. A new incarnation
//! starts fenced; the same incarnation registering again (new listeners, new feature ranges) keeps its
//! epoch and state.
//!
//! While a registration's process is heard of, another process is refused, as in Kafka, with one
//! exception: it names the current epoch as its previous one and has exactly the registered log
//! directories. Only who holds the lock of those directories can know that epoch, so the former process
//! is gone, and a killed broker is back at once instead of after the session timeout.

use super::{Controller, Decision, Refusal};
use crate::image::{BrokerRegistration, is_reserved_directory};
use crate::levels;
use crate::record::VersionedRecord;
use ottla_protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use ottla_protocol::messages::broker_registration_response::BrokerRegistrationResponse;
use ottla_protocol::messages::controller_registration_request::ControllerRegistrationRequest;
use ottla_protocol::messages::controller_registration_response::ControllerRegistrationResponse;
use ottla_protocol::metadata_records::register_broker_record::{BrokerEndpoint, BrokerFeature};
use ottla_protocol::metadata_records::register_controller_record::{
    ControllerEndpoint, ControllerFeature,
};
use ottla_protocol::metadata_records::{RegisterBrokerRecord, RegisterControllerRecord};
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::collections::{BTreeMap, BTreeSet};

impl Controller {
    /// Registers a broker. `log_end`: offset that the first record of this decision will get.
    /// `kraft_version`: the quorum's, which stands in no metadata record.
    pub fn register_broker(
        &self,
        request: &BrokerRegistrationRequest,
        log_end: i64,
        kraft_version: i16,
        now_ms: i64,
    ) -> Decision<BrokerRegistrationResponse> {
        let existing = self
            .image()
            .broker(request.broker_id)
            .map(|broker| &**broker);
        if let Err(refusal) = self.check_registration(request, existing, kraft_version, now_ms) {
            return Decision::nothing(BrokerRegistrationResponse {
                error_code: refusal.code,
                broker_epoch: -1,
                ..Default::default()
            });
        }
        let mut records = Vec::new();
        let same_process =
            existing.filter(|existing| existing.incarnation_id == request.incarnation_id);
        let mut record = RegisterBrokerRecord {
            broker_id: request.broker_id,
            incarnation_id: request.incarnation_id,
            broker_epoch: log_end,
            end_points: request
                .listeners
                .iter()
                .map(|listener| BrokerEndpoint {
                    name: listener.name.clone(),
                    host: listener.host.clone(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..Default::default()
                })
                .collect(),
            features: request
                .features
                .iter()
                .map(|feature| BrokerFeature {
                    name: feature.name.clone(),
                    min_supported_version: feature.min_supported_version,
                    max_supported_version: feature.max_supported_version,
                    ..Default::default()
                })
                .collect(),
            rack: request.rack.clone(),
            fenced: true,
            log_dirs: request.log_dirs.clone(),
            ..Default::default()
        };
        match same_process {
            Some(existing) => {
                record.fenced = existing.fenced;
                record.in_controlled_shutdown = existing.in_controlled_shutdown;
                record.broker_epoch = existing.epoch;
                record
                    .cordoned_log_dirs
                    .clone_from(&existing.cordoned_log_dirs);
            }
            None => {
                let clean = existing
                    .is_some_and(|existing| existing.epoch == request.previous_broker_epoch);
                self.restarted(request.broker_id, clean, &mut records);
            }
        }
        let reply = BrokerRegistrationResponse {
            error_code: ErrorCode::NONE,
            broker_epoch: record.broker_epoch,
            ..Default::default()
        };
        // The registration comes last: if this controller dies between two batches, the broker registers
        // again and the next controller does the rest.
        records.push(VersionedRecord::new(
            record,
            levels::register_broker_version(self.image().metadata_version()),
        ));
        Decision::in_order(records, reply)
    }

    /// Registers a controller's endpoints and feature ranges (KIP-919).
    pub fn register_controller(
        &self,
        request: &ControllerRegistrationRequest,
    ) -> Decision<ControllerRegistrationResponse> {
        let record = RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: false,
            end_points: request
                .listeners
                .iter()
                .map(|listener| ControllerEndpoint {
                    name: listener.name.clone(),
                    host: listener.host.clone(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..Default::default()
                })
                .collect(),
            features: request
                .features
                .iter()
                .map(|feature| ControllerFeature {
                    name: feature.name.clone(),
                    min_supported_version: feature.min_supported_version,
                    max_supported_version: feature.max_supported_version,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        Decision::atomic(
            vec![VersionedRecord::new(record, 0)],
            ControllerRegistrationResponse::default(),
        )
    }

    fn check_registration(
        &self,
        request: &BrokerRegistrationRequest,
        existing: Option<&BrokerRegistration>,
        kraft_version: i16,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if request.cluster_id != self.options.cluster_id {
            let message = format!(
                "this is cluster {}, not {}",
                self.options.cluster_id, request.cluster_id
            );
            return Err(Refusal::new(ErrorCode::INCONSISTENT_CLUSTER_ID, message));
        }
        if let Some(existing) = existing
            && existing.incarnation_id != request.incarnation_id
            && self.sessions.is_valid(existing.id, existing.epoch, now_ms)
            && !is_successor(request, existing)
        {
            let message = format!(
                "broker {} is registered by a process that is alive; its session ends by itself if that process is gone",
                existing.id
            );
            return Err(Refusal::new(
                ErrorCode::DUPLICATE_BROKER_REGISTRATION,
                message,
            ));
        }
        if request.is_migrating_zk_broker {
            return Err(Refusal::new(
                ErrorCode::BROKER_ID_NOT_REGISTERED,
                "brokers under ZooKeeper cannot register",
            ));
        }
        self.check_log_dirs(request)?;
        self.check_features(request, kraft_version)
    }

    fn check_log_dirs(&self, request: &BrokerRegistrationRequest) -> Result<(), Refusal> {
        let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_REGISTRATION, message));
        if request.log_dirs.is_empty() {
            return invalid("the registration names no log directory".into());
        }
        let mut seen = BTreeSet::new();
        for dir in &request.log_dirs {
            if is_reserved_directory(*dir) {
                return invalid(format!("log directory id {dir} is reserved"));
            }
            if !seen.insert(*dir) {
                return invalid(format!("log directory id {dir} is named twice"));
            }
            if let Some(owner) = self
                .index
                .directory_owner
                .get(dir)
                .filter(|owner| **owner != request.broker_id)
            {
                return invalid(format!("log directory id {dir} belongs to broker {owner}"));
            }
        }
        Ok(())
    }

    /// Every finalized feature must be within the broker's range; one it does not name counts as 0..0.
    fn check_features(
        &self,
        request: &BrokerRegistrationRequest,
        kraft_version: i16,
    ) -> Result<(), Refusal> {
        if !request
            .features
            .iter()
            .any(|feature| &*feature.name == levels::METADATA_VERSION)
        {
            return Err(Refusal::new(
                ErrorCode::INVALID_REGISTRATION,
                "the registration names no range of metadata.version",
            ));
        }
        let mut finalized: BTreeMap<Str, i16> = self.image().features.iter().collect();
        finalized.insert(
            levels::METADATA_VERSION.into(),
            self.image().metadata_version(),
        );
        finalized.insert(levels::KRAFT_VERSION.into(), kraft_version);
        for feature in &request.features {
            let level = finalized.remove(&feature.name).unwrap_or(0);
            if level < feature.min_supported_version || level > feature.max_supported_version {
                let message = format!(
                    "{} is finalized at {level}, the broker serves {} to {}",
                    feature.name, feature.min_supported_version, feature.max_supported_version
                );
                return Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, message));
            }
        }
        match finalized.into_iter().find(|(_, level)| *level != 0) {
            Some((name, level)) => Err(Refusal::new(
                ErrorCode::UNSUPPORTED_VERSION,
                format!("{name} is finalized at {level}, the broker does not serve it"),
            )),
            None => Ok(()),
        }
    }
}

fn is_successor(request: &BrokerRegistrationRequest, existing: &BrokerRegistration) -> bool {
    let sorted = |dirs: &[Uuid]| dirs.iter().copied().collect::<BTreeSet<_>>();
    request.previous_broker_epoch == existing.epoch
        && !existing.log_dirs.is_empty()
        && sorted(&request.log_dirs) == sorted(&existing.log_dirs)
}
