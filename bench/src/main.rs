//! `ottla-bench`: what the design was decided on, and what is printed beside Kafka.
//!
//! Each verb prints Markdown tables that go into an ADR or a benchmark note as they are. Nothing
//! here is a test: no figure fails a build.

mod figures;
mod flags;
mod ideal;
mod measure;
mod produce_frame;
mod replay;
mod runtime;
mod storage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some("storage") => storage::run(&args[1..]),
        Some("runtime") => runtime::run(&args[1..]),
        Some("figures") => figures::run(&args[1..]),
        Some("ideal") => ideal::run(&args[1..]),
        Some("replay") => replay::run(&args[1..]),
        Some("serve") => runtime::serve(&args[1..]),
        _ => {
            eprintln!("usage: ottla-bench VERB [flags]");
            for usage in [
                storage::USAGE,
                runtime::USAGE,
                runtime::SERVE_USAGE,
                ideal::USAGE,
                replay::USAGE,
                figures::USAGE,
            ] {
                eprintln!("  {usage}");
            }
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
