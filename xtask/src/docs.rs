//! `cargo xtask docs`: the generated pages of docs/. Each is asked of the built command or made
//! from committed facts, and compared in CI.

mod cli;
mod clients;
mod protocol;

use anyhow::Result;

use crate::generated::{self, Mode};

/// Writes the pages, or with `--check` compares them.
pub fn run(args: &[String]) -> Result<()> {
    let mode = Mode::of(args)?;
    if mode == Mode::Write {
        clients::collect()?;
    }
    generated::settle(mode, "docs/clients.md", &clients::page()?)?;
    generated::settle(mode, "docs/configuration.md", &asked("configuration")?)?;
    generated::settle(mode, "docs/metrics.md", &asked("metrics")?)?;
    generated::settle(mode, "docs/protocol.md", &protocol::page()?)?;
    generated::settle(mode, "docs/cli.md", &cli::page()?)
}

/// A page that the command writes as a whole.
fn asked(page: &str) -> Result<String> {
    let text = generated::ask_ottla(&["docs", page])?;
    Ok(format!("{}\n", text.trim_end()))
}
