//! The Ottla broker as a process: listeners, handlers, partitions, coordinators and the controller,
//! all on the runtime seam of [`rt`].
//!
//! | room | what it owns |
//! |---|---|
//! | [`rt`] | the only place that touches time, sockets, files and tasks |
//! | [`server`] | listeners, connections, the dispatch table |
//! | [`handlers`] | what each request means, a file per API |
//! | [`partition`] | the partitions of a shard: logs, high watermarks, waiting fetches |
//! | [`coordinator`] | consumer groups |
//! | [`controller`] | the metadata quorum, led here or followed |
//! | [`publish`] | new metadata, handed to everybody above |
//! | [`management`] | health, readiness and metrics over HTTP, at the rim |
//! | [`metrics`] | what can be measured, and how it is told |
//! | [`lifecycle`] | registration, heartbeats, orderly leave |
//! | [`start`] | puts all of it together |

pub mod auth;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod data_dir;
pub mod handlers;
pub mod lifecycle;
pub mod management;
pub mod metrics;
pub mod partition;
pub mod producer_ids;
pub mod publish;
pub mod rt;
pub mod server;
pub mod start;
pub mod topic_configs;
pub mod topic_names;

mod process;

pub use process::run;
