//! Building: all test programs by one cargo call, and the `ottla` command as its users build it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::suite::Suite;
use crate::process;
use crate::workspace::Metadata;

/// A line of `cargo … --message-format=json`, as far as it is read.
#[derive(Deserialize)]
struct Line {
    reason: String,
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<PathBuf>,
    #[serde(default)]
    profile: Profile,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize, Default)]
struct Profile {
    #[serde(default)]
    test: bool,
}

/// Builds every test program of the workspace and lists them, cheap ones first.
pub fn build() -> Result<Vec<Suite>> {
    let metadata = Metadata::read()?;
    let mut cargo = process::command(
        "cargo",
        [
            "test",
            "--workspace",
            "--all-features",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ],
    );
    let text = process::run_quiet(&mut cargo)?;
    let mut suites = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: Line =
            serde_json::from_str(line).context("cargo printed a message of another shape")?;
        suites.extend(suite(line, &metadata));
    }
    suites.sort_by(|a, b| (a.is_heavy, &a.name).cmp(&(b.is_heavy, &b.name)));
    Ok(suites)
}

fn suite(line: Line, metadata: &Metadata) -> Option<Suite> {
    if line.reason != "compiler-artifact" || !line.profile.test {
        return None;
    }
    let program = line.executable?;
    let target = line.target?;
    let id = line.package_id?;
    let package = metadata.members().find(|package| package.id == id)?;
    let is_test = target.kind.iter().any(|kind| kind == "test");
    let name = if is_test {
        format!("{}/{}", package.name, target.name)
    } else {
        package.name.clone()
    };
    Some(Suite::new(
        name,
        program,
        package.folder().to_path_buf(),
        &target.src_path,
    ))
}

/// Builds the `ottla` command in release: what README's first command builds, and so what the
/// scenarios start.
pub fn build_ottla() -> Result<()> {
    let mut cargo = process::command("cargo", ["build", "--release", "--package", "ottla-cli"]);
    process::run_quiet(&mut cargo).map(|_| ())
}
