//! What a client call can end with. Wire codes stay what they are (`ErrorCode`), with the API that said them and the broker's words.

use crate::connection::ConnectionError;
use ottla_protocol::{ApiKey, ErrorCode, Str};
use std::time::Duration;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No response.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The broker said no.
    #[error("{api}: {failure}")]
    Refused {
        /// The request.
        api: ApiKey,
        /// What it said.
        failure: Failure,
    },
    /// None of the bootstrap servers could be reached.
    #[error("none of the brokers can be reached: {}", attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoBroker {
        /// One reason per server that was tried.
        attempts: Vec<ConnectionError>,
    },
    /// Attempts went on until the time was over.
    #[error("gave up after {} ms: {last}", waited.as_millis())]
    GaveUp {
        /// How long it was tried.
        waited: Duration,
        /// The last attempt's error.
        last: Box<ClientError>,
    },
    /// A broker id that the metadata does not have.
    #[error("broker {0} is not in the cluster's metadata")]
    UnknownBroker(i32),
    /// A partition without a leader at this moment.
    #[error("{topic}-{partition} has no leader")]
    NoLeader {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
    },
    /// No offset to begin at: nothing is committed, and there is no rule for that.
    #[error("{topic}-{partition} has no committed offset, and no reset is configured")]
    NoPosition {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
    },
    /// Records that cannot be written or read.
    #[error("{topic}-{partition}: {reason}")]
    Records {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
        /// What is wrong with them.
        reason: String,
    },
    /// The response leaves out what was asked for.
    #[error("the response to {api} lacks {what}")]
    Incomplete {
        /// The request.
        api: ApiKey,
        /// What is missing.
        what: String,
    },
    /// This handle has been closed, or a fatal error before has ended it.
    #[error("closed: {0}")]
    Closed(String),
    /// An address that is not `host:port`.
    #[error("{0:?} is not host:port")]
    Address(String),
}

/// An error code with the broker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub error: ErrorCode,
    /// What the broker added.
    pub message: Option<Str>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.as_ref().filter(|message| !message.is_empty()) {
            Some(message) => write!(f, "{} ({message})", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl Failure {
    /// `Ok` for NONE.
    pub(crate) fn check(error: ErrorCode, message: Option<Str>) -> Result<(), Failure> {
        if error == ErrorCode::NONE {
            Ok(())
        } else {
            Err(Failure { error, message })
        }
    }
}

impl ClientError {
    /// `Ok` for NONE.
    pub(crate) fn check(
        api: ApiKey,
        error: ErrorCode,
        message: Option<Str>,
    ) -> Result<(), ClientError> {
        Failure::check(error, message).map_err(|failure| ClientError::Refused { api, failure })
    }

    pub(crate) fn refused(api: ApiKey, error: ErrorCode) -> ClientError {
        ClientError::Refused {
            api,
            failure: Failure {
                error,
                message: None,
            },
        }
    }

    /// The broker's code, if that is what this is.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { failure, .. } => Some(failure.error),
            ClientError::GaveUp { last, .. } => last.code(),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connection(error) => error.is_retriable(),
            ClientError::Refused { failure, .. } => failure.error.is_retriable(),
            // Nothing that is tried again makes a certificate good.
            ClientError::NoBroker { attempts } => {
                attempts.is_empty() || attempts.iter().any(ConnectionError::is_retriable)
            }
            ClientError::UnknownBroker(_) | ClientError::NoLeader { .. } => true,
            ClientError::GaveUp { .. }
            | ClientError::NoPosition { .. }
            | ClientError::Records { .. }
            | ClientError::Incomplete { .. }
            | ClientError::Closed(_)
            | ClientError::Address(_) => false,
        }
    }
}
