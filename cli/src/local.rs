//! Clusters on this machine: up, status, down, plan, and the supervisor that `up` starts.

mod declare;
mod down;
mod foresee;
mod plan;
mod status;
mod supervise;
mod up;

pub use down::{DownArgs, down};
pub use plan::{PlanArgs, plan};
pub use status::{StatusArgs, status};
pub use supervise::{SuperviseArgs, supervise};
pub use up::{UpArgs, up};

use std::path::Path;

use ottla_operator::platform::local::{ClusterFolder, View, clusters};

use crate::failure::{Failure, NOT_FOUND, OTHER, USAGE};

/// Runs `work` where clients and supervisors can be talked to.
pub fn run<T>(
    work: impl AsyncFnOnce(ottla_client::net::NetRef) -> Result<T, Failure>,
) -> Result<T, Failure> {
    ottla_client::tcp::run(|net| work(net))
        .map_err(|error| Failure::new(OTHER, format!("cannot start: {error}")))?
}

/// The folders in `dir`: all, or the one of the cluster `name`.
pub fn folders(dir: &Path, name: Option<&str>) -> Result<Vec<ClusterFolder>, Failure> {
    let found = clusters(dir)?;
    let shown = dir.display();
    if found.is_empty() {
        return Err(
            Failure::new(NOT_FOUND, format!("there is no cluster in {shown}"))
                .next("`ottla up FILE` starts one; --dir names another folder."),
        );
    }
    let Some(name) = name else {
        return Ok(found.into_iter().map(|(_, folder)| folder).collect());
    };
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    found
        .into_iter()
        .find(|(found, _)| found == name)
        .map(|(_, folder)| vec![folder])
        .ok_or_else(|| {
            Failure::new(
                NOT_FOUND,
                format!(
                    "there is no cluster {name} in {shown}; there is {}",
                    names.join(", ")
                ),
            )
        })
}

/// Bootstrap servers of the cluster in `dir`, for clients that were not told any.
pub fn bootstrap(dir: &Path) -> Result<String, Failure> {
    let hint = "`ottla up FILE` starts a cluster; --bootstrap-server HOST:PORT names another one.";
    let mut running = Vec::new();
    for (name, folder) in clusters(dir)? {
        let view: Option<View> = ottla_operator::platform::local::last_view(&folder)?;
        let servers = view.and_then(|view| {
            let status = view.cluster.status?;
            let is_stopped = status.phase == Some(ottla_operator_api::ClusterPhase::Stopped);
            let listener = status.listeners.into_iter().next()?;
            (!is_stopped).then_some(listener.bootstrap_servers)
        });
        if let Some(servers) = servers {
            running.push((name, servers));
        }
    }
    match running.len() {
        0 => {
            Err(Failure::new(NOT_FOUND, format!("no cluster runs in {}", dir.display())).next(hint))
        }
        1 => Ok(running.remove(0).1),
        _ => {
            let names: Vec<String> = running
                .iter()
                .map(|(name, servers)| format!("{name} at {servers}"))
                .collect();
            let cause = format!(
                "{} clusters run in {}: {}",
                names.len(),
                dir.display(),
                names.join("; ")
            );
            Err(Failure::new(USAGE, cause).next("Choose one with --bootstrap-server."))
        }
    }
}
