//! Who may depend on whom: the layering of the workspace as one table. Think hard before adding
//! a line: an arrow that is missing here is what keeps a room small.

use super::{Finding, finding};
use crate::workspace::{Metadata, Package};

/// Package → the packages of ours that it may name as normal or build dependencies.
const ARROWS: &[(&str, &[&str])] = &[
    ("ottla-protocol", &[]),
    ("ottla-settings", &[]),
    ("ottla-operator-api", &[]),
    // Settings for one reason: a connection's TLS is read by Kafka's keys, the same on every side.
    ("ottla-client", &["ottla-protocol", "ottla-settings"]),
    ("ottla-broker-storage", &["ottla-protocol"]),
    ("ottla-broker-raft", &["ottla-protocol"]),
    ("ottla-broker-group", &["ottla-protocol"]),
    (
        "ottla-broker-metadata",
        &["ottla-protocol", "ottla-settings"],
    ),
    (
        "ottla-broker",
        &[
            "ottla-broker-group",
            "ottla-broker-metadata",
            "ottla-broker-raft",
            "ottla-broker-storage",
            "ottla-client",
            "ottla-protocol",
            "ottla-settings",
        ],
    ),
    (
        "ottla-broker-sim",
        &[
            "ottla-broker",
            "ottla-broker-group",
            "ottla-broker-metadata",
            "ottla-broker-raft",
            "ottla-broker-storage",
            "ottla-client",
            "ottla-protocol",
            "ottla-settings",
        ],
    ),
    (
        "ottla-operator-plan",
        &["ottla-operator-api", "ottla-settings"],
    ),
    (
        "ottla-operator",
        &[
            "ottla-client",
            "ottla-operator-api",
            "ottla-operator-plan",
            "ottla-settings",
        ],
    ),
    // The command names its faces' types too (a manifest, a record, a setting), so the pure crates
    // below its four rooms are open to it.
    (
        "ottla-cli",
        &[
            "ottla-broker",
            "ottla-broker-storage",
            "ottla-client",
            "ottla-operator",
            "ottla-operator-api",
            "ottla-operator-plan",
            "ottla-protocol",
            "ottla-settings",
        ],
    ),
    (
        "ottla-bench",
        &["ottla-broker-storage", "ottla-client", "ottla-protocol"],
    ),
    ("ottla-e2e", &["ottla-client", "ottla-protocol"]),
    // The verbs stay cheap to build: they run the built binaries instead of linking them.
    ("xtask", &[]),
];

/// What tests may name beyond the table: a core is replayed against recorded logs, a shell is
/// tried inside the simulator.
const TEST_ARROWS: &[(&str, &[&str])] = &[
    ("ottla-broker", &["ottla-broker-sim"]),
    ("ottla-client", &["ottla-broker"]),
    (
        "ottla-e2e",
        &[
            "ottla-broker-metadata",
            "ottla-broker-storage",
            "ottla-settings",
        ],
    ),
];

/// Every arrow of the workspace against the table.
pub fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.members().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let path = format!("{} (Cargo.toml)", package.name);
    let Some(allowed) = targets(ARROWS, &package.name) else {
        return vec![finding(
            &path,
            0,
            "is not in the table of arrows (xtask/src/tidy/arrows.rs)",
        )];
    };
    let in_tests = targets(TEST_ARROWS, &package.name).unwrap_or_default();
    let mut findings = Vec::new();
    for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
        let name = dependency.name.as_str();
        let is_test = dependency.kind.as_deref() == Some("dev");
        if !(allowed.contains(&name) || is_test && in_tests.contains(&name)) {
            findings.push(finding(
                &path,
                0,
                format!("must not depend on {name}: the arrow is not in the table"),
            ));
        }
    }
    findings
}

fn targets(
    table: &[(&str, &'static [&'static str])],
    name: &str,
) -> Option<&'static [&'static str]> {
    table
        .iter()
        .find(|(package, _)| *package == name)
        .map(|(_, targets)| *targets)
}
