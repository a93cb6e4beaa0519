//! The data directory of a node: whose it is, and what lies in it.
//!
//! Not here: its format and its recovery (broker/storage).

use ottla_broker_storage::disk::Lane;
use ottla_broker_storage::layout::MetaProperties;
use ottla_broker_storage::names::{META_PROPERTIES, META_PROPERTIES_IN_USE};
use ottla_broker_storage::{
    DirError, DirOptions, Limits, LogDir, LogSet, OpenedDir, OpenedLog, atomic_file,
};
use ottla_protocol::{Str, Uuid};

use crate::config::Config;
use crate::rt::Rt;

/// An opened data directory.
pub struct DataDir {
    /// The directory; held for as long as the node runs.
    pub dir: LogDir,
    /// The logs of this shard.
    pub set: LogSet,
    /// What was found.
    pub found: Vec<OpenedLog>,
    /// Whose it is.
    pub cluster_id: Str,
    /// Its id.
    pub directory_id: Uuid,
    /// The broker epoch to present at registration; −1 if something acknowledged may be lost.
    pub previous_broker_epoch: i64,
}

/// The cluster that the directory belongs to; `None` for an empty one and for one whose identity cannot
/// be read, which [`open`] says better.
pub async fn cluster_id_of(rt: &Rt, config: &Config) -> Option<Str> {
    let disk = rt.disk();
    for name in [META_PROPERTIES, META_PROPERTIES_IN_USE] {
        let bytes = atomic_file::read(&*disk, Lane::Any, &config.log_dir.join(name))
            .await
            .ok()
            .flatten();
        if let Some(meta) =
            bytes.and_then(|bytes| MetaProperties::parse(&String::from_utf8_lossy(&bytes)).ok())
        {
            return Some(Str::from(meta.cluster_id));
        }
    }
    None
}

/// Opens the directory, or makes it. Errors: it belongs to another node or cluster, is in use, is damaged.
pub async fn open(
    rt: &Rt,
    config: &Config,
    cluster_id: Str,
    new_directory_id: Uuid,
) -> Result<DataDir, DirError> {
    let options = DirOptions {
        owner: Some((cluster_id.to_string(), config.node_id)),
        new_directory_id,
        limits: Limits {
            retention_check_ms: i64::try_from(config.retention_check.as_millis())
                .unwrap_or(i64::MAX),
            ..Limits::default()
        },
    };
    let began = rt.now();
    let opened = LogDir::open(rt.disk(), &config.log_dir, options, rt.wall_clock_ms()).await?;
    let OpenedDir {
        dir,
        logs,
        was_clean,
        previous_broker_epoch,
    } = opened;
    if !was_clean {
        let took_ms = (rt.now() - began).as_millis();
        tracing::info!(path = %config.log_dir.display(), logs = logs.len(), took_ms, "recovered the data directory");
    }
    for log in &logs {
        if let Some(damage) = log.damage() {
            tracing::error!(partition = %log.name(), %damage, "this partition is damaged and refuses to lead");
        }
    }
    let set = dir.log_set(0);
    let directory_id = dir.directory_id();
    let previous_broker_epoch = previous_broker_epoch.unwrap_or(-1);
    Ok(DataDir {
        dir,
        set,
        found: logs,
        cluster_id,
        directory_id,
        previous_broker_epoch,
    })
}
