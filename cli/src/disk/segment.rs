//! A segment, or a metadata snapshot, which has the same form: batch after batch.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ottla_protocol::Bytes;
use ottla_protocol::records::{BatchHeader, BatchView, HEADER_LEN, TimestampType};
use serde_json::json;

use super::dump_log::Dump;
use super::records::{self, Meaning};
use crate::failure::Outcome;
use crate::output;

/// A batch may unpack to so much; Kafka's own limit for a request is far below.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Prints every batch, and the first damage: what follows cannot be found.
pub fn dump(path: &Path, dump: &mut Dump) -> Outcome {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let size = file.get_ref().metadata()?.len();
    let meaning = Meaning::of(path);
    let (mut position, mut batches, mut records) = (0u64, 0usize, 0usize);
    let mut next_offset = None;
    while position < size {
        let batch = match read_batch(&mut file, size - position)? {
            Ok(batch) => batch,
            Err(what) => {
                dump.damage(path, &format!("at byte {position}: {what}"))?;
                break;
            }
        };
        if let Err(error) = batch.check_crc() {
            dump.damage(path, &format!("at byte {position}: {error}"))?;
        }
        let header = *batch.header();
        dump.line(|| text(&header, position), || value(&header, position))?;
        if dump.records
            && let Err(what) = records::dump(&batch, meaning, dump)?
        {
            dump.damage(path, &format!("in the batch at byte {position}: {what}"))?;
        }
        batches += 1;
        records += usize::try_from(header.record_count).unwrap_or_default();
        next_offset = Some(header.next_offset());
        position += header.size() as u64;
    }
    let ends = next_offset.map_or_else(
        || "nothing".to_owned(),
        |next| format!("up to offset {}", next - 1),
    );
    dump.line(
        || {
            format!(
                "  {}, {}, {ends}; {position} of {size} bytes",
                output::count(batches, "batch").replace("batchs", "batches"),
                output::count(records, "record")
            )
        },
        || {
            json!({"batches": batches, "records": records, "nextOffset": next_offset,
                   "validBytes": position, "bytes": size})
        },
    )
}

/// The next batch, or what is wrong with it.
fn read_batch(file: &mut impl Read, left: u64) -> std::io::Result<Result<BatchView, String>> {
    if left < HEADER_LEN as u64 {
        return Ok(Err(format!("{left} bytes are too few for a batch")));
    }
    let mut bytes = vec![0; HEADER_LEN];
    file.read_exact(&mut bytes)?;
    let header = match BatchHeader::parse(&bytes) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let size = header.size();
    if size as u64 > left {
        return Ok(Err(format!("a batch of {size} bytes is cut after {left}")));
    }
    bytes.resize(size, 0);
    file.read_exact(&mut bytes[HEADER_LEN..])?;
    Ok(BatchView::new(Bytes::from(bytes)).map_err(|error| error.to_string()))
}

/// Everything in a header that is not as usual is told; the usual is left out.
fn text(header: &BatchHeader, position: u64) -> String {
    let mut text = format!(
        "  @{position} offsets {}..={} records {} epoch {} {} {} bytes, newest {}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.partition_leader_epoch,
        header.codec().name(),
        header.size(),
        time(header.max_timestamp),
    );
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        text.push_str(" (LogAppendTime)");
    }
    if header.has_producer_id() {
        text.push_str(&format!(
            ", producer {} epoch {} sequence {}",
            header.producer_id, header.producer_epoch, header.base_sequence
        ));
    }
    if header.attributes.is_transactional() {
        text.push_str(", transactional");
    }
    if header.attributes.is_control() {
        text.push_str(", control");
    }
    text
}

fn value(header: &BatchHeader, position: u64) -> serde_json::Value {
    json!({
        "position": position,
        "baseOffset": header.base_offset,
        "lastOffset": header.last_offset(),
        "records": header.record_count,
        "leaderEpoch": header.partition_leader_epoch,
        "codec": header.codec().name(),
        "bytes": header.size(),
        "crc": header.crc,
        "baseTimestamp": header.base_timestamp,
        "maxTimestamp": header.max_timestamp,
        "logAppendTime": header.attributes.timestamp_type() == TimestampType::LogAppendTime,
        "producerId": header.producer_id,
        "producerEpoch": header.producer_epoch,
        "baseSequence": header.base_sequence,
        "transactional": header.attributes.is_transactional(),
        "control": header.attributes.is_control(),
    })
}

/// A timestamp for people; -1 is none.
pub fn time(ms: i64) -> String {
    if ms < 0 {
        ms.to_string()
    } else {
        ottla_operator_plan::rfc3339(ms)
    }
}

/// Most bytes that a batch may unpack to.
pub fn batch_bytes_max() -> usize {
    BATCH_BYTES_MAX
}
