//! A metadata record with the version it is written in.

use ottla_protocol::metadata_records::MetadataRecord;

/// See the module's head. `metadata.version` rules which version a record gets.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionedRecord {
    /// The record.
    pub record: MetadataRecord,
    /// Its version.
    pub version: i16,
}

impl VersionedRecord {
    /// Pairs a record with its version.
    pub fn new(record: impl Into<MetadataRecord>, version: i16) -> Self {
        Self {
            record: record.into(),
            version,
        }
    }
}
