//! Helm 3 and 4 and kustomize, built from the modules that e2e/helm names, as `helm3`, `helm4` and
//! `kustomize`. One module holds them, so that what they share is compiled once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::{cached, debian};
use crate::{process, workspace};

/// Program → package of its command.
const PROGRAMS: &[(&str, &str)] = &[
    ("helm3", "helm.sh/helm/v3/cmd/helm"),
    ("helm4", "helm.sh/helm/v4/cmd/helm"),
    ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
];

/// The folder of the programs. About five CPU-minutes on an empty cache.
pub fn programs() -> Result<PathBuf> {
    debian::need("go", &["golang-go"])?;
    let sources = workspace::root().join("e2e/helm");
    let read = |name: &str| {
        fs::read_to_string(sources.join(name)).with_context(|| format!("e2e/helm has no {name}"))
    };
    let modules = read("go.mod")?;
    let link = link(&modules)?;
    let recipe = format!("{PROGRAMS:?}\n{link}\n{modules}\n{}", read("go.sum")?);
    cached("helm", &recipe, |dir| build(&sources, &link, dir))
}

fn build(sources: &Path, link: &str, dir: &Path) -> Result<()> {
    let began = Instant::now();
    for (program, package) in PROGRAMS {
        let mut go = process::command(
            "go",
            ["build", "-buildvcs=false", "-gcflags=all=-dwarf=false"],
        );
        go.current_dir(sources)
            .env("CGO_ENABLED", "0")
            .args(["-ldflags", link, "-o"])
            .arg(dir.join(program))
            .arg(package);
        process::run_quiet(&mut go)?;
    }
    eprintln!("peers: helm built in {} s", began.elapsed().as_secs());
    Ok(())
}

/// What Helm's own build links in: its version, and for Helm 3 the Kubernetes that `helm template`
/// renders for when none is named. Errors: go.mod does not name a module.
fn link(modules: &str) -> Result<String> {
    let (v3, v4) = (
        version(modules, "helm.sh/helm/v3")?,
        version(modules, "helm.sh/helm/v4")?,
    );
    let minor = version(modules, "k8s.io/client-go")?
        .split('.')
        .nth(1)
        .context("a version has three numbers")?;
    let mut link = format!(
        "-s -w -X helm.sh/helm/v3/internal/version.version={v3} -X helm.sh/helm/v4/internal/version.version={v4}"
    );
    for place in ["lint/rules", "chartutil"] {
        link.push_str(&format!(
            " -X helm.sh/helm/v3/pkg/{place}.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/{place}.k8sVersionMinor={minor}"
        ));
    }
    Ok(link)
}

fn version<'a>(modules: &'a str, module: &str) -> Result<&'a str> {
    let words = modules
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| words.first() == Some(&module))
        .find_map(|words| words.get(1).copied())
        .with_context(|| format!("e2e/helm/go.mod does not name {module}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_modules() {
        let modules = "tool helm.sh/helm/v3/cmd/helm\nrequire (\n\thelm.sh/helm/v3 v3.1.2 // indirect\n\t\
                       helm.sh/helm/v4 v4.0.1\n\tk8s.io/client-go v0.30.1\n)\n";
        let link = link(modules).expect("all are named");
        assert!(link.contains("v3/internal/version.version=v3.1.2 "));
        assert!(link.contains("chartutil.k8sVersionMinor=30"));
        assert!(super::link("").is_err());
    }
}
