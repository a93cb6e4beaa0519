//! Clients in Python: one virtual environment with the pinned requirements of e2e/clients/python.

use std::path::Path;

use anyhow::Result;

use super::debian;
use crate::process;

/// Makes a virtual environment in `dir` and installs `requirements` (the text of a pip file).
/// It is used as `dir/bin/python`, which still works after the folder was renamed.
pub fn environment(dir: &Path, requirements: &str) -> Result<()> {
    debian::need("python3", &["python3", "python3-venv"])?;
    if create(dir).is_err() {
        // Debian ships python3 without ensurepip.
        debian::install(&["python3-venv"])?;
        create(dir)?;
    }
    let list = dir.join("requirements.txt");
    std::fs::write(&list, requirements)?;
    process::run_quiet(
        process::command(dir.join("bin/python"), ["-m", "pip", "install", "-q", "-r"]).arg(&list),
    )?;
    Ok(())
}

fn create(dir: &Path) -> Result<()> {
    process::run_quiet(process::command("python3", ["-m", "venv", "--clear"]).arg(dir)).map(|_| ())
}
