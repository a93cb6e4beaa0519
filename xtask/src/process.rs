//! Running other programs: one place that says which command failed and what it printed last.
//! Invariant: a failing command is an error that names the whole command line. Not here: deciding
//! whether a tool is there (peers/), or what to run (the verbs).

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A command that inherits stdout and stderr and reads nothing.
pub fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    // Cargo tells a program that it runs about that program's package. Build scripts take another
    // package there for a change, and all that needs them would be built again.
    for (name, _) in env::vars_os() {
        if is_of_a_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn is_of_a_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Runs to the end with inherited output. Errors: not startable, or an exit code other than 0.
pub fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end quietly; the output is shown only as part of the error.
pub fn run_quiet(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        // Cargo's messages for programs say nothing to a person; its errors are on stderr.
        let stdout: String = stdout
            .lines()
            .filter(|line| !line.starts_with("{\"reason\""))
            .map(|line| format!("{line}\n"))
            .collect();
        bail!(
            "`{line}` ended with {}\n{}{}",
            output.status,
            tail(&stdout, 30),
            tail(&stderr, 60)
        );
    }
    Ok(stdout)
}

/// How a logged run ended.
pub enum Ended {
    Ok,
    Failed(ExitStatus),
    /// It was killed, with everything it had started.
    TimedOut,
}

/// Runs with both outputs in `log`, in a process group of its own that is gone afterwards: a
/// scenario that dies leaves no broker behind.
pub fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<Ended> {
    let line = command_line(command);
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let group = child.id();
    let (sender, ended) = mpsc::channel();
    let waiter = thread::spawn(move || sender.send(child.wait()));
    let answer = ended.recv_timeout(limit);
    kill_group(group);
    // The group is dead, so the wait is over whatever it waited for.
    let _ = waiter.join();
    match answer {
        Ok(status) => {
            let status = status?;
            Ok(if status.success() {
                Ended::Ok
            } else {
                Ended::Failed(status)
            })
        }
        Err(_) => Ok(Ended::TimedOut),
    }
}

/// Kills what is left of a process group. Nothing left is the normal case and no error.
fn kill_group(group: u32) {
    let mut kill = command(
        "kill",
        ["-KILL".to_owned(), "--".to_owned(), format!("-{group}")],
    );
    let _ = kill.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Whether `program` can be found on PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_executable(&dir.join(program)))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// The last `lines` lines of a text, each ended by a newline.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..].iter().map(|l| format!("{l}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hanging_program_is_ended_with_its_children() {
        let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the log");
        let log = folder.join("log");
        let mut hanging = command("sh", ["-c", "echo begun; sleep 60 & sleep 60"]);
        let ended = run_logged(&mut hanging, &log, Duration::from_millis(300));
        assert!(matches!(ended, Ok(Ended::TimedOut)));
        assert_eq!(std::fs::read_to_string(&log).expect("the log"), "begun\n");
        let mut failing = command("sh", ["-c", "exit 3"]);
        let ended = run_logged(&mut failing, &log, Duration::from_secs(60));
        assert!(matches!(ended, Ok(Ended::Failed(status)) if status.code() == Some(3)));
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }

    #[test]
    fn an_error_shows_the_command_and_its_last_words() {
        let error =
            run_quiet(&mut command("sh", ["-c", "echo why >&2; exit 1"])).expect_err("it failed");
        let text = format!("{error:#}");
        assert!(text.contains("sh -c") && text.contains("why"), "{text}");
        assert!(run(&mut command("sh", ["-c", "exit 1"])).is_err());
        assert_eq!(tail("a\nb\nc", 2), "b\nc\n");
    }
}
