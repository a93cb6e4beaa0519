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
use crate::metrics::add_to;
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
    let meter = services.meters.listener(&listener.name);
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
            add_to(&meter, |connections| connections.refused += 1);
            continue;
        }
        open.set(open.get() + 1);
        add_to(&meter, |connections| connections.accepted += 1);
        let info = Rc::new(ConnectionInfo {
            peer,
            listener: listener.name.clone(),
            listener_kind: listener.kind,
            principal: Principal::anonymous(),
        });
        let (task_services, open) = (Rc::clone(&services), Rc::clone(&open));
        let meter = Rc::clone(&meter);
        services.rt.spawn(Box::pin(async move {
            if let Err(error) = connection::serve(stream, Rc::clone(&info), task_services).await {
                log_end(&info, &error);
                let is_broken = u64::from(is_broken(&error));
                add_to(&meter, |connections| connections.broken += is_broken);
            }
            open.set(open.get() - 1);
            add_to(&meter, |connections| connections.closed += 1);
        }));
    }
}

/// A peer that goes away is daily life; one that sends what we cannot read deserves a line.
fn log_end(info: &ConnectionInfo, error: &ConnectionError) {
    let (peer, listener) = (info.peer, &info.listener);
    if is_broken(error) {
        tracing::warn!(%peer, %listener, %error, "connection closed");
    } else {
        tracing::debug!(%peer, %listener, %error, "connection ended");
    }
}

fn is_broken(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Io(_) | ConnectionError::Idle(_) => false,
        ConnectionError::FrameTooLarge { .. } | ConnectionError::Dispatch(_) => true,
    }
}
