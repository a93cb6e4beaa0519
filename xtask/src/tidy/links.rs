//! The links of ARCHITECTURE.md and of all documents: a file that is linked exists, and a link
//! `path#function` to a Rust file names something that the file defines.

use super::{Finding, Tree, finding};

/// Every relative link of every document.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in links(text) {
            findings.extend(check_link(tree, path, line, target));
        }
    }
    findings
}

fn check_link(tree: &Tree, from: &str, line: usize, target: &str) -> Option<Finding> {
    let is_elsewhere =
        target.contains("://") || target.starts_with('#') || target.starts_with("mailto:");
    if is_elsewhere {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let resolved = resolve(from, file);
    let folder = format!("{}/", resolved.trim_end_matches('/'));
    if anchor.is_empty() && tree.files.keys().any(|path| path.starts_with(&folder)) {
        return None;
    }
    let Some(text) = tree.files.get(&resolved) else {
        return Some(finding(
            from,
            line,
            format!("links to {resolved}, which does not exist"),
        ));
    };
    if resolved.ends_with(".rs") && !anchor.is_empty() && !defines(text, anchor) {
        return Some(finding(
            from,
            line,
            format!("links to `{anchor}` in {resolved}, which does not define it"),
        ));
    }
    None
}

/// The targets of `[text](target)` with their line numbers, outside fenced code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push((index + 1, &rest[..end]));
            }
        }
    }
    found
}

/// `file` as seen from the folder of the document `from`.
fn resolve(from: &str, file: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a Rust file defines `name` as a function or a type.
pub fn defines(text: &str, name: &str) -> bool {
    ["fn ", "struct ", "enum ", "trait ", "mod "]
        .iter()
        .any(|kind| {
            text.match_indices(&format!("{kind}{name}"))
                .any(|(at, found)| {
                    let after = text[at + found.len()..].chars().next();
                    !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
                })
        })
}
