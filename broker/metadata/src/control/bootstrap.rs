//! The first records of a cluster: what a format writes to `bootstrap.checkpoint`, and what the first
//! active controller makes of it.
//! Not here: the control records of the quorum itself (broker/raft), files (broker/storage).

use super::Controller;
use crate::image::ResourceKind;
use crate::levels;
use crate::record::VersionedRecord;
use ottla_protocol::metadata_records::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord,
    FeatureLevelRecord, MetadataRecord, NoOpRecord,
};

/// What a format writes: metadata.version 30 and eligible leader replicas on. Group, transaction, share
/// and streams versions stay 0 (absent) until they are served.
pub fn format_records() -> Vec<VersionedRecord> {
    let levels = [
        (levels::METADATA_VERSION, levels::METADATA_VERSION_DEFAULT),
        (levels::ELIGIBLE_LEADER_REPLICAS_VERSION, 1),
    ];
    levels
        .map(|(name, feature_level)| {
            VersionedRecord::new(
                FeatureLevelRecord {
                    name: name.into(),
                    feature_level,
                    ..Default::default()
                },
                0,
            )
        })
        .into()
}

/// What a controller appends first when it becomes active on an empty log: the records of
/// `bootstrap.checkpoint` in one metadata transaction, with the minimum of in-sync replicas that ELR
/// needs to have in the log.
pub fn bootstrap_records(
    bootstrap: &[VersionedRecord],
    min_insync_replicas: i32,
) -> Vec<VersionedRecord> {
    let begin = BeginTransactionRecord {
        name: Some("Bootstrap records".into()),
        ..Default::default()
    };
    let mut records = vec![VersionedRecord::new(begin, 0)];
    records.extend_from_slice(bootstrap);
    let elr = bootstrap.iter().any(|record| {
        matches!(&record.record, MetadataRecord::FeatureLevel(feature) if &*feature.name == levels::ELIGIBLE_LEADER_REPLICAS_VERSION && feature.feature_level > 0)
    });
    if elr {
        let min_isr = ConfigRecord {
            resource_type: ResourceKind::Broker as i8,
            name: "min.insync.replicas".into(),
            value: Some(min_insync_replicas.to_string().into()),
            ..Default::default()
        };
        records.push(VersionedRecord::new(min_isr, 0));
    }
    records.push(VersionedRecord::new(EndTransactionRecord::default(), 0));
    records
}

impl Controller {
    /// What to append first after [`Controller::activate`]. On an empty log (no metadata.version yet) the
    /// bootstrap records; an unfinished transaction of the last controller is aborted before.
    pub fn activation_records(
        &self,
        bootstrap: &[VersionedRecord],
        min_insync_replicas: i32,
    ) -> Vec<VersionedRecord> {
        let mut records = Vec::new();
        // The level inside an unfinished bootstrap transaction does not count: it goes with the abort.
        let empty = self
            .replayer
            .published_features()
            .metadata_version
            .is_none();
        if self.open_transaction().is_some() {
            let abort = AbortTransactionRecord {
                reason: Some("Controller failover".into()),
                ..Default::default()
            };
            records.push(VersionedRecord::new(abort, 0));
        }
        if empty {
            records.extend(bootstrap_records(bootstrap, min_insync_replicas));
        }
        records
    }

    /// What an idle controller appends every metadata.max.idle.interval.ms, so that the log's end moves
    /// on and a broker's lag can be told from silence.
    pub fn no_op_records(&self) -> Vec<VersionedRecord> {
        vec![VersionedRecord::new(NoOpRecord::default(), 0)]
    }
}
