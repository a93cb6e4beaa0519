//! What can go wrong between a request and its response, apart from what the response says.

use ottla_protocol::{ApiKey, DecodeError, EncodeError, ErrorCode};
use std::time::Duration;

/// A request that got no response. Cheap to clone: one broken connection fails many requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The connection could not be opened.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// host:port.
        address: String,
        /// What the operating system said.
        reason: String,
    },
    /// The connection broke, or was closed by either side. The request may have been carried out.
    #[error("the connection was closed: {reason}")]
    Closed {
        /// Who and why.
        reason: String,
    },
    /// No response in time. The connection is closed with it: responses come in order, so all behind it would wait as well.
    #[error("no response to {api} within {}", millis(waited))]
    TimedOut {
        /// The request.
        api: ApiKey,
        /// The limit.
        waited: Duration,
    },
    /// The other side does not speak a version of this API that we do.
    #[error("{api} is not spoken by both sides (theirs: {}, ours: {}..{})", range(theirs), ours.0, ours.1)]
    Unsupported {
        /// The request.
        api: ApiKey,
        /// Their versions, if they have the API at all.
        theirs: Option<(i16, i16)>,
        /// Ours.
        ours: (i16, i16),
    },
    /// The other side refused the handshake.
    #[error("the broker refused the connection: {0}")]
    Refused(ErrorCode),
    /// TLS: one side refuses the other, or the other side speaks something else. Never retriable, as in Kafka's clients.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// Which side.
        address: String,
        /// Who refused what.
        reason: String,
    },
    /// The request cannot be written in the version that both sides speak: it sets a field that the version does not have.
    #[error("{api} version {version} cannot carry this request: {source}")]
    Unwritable {
        /// The request.
        api: ApiKey,
        /// The version.
        version: i16,
        /// Which field.
        source: EncodeError,
    },
    /// The response is not what its schema says. The connection is closed with it.
    #[error("the response to {api} version {version} cannot be read: {source}")]
    Unreadable {
        /// The request.
        api: ApiKey,
        /// The version.
        version: i16,
        /// Where it broke.
        source: DecodeError,
    },
}

impl ConnectionError {
    /// TLS's words and what to look at.
    pub(super) fn of_tls(address: String, refusal: &rustls::Error) -> ConnectionError {
        let hint = match refusal {
            rustls::Error::AlertReceived(_) => {
                "; it refuses the certificate that was shown, or that none was"
            }
            rustls::Error::InvalidCertificate(_) => {
                "; is its authority in the trust store, and its name in the certificate?"
            }
            rustls::Error::InvalidMessage(_) => "; does that port speak plain text?",
            _ => "",
        };
        ConnectionError::Tls {
            address,
            reason: format!("{refusal}{hint}"),
        }
    }

    /// Whether another attempt, on a new connection or to another broker, may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            ConnectionError::Unreachable { .. }
            | ConnectionError::Closed { .. }
            | ConnectionError::TimedOut { .. } => true,
            ConnectionError::Unsupported { .. }
            | ConnectionError::Refused(_)
            | ConnectionError::Tls { .. }
            | ConnectionError::Unwritable { .. }
            | ConnectionError::Unreadable { .. } => false,
        }
    }
}

fn millis(duration: &Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn range(range: &Option<(i16, i16)>) -> String {
    range.map_or_else(
        || "none".to_owned(),
        |(first, last)| format!("{first}..{last}"),
    )
}
