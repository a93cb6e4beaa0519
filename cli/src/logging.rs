//! Where log lines go: standard error, at the level that `OTTLA_LOG` asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Environment variable with a level (`info`, `debug`) or with levels by module.
const VARIABLE: &str = "OTTLA_LOG";

/// Begins to log; `default` holds when the variable is not set or makes no sense.
pub fn begin(default: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    // Another subscriber can only have been set by ourselves.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr)
        .try_init();
}
