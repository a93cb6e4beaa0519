//! The `ottla` command: clusters on this machine, brokers, and a client for any Kafka.
//!
//! The way in: `args` says what can be asked, each room below does one group of it. Errors say the
//! cause and the next step in one or two lines, and exit codes tell scripts apart what happened.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod broker;
mod disk;
mod docs;
mod failure;
mod local;
mod logging;
mod output;
mod remote;

/// Memory goes back to the system, and small blocks are cheap from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version come here too; they are no failures.
            let code = if error.use_stderr() {
                failure::USAGE
            } else {
                0
            };
            // A closed pipe is no reason to panic.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match args::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}
