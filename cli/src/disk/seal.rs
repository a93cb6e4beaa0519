//! `ottla seal`: a directory that was not stopped cleanly becomes one that Apache Kafka accepts.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use ottla_broker_storage::disk::files::FileDisk;
use ottla_broker_storage::seal as seal_directory;

use crate::failure::{CONFLICT, Failure, NOT_FOUND, OTHER, Outcome};

/// What Apache Kafka looks for.
const META_PROPERTIES: &str = "meta.properties";
/// The same while a directory is in use.
const META_PROPERTIES_IN_USE: &str = "meta.properties.ottla";

/// `ottla seal`
#[derive(Debug, Args)]
#[command(
    after_help = "A broker that is stopped cleanly has sealed its directory already. After a crash this writes the commit log out \
                  to the segments, which the next start of the broker would do too."
)]
pub struct SealArgs {
    /// A broker's log directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Seals.
pub fn seal(args: &SealArgs) -> Outcome {
    crate::logging::begin("warn");
    let dir = &args.dir;
    let shown = dir.display();
    if !dir.is_dir() {
        return Err(Failure::new(
            NOT_FOUND,
            format!("there is no directory {shown}"),
        ));
    }
    if dir.join(META_PROPERTIES).is_file() {
        println!("{shown} is sealed already.");
        return Ok(());
    }
    if !dir.join(META_PROPERTIES_IN_USE).is_file() {
        let hint = "It has neither meta.properties nor meta.properties.ottla; `log.dirs` of a broker names its directory.";
        return Err(
            Failure::new(NOT_FOUND, format!("{shown} is no broker's directory")).next(hint),
        );
    }
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    crate::local::run(async |_| {
        seal_directory(FileDisk::new(), dir, now_ms)
            .await
            .map_err(|error| {
                let code = match error {
                    ottla_broker_storage::DirError::Locked { .. } => CONFLICT,
                    _ => OTHER,
                };
                Failure::new(code, error.to_string())
            })
    })?;
    println!("{shown} is sealed: Apache Kafka can open it.");
    Ok(())
}
