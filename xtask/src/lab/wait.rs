//! Bounded waiting for a condition of another process: sleeps between two looks at a real
//! condition, never instead of one.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `condition` gives a value. Errors: the condition's own, or `limit` passed; names
/// what was waited for and the last answer (the `Err` of the inner result).
pub fn until<T>(
    what: impl Display,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match condition()? {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if Instant::now() > deadline {
            bail!(
                "waited {:.0} s in vain for {what}: {last}",
                limit.as_secs_f64()
            );
        }
        thread::sleep(LOOK_EVERY);
    }
}
