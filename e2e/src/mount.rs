//! File systems that belong to one scenario: a small one that can be filled, a view that cannot be
//! written to. For these nothing else stands in: root passes over permission bits, and a limit on file
//! sizes is another error than a full disk. Needs the peer `mounts`, the right to mount.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A mounted file system; unmounted when dropped. Whatever uses it must have ended before.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A new file system of `bytes` at `at`, which is made: ext4 on a loop device, or tmpfs where the
    /// system lends no loop device. `image` is where the ext4 may lie.
    pub fn small(image: &Path, bytes: u64, at: &Path) -> Result<Mount> {
        fs::create_dir_all(at)?;
        let on_loop =
            ext4(image, bytes).and_then(|()| mount(&["-t", "ext4", "-o", "loop"], image, at));
        if let Err(error) = on_loop {
            println!("no ext4 on a loop device ({error:#}): tmpfs instead");
            let size = format!("size={bytes}");
            mount(&["-t", "tmpfs", "-o", &size], Path::new("ottla"), at)?;
        }
        Ok(Mount { at: at.to_owned() })
    }

    /// The folder `of` as it is, at `at`, which is made; nothing can be written through it.
    pub fn read_only(of: &Path, at: &Path) -> Result<Mount> {
        fs::create_dir_all(at)?;
        mount(&["--bind"], of, at)?;
        let mounted = Mount { at: at.to_owned() };
        mount(&["-o", "remount,bind,ro"], of, at)?;
        Ok(mounted)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, when a failed scenario left a user behind: it goes with the last one.
        let unmounted = succeeds(Command::new("umount").arg(&self.at))
            .or_else(|_| succeeds(Command::new("umount").arg("-l").arg(&self.at)));
        if let Err(error) = unmounted {
            eprintln!("{} stays mounted: {error:#}", self.at.display());
        }
    }
}

fn ext4(image: &Path, bytes: u64) -> Result<()> {
    File::create(image)?.set_len(bytes)?;
    // Nothing is kept back for root: full means the same for everybody.
    succeeds(
        Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0"])
            .arg(image),
    )
}

fn mount(options: &[&str], what: &Path, at: &Path) -> Result<()> {
    succeeds(Command::new("mount").args(options).arg(what).arg(at))
}

fn succeeds(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", words.trim());
    Ok(())
}
