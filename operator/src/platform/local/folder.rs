//! The files of one cluster, and how they are written: whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Present in every folder that a supervisor made; nothing without it is ever deleted.
const MARK: &str = "memory.json";

/// The folder of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFolder {
    path: PathBuf,
}

/// Every cluster that has a folder in `dir`, by name. A `dir` that does not exist has none.
pub fn clusters(dir: &Path) -> io::Result<Vec<(String, ClusterFolder)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|_| path.join(MARK).is_file()) {
            found.push((name.to_owned(), ClusterFolder::at(&path)?));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

impl ClusterFolder {
    /// The folder at `path`, which may not exist yet. Brokers are told absolute paths. Errors:
    /// `InvalidInput` for a path that a broker's settings cannot name.
    pub fn at(path: &Path) -> io::Result<ClusterFolder> {
        let path = std::path::absolute(path)?;
        let is_nameable = path.to_str().is_some_and(|path| !path.contains(','));
        if !is_nameable {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{}: a broker's directory cannot have a comma in its path, nor bytes that are not UTF-8",
                    path.display()
                ),
            ));
        }
        Ok(ClusterFolder { path })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifests that hold.
    pub fn declared(&self) -> PathBuf {
        self.path.join("declared.json")
    }

    /// What must outlive a supervisor.
    pub fn memory(&self) -> PathBuf {
        self.path.join(MARK)
    }

    /// The last view.
    pub fn status(&self) -> PathBuf {
        self.path.join("status.json")
    }

    /// Held by the supervisor.
    pub fn lock(&self) -> PathBuf {
        self.path.join("supervisor.lock")
    }

    /// What the supervisor has to say about itself.
    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// The supervisor's socket, relative to the folder: the whole path may be too long for one.
    pub const SOCKET: &str = "supervisor.sock";

    /// A broker's folder.
    pub fn broker(&self, id: i32) -> PathBuf {
        self.path.join(format!("broker-{id}"))
    }

    /// Where a broker stores.
    pub fn data(&self, id: i32) -> PathBuf {
        self.broker(id).join("data")
    }

    /// A broker's settings.
    pub fn properties(&self, id: i32) -> PathBuf {
        self.broker(id).join("server.properties")
    }

    /// What a broker has to say.
    pub fn broker_log(&self, id: i32) -> PathBuf {
        self.broker(id).join("broker.log")
    }

    /// Which process a broker is.
    pub fn pid(&self, id: i32) -> PathBuf {
        self.broker(id).join("pid")
    }

    /// Deletes what a supervisor left that was never told anything: a folder without a cluster.
    pub fn remove_if_unused(&self) -> io::Result<()> {
        if self.memory().exists() || self.declared().exists() {
            return Ok(());
        }
        for file in [self.lock(), self.supervisor_log()] {
            // Either may be missing; a folder that is not empty stays.
            let _ = fs::remove_file(file);
        }
        fs::remove_dir(&self.path)
    }

    /// Deletes the folder with all records in it. Errors: `InvalidInput` when it is none of ours.
    pub fn purge(&self) -> io::Result<()> {
        if !self.memory().is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no folder of a cluster", self.path.display()),
            ));
        }
        fs::remove_dir_all(&self.path)
    }
}

/// Writes `value` so that a reader sees the old text or the new one, after a crash too.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_whole(path, text.as_bytes(), Durable::Yes)
}

/// Whether a file must be there after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// It must.
    Yes,
    /// It is written again anyway.
    No,
}

/// Writes a whole file beside the old one and puts it in its place.
pub fn write_whole(path: &Path, bytes: &[u8], durable: Durable) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    if durable == Durable::Yes {
        file.sync_all()?;
    }
    fs::rename(&beside, path)
}

/// Reads what `write_json` wrote; None when there is no such file. Errors name the file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(path, error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| named(path, error.into()))
}

/// An error that says which file it is about.
pub fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_folders_are_clusters() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mine")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        let mine = ClusterFolder::at(&dir.path().join("mine")).unwrap();
        let other = ClusterFolder::at(&dir.path().join("other")).unwrap();
        write_json(&mine.memory(), &1).unwrap();
        let found = clusters(dir.path()).unwrap();
        assert_eq!(found, [("mine".to_owned(), mine.clone())]);
        assert!(other.purge().is_err());
        assert!(other.path().is_dir());
        mine.purge().unwrap();
        assert!(!mine.path().exists());
        assert_eq!(clusters(&dir.path().join("none")).unwrap(), []);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        assert_eq!(read_json::<i32>(&path).unwrap(), None);
        fs::write(&path, "{").unwrap();
        let error = read_json::<i32>(&path).unwrap_err().to_string();
        assert!(error.contains("memory.json"), "{error}");
    }
}
