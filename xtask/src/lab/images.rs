//! Images of the lab, built by buildah without registry and daemon: ours from the last stages of
//! the Dockerfile at the root, with static binaries that cargo built here instead of the
//! Dockerfile's own first stage. Invariant: what runs in the lab's containers is the stages that
//! users build. Not here: publishing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::room::Room;
use super::wait;
use crate::workspace::{self, Metadata};
use crate::{peers, process};

/// An image of ours.
pub struct Image {
    /// The Dockerfile's target.
    target: &'static str,
    /// The one program in it.
    program: &'static str,
    /// How pods name it.
    pub name: &'static str,
}

/// Ours.
pub const OURS: [Image; 2] = [
    Image {
        target: "broker",
        program: "ottla",
        name: "localhost/ottla-broker:lab",
    },
    Image {
        target: "operator",
        program: "ottla-operator",
        name: "localhost/ottla-operator:lab",
    },
];
pub const PAUSE: &str = "localhost/ottla-lab-pause:1";

/// The static target: glibc, because the toolchain has no other standard library by itself.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";
const LIMIT: Duration = Duration::from_secs(60);

/// Builds our images into the cache, or finds that those there are of these programs. Returns the
/// archives.
pub fn build() -> Result<Vec<PathBuf>> {
    let programs = build_static()?;
    let dockerfile = fs::read_to_string(workspace::root().join("Dockerfile"))?;
    OURS.iter()
        .map(|image| archive(image, &programs, &dockerfile))
        .collect()
}

fn archive(image: &Image, programs: &Path, dockerfile: &str) -> Result<PathBuf> {
    let program = programs.join(image.program);
    let stage = stage(dockerfile, image.target)?;
    let folder = peers::cache_root()?.join("lab-image").join(image.target);
    let archive = folder.join("image.tar");
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
    process::run_quiet(strip.arg(context.join(image.program)).arg(&program))?;
    fs::write(folder.join("context/Dockerfile"), &stage)?;
    bud(&folder.join("context"), image.name, &archive)?;
    fs::write(folder.join("recipe"), recipe)?;
    Ok(archive)
}

/// Our programs as users get them, but for being static. Returns their folder.
fn build_static() -> Result<PathBuf> {
    let target = Metadata::read()?.target_directory.join("image");
    let mut cargo = process::command(
        "cargo",
        [
            "build",
            "--release",
            "--package=ottla-cli",
            "--package=ottla-operator",
            "--features=ottla-operator/kubernetes",
            "--target",
            TARGET,
            "--target-dir",
        ],
    );
    // Flags of its own and so a folder of its own: the other builds stay as they are.
    cargo.arg(&target).env("RUSTFLAGS", STATIC);
    process::run_quiet(&mut cargo)?;
    Ok(target.join(TARGET).join("release"))
}

/// A stage that begins from nothing, reading from the build context what it would read from the
/// stage `build`. Error: the Dockerfile has no such stage.
fn stage(dockerfile: &str, target: &str) -> Result<String> {
    let head = format!("FROM scratch AS {target}");
    let mut lines = dockerfile.lines().skip_while(|line| *line != head);
    let first = lines.next();
    let first = first.with_context(|| format!("the Dockerfile has no line `{head}`"))?;
    let body = lines.take_while(|line| !line.starts_with("FROM ") && !line.starts_with('#'));
    let text: Vec<&str> = [first].into_iter().chain(body).collect();
    Ok(text
        .join("\n")
        .trim_end()
        .replace("COPY --from=build /", "COPY /")
        + "\n")
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
    fn a_stage_reads_from_its_context() {
        let text = "FROM rust AS build\nRUN cargo build\n\n# One.\nFROM scratch AS broker\nCOPY --from=build /out/ottla /usr/bin/ottla\n\n# Two.\nFROM scratch AS operator\n";
        assert_eq!(
            stage(text, "broker").unwrap(),
            "FROM scratch AS broker\nCOPY /out/ottla /usr/bin/ottla\n"
        );
        assert_eq!(
            stage(text, "operator").unwrap(),
            "FROM scratch AS operator\n"
        );
        assert!(stage(text, "other").is_err());
    }
}
