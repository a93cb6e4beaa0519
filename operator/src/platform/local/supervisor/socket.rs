//! The supervisor's socket: who may open the folder may ask.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use super::Event;
use crate::platform::local::folder::{ClusterFolder, named};
use crate::platform::local::talk::{Reply, Request};
use crate::platform::local::view::View;

/// Longest request: manifests of a thousand topics fit many times.
const REQUEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A request, and the way back.
pub(super) struct Asked {
    pub(super) request: Request,
    back: mpsc::UnboundedSender<Reply>,
}

impl Asked {
    /// Answers; who asked may have gone.
    pub(super) fn reply(&self, reply: Reply) {
        let _ = self.back.send(reply);
    }

    /// For answers that come later.
    pub(super) fn sender(&self) -> mpsc::UnboundedSender<Reply> {
        self.back.clone()
    }
}

/// The path of the socket as the kernel takes it: a whole path may be longer than an address may
/// be, so the folder is named by an open file. The file must live as long as the path is used.
pub(in crate::platform::local) fn short_path(
    folder: &ClusterFolder,
) -> io::Result<(File, PathBuf)> {
    let dir = File::open(folder.path()).map_err(|error| named(folder.path(), error))?;
    let path = PathBuf::from(format!(
        "/proc/self/fd/{}/{}",
        dir.as_raw_fd(),
        ClusterFolder::SOCKET
    ));
    Ok((dir, path))
}

pub(super) struct Listener(UnixListener);

impl Listener {
    /// Binds the socket, in place of one that a dead supervisor left: the lock is held.
    pub(super) fn bind(folder: &ClusterFolder) -> io::Result<Listener> {
        Listener::remove(folder);
        let (_dir, path) = short_path(folder)?;
        UnixListener::bind(path).map(Listener)
    }

    pub(super) fn remove(folder: &ClusterFolder) {
        // It need not be there.
        let _ = fs::remove_file(folder.path().join(ClusterFolder::SOCKET));
    }
}

/// Answers everyone who connects.
pub(super) fn serve(
    listener: Listener,
    events: mpsc::UnboundedSender<Event>,
    view: watch::Receiver<Option<Rc<View>>>,
    has_owner: Rc<Cell<bool>>,
) {
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.0.accept().await {
            let (events, view, has_owner) = (events.clone(), view.clone(), has_owner.clone());
            tokio::task::spawn_local(async move {
                if let Err(error) = converse(stream, events, view, has_owner).await {
                    tracing::debug!(%error, "a conversation broke off");
                }
            });
        }
    });
}

async fn converse(
    stream: UnixStream,
    events: mpsc::UnboundedSender<Event>,
    view: watch::Receiver<Option<Rc<View>>>,
    has_owner: Rc<Cell<bool>>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(REQUEST_BYTES_MAX));
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => return send(&mut writer, &Reply::Failed(error.to_string())).await,
    };
    match request {
        Request::Status => {
            let reply = current(&view);
            send(&mut writer, &reply).await
        }
        Request::Watch => stream_views(reader.into_inner().into_inner(), writer, view).await,
        Request::Hold => {
            let is_first = !has_owner.replace(true);
            send(&mut writer, &Reply::Held(is_first)).await?;
            if !is_first {
                return Ok(());
            }
            let ended = stream_views(reader.into_inner().into_inner(), writer, view).await;
            has_owner.set(false);
            // The supervisor may be ending.
            let _ = events.send(Event::OwnerGone);
            ended
        }
        request => {
            let (back, mut replies) = mpsc::unbounded_channel();
            // The supervisor may be ending; then there is no answer.
            let _ = events.send(Event::Asked(Asked { request, back }));
            drop(events);
            while let Some(reply) = replies.recv().await {
                send(&mut writer, &reply).await?;
            }
            Ok(())
        }
    }
}

fn current(view: &watch::Receiver<Option<Rc<View>>>) -> Reply {
    match view.borrow().as_ref() {
        Some(view) => Reply::View(Box::new(View::clone(view))),
        None => Reply::Failed("nothing was declared yet".into()),
    }
}

/// The view now and at every change, until the supervisor ends (`Bye`) or the other side does.
async fn stream_views(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    mut view: watch::Receiver<Option<Rc<View>>>,
) -> io::Result<()> {
    let mut has_seen = false;
    loop {
        let now = view.borrow_and_update().clone();
        match now {
            Some(now) => {
                has_seen = true;
                send(&mut writer, &Reply::View(Box::new(View::clone(&now)))).await?;
            }
            None if has_seen => return send(&mut writer, &Reply::Bye).await,
            None => {}
        }
        let mut byte = [0];
        tokio::select! {
            biased;
            changed = view.changed() => if changed.is_err() {
                return send(&mut writer, &Reply::Bye).await;
            },
            read = reader.read(&mut byte) => if read? == 0 {
                return Ok(());
            },
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
