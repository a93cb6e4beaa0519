//! Goal: a local cluster behaves as its user expects: up twice, a changed manifest, a refused one, a broker
//! killed, status, down, purge. Method: the `ottla` command as a user types it, in an empty folder;
//! conditions are polled with a deadline.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{ottla_binary, until};

const LIMIT: Duration = Duration::from_secs(30);

const MANIFEST: &str = "\
apiVersion: ottla.io/v1alpha1
kind: KafkaCluster
metadata:
  name: lifecycle
spec:
  replicas: 1
  storage:
    type: persistent-claim
    size: 1Gi
  listeners:
    - name: plain
      port: 9092
      type: internal
      tls: false
---
apiVersion: ottla.io/v1alpha1
kind: KafkaTopic
metadata:
  name: words
spec:
  clusterRef:
    name: lifecycle
  partitions: 3
  replicas: 1
";

struct User {
    folder: tempfile::TempDir,
}

impl User {
    fn types(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(ottla_binary()?);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command.output().context("ottla does not start")
    }

    fn writes(&self, manifest: &str) -> Result<()> {
        Ok(fs::write(
            self.folder.path().join("cluster.yaml"),
            manifest,
        )?)
    }

    fn brings_up(&self) -> Result<Output> {
        self.types(&["up", "cluster.yaml", "--detach"])
    }

    fn status(&self) -> Result<serde_json::Value> {
        let output = self.types(&["status", "-o", "json"])?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn reads_back(&self, count: &str) -> Result<String> {
        let output = self.types(&["consume", "words", "--from-beginning", "--max", count])?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Whatever a failed test left running; what it says is of no interest any more.
        let _ = self.types(&["down", "--purge"]);
    }
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn a_cluster_lives_on_a_laptop() -> Result<()> {
    let user = User {
        folder: tempfile::tempdir()?,
    };
    user.writes(MANIFEST)?;
    let up = user.brings_up()?;
    ensure!(up.status.success(), "first up: {}", said(&up));
    ensure!(is_ready(&user.status()?), "{}", user.status()?);

    let mut producer = Command::new(ottla_binary()?)
        .args(["produce", "words"])
        .current_dir(user.folder.path())
        .stdin(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(
        &mut producer.stdin.take().context("standard input is piped")?,
        b"one\ntwo\nthree\n",
    )?;
    ensure!(producer.wait()?.success(), "nothing can be produced");

    let again = user.brings_up()?;
    ensure!(again.status.success(), "second up: {}", said(&again));

    let broker = broker_process(user.folder.path())?;
    signal_kill(broker)?;
    until("the killed broker to be replaced", LIMIT, || {
        let other = broker_process(user.folder.path())
            .ok()
            .filter(|id| *id != broker);
        Ok(other.filter(|_| user.status().is_ok_and(|status| is_ready(&status))))
    })?;
    let mut lines: Vec<String> = user.reads_back("3")?.lines().map(str::to_owned).collect();
    lines.sort();
    ensure!(
        lines == ["one", "three", "two"],
        "after the kill: {lines:?}"
    );

    user.writes(&MANIFEST.replace("partitions: 3", "partitions: 5"))?;
    let grown = user.brings_up()?;
    ensure!(grown.status.success(), "grown: {}", said(&grown));
    user.writes(&MANIFEST.replace("partitions: 3", "partitions: 2"))?;
    let refused = user.brings_up()?;
    ensure!(
        refused.status.code() == Some(4),
        "a decrease: {}",
        said(&refused)
    );
    ensure!(
        said(&refused).contains("cannot decrease"),
        "{}",
        said(&refused)
    );
    user.writes(&MANIFEST.replace("replicas: 1\n  storage", "replica: 1\n  storage"))?;
    let typo = user.brings_up()?;
    ensure!(
        typo.status.code() == Some(2) && said(&typo).contains("did you mean"),
        "a typo: {}",
        said(&typo)
    );

    let down = user.types(&["down"])?;
    ensure!(down.status.success(), "down: {}", said(&down));
    user.writes(&MANIFEST.replace("partitions: 3", "partitions: 5"))?;
    let back = user.brings_up()?;
    ensure!(back.status.success(), "up on kept data: {}", said(&back));
    ensure!(
        user.reads_back("3")?.lines().count() == 3,
        "the data is gone after down and up"
    );
    let purged = user.types(&["down", "--purge"])?;
    ensure!(purged.status.success(), "purge: {}", said(&purged));
    ensure!(
        !user.folder.path().join(".ottla/lifecycle").exists(),
        "a purge leaves data behind"
    );
    Ok(())
}

fn is_ready(status: &serde_json::Value) -> bool {
    let conditions = status["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The process whose command line names a server.properties below `folder`.
fn broker_process(folder: &Path) -> Result<u32> {
    let wanted = folder.canonicalize()?.display().to_string();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end while we look.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&wanted) && line.contains("server.properties") {
            return Ok(id);
        }
    }
    anyhow::bail!("no broker runs in {wanted}")
}

fn signal_kill(id: u32) -> Result<()> {
    let killed = Command::new("kill")
        .args(["-9", &id.to_string()])
        .status()?;
    ensure!(killed.success(), "cannot kill {id}");
    Ok(())
}
