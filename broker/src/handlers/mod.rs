//! One file per API: what a request means. A handler takes a [`RequestContext`] and a decoded request
//! and yields the response; it holds no state of its own.
//!
//! Small families share a file: `forwarded` (what the controller decides), `quorum` (what only the
//! controller's port serves), `groups` (what one group coordinator decides).
//!
//! [`RequestContext`]: crate::server::RequestContext

pub mod api_versions;
pub mod delete_records;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_log_dirs;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod fetch_snapshot;
pub mod find_coordinator;
pub mod forwarded;
pub mod groups;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod quorum;

mod topic_lookup;
