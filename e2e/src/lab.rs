//! The Kubernetes lab (`cargo xtask lab`) as scenarios use it: up, down, its kubectl. Invariant: a
//! scenario that brought the lab up takes it down, also when it fails. Not here: how the lab is made
//! (xtask/src/lab).

use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::signal;
use crate::repository::repository;
use crate::{cache, wait};

/// Programs and images may have to be built first.
const HALF_LIMIT: Duration = Duration::from_secs(600);

/// A lab that is up.
pub struct Lab {
    is_up: bool,
}

impl Lab {
    /// Brings it up. Errors: one is up already (its owner would not like it used), or it does not
    /// come up.
    pub fn up() -> Result<Lab> {
        let status = xtask(&["lab", "status"])?;
        if !status.status.success() || !text(&status.stdout).contains("no lab is up") {
            bail!("a lab is up already: end it with `cargo xtask lab down`");
        }
        let lab = Lab { is_up: true };
        print!("{}", checked(xtask(&["lab", "up"])?, "lab up")?);
        Ok(lab)
    }

    /// Begins to bring one up and dies when `rooms` of its machines are there.
    pub fn half_up(rooms: usize) -> Result<Lab> {
        let mut up = command(&["lab", "up"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start xtask")?;
        let lab = Lab { is_up: true };
        let begun = wait::until("half a lab", HALF_LIMIT, || {
            if let Some(status) = up.try_wait()? {
                bail!("`lab up` ended by itself with {status}");
            }
            Ok(lab.rooms().ok().filter(|there| there.len() >= rooms))
        });
        up.kill()?;
        up.wait()?;
        begun.map(|_| lab)
    }

    /// Cuts a node's power: its first process is killed, and with it everything on the node.
    pub fn cut_power(&self, node: &str) -> Result<()> {
        let rooms = self.rooms()?;
        let room = rooms.iter().find(|room| room["name"] == node);
        let pid = room.and_then(|room| room["pid"].as_u64());
        let pid = pid.with_context(|| format!("no node is called {node}"))?;
        signal("KILL", u32::try_from(pid)?)
    }

    /// The lab's machines, as `up` writes them down.
    fn rooms(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.folder()?.join("state.json"))?;
        let state: Value = serde_json::from_str(&text)?;
        Ok(state["rooms"].as_array().cloned().unwrap_or_default())
    }

    /// A verb of `cargo xtask lab`; what it printed.
    pub fn verb(&self, verb: &str) -> Result<String> {
        checked(xtask(&["lab", verb])?, verb)
    }

    /// Takes it down. Errors: also when something is left.
    pub fn down(mut self) -> Result<()> {
        self.is_up = false;
        print!("{}", self.verb("down")?);
        Ok(())
    }

    /// The administrator's kubectl; its standard output.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_reading("", args)
    }

    /// The same with something to read on standard input.
    pub fn kubectl_reading(&self, input: &str, args: &[&str]) -> Result<String> {
        let mut child = Command::new(cache::lab_program("kubectl")?)
            .args(args)
            .env("KUBECONFIG", self.folder()?.join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has an input")?;
        // One that does not read its input has ended, and its exit code says why.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        checked(child.wait_with_output()?, &args.join(" "))
    }

    /// A resource or a list.
    pub fn get(&self, args: &[&str]) -> Result<Value> {
        let mut words = vec!["get", "-o", "json"];
        words.extend(args);
        Ok(serde_json::from_str(&self.kubectl(&words)?)?)
    }

    /// Where the lab keeps its files: logs, audit log, volumes.
    pub fn folder(&self) -> Result<PathBuf> {
        cache::lab_folder()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.is_up {
            return;
        }
        match xtask(&["lab", "down"]) {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("lab down: {}", text(&output.stderr)),
            Err(error) => eprintln!("lab down: {error:#}"),
        }
    }
}

/// The repository's verbs: the program that runs this suite, else by way of cargo.
fn command(args: &[&str]) -> Command {
    let mut command = match env::var_os("OTTLA_XTASK").filter(|path| !path.is_empty()) {
        Some(path) => Command::new(path),
        None => {
            let mut cargo = Command::new("cargo");
            cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
            cargo
        }
    };
    command
        .args(args)
        .current_dir(repository())
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin(Stdio::null());
    command
}

fn xtask(args: &[&str]) -> Result<Output> {
    command(args).output().context("cannot start xtask")
}

fn checked(output: Output, what: &str) -> Result<String> {
    if !output.status.success() {
        bail!(
            "`{what}` ended with {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    Ok(text(&output.stdout))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
