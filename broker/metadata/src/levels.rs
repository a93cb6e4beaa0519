//! Feature levels: what this build supports, and the record versions that each `metadata.version` prescribes.
//!
//! Source: Apache Kafka 4.3.1's feature table. metadata.version 21 = 3.9-IV0 (the first that allows
//! kraft.version 1), 22–25 = 4.0-IV0..3, 26–27 = 4.1, 28–29 = 4.2, 30 = 4.3-IV0.
//! Invariant: a level is in [`SUPPORTED`] only if it is served: brokers and controllers claim exactly this table.

use crate::image::VersionRange;

/// Name of the feature that rules record versions.
pub const METADATA_VERSION: &str = "metadata.version";
/// Name of the quorum's own feature (KIP-853); its level lives in control records, not in feature records.
pub const KRAFT_VERSION: &str = "kraft.version";
/// Name of the KIP-966 feature.
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";
/// Name of the transaction protocol's feature.
pub const TRANSACTION_VERSION: &str = "transaction.version";
/// Name of the consumer group protocol's feature (KIP-848).
pub const GROUP_VERSION: &str = "group.version";
/// Name of the share group feature (KIP-932).
pub const SHARE_VERSION: &str = "share.version";
/// Name of the streams group feature (KIP-1071).
pub const STREAMS_VERSION: &str = "streams.version";

/// metadata.version of a new cluster.
pub const METADATA_VERSION_DEFAULT: i16 = 30;
/// Levels whose records can be read: a log may begin with older ones than a broker may join under.
pub(crate) const METADATA_VERSIONS_READ: VersionRange = VersionRange { min: 7, max: 30 };
/// From here on partition records carry eligible leader replicas.
pub(crate) const METADATA_VERSION_ELR: i16 = 23;
/// From here on registrations carry cordoned log directories.
pub(crate) const METADATA_VERSION_CORDONED: i16 = 30;

/// Levels that this build serves, in name order. Features whose only served level is 0 are left out, as
/// Kafka does: a peer reads their absence as 0..0.
pub const SUPPORTED: &[(&str, VersionRange)] = &[
    (
        ELIGIBLE_LEADER_REPLICAS_VERSION,
        VersionRange { min: 0, max: 1 },
    ),
    (KRAFT_VERSION, VersionRange { min: 0, max: 1 }),
    (METADATA_VERSION, VersionRange { min: 21, max: 30 }),
];

/// The range of `feature` that this build serves; 0..0 for one it does not know.
pub fn supported(feature: &str) -> VersionRange {
    SUPPORTED
        .iter()
        .find(|(name, _)| *name == feature)
        .map_or(VersionRange { min: 0, max: 0 }, |(_, range)| *range)
}

/// Version of RegisterBrokerRecord.
pub fn register_broker_version(metadata_version: i16) -> i16 {
    if metadata_version >= METADATA_VERSION_CORDONED {
        4
    } else {
        3
    }
}

/// Version of PartitionRecord and of PartitionChangeRecord.
pub fn partition_version(metadata_version: i16) -> i16 {
    if metadata_version >= METADATA_VERSION_ELR {
        2
    } else {
        1
    }
}
