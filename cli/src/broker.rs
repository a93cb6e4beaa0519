//! `ottla broker`: one broker in the foreground.

use std::path::PathBuf;

use clap::Args;

use crate::args::pair;
use crate::failure::{Failure, NOT_FOUND, OTHER, Outcome, USAGE};

/// `ottla broker`
#[derive(Debug, Args)]
#[command(
    after_help = "Keys and defaults are Kafka's. An empty directory is formatted; KAFKA_* variables override the file \
                  as in the apache/kafka image, and CLUSTER_ID names the cluster to found or join."
)]
pub struct BrokerArgs {
    /// Kafka properties file
    #[arg(value_name = "server.properties")]
    pub file: PathBuf,
    /// Set a key, whatever the file says
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = pair)]
    pub overrides: Vec<(String, String)>,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: &BrokerArgs) -> Outcome {
    crate::logging::begin("info");
    if !args.file.is_file() {
        let (code, cause) = if args.file.is_dir() {
            (USAGE, format!("{} is a directory", args.file.display()))
        } else {
            (
                NOT_FOUND,
                format!("there is no file {}", args.file.display()),
            )
        };
        return Err(Failure::new(code, cause).next(
            "A properties file is expected. A minimal one has node.id, process.roles, listeners, controller.listener.names, log.dirs; \
             `ottla up` writes such files by itself.",
        ));
    }
    ottla_broker::run(&args.file, args.overrides.clone()).map_err(|error| {
        // The whole chain on one line: a supervisor repeats the last line of the log.
        Failure::new(OTHER, format!("{error:#}"))
    })
}
