//! Goal: bad input from the network gets a clear error or a closed connection, exactly as from
//! Apache Kafka, and nothing is lost or appears by it. Method: a table of cases, each a few bytes or
//! one request on a connection of its own; the outcome is written down in Kafka's names and is the
//! same on both; after each case the broker answers, and at the end the topic holds exactly the
//! records that were acknowledged.
//! Needs: jvm.

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Cluster, JvmKafka, OttlaBroker, Wire, answers, until};
use ottla_protocol::messages::api_versions_response::ApiVersionsResponse;
use ottla_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::records::{BatchBuilder, BatchHeader, BatchOptions, Producer};
use ottla_protocol::{ApiKey, Bytes, ErrorCode, Message, Reader, Records, Uuid};
use std::time::{Duration, SystemTime};

const TOPIC: &str = "bad-wire";
const HEADER_LEN: usize = 61;

/// Name of the case, what does it, and the outcome on Apache Kafka 4.3.1.
type Case = (
    &'static str,
    fn(&mut Wire, &Broker) -> Result<String>,
    &'static str,
);

const CASES: &[Case] = &[
    ("text instead of a frame", text, "closed"),
    (
        "a frame of 2 GiB",
        |wire, _| raw(wire, &[0x7f, 0xff, 0xff, 0xff]),
        "closed",
    ),
    (
        "a frame of negative length",
        |wire, _| raw(wire, &[0xff, 0xff, 0xff, 0xff]),
        "closed",
    ),
    (
        "a frame too short for a header",
        |wire, _| raw(wire, &[0, 0, 0, 2, 0, 3]),
        "closed",
    ),
    (
        "an unknown key",
        |wire, _| raw(wire, &request_head(999, 0, &[])),
        "closed",
    ),
    (
        "a controller's key",
        |wire, _| raw(wire, &request_head(52, 0, &[0; 40])),
        "closed",
    ),
    (
        "an unknown version",
        |wire, _| raw(wire, &request_head(3, 99, &[0; 8])),
        "closed",
    ),
    (
        "a retired version",
        |wire, _| raw(wire, &request_head(0, 2, &[0; 8])),
        "closed",
    ),
    (
        "ApiVersions of tomorrow",
        api_versions_of_tomorrow,
        "UNSUPPORTED_VERSION, with our versions",
    ),
    ("more topics than bytes", more_topics_than_bytes, "closed"),
    ("a null where none may be", null_array, "closed"),
    (
        "wrong checksum",
        |wire, _| produce(wire, damaged(|b| b[HEADER_LEN + 3] ^= 1)),
        "CORRUPT_MESSAGE",
    ),
    (
        "magic 0",
        |wire, _| produce(wire, damaged(|b| b[16] = 0)),
        "INVALID_RECORD",
    ),
    (
        "magic 1",
        |wire, _| produce(wire, damaged(|b| b[16] = 1)),
        "INVALID_RECORD",
    ),
    (
        "magic 3",
        |wire, _| produce(wire, damaged(|b| b[16] = 3)),
        "CORRUPT_MESSAGE",
    ),
    (
        "batch length beyond the field",
        |wire, _| produce(wire, damaged(|b| b[10] = 0x7f)),
        "INVALID_RECORD",
    ),
    (
        "two batches in one field",
        |wire, _| produce(wire, [batch(1), batch(1)].concat()),
        "INVALID_RECORD",
    ),
    (
        "no batch at all",
        |wire, _| produce(wire, Vec::new()),
        "INVALID_RECORD",
    ),
    (
        "more records than the batch has",
        |wire, _| {
            produce(
                wire,
                resealed(|h| (h.record_count, h.last_offset_delta) = (5, 4)),
            )
        },
        "INVALID_RECORD",
    ),
    (
        "a last offset that is not the last",
        |wire, _| produce(wire, resealed(|h| h.last_offset_delta = 7)),
        "INVALID_RECORD",
    ),
    (
        "a control batch from a client",
        |wire, _| {
            produce(
                wire,
                resealed(|h| h.attributes = h.attributes.with_control(true)),
            )
        },
        "INVALID_RECORD",
    ),
    (
        "a record over message.max.bytes",
        |wire, _| produce(wire, sized_batch(1_100_000)),
        "MESSAGE_TOO_LARGE",
    ),
    ("acks of 5", acks_of_five, "INVALID_REQUIRED_ACKS"),
    (
        "a partition that is not there",
        partition_not_there,
        "UNKNOWN_TOPIC_OR_PARTITION",
    ),
    ("an unknown topic id", unknown_topic_id, "UNKNOWN_TOPIC_ID"),
    (
        "a leader epoch of the future",
        |wire, b| fetch(wire, b, 0, 99),
        "UNKNOWN_LEADER_EPOCH",
    ),
    (
        "an offset beyond the end",
        |wire, b| fetch(wire, b, 1_000_000, -1),
        "OFFSET_OUT_OF_RANGE",
    ),
    (
        "a negative offset",
        |wire, b| fetch(wire, b, -5, -1),
        "OFFSET_OUT_OF_RANGE",
    ),
    (
        "a gap in the sequence",
        gap_in_the_sequence,
        "NONE, then OUT_OF_ORDER_SEQUENCE_NUMBER",
    ),
    (
        "a batch sent twice",
        batch_sent_twice,
        "NONE, then NONE at the same offset",
    ),
    (
        "a topic that exists",
        |wire, _| create(wire, topic(TOPIC, 1, 1)),
        "TOPIC_ALREADY_EXISTS",
    ),
    (
        "a topic name with a slash",
        |wire, _| create(wire, topic("a/b", 1, 1)),
        "INVALID_TOPIC_EXCEPTION",
    ),
    (
        "a topic name of 250 letters",
        |wire, _| create(wire, topic(&"a".repeat(250), 1, 1)),
        "INVALID_TOPIC_EXCEPTION",
    ),
    (
        "no partitions",
        |wire, _| create(wire, topic("none", 0, 1)),
        "INVALID_PARTITIONS",
    ),
    (
        "more replicas than brokers",
        |wire, _| create(wire, topic("three", 1, 3)),
        "INVALID_REPLICATION_FACTOR",
    ),
    ("an unknown topic config", unknown_config, "INVALID_CONFIG"),
    (
        "fewer partitions than there are",
        fewer_partitions,
        "INVALID_PARTITIONS",
    ),
];

#[test]
fn apache_kafka() -> Result<()> {
    scenario(JvmKafka::new(&[])?)
}

#[test]
fn ottla() -> Result<()> {
    scenario(OttlaBroker::new(&[])?)
}

/// Where the cases are tried.
struct Broker {
    topic_id: Uuid,
}

fn scenario(mut cluster: impl Cluster) -> Result<()> {
    cluster.start()?;
    let address = cluster.bootstrap();
    let mut wire = Wire::connect(&address)?;
    ensure!(create(&mut wire, topic(TOPIC, 1, 1))? == "NONE");
    let broker = Broker {
        topic_id: until("the topic to be served", Duration::from_secs(30), || {
            topic_id(&mut wire)
        })?,
    };
    // Metadata may name a leader a moment before it leads.
    until(
        "the first records to be taken",
        Duration::from_secs(30),
        || {
            let outcome = produce(&mut wire, batch(10))?;
            ensure!(
                ["NONE", "NOT_LEADER_OR_FOLLOWER"].contains(&outcome.as_str()),
                "{outcome}"
            );
            Ok((outcome == "NONE").then_some(()))
        },
    )?;

    let mut faults = Vec::new();
    let mut acknowledged = 10;
    for (name, case, expected) in CASES {
        let outcome = Wire::connect(&address)
            .and_then(|mut wire| case(&mut wire, &broker))
            .unwrap_or_else(|error| format!("{error:#}"));
        if outcome != *expected {
            faults.push(format!("{name}: {outcome}, expected {expected}"));
        }
        acknowledged += outcome.matches("NONE").count() - outcome.matches("same offset").count();
        ensure!(answers(&address), "the broker is gone after {name}");
    }
    let mut wire = Wire::connect(&address)?;
    let end = high_watermark(&mut wire, &broker)?;
    if end != acknowledged as i64 {
        faults.push(format!(
            "{acknowledged} records were acknowledged, the log ends at {end}"
        ));
    }
    // A restart elects the leader anew: who read in an earlier epoch has to learn of it.
    cluster.stop()?;
    cluster.start()?;
    let mut wire = Wire::connect(&cluster.bootstrap())?;
    until("the topic to be led again", Duration::from_secs(30), || {
        topic_id(&mut wire)
    })?;
    let stale = until(
        "the partition to be hosted",
        Duration::from_secs(30),
        || {
            let outcome = fetch(&mut wire, &broker, 0, 0)?;
            Ok((outcome != "NOT_LEADER_OR_FOLLOWER").then_some(outcome))
        },
    )?;
    if stale != "FENCED_LEADER_EPOCH" {
        faults.push(format!("a stale leader epoch: {stale}"));
    }
    let kept = high_watermark(&mut wire, &broker)?;
    if kept != end {
        faults.push(format!("the log ended at {end}, after a restart at {kept}"));
    }
    ensure!(
        faults.is_empty(),
        "{}:\n{}",
        cluster.name(),
        faults.join("\n")
    );
    cluster.stop()
}

// --- bytes that are no request

fn text(wire: &mut Wire, _: &Broker) -> Result<String> {
    raw(wire, b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n")
}

fn raw(wire: &mut Wire, bytes: &[u8]) -> Result<String> {
    wire.send_raw(bytes)?;
    Ok(match wire.receive()? {
        None => "closed".to_owned(),
        Some(frame) => format!("an answer: {:?}", &frame[..frame.len().min(40)]),
    })
}

/// A request with header version 1 (no client id) and this body.
fn request_head(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(7i32.to_be_bytes());
    bytes.extend((-1i16).to_be_bytes());
    bytes.extend(body);
    let mut framed = (bytes.len() as i32).to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

fn more_topics_than_bytes(wire: &mut Wire, _: &Broker) -> Result<String> {
    raw(wire, &request_head(3, 1, &i32::MAX.to_be_bytes()))
}

/// Metadata 0 has no way to say "all" by null.
fn null_array(wire: &mut Wire, _: &Broker) -> Result<String> {
    raw(wire, &request_head(3, 0, &(-1i32).to_be_bytes()))
}

fn api_versions_of_tomorrow(wire: &mut Wire, _: &Broker) -> Result<String> {
    wire.send_raw(&request_head(18, 99, &[0, 0, 0, 0]))?;
    let frame = wire.receive()?.context("closed")?;
    let mut reader = Reader::new(frame);
    ensure!(reader.i32()? == 7, "the answer is to another request");
    let response = ApiVersionsResponse::decode(&mut reader, 0)?;
    let has_own = |key: &ApiKey| {
        response
            .api_keys
            .iter()
            .any(|api| api.api_key == *key as i16)
    };
    let versions = if has_own(&ApiKey::ApiVersions) {
        "with our versions"
    } else {
        "without our versions"
    };
    Ok(format!("{}, {versions}", name_of(response.error_code)))
}

// --- batches

fn batch(records: usize) -> Vec<u8> {
    built(BatchOptions::default(), records, 20)
}

fn sized_batch(value_bytes: usize) -> Vec<u8> {
    built(BatchOptions::default(), 1, value_bytes)
}

fn built(options: BatchOptions, records: usize, value_bytes: usize) -> Vec<u8> {
    // Of now: what is older than retention.ms goes at the first look after a restart.
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let mut builder = BatchBuilder::new(options);
    for _ in 0..records {
        builder
            .append(
                now.as_millis() as i64,
                Some(b"key"),
                Some(&vec![b'v'; value_bytes]),
                [],
            )
            .expect("a small record fits");
    }
    builder.build().expect("the batch has records").to_vec()
}

/// A batch whose bytes were changed after it was sealed.
fn damaged(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = batch(1);
    change(&mut bytes);
    bytes
}

/// A batch whose header says something else, with a checksum that fits.
fn resealed(change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let bytes = batch(1);
    let mut header = BatchHeader::parse(&bytes).expect("we built it");
    change(&mut header);
    header.seal(&bytes[HEADER_LEN..]);
    [header.encode().as_slice(), &bytes[HEADER_LEN..]].concat()
}

fn produce(wire: &mut Wire, batch: Vec<u8>) -> Result<String> {
    produce_with(wire, 0, -1, batch).map(|(code, _)| code)
}

fn produce_with(wire: &mut Wire, index: i32, acks: i16, batch: Vec<u8>) -> Result<(String, i64)> {
    let request = ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(Records::Bytes(Bytes::from(batch))),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let response = wire.ask(9, &request)?;
    let partition = &response.responses[0].partition_responses[0];
    Ok((name_of(partition.error_code), partition.base_offset))
}

fn acks_of_five(wire: &mut Wire, _: &Broker) -> Result<String> {
    produce_with(wire, 0, 5, batch(1)).map(|(code, _)| code)
}

fn partition_not_there(wire: &mut Wire, _: &Broker) -> Result<String> {
    produce_with(wire, 99, -1, batch(1)).map(|(code, _)| code)
}

fn gap_in_the_sequence(wire: &mut Wire, _: &Broker) -> Result<String> {
    let id = producer_id(wire)?;
    let (first, _) = produce_with(wire, 0, -1, numbered(id, 0))?;
    let (second, _) = produce_with(wire, 0, -1, numbered(id, 5))?;
    Ok(format!("{first}, then {second}"))
}

fn batch_sent_twice(wire: &mut Wire, _: &Broker) -> Result<String> {
    let id = producer_id(wire)?;
    let (first, at) = produce_with(wire, 0, -1, numbered(id, 0))?;
    let (second, again) = produce_with(wire, 0, -1, numbered(id, 0))?;
    let place = if at == again {
        "the same offset"
    } else {
        "another offset"
    };
    Ok(format!("{first}, then {second} at {place}"))
}

/// One record with a sequence number.
fn numbered(id: i64, base_sequence: i32) -> Vec<u8> {
    let options = BatchOptions {
        producer: Some(Producer {
            id,
            epoch: 0,
            base_sequence,
        }),
        ..BatchOptions::default()
    };
    built(options, 1, 20)
}

fn producer_id(wire: &mut Wire) -> Result<i64> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    // The first id of a cluster may have to be fetched from the controller.
    until("a producer id", Duration::from_secs(30), || {
        let response = wire.ask(4, &request)?;
        Ok((response.error_code == ErrorCode::NONE).then_some(response.producer_id))
    })
}

// --- other requests

fn unknown_topic_id(wire: &mut Wire, _: &Broker) -> Result<String> {
    let nobody = Broker {
        topic_id: Uuid::from_random_bits(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
    };
    fetch(wire, &nobody, 0, -1)
}

fn fetch(wire: &mut Wire, broker: &Broker, offset: i64, epoch: i32) -> Result<String> {
    let response = wire.ask(13, &fetch_request(broker, offset, epoch))?;
    if response.error_code != ErrorCode::NONE {
        return Ok(name_of(response.error_code));
    }
    Ok(name_of(response.responses[0].partitions[0].error_code))
}

fn high_watermark(wire: &mut Wire, broker: &Broker) -> Result<i64> {
    let response = wire.ask(13, &fetch_request(broker, 0, -1))?;
    let partition = &response.responses[0].partitions[0];
    ensure!(
        partition.error_code == ErrorCode::NONE,
        "the end of the log: {}",
        partition.error_code
    );
    Ok(partition.high_watermark)
}

fn fetch_request(broker: &Broker, offset: i64, epoch: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 100,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic_id: broker.topic_id,
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                current_leader_epoch: epoch,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

fn topic_id(wire: &mut Wire) -> Result<Option<Uuid>> {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(TOPIC.into()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let response = wire.ask(10, &request)?;
    let topic = &response.topics[0];
    let is_led = topic.partitions.first().is_some_and(|p| p.leader_id >= 0);
    Ok((topic.error_code == ErrorCode::NONE && is_led).then_some(topic.topic_id))
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn create(wire: &mut Wire, topic: CreatableTopic) -> Result<String> {
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    };
    let response = wire.ask(5, &request)?;
    Ok(name_of(response.topics[0].error_code))
}

fn unknown_config(wire: &mut Wire, _: &Broker) -> Result<String> {
    let mut topic = topic("typo", 1, 1);
    topic.configs = vec![CreatableTopicConfig {
        name: "retention.msec".into(),
        value: Some("1".into()),
        ..CreatableTopicConfig::default()
    }];
    create(wire, topic)
}

fn fewer_partitions(wire: &mut Wire, _: &Broker) -> Result<String> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: TOPIC.into(),
            count: 1,
            ..CreatePartitionsTopic::default()
        }],
        timeout_ms: 10_000,
        ..CreatePartitionsRequest::default()
    };
    let response = wire.ask(2, &request)?;
    Ok(name_of(response.results[0].error_code))
}

fn name_of(code: ErrorCode) -> String {
    code.name()
        .map_or_else(|| format!("error {}", code.0), str::to_owned)
}
