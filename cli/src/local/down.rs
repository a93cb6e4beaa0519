//! `ottla down`: clusters on this machine stop.

use clap::Args;
use ottla_operator::platform::local::{ClusterFolder, Link, LinkError, look};

use super::up::supervisor;
use crate::args::Dir;
use crate::failure::{Failure, Outcome};

/// `ottla down`
#[derive(Debug, Args)]
pub struct DownArgs {
    /// One cluster; all when left out
    pub name: Option<String>,
    #[command(flatten)]
    pub dir: Dir,
    /// Delete the folders too, with all records
    #[arg(long)]
    pub purge: bool,
}

/// Stops brokers cleanly, then supervisors. Records stay unless they are to be purged.
pub fn down(args: &DownArgs) -> Outcome {
    crate::logging::begin("error");
    let folders = super::folders(&args.dir.dir, args.name.as_deref())?;
    super::run(async |net| {
        for folder in &folders {
            let name = folder
                .path()
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let was_running = stop(folder, &net).await?;
            if args.purge {
                folder.purge()?;
                println!("{name} is gone, with its records.");
            } else if was_running {
                println!(
                    "{name} is stopped; its records are in {}.",
                    crate::output::short(folder.path())
                );
            } else {
                println!("{name} was not running.");
            }
        }
        if args.purge {
            // Only an empty folder goes.
            let _ = std::fs::remove_dir(&args.dir.dir);
        }
        Ok(())
    })
}

/// Stops one cluster. Whether anything ran.
async fn stop(folder: &ClusterFolder, net: &ottla_client::net::NetRef) -> Result<bool, Failure> {
    match Link::stop(folder).await {
        Ok(()) => return Ok(true),
        Err(LinkError::None(_) | LinkError::Broke(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let view = look(folder, net).await?;
    if !view.is_some_and(|view| view.brokers.iter().any(|broker| broker.pid.is_some())) {
        return Ok(false);
    }
    // Brokers whose supervisor died: another one adopts them and stops them in order.
    Link::ensure(folder, &supervisor()).await?;
    Link::stop(folder).await?;
    Ok(true)
}
