//! UpdateFeatures: raising (and, where nothing was written yet that an older level cannot read, lowering)
//! finalized feature levels. All updates of a request happen, or none.
//!
//! Not here: raising kraft.version (broker/raft writes the control record; the shell asks it).

use super::{Controller, Decision, Refusal};
use crate::image::VersionRange;
use crate::levels;
use crate::record::VersionedRecord;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use ottla_protocol::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponse,
};
use ottla_protocol::metadata_records::FeatureLevelRecord;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl Controller {
    /// Changes finalized levels. `version` of the request: 0 has another field for downgrades, and from 2
    /// on there is no result per feature.
    pub fn update_features(
        &self,
        request: &UpdateFeaturesRequest,
        version: i16,
    ) -> Decision<UpdateFeaturesResponse> {
        let mut records = Vec::new();
        for update in &request.feature_updates {
            let named = request
                .feature_updates
                .iter()
                .filter(|other| other.feature == update.feature)
                .count();
            let outcome = if named > 1 {
                Err(Refusal::new(
                    ErrorCode::INVALID_REQUEST,
                    format!("the request names {} more than once", update.feature),
                ))
            } else {
                self.update_feature(update, version)
            };
            match outcome {
                Ok(record) => records.extend(record),
                Err(refusal) => {
                    return Decision::nothing(UpdateFeaturesResponse {
                        error_code: refusal.code,
                        error_message: Some(refusal.message.into()),
                        ..Default::default()
                    });
                }
            }
        }
        let results = request
            .feature_updates
            .iter()
            .map(|update| UpdatableFeatureResult {
                feature: update.feature.clone(),
                error_message: None,
                ..Default::default()
            });
        let results = if version < 2 {
            results.collect()
        } else {
            Vec::new()
        };
        let reply = UpdateFeaturesResponse {
            error_message: None,
            results,
            ..Default::default()
        };
        if request.validate_only {
            Decision::nothing(reply)
        } else {
            Decision::atomic(records, reply)
        }
    }

    fn update_feature(
        &self,
        update: &FeatureUpdateKey,
        version: i16,
    ) -> Result<Option<VersionedRecord>, Refusal> {
        let (feature, level) = (&update.feature, update.max_version_level);
        let invalid = |message: String| {
            Err(Refusal::new(
                ErrorCode::INVALID_UPDATE_VERSION,
                format!("{feature} cannot become {level}: {message}"),
            ))
        };
        let direction = match (version, update.upgrade_type, update.allow_downgrade) {
            (0, _, false) | (1.., 1, _) => Direction::Upgrade,
            (0, _, true) | (1.., 2, _) => Direction::SafeDowngrade,
            (1.., 3, _) => Direction::UnsafeDowngrade,
            _ => return invalid("the kind of update is not known".into()),
        };
        let current = match &**feature {
            levels::METADATA_VERSION => self.image().metadata_version(),
            levels::KRAFT_VERSION => {
                return invalid("the quorum changes its version itself".into());
            }
            name => self.image().features.level(name),
        };
        if level < 0 {
            return invalid("levels start at 0".into());
        }
        self.check_served(feature, level)?;
        if level < current && direction == Direction::Upgrade {
            return invalid(format!(
                "it is at {current}, and a downgrade must be asked for as such"
            ));
        }
        if level == current {
            return Ok(None);
        }
        if level > current && direction != Direction::Upgrade {
            return invalid(format!("it is at {current}, and this is no downgrade"));
        }
        if &**feature == levels::METADATA_VERSION && level < current {
            return invalid("records have been written that an older level cannot read".into());
        }
        if &**feature == levels::ELIGIBLE_LEADER_REPLICAS_VERSION
            && level > 0
            && self.image().metadata_version() < levels::METADATA_VERSION_ELR
        {
            return invalid(format!(
                "it needs {} {}",
                levels::METADATA_VERSION,
                levels::METADATA_VERSION_ELR
            ));
        }
        let record = FeatureLevelRecord {
            name: feature.clone(),
            feature_level: level,
            ..Default::default()
        };
        Ok(Some(VersionedRecord::new(record, 0)))
    }

    /// This build and every registered node must serve the level.
    fn check_served(&self, feature: &str, level: i16) -> Result<(), Refusal> {
        let brokers = self
            .image()
            .cluster
            .brokers
            .values()
            .map(|broker| (format!("broker {}", broker.id), broker.supported(feature)));
        let controllers = self
            .image()
            .cluster
            .controllers
            .values()
            .filter(|controller| controller.id != self.options.node_id);
        let controllers = controllers.map(|controller| {
            (
                format!("controller {}", controller.id),
                controller.supported(feature),
            )
        });
        let own = std::iter::once(("this controller".to_owned(), levels::supported(feature)));
        let unable = |(_, range): &(String, VersionRange)| !range.contains(level);
        match own.chain(brokers).chain(controllers).find(unable) {
            Some((node, VersionRange { min, max })) => Err(Refusal::new(
                ErrorCode::INVALID_UPDATE_VERSION,
                format!("{feature} cannot become {level}: {node} serves {min} to {max}"),
            )),
            None => Ok(()),
        }
    }
}
