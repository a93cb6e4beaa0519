//! `ottla dump-log`: what segments, indexes, checkpoints and metadata logs hold.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ottla_broker_storage::names::SegmentFile;
use serde_json::Value;

use super::{index, segment, small};
use crate::failure::{Failure, NOT_FOUND, OTHER, Outcome};
use crate::output;

/// Beside a log directory's files while it is in use or was not stopped cleanly.
const IN_USE: &str = "meta.properties.ottla";

/// `ottla dump-log`
#[derive(Debug, Args)]
#[command(
    after_help = "A partition's directory stands for all files in it. Records of __cluster_metadata and __consumer_offsets, \
                  and of metadata snapshots, are decoded."
)]
pub struct DumpLogArgs {
    /// Files (.log, .index, .timeindex, .txnindex, .snapshot, .checkpoint, leader-epoch-checkpoint) or partition directories
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Also records and index entries, not only batches and sums
    #[arg(short, long)]
    pub records: bool,
    /// Also keys, values and headers
    #[arg(short, long)]
    pub values: bool,
    /// json: one object a line
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: DumpFormat,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DumpFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How deep to look, and where to print.
pub struct Dump {
    /// Records and index entries too.
    pub records: bool,
    /// Keys and values too.
    pub values: bool,
    format: DumpFormat,
    /// What was found wrong, for the exit code.
    pub damaged: Vec<String>,
}

impl Dump {
    /// Prints one thing: `text` for people, or `value` for programs.
    pub fn line(&self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Outcome {
        let line = match self.format {
            DumpFormat::Text => text(),
            DumpFormat::Json => value().to_string(),
        };
        output::print(&format!("{line}\n"))
    }

    /// Notes damage, and prints it.
    pub fn damage(&mut self, path: &Path, what: &str) -> Outcome {
        self.damaged.push(format!("{}: {what}", path.display()));
        let file = path.display().to_string();
        self.line(
            || format!("  DAMAGED: {what}"),
            || serde_json::json!({"file": file, "damaged": what}),
        )
    }
}

/// Prints every path.
pub fn dump_log(args: &DumpLogArgs) -> Outcome {
    crate::logging::begin("error");
    let mut dump = Dump {
        records: args.records || args.values,
        values: args.values,
        format: args.output,
        damaged: Vec::new(),
    };
    for path in &args.paths {
        for file in files(path)? {
            warn_if_in_use(&file);
            dump_file(&file, &mut dump)?;
        }
    }
    if dump.damaged.is_empty() {
        return Ok(());
    }
    Err(Failure {
        code: OTHER,
        causes: dump.damaged,
        next: None,
    })
}

/// A file, or every file of a partition's directory that can be printed.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(Failure::new(
            NOT_FOUND,
            format!("there is no file or directory {}", path.display()),
        ));
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.is_file() && is_known(&file) {
            found.push(file);
        }
    }
    found.sort();
    if found.is_empty() {
        let partitions = fs::read_dir(path)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect::<Vec<_>>();
        let failure = Failure::new(NOT_FOUND, format!("{} holds no segments", path.display()));
        return Err(match partitions.first() {
            Some(first) => failure.next(format!(
                "A partition's directory does, for example {}.",
                path.join(first).display()
            )),
            None => failure,
        });
    }
    Ok(found)
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn is_known(path: &Path) -> bool {
    let name = name(path);
    SegmentFile::parse(name).is_some()
        || name.ends_with(".checkpoint")
        || name == "leader-epoch-checkpoint"
}

fn warn_if_in_use(file: &Path) {
    let root = file.parent().and_then(Path::parent);
    if root.is_some_and(|root| root.join(IN_USE).exists()) {
        eprintln!(
            "note: {} is in use or was not stopped cleanly: its last records may still be in the commit log (`ottla seal` writes them out)",
            root.unwrap_or(file).display()
        );
    }
}

fn dump_file(path: &Path, dump: &mut Dump) -> Outcome {
    let shown = path.display().to_string();
    dump.line(|| shown.clone(), || serde_json::json!({"file": shown}))?;
    match SegmentFile::parse(name(path)) {
        Some((_, SegmentFile::Log)) => segment::dump(path, dump),
        Some((base, SegmentFile::Index)) => index::dump_offsets(path, base, dump),
        Some((base, SegmentFile::TimeIndex)) => index::dump_times(path, base, dump),
        Some((_, SegmentFile::TxnIndex)) => index::dump_aborted(path, dump),
        Some((_, SegmentFile::Snapshot)) => small::dump_producers(path, dump),
        None if name(path).ends_with(".checkpoint") => segment::dump(path, dump),
        None if name(path) == "leader-epoch-checkpoint" => small::dump_epochs(path, dump),
        None => Err(Failure::new(
            crate::failure::USAGE,
            format!("{shown} is none of the files that can be printed"),
        )
        .next("See `ottla dump-log --help`.")),
    }
}
