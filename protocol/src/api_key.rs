//! API keys: which requests exist, in which versions, who serves them.
//!
//! The rows are facts of Apache Kafka 4.3.1 (`api_key/table.rs`, generated). Keys whose last version
//! was removed in 4.0 (4 to 7) are not keys here. Not here: which of them a broker of ours serves.

use std::fmt;
use std::ops::RangeInclusive;

/// Which kind of listener accepts a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// A broker's listeners.
    Broker,
    /// A controller's listeners.
    Controller,
}

/// What is known about one key.
struct Row {
    key: ApiKey,
    name: &'static str,
    versions: RangeInclusive<i16>,
    flexible_from: i16,
    listeners: &'static [Listener],
    forwarded: bool,
    cluster_action: bool,
}

macro_rules! api_keys {
    ($($name:ident = $key:literal, versions: $versions:expr, flexible: $flexible:literal, listeners: $listeners:expr,
       forwarded: $forwarded:literal, cluster_action: $cluster_action:literal;)*) => {
        /// The kind of a request, by Kafka's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum ApiKey { $($name = $key,)* }

        impl ApiKey {
            /// All keys, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        pub(super) static ROWS: &[super::Row] = &[$(super::Row {
            key: ApiKey::$name,
            name: stringify!($name),
            versions: $versions,
            flexible_from: $flexible,
            listeners: &$listeners,
            forwarded: $forwarded,
            cluster_action: $cluster_action,
        },)*];
    };
}

mod table;

pub use table::ApiKey;

impl ApiKey {
    /// The key with this number, if Kafka 4.3.1 has it.
    #[must_use]
    pub fn from_i16(key: i16) -> Option<Self> {
        let at = table::ROWS
            .binary_search_by_key(&key, |row| row.key as i16)
            .ok()?;
        Some(table::ROWS[at].key)
    }

    /// Kafka's name, as in `ListOffsets`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The released versions. Produce is advertised from 0 for old librdkafka, but served from 3.
    #[must_use]
    pub fn valid_versions(self) -> RangeInclusive<i16> {
        self.row().versions.clone()
    }

    /// Whether this version has compact lengths and tagged fields.
    #[must_use]
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.row().flexible_from
    }

    /// Version of the header in front of a request: 2 has tagged fields.
    #[must_use]
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the header in front of a response: 1 has tagged fields. An ApiVersions response
    /// never has them, because its reader does not know yet what the other side speaks (KIP-511).
    #[must_use]
    pub fn response_header_version(self, version: i16) -> i16 {
        (self.is_flexible(version) && self != Self::ApiVersions).into()
    }

    /// Who serves it.
    #[must_use]
    pub fn listeners(self) -> &'static [Listener] {
        self.row().listeners
    }

    /// Whether a broker hands it to the active controller in an Envelope.
    #[must_use]
    pub fn is_forwarded(self) -> bool {
        self.row().forwarded
    }

    /// Whether only members of the cluster may send it.
    #[must_use]
    pub fn is_cluster_action(self) -> bool {
        self.row().cluster_action
    }

    fn row(self) -> &'static Row {
        let at = table::ROWS.binary_search_by_key(&(self as i16), |row| row.key as i16);
        &table::ROWS[at.expect("the table has a row for every variant, ascending")]
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_finds_itself() {
        assert_eq!(ApiKey::ALL.len(), 89);
        for &key in ApiKey::ALL {
            assert_eq!(ApiKey::from_i16(key as i16), Some(key));
            assert!(
                key.valid_versions().start() <= key.valid_versions().end()
                    && !key.listeners().is_empty()
            );
        }
        for removed in [-1, 4, 5, 6, 7, 93, i16::MAX] {
            assert_eq!(ApiKey::from_i16(removed), None);
        }
    }

    #[test]
    fn versions_and_headers() {
        assert_eq!(ApiKey::Fetch.valid_versions(), 4..=18);
        // Version 6 is not released in 4.3.1.
        assert_eq!(ApiKey::InitProducerId.valid_versions(), 0..=5);
        assert_eq!(
            (
                ApiKey::Fetch.request_header_version(11),
                ApiKey::Fetch.request_header_version(12)
            ),
            (1, 2)
        );
        assert_eq!(
            (
                ApiKey::Fetch.response_header_version(11),
                ApiKey::Fetch.response_header_version(12)
            ),
            (0, 1)
        );
        assert_eq!(
            (
                ApiKey::ApiVersions.request_header_version(3),
                ApiKey::ApiVersions.response_header_version(3)
            ),
            (2, 0)
        );
        assert!(!ApiKey::SaslHandshake.is_flexible(1));
        assert!(ApiKey::CreateTopics.is_forwarded() && !ApiKey::Produce.is_forwarded());
        assert!(ApiKey::BrokerHeartbeat.is_cluster_action());
        assert_eq!(ApiKey::Vote.listeners(), [Listener::Controller]);
    }
}
