//! Who is measured: our program, and Apache Kafka from its published jars.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::measure::process_cpu;

/// As given in Kafka's own start script.
const KAFKA_HEAP: [&str; 2] = ["-Xmx1G", "-Xms1G"];

/// A broker that can be started.
pub enum Peer {
    /// `ottla broker`.
    Ottla {
        /// The program.
        program: std::path::PathBuf,
    },
    /// `kafka.Kafka`.
    Kafka {
        /// Its jars.
        classpath: String,
    },
}

/// A broker that runs.
pub struct Running {
    child: Child,
}

impl Peer {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ottla { .. } => "ottla",
            Self::Kafka { .. } => "kafka",
        }
    }

    /// Writes `server.properties` for one node that is broker and controller; returns its client port.
    pub fn write_properties(&self, dir: &Path, partitions: i32) -> Result<u16> {
        let (port, controller_port) = (free_port()?, free_port()?);
        let data = dir.join("data");
        let text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             num.partitions={partitions}\n\
             offsets.topic.replication.factor=1\n",
            std::path::absolute(data)?.display()
        );
        fs::write(dir.join("server.properties"), text)?;
        Ok(port)
    }

    /// Prepares the empty data directory; ours does so when it starts.
    pub fn format(&self, dir: &Path) -> Result<()> {
        let Self::Kafka { classpath } = self else {
            return Ok(());
        };
        let cluster_id = "bGV0dGVyc190b19vdHRsYQ";
        let output = Command::new("java")
            .args([
                "-cp",
                classpath,
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
            ])
            .args(["-t", cluster_id, "-c"])
            .arg(dir.join("server.properties"))
            .output()
            .context("cannot run java")?;
        if !output.status.success() {
            bail!(
                "Kafka's formatter failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// Starts it; its output goes to `log` in the directory.
    pub fn start(&self, dir: &Path) -> Result<Running> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))?;
        let mut command = match self {
            Self::Ottla { program } => {
                let mut command = Command::new(program);
                command.arg("broker");
                command
            }
            Self::Kafka { classpath } => {
                let mut command = Command::new("java");
                command
                    .args(KAFKA_HEAP)
                    .args(["-cp", classpath, "kafka.Kafka"]);
                command
            }
        };
        let child = command
            .arg(dir.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name()))?;
        Ok(Running { child })
    }
}

impl Running {
    /// CPU time of the process so far.
    pub fn cpu(&self) -> Duration {
        process_cpu(self.child.id())
    }

    /// Resident memory in MB.
    pub fn resident_mb(&self) -> f64 {
        resident_mb(self.child.id())
    }

    /// Whether the process has not ended.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("did not stop within a minute of SIGTERM");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process in MB (`VmRSS`); 0 when it is gone.
pub fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}

/// Processes whose command line names something in `dir`.
pub fn processes_mentioning(dir: &Path) -> Vec<(u32, String)> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let mention = dir.display().to_string();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let found = processes.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_string_lossy().parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        (pid != std::process::id() && command.contains(&mention)).then_some((pid, command))
    });
    found.collect()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
