//! Processes that outlive who started them: started, found again, watched, told to stop.
//!
//! A process is known by its id and its start time, because ids are used again. It is watched and
//! signalled through a pidfd, so that a signal never reaches a later process of the same id.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::folder::{Durable, named, write_whole};

/// A log that has grown beyond this is put aside when its broker starts.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Of last words, more than this is not repeated.
const LAST_WORDS_MAX: usize = 400;

/// A running process.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    fd: OwnedFd,
    /// Present when this process started it; an adopted one has another parent.
    child: Option<Child>,
    /// Where its words begin in its log.
    log_from: u64,
}

/// What to start.
pub struct Launch<'a> {
    /// Program and arguments.
    pub command: &'a [OsString],
    /// A variable of its environment.
    pub variable: (&'a str, &'a str),
    /// Where its output goes.
    pub log: &'a Path,
    /// Where its id is kept.
    pub pid_file: &'a Path,
}

impl Process {
    /// Starts a process of its own session's kind: nothing that happens to the terminal or to this
    /// process reaches it. Errors name the file.
    pub fn start(launch: &Launch<'_>) -> io::Result<Process> {
        if fs::metadata(launch.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(launch.log, launch.log.with_extension("log.1"))?;
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(launch.log)
            .map_err(|error| named(launch.log, error))?;
        let log_from = log.metadata()?.len();
        let program = resolved(&launch.command[0]);
        let mut command = Command::new(&program);
        command
            // The name under which tools list it; the program may be reached through /proc.
            .arg0("ottla")
            .args(&launch.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        // These configure a broker in a container; here the manifest does.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.as_bytes().starts_with(b"KAFKA_"))
        {
            command.env_remove(key);
        }
        command.env(launch.variable.0, launch.variable.1);
        let child = command
            .spawn()
            .map_err(|error| named(Path::new(&program), error))?;
        let pid = child.id() as i32;
        let fd = open(pid)?;
        let started = start_time(pid).unwrap_or_default();
        write_whole(
            launch.pid_file,
            format!("{pid} {started}\n").as_bytes(),
            Durable::No,
        )?;
        Ok(Process {
            pid,
            fd,
            child: Some(child),
            log_from,
        })
    }

    /// The process of a pid file, if it still runs. Without one, a process whose arguments end
    /// with `last_argument`: its starter may have died before it wrote the file.
    pub fn find(pid_file: &Path, last_argument: &Path, log: &Path) -> Option<Process> {
        let noted = noted(pid_file).and_then(|(pid, started)| {
            let fd = open(pid).ok()?;
            // Opened first and compared then: the id cannot be used again in between.
            (start_time(pid) == Some(started)).then_some((pid, fd))
        });
        let (pid, fd) = noted.or_else(|| {
            let pid = by_last_argument(last_argument)?;
            Some((pid, open(pid).ok()?))
        })?;
        Some(Process {
            pid,
            fd,
            child: None,
            log_from: fs::metadata(log).map_or(0, |log| log.len()),
        })
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Asks it to stop cleanly.
    pub fn terminate(&self) {
        // It may be gone already, which is what is wanted.
        let _ = pidfd_send_signal(&self.fd, Signal::TERM);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::KILL);
    }

    /// Something to wait for its end with. Must be called inside a tokio runtime.
    // The replacement of the deprecated call is unsafe, because it asks for what an `OwnedFd`
    // guarantees by its type; this workspace has no unsafe code.
    #[allow(deprecated)]
    pub fn watch(&self) -> io::Result<Watch> {
        let fd = AsyncFd::with_interest(self.fd.try_clone()?, Interest::READABLE)?;
        Ok(Watch { fd })
    }

    /// Why it ended, in words, once it has: its exit, and the last line it left in its log.
    pub fn epitaph(&mut self, log: &Path) -> String {
        let status = self.child.as_mut().and_then(|child| child.wait().ok());
        let exit = match status {
            Some(status) => describe(status),
            None => "it is gone".into(),
        };
        match last_line(log, self.log_from) {
            Some(line) => format!("{exit}: {line}"),
            None => exit,
        }
    }
}

/// Waits for a process to end.
#[derive(Debug)]
pub struct Watch {
    fd: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Completes when the process has ended, whoever its parent is.
    pub async fn ended(self) {
        // An error here means that the runtime is ending.
        let _ = self.fd.readable().await;
    }
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn noted(pid_file: &Path) -> Option<(i32, u64)> {
    let text = fs::read_to_string(pid_file).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, started.parse().ok()?))
}

/// When a process started, in clock ticks since boot; None when it is gone or dead.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; fields are counted from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn by_last_argument(argument: &Path) -> Option<i32> {
    let wanted = argument.as_os_str().as_bytes();
    let own = std::process::id() as i32;
    fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .find(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = arguments.split(|byte| *byte == 0).filter(|a| !a.is_empty());
            let is_broker = arguments.clone().any(|argument| argument == b"broker");
            is_broker && arguments.next_back() == Some(wanted) && start_time(*pid).is_some()
        })
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "it ended by itself".into(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "it is gone".into(),
    }
}

/// The last line that says something, of what was written to `log` after `from`.
fn last_line(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let end = file.metadata().ok()?.len();
    let start = from.max(end.saturating_sub(8192));
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(8192).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    Some(line.chars().take(LAST_WORDS_MAX).collect())
}

/// This very program, even when its file was replaced since it started.
const SELF: &str = "/proc/self/exe";

/// The program to start for another process of this very program.
pub fn own_program() -> OsString {
    OsStr::new(SELF).to_owned()
}

/// The same by its own path where that is still the same file: tools list processes by it.
pub(super) fn resolved(program: &OsStr) -> OsString {
    let identity = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    };
    match std::env::current_exe() {
        Ok(path) if program == SELF && identity(&path) == identity(Path::new(SELF)) => path.into(),
        _ => program.to_owned(),
    }
}

#[cfg(test)]
mod tests;
