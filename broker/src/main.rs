//! The broker alone, without the command line's other verbs: what an image of a broker runs.

use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
    let Some(properties) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: ottla-broker server.properties");
        return ExitCode::from(2);
    };
    match ottla_broker::run(&properties, Vec::new()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
