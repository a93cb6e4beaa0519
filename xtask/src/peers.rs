//! The peers that stand in tests: Apache Kafka as jars, and clients in other languages. Each is
//! resolved once, by its ecosystem's ordinary client, into one cache outside the tree
//! (`$OTTLA_CACHE`, else `~/.cache/ottla`).
//!
//! Invariant: a peer's folder appears under its final name only when it is complete, and two
//! processes that ask for the same peer wait for each other. Not here: starting peers (e2e/).

mod debian;
mod go;
mod helm;
mod maven;
mod mounts;
mod node;
mod python;

pub use debian::{install, is_root, need};

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The Apache Kafka whose broker, controller and tools are the oracle.
pub const KAFKA_VERSION: &str = "4.3.1";

/// The Java clients that tour our brokers: the oldest still in wide use, the last before 4.0, the
/// oracle's own and the newest.
pub const JAVA_CLIENTS: &[&str] = &["2.7.2", "3.9.2", KAFKA_VERSION, "4.4.0"];

/// A peer by the name that scenarios use in their `Needs:` line.
pub struct Peer {
    pub name: &'static str,
    pub what: &'static str,
    pub fetch: fn() -> Result<()>,
}

/// All peers, in the order in which they are fetched.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "jvm",
        what: "Apache Kafka (broker, controller, tools, metadata shell)",
        fetch: || kafka_classpath(KAFKA_VERSION).map(|_| ()),
    },
    Peer {
        name: "java-clients",
        what: "Java clients of several versions",
        fetch: || {
            JAVA_CLIENTS
                .iter()
                .try_for_each(|version| clients_classpath(version).map(|_| ()))
        },
    },
    Peer {
        name: "kcat",
        what: "kcat on Debian's librdkafka",
        fetch: || debian::need("kcat", &["kcat"]),
    },
    Peer {
        name: "python",
        what: "confluent-kafka and kafka-python",
        fetch: || {
            let list = read("e2e/clients/python/requirements.txt")?;
            cached("python", &list, |dir| python::environment(dir, &list)).map(|_| ())
        },
    },
    Peer {
        name: "go",
        what: "franz-go",
        fetch: || go::modules(&workspace::root().join("e2e/clients/go")),
    },
    Peer {
        name: "node",
        what: "kafkajs",
        fetch: || {
            let manifest = read("e2e/clients/node/package.json")?;
            cached("node", &manifest, |dir| node::modules(dir, &manifest)).map(|_| ())
        },
    },
    Peer {
        name: "helm",
        what: "Helm 3 and 4, and kustomize",
        fetch: || helm::programs().map(|_| ()),
    },
    Peer {
        name: "package-index",
        what: "Debian's package index under apt's lists",
        fetch: debian::package_index,
    },
    Peer {
        name: "mounts",
        what: "the right to mount small file systems",
        fetch: mounts::allowed,
    },
    Peer {
        name: "lab",
        what: "Kubernetes with three nodes, for `cargo xtask lab`",
        fetch: crate::lab::fetch,
    },
];

/// The `peers` verb: fetches all or those that are named, or prints the class path of one.
pub fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => fetch(&PEERS.iter().collect::<Vec<_>>()),
        ["classpath", version] => {
            println!("{}", kafka_classpath(version)?);
            Ok(())
        }
        ["clients-classpath", version] => {
            println!("{}", clients_classpath(version)?);
            Ok(())
        }
        names => {
            let named = |name: &&str| PEERS.iter().find(|peer| peer.name == *name);
            let named: Option<Vec<&Peer>> = names.iter().map(named).collect();
            fetch(&named.context(
                "usage: cargo xtask peers [NAME… | classpath VERSION | clients-classpath VERSION]",
            )?)
        }
    }
}

fn fetch(peers: &[&Peer]) -> Result<()> {
    let mut missing = Vec::new();
    for peer in peers {
        match (peer.fetch)() {
            Ok(()) => println!("{:<14} {}", peer.name, peer.what),
            Err(error) => {
                println!("{:<14} missing: {error:#}", peer.name);
                missing.push(peer.name);
            }
        }
    }
    if !missing.is_empty() {
        bail!("missing peers: {}", missing.join(", "));
    }
    Ok(())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(workspace::root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// Class path of a whole Apache Kafka of this version: broker, controller, tools, metadata shell.
/// Errors: Maven is missing and cannot be installed, or the version is not published.
pub fn kafka_classpath(version: &str) -> Result<String> {
    cached(&format!("kafka-{version}"), version, |dir| {
        maven::resolve(dir, &maven::kafka(version))
    })
    .and_then(|dir| maven::classpath(&dir))
}

/// Class path of the Java client alone, for tours with clients older or newer than the broker.
pub fn clients_classpath(version: &str) -> Result<String> {
    cached(&format!("kafka-clients-{version}"), version, |dir| {
        maven::resolve(dir, &maven::clients(version))
    })
    .and_then(|dir| maven::classpath(&dir))
}

/// The folder of the peer `name`, filled by `fill` in a scratch folder first if it is not there or
/// was made for another `recipe`.
pub fn cached(name: &str, recipe: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = cache_root()?;
    let ready = root.join(name);
    let is_ready = || fs::read_to_string(ready.join(RECIPE)).is_ok_and(|there| there == recipe);
    if is_ready() {
        return Ok(ready);
    }
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let lock = File::create(root.join(format!(".{name}.lock")))?;
    lock.lock()
        .with_context(|| format!("cannot lock the cache entry {name}"))?;
    if is_ready() {
        return Ok(ready);
    }
    let scratch = root.join(format!(".{name}.partial"));
    for stale in [&scratch, &ready] {
        if stale.exists() {
            fs::remove_dir_all(stale)?;
        }
    }
    fs::create_dir_all(&scratch)?;
    eprintln!("peers: fetching {name}");
    fill(&scratch).with_context(|| format!("cannot fetch the peer {name}"))?;
    fs::write(scratch.join(RECIPE), recipe)?;
    fs::rename(&scratch, &ready)?;
    Ok(ready)
}

/// Names the file inside a cache entry that tells what it was made from.
const RECIPE: &str = ".recipe";

/// Where peers are cached: outside the tree.
pub fn cache_root() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("OTTLA_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .context("neither OTTLA_CACHE nor HOME is set: no place for the cache")?;
    Ok(PathBuf::from(home).join(".cache/ottla"))
}
