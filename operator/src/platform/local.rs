//! A cluster on this machine: a folder, broker processes, and a small supervisor process that
//! starts them, restarts what dies, and keeps the status.
//!
//! ```text
//! DIR/<cluster>/declared.json      the manifests that hold
//!               memory.json        what must outlive a supervisor
//!               status.json        the last view, for readers without a supervisor
//!               supervisor.{lock,sock,log}
//!               broker-<id>/       server.properties, pid, broker.log, data/
//! ```
//! Invariant: one supervisor a folder (it holds `supervisor.lock`), one process a broker. A
//! supervisor that dies leaves its brokers running, and the next one takes them over.

mod folder;
mod link;
mod look;
mod memory;
mod ports;
mod process;
mod supervisor;
mod talk;
mod view;

pub use folder::{ClusterFolder, clusters};
pub use link::{Applied, Link, LinkError};
pub use look::{declared_in, last_view, look, observe_folder};
pub use memory::Declared;
pub use process::own_program;
pub use supervisor::{SuperviseError, supervise};
pub use view::{BrokerView, View};
