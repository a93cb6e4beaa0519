//! One listening socket: accepts, counts, and starts a connection task each, which on a TLS listener begins with
//! the handshake.
//!
//! Invariants: a failed accept (no descriptor left) is retried after a pause and never ends the listener; a
//! handshake happens in its connection's own task, within a limit, and counts as a connection. Not here: bytes of
//! a connection (`connection.rs`), TLS itself (`rt/tls.rs`).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ottla_protocol::Str;

use super::connection::{self, ConnectionError};
use super::{ConnectionInfo, ListenerKind, Services, Transport};
use crate::auth::Principal;
use crate::metrics::add_to;
use crate::rt::tls::{Acceptor, HandshakeError};
use crate::rt::{self, Stream, sleep};

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
    /// TLS over its connections; `None` for plain text.
    pub tls: Option<Rc<Acceptor>>,
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
        let accepted = Accepted {
            peer,
            listener: listener.name.clone(),
            listener_kind: listener.kind,
        };
        let (tls, open) = (listener.tls.clone(), Rc::clone(&open));
        let task_services = Rc::clone(&services);
        let meter = Rc::clone(&meter);
        services.rt.spawn(Box::pin(async move {
            let is_broken = match tls {
                None => accepted.serve_plain(stream, task_services).await,
                // Boxed, so that a plain connection's task has no room for a handshake in it.
                Some(tls) => Box::pin(accepted.serve_tls(stream, &tls, task_services)).await,
            };
            open.set(open.get() - 1);
            add_to(&meter, |connections| {
                connections.closed += 1;
                connections.broken += u64::from(is_broken);
            });
        }));
    }
}

/// A connection of which nothing is known but where it came in. It is served until it ends; whether it
/// was broken off by us is what is told then.
struct Accepted {
    peer: SocketAddr,
    listener: Str,
    listener_kind: ListenerKind,
}

impl Accepted {
    async fn serve_plain(self, stream: Box<dyn Stream>, services: Rc<Services>) -> bool {
        self.serve(stream, services, Transport::Plain, Principal::anonymous())
            .await
    }

    async fn serve_tls(
        self,
        stream: Box<dyn Stream>,
        tls: &Acceptor,
        services: Rc<Services>,
    ) -> bool {
        let (peer, listener) = (self.peer, self.listener.clone());
        // Boxed, so that what only the handshake needs goes with it.
        match Box::pin(tls.accept(&services.rt, stream)).await {
            Ok(secured) => {
                let principal = match secured.subject {
                    Some(subject) => Principal::of_certificate(&subject),
                    None => Principal::anonymous(),
                };
                tracing::debug!(%peer, %listener, %principal, "TLS connection");
                self.serve(secured.stream, services, Transport::Tls, principal)
                    .await
            }
            // Whoever only looks whether the port is open goes without a word.
            Err(error @ HandshakeError::Io(_)) => {
                tracing::debug!(%peer, %listener, %error, "connection ended");
                false
            }
            Err(error) => {
                tracing::warn!(%peer, %listener, %error, "connection closed");
                true
            }
        }
    }

    async fn serve(
        self,
        stream: Box<dyn Stream>,
        services: Rc<Services>,
        transport: Transport,
        principal: Principal,
    ) -> bool {
        let info = Rc::new(ConnectionInfo {
            peer: self.peer,
            listener: self.listener,
            listener_kind: self.listener_kind,
            transport,
            principal,
        });
        let end = connection::serve(stream, Rc::clone(&info), services).await;
        end.is_err_and(|error| {
            log_end(&info, &error);
            is_broken(&error)
        })
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
