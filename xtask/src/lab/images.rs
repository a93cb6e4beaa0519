//! Images of the lab, built by buildah without registry and daemon: the broker's from the last
//! stage of the Dockerfile at the root, with a static binary that cargo built here instead of the
//! Dockerfile's own first stage. Invariant: what runs in the lab's containers is the stage that
//! users build. Not here: publishing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::room::Room;
use super::wait;
use crate::workspace::{self, Metadata};
use crate::{peers, process};

/// The broker's image, as pods name it.
pub const BROKER: &str = "localhost/ottla-broker:lab";
pub const PAUSE: &str = "localhost/ottla-lab-pause:1";

/// The static target: glibc, because the toolchain has no other standard library by itself.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";
const LIMIT: Duration = Duration::from_secs(60);

/// Builds the broker's image into the cache, or finds that the one there is of this binary.
/// Returns the archive.
pub fn build() -> Result<PathBuf> {
    let program = build_static()?;
    let stage = final_stage(&fs::read_to_string(workspace::root().join("Dockerfile"))?);
    let folder = peers::cache_root()?.join("lab-image");
    let archive = folder.join("broker.tar");
    let recipe = format!(
        "{:?}, stripped\n{stage}",
        fs::metadata(&program)?.modified()?
    );
    let is_current = fs::read_to_string(folder.join("recipe")).is_ok_and(|there| there == recipe);
    if is_current && archive.exists() {
        return Ok(archive);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let context = folder.join("context/out");
    fs::create_dir_all(&context)?;
    // What a debugger reads is five sixths of the file, and three nodes keep it each.
    let mut strip = process::command("strip", ["-o"]);
    process::run_quiet(strip.arg(context.join("ottla")).arg(&program))?;
    fs::write(folder.join("context/Dockerfile"), &stage)?;
    bud(&folder.join("context"), BROKER, &archive)?;
    fs::write(folder.join("recipe"), recipe)?;
    Ok(archive)
}

/// The `ottla` command as users get it, but for being static.
fn build_static() -> Result<PathBuf> {
    let target = Metadata::read()?.target_directory.join("image");
    let mut cargo = process::command(
        "cargo",
        [
            "build",
            "--release",
            "--package",
            "ottla-cli",
            "--target",
            TARGET,
            "--target-dir",
        ],
    );
    // Flags of its own and so a folder of its own: the other builds stay as they are.
    cargo.arg(&target).env("RUSTFLAGS", STATIC);
    process::run_quiet(&mut cargo)?;
    Ok(target.join(TARGET).join("release/ottla"))
}

/// The stages from `FROM scratch` on, reading from the build context what they would read from the
/// stage `build`.
fn final_stage(dockerfile: &str) -> String {
    let lines: Vec<&str> = dockerfile
        .lines()
        .skip_while(|line| !line.starts_with("FROM scratch"))
        .collect();
    lines.join("\n").replace("COPY --from=build /", "COPY /") + "\n"
}

/// Builds `context` under the name `image` into a docker archive; leaves nothing but that.
pub fn bud(context: &Path, image: &str, archive: &Path) -> Result<()> {
    let store = context.with_extension("store");
    let buildah = || {
        let mut command = process::command("buildah", ["--storage-driver=vfs"]);
        command
            .arg(format!("--root={}", store.join("root").display()))
            .arg(format!("--runroot={}", store.join("run").display()));
        command
    };
    process::run_quiet(
        buildah()
            .args(["bud", "--isolation=chroot", "--quiet", "--tag", image])
            .arg(context),
    )?;
    process::run_quiet(
        buildah()
            .args(["push", "--quiet", image])
            .arg(format!("docker-archive:{}:{image}", archive.display())),
    )?;
    fs::remove_dir_all(&store).with_context(|| format!("cannot remove {}", store.display()))
}

/// Gives an image to a node.
pub fn import(room: &Room, archive: &Path) -> Result<()> {
    wait::until(format!("containerd on {}", room.name), LIMIT, || {
        Ok(process::run_quiet(room.command("ctr").arg("version"))
            .map(|_| ())
            .map_err(|error| format!("{error:#}")))
    })?;
    let mut import = room.command("ctr");
    import
        .args(["--namespace=k8s.io", "images", "import"])
        .arg(archive);
    process::run_quiet(&mut import).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_reads_from_its_context() {
        let text = "FROM rust AS build\nRUN cargo build\n\nFROM scratch AS broker\nCOPY --from=build /out/ottla /usr/bin/ottla\n";
        assert_eq!(
            final_stage(text),
            "FROM scratch AS broker\nCOPY /out/ottla /usr/bin/ottla\n"
        );
    }
}
