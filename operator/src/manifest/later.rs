//! Kinds and fields that manifests of later versions will have. They are refused like any other
//! unknown name; knowing them only lets the message say so.

/// Kinds.
pub const KINDS: &[&str] = &[
    "KafkaNodePool",
    "KafkaUser",
    "KafkaRebalance",
    "KafkaBackup",
    "KafkaRestore",
];

/// Fields of any kind, by their last name.
const FIELDS: &[&str] = &[
    "version",
    "metadataVersion",
    "authorization",
    "authentication",
    "networkPolicyPeers",
    "configuration",
    "rack",
    "clusterCa",
    "clientsCa",
    "entityOperator",
    "updatePolicy",
    "autoRebalance",
    "storagePolicy",
    "powerState",
    "quotas",
    "template",
    "metrics",
    "resources",
    "class",
    "deleteClaim",
    "volumes",
    "deleteAfter",
    "adopt",
    "placement",
];

/// Whether a field of this name will come.
pub fn is_later(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// The words for something that will come.
pub fn message(what: &str) -> String {
    format!(
        "{what} belong to a later version of Ottla (this is {}); remove it",
        env!("CARGO_PKG_VERSION")
    )
}
