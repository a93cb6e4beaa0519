//! Finalized feature levels of the cluster.
//! Not here: which levels this build supports (levels.rs).

use ottla_protocol::Str;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finalized feature levels. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Level of `metadata.version`; `None` only before the bootstrap records.
    pub metadata_version: Option<i16>,
    /// Levels above zero of all other features but `kraft.version` (that one is told by the quorum's control records).
    pub finalized: Arc<BTreeMap<Str, i16>>,
}

impl Features {
    /// The level of a feature other than `metadata.version`; 0 if it is not finalized.
    pub fn level(&self, name: &str) -> i16 {
        self.finalized
            .iter()
            .find(|(feature, _)| &***feature == name)
            .map_or(0, |(_, level)| *level)
    }

    /// All finalized features with their levels, `metadata.version` included, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (Str, i16)> {
        let mut all: BTreeMap<Str, i16> = BTreeMap::clone(&self.finalized);
        if let Some(level) = self.metadata_version {
            all.insert(crate::levels::METADATA_VERSION.into(), level);
        }
        all.into_iter()
    }

    /// True while eligible leader replicas are kept (KIP-966).
    pub fn elr_enabled(&self) -> bool {
        self.level(crate::levels::ELIGIBLE_LEADER_REPLICAS_VERSION) >= 1
    }
}
