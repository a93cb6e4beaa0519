//! Committed files that a program writes: settled means either written, or found to be as they
//! would be written. Not here: what stands in them (crds.rs, docs.rs, codegen/).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::{self, Metadata};

/// Write, or only compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Write,
    Check,
}

impl Mode {
    /// From a verb's arguments: nothing, or `--check`.
    pub fn of(args: &[String]) -> Result<Mode> {
        match args {
            [] => Ok(Mode::Write),
            [word] if word == "--check" => Ok(Mode::Check),
            _ => bail!("usage: … [--check]"),
        }
    }
}

/// Makes `path` (relative to the root) hold `text`. Errors in `Check`: it does not, with the first
/// line that differs.
pub fn settle(mode: Mode, path: &str, text: &str) -> Result<()> {
    let file = workspace::root().join(path);
    let there = fs::read_to_string(&file).unwrap_or_default();
    if there == text {
        return Ok(());
    }
    match mode {
        Mode::Write => {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
            println!("wrote {path}");
            Ok(())
        }
        Mode::Check => bail!("{path} is stale {}", first_difference(&there, text)),
    }
}

fn first_difference(there: &str, wanted: &str) -> String {
    let lines = there.lines().count().max(wanted.lines().count());
    let mut pairs = (0..lines).map(|n| (n + 1, there.lines().nth(n), wanted.lines().nth(n)));
    match pairs.find(|(_, a, b)| a != b) {
        Some((number, there, wanted)) => format!(
            "(line {number}: has {:?}, would be {:?}): run the verb without --check and commit",
            there.unwrap_or_default(),
            wanted.unwrap_or_default()
        ),
        None => "(line ends differ)".to_owned(),
    }
}

/// What the built `ottla` command prints. The newest build is asked; with none, one is made.
pub fn ask_ottla(args: &[&str]) -> Result<String> {
    let mut ask = process::command(ottla()?, args);
    // Help wraps by the width of the terminal; a document does not.
    ask.env("COLUMNS", "100").env("NO_COLOR", "1");
    process::run_quiet(&mut ask)
}

fn ottla() -> Result<PathBuf> {
    let target = Metadata::read()?.target_directory;
    let newest = ["release/ottla", "debug/ottla"]
        .iter()
        .map(|name| target.join(name))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    if let Some((_, path)) = newest {
        return Ok(path);
    }
    process::run_quiet(&mut process::command(
        "cargo",
        ["build", "--package", "ottla-cli"],
    ))?;
    Ok(target.join("debug/ottla"))
}
