//! What a run cost: latencies, CPU-seconds, device writes, and how disturbed the machine was.
//!
//! CPU-seconds are the primary figure everywhere in this crate, because wall time on a shared
//! machine measures the neighbours. Scheduler pressure (PSI) stands beside each result so that a
//! disturbed round can be thrown away instead of believed.
//! Source: proc(5) (`schedstat`, `io`), Documentation/accounting/psi.rst, Documentation/block/stat.rst.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Exact latency samples; runs are short enough to keep every one of them.
#[derive(Default, Clone)]
pub struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    /// Adds one sample.
    pub fn record(&mut self, latency: Duration) {
        self.nanos
            .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all samples of another set.
    pub fn extend(&mut self, other: &Self) {
        self.nanos.extend_from_slice(&other.nanos);
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.nanos.len()
    }

    /// The sample at quantile `q` (0.0–1.0) in milliseconds; 0 when there is none.
    pub fn quantile_ms(&mut self, q: f64) -> f64 {
        if self.nanos.is_empty() {
            return 0.0;
        }
        self.nanos.sort_unstable();
        let rank = ((self.nanos.len() - 1) as f64 * q).round() as usize;
        self.nanos[rank] as f64 / 1e6
    }
}

/// A reading of every counter; two readings make a [`Cost`].
pub struct Reading {
    at: Instant,
    process_cpu: Duration,
    kernel_cpu: Duration,
    stalled_micros: u64,
    process_written: u64,
    device_written: u64,
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Wall time.
    pub wall: Duration,
    /// CPU time of the measured process, all threads.
    pub process_cpu: Duration,
    /// CPU time of kernel threads (writeback, journal, interrupts); includes the neighbours'.
    pub kernel_cpu: Duration,
    /// Share of wall time in which some task of the machine waited for a CPU, in percent.
    pub psi_percent: f64,
    /// Bytes the process sent towards the block layer (dirtied pages and direct writes).
    pub process_written: u64,
    /// Bytes the block device wrote; includes the neighbours'.
    pub device_written: u64,
}

/// Whose CPU time is read.
#[derive(Clone, Copy)]
pub enum Subject {
    /// This process.
    Own,
    /// Another process; its threads must outlive the measurement.
    Process(u32),
}

impl Reading {
    /// Reads all counters now. `device_of` is a directory on the device to watch.
    pub fn now(subject: Subject, device_of: Option<&Path>) -> Self {
        let (process_cpu, process_written) = match subject {
            Subject::Own => (own_cpu(), written_bytes("self")),
            Subject::Process(pid) => (process_cpu(pid), written_bytes(&pid.to_string())),
        };
        Self {
            at: Instant::now(),
            process_cpu,
            kernel_cpu: kernel_threads_cpu(),
            stalled_micros: stalled_micros(),
            process_written,
            device_written: device_of.and_then(device_written).unwrap_or(0),
        }
    }

    /// The difference to an earlier reading.
    pub fn since(&self, earlier: &Self) -> Cost {
        let wall = self.at - earlier.at;
        let stalled = self.stalled_micros.saturating_sub(earlier.stalled_micros);
        Cost {
            wall,
            process_cpu: self.process_cpu.saturating_sub(earlier.process_cpu),
            kernel_cpu: self.kernel_cpu.saturating_sub(earlier.kernel_cpu),
            psi_percent: stalled as f64 / wall.as_micros().max(1) as f64 * 100.0,
            process_written: self.process_written.saturating_sub(earlier.process_written),
            device_written: self.device_written.saturating_sub(earlier.device_written),
        }
    }
}

fn own_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or(0),
    )
}

/// On-CPU time of all live threads of a process, in scheduler nanoseconds (`/proc/PID/stat` only
/// ticks every 10 ms).
pub fn process_cpu(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let nanos = tasks
        .flatten()
        .filter_map(|task| schedstat_nanos(&task.path().join("schedstat")))
        .sum();
    Duration::from_nanos(nanos)
}

fn kernel_threads_cpu() -> Duration {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Duration::ZERO;
    };
    let nanos = processes
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        })
        // A kernel thread has no command line.
        .filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.is_empty()))
        .filter_map(|entry| schedstat_nanos(&entry.path().join("schedstat")))
        .sum();
    Duration::from_nanos(nanos)
}

fn schedstat_nanos(path: &Path) -> Option<u64> {
    fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn stalled_micros() -> u64 {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with("some"))
        .and_then(|line| line.rsplit_once("total="))
        .and_then(|(_, total)| total.trim().parse().ok())
        .unwrap_or(0)
}

fn written_bytes(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    field_after(&text, "write_bytes:").unwrap_or(0)
}

fn field_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line[key.len()..].split_whitespace().next()?.parse().ok()
}

/// Bytes written by the whole device that holds `path` (field 7 of `/sys/dev/block/*/stat`, in 512-byte sectors).
fn device_written(path: &Path) -> Option<u64> {
    let device = rustix::fs::stat(path).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

/// The middle value; 0 for an empty list.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs `subjects` in interleaved rounds (A B C, then C B A, …) so that drift of the machine hits
/// all alike. Returns for each subject its results, round by round.
pub fn interleave<S, R>(
    subjects: &[S],
    rounds: usize,
    mut run: impl FnMut(&S) -> anyhow::Result<R>,
) -> anyhow::Result<Vec<Vec<R>>> {
    let mut results: Vec<Vec<R>> = subjects
        .iter()
        .map(|_| Vec::with_capacity(rounds))
        .collect();
    for round in 0..rounds {
        let order: Vec<usize> = match round % 2 {
            0 => (0..subjects.len()).collect(),
            _ => (0..subjects.len()).rev().collect(),
        };
        for index in order {
            results[index].push(run(&subjects[index])?);
        }
    }
    Ok(results)
}

/// Rounds in which the scheduler pressure of all subjects is comparable: within 25 points or a
/// factor of two of each other.
pub fn calm_rounds(psi: &[Vec<f64>]) -> Vec<usize> {
    let rounds = psi.first().map_or(0, Vec::len);
    let calm = |round: &usize| {
        let values = psi.iter().map(|subject| subject[*round]);
        let (low, high) = values.fold((f64::MAX, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        high <= low + 25.0 || high <= low * 2.0
    };
    let kept: Vec<usize> = (0..rounds).filter(calm).collect();
    // A table from disturbed rounds, marked as such, is worth more than none.
    if kept.is_empty() {
        (0..rounds).collect()
    } else {
        kept
    }
}

/// A Markdown table with aligned columns, as it is pasted into an ADR.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts with the header row.
    pub fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    /// Adds a row; it must have as many cells as the header.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(
            cells.len(),
            self.rows[0].len(),
            "a row has the header's number of cells"
        );
        self.rows.push(cells);
    }

    /// Writes the table to stdout.
    pub fn print(&self) {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                println!("|-{}-|", rules.join("-|-"));
            }
        }
    }
}
