//! Metadata records to image to delta, and the controller's decisions: pure.
//!
//! - [`Replayer`] folds records into an [`Image`]; [`Replayer::publish`] hands out an image and the
//!   [`Delta`] since the last one. Brokers and standby controllers need no more.
//! - [`Image`] answers queries and is cheap to clone; [`Image::to_records`] and [`snapshot`] turn it back
//!   into records and into the bytes of a `.checkpoint` file.
//! - [`Controller`] is the active controller: one function per request that returns a [`Decision`], and
//!   `replay`, the only writer.
//!
//! Invariants: replaying the records of an image gives an equal image; everything costs in proportion to
//! what changed; an unknown record stops the process; no clock, no randomness, no I/O (`now` and fresh
//! ids are arguments).
//! Not here: the log (broker/storage), consensus (broker/raft), the loop that drives all this (broker/src/controller).

pub mod levels;

mod batches;
mod control;
mod delta;
mod image;
mod record;
mod replay;
mod shared_map;
mod snapshot;
mod to_records;

pub use batches::{
    BATCH_BYTES_MAX, DecodeBatchError, EncodeBatchError, decode_batch, encode_batches,
};
pub use control::{
    ConfigCatalogue, ConfigRules, Controller, ControllerOptions, Decision, EffectiveConfig,
    Sessions, bootstrap_records, format_records,
};
pub use delta::{Delta, LocalChanges};
pub use image::{
    Acl, Acls, BrokerRegistration, ClientQuotas, Cluster, Configs, ControllerRegistration,
    DIRECTORY_LOST, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, DelegationToken, DelegationTokens,
    Endpoint, Features, Image, NO_LEADER, NextProducerId, Overrides, Partition, PartitionRef,
    Partitions, Provenance, QuotaEntity, Resource, ResourceKind, ScramCredential, ScramCredentials,
    Topic, Topics, VersionRange, is_reserved_directory,
};
pub use record::VersionedRecord;
pub use replay::{ReplayError, Replayer};
pub use shared_map::{Iter as SharedMapIter, SharedMap};
pub use snapshot::{SnapshotError, SnapshotHead, SnapshotReader, decode_snapshot, encode_snapshot};
