//! The cgroups under which the nodes put their pods: one folder per node under `ottla-lab`, in every hierarchy of the
//! machine. Invariant: only folders under `ottla-lab` are made or removed. Not here: the limits of pods (kubelet, runc).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::wait;

const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "ottla-lab";
const LIMIT: Duration = Duration::from_secs(30);

/// Makes the folders of all nodes.
pub fn make(nodes: &[&str]) -> Result<()> {
    if Path::new(ROOT).join("cgroup.controllers").exists() {
        return make_unified(nodes);
    }
    for hierarchy in hierarchies()? {
        for node in nodes {
            let folder = hierarchy.join(OURS).join(node);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        // A new cpuset is empty, and an empty one takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let Ok(value) = fs::read_to_string(hierarchy.join(file)) else {
                continue;
            };
            fs::write(hierarchy.join(OURS).join(file), &value)?;
            for node in nodes {
                fs::write(hierarchy.join(OURS).join(node).join(file), &value)?;
            }
        }
    }
    Ok(())
}

/// The one hierarchy of cgroup v2: controllers are handed down level by level.
fn make_unified(nodes: &[&str]) -> Result<()> {
    let root = Path::new(ROOT);
    let controllers: String = fs::read_to_string(root.join("cgroup.controllers"))?
        .split_whitespace()
        .map(|name| format!("+{name} "))
        .collect();
    let ours = root.join(OURS);
    fs::create_dir_all(&ours)?;
    for level in [root, &ours] {
        fs::write(level.join("cgroup.subtree_control"), controllers.trim_end())
            .with_context(|| format!("cannot hand controllers down from {}", level.display()))?;
    }
    for node in nodes {
        fs::create_dir_all(ours.join(node))?;
    }
    Ok(())
}

/// Removes all folders of the lab, waiting for the kernel to take the last process out.
pub fn remove() -> Result<()> {
    wait::until("the lab's cgroups to be empty", LIMIT, || {
        let mut left = None;
        for folder in present()? {
            if let Err(error) = remove_tree(&folder) {
                left = Some(format!("{}: {error}", folder.display()));
            }
        }
        Ok(left.map_or(Ok(()), Err))
    })
}

/// Children first: a cgroup with children cannot be removed, and its files cannot be at all.
fn remove_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// The lab's folders that are there, one per hierarchy at most.
pub fn present() -> Result<Vec<PathBuf>> {
    let mut roots = hierarchies()?;
    roots.push(PathBuf::from(ROOT));
    roots.retain(|root| root.join(OURS).is_dir());
    Ok(roots.into_iter().map(|root| root.join(OURS)).collect())
}

/// Hierarchies of cgroup v1, and of v2 beside them. Two names may lead to one hierarchy.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(ROOT)
        .with_context(|| format!("{ROOT} is not mounted: pods need cgroups"))?
        .flatten()
        .filter_map(|entry| entry.path().canonicalize().ok())
        .filter(|path| path.join("cgroup.procs").exists())
        .filter(|path| path.file_name().is_some_and(|name| name != OURS))
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}
