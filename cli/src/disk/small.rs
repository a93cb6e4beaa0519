//! Producer snapshots and leader epochs.

use std::fs;
use std::path::Path;

use ottla_broker_storage::layout::parse_epoch_checkpoint;
use ottla_broker_storage::producers::Producers;
use serde_json::json;

use super::dump_log::Dump;
use super::segment::time;
use crate::failure::Outcome;

/// What is known of each producer at a segment's base offset.
pub fn dump_producers(path: &Path, dump: &mut Dump) -> Outcome {
    let producers = match Producers::from_snapshot(&fs::read(path)?) {
        Ok(producers) => producers,
        Err(error) => return dump.damage(path, &error.to_string()),
    };
    for (id, producer) in producers.iter() {
        let sequence = producer.batches.back().map(|batch| batch.last_sequence);
        dump.line(
            || {
                let sequence = sequence.map_or_else(|| "none".into(), |s| s.to_string());
                let open = producer
                    .txn_first_offset
                    .map_or_else(String::new, |offset| format!(", transaction open since offset {offset}"));
                format!(
                    "    producer {id} epoch {} last sequence {sequence}, last seen {}{open}",
                    producer.epoch,
                    time(producer.last_timestamp)
                )
            },
            || {
                json!({"producerId": id, "epoch": producer.epoch, "lastSequence": sequence,
                       "lastTimestamp": producer.last_timestamp, "txnFirstOffset": producer.txn_first_offset})
            },
        )?;
    }
    let count = producers.iter().count();
    dump.line(
        || format!("  {}", crate::output::count(count, "producer")),
        || json!({"producers": count}),
    )
}

/// Where each leader's epoch began.
pub fn dump_epochs(path: &Path, dump: &mut Dump) -> Outcome {
    let text = fs::read_to_string(path)?;
    let entries = match parse_epoch_checkpoint(&text) {
        Ok(entries) => entries,
        Err(error) => return dump.damage(path, &error.to_string()),
    };
    for entry in entries {
        dump.line(
            || {
                format!(
                    "    epoch {} from offset {}",
                    entry.epoch, entry.start_offset
                )
            },
            || json!({"epoch": entry.epoch, "startOffset": entry.start_offset}),
        )?;
    }
    Ok(())
}
