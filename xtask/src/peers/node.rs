//! Clients in JavaScript: `node_modules` of e2e/clients/node, installed outside the tree and found
//! through NODE_PATH.

use std::path::Path;

use anyhow::Result;

use super::debian;
use crate::process;

/// Installs what `manifest` (the text of a package.json with exact versions) names into `dir`.
pub fn modules(dir: &Path, manifest: &str) -> Result<()> {
    debian::need("node", &["nodejs"])?;
    debian::need("npm", &["npm"])?;
    std::fs::write(dir.join("package.json"), manifest)?;
    let mut install = process::command(
        "npm",
        [
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ],
    );
    process::run_quiet(install.current_dir(dir))?;
    Ok(())
}
