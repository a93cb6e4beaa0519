//! Writes committed code from fact tables, and the fact tables from Kafka's jars.
//!
//! `codegen` writes everything under `protocol/src` that opens with the generated-file header;
//! `codegen --check` writes nothing and names what would differ; `codegen --import` first renews
//! `protocol/schemas`. Invariant: the output is a function of `protocol/schemas` alone, formatted
//! by rustfmt, and a generated folder holds nothing else.

mod families;
mod import;
mod names;
mod schema;
mod structs;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use schema::Message;

/// The fact tables of messages; one file each.
const FAMILIES: [&str; 6] = [
    "messages",
    "metadata_records",
    "group_records",
    "transaction_records",
    "share_records",
    "remote_log_records",
];
const ERROR_TABLE: &str = "error_codes.txt";
/// Folders under `protocol/src` that hold only generated files.
const GENERATED_FOLDERS: [&str; 4] = [
    "messages",
    "metadata_records",
    "coordinator_records",
    "remote_log_records",
];

/// Generated files by path below `protocol/src`.
type Files = BTreeMap<String, String>;

/// Runs `cargo xtask codegen [--import | --check]`.
pub fn run(args: &[String]) -> Result<()> {
    let protocol = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../protocol")
        .canonicalize()?;
    let (schemas, sources) = (protocol.join("schemas"), protocol.join("src"));
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["--check"] => return check(&sources, &generate(&schemas)?),
        ["--import"] => {
            fs::create_dir_all(&schemas)?;
            for (name, table) in import::import()? {
                fs::write(schemas.join(name), table)?;
            }
        }
        _ => bail!("usage: cargo xtask codegen [--import | --check]"),
    }
    let files = generate(&schemas)?;
    for stale in differing(&sources, &files)? {
        let path = sources.join(&stale);
        match files.get(&stale) {
            Some(text) => {
                fs::create_dir_all(path.parent().expect("a generated file has a folder"))?;
                fs::write(path, text)?;
            }
            None => fs::remove_file(path)?,
        }
    }
    println!("codegen: {} files are up to date", files.len());
    Ok(())
}

fn check(sources: &Path, files: &Files) -> Result<()> {
    let stale = differing(sources, files)?;
    if !stale.is_empty() {
        let names: Vec<String> = stale
            .iter()
            .map(|name| format!("protocol/src/{name}"))
            .collect();
        bail!(
            "not what `cargo xtask codegen` writes:\n{}",
            names.join("\n")
        );
    }
    Ok(())
}

/// Files that are missing, different, or not generated (any more).
fn differing(sources: &Path, files: &Files) -> Result<BTreeSet<String>> {
    let mut stale: BTreeSet<String> = files
        .iter()
        .filter(|(name, text)| fs::read_to_string(sources.join(name)).ok().as_ref() != Some(text))
        .map(|(name, _)| name.clone())
        .collect();
    for folder in GENERATED_FOLDERS {
        for path in rust_files(&sources.join(folder))? {
            let name = path.strip_prefix(sources)?.to_string_lossy().into_owned();
            if !files.contains_key(&name) {
                stale.insert(name);
            }
        }
    }
    Ok(stale)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    Ok(files)
}

fn generate(schemas: &Path) -> Result<Files> {
    let read = |name: &str| {
        let path = schemas.join(name);
        fs::read_to_string(&path)
            .with_context(|| format!("{} (try `cargo xtask codegen --import`)", path.display()))
    };
    let mut tables = BTreeMap::new();
    for family in FAMILIES {
        let messages = schema::parse(&read(&format!("{family}.txt"))?)
            .with_context(|| format!("{family}.txt"))?;
        tables.insert(family, messages);
    }
    let messages = |family: &str| -> &[Message] { &tables[family] };
    let mut files = Files::new();
    families::messages(messages("messages"), &mut files)?;
    families::keyed_records(
        &families::METADATA,
        messages("metadata_records"),
        &mut files,
    )?;
    families::keyed_records(
        &families::REMOTE_LOG,
        messages("remote_log_records"),
        &mut files,
    )?;
    families::coordinator_records(
        &[
            (
                "GroupRecord",
                "What the group coordinator writes to `__consumer_offsets`.",
                messages("group_records"),
            ),
            (
                "TransactionRecord",
                "What the transaction coordinator writes to `__transaction_state`.",
                messages("transaction_records"),
            ),
            (
                "ShareRecord",
                "What the share coordinator writes to `__share_group_state`.",
                messages("share_records"),
            ),
        ],
        &mut files,
    )?;
    files.insert(
        "api_key/table.rs".to_owned(),
        tables::api_keys(messages("messages"))?,
    );
    files.insert(
        "error_code/table.rs".to_owned(),
        tables::error_codes(&read(ERROR_TABLE)?)?,
    );
    files.insert("catalogue/table.rs".to_owned(), tables::catalogue(&tables)?);
    format(files)
}

/// Formats all files by one run of rustfmt in a scratch folder.
fn format(files: Files) -> Result<Files> {
    let scratch = std::env::temp_dir().join(format!("ottla-rustfmt-{}", std::process::id()));
    let mut rustfmt = process::command("rustfmt", ["--edition", "2024"]);
    for (name, text) in &files {
        let path = scratch.join(name);
        fs::create_dir_all(path.parent().expect("a generated file has a folder"))?;
        fs::write(&path, text)?;
        rustfmt.arg(path);
    }
    let formatted = process::run_quiet(&mut rustfmt).and_then(|_| {
        files
            .keys()
            .map(|name| Ok((name.clone(), fs::read_to_string(scratch.join(name))?)))
            .collect()
    });
    fs::remove_dir_all(&scratch)?;
    formatted
}
