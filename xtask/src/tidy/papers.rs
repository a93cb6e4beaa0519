//! Rules about documents, names of files, and traces of the machine a file was written on.

use super::{Finding, finding};

/// Words that name no room.
const NAMELESS: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "managers",
];

/// A document has one title.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let titles = headings(text).filter(|line| line.starts_with("# ")).count();
    if titles == 1 {
        return Vec::new();
    }
    vec![finding(
        path,
        0,
        format!("has {titles} titles (`# …`), a document has one"),
    )]
}

/// The lines of a document outside fenced code.
fn headings(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return false;
        }
        !fenced
    })
}

/// No part of a path is called after nothing.
pub fn check_names(path: &str) -> Vec<Finding> {
    let nameless = path.split('/').any(|part| {
        let stem = part.split('.').next().unwrap_or_default();
        stem.split(['_', '-'])
            .next_back()
            .is_some_and(|word| NAMELESS.contains(&word.to_ascii_lowercase().as_str()))
    });
    if nameless {
        vec![finding(
            path,
            0,
            "is named after nothing: say what it holds",
        )]
    } else {
        Vec::new()
    }
}

/// Names that belong to a machine or a registry and not to a tree that anyone may clone. They are
/// put together here so that this file passes its own rule.
const PLACES: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("repo.maven.", "apache.org"),
    concat!("repo1.", "maven.org"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("sum.", "golang.org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("deb.", "debian.org"),
];
const FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Traces of a machine in any text file.
pub fn check_places(path: &str, text: &str) -> Vec<Finding> {
    // Cargo writes the index it was told to use, and so it is the same for everyone.
    if path == "Cargo.lock" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for place in PLACES.iter().filter(|place| line.contains(**place)) {
            findings.push(finding(path, index + 1, format!("names the host {place}")));
        }
        for folder in FOLDERS.iter().filter(|folder| names_folder(line, folder)) {
            findings.push(finding(
                path,
                index + 1,
                format!("names a folder of one machine ({folder})"),
            ));
        }
    }
    findings
}

/// Whether `folder` stands in the line as the start of a path, not inside a longer one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '*'))
    })
}
