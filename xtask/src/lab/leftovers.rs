//! Proof that `down` leaves nothing: looks for everything that a lab makes on the host, whoever
//! was to remove it. Not here: removing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::state::State;
use super::{Lab, cgroups, network, room, wait};

const LIMIT: Duration = Duration::from_secs(30);

/// Waits for loop devices of the lab's volumes to free themselves: the kernel does it when the
/// last mount of a dead room is taken apart.
pub fn wait_for_devices(dir: &Path) -> Result<()> {
    wait::until("loop devices to be freed", LIMIT, || {
        let left = devices(dir)?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(", "))
        })
    })
}

/// Errors: names all that is left.
pub fn check(lab: &Lab, state: &State) -> Result<()> {
    wait::until("the lab to be gone", LIMIT, || {
        let left = left(lab, state)?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(left.join("; "))
        })
    })
}

fn left(lab: &Lab, state: &State) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for room in state.rooms.iter().filter(|room| room.is_alive()) {
        left.push(format!("process {} of {}", room.pid(), room.name));
    }
    let dir = lab.path("");
    let dir = dir.to_string_lossy();
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        if line.contains(&*dir) {
            left.push(format!("mount {line}"));
        }
    }
    for program in ["unshare ", "nsenter "] {
        let doors = room::doors(&lab.dir, program)?;
        left.extend(
            doors
                .iter()
                .map(|(pid, line)| format!("process {pid} ({line})")),
        );
    }
    left.extend(network::links()?.iter().map(|name| format!("link {name}")));
    left.extend(
        cgroups::present()?
            .iter()
            .map(|path| format!("cgroup {}", path.display())),
    );
    left.extend(devices(&lab.path(""))?);
    Ok(left)
}

/// Loop devices whose file lies under `dir`.
fn devices(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")?.flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file"));
        if backing.is_ok_and(|path| Path::new(path.trim_end()).starts_with(dir)) {
            found.push(format!("loop device {}", entry.file_name().display()));
        }
    }
    Ok(found)
}
