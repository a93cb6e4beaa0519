//! Brokers and controllers as they registered.
//! Not here: sessions and heartbeats (control/sessions.rs), which are soft state of the active controller.

use crate::shared_map::SharedMap;
use ottla_protocol::{Str, Uuid};
use std::sync::Arc;

/// Registered brokers and controllers. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Brokers by id.
    pub brokers: SharedMap<i32, Arc<BrokerRegistration>>,
    /// Controllers by id.
    pub controllers: SharedMap<i32, Arc<ControllerRegistration>>,
}

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// node.id.
    pub id: i32,
    /// Names this registration: requests with another epoch are stale.
    pub epoch: i64,
    /// Drawn by the broker at each start of its process.
    pub incarnation_id: Uuid,
    /// Advertised endpoints, one per listener.
    pub endpoints: Vec<Endpoint>,
    /// Levels the broker serves.
    pub features: Vec<(Str, VersionRange)>,
    /// broker.rack.
    pub rack: Option<Str>,
    /// True until the broker has caught up, and after its session expired: it may not lead nor be in an ISR.
    pub fenced: bool,
    /// True while the broker moves its leaderships away before it stops.
    pub in_controlled_shutdown: bool,
    /// Only ever true in logs of clusters that came from ZooKeeper.
    pub is_migrating_zk_broker: bool,
    /// Ids of the log directories that are online.
    pub log_dirs: Vec<Uuid>,
    /// Log directories that take no new replicas; `None` until the broker said so.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

/// One registered controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// node.id.
    pub id: i32,
    /// Drawn by the controller at each start of its process.
    pub incarnation_id: Uuid,
    /// Only of interest to clusters that came from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Endpoints, one per listener.
    pub endpoints: Vec<Endpoint>,
    /// Levels the controller serves.
    pub features: Vec<(Str, VersionRange)>,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name.
    pub name: Str,
    /// Host name or address.
    pub host: Str,
    /// TCP port.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// An inclusive range of feature levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

impl VersionRange {
    /// True if `level` is within.
    pub fn contains(self, level: i16) -> bool {
        self.min <= level && level <= self.max
    }
}

impl BrokerRegistration {
    /// True if the broker may lead partitions and be in their ISR.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The endpoint of listener `name`.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| &*endpoint.name == name)
    }

    /// The range of `feature` that the broker serves; 0..0 if it did not name it.
    pub fn supported(&self, feature: &str) -> VersionRange {
        supported_in(&self.features, feature)
    }

    /// The directory a new replica goes to: the only one of a broker with a single directory, else [`Uuid`] 1
    /// ("unassigned": the broker chooses and tells the controller, KIP-858). Cordoned directories take none.
    pub fn default_directory(&self) -> Uuid {
        match self.log_dirs.as_slice() {
            [only] => *only,
            _ => DIRECTORY_UNASSIGNED,
        }
    }

    /// True unless `dir` is known to be offline. Brokers that never named their directories have all online.
    pub fn has_online_directory(&self, dir: Uuid) -> bool {
        match dir {
            DIRECTORY_MIGRATING | DIRECTORY_UNASSIGNED => true,
            DIRECTORY_LOST => false,
            _ => self.log_dirs.is_empty() || self.log_dirs.contains(&dir),
        }
    }

    /// True if at least one directory takes new replicas.
    pub fn has_uncordoned_directory(&self) -> bool {
        match &self.cordoned_log_dirs {
            Some(cordoned) => self.log_dirs.iter().any(|dir| !cordoned.contains(dir)),
            None => true,
        }
    }
}

impl ControllerRegistration {
    /// The range of `feature` that the controller serves; 0..0 if it did not name it.
    pub fn supported(&self, feature: &str) -> VersionRange {
        supported_in(&self.features, feature)
    }
}

fn supported_in(features: &[(Str, VersionRange)], feature: &str) -> VersionRange {
    features
        .iter()
        .find(|(name, _)| &**name == feature)
        .map_or(VersionRange { min: 0, max: 0 }, |(_, range)| *range)
}

/// Replica whose directory predates directory assignment.
pub const DIRECTORY_MIGRATING: Uuid = Uuid::ZERO;
/// Replica whose broker has not chosen a directory yet.
pub const DIRECTORY_UNASSIGNED: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// Replica whose directory is offline.
pub const DIRECTORY_LOST: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);

/// True for directory ids that no real directory may have: the first hundred, as in Kafka.
pub fn is_reserved_directory(id: Uuid) -> bool {
    let bits = u128::from_be_bytes(id.0);
    bits < 100
}
