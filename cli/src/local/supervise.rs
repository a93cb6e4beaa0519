//! `ottla supervise`: the process that watches over one cluster. Started by `up`, not by people.

use std::path::PathBuf;

use clap::Args;
use ottla_operator::platform::local::{self, ClusterFolder, own_program};

use crate::failure::{CONFLICT, Failure, OTHER, Outcome};

/// `ottla supervise`
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// The cluster's folder
    pub folder: PathBuf,
}

/// Supervises until told to stop.
pub fn supervise(args: &SuperviseArgs) -> Outcome {
    crate::logging::begin("info");
    let folder = ClusterFolder::at(&args.folder)?;
    let command = vec![own_program(), "broker".into()];
    local::supervise(&folder, command).map_err(|error| {
        let code = match error {
            local::SuperviseError::Busy(_) => CONFLICT,
            local::SuperviseError::Io(_) => OTHER,
        };
        Failure::new(code, error.to_string())
    })
}
