//! The operator: it looks at a cluster, asks `plan` what to do, does it on a platform, and reports.
//!
//! Rooms: `manifest` reads what users write, `platform` carries plans out. Not here: deciding
//! (operator/plan) and what a manifest may say (operator/api).

mod crds;
mod errands;
mod ids;
mod kafka;
pub mod manifest;
pub mod platform;

pub use crds::crds_yaml;
