//! Apache Kafka as a peer: one node, broker and controller in one JVM with little memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::cluster::{Cluster, answers};
use crate::{Properties, Running, cache, free_ports, tail_of, wait};

/// For every JVM of a scenario: little memory, a quick start (the first compiler only).
pub const JAVA_OPTIONS: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A `java` command on a class path.
pub fn java(classpath: &str) -> Command {
    let mut java = Command::new("java");
    java.args(JAVA_OPTIONS).args(["-cp", classpath]);
    java
}

/// One node of Apache Kafka on loopback.
pub struct JvmKafka {
    dir: TempDir,
    port: u16,
    running: Option<Running>,
    classpath: String,
}

impl JvmKafka {
    /// Prepares and formats a node. `extra` overrides or adds properties.
    pub fn new(extra: &[(&str, &str)]) -> Result<JvmKafka> {
        let dir = tempfile::tempdir()?;
        let ports = free_ports(2)?;
        let data = dir.path().join("data");
        let properties = Properties::combined(1, ports[0], ports[1], &data).with_all(extra);
        fs::write(dir.path().join("server.properties"), properties.to_string())?;
        fs::write(dir.path().join("log4j2.xml"), LOG4J)?;
        let kafka = JvmKafka {
            port: ports[0],
            running: None,
            classpath: cache::kafka_classpath()?,
            dir,
        };
        kafka.format()?;
        Ok(kafka)
    }

    /// The folder of the node: `server.properties`, `data/`, `kafka.log`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The log directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn format(&self) -> Result<()> {
        let output = self
            .java()
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
            .arg("Mj2Tmj2TSYSFj2TmMj2Tmw")
            .arg("-c")
            .arg(self.dir.path().join("server.properties"))
            .output()
            .context("cannot start java")?;
        if !output.status.success() {
            bail!(
                "Apache Kafka does not format its directory: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// A `java` command with this Kafka's class path and logging.
    pub fn java(&self) -> Command {
        let mut java = java(&self.classpath);
        java.arg(format!(
            "-Dlog4j2.configurationFile={}",
            self.dir.path().join("log4j2.xml").display()
        ));
        java
    }
}

impl Cluster for JvmKafka {
    fn name(&self) -> &'static str {
        "Apache Kafka 4.3.1"
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let log = self.dir.path().join("kafka.log");
        let mut command = self.java();
        command
            .arg("kafka.Kafka")
            .arg(self.dir.path().join("server.properties"));
        let mut running = Running::start("Apache Kafka", &mut command, &log)?;
        let address = self.bootstrap();
        wait::until("Apache Kafka to serve", START_LIMIT, || {
            running.expect_alive()?;
            Ok(answers(&address).then_some(()))
        })
        .with_context(|| tail_of(&log, 60))?;
        self.running = Some(running);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.stop(STOP_LIMIT)?;
        }
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.kill()?;
        }
        Ok(())
    }
}

const LOG4J: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="warn">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="info"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"#;
