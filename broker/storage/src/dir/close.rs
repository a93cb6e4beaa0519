//! Handing a directory over to Apache Kafka: after a clean stop, or by `ottla seal` after any.

use std::path::Path;
use std::sync::Arc;

use ottla_protocol::Uuid;

use super::{DirError, LogDir, OpenedDir, ROOT_LANE, locked};
use crate::disk::{Disk, DiskOp, Lane};
use crate::entry::Entry;
use crate::layout::{OffsetCheckpoint, render_clean_shutdown, render_offset_checkpoint};
use crate::manifest::Manifest;
use crate::names::{
    BROKER_EPOCH, CLEAN_SHUTDOWN, LOG_START_CHECKPOINT, MANIFEST, META_PROPERTIES,
    META_PROPERTIES_IN_USE, RECOVERY_POINT_CHECKPOINT, REPLICATION_CHECKPOINT, parse_commit_chunk,
};
use crate::set::{Limits, LogConfig};

/// How a clean stop left the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Apache Kafka may open it.
    ForKafka,
    /// All is durable, but logs are damaged and Kafka would cut them: the directory stays ours. Their damage, by text.
    Kept(Vec<String>),
}

impl LogDir {
    /// The last step of a clean stop, when every [`crate::set::LogSet`] of the directory is drained and dropped.
    pub async fn close_clean(&self, broker_epoch: i64) -> Result<Closed, DirError> {
        if self.health().is_dead() {
            return Err(self.cannot_settle());
        }
        let bytes = locked(&self.0.manifest).encode();
        let path = self.path().join(MANIFEST);
        let (mut manifest, entries) =
            Manifest::decode(&bytes).map_err(|error| DirError::Manifest { path, error })?;
        let damaged: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.damage.as_ref())
            .map(|damage| damage.to_string())
            .collect();
        if !damaged.is_empty() {
            return Ok(Closed::Kept(damaged));
        }
        self.write_checkpoints(&entries).await?;
        manifest.clean_stop = Some(broker_epoch);
        self.write_file(MANIFEST, manifest.encode()).await?;
        self.write_file(CLEAN_SHUTDOWN, render_clean_shutdown(broker_epoch).into())
            .await?;
        let (from, to) = (
            self.path().join(META_PROPERTIES_IN_USE),
            self.path().join(META_PROPERTIES),
        );
        let steps = vec![
            DiskOp::Rename { from, to },
            DiskOp::SyncDir(self.path().to_owned()),
        ];
        let done = self.disk().run_all(ROOT_LANE, steps).await;
        done.map_err(|error| DirError::io("closing", self.path(), error))?;
        // Last, so that a stop that was cut short before still has its broker epoch.
        self.remove_own_files().await?;
        Ok(Closed::ForKafka)
    }

    /// Kafka's checkpoint files. Its metadata log is not in them.
    async fn write_checkpoints(&self, entries: &[Entry]) -> Result<(), DirError> {
        let logs = || {
            entries
                .iter()
                .filter(|entry| !entry.name.is_cluster_metadata())
        };
        let recovery: OffsetCheckpoint = logs()
            .map(|entry| (entry.name.clone(), entry.state.end()))
            .collect();
        let starts: OffsetCheckpoint = logs()
            .filter(|entry| {
                entry
                    .state
                    .segments()
                    .next()
                    .is_some_and(|first| entry.state.log_start > first.base_offset)
            })
            .map(|entry| (entry.name.clone(), entry.state.log_start))
            .collect();
        let high_watermarks: OffsetCheckpoint = logs()
            .map(|entry| (entry.name.clone(), entry.high_watermark))
            .collect();
        for (name, offsets) in [
            (RECOVERY_POINT_CHECKPOINT, recovery),
            (LOG_START_CHECKPOINT, starts),
            (REPLICATION_CHECKPOINT, high_watermarks),
        ] {
            self.write_file(name, render_offset_checkpoint(&offsets).into())
                .await?;
        }
        Ok(())
    }

    /// The empty commit log goes: it is made again in milliseconds. If this is cut short, opening does the rest.
    async fn remove_own_files(&self) -> Result<(), DirError> {
        let failed = |error| DirError::io("closing", self.path(), error);
        let names = self
            .disk()
            .list(Lane::Any, self.path())
            .await
            .map_err(failed)?;
        let own = names.iter().filter(|entry| {
            parse_commit_chunk(&entry.name).is_some() || entry.name == BROKER_EPOCH
        });
        let steps = own
            .map(|entry| DiskOp::RemoveFile(self.path().join(&entry.name)))
            .collect();
        self.disk()
            .run_all(ROOT_LANE, steps)
            .await
            .map(drop)
            .map_err(failed)
    }
}

/// Makes a directory that Ottla used acceptable to Apache Kafka: replays and empties the commit log, writes what Kafka
/// reads. The directory must not be in use. One that Kafka may open already is left as it is.
pub async fn seal(disk: Arc<dyn Disk>, path: &Path, now_ms: i64) -> Result<(), DirError> {
    let stat = disk
        .stat(ROOT_LANE, path.join(META_PROPERTIES))
        .await
        .map_err(|error| DirError::io("looking at", path, error))?;
    if stat.is_some() {
        return Ok(());
    }
    let options = super::DirOptions {
        owner: None,
        new_directory_id: Uuid::ZERO,
        limits: Limits::default(),
    };
    let OpenedDir {
        dir,
        logs,
        previous_broker_epoch,
        ..
    } = LogDir::open(disk, path, options, now_ms).await?;
    let mut set = dir.log_set(0);
    for log in logs {
        let durability = log.entry.durability;
        set.adopt(
            log,
            LogConfig {
                durability,
                ..LogConfig::default()
            },
        );
    }
    set.drain(now_ms).await?;
    drop(set);
    match dir.close_clean(previous_broker_epoch.unwrap_or(-1)).await? {
        Closed::ForKafka => Ok(()),
        Closed::Kept(logs) => Err(DirError::Damaged {
            path: path.to_owned(),
            logs: logs.join("; "),
        }),
    }
}
