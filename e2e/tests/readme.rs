//! Goal: what README.md tells a newcomer to type works. Method: its first command's manifest is
//! brought up by the built `ottla`, its kcat lines are run as written (only the address may differ,
//! when the port is taken), and the newest client walks the tour on that cluster.
//! Needs: jvm, java-clients, kcat.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Cluster, OttlaUp, clients_classpath, java, repository, repository_file, run_tour};

const FIRST_COMMAND: &str = "cargo run --release -- ";

#[test]
fn the_first_command_gives_a_kafka() -> Result<()> {
    let readme = repository_file("README.md")?;
    let first = commands(&readme)
        .find_map(|line| line.strip_prefix(FIRST_COMMAND))
        .context("README.md has no first command")?;
    let manifest = first.strip_prefix("up ").context("it is not `up`")?;
    let mut cluster = OttlaUp::new(manifest)?;
    cluster.start()?;

    for line in commands(&readme).filter(|line| line.contains("kcat")) {
        let line = line.replace("127.0.0.1:9092", &cluster.bootstrap());
        let output = Command::new("bash").args(["-c", &line]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "`{line}`: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if line.contains(" -C ") {
            ensure!(text.contains("hello"), "`{line}` printed {text}");
        }
    }

    let mut tour = java(&clients_classpath("4.4.0")?);
    tour.arg(repository().join("e2e/clients/java/Tour.java"));
    run_tour(&cluster, "java-4.4.0", tour)?;
    cluster.stop()
}

/// The lines of README's shell blocks.
fn commands(readme: &str) -> impl Iterator<Item = &str> {
    readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .flat_map(str::lines)
}
