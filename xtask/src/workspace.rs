//! What `cargo metadata` says about the workspace, cut down to what the gates read.
//! Invariant: asked once per run. Not here: any judgement (tidy/, licences.rs).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The answer of `cargo metadata --format-version 1`.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
    pub workspace_root: PathBuf,
    pub target_directory: PathBuf,
}

/// One package, of ours or of a registry.
#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
}

/// One line of a `[dependencies]` section.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// None for a normal dependency, else `dev` or `build`.
    pub kind: Option<String>,
    /// Set when the dependency is a folder, that is one of ours.
    pub path: Option<PathBuf>,
}

impl Metadata {
    /// Reads the workspace that the current directory lies in.
    pub fn read() -> Result<Metadata> {
        let text = process::run_quiet(&mut process::command(
            "cargo",
            ["metadata", "--format-version", "1"],
        ))?;
        serde_json::from_str(&text).context("cargo metadata printed something unexpected")
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        let by_id: BTreeMap<&str, &Package> =
            self.packages.iter().map(|p| (p.id.as_str(), p)).collect();
        self.workspace_members
            .iter()
            .filter_map(move |id| by_id.get(id.as_str()).copied())
    }

    /// Everybody else's.
    pub fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|p| !self.workspace_members.contains(&p.id))
    }
}

impl Package {
    /// The folder of the manifest.
    pub fn folder(&self) -> &Path {
        self.manifest_path
            .parent()
            .expect("a manifest lies in a folder")
    }
}

/// The root of the repository: the folder above this crate's own.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let mut dir = here.as_path();
    while !dir.join("Cargo.lock").is_file() {
        match dir.parent() {
            Some(parent) => dir = parent,
            None => return here,
        }
    }
    dir.to_path_buf()
}

/// Files of the tree as git sees them (tracked, and new ones that are not ignored), relative to
/// the root, sorted.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let text = process::run_quiet(
        process::command(
            "git",
            [
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ],
        )
        .current_dir(root),
    )?;
    let mut files: Vec<PathBuf> = text
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
