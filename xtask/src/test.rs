//! `cargo xtask test`: all that this machine can run, cheap before heavy, one heavy suite at a
//! time, built once. It names what it skipped and why; with CI=true nothing is skipped. The last
//! line is `N passed, N failed`.
//!
//! Invariant: one target directory, one set of features (the whole workspace) and one RUSTFLAGS in
//! every step, so that nothing is compiled twice. Test programs are started directly, as cargo
//! would start them: asking cargo per suite would resolve features per package and build again.

mod artifacts;
mod peers;
mod report;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::{self, Metadata};
use crate::{codegen, crds, docs, lab, licences, tidy};
use report::{Outcome, Report, Tally};
use suite::Suite;

/// What the caller asked for.
struct Options {
    /// Only suites whose name contains one of these; gates run when there is none.
    filters: Vec<String>,
    /// Nothing may be skipped.
    is_ci: bool,
}

/// The `test` verb. Errors: at least one failure, or a filter that matches nothing.
pub fn run(args: &[String]) -> Result<()> {
    if args.iter().any(|arg| arg.starts_with('-')) {
        bail!("usage: cargo xtask test [SUITE…], a suite by a part of its name");
    }
    let options = Options {
        filters: args.to_vec(),
        is_ci: std::env::var("CI").is_ok_and(|value| value == "true"),
    };
    let mut report = Report::new();
    run_all(&options, &mut report);
    report.finish()
}

/// The `ci` verb: the same with nothing skipped.
pub fn run_as_ci(args: &[String]) -> Result<()> {
    let options = Options {
        filters: args.to_vec(),
        is_ci: true,
    };
    let mut report = Report::new();
    run_all(&options, &mut report);
    report.finish()
}

fn run_all(options: &Options, report: &mut Report) {
    if options.filters.is_empty() {
        gates(report);
    }
    let built = report.measured("build tests", artifacts::build);
    let Some(suites) = built else {
        return;
    };
    let wanted: Vec<Suite> = suites
        .into_iter()
        .filter(|suite| options.wants(&suite.name))
        .collect();
    if wanted.is_empty() {
        report.add(
            "filter",
            Outcome::failed(format!("no suite is called like {:?}", options.filters)),
        );
        return;
    }
    let (heavy, light): (Vec<Suite>, Vec<Suite>) = wanted.into_iter().partition(|s| s.is_heavy);

    let environment = Environment::new();
    for suite in &light {
        report.suite(suite, &environment);
    }
    if options.filters.is_empty() {
        report.measured_tally("doc tests", doc_tests);
    }
    if options.filters.is_empty() || heavy.iter().any(|s| s.needs_ottla()) {
        report.measured("release binary", artifacts::build_ottla);
    }
    if options.filters.is_empty() {
        generated(report);
    }
    for suite in &heavy {
        match environment.missing(suite) {
            None => run_heavy(suite, &environment, report),
            Some(reason) if options.is_ci => report.add(&suite.name, Outcome::failed(reason)),
            Some(reason) => report.skip(&suite.name, reason),
        }
    }
}

/// A suite that is ended for hanging cannot end the lab that it brought up; somebody else's lab is
/// left alone.
fn run_heavy(suite: &Suite, environment: &Environment, report: &mut Report) {
    let is_strange = lab::is_there();
    report.suite(suite, environment);
    if !is_strange && lab::is_there() {
        report.measured("lab of a failed suite", lab::sweep);
    }
}

/// Checks that need no built test: seconds to a few minutes.
fn gates(report: &mut Report) {
    report.measured("fmt", || {
        process::run_quiet(&mut process::command("cargo", ["fmt", "--all", "--check"]))
    });
    report.measured("tidy", tidy::run);
    report.measured("licences", licences::check);
    report.measured("generated messages", || {
        codegen::run(&["--check".to_owned()])
    });
    report.measured("clippy", || {
        process::run_quiet(&mut process::command(
            "cargo",
            [
                "clippy",
                "--quiet",
                "--workspace",
                "--all-features",
                "--all-targets",
                "--keep-going",
                "--",
                "-D",
                "warnings",
            ],
        ))
    });
}

/// Committed files that the built command writes.
fn generated(report: &mut Report) {
    report.measured("generated CRDs", || crds::run(&["--check".to_owned()]));
    report.measured("generated docs", || docs::run(&["--check".to_owned()]));
}

fn doc_tests() -> Result<Tally> {
    let text = process::run_quiet(&mut process::command(
        "cargo",
        ["test", "--quiet", "--workspace", "--all-features", "--doc"],
    ))?;
    Ok(Tally::of(&text))
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty()
            || self
                .filters
                .iter()
                .any(|filter| name.contains(filter.as_str()))
    }
}

/// Where suites find the binary, the peers and a place for logs.
pub struct Environment {
    peers: peers::Peers,
    logs: PathBuf,
    ottla: PathBuf,
}

impl Environment {
    fn new() -> Environment {
        let target = target_directory();
        let logs = target.join("xtask/logs");
        Environment {
            peers: peers::Peers::default(),
            ottla: target.join("release/ottla"),
            logs,
        }
    }

    /// Why a suite cannot run here, after trying to fetch what it needs.
    fn missing(&self, suite: &Suite) -> Option<String> {
        for need in &suite.needs {
            if let Err(error) = self.peers.fetch(need) {
                return Some(format!("needs {need}: {error:#}"));
            }
        }
        None
    }

    /// The log file of a suite, in a folder that exists.
    fn log(&self, name: &str) -> Result<PathBuf> {
        fs::create_dir_all(&self.logs)
            .with_context(|| format!("cannot create {}", self.logs.display()))?;
        Ok(self.logs.join(format!("{}.log", name.replace('/', "-"))))
    }

    fn ottla(&self) -> &Path {
        &self.ottla
    }
}

/// Cargo's own answer, so that CARGO_TARGET_DIR and config files count.
fn target_directory() -> PathBuf {
    Metadata::read().map_or_else(|_| workspace::root().join("target"), |m| m.target_directory)
}
