//! A process of a scenario: its output goes to a file, it is ended by its id, and it is gone when
//! its value is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// A started process.
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command` with both outputs appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Running> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}: {:?}", command.get_program()))?;
        Ok(Running {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Fails with the end of its log when it has ended by itself.
    pub fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended with {status}\n{}",
                self.name,
                tail_of(&self.log, 60)
            ),
        }
    }

    /// Waits for its own end. Errors: `limit` passed (it is killed then).
    pub fn finish(&mut self, limit: Duration) -> Result<ExitStatus> {
        let ended = wait::until(format!("the end of {}", self.name), limit, || {
            Ok(self.child.try_wait()?)
        });
        if ended.is_err() {
            self.kill()?;
        }
        ended.with_context(|| tail_of(&self.log, 60))
    }

    /// Asks it to end (SIGTERM) and waits. Errors: still there after `limit` (killed then).
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        signal("TERM", self.id())?;
        self.finish(limit)
    }

    /// SIGKILL, and waits for it to be gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.kill();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- end of the log of {}\n{}",
                self.name,
                tail_of(&self.log, 80)
            );
        }
    }
}

/// Sends a signal by name to one process.
pub fn signal(name: &str, id: u32) -> Result<()> {
    let status = Command::new("kill")
        .args([format!("-{name}"), id.to_string()])
        .status()
        .context("cannot start kill")?;
    if !status.success() {
        bail!("no process {id} to send {name} to");
    }
    Ok(())
}

/// The last `lines` lines of a file, for an error.
pub fn tail_of(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..].join("\n")
}
