//! A rule that cannot fail is no rule: each finds something here, and lets its counterpart pass.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::workspace::{Dependency, Package};

fn messages(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn package(name: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Package {
    Package {
        id: name.to_owned(),
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        license: None,
        manifest_path: PathBuf::from(format!("/repo/{name}/Cargo.toml")),
        dependencies: dependencies
            .iter()
            .map(|(name, kind, ours)| Dependency {
                name: (*name).to_owned(),
                kind: kind.map(str::to_owned),
                path: ours.then(|| PathBuf::from("/repo/x")),
            })
            .collect(),
    }
}

fn metadata(packages: Vec<Package>) -> Metadata {
    Metadata {
        workspace_members: packages.iter().map(|p| p.id.clone()).collect(),
        packages,
        workspace_root: PathBuf::from("/repo"),
        target_directory: PathBuf::from("/repo/target"),
    }
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let files: BTreeMap<String, String> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    Tree { files }
}

#[test]
fn arrows_are_refused_unless_the_table_has_them() {
    let wrong = metadata(vec![package(
        "ottla-broker-raft",
        &[("ottla-broker", None, true)],
    )]);
    assert_eq!(
        messages(&arrows::check(&wrong)),
        [
            "ottla-broker-raft (Cargo.toml): must not depend on ottla-broker: the arrow is not in the table"
        ]
    );
    let unknown = metadata(vec![package("ottla-registry", &[])]);
    assert_eq!(arrows::check(&unknown).len(), 1);
    let right = metadata(vec![package(
        "ottla-broker-raft",
        &[("ottla-protocol", None, true)],
    )]);
    assert!(arrows::check(&right).is_empty());
}

#[test]
fn test_arrows_hold_for_tests_only() {
    let in_tests = metadata(vec![package(
        "ottla-broker",
        &[("ottla-broker-sim", Some("dev"), true)],
    )]);
    assert!(arrows::check(&in_tests).is_empty());
    let in_code = metadata(vec![package(
        "ottla-broker",
        &[("ottla-broker-sim", None, true)],
    )]);
    assert_eq!(arrows::check(&in_code).len(), 1);
}

#[test]
fn pure_crates_use_few_outside_crates() {
    let crate_ = package(
        "ottla-protocol",
        &[("tokio", None, false), ("proptest", Some("dev"), false)],
    );
    let found = purity::check_dependencies(&crate_, &["bytes"]);
    assert_eq!(
        messages(&found),
        ["ottla-protocol (Cargo.toml): is a pure crate and may not use tokio"]
    );
}

#[test]
fn pure_crates_forbid_the_clock() {
    let reference = include_str!("pure.clippy.toml");
    assert!(purity::check_config("protocol/clippy.toml", reference).is_empty());
    let without = reference.replace("std::time::Instant::now", "std::time::Instant::elapsed");
    assert_eq!(
        purity::check_config("protocol/clippy.toml", &without).len(),
        1
    );
    assert!(purity::check_config("protocol/clippy.toml", "").len() > 10);
}

#[test]
fn files_open_with_a_header() {
    assert_eq!(sources::check("a/src/lib.rs", "use std::fs;\n").len(), 1);
    assert_eq!(sources::check("a/src/lib.rs", "").len(), 1);
    assert!(sources::check("a/src/lib.rs", "//! What it is for.\n").is_empty());
}

#[test]
fn leftovers_are_found_in_code_but_not_in_prose() {
    for left in [
        "dbg!(x);",
        "todo!()",
        "unimplemented!()",
        "#[ignore]",
        "std::thread::sleep(d);",
    ] {
        let found = sources::check("a/src/lib.rs", &format!("//! Room.\nfn f() {{ {left} }}\n"));
        assert_eq!(found.len(), 1, "{left}");
        assert_eq!(found[0].line, 2, "{left}");
        let prose = format!("//! Room.\n// {left}\nconst S: &str = r#\"{left}\"#; /* {left} */\n");
        assert!(sources::check("a/src/lib.rs", &prose).is_empty(), "{left}");
    }
}

#[test]
fn sleeping_is_allowed_where_conditions_are_polled() {
    let text = "//! Room.\nfn f() { std::thread::sleep(d) }\n";
    assert!(sources::check("e2e/src/wait.rs", text).is_empty());
    assert_eq!(sources::check("e2e/src/jvm.rs", text).len(), 1);
}

#[test]
fn the_shell_reaches_the_world_through_rt() {
    let text = "//! Room.\nfn f() { let now = Instant::now(); }\n";
    assert_eq!(
        sources::check("broker/src/partition/owner.rs", text).len(),
        1
    );
    assert!(sources::check("broker/src/rt/real.rs", text).is_empty());
    assert!(sources::check("client/src/connection.rs", text).is_empty());
}

#[test]
fn select_is_biased() {
    let wrong =
        "//! Room.\nasync fn f() {\n    tokio::select! {\n        a = b() => {}\n    }\n}\n";
    let found = sources::check("a/src/lib.rs", wrong);
    assert_eq!(
        messages(&found),
        ["a/src/lib.rs:3: `select!` without `biased;`"]
    );
    let right = wrong.replace("select! {", "select! {\n biased;");
    assert!(sources::check("a/src/lib.rs", &right).is_empty());
}

#[test]
fn empty_crates_are_found() {
    let metadata = metadata(vec![package("ottla-client", &[])]);
    let empty = tree(&[("ottla-client/src/lib.rs", "//! Only a header.\n")]);
    assert_eq!(sources::check_crates(&metadata, &empty).len(), 1);
    let full = tree(&[("ottla-client/src/lib.rs", "//! Header.\npub fn f() {}\n")]);
    assert!(sources::check_crates(&metadata, &full).is_empty());
    assert!(!sources::is_some_code("//! Room.\nfn main() {}\n"));
}

#[test]
fn a_document_has_one_title() {
    assert_eq!(papers::check("a.md", "# One\n# Two\n").len(), 1);
    assert_eq!(papers::check("a.md", "text\n").len(), 1);
    assert!(papers::check("a.md", "# One\n```\n# a comment in code\n```\n## Part\n").is_empty());
}

#[test]
fn names_say_something() {
    for path in [
        "a/src/utils.rs",
        "a/common/mod.rs",
        "a/src/log_manager.rs",
        "a/src/helpers/x.rs",
    ] {
        assert_eq!(papers::check_names(path).len(), 1, "{path}");
    }
    assert!(papers::check_names("a/src/atomic_file.rs").is_empty());
}

#[test]
fn traces_of_a_machine_are_found() {
    let host = format!("see https://{}/x", concat!("registry.", "npmjs.org"));
    assert_eq!(papers::check_places("a.md", &host).len(), 1);
    assert!(papers::check_places("Cargo.lock", &host).is_empty());
    let folder = format!("cd {}main", concat!("/wo", "rk/"));
    assert_eq!(papers::check_places("a.sh", &folder).len(), 1);
    let longer = format!("target{}main", concat!("/wo", "rk/"));
    assert!(papers::check_places("a.sh", &longer).is_empty());
}

#[test]
fn links_are_followed() {
    let tree = tree(&[
        (
            "docs/a.md",
            "# A\n[x](../b/src/lib.rs#walk) [y](../b/src/lib.rs#stroll) [z](gone.md)\n",
        ),
        (
            "docs/c.md",
            "# C\n[a](a.md) [folder](../b) [web](https://example.org/x) [here](#c)\n",
        ),
        (
            "b/src/lib.rs",
            "//! B.\npub async fn walk() {}\nfn walking() {}\n",
        ),
    ]);
    assert_eq!(
        messages(&links::check(&tree)),
        [
            "docs/a.md:2: links to `stroll` in b/src/lib.rs, which does not define it",
            "docs/a.md:2: links to docs/gone.md, which does not exist",
        ]
    );
}

#[test]
fn code_keeps_its_lines_and_loses_its_literals() {
    let text = "let a = 'x'; let b: &'static str = \"q\\\"//\"; // c\nlet d = br##\"\"#\"##; /* /* */ */ e";
    let code = code::only(text);
    assert_eq!(code.lines().count(), 2);
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "let", "a", "=", ";", "let", "b:", "&'static", "str", "=", ";", "let", "d", "=", ";",
            "e"
        ]
    );
}

#[test]
fn generated_files_say_so() {
    assert!(sources::is_generated(
        "//! Generated by `cargo xtask codegen`.\n"
    ));
    assert!(!sources::is_generated("//! Hand-written.\n"));
}
