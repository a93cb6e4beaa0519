//! The lab's own kubectl, of the API server's version, with the administrator's rights.

use std::path::Path;

use anyhow::Result;

use super::Lab;
use crate::process;

/// Runs to the end; its standard output. Errors: its own.
pub fn run(lab: &Lab, binaries: &Path, args: &[&str]) -> Result<String> {
    let mut command = process::command(binaries.join("kubectl"), args);
    process::run_quiet(command.env("KUBECONFIG", lab.kubeconfig()))
}

/// A resource or list as JSON.
pub fn json(lab: &Lab, binaries: &Path, args: &[&str]) -> Result<serde_json::Value> {
    let mut words = vec!["get", "-o", "json"];
    words.extend(args);
    Ok(serde_json::from_str(&run(lab, binaries, &words)?)?)
}
