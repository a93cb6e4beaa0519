//! The repository itself: what a user of a clone would open.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Its root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a file, by its path from the root.
pub fn repository_file(path: &str) -> Result<String> {
    let path = repository().join(path);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}
