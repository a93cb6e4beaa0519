//! Helm 3 and Helm 4 as scenarios use them, each with a home of its own.
//!
//! Invariant: no cluster of the machine's user is ever asked: either one is named, or there is none.
//! Not here: the charts (charts/).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::cache::helm_program;
use crate::repository::repository;

/// One Helm.
pub struct Helm {
    /// `helm3` or `helm4`.
    pub name: &'static str,
    program: PathBuf,
    home: tempfile::TempDir,
    kubeconfig: Option<PathBuf>,
}

/// What came of a command.
#[derive(Debug)]
pub struct HelmSaid {
    /// Whether it went well.
    pub is_ok: bool,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Helm {
    /// Both, without a cluster. Errors: `cargo xtask peers helm` was not run.
    pub fn both() -> Result<[Helm; 2]> {
        Ok([Helm::named("helm3", None)?, Helm::named("helm4", None)?])
    }

    /// Both, for the cluster that a file names.
    pub fn both_for(kubeconfig: &Path) -> Result<[Helm; 2]> {
        let named = |name| Helm::named(name, Some(kubeconfig.to_path_buf()));
        Ok([named("helm3")?, named("helm4")?])
    }

    fn named(name: &'static str, kubeconfig: Option<PathBuf>) -> Result<Helm> {
        Ok(Helm {
            name,
            program: helm_program(name)?,
            home: tempfile::tempdir()?,
            kubeconfig,
        })
    }

    /// Runs it; a failure is an answer too.
    pub fn tries<S: AsRef<str>>(&self, args: &[S]) -> Result<HelmSaid> {
        let home = self.home.path();
        let none = home.join("no-cluster");
        let output: Output = Command::new(&self.program)
            .args(args.iter().map(S::as_ref))
            .current_dir(repository())
            .env("KUBECONFIG", self.kubeconfig.as_ref().unwrap_or(&none))
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .output()
            .with_context(|| format!("cannot start {}", self.name))?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(HelmSaid {
            is_ok: output.status.success(),
            output: text(&output.stdout),
            errors: text(&output.stderr),
        })
    }

    /// Runs it; its standard output. Errors: it failed; with its words.
    pub fn run<S: AsRef<str>>(&self, args: &[S]) -> Result<String> {
        let said = self.tries(args)?;
        ensure!(
            said.is_ok,
            "`{} {}`: {}{}",
            self.name,
            args.iter().map(S::as_ref).collect::<Vec<_>>().join(" "),
            said.output,
            said.errors
        );
        Ok(said.output)
    }
}
