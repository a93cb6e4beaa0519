//! Debian packages for tools that a peer needs. Only what is missing is installed, and only as
//! root on a machine with apt; elsewhere the error names the package to install by hand.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::process;

/// Makes sure that `program` is on PATH, by installing `packages` when it is not.
pub fn need(program: &str, packages: &[&str]) -> Result<()> {
    if process::on_path(program) {
        return Ok(());
    }
    install(packages)?;
    if !process::on_path(program) {
        bail!("`{program}` is still missing after installing {packages:?}");
    }
    Ok(())
}

/// Installs Debian packages. Errors: not root, no apt, or apt's own.
pub fn install(packages: &[&str]) -> Result<()> {
    if !process::on_path("apt-get") || !is_root() {
        bail!("install these packages first (this needs root on Debian): {packages:?}");
    }
    static UPDATED: OnceLock<()> = OnceLock::new();
    if UPDATED.get().is_none() {
        eprintln!("peers: apt-get update");
        process::run_quiet(&mut process::command("apt-get", ["update", "-q"]))?;
        UPDATED.get_or_init(|| ());
    }
    eprintln!("peers: apt-get install {}", packages.join(" "));
    let mut install = process::command(
        "apt-get",
        ["install", "-q", "-y", "--no-install-recommends"],
    );
    install
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::run_quiet(&mut install)?;
    Ok(())
}

/// Makes sure that apt's lists hold a package index: the real input of one scenario.
pub fn package_index() -> Result<()> {
    if has_index() {
        return Ok(());
    }
    if !process::on_path("apt-get") || !is_root() {
        bail!("apt's lists hold no Packages file (run `apt-get update` as root on Debian)");
    }
    process::run_quiet(&mut process::command("apt-get", ["update", "-q"]))?;
    if !has_index() {
        bail!("apt's lists hold no Packages file even after `apt-get update`");
    }
    Ok(())
}

fn has_index() -> bool {
    std::fs::read_dir("/var/lib/apt/lists").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

/// Whether this process may install packages and make namespaces.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|m| m.uid() == 0)
}
