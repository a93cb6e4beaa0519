//! Produce version 7 by hand: enough of the wire to load any Kafka-compatible broker with frames
//! encoded once, and to take them apart in the servers of this crate.
//!
//! Written by hand so that the floor does not depend on the codec it is the floor for.
//! Source: Kafka protocol guide, Produce v7 (last version before flexible encoding); record batch v2.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};

const API_PRODUCE: i16 = 0;
const VERSION: i16 = 7;
/// Where the CRC stands in a batch; it covers everything after itself.
const CRC_AT: Range<usize> = 17..21;
const RECORD_COUNT_AT: Range<usize> = 57..61;

/// A record batch of `count` uncompressed records with `value_bytes` of incompressible value each.
pub fn encode_batch(count: i32, value_bytes: usize, seed: u64) -> Bytes {
    let mut records = BytesMut::new();
    let mut noise = seed | 1;
    for delta in 0..count {
        let mut body = BytesMut::new();
        body.put_u8(0);
        put_varint(&mut body, 0);
        put_varint(&mut body, i64::from(delta));
        put_varint(&mut body, -1);
        put_varint(&mut body, value_bytes as i64);
        for _ in 0..value_bytes {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            body.put_u8(noise as u8);
        }
        put_varint(&mut body, 0);
        put_varint(&mut records, body.len() as i64);
        records.put(body);
    }
    // Of now: older records would be past their retention, and a restart would delete the log.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let timestamp = since_1970.map_or(0, |time| time.as_millis() as i64);
    let mut covered = BytesMut::new();
    covered.put_i16(0);
    covered.put_i32(count - 1);
    covered.put_i64(timestamp);
    covered.put_i64(timestamp);
    covered.put_i64(-1);
    covered.put_i16(-1);
    covered.put_i32(-1);
    covered.put_i32(count);
    covered.put(records);
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32((covered.len() + 9) as i32);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(crc32c::crc32c(&covered));
    batch.put(covered);
    batch.freeze()
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// A whole request frame with the same batch for each of `partitions` of `topic`.
pub fn encode_request(topic: &str, partitions: &[i32], acks: i16, batch: &Bytes) -> Bytes {
    let mut body = BytesMut::new();
    body.put_i16(API_PRODUCE);
    body.put_i16(VERSION);
    body.put_i32(0);
    put_string(&mut body, "bench");
    body.put_i16(-1);
    body.put_i16(acks);
    body.put_i32(30_000);
    body.put_i32(1);
    put_string(&mut body, topic);
    body.put_i32(partitions.len() as i32);
    for partition in partitions {
        body.put_i32(*partition);
        body.put_i32(batch.len() as i32);
        body.put_slice(batch);
    }
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_i32(body.len() as i32);
    frame.put(body);
    frame.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

/// A request taken apart; slices of the received frame.
pub struct ProduceParts {
    /// To be echoed.
    pub correlation: i32,
    /// The one topic.
    pub topic: Bytes,
    /// Partition index and record batch.
    pub batches: Vec<(i32, Bytes)>,
}

/// Splits one whole frame off `buffer`, if there is one.
pub fn split_frame(buffer: &mut BytesMut) -> Option<Bytes> {
    let prefix = buffer.first_chunk::<4>()?;
    let len = u32::from_be_bytes(*prefix) as usize + 4;
    if buffer.len() < len {
        buffer.reserve(len - buffer.len());
        return None;
    }
    Some(buffer.split_to(len).freeze())
}

/// Takes a frame of ours apart; None when it is anything else.
pub fn decode_request(mut frame: Bytes) -> Option<ProduceParts> {
    frame.try_get_i32().ok()?;
    let (key, version) = (frame.try_get_i16().ok()?, frame.try_get_i16().ok()?);
    if (key, version) != (API_PRODUCE, VERSION) {
        return None;
    }
    let correlation = frame.try_get_i32().ok()?;
    take_string(&mut frame)?;
    take_string(&mut frame)?;
    frame.try_get_i16().ok()?;
    frame.try_get_i32().ok()?;
    if frame.try_get_i32().ok()? != 1 {
        return None;
    }
    let topic = take_string(&mut frame)?;
    let count = usize::try_from(frame.try_get_i32().ok()?).ok()?;
    let mut batches = Vec::with_capacity(count.min(frame.len() / 8));
    for _ in 0..count {
        let index = frame.try_get_i32().ok()?;
        let len = usize::try_from(frame.try_get_i32().ok()?).ok()?;
        batches.push((index, take(&mut frame, len)?));
    }
    Some(ProduceParts {
        correlation,
        topic,
        batches,
    })
}

fn take_string(frame: &mut Bytes) -> Option<Bytes> {
    let len = frame.try_get_i16().ok()?;
    take(frame, usize::try_from(len).unwrap_or(0))
}

fn take(frame: &mut Bytes, len: usize) -> Option<Bytes> {
    (frame.len() >= len).then(|| frame.split_to(len))
}

/// Whether the batch's CRC holds, and how many records it has.
pub fn check_batch(batch: &[u8]) -> Option<i32> {
    let stored = u32::from_be_bytes(batch.get(CRC_AT)?.try_into().ok()?);
    let count = i32::from_be_bytes(batch.get(RECORD_COUNT_AT)?.try_into().ok()?);
    (crc32c::crc32c(&batch[CRC_AT.end..]) == stored).then_some(count)
}

/// Appends the answer to `out`: no errors, the given base offsets.
pub fn encode_response(out: &mut BytesMut, correlation: i32, topic: &[u8], offsets: &[(i32, i64)]) {
    let len = 4 + 4 + 2 + topic.len() + 4 + offsets.len() * 30 + 4;
    out.reserve(len + 4);
    out.put_i32(len as i32);
    out.put_i32(correlation);
    out.put_i32(1);
    out.put_i16(topic.len() as i16);
    out.put_slice(topic);
    out.put_i32(offsets.len() as i32);
    for (index, offset) in offsets {
        out.put_i32(*index);
        out.put_i16(0);
        out.put_i64(*offset);
        out.put_i64(-1);
        out.put_i64(0);
    }
    out.put_i32(0);
}

/// The first partition's error code in a whole Produce v7 response frame; None when it is cut short.
pub fn response_error(mut frame: Bytes) -> Option<i16> {
    frame.try_get_i64().ok()?;
    frame.try_get_i32().ok()?;
    take_string(&mut frame)?;
    frame.try_get_i32().ok()?;
    frame.try_get_i32().ok()?;
    frame.try_get_i16().ok()
}
