//! The lab's programs: Debian's packages, and e2e/lab built by Go into the cache of peers. Built
//! once per state of its sources; about 15 CPU-minutes on an empty cache, seconds when only our own
//! sources changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{images, nodes};
use crate::{peers, process, workspace};

/// The Kubernetes that go.mod names.
const VERSION: &str = "1.34.4";

/// Program → package that has it.
const PACKAGES: &[(&str, &str)] = &[
    ("etcd", "etcd-server"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("buildah", "buildah"),
    ("openssl", "openssl"),
    ("ip", "iproute2"),
    ("mkfs.xfs", "xfsprogs"),
    ("go", "golang-go"),
];

/// Parts of the one program of Kubernetes, by the name it is started under.
const PARTS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
];

/// Our programs, and those of modules.
const PROGRAMS: &[&str] = &[
    "./kubernetes",
    "./coredns",
    "./csi",
    "./pause",
    "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer",
];

/// Makes everything ready that `up` needs; a peer like others (peers.rs). Errors: not root, a
/// package or a module that cannot be had, a build that fails.
pub fn fetch() -> Result<()> {
    ready()?;
    images::build().map(|_| ())
}

/// The folder of the lab's programs.
pub fn ready() -> Result<PathBuf> {
    if !peers::is_root() {
        bail!("the lab makes namespaces, bridges and cgroups: it needs root");
    }
    for (program, package) in PACKAGES {
        peers::need(program, &[package])?;
    }
    if !Path::new(nodes::CNI_PROGRAMS).join("bridge").exists() {
        peers::install(&["containernetworking-plugins"])?;
    }
    let sources = workspace::root().join("e2e/lab");
    peers::cached("lab", &recipe(&sources)?, |dir| build(&sources, dir))
}

/// What the programs are made from, file by file.
fn recipe(sources: &Path) -> Result<String> {
    let mut recipe = format!("{VERSION} {PROGRAMS:?}\n");
    for path in workspace::files(sources)? {
        let name = path.to_string_lossy();
        let is_source = ["go", "mod", "sum"]
            .iter()
            .any(|end| path.extension().is_some_and(|e| e == *end));
        if is_source || name.ends_with("Dockerfile") {
            let text = fs::read_to_string(sources.join(&path))?;
            recipe.push_str(&format!("--- {name}\n{text}"));
        }
    }
    Ok(recipe)
}

fn build(sources: &Path, dir: &Path) -> Result<()> {
    let version = "k8s.io/component-base/version";
    let (minor, _) = VERSION
        .rsplit_once('.')
        .context("a version has three numbers")?;
    let (major, minor) = minor
        .split_once('.')
        .context("a version has three numbers")?;
    let link = format!(
        "-s -w -X {version}.gitVersion=v{VERSION} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    );
    let mut go = process::command(
        "go",
        ["build", "-buildvcs=false", "-gcflags=all=-dwarf=false"],
    );
    go.current_dir(sources)
        .env("CGO_ENABLED", "0")
        .args(["-ldflags", &link, "-o"])
        .arg(dir.join(""))
        .args(PROGRAMS);
    process::run_quiet(&mut go)?;
    for part in PARTS {
        symlink("kubernetes", dir.join(part))?;
    }
    let context = dir.join("pause-image");
    fs::create_dir_all(&context)?;
    fs::copy(dir.join("pause"), context.join("pause"))?;
    fs::copy(sources.join("pause/Dockerfile"), context.join("Dockerfile"))?;
    images::bud(&context, images::PAUSE, &dir.join("pause.tar"))?;
    fs::remove_dir_all(&context)?;
    Ok(())
}
