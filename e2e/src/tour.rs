//! The client tour: one program per client (clients/), unmodified clients, the same steps. A tour
//! prints `CLIENT name version`, then `STEP name result detail`, tab-separated, then `END`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Cluster, Running, tail_of};

/// The steps of every tour, in the order in which they are printed here.
pub const STEPS: &[&str] = &[
    "admin-config",
    "admin-create",
    "admin-delete-records",
    "admin-delete-topic",
    "admin-describe",
    "admin-groups",
    "admin-partitions",
    "codec-gzip",
    "codec-lz4",
    "codec-none",
    "codec-snappy",
    "codec-zstd",
    "group",
    "headers",
    "idempotent",
    "large-record",
    "timestamps",
    "too-large",
];

const LIMIT: Duration = Duration::from_secs(240);

/// What one client did.
#[derive(Debug)]
pub struct Tour {
    /// The library's name, as results call it.
    pub client: String,
    /// The version it says it has.
    pub version: String,
    /// In the order in which they ran.
    pub steps: Vec<TourStep>,
}

/// One line of a tour.
#[derive(Debug, PartialEq, Eq)]
pub struct TourStep {
    /// One of [`STEPS`].
    pub name: String,
    /// `ok`, `n/a` (the client has no such feature) or `failed`.
    pub result: String,
    /// The error of a failed step, the reason of `n/a`.
    pub detail: String,
}

/// Runs one tour program with BOOTSTRAP and PREFIX as its arguments, writes its results beside the
/// build, and fails when a step failed or is missing.
pub fn run_tour(cluster: &dyn Cluster, name: &str, mut program: Command) -> Result<Tour> {
    let scratch = tempfile::tempdir()?;
    let log = scratch.path().join("tour.log");
    // A dot among the characters would be a second way to write the same metric name.
    let prefix = format!("tour-{}-", name.replace('.', "-"));
    program.arg(cluster.bootstrap()).arg(prefix);
    let mut running = Running::start(name, &mut program, &log)?;
    running.finish(LIMIT)?;
    let text = running.output();
    let tour =
        parse(&text).with_context(|| format!("the tour of {name}\n{}", tail_of(&log, 60)))?;
    write_results(cluster, name, &tour)?;
    let failed: Vec<String> = tour
        .steps
        .iter()
        .filter(|step| step.result == "failed")
        .map(|step| format!("{}: {}", step.name, step.detail))
        .collect();
    if !failed.is_empty() {
        bail!(
            "{} {} against {}:\n{}\n--- its output\n{}",
            tour.client,
            tour.version,
            cluster.name(),
            failed.join("\n"),
            tail_of(&log, 120)
        );
    }
    Ok(tour)
}

fn parse(text: &str) -> Result<Tour> {
    let mut client = None;
    let mut steps = Vec::new();
    let mut is_ended = false;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["CLIENT", name, version] => client = Some(((*name).to_owned(), (*version).to_owned())),
            ["STEP", name, result, detail @ ..] => steps.push(TourStep {
                name: (*name).to_owned(),
                result: (*result).to_owned(),
                detail: detail.join(" "),
            }),
            ["END"] => is_ended = true,
            _ => {}
        }
    }
    if !is_ended {
        bail!("it stopped before its end");
    }
    let missing: Vec<&&str> = STEPS
        .iter()
        .filter(|name| !steps.iter().any(|step| step.name == **name))
        .collect();
    if !missing.is_empty() {
        bail!("it left out {missing:?}");
    }
    let (client, version) = client.context("it did not say which client it is")?;
    Ok(Tour {
        client,
        version,
        steps,
    })
}

/// `e2e/clients/<peer>-<client>.tsv` in the target directory, where `cargo xtask docs` finds it.
fn write_results(cluster: &dyn Cluster, name: &str, tour: &Tour) -> Result<()> {
    let Some(folder) = results_folder() else {
        return Ok(());
    };
    fs::create_dir_all(&folder)?;
    let peer = cluster.name();
    let mut text = String::new();
    for step in &tour.steps {
        let TourStep {
            name: step, result, ..
        } = step;
        writeln!(
            text,
            "{}\t{}\t{peer}\t{step}\t{result}",
            tour.client, tour.version
        )?;
    }
    let file = format!("{}-{name}.tsv", peer.replace(' ', "-"));
    fs::write(folder.join(file), text)?;
    Ok(())
}

fn results_folder() -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    test.ancestors()
        .nth(3)
        .map(|target: &Path| target.join("e2e/clients"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tour_tells_all_its_steps_or_fails() {
        let all: String = STEPS.iter().map(|s| format!("STEP\t{s}\tok\n")).collect();
        let whole = format!("noise\nCLIENT\tx\t1.0\n{all}END\n");
        let tour = parse(&whole).expect("a whole tour");
        assert_eq!(
            (tour.version.as_str(), tour.steps.len()),
            ("1.0", STEPS.len())
        );
        assert!(parse(&whole.replace("END", "")).is_err());
        assert!(parse(&whole.replace("STEP\theaders\tok\n", "")).is_err());
        assert!(parse(&whole.replace("CLIENT", "")).is_err());
    }
}
