//! Clients in Go: the modules of e2e/clients/go, in Go's own module cache.

use std::path::Path;

use anyhow::Result;

use super::debian;
use crate::process;

/// Downloads the modules that the program in `folder` names; a scenario builds it.
pub fn modules(folder: &Path) -> Result<()> {
    debian::need("go", &["golang-go"])?;
    process::run_quiet(process::command("go", ["mod", "download"]).current_dir(folder))?;
    Ok(())
}
