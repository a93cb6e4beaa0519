//! References that are made from the program itself; `cargo xtask docs` writes them to files.

use clap::Subcommand;
use ottla_broker::server::ListenerKind;
use ottla_broker::server::dispatch::{self, Served};
use ottla_protocol::ApiKey;

use crate::failure::Outcome;
use crate::output;

/// `ottla docs`
#[derive(Debug, Subcommand)]
pub enum DocsCommand {
    /// Every setting, as Markdown
    Configuration,
    /// The CRDs, as YAML
    Crds,
    /// Every metric and the probes, as Markdown
    Metrics,
    /// Every API key: number, name, valid and served versions
    Protocol,
}

/// Prints.
pub fn run(command: &DocsCommand) -> Outcome {
    match command {
        DocsCommand::Configuration => output::print(&ottla_settings::markdown()),
        DocsCommand::Crds => output::print(&ottla_operator::crds_yaml()),
        DocsCommand::Metrics => output::print(&ottla_broker::metrics::markdown()),
        DocsCommand::Protocol => output::print(&protocol()),
    }
}

fn protocol() -> String {
    ApiKey::ALL
        .iter()
        .map(|&key| {
            let valid = key.valid_versions();
            let served = match served(key) {
                Some(served) => format!("{} {}", served.advertised_min, served.max),
                None => "- -".to_owned(),
            };
            format!(
                "{} {} {} {} {served}\n",
                key as i16,
                key.name(),
                valid.start(),
                valid.end()
            )
        })
        .collect()
}

/// What clients are told; for requests of controllers only, what they are.
fn served(key: ApiKey) -> Option<&'static Served> {
    [ListenerKind::Broker, ListenerKind::Controller]
        .into_iter()
        .flat_map(dispatch::table)
        .find(|row| row.key == key)
}
