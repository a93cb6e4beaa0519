//! Goal: unmodified clients of every family do the same things on Apache Kafka and on Ottla, with
//! the same results. Method: one program per client walks the tour (e2e/clients) against a broker;
//! against Apache Kafka first, which proves the tour itself, then against Ottla with the same
//! properties. Results become docs/clients.md by `cargo xtask docs`.
//! Needs: jvm, java-clients, kcat, python, go, node.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ottla_e2e::{
    Cluster, JvmKafka, OttlaBroker, build_folder, clients_classpath, java, node_modules, python,
    run_tour,
};

const JAVA_VERSIONS: &[&str] = &["2.7.2", "3.9.2", "4.3.1", "4.4.0"];

/// kcat creates no topic, so the broker must when it is asked for one; the others ask explicitly
/// and run on the same broker.
const AUTO_CREATE: &[(&str, &str)] = &[("auto.create.topics.enable", "true")];

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

fn java_client(version: &str) -> Result<Command> {
    let mut command = java(&clients_classpath(version)?);
    command.arg(clients().join("java/Tour.java"));
    Ok(command)
}

fn python_client(program: &str) -> Result<Command> {
    let mut command = Command::new(python()?);
    command
        .arg(clients().join("python").join(program))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

fn kcat() -> Result<Command> {
    let mut command = Command::new("bash");
    command.arg(clients().join("kcat/tour.sh"));
    Ok(command)
}

fn kafkajs() -> Result<Command> {
    let mut command = Command::new("node");
    command
        .arg(clients().join("node/tour.js"))
        .env("NODE_PATH", node_modules()?);
    Ok(command)
}

fn franz_go() -> Result<Command> {
    let program = build_folder("go")?.join("tour");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(clients().join("go"))
        .output()
        .context("cannot start go")?;
    if !built.status.success() {
        bail!("go build: {}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(Command::new(program))
}

/// Runs one client's tour on a fresh broker.
fn tour(mut cluster: impl Cluster, name: &str, program: Result<Command>) -> Result<()> {
    cluster.start()?;
    run_tour(&cluster, name, program?)?;
    cluster.stop()
}

/// All Java clients share a broker: the prefix of their topics tells them apart.
fn java_tours(mut cluster: impl Cluster) -> Result<()> {
    cluster.start()?;
    for version in JAVA_VERSIONS {
        run_tour(&cluster, &format!("java-{version}"), java_client(version)?)?;
    }
    cluster.stop()
}

macro_rules! tours {
    ($peer:ident, $cluster:expr) => {
        mod $peer {
            use super::*;

            #[test]
            fn java() -> Result<()> {
                java_tours($cluster?)
            }

            #[test]
            fn kcat() -> Result<()> {
                tour($cluster?, "kcat", super::kcat())
            }

            #[test]
            fn confluent_kafka() -> Result<()> {
                tour(
                    $cluster?,
                    "confluent-kafka",
                    python_client("confluent_tour.py"),
                )
            }

            #[test]
            fn kafka_python() -> Result<()> {
                tour(
                    $cluster?,
                    "kafka-python",
                    python_client("kafka_python_tour.py"),
                )
            }

            #[test]
            fn franz_go() -> Result<()> {
                tour($cluster?, "franz-go", super::franz_go())
            }

            #[test]
            fn kafkajs() -> Result<()> {
                tour($cluster?, "kafkajs", super::kafkajs())
            }
        }
    };
}

tours!(apache_kafka, JvmKafka::new(AUTO_CREATE));
tours!(ottla, OttlaBroker::new(AUTO_CREATE));
