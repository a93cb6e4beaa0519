//! The purity gate: crates whose behaviour follows from their arguments alone may use few outside
//! crates, and clippy forbids them clocks, files, sockets, threads and random order.

use std::fs;
use std::path::Path;

use super::{Finding, finding, relative};
use crate::workspace::{Metadata, Package};

/// Pure crate → outside crates it may use. All of these compute and do nothing else.
const PURE: &[(&str, &[&str])] = &[
    (
        "ottla-protocol",
        &[
            "bytes",
            "crc32c",
            "flate2",
            "lz4_flex",
            "snap",
            "thiserror",
            "zstd",
        ],
    ),
    ("ottla-settings", &["thiserror"]),
    // Kafka's quorum-state is a JSON text.
    ("ottla-broker-raft", &["bytes", "serde_json", "thiserror"]),
    ("ottla-broker-metadata", &["bytes", "thiserror"]),
    ("ottla-broker-group", &["bytes", "thiserror"]),
    ("ottla-operator-plan", &["serde", "serde_json", "thiserror"]),
];

/// The lines that each pure crate's clippy.toml must have.
const REFERENCE: &str = include_str!("pure.clippy.toml");

/// Dependencies and clippy.toml of every pure crate.
pub fn check(metadata: &Metadata, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let Some((_, allowed)) = PURE.iter().find(|(name, _)| *name == package.name) else {
            continue;
        };
        findings.extend(check_dependencies(package, allowed));
        let config = package.folder().join("clippy.toml");
        let text = fs::read_to_string(&config).unwrap_or_default();
        findings.extend(check_config(&relative(&config, root), &text));
    }
    findings
}

pub fn check_dependencies(package: &Package, allowed: &[&str]) -> Vec<Finding> {
    package
        .dependencies
        .iter()
        .filter(|d| d.path.is_none() && d.kind.is_none())
        .filter(|d| !allowed.contains(&d.name.as_str()))
        .map(|d| {
            finding(
                &format!("{} (Cargo.toml)", package.name),
                0,
                format!("is a pure crate and may not use {}", d.name),
            )
        })
        .collect()
}

pub fn check_config(path: &str, text: &str) -> Vec<Finding> {
    forbidden_paths(REFERENCE)
        .filter(|name| !forbidden_paths(text).any(|there| there == *name))
        .map(|name| {
            finding(
                path,
                0,
                format!("does not forbid {name} (see xtask/src/tidy/pure.clippy.toml)"),
            )
        })
        .collect()
}

/// The values of `path = "…"` in a clippy.toml.
fn forbidden_paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once("path = \""))
        .filter_map(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| name)
}
