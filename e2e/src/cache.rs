//! Where `cargo xtask peers` put the peers. Errors name the command that fetches what is missing.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The Apache Kafka that stands as the peer.
pub const KAFKA_VERSION: &str = "4.3.1";

/// Class path of a whole Apache Kafka: `OTTLA_KAFKA_CLASSPATH`, else the cache.
pub fn kafka_classpath() -> Result<String> {
    if let Ok(classpath) = env::var("OTTLA_KAFKA_CLASSPATH")
        && !classpath.is_empty()
    {
        return Ok(classpath);
    }
    jars(&format!("kafka-{KAFKA_VERSION}"))
}

/// Class path of the Java client of one version.
pub fn clients_classpath(version: &str) -> Result<String> {
    jars(&format!("kafka-clients-{version}"))
}

/// The python with the clients in it.
pub fn python() -> Result<PathBuf> {
    entry("python").map(|dir| dir.join("bin/python"))
}

/// The folder to name in NODE_PATH.
pub fn node_modules() -> Result<PathBuf> {
    entry("node").map(|dir| dir.join("node_modules"))
}

/// A folder in the cache for what a scenario builds itself (the Go tour).
pub fn build_folder(name: &str) -> Result<PathBuf> {
    let dir = root()?.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// `helm3` or `helm4`.
pub fn helm_program(name: &str) -> Result<PathBuf> {
    entry("helm").map(|dir| dir.join(name))
}

/// The program kustomize.
pub fn kustomize() -> Result<PathBuf> {
    helm_program("kustomize")
}

/// A program of the Kubernetes lab.
pub fn lab_program(name: &str) -> Result<PathBuf> {
    entry("lab").map(|dir| dir.join(name))
}

/// What the lab of this machine writes while it is up.
pub fn lab_folder() -> Result<PathBuf> {
    root().map(|root| root.join("lab-run"))
}

fn jars(name: &str) -> Result<String> {
    let libs = entry(name)?.join("libs");
    let mut jars: Vec<String> = fs::read_dir(&libs)
        .with_context(|| format!("no {}", libs.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "jar"))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    jars.sort();
    Ok(jars.join(":"))
}

fn entry(name: &str) -> Result<PathBuf> {
    let dir = root()?.join(name);
    if !dir.is_dir() {
        bail!("the peer {name} is not there: run `cargo xtask peers`");
    }
    Ok(dir)
}

fn root() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("OTTLA_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home = env::var_os("HOME").context("neither OTTLA_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/ottla"))
}
