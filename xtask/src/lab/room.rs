//! A room: the namespaces of one machine of the lab (processes, mounts, network, host name) around a first process
//! that only waits. When that process dies the kernel kills every other process of the room, containers included, and with
//! them go mounts, network devices, nftables and loop devices. So a node is a node: it has paths, ports and routes of its
//! own, and losing power is one SIGKILL.
//!
//! Invariant: a room is ended by the id and start time of its first process, never by a name. Not here: what runs inside.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::wait;
use crate::process;

/// Opening and ending take milliseconds; a machine under load gets more.
const LIMIT: Duration = Duration::from_secs(30);

/// One set of namespaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Room {
    pub name: String,
    /// On the lab's bridge.
    pub address: String,
    /// The first process, as seen from outside.
    pid: u32,
    /// Field 22 of its /proc stat: with the id it names one process for ever.
    started: u64,
}

/// Laid over the room's own view of the file system; the host sees none of it.
/// $1 is the room's folder, $2 its host name.
const FURNISH: &str = r#"
set -e
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lab
mount --bind "$1" /run/lab
mount -t tmpfs -o mode=755 tmpfs /var/lib
for name in kubelet containerd; do
    mkdir -p "$1/$name" "/var/lib/$name"
    mount --bind "$1/$name" "/var/lib/$name"
done
mkdir -p "$1/log"
mount --bind "$1/log" /var/log
hostname "$2"
# Settings of the kernel are the machine's; those of the network are the room's own. A kubelet insists
# on writing some, and writes to a copy.
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
mkdir /run/settings
for name in kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes vm/overcommit_memory vm/panic_on_oom; do
    copy="/run/settings/$(basename "$name")"
    cat "/proc/sys/$name" > "$copy"
    mount --bind "$copy" "/proc/sys/$name"
done
echo 1 > /proc/sys/net/ipv4/ip_forward
"#;

impl Room {
    /// Opens a room whose first process is `first`, a program that waits and collects children.
    /// `folder` is its folder, seen inside as /run/lab.
    pub fn open(name: &str, address: &str, first: &Path, folder: &Path) -> Result<Room> {
        fs::create_dir_all(folder)?;
        let outer = Command::new("setsid")
            .args(["unshare", "--fork", "--kill-child", "--pid", "--mount-proc"])
            .args(["--net", "--uts", "--mount", "--propagation", "private"])
            .arg(first)
            // Not read by anyone: it tells whose this process is, should we die before writing it down.
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("room.err"))?)
            .spawn()
            .context("cannot start unshare")?
            .id();
        let first_name = first.file_name().unwrap_or_default().to_string_lossy();
        let pid = wait::until(format!("the room {name}"), LIMIT, || {
            let said = fs::read_to_string(folder.join("room.err"))?;
            if !said.trim().is_empty() {
                bail!("the room {name} cannot be opened: {}", said.trim());
            }
            Ok(children(outer)
                .into_iter()
                .find(|pid| command_name(*pid).is_some_and(|there| there == first_name))
                .ok_or_else(|| "its first process has not begun".to_owned()))
        })?;
        let started = start_time(pid).context("the first process is gone already")?;
        Ok(Room {
            name: name.to_owned(),
            address: address.to_owned(),
            pid,
            started,
        })
    }

    /// Lays the room's folders over the host's, which it must not touch.
    pub fn furnish(&self, folder: &Path) -> Result<()> {
        process::run_quiet(
            self.command("sh")
                .args(["-c", FURNISH, "sh"])
                .arg(folder)
                .arg(&self.name),
        )
        .map(|_| ())
    }

    /// The first process's id, which names the network namespace to `ip`.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--net", "--uts", "--pid", "--wd=/", "--"])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Starts a process inside that outlives this one; both outputs are appended to `log`.
    pub fn spawn(&self, program: &Path, args: &[String], log: &Path) -> Result<()> {
        if let Some(parent) = log.parent() {
            fs::create_dir_all(parent)?;
        }
        let out = File::options().create(true).append(true).open(log)?;
        let inside = self.command(program);
        let mut command = Command::new("setsid");
        command
            .arg(inside.get_program())
            .args(inside.get_args())
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(())
    }

    /// Whether the first process is the one that was started.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Ends every process of the room at once. A room that has ended already is no error.
    pub fn end(&self) -> Result<()> {
        if self.is_alive() {
            process::run_quiet(&mut process::command(
                "kill",
                ["-KILL".to_owned(), self.pid.to_string()],
            ))?;
        }
        // The first process of a namespace is gone only when all others are.
        wait::until(format!("the end of the room {}", self.name), LIMIT, || {
            Ok(if self.is_alive() {
                Err(format!("process {} is still there", self.pid))
            } else {
                Ok(())
            })
        })
    }

    /// Proportional memory of its processes without those in containers, in KiB.
    pub fn memory_kib(&self) -> Result<u64> {
        let ours = fs::read_link(format!("/proc/{}/ns/pid", self.pid)).ok();
        let mut sum = 0;
        for pid in processes()? {
            let there = fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
            if ours.is_some() && there == ours {
                sum += proportional_kib(pid);
            }
        }
        Ok(sum)
    }
}

/// Ends rooms with a folder in `dir` that were opened by an `up` that died before it wrote them down.
pub fn end_strays(dir: &Path) -> Result<()> {
    for (pid, _) in doors(dir, "unshare ")? {
        // What is behind it goes with it (--kill-child); it may have gone by itself in between.
        let mut kill = process::command("kill", ["-KILL".to_owned(), pid.to_string()]);
        let _ = process::run_quiet(&mut kill);
    }
    Ok(())
}

/// Processes outside of rooms that hold a room with something in `dir` open, with their command
/// lines: `unshare ` opened it, `nsenter ` brought a process in.
pub fn doors(dir: &Path, program: &str) -> Result<Vec<(u32, String)>> {
    let dir = format!("{}/", dir.display());
    let mut found = Vec::new();
    for pid in processes()? {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.starts_with(program) && command.contains(&dir) {
            found.push((pid, command));
        }
    }
    Ok(found)
}

/// Ids of all processes.
fn processes() -> Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .collect())
}

fn children(parent: u32) -> Vec<u32> {
    processes()
        .unwrap_or_default()
        .into_iter()
        .filter(|pid| stat_field(*pid, 4) == Some(u64::from(parent)))
        .collect()
}

fn command_name(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim_end().to_owned())
}

/// When a process began, in clock ticks since boot; a zombie counts as gone.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(')')?.1.split_whitespace().next()?;
    if state == "Z" {
        return None;
    }
    stat_field(pid, 22)
}

/// A numeric field of /proc/PID/stat, counted from 1 as in proc(5). The name in field 2 may hold
/// blanks, so fields are counted behind it.
fn stat_field(pid: u32, number: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let behind = stat.rsplit_once(')')?.1;
    behind.split_whitespace().nth(number - 3)?.parse().ok()
}

fn proportional_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_its_id_and_its_start() {
        let own = std::process::id();
        let started = start_time(own).expect("this process runs");
        let mut room = Room {
            name: "here".to_owned(),
            address: String::new(),
            pid: own,
            started,
        };
        assert!(room.is_alive());
        room.started += 1;
        assert!(!room.is_alive(), "another process with the same id");
        room.end()
            .expect("nothing of ours runs, so nothing is ended");
    }
}
