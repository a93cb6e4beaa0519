//! Conditions as kstatus reads them: `Ready` always, `Reconciling` while there is work,
//! `Stalled` only when a human must change something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The types of condition that this version writes.
pub mod condition_type {
    /// Serves traffic at the observed generation.
    pub const READY: &str = "Ready";
    /// Work is under way; absent when idle.
    pub const RECONCILING: &str = "Reconciling";
    /// A user's change is needed; absent otherwise. Never set for what heals by itself.
    pub const STALLED: &str = "Stalled";
    /// Only present, and False, when the data directories have less room than declared.
    pub const STORAGE_READY: &str = "StorageReady";
}

/// One condition, in the form of Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Ready, Reconciling, Stalled or StorageReady.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word for programs.
    pub reason: String,
    /// Why, for people: stable while nothing changes (no counters, no times).
    pub message: String,
    /// The generation of the manifest that this speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told.
    Unknown,
}
