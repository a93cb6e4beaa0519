//! Bounded waiting for a condition of another process. The only place that sleeps: between two
//! looks at a real condition, never instead of one.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `condition` gives a value. Errors: `limit` passed; names what was waited for.
pub fn until<T>(
    what: impl Display,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {:.0} s in vain for {what}", limit.as_secs_f64());
        }
        thread::sleep(LOOK_EVERY);
    }
}
