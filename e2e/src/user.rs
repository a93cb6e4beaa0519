//! Somebody at a terminal, in a folder of their own: types `ottla …`, writes a manifest, looks at what
//! came of it, and now and then kills a process.
//!
//! Invariant: whatever was brought up in the folder is gone when the value is dropped. Not here: what
//! is expected (tests/).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::signal;
use crate::{ottla_binary, until};

const LIMIT: Duration = Duration::from_secs(30);
const MANIFEST: &str = "cluster.yaml";

/// A user and their folder.
pub struct User {
    folder: tempfile::TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub struct Said {
    /// The exit code; None after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Both outputs.
    pub text: String,
}

impl Said {
    /// The same, when it went well. Errors: the command failed; with its words.
    pub fn well(self, what: &str) -> Result<Said> {
        ensure!(
            self.code == Some(0),
            "{what}: {:?}: {}",
            self.code,
            self.text
        );
        Ok(self)
    }

    /// What is not as expected: another exit code, or words that are missing; None when nothing is.
    pub fn differs(&self, code: i32, words: &[&str]) -> Option<String> {
        let missing: Vec<_> = words
            .iter()
            .filter(|word| !self.text.contains(**word))
            .collect();
        (self.code != Some(code) || !missing.is_empty()).then(|| {
            format!(
                "{:?} instead of {code}, lacks {missing:?}: {}",
                self.code, self.text
            )
        })
    }
}

impl User {
    /// In an empty folder.
    pub fn new() -> Result<User> {
        Ok(User {
            folder: tempfile::tempdir()?,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Types `ottla` with these arguments.
    pub fn types(&self, arguments: &[&str]) -> Result<Said> {
        self.types_with(arguments, "")
    }

    /// The same, with `input` at standard input.
    pub fn types_with(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let mut command = Command::new(ottla_binary()?)
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("OTTLA_DIR")
            .env_remove("OTTLA_BOOTSTRAP_SERVER")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("ottla does not start")?;
        let mut stdin = command.stdin.take().context("standard input is piped")?;
        // A command that reads nothing may have ended already.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        let output = command.wait_with_output()?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Ok(Said {
            code: output.status.code(),
            text: format!("{stdout}{stderr}"),
            output: stdout,
        })
    }

    /// Writes the manifest, `cluster.yaml`.
    pub fn writes(&self, manifest: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join(MANIFEST), manifest)?)
    }

    /// `ottla up cluster.yaml --detach`.
    pub fn brings_up(&self) -> Result<Said> {
        self.types(&["up", MANIFEST, "--detach"])
    }

    /// Whether `ottla status -o json` has the condition Ready. Errors: there is no status.
    pub fn sees_ready(&self) -> Result<bool> {
        let status = self.types(&["status", "-o", "json"])?.well("status")?;
        let status: serde_json::Value = serde_json::from_str(&status.output)?;
        let conditions = status["status"]["conditions"].as_array();
        Ok(conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
    }

    /// Names of what lies in the folder, but for the manifest.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut names = fs::read_dir(self.folder.path())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        names.retain(|name| name != MANIFEST);
        names.sort();
        Ok(names)
    }

    /// The process of a broker of this folder. Errors: none runs.
    pub fn broker(&self) -> Result<u32> {
        self.process("server.properties")
    }

    /// SIGKILL to a broker of this folder; which it was.
    pub fn kills_broker(&self) -> Result<u32> {
        self.kills("server.properties")
    }

    /// SIGKILL to the supervisor of this folder.
    pub fn kills_supervisor(&self) -> Result<u32> {
        self.kills("supervise")
    }

    fn kills(&self, word: &str) -> Result<u32> {
        let id = self.process(word)?;
        signal("KILL", id)?;
        until("what was killed to be gone", LIMIT, || {
            Ok((!is_alive(id)).then_some(()))
        })?;
        Ok(id)
    }

    /// The process whose command line names something below the folder, and `word`.
    fn process(&self, word: &str) -> Result<u32> {
        let wanted = self.folder.path().canonicalize()?.display().to_string();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // A process may end while we look.
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&wanted) && line.contains(word) {
                return Ok(id);
            }
        }
        anyhow::bail!("no process with {word} runs in {wanted}")
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Whatever a failed test left running; what it says is of no interest any more.
        let _ = self.types(&["down", "--purge"]);
    }
}

/// Whether a process is there; one that has ended and was not waited for is not.
pub fn is_alive(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The state follows the name, which may hold anything but ends with the last parenthesis.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z")
}
