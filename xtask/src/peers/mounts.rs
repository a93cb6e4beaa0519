//! The right to mount, for scenarios that fill a disk or take the right to write away. Nothing is
//! fetched: it is tried.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Mounts a small file system and unmounts it. Errors: why that cannot be done here.
pub fn allowed() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("ottla-mounts-{}", std::process::id()));
    std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let tried = run(Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "ottla"])
        .arg(&dir))
    .and_then(|()| run(Command::new("umount").arg(&dir)));
    // A folder that is still mounted stays, and the error says so.
    let _ = std::fs::remove_dir(&dir);
    tried.context(
        "no file system can be mounted here (that takes root, in a container CAP_SYS_ADMIN)",
    )
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
