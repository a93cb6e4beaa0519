//! The records of a batch, decoded where their topic says what they mean.

use std::path::Path;

use ottla_protocol::Bytes;
use ottla_protocol::coordinator_records::{GroupRecord, ShareRecord, TransactionRecord};
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::{BatchView, ControlRecord, Record};
use serde_json::{Value, json};

use super::dump_log::Dump;
use super::segment::{batch_bytes_max, time};
use crate::failure::Failure;

/// What a log's records mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Users' own.
    Opaque,
    /// The metadata log, or a snapshot of it.
    Metadata,
    /// What the group coordinator writes.
    Groups,
    /// What the transaction coordinator writes.
    Transactions,
    /// What the share coordinator writes.
    Shares,
}

impl Meaning {
    /// By the name of the partition's directory, or of a snapshot.
    pub fn of(file: &Path) -> Meaning {
        let directory = file
            .parent()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let is_snapshot = file
            .extension()
            .is_some_and(|extension| extension == "checkpoint");
        match directory.rsplit_once('-').map_or("", |(topic, _)| topic) {
            "__cluster_metadata" => Meaning::Metadata,
            "__consumer_offsets" => Meaning::Groups,
            "__transaction_state" => Meaning::Transactions,
            "__share_group_state" => Meaning::Shares,
            _ if is_snapshot => Meaning::Metadata,
            _ => Meaning::Opaque,
        }
    }
}

/// Prints the records of a batch; the inner error is what is wrong with them.
pub fn dump(
    batch: &BatchView,
    meaning: Meaning,
    dump: &Dump,
) -> Result<Result<(), String>, Failure> {
    let records = match batch.records(batch_bytes_max()) {
        Ok(records) => records,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let header = batch.header();
    for record in records.iter() {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let says = if header.attributes.is_control() {
            Some(control(&record))
        } else {
            decoded(&record, meaning)
        };
        dump.line(
            || text(&record, says.as_deref(), dump.values),
            || value(&record, says.as_deref(), dump.values),
        )?;
    }
    Ok(Ok(()))
}

fn control(record: &Record<'_>) -> String {
    match ControlRecord::parse(record) {
        Ok(control) => format!("{:?}", control.control_type),
        Err(error) => format!("unreadable: {error}"),
    }
}

/// A record of Kafka's own topics in words.
fn decoded(record: &Record<'_>, meaning: Meaning) -> Option<String> {
    let share = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let key = share(record.key.unwrap_or_default());
    let value = record.value.map(share);
    let told = match meaning {
        Meaning::Opaque => return None,
        Meaning::Metadata => {
            MetadataRecord::decode(value.unwrap_or_default()).map(|record| format!("{record:?}"))
        }
        Meaning::Groups => GroupRecord::decode(key, value).map(|record| format!("{record:?}")),
        Meaning::Transactions => {
            TransactionRecord::decode(key, value).map(|record| format!("{record:?}"))
        }
        Meaning::Shares => ShareRecord::decode(key, value).map(|record| format!("{record:?}")),
    };
    Some(told.unwrap_or_else(|error| format!("unreadable: {error}")))
}

fn text(record: &Record<'_>, says: Option<&str>, with_values: bool) -> String {
    let length =
        |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".into(), |b| b.len().to_string());
    let mut text = format!("    {} {}", record.offset, time(record.timestamp));
    if let Some(says) = says {
        text.push_str(&format!(" {says}"));
        return text;
    }
    if !with_values {
        text.push_str(&format!(
            " key {} value {} headers {}",
            length(record.key),
            length(record.value),
            record.headers.len()
        ));
        return text;
    }
    text.push_str(&format!(
        " key {} value {}",
        shown(record.key),
        shown(record.value)
    ));
    for (name, value) in record.headers.iter() {
        text.push_str(&format!(
            " {}={}",
            String::from_utf8_lossy(name),
            shown(value)
        ));
    }
    text
}

fn shown(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(
        || "null".into(),
        |bytes| format!("{:?}", String::from_utf8_lossy(bytes)),
    )
}

fn value(record: &Record<'_>, says: Option<&str>, with_values: bool) -> Value {
    let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    let mut value = json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "keyBytes": length(record.key),
        "valueBytes": length(record.value),
        "headers": record.headers.len(),
    });
    if let Some(says) = says {
        value["record"] = says.into();
    }
    if with_values {
        let lossy = |bytes: Option<&[u8]>| -> Value {
            bytes
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .into()
        };
        value["key"] = lossy(record.key);
        value["value"] = lossy(record.value);
    }
    value
}
