//! One listening socket: accepts, counts, and starts a connection task each.
//!
//! Invariant: a failed accept (no descriptor left) is retried after a pause and never ends the
//! listener. Not here: bytes of a connection (`connection.rs`).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ottla_protocol::Str;

use super::connection::{self, ConnectionError};
use super::{ConnectionInfo, ListenerKind, Services};
use crate::auth::Principal;
use crate::rt::{self, sleep};

/// Pause after a failed accept: long enough not to spin while the process is out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A bound socket and what it is for.
pub struct Listener {
    /// Its name in `listeners`.
    pub name: Str,
    /// What it serves.
    pub kind: ListenerKind,
    /// The socket.
    pub socket: Box<dyn rt::Listener>,
}

/// Accepts for as long as the shard lives. `open` counts the connections of all listeners.
pub async fn accept_forever(mut listener: Listener, services: Rc<Services>, open: Rc<Cell<usize>>) {
    loop {
        let (stream, peer) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %listener.name, %error, "cannot accept a connection; trying again");
                sleep(&services.rt, ACCEPT_RETRY).await;
                continue;
            }
        };
        let limit = services.topic_configs.live().connections_max;
        if open.get() >= limit {
            tracing::warn!(%peer, limit, "connection refused: max.connections is reached");
            continue;
        }
        open.set(open.get() + 1);
        let info = Rc::new(ConnectionInfo {
            peer,
            listener: listener.name.clone(),
            listener_kind: listener.kind,
            principal: Principal::anonymous(),
        });
        let (task_services, open) = (Rc::clone(&services), Rc::clone(&open));
        services.rt.spawn(Box::pin(async move {
            if let Err(error) = connection::serve(stream, Rc::clone(&info), task_services).await {
                log_end(&info, &error);
            }
            open.set(open.get() - 1);
        }));
    }
}

/// A peer that goes away is daily life; one that sends what we cannot read deserves a line.
fn log_end(info: &ConnectionInfo, error: &ConnectionError) {
    let (peer, listener) = (info.peer, &info.listener);
    match error {
        ConnectionError::Io(_) | ConnectionError::Idle(_) => {
            tracing::debug!(%peer, %listener, %error, "connection ended");
        }
        ConnectionError::FrameTooLarge { .. } | ConnectionError::Dispatch(_) => {
            tracing::warn!(%peer, %listener, %error, "connection closed");
        }
    }
}
