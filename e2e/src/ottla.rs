//! Ottla as a peer of the same scenarios: one broker from a properties file, or a manifest brought
//! up by `ottla up --detach`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::cluster::{Cluster, answers};
use crate::{Properties, Running, free_ports, tail_of, wait};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The `ottla` command: `OTTLA_BIN`, else the newest build in the target directory of the test.
pub fn ottla_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("OTTLA_BIN").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let test = env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = test
        .ancestors()
        .nth(3)
        .context("the test does not lie in a target directory")?;
    ["release/ottla", "debug/ottla"]
        .iter()
        .map(|name| target.join(name))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .context("no ottla command is built: run `cargo build --release` first")
}

/// One broker, `ottla broker server.properties`.
pub struct OttlaBroker {
    dir: TempDir,
    port: u16,
    running: Option<Running>,
}

impl OttlaBroker {
    /// Prepares a node with the properties that [`crate::JvmKafka::new`] gives to its own.
    pub fn new(extra: &[(&str, &str)]) -> Result<OttlaBroker> {
        let dir = tempfile::tempdir()?;
        let ports = free_ports(2)?;
        let data = dir.path().join("data");
        let properties = Properties::combined(1, ports[0], ports[1], &data).with_all(extra);
        fs::write(dir.path().join("server.properties"), properties.to_string())?;
        Ok(OttlaBroker {
            dir,
            port: ports[0],
            running: None,
        })
    }

    /// The log directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The broker's process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Running::id)
    }
}

impl Cluster for OttlaBroker {
    fn name(&self) -> &'static str {
        "Ottla"
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let log = self.dir.path().join("ottla.log");
        let mut command = Command::new(ottla_binary()?);
        command
            .arg("broker")
            .arg(self.dir.path().join("server.properties"));
        let mut running = Running::start("ottla broker", &mut command, &log)?;
        let address = self.bootstrap();
        wait::until("ottla broker to serve", START_LIMIT, || {
            running.expect_alive()?;
            Ok(answers(&address).then_some(()))
        })
        .with_context(|| tail_of(&log, 60))?;
        self.running = Some(running);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            let status = running.stop(STOP_LIMIT)?;
            if !status.success() {
                bail!(
                    "ottla broker did not end cleanly: {status}\n{}",
                    running.output()
                );
            }
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

/// A manifest brought up by `ottla up --detach`, in a folder of its own.
pub struct OttlaUp {
    dir: TempDir,
    manifest: PathBuf,
    bootstrap: String,
}

impl OttlaUp {
    /// Prepares `manifest`, a path relative to the root of the repository.
    pub fn new(manifest: &str) -> Result<OttlaUp> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("e2e lies in the repository")?;
        Ok(OttlaUp {
            dir: tempfile::tempdir()?,
            manifest: root.join(manifest),
            bootstrap: String::new(),
        })
    }

    /// The folder given as `--dir`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `ottla` with these arguments and this cluster's `--dir`; its standard output.
    pub fn ottla(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(ottla_binary()?)
            .args(args)
            .arg("--dir")
            .arg(self.dir.path())
            .output()
            .context("cannot start ottla")?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "`ottla {}` ended with {}: {stdout}{}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(stdout)
    }

    /// Bootstrap address out of `ottla status -o json`: the CR's `status.listeners[].bootstrapServers`.
    fn read_bootstrap(&self) -> Result<String> {
        let text = self.ottla(&["status", "-o", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&text).context("status is no JSON")?;
        find_text(&status, "bootstrapServers")
            .with_context(|| format!("no bootstrapServers in {text}"))
    }
}

/// The first string under `key`, anywhere in a document.
fn find_text(value: &serde_json::Value, key: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(fields) => fields
            .get(key)
            .and_then(|v| v.as_str().map(str::to_owned))
            .or_else(|| fields.values().find_map(|v| find_text(v, key))),
        serde_json::Value::Array(items) => items.iter().find_map(|v| find_text(v, key)),
        _ => None,
    }
}

impl Cluster for OttlaUp {
    fn name(&self) -> &'static str {
        "Ottla"
    }

    fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    fn start(&mut self) -> Result<()> {
        let manifest = self.manifest.to_string_lossy().into_owned();
        self.ottla(&["up", &manifest, "--detach", "--timeout", "60s"])?;
        self.bootstrap = self.read_bootstrap()?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.ottla(&["down"]).map(|_| ())
    }

    /// There is no one process to kill: scenarios that kill a broker of many do it by its id.
    fn kill(&mut self) -> Result<()> {
        bail!("a cluster of several brokers is not killed as one")
    }
}

impl Drop for OttlaUp {
    fn drop(&mut self) {
        if !self.bootstrap.is_empty() {
            let _ = self.ottla(&["down", "--purge"]);
        }
    }
}
