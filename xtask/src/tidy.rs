//! The rules of the house that a machine can check. A finding breaks a rule; the table of sizes
//! only informs.
//!
//! Invariant: every rule has a unit test in which it finds something. Not here: what rustc, clippy
//! and rustfmt check.

mod arrows;
mod code;
mod links;
mod papers;
mod purity;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace::{self, Metadata};

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File or folder, relative to the root.
    pub path: String,
    /// 1-based; 0 when the finding is about the whole file.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

fn finding(path: &str, line: usize, message: impl Into<String>) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        message: message.into(),
    }
}

/// The `tidy` verb. Errors: at least one finding; all are printed first.
pub fn run() -> Result<()> {
    let root = workspace::root();
    let metadata = Metadata::read()?;
    let tree = Tree::read(&root)?;

    let mut findings = arrows::check(&metadata);
    findings.extend(purity::check(&metadata, &root));
    findings.extend(sources::check_crates(&metadata, &tree));
    for (path, text) in &tree.files {
        if path.ends_with(".rs") {
            findings.extend(sources::check(path, text));
        }
        if path.ends_with(".md") {
            findings.extend(papers::check(path, text));
        }
        findings.extend(papers::check_names(path));
        findings.extend(papers::check_places(path, text));
    }
    findings.extend(links::check(&tree));
    findings.sort();

    print_sizes(&tree);
    for finding in &findings {
        println!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} broken rules", findings.len());
    }
    println!("tidy: {} files in order", tree.files.len());
    Ok(())
}

/// The text files of the repository, by path relative to the root with `/` as separator.
pub struct Tree {
    pub files: BTreeMap<String, String>,
}

impl Tree {
    fn read(root: &Path) -> Result<Tree> {
        let mut files = BTreeMap::new();
        for path in workspace::files(root)? {
            // Binary files (fixtures, fuzz corpora) are not text and have no rules here.
            if let Ok(text) = fs::read_to_string(root.join(&path)) {
                files.insert(slashed(&path), text);
            }
        }
        Ok(Tree { files })
    }
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// Whether a folder written relative to the root holds `path`.
fn inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

fn relative(path: &Path, root: &Path) -> String {
    slashed(
        &path
            .strip_prefix(root)
            .map_or_else(|_| PathBuf::from(path), Path::to_path_buf),
    )
}

/// Files longer than a reader likes, for the eye to judge; generated ones are not read by people.
fn print_sizes(tree: &Tree) {
    const LONG_LINES: usize = 600;
    let mut long: Vec<(usize, &str)> = tree
        .files
        .iter()
        .filter(|(path, text)| path.ends_with(".rs") && !sources::is_generated(text))
        .map(|(path, text)| (text.lines().count(), path.as_str()))
        .filter(|(lines, _)| *lines > LONG_LINES)
        .collect();
    long.sort_by(|a, b| b.cmp(a));
    if !long.is_empty() {
        println!("tidy: files over {LONG_LINES} lines (for the eye, not a fault)");
        for (lines, path) in long {
            println!("  {lines:>6}  {path}");
        }
    }
}
