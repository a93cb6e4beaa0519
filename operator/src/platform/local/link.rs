//! The other end of a supervisor's socket: finds the supervisor, starts one when there is none,
//! and asks.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use ottla_operator_plan::{Observed, Refusal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::folder::{ClusterFolder, named};
use super::memory::Declared;
use super::process::resolved;
use super::supervisor::program;
use super::supervisor::short_path;
use super::talk::{Reply, Request};
use super::view::View;

/// How long a supervisor may take to open its socket.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Why a supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// None runs.
    #[error("no supervisor runs in {0}")]
    None(String),
    /// One was started and ended.
    #[error("the supervisor could not start: {0}")]
    Start(String),
    /// It answered something else than was asked for, or nothing.
    #[error("the supervisor broke off: {0}")]
    Broke(String),
    /// There is no folder for the cluster, and none can be made.
    #[error("cannot make {folder}: {error}")]
    Folder {
        /// Which.
        folder: String,
        /// Why not.
        error: io::Error,
    },
    /// A file or socket cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What became of manifests.
#[derive(Debug)]
pub enum Applied {
    /// They hold, in this generation.
    Yes(i64),
    /// They do not.
    No {
        /// What cannot be had.
        refused: Vec<Refusal>,
        /// What cannot be done with the cluster as it is.
        blocked: Vec<String>,
    },
}

/// A conversation with a supervisor.
pub struct Link {
    lines: Lines<BufReader<OwnedReadHalf>>,
    _writer: OwnedWriteHalf,
}

impl Link {
    async fn ask(folder: &ClusterFolder, request: &Request) -> Result<Link, LinkError> {
        let none = || LinkError::None(folder.path().display().to_string());
        if !folder.path().is_dir() {
            return Err(none());
        }
        let (_dir, path) = short_path(folder)?;
        let stream = UnixStream::connect(path).await.map_err(|error| {
            match error.kind() {
                // A socket without a listener is what a killed supervisor leaves.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => none(),
                _ => LinkError::Io(error),
            }
        })?;
        let (reader, mut writer) = stream.into_split();
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        Ok(Link {
            lines: BufReader::new(reader).lines(),
            _writer: writer,
        })
    }

    async fn reply(&mut self) -> Result<Reply, LinkError> {
        let line = self.lines.next_line().await?;
        let line = line.ok_or_else(|| LinkError::Broke("it is gone".into()))?;
        match serde_json::from_str(&line).map_err(|error| LinkError::Broke(error.to_string()))? {
            Reply::Failed(message) => Err(LinkError::Broke(message)),
            reply => Ok(reply),
        }
    }

    /// How the cluster stands.
    pub async fn status(folder: &ClusterFolder) -> Result<View, LinkError> {
        match Link::ask(folder, &Request::Status).await?.reply().await? {
            Reply::View(view) => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }

    /// What the supervisor sees.
    pub async fn observed(folder: &ClusterFolder) -> Result<Observed, LinkError> {
        match Link::ask(folder, &Request::Observe).await?.reply().await? {
            Reply::Observed(observed) => Ok(*observed),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets these manifests hold.
    pub async fn apply(folder: &ClusterFolder, declared: Declared) -> Result<Applied, LinkError> {
        let request = Request::Apply(Box::new(declared));
        match Link::ask(folder, &request).await?.reply().await? {
            Reply::Applied { generation } => Ok(Applied::Yes(generation)),
            Reply::Refused { refused, blocked } => Ok(Applied::No { refused, blocked }),
            other => Err(unexpected(&other)),
        }
    }

    /// Stops the cluster; completes when it has stopped.
    pub async fn stop(folder: &ClusterFolder) -> Result<(), LinkError> {
        let mut link = Link::ask(folder, &Request::Stop).await?;
        while !matches!(link.reply().await?, Reply::Bye) {}
        Ok(())
    }

    /// A conversation that tells every change.
    pub async fn watch(folder: &ClusterFolder) -> Result<Link, LinkError> {
        Link::ask(folder, &Request::Watch).await
    }

    /// The same, and the cluster is stopped when this is dropped, however that happens. None when
    /// another one holds the cluster.
    pub async fn hold(folder: &ClusterFolder) -> Result<Option<Link>, LinkError> {
        let mut link = Link::ask(folder, &Request::Hold).await?;
        match link.reply().await? {
            Reply::Held(true) => Ok(Some(link)),
            Reply::Held(false) => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    /// The next view; None when the supervisor ends on request.
    pub async fn next(&mut self) -> Result<Option<View>, LinkError> {
        match self.reply().await? {
            Reply::View(view) => Ok(Some(*view)),
            Reply::Bye => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes sure that a supervisor of this very program runs: starts one when there is none, and
    /// replaces one of another program; brokers go on meanwhile. `command` starts a supervisor
    /// when the folder's path is added.
    pub async fn ensure(folder: &ClusterFolder, command: &[OsString]) -> Result<(), LinkError> {
        match Link::status(folder).await {
            Ok(view) if view.program == program() => return Ok(()),
            Ok(_) => {
                let mut link = Link::ask(folder, &Request::Release).await?;
                while !matches!(link.reply().await, Ok(Reply::Bye) | Err(_)) {}
            }
            // It runs and has nothing to say yet.
            Err(LinkError::Broke(_)) => return Ok(()),
            Err(LinkError::None(_)) => {}
            Err(error) => return Err(error),
        }
        start(folder, command).await
    }
}

async fn start(folder: &ClusterFolder, command: &[OsString]) -> Result<(), LinkError> {
    fs::create_dir_all(folder.path()).map_err(|error| LinkError::Folder {
        folder: folder.path().display().to_string(),
        error,
    })?;
    let log_path = folder.supervisor_log();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|error| named(&log_path, error))?;
    let mut child = Command::new(resolved(&command[0]))
        .args(&command[1..])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match Link::status(folder).await {
            Ok(_) | Err(LinkError::Broke(_)) => return Ok(()),
            Err(LinkError::None(_)) => {}
            Err(error) => return Err(error),
        }
        let has_ended = child.try_wait()?.is_some();
        if has_ended || tokio::time::Instant::now() > deadline {
            // Another `up` may have been faster: its supervisor serves us as well.
            if Link::status(folder).await.is_ok() {
                return Ok(());
            }
            let words = fs::read_to_string(&log_path).unwrap_or_default();
            let last = words.lines().rev().find(|line| !line.trim().is_empty());
            return Err(LinkError::Start(
                last.unwrap_or("it said nothing").to_owned(),
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn unexpected(reply: &Reply) -> LinkError {
    LinkError::Broke(format!("an unexpected answer: {reply:?}"))
}
