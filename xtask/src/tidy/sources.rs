//! Rules about Rust files: each opens with what the room is for, nothing unfinished is left in it,
//! waiting is on conditions, and the world is reached through the seam.

use super::{Finding, Tree, code, finding, inside, relative};
use crate::workspace::Metadata;

/// Text that must not stand in code, why, and the rooms where it may.
struct Banned {
    text: &'static str,
    why: &'static str,
    rooms: &'static [&'static str],
}

const BANNED: &[Banned] = &[
    Banned {
        text: "dbg!(",
        why: "left over from debugging",
        rooms: &[],
    },
    Banned {
        text: "todo!(",
        why: "unfinished",
        rooms: &[],
    },
    Banned {
        text: "unimplemented!(",
        why: "unfinished",
        rooms: &[],
    },
    Banned {
        text: "#[ignore",
        why: "a test that does not run is no test",
        rooms: &[],
    },
    Banned {
        text: "thread::sleep",
        why: "wait for a condition (e2e: wait::until), or sleep through `rt`",
        // The places that poll conditions of other processes, each with a deadline.
        rooms: &[
            "broker/src/rt",
            "e2e/src/wait.rs",
            "xtask/src/lab/wait.rs",
            "bench",
        ],
    },
];

/// What code of the broker's shell must not name: only `rt` reaches the world, so that the
/// simulator can stand in for it. Metrics and management hang at the rim (design: not simulated).
const SEAM: &[&str] = &[
    "tokio::net::",
    "tokio::time::",
    "tokio::fs::",
    "tokio::spawn(",
    "tokio::task::spawn",
    "Instant::now(",
    "SystemTime::now(",
    "std::net::TcpStream",
    "std::net::TcpListener",
];
const SHELL: &str = "broker/src";
const OUTSIDE_SEAM: &[&str] = &[
    "broker/src/rt",
    "broker/src/metrics",
    "broker/src/metrics.rs",
    "broker/src/management",
    "broker/src/management.rs",
    "broker/src/main.rs",
];

/// All rules about one Rust file. `path` is relative to the root.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.trim_start_matches('\u{feff}').starts_with("//!") {
        findings.push(finding(
            path,
            1,
            "does not open with a `//!` header that says what the room is for",
        ));
    }
    let code = code::only(text);
    for (index, line) in code.lines().enumerate() {
        findings.extend(check_line(path, index + 1, line));
    }
    findings.extend(check_select(path, &code));
    findings
}

fn check_line(path: &str, number: usize, line: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for banned in BANNED {
        let excused = banned.rooms.iter().any(|room| inside(path, room));
        if !excused && line.contains(banned.text) {
            findings.push(finding(
                path,
                number,
                format!("`{}`: {}", banned.text, banned.why),
            ));
        }
    }
    let is_shell = inside(path, SHELL) && !OUTSIDE_SEAM.iter().any(|room| inside(path, room));
    if is_shell && !path.ends_with("tests.rs") {
        for text in SEAM {
            if line.contains(text) {
                findings.push(finding(
                    path,
                    number,
                    format!("`{text}`: only broker/src/rt reaches time, net, disk and tasks"),
                ));
            }
        }
    }
    findings
}

/// `tokio::select!` takes its branches in random order unless told otherwise; a seed must replay.
fn check_select(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("select!") {
        let start = from + at;
        from = start + "select!".len();
        let body = code[from..].trim_start().trim_start_matches(['{', '(']);
        if !body.trim_start().starts_with("biased;") {
            let line = code[..start].lines().count().max(1);
            findings.push(finding(path, line, "`select!` without `biased;`"));
        }
    }
    findings
}

/// A crate exists only where there is something to guard: one without code is an empty room.
pub fn check_crates(metadata: &Metadata, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let folder = relative(package.folder(), &metadata.workspace_root);
        let own = |path: &str| {
            inside(path, &format!("{folder}/src")) && path.ends_with(".rs")
                || inside(path, &format!("{folder}/tests"))
        };
        let has_code = tree
            .files
            .iter()
            .filter(|(path, _)| own(path))
            .any(|(_, text)| is_some_code(text));
        if !has_code {
            findings.push(finding(&folder, 0, "is an empty crate"));
        }
    }
    findings
}

/// Whether anything but comments and an empty `main` stands in a file.
pub fn is_some_code(text: &str) -> bool {
    let code: String = code::only(text).split_whitespace().collect();
    !code.is_empty() && code != "fnmain(){}"
}

/// Whether a file says in its header that a program wrote it.
pub fn is_generated(text: &str) -> bool {
    text.lines()
        .take_while(|line| line.starts_with("//"))
        .any(|line| line.to_ascii_lowercase().contains("generated by"))
}
