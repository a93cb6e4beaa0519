//! The broker's rim: health, readiness and metrics over HTTP, on the listener of `ottla.metrics.listener`.
//!
//! ```text
//!   probe ──▶ http.rs, on a thread of its own ── Question ──▶ desk.rs, a task of the shard
//!     ▲        (limits.rs: time, connections)                   │ looks, and answers with plain data
//!     └──────────── text ◀──────────────── Answer ◀─────────────┘
//! ```
//! Invariant: nothing here is on the way of a record. The shard answers with what it has at hand; sockets,
//! time limits and text are the other thread's, so that no client of this port, slow or hostile, costs the
//! shard more than a message. Outside the simulation. Not here: what can be measured (`crate::metrics`).

mod desk;
mod http;
mod limits;
mod readiness;

use std::io;
use std::net::SocketAddr;

use limits::Limits;
use ottla_settings::Address;
use tokio::sync::mpsc;

use crate::metrics::Process;

pub use desk::{Parts, Question, Stage, Vitals, answer};

/// What the desk is asked through.
pub type Questions = mpsc::UnboundedReceiver<Question>;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen on {host}:{port} for metrics and probes: {reason}{}", hint(.reason))]
    Bind {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Why; told in the text, so not as a source that would be told again.
        reason: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start the thread of ottla.metrics.listener: {0}")]
    Thread(io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has the port: stop it or choose another port in `ottla.metrics.listener`"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need rights: choose a higher one in `ottla.metrics.listener`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has the address: 0.0.0.0 in `ottla.metrics.listener` is every interface"
        }
        _ => "",
    }
}

/// Opens the listener on a thread of its own; what it is asked arrives at the receiver. Answers begin when the
/// shard runs [`answer`].
pub fn open(address: &Address, process: Process) -> Result<Questions, ListenError> {
    let (bound, questions) = open_within(address, Limits::default(), process)?;
    tracing::info!(address = %bound, "metrics and probes");
    Ok(questions)
}

fn open_within(
    address: &Address,
    limits: Limits,
    process: Process,
) -> Result<(SocketAddr, Questions), ListenError> {
    let bind = |reason| ListenError::Bind {
        host: address.host.clone(),
        port: address.port,
        reason,
    };
    let socket = std::net::TcpListener::bind((address.host.as_str(), address.port))
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .map_err(bind)?;
    let bound = socket.local_addr().map_err(bind)?;
    let (questions, asked) = mpsc::unbounded_channel();
    http::start(socket, limits, process, questions).map_err(ListenError::Thread)?;
    Ok((bound, asked))
}

#[cfg(test)]
mod tests;
