//! Opening: lock, identity, and then one of three ways: a new directory, a cleanly stopped one, one that crashed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::sync::{Arc, Mutex};

use ottla_protocol::Uuid;

use super::{
    DirError, Inner, LaneStart, LogDir, OpenedDir, OpenedLog, ROOT_LANE, SERVING, kafka, recover,
};
use crate::atomic_file;
use crate::disk::{DirEntry, Disk, DiskOp, File, Lane, OpenMode};
use crate::entry::{Durability, Entry};
use crate::layout::{MetaProperties, parse_clean_shutdown};
use crate::manifest::Manifest;
use crate::names::{
    BROKER_EPOCH, CLEAN_SHUTDOWN, DirName, LOCK, MANIFEST, META_PROPERTIES, META_PROPERTIES_IN_USE,
    parse_commit_chunk,
};
use crate::set::Limits;

/// Who opens, and how.
#[derive(Clone, Debug)]
pub struct DirOptions {
    /// Cluster and node that the directory must belong to; `None` takes it whosever it is (offline tools), but
    /// then it must exist.
    pub owner: Option<(String, i32)>,
    /// Id for a directory that has none yet.
    pub new_directory_id: Uuid,
    /// Sizes and times.
    pub limits: Limits,
}

/// The disk, the directory, and the time of opening.
pub(super) struct Opening<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) path: &'a Path,
    pub(super) now_ms: i64,
}

/// What one of the ways in found.
pub(super) struct Found {
    pub(super) manifest: Manifest,
    pub(super) entries: Vec<Entry>,
    pub(super) lanes: BTreeMap<u16, LaneStart>,
    pub(super) was_clean: bool,
    pub(super) previous_broker_epoch: Option<i64>,
}

impl LogDir {
    /// Opens a log directory: makes a new one, takes over one that Apache Kafka left, or recovers one that crashed. The
    /// disk should serve this directory alone (its lanes are numbered from 0). `now_ms` is wall-clock time.
    pub async fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: DirOptions,
        now_ms: i64,
    ) -> Result<OpenedDir, DirError> {
        let opening = Opening {
            disk: &disk,
            path,
            now_ms,
        };
        if options.owner.is_some() {
            opening.make_path().await?;
        }
        let lock = opening.lock().await?;
        let names = opening.list(path).await?;
        let found_meta = opening.read_meta(&names).await?;
        let (meta, is_in_use) = match found_meta {
            Some(found) => found,
            None => (opening.new_meta(&names, &options)?, true),
        };
        let is_new = !names
            .iter()
            .any(|entry| matches!(&entry.name[..], META_PROPERTIES | META_PROPERTIES_IN_USE));
        check_owner(path, &meta, &options)?;
        let directory_id = meta.directory_id.unwrap_or(options.new_directory_id);
        let meta = MetaProperties {
            directory_id: Some(directory_id),
            ..meta
        };
        let found = match (is_new, is_in_use) {
            (true, _) => opening.begin(directory_id, &meta).await?,
            (false, true) => recover::recover(&opening, directory_id, &names).await?,
            (false, false) => opening.take_over(directory_id, &meta, &names).await?,
        };
        let Found {
            manifest,
            entries,
            lanes,
            was_clean,
            previous_broker_epoch,
        } = found;
        opening.remove_leftovers(&names);
        let mut logs: Vec<OpenedLog> = entries
            .into_iter()
            .map(|entry| OpenedLog { entry })
            .collect();
        logs.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        let dir = LogDir(Arc::new(Inner {
            path: path.to_owned(),
            meta,
            directory_id,
            limits: options.limits,
            health: AtomicU8::new(SERVING),
            death: Mutex::default(),
            next_log: AtomicU32::new(manifest.next_log),
            manifest: Mutex::new(manifest),
            lanes: Mutex::new(lanes),
            _lock: lock,
            disk,
        }));
        Ok(OpenedDir {
            dir,
            logs,
            was_clean,
            previous_broker_epoch,
        })
    }
}

impl Opening<'_> {
    /// Makes the directory and its parents.
    async fn make_path(&self) -> Result<(), DirError> {
        let mut missing: Vec<PathBuf> = Vec::new();
        for ancestor in self
            .path
            .ancestors()
            .filter(|ancestor| !ancestor.as_os_str().is_empty())
        {
            let stat = self
                .disk
                .stat(ROOT_LANE, ancestor)
                .await
                .map_err(|error| DirError::io("looking at", ancestor, error))?;
            if stat.is_some() {
                break;
            }
            missing.push(ancestor.to_owned());
        }
        for path in missing.into_iter().rev() {
            let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
            let steps = vec![DiskOp::CreateDir(path.clone()), DiskOp::SyncDir(parent)];
            self.disk
                .run_all(ROOT_LANE, steps)
                .await
                .map_err(|error| DirError::io("making", path, error))?;
        }
        Ok(())
    }

    async fn lock(&self) -> Result<File, DirError> {
        let lock = File::new(self.path.join(LOCK), OpenMode::Create);
        match self.disk.run(ROOT_LANE, DiskOp::Lock(lock.clone())).await {
            Ok(()) => Ok(lock),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(DirError::Locked {
                path: self.path.to_owned(),
            }),
            Err(error) => Err(DirError::io("locking", self.path, error)),
        }
    }

    pub(super) async fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DirError> {
        self.disk
            .list(Lane::Any, path)
            .await
            .map_err(|error| DirError::io("listing", path, error))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<String>, DirError> {
        let path = self.path.join(name);
        let bytes = atomic_file::read(&**self.disk, ROOT_LANE, &path).await;
        let bytes = bytes.map_err(|error| DirError::io("reading", path, error))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(super) async fn write(
        &self,
        name: &str,
        bytes: impl Into<bytes::Bytes>,
    ) -> Result<(), DirError> {
        let path = self.path.join(name);
        let written = atomic_file::write(&**self.disk, ROOT_LANE, &path, bytes.into()).await;
        written.map_err(|error| DirError::io("writing", path, error))
    }

    pub(super) async fn run_all(
        &self,
        doing: &'static str,
        steps: Vec<DiskOp>,
    ) -> Result<(), DirError> {
        let done = self.disk.run_all(ROOT_LANE, steps).await;
        done.map(drop)
            .map_err(|error| DirError::io(doing, self.path, error))
    }

    /// Whose directory it is, and whether it is in use by us. `None` when it has never been anybody's.
    async fn read_meta(
        &self,
        names: &[DirEntry],
    ) -> Result<Option<(MetaProperties, bool)>, DirError> {
        let has = |wanted: &str| names.iter().any(|entry| entry.name == wanted);
        let name = match (has(META_PROPERTIES), has(META_PROPERTIES_IN_USE)) {
            (true, true) => {
                return Err(DirError::TwoMetas {
                    path: self.path.to_owned(),
                });
            }
            (true, false) => META_PROPERTIES,
            (false, true) => META_PROPERTIES_IN_USE,
            (false, false) => return Ok(None),
        };
        let text = self.read(name).await?.unwrap_or_default();
        let meta = MetaProperties::parse(&text).map_err(|error| DirError::Meta {
            path: self.path.join(name),
            error,
        })?;
        Ok(Some((meta, name == META_PROPERTIES_IN_USE)))
    }

    fn new_meta(
        &self,
        names: &[DirEntry],
        options: &DirOptions,
    ) -> Result<MetaProperties, DirError> {
        // A file system of its own brings lost+found; a start that was cut short may have left the others.
        let harmless =
            |name: &str| matches!(name, LOCK | "lost+found" | MANIFEST) || name.ends_with(".tmp");
        let stranger = names.iter().find(|entry| !harmless(&entry.name));
        match (stranger, &options.owner) {
            (None, Some((cluster_id, node_id))) => Ok(MetaProperties {
                cluster_id: cluster_id.clone(),
                node_id: *node_id,
                directory_id: None,
                other: Vec::new(),
            }),
            (stranger, _) => Err(DirError::NotALogDir {
                path: self.path.to_owned(),
                example: stranger.map_or("nothing", |entry| &entry.name).to_owned(),
            }),
        }
    }

    /// A new directory. The manifest comes first: with `meta.properties.ottla` there must be one.
    async fn begin(&self, directory_id: Uuid, meta: &MetaProperties) -> Result<Found, DirError> {
        let manifest = Manifest::new(directory_id);
        self.write(MANIFEST, manifest.encode()).await?;
        self.write(META_PROPERTIES_IN_USE, meta.render()).await?;
        Ok(Found {
            manifest,
            entries: Vec::new(),
            lanes: BTreeMap::new(),
            was_clean: true,
            previous_broker_epoch: None,
        })
    }

    /// A directory that Apache Kafka may have used: a clean stop of ours that nobody touched since is known from the
    /// manifest, anything else is read as Kafka reads it.
    async fn take_over(
        &self,
        directory_id: Uuid,
        meta: &MetaProperties,
        names: &[DirEntry],
    ) -> Result<Found, DirError> {
        let clean_shutdown = self.read(CLEAN_SHUTDOWN).await?;
        let broker_epoch = clean_shutdown.as_deref().map(parse_clean_shutdown);
        let ours = self.own_clean_stop(directory_id, broker_epoch).await?;
        // A taking over that is cut short begins again, and must read the logs the same way: from Kafka's files neither a
        // missing log nor a missing segment can be told.
        let clean_stop = ours.as_ref().and(broker_epoch);
        let entries = match ours {
            Some(entries) => recover::verify(self, entries, names).await?,
            None => kafka::read_logs(self, names, clean_shutdown.is_some()).await?,
        };
        let mut manifest = Manifest::new(directory_id);
        manifest.clean_stop = clean_stop;
        manifest.next_log = entries
            .iter()
            .map(|entry| entry.id.0 + 1)
            .max()
            .unwrap_or(0);
        entries.iter().for_each(|entry| manifest.put(entry));
        // Chunks that were left behind belong to a time before Kafka's; they must not be replayed on top of it.
        self.remove_chunks(names).await?;
        self.write(MANIFEST, manifest.encode()).await?;
        if meta.directory_id.is_some() {
            self.write(META_PROPERTIES, meta.render()).await?;
        }
        let has_damage = entries.iter().any(|entry| entry.damage.is_some());
        let previous_broker_epoch = broker_epoch.filter(|epoch| *epoch >= 0 && !has_damage);
        // Until the next registration a crash must find this one, and none of a time before Kafka's.
        match previous_broker_epoch {
            Some(epoch) => self.write(BROKER_EPOCH, epoch.to_string()).await?,
            None => self.forget_broker_epoch().await?,
        }
        let (from, to) = (
            self.path.join(META_PROPERTIES),
            self.path.join(META_PROPERTIES_IN_USE),
        );
        self.run_all(
            "taking over",
            vec![
                DiskOp::Rename { from, to },
                DiskOp::SyncDir(self.path.to_owned()),
            ],
        )
        .await?;
        self.forget_clean_shutdown(names).await?;
        manifest.clean_stop = None;
        let was_clean = clean_shutdown.is_some();
        Ok(Found {
            manifest,
            entries,
            lanes: BTreeMap::new(),
            was_clean,
            previous_broker_epoch,
        })
    }

    /// The logs as we stopped them, if the last clean stop was ours: Kafka would have written another broker epoch, or none.
    async fn own_clean_stop(
        &self,
        directory_id: Uuid,
        broker_epoch: Option<i64>,
    ) -> Result<Option<Vec<Entry>>, DirError> {
        let path = self.path.join(MANIFEST);
        let bytes = atomic_file::read(&**self.disk, ROOT_LANE, &path)
            .await
            .map_err(|error| DirError::io("reading", path, error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        Ok(match Manifest::decode(&bytes) {
            Ok((manifest, entries))
                if manifest.directory_id == directory_id && manifest.clean_stop == broker_epoch =>
            {
                broker_epoch.map(|_| entries)
            }
            _ => None,
        })
    }

    pub(super) async fn forget_clean_shutdown(&self, names: &[DirEntry]) -> Result<(), DirError> {
        if names.iter().any(|entry| entry.name == CLEAN_SHUTDOWN) {
            let steps = vec![
                DiskOp::RemoveFile(self.path.join(CLEAN_SHUTDOWN)),
                DiskOp::SyncDir(self.path.to_owned()),
            ];
            self.run_all("removing the clean shutdown mark of", steps)
                .await?;
        }
        Ok(())
    }

    async fn forget_broker_epoch(&self) -> Result<(), DirError> {
        let path = self.path.join(BROKER_EPOCH);
        let stat = self.disk.stat(ROOT_LANE, path.clone()).await;
        if stat
            .map_err(|error| DirError::io("looking at", path.clone(), error))?
            .is_none()
        {
            return Ok(());
        }
        let steps = vec![
            DiskOp::RemoveFile(path),
            DiskOp::SyncDir(self.path.to_owned()),
        ];
        self.run_all("forgetting the broker epoch of", steps).await
    }

    async fn remove_chunks(&self, names: &[DirEntry]) -> Result<(), DirError> {
        let chunks = names
            .iter()
            .filter(|entry| parse_commit_chunk(&entry.name).is_some());
        let steps = chunks
            .map(|entry| DiskOp::RemoveFile(self.path.join(&entry.name)))
            .collect();
        self.run_all("removing old chunks of", steps).await
    }

    /// Directories of deleted topics. Nobody waits for their removal, and it is tried again at the next start.
    fn remove_leftovers(&self, names: &[DirEntry]) {
        for entry in names
            .iter()
            .filter(|entry| entry.stat.is_dir && DirName::parse(&entry.name) == DirName::Deleted)
        {
            drop(
                self.disk
                    .submit(Lane::Any, DiskOp::RemoveTree(self.path.join(&entry.name))),
            );
        }
    }

    /// The broker epoch of the last registration, if what it stood for holds: with page-cache durability or damage a crash may
    /// have lost what was acknowledged.
    pub(super) async fn broker_epoch_after_crash(
        &self,
        entries: &[Entry],
    ) -> Result<Option<i64>, DirError> {
        let is_lossy =
            |entry: &Entry| entry.durability == Durability::PageCache || entry.damage.is_some();
        if entries.iter().any(is_lossy) {
            // Nor can any later start say it: the log in question may be gone or promise more by then.
            self.forget_broker_epoch().await?;
            return Ok(None);
        }
        Ok(self
            .read(BROKER_EPOCH)
            .await?
            .and_then(|text| text.trim().parse().ok()))
    }
}

fn check_owner(path: &Path, meta: &MetaProperties, options: &DirOptions) -> Result<(), DirError> {
    let Some((cluster_id, node_id)) = &options.owner else {
        return Ok(());
    };
    let path = path.to_owned();
    if meta.cluster_id != *cluster_id {
        return Err(DirError::OtherCluster {
            path,
            found: meta.cluster_id.clone(),
            expected: cluster_id.clone(),
        });
    }
    if meta.node_id != *node_id {
        return Err(DirError::OtherNode {
            path,
            found: meta.node_id,
            expected: *node_id,
        });
    }
    Ok(())
}
