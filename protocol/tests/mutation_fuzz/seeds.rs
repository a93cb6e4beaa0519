//! Good inputs for each target, to be made bad.

use ottla_protocol::catalogue::entries;
use ottla_protocol::header::{RequestHeader, ResponseHeader};
use ottla_protocol::records::{BatchBuilder, BatchOptions, Codec, Producer};
use ottla_protocol::{ApiKey, Bytes, Message as _, Writer};

use crate::instances::{Message, Random, instance};

/// A good input for a target of ../../fuzz/targets.rs.
pub fn good(target: &str, messages: &[Message], random: &mut Random) -> Vec<u8> {
    match target {
        "requests" => request(messages, random),
        "responses" => response(messages, random),
        "data" => data(messages, random),
        "keyed_records" => keyed_record(messages, random),
        "coordinator_records" => coordinator_record(messages, random),
        "record_batches" => record_batch(random),
        other => panic!("no seeds for target {other}"),
    }
}

fn request(messages: &[Message], random: &mut Random) -> Vec<u8> {
    let (key, version) = some_api(random);
    let header = RequestHeader {
        request_api_key: key as i16,
        request_api_version: version,
        correlation_id: 7,
        client_id: Some("fuzz".into()),
        ..RequestHeader::default()
    };
    let mut writer = Writer::new();
    header
        .encode(&mut writer, key.request_header_version(version))
        .expect("a header of its version");
    let body = instance(find(messages, &format!("{key}Request")), version, random);
    [writer.finish().into_bytes().to_vec(), body].concat()
}

fn response(messages: &[Message], random: &mut Random) -> Vec<u8> {
    let (key, version) = some_api(random);
    let mut writer = Writer::new();
    writer.i16(key as i16);
    writer.i16(version);
    let header = ResponseHeader {
        correlation_id: 7,
        ..ResponseHeader::default()
    };
    header
        .encode(&mut writer, key.response_header_version(version))
        .expect("a header of its version");
    let body = instance(find(messages, &format!("{key}Response")), version, random);
    [writer.finish().into_bytes().to_vec(), body].concat()
}

fn data(messages: &[Message], random: &mut Random) -> Vec<u8> {
    let message = some(messages, random);
    let version = some_version(message, random);
    let place = entries()
        .iter()
        .position(|entry| entry.name == message.name);
    let place = place.expect("the codec has every message") as u16;
    let head = [&place.to_be_bytes()[..], &[version as u8]].concat();
    [head, instance(message, version, random)].concat()
}

fn keyed_record(messages: &[Message], random: &mut Random) -> Vec<u8> {
    let records: Vec<&Message> = messages
        .iter()
        .filter(|message| message.kind == "metadata")
        .collect();
    let message = some(&records, random);
    let version = some_version(message, random);
    let head = vec![
        1,
        message.key.expect("a record has a type") as u8,
        version as u8,
    ];
    [head, instance(message, version, random)].concat()
}

fn coordinator_record(messages: &[Message], random: &mut Random) -> Vec<u8> {
    let keys: Vec<&Message> = messages
        .iter()
        .filter(|message| message.kind == "coordinator-key")
        .collect();
    let key = some(&keys, random);
    let value = find(messages, &key.name.replace("Key", "Value"));
    let version = some_version(value, random);
    let prefix = key.key.expect("a record has a type").to_be_bytes();
    let key = [prefix.to_vec(), instance(key, 0, random)].concat();
    let value = [
        version.to_be_bytes().to_vec(),
        instance(value, version, random),
    ]
    .concat();
    let key_len = vec![u8::try_from(key.len()).unwrap_or(u8::MAX)];
    [key_len, key, value].concat()
}

fn record_batch(random: &mut Random) -> Vec<u8> {
    let codec = Codec::ALL[random.below(Codec::ALL.len() as u64) as usize];
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: codec.into(),
        producer: (random.below(2) == 0).then_some(Producer {
            id: 9,
            epoch: 1,
            base_sequence: 0,
        }),
        control: random.below(8) == 0,
        ..BatchOptions::default()
    });
    for _ in 0..=random.below(4) {
        let (key, value, header) = (random.text(6), random.text(30), random.text(5));
        let headers = (random.below(2) == 0).then_some((header.as_bytes(), Some(&b"h"[..])));
        let key = (random.below(3) > 0).then_some(key.as_bytes());
        builder
            .append(1_700_000_000_000, key, Some(value.as_bytes()), headers)
            .expect("a small record");
    }
    let batch: Bytes = builder.build().expect("a batch with records");
    [vec![random.next() as u8], batch.to_vec()].concat()
}

fn some_api(random: &mut Random) -> (ApiKey, i16) {
    let key = *some(ApiKey::ALL, random);
    let versions = key.valid_versions();
    let count = u64::from((versions.end() - versions.start()).cast_unsigned()) + 1;
    (key, versions.start() + random.below(count) as i16)
}

fn some_version(message: &Message, random: &mut Random) -> i16 {
    let versions = message.versions;
    let count = u64::from((versions.last - versions.first).cast_unsigned()) + 1;
    versions.first + random.below(count) as i16
}

fn some<'a, T>(all: &'a [T], random: &mut Random) -> &'a T {
    &all[random.below(all.len() as u64) as usize]
}

fn find<'a>(messages: &'a [Message], name: &str) -> &'a Message {
    messages
        .iter()
        .find(|message| message.name == name)
        .expect("the tables have every message")
}
