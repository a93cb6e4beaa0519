//! What the operating system knows of this process and its disk. Read on the listener's thread: /proc and statvfs
//! may block. A number that cannot be read is left out.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ottla_broker_storage::disk::files::SyncTimes;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::page::Page;
use super::table::Metric;

/// What is read on each scrape, and what does not change.
pub struct Process {
    sync_times: Arc<SyncTimes>,
    started_at: Option<f64>,
}

impl Process {
    /// This process, whose disk counts in `sync_times`.
    pub fn new(sync_times: Arc<SyncTimes>) -> Self {
        Self {
            sync_times,
            started_at: started_at(),
        }
    }

    /// Puts everything on the page.
    pub fn fill(&self, page: &mut Page) {
        page.put_tally(Metric::SyncSeconds, &[], &self.sync_times.tally(), 1e-9);
        if let Some(stat) = Stat::read() {
            let cpu_ticks = stat.number(UTIME) + stat.number(STIME);
            let resident_pages = stat.number(RSS);
            page.put(
                Metric::CpuSeconds,
                &[],
                cpu_ticks as f64 / clock_ticks_per_second() as f64,
            );
            page.put(Metric::VirtualBytes, &[], stat.number(VSIZE));
            page.put(
                Metric::ResidentBytes,
                &[],
                resident_pages * page_size() as u64,
            );
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            page.put(Metric::OpenFds, &[], descriptors.count().saturating_sub(1));
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            page.put(Metric::MaxFds, &[], most);
        }
        if let Some(started_at) = self.started_at {
            page.put(Metric::StartTime, &[], started_at);
        }
    }

    /// Puts what is free in the log directory's file system on the page.
    pub fn fill_space(&self, page: &mut Page, directory: &Path) {
        if let Ok(space) = rustix::fs::statvfs(directory) {
            let label = directory.display();
            let (free, total) = (space.f_bavail, space.f_blocks);
            page.put(Metric::LogDirFree, &[&label], free * space.f_frsize);
            page.put(Metric::LogDirTotal, &[&label], total * space.f_frsize);
        }
    }
}

/// Fields of /proc/self/stat behind the name of the command, as proc(5) numbers them less three.
const UTIME: usize = 11;
const STIME: usize = 12;
const STARTTIME: usize = 19;
const VSIZE: usize = 20;
const RSS: usize = 21;

struct Stat(Vec<u64>);

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The command's name stands in parentheses and may hold spaces and parentheses itself.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields = rest.split_whitespace();
        // Some fields are negative or a letter; none of those is asked for.
        let numbers: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
        (numbers.len() > RSS).then_some(Self(numbers))
    }

    fn number(&self, field: usize) -> u64 {
        self.0[field]
    }
}

/// Seconds since the epoch: the boot's plus the ticks after it.
fn started_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: f64 = boot.trim().parse().ok()?;
    let ticks = Stat::read()?.number(STARTTIME) as f64;
    Some(boot + ticks / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let fields: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let text = format!("4711 (a) b (c)) {}", fields.join(" "));
        let stat = Stat::parse(&text).expect("it has all fields");
        assert_eq!((stat.number(UTIME), stat.number(RSS)), (11, 21));
        assert!(Stat::parse("4711 (a) S 1").is_none());
    }

    #[test]
    fn this_process_started_before_now() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("after the epoch").as_secs_f64();
        let started_at = started_at().expect("Linux says it");
        // The clock of the boot and that of the wall differ by some seconds after a while.
        assert!(started_at < now + 60.0 && started_at > now - 86_400.0);
    }
}
