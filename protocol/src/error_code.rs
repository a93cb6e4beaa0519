//! Error codes of the wire, by Kafka's names.
//!
//! A newtype, not an enum: a code that we do not know passes through unharmed. The rows are facts of
//! Apache Kafka 4.3.1 (`error_code/table.rs`, generated).

mod table;

use std::fmt;

/// What went wrong, or `NONE`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

/// What is known about one code.
struct Row {
    code: i16,
    name: &'static str,
    retriable: bool,
    stale_metadata: bool,
}

impl ErrorCode {
    /// Kafka's name, if Kafka 4.3.1 has the code.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// Whether Java clients send the same request again.
    #[must_use]
    pub fn is_retriable(self) -> bool {
        self.row().is_some_and(|row| row.retriable)
    }

    /// Whether Java clients fetch new metadata before they send the request again.
    #[must_use]
    pub fn is_stale_metadata(self) -> bool {
        self.row().is_some_and(|row| row.stale_metadata)
    }

    /// Whether this is not `NONE`.
    #[must_use]
    pub fn is_error(self) -> bool {
        self != Self::NONE
    }

    fn row(self) -> Option<&'static Row> {
        table::ROWS
            .binary_search_by_key(&self.0, |row| row.code)
            .ok()
            .map(|at| &table::ROWS[at])
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_codes() {
        assert_eq!(ErrorCode::NOT_LEADER_OR_FOLLOWER.0, 6);
        assert_eq!(
            ErrorCode::NOT_LEADER_OR_FOLLOWER.to_string(),
            "NOT_LEADER_OR_FOLLOWER"
        );
        assert!(ErrorCode::NOT_LEADER_OR_FOLLOWER.is_stale_metadata());
        assert!(
            ErrorCode::REQUEST_TIMED_OUT.is_retriable()
                && !ErrorCode::REQUEST_TIMED_OUT.is_stale_metadata()
        );
        assert!(!ErrorCode::UNKNOWN_SERVER_ERROR.is_retriable());
        assert_eq!(ErrorCode(9999).to_string(), "error code 9999");
        assert!(table::ROWS.is_sorted_by(|a, b| a.code < b.code));
    }
}
