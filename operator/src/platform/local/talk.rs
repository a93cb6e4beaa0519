//! What is said over a supervisor's socket: one request a connection, as a line of JSON, answered
//! by one line, or by one at every change.

use ottla_operator_plan::{Observed, Refusal};
use serde::{Deserialize, Serialize};

use super::memory::Declared;
use super::view::View;

/// What can be asked of a supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Lets these manifests hold from now on. Answer: `Applied`, `Refused`.
    Apply(Box<Declared>),
    /// What was seen, for plans that are only shown. Answer: `Observed`.
    Observe,
    /// How it stands. Answer: `View`.
    Status,
    /// How it stands, now and at every change. Answers: `View` …
    Watch,
    /// The same, and the cluster is stopped when the connection ends: somebody holds it in the
    /// foreground. Answers: `Held`, and if it is not held by another already, `View` …
    Hold,
    /// Stops the brokers cleanly, then the supervisor. Answers: `View` …, `Bye`.
    Stop,
    /// Ends the supervisor; the brokers go on. Answer: `Bye`.
    Release,
}

/// What a supervisor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// How it stands.
    View(Box<View>),
    /// The manifests hold.
    Applied {
        /// The cluster's generation.
        generation: i64,
    },
    /// They do not; those before go on to hold.
    Refused {
        /// What cannot be had.
        refused: Vec<Refusal>,
        /// What cannot be done with the cluster as it is.
        blocked: Vec<String>,
    },
    /// What was seen.
    Observed(Box<Observed>),
    /// Whether the cluster is held by this connection from now on; else another one holds it.
    Held(bool),
    /// It could not be done.
    Failed(String),
    /// The supervisor ends.
    Bye,
}
