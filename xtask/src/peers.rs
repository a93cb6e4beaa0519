//! The peers that stand in tests: Apache Kafka as jars, and clients in other languages. Each is
//! resolved once, by its ecosystem's ordinary client, into one cache outside the tree
//! (`$OTTLA_CACHE`, else `~/.cache/ottla`).
//!
//! Invariant: a peer's folder appears under its final name only when it is complete, and two
//! processes that ask for the same peer wait for each other. Not here: starting peers (e2e/).

mod debian;
mod maven;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The Apache Kafka whose broker, controller and tools are the oracle.
pub const KAFKA_VERSION: &str = "4.3.1";

/// The `peers` verb: `classpath VERSION` prints a `java -cp` string.
pub fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["classpath", version] => println!("{}", kafka_classpath(version)?),
        ["clients-classpath", version] => println!("{}", clients_classpath(version)?),
        _ => bail!("usage: cargo xtask peers [classpath VERSION | clients-classpath VERSION]"),
    }
    Ok(())
}

/// Class path of a whole Apache Kafka of this version: broker, controller, tools, metadata shell.
/// Errors: Maven is missing and cannot be installed, or the version is not published.
pub fn kafka_classpath(version: &str) -> Result<String> {
    cached(&format!("kafka-{version}"), |dir| {
        maven::resolve(dir, &maven::kafka(version))
    })
    .and_then(|dir| maven::classpath(&dir))
}

/// Class path of the Java client alone, for tours with clients older or newer than the broker.
pub fn clients_classpath(version: &str) -> Result<String> {
    cached(&format!("kafka-clients-{version}"), |dir| {
        maven::resolve(dir, &maven::clients(version))
    })
    .and_then(|dir| maven::classpath(&dir))
}

/// The folder of the peer `name`, filled by `fill` in a scratch folder first if it is not there.
fn cached(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = cache_root()?;
    let ready = root.join(name);
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let lock = File::create(root.join(format!(".{name}.lock")))?;
    lock.lock()
        .with_context(|| format!("cannot lock the cache entry {name}"))?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let scratch = root.join(format!(".{name}.partial"));
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    fill(&scratch).with_context(|| format!("cannot fetch the peer {name}"))?;
    fs::rename(&scratch, &ready)?;
    Ok(ready)
}

fn cache_root() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("OTTLA_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .context("neither OTTLA_CACHE nor HOME is set: no place for the cache")?;
    Ok(PathBuf::from(home).join(".cache/ottla"))
}
