//! Running steps, measuring them and adding them up. The report is printed as it grows; the last
//! line of all is the sum.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Environment;
use super::suite::Suite;
use crate::process::{self, Ended};

/// A suite that runs longer hangs: the whole run has to fit into an hour.
const SUITE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Passed and failed tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
}

/// How a step ended: its tests, and what to show when not all passed.
pub struct Outcome {
    tally: Tally,
    complaint: Option<String>,
}

/// Everything that ran, and everything that did not.
pub struct Report {
    started: Instant,
    total: Tally,
    minutes: Vec<(String, Duration, Tally)>,
    skipped: Vec<(String, String)>,
    failed: Vec<String>,
}

impl Tally {
    /// Adds up the `test result:` lines of libtest.
    pub fn of(text: &str) -> Tally {
        let mut tally = Tally::default();
        for line in text.lines().filter(|l| l.starts_with("test result:")) {
            tally.passed += count_before(line, " passed");
            tally.failed += count_before(line, " failed");
        }
        tally
    }
}

fn count_before(line: &str, word: &str) -> usize {
    line.split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

impl Outcome {
    pub fn failed(complaint: String) -> Outcome {
        Outcome {
            tally: Tally {
                passed: 0,
                failed: 1,
            },
            complaint: Some(complaint),
        }
    }

    fn passed() -> Outcome {
        Outcome {
            tally: Tally {
                passed: 1,
                failed: 0,
            },
            complaint: None,
        }
    }
}

impl Report {
    pub fn new() -> Report {
        Report {
            started: Instant::now(),
            total: Tally::default(),
            minutes: Vec::new(),
            skipped: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// One step that passes or fails as a whole; its value when it passed.
    pub fn measured<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        let started = Instant::now();
        match step() {
            Ok(value) => {
                self.record(name, started.elapsed(), Outcome::passed());
                Some(value)
            }
            Err(error) => {
                self.record(
                    name,
                    started.elapsed(),
                    Outcome::failed(format!("{error:#}")),
                );
                None
            }
        }
    }

    /// One step that counts its own tests.
    pub fn measured_tally(&mut self, name: &str, step: impl FnOnce() -> Result<Tally>) {
        let started = Instant::now();
        let outcome = match step() {
            Ok(tally) => Outcome {
                tally,
                complaint: None,
            },
            Err(error) => Outcome::failed(format!("{error:#}")),
        };
        self.record(name, started.elapsed(), outcome);
    }

    pub fn add(&mut self, name: &str, outcome: Outcome) {
        self.record(name, Duration::ZERO, outcome);
    }

    pub fn skip(&mut self, name: &str, reason: String) {
        println!("{name:<44} skipped: {reason}");
        self.skipped.push((name.to_owned(), reason));
    }

    /// One test program, its output in a log file that is shown when something failed.
    pub fn suite(&mut self, suite: &Suite, environment: &Environment) {
        let started = Instant::now();
        let outcome = run_suite(suite, environment)
            .unwrap_or_else(|error| Outcome::failed(format!("{error:#}")));
        self.record(&suite.name, started.elapsed(), outcome);
    }

    fn record(&mut self, name: &str, took: Duration, outcome: Outcome) {
        let Tally { passed, failed } = outcome.tally;
        self.total.passed += passed;
        self.total.failed += failed;
        println!(
            "{name:<44} {:>5.1} min  {passed} passed, {failed} failed",
            minutes(took)
        );
        if failed > 0 {
            self.failed.push(name.to_owned());
            println!(
                "--- {name}\n{}---",
                outcome.complaint.as_deref().unwrap_or_default()
            );
        }
        self.minutes.push((name.to_owned(), took, outcome.tally));
    }

    /// Prints the minutes, what was skipped, what failed, and the sum.
    pub fn finish(mut self) -> Result<()> {
        self.minutes
            .sort_by_key(|(_, took, _)| std::cmp::Reverse(*took));
        println!(
            "\nlongest of {:.1} minutes:",
            minutes(self.started.elapsed())
        );
        for (name, took, _) in self.minutes.iter().take(15) {
            println!("  {:>5.1} min  {name}", minutes(*took));
        }
        if !self.skipped.is_empty() {
            println!("skipped:");
        }
        for (name, reason) in &self.skipped {
            println!("  {name}: {reason}");
        }
        if !self.failed.is_empty() {
            println!("failed: {}", self.failed.join(", "));
        }
        let Tally { passed, failed } = self.total;
        println!("{passed} passed, {failed} failed");
        if failed > 0 || passed == 0 {
            // The sum must stay the last line: the error is the exit code alone.
            std::process::exit(1);
        }
        Ok(())
    }
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}

/// How long the codec's fuzzer runs in CI.
const FUZZ_SECONDS: &str = "120";

fn run_suite(suite: &Suite, environment: &Environment) -> Result<Outcome> {
    let log = environment.log(&suite.name)?;
    let mut command = process::command::<&str>(&suite.program, []);
    if suite.is_heavy {
        command.arg("--test-threads=1");
    }
    command
        .current_dir(&suite.folder)
        .env("CARGO_MANIFEST_DIR", &suite.folder)
        .env("OTTLA_BIN", environment.ottla())
        // The lab is one of this program's verbs; cargo would have to be asked for it again.
        .env("OTTLA_XTASK", std::env::current_exe()?)
        // A failed test says what failed; a hundred frames of a test runner hide it.
        .env("RUST_BACKTRACE", "0");
    if std::env::var_os("CI").is_some() {
        command.env("OTTLA_FUZZ_SECONDS", FUZZ_SECONDS);
    }
    environment.peers.describe(&mut command);
    let ended = process::run_logged(&mut command, &log, SUITE_LIMIT)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let mut tally = Tally::of(&text);
    match ended {
        Ended::Ok => {}
        Ended::Failed(_) if tally.failed > 0 => {}
        Ended::Failed(status) => {
            tally.failed += 1;
            return Ok(Outcome {
                tally,
                complaint: Some(format!(
                    "ended with {status}\n{}",
                    process::tail(&text, 150)
                )),
            });
        }
        Ended::TimedOut => {
            tally.failed += 1;
            return Ok(Outcome {
                tally,
                complaint: Some(format!(
                    "still running after {:.0} minutes\n{}",
                    minutes(SUITE_LIMIT),
                    process::tail(&text, 150)
                )),
            });
        }
    }
    if tally == Tally::default() && !text.contains("test result:") {
        bail!("printed no test result\n{}", process::tail(&text, 50));
    }
    let complaint = (tally.failed > 0).then(|| process::tail(&text, 150));
    Ok(Outcome { tally, complaint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let text = "running 3 tests\ntest result: ok. 2 passed; 1 failed; 0 ignored; 0 measured\nx\n\
                    test result: FAILED. 10 passed; 0 failed; 0 ignored\n12 passed in prose\n";
        assert_eq!(
            Tally::of(text),
            Tally {
                passed: 12,
                failed: 1
            }
        );
        assert_eq!(Tally::of("nothing ran"), Tally::default());
    }
}
