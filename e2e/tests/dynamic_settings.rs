//! Goal: a broker key that is changed while the broker runs takes effect, and DescribeConfigs says where the value
//! comes from, as in Apache Kafka; what would not take effect is refused by name.
//! Method: one script of raw requests on Apache Kafka and on Ottla gives the same transcript; each change is waited for
//! by what it does (a batch that becomes too large, records that go), not by what is told of it. What only Ottla
//! refuses, and the restart, follow on Ottla alone.
//! Needs: jvm.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Cluster, JvmKafka, OttlaBroker, Wire, until};
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::records::{BatchBuilder, BatchOptions};
use ottla_protocol::{Bytes, ErrorCode, Records};

const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "changing";
const BROKER: i8 = 4;
const OF_TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;
/// The broker resource that stands for all brokers.
const ALL: &str = "";
const PROPERTIES: &[(&str, &str)] = &[
    ("log.retention.check.interval.ms", "200"),
    ("log.initial.task.delay.ms", "0"),
    ("log.roll.hours", "48"),
];

#[test]
fn changes_take_effect_as_in_apache_kafka() -> Result<()> {
    let mut ottla = OttlaBroker::new(PROPERTIES)?;
    ottla.start()?;
    let ours = script(&ottla.bootstrap())?;
    refused_or_kept(&mut ottla)?;
    ottla.stop()?;

    let mut kafka = JvmKafka::new(PROPERTIES)?;
    kafka.start()?;
    let theirs = script(&kafka.bootstrap())?;
    kafka.stop()?;
    ensure!(ours == theirs, "Ottla:\n{ours}\nApache Kafka:\n{theirs}");
    Ok(())
}

/// What is asked of both.
fn script(broker: &str) -> Result<String> {
    let mut wire = Wire::connect(broker)?;
    let mut said = String::new();
    create_topic(&mut wire)?;
    for (whose, key, value) in [
        ("1", "auto.create.topics.enable", "false"),
        (ALL, "group.max.size", "2"),
        ("1", "num.partitions", "7"),
        (ALL, "listeners", "PLAINTEXT://127.0.0.1:1"),
        (ALL, "message.max.bytes", "-1"),
        (ALL, "message.max.bytes", "many"),
    ] {
        let (code, _) = alter(&mut wire, whose, SET, key, value)?;
        writeln!(said, "set {whose:?} {key}={value}: {code}")?;
    }

    produces(&mut wire, ErrorCode::NONE)?;
    changed(&mut wire, ALL, SET, "message.max.bytes", "1000")?;
    produces(&mut wire, ErrorCode::MESSAGE_TOO_LARGE)?;
    describe(&mut wire, &mut said, BROKER, "1", "message.max.bytes")?;
    describe(&mut wire, &mut said, OF_TOPIC, TOPIC, "max.message.bytes")?;
    changed(&mut wire, "1", SET, "message.max.bytes", "5000")?;
    produces(&mut wire, ErrorCode::NONE)?;
    describe(&mut wire, &mut said, BROKER, "1", "message.max.bytes")?;
    describe(&mut wire, &mut said, BROKER, ALL, "message.max.bytes")?;
    describe(&mut wire, &mut said, OF_TOPIC, TOPIC, "max.message.bytes")?;
    changed(&mut wire, "1", DELETE, "message.max.bytes", "")?;
    produces(&mut wire, ErrorCode::MESSAGE_TOO_LARGE)?;
    changed(&mut wire, ALL, DELETE, "message.max.bytes", "")?;
    produces(&mut wire, ErrorCode::NONE)?;
    describe(&mut wire, &mut said, BROKER, "1", "message.max.bytes")?;

    // The file's hours stand under the milliseconds that are set while it runs.
    changed(&mut wire, "1", SET, "log.roll.ms", "3600000")?;
    ensure!(earliest(&mut wire)? == 0, "records went before their time");
    changed(&mut wire, ALL, SET, "log.retention.ms", "1000")?;
    until("old records to go", LIMIT, || {
        Ok((earliest(&mut wire)? > 0).then_some(()))
    })?;
    describe(&mut wire, &mut said, BROKER, "1", "log.roll.ms")?;
    describe(&mut wire, &mut said, OF_TOPIC, TOPIC, "segment.ms")?;
    describe(&mut wire, &mut said, OF_TOPIC, TOPIC, "retention.ms")?;
    Ok(said)
}

/// What is Ottla's own: refusals of what it does not serve, the limit on connections, and a restart.
fn refused_or_kept(ottla: &mut OttlaBroker) -> Result<()> {
    let address = ottla.bootstrap();
    let mut wire = Wire::connect(&address)?;
    for (whose, key, value, reason) in [
        (ALL, "num.io.threads", "16", "no effect"),
        ("1", "listeners", "PLAINTEXT://127.0.0.1:1", "and restart"),
        (ALL, "log.cleanup.policy", "compact", "nothing is compacted"),
        (ALL, "ottla.durability", "none", "one of"),
    ] {
        let (code, message) = alter(&mut wire, whose, SET, key, value)?;
        ensure!(
            code == ErrorCode::INVALID_REQUEST && message.contains(key) && message.contains(reason),
            "{key}: {code} {message}"
        );
    }

    changed(&mut wire, "1", SET, "max.connections", "1")?;
    ensure!(
        create_topic(&mut Wire::connect(&address)?).is_err(),
        "a second connection was served"
    );
    changed(&mut wire, "1", DELETE, "max.connections", "")?;
    create_topic(&mut Wire::connect(&address)?)?;

    changed(&mut wire, ALL, SET, "message.max.bytes", "1000")?;
    drop(wire);
    ottla.stop()?;
    ottla.start()?;
    let mut wire = Wire::connect(&address)?;
    ensure!(produce(&mut wire)? == ErrorCode::MESSAGE_TOO_LARGE);
    changed(&mut wire, ALL, DELETE, "message.max.bytes", "")?;
    produces(&mut wire, ErrorCode::NONE)
}

/// An existing topic is as good as a new one.
fn create_topic(wire: &mut Wire) -> Result<()> {
    let topic = CreatableTopic {
        name: TOPIC.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let code = wire.ask(7, &request)?.topics[0].error_code;
    ensure!(
        [ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS].contains(&code),
        "{code}"
    );
    Ok(())
}

fn changed(wire: &mut Wire, whose: &str, operation: i8, key: &str, value: &str) -> Result<()> {
    let (code, message) = alter(wire, whose, operation, key, value)?;
    ensure!(code == ErrorCode::NONE, "{key}={value}: {code} {message}");
    Ok(())
}

fn alter(
    wire: &mut Wire,
    whose: &str,
    operation: i8,
    key: &str,
    value: &str,
) -> Result<(ErrorCode, String)> {
    let config = AlterableConfig {
        name: key.into(),
        config_operation: operation,
        value: (operation == SET).then(|| value.into()),
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: BROKER,
            resource_name: whose.into(),
            configs: vec![config],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = wire.ask(1, &request)?.responses.remove(0);
    let message = response.error_message.map(|message| message.to_string());
    Ok((response.error_code, message.unwrap_or_default()))
}

/// One line: the value, where it comes from, and what stands under it.
fn describe(wire: &mut Wire, said: &mut String, kind: i8, name: &str, key: &str) -> Result<()> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: Some(vec![key.into()]),
            ..Default::default()
        }],
        include_synonyms: true,
        ..Default::default()
    };
    let result = wire.ask(4, &request)?.results.remove(0);
    let config = result
        .configs
        .first()
        .with_context(|| format!("no {key}"))?;
    let under: Vec<String> = config
        .synonyms
        .iter()
        .map(|under| format!("{}={:?} from {}", under.name, under.value, under.source))
        .collect();
    writeln!(
        said,
        "{name:?} {key}={:?} from {} read-only {}: {}",
        config.value,
        config.config_source,
        config.read_only,
        under.join(", ")
    )?;
    Ok(())
}

/// A batch of 2000 bytes gets this answer, soon.
fn produces(wire: &mut Wire, expected: ErrorCode) -> Result<()> {
    until(format!("a batch to get {expected}"), LIMIT, || {
        Ok((produce(wire)? == expected).then_some(()))
    })
}

fn produce(wire: &mut Wire) -> Result<ErrorCode> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let a_minute_ago = i64::try_from(now_ms)? - 60_000;
    builder.append(a_minute_ago, None, Some(&[b'v'; 2000]), [])?;
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![PartitionProduceData {
                records: Some(Records::Bytes(Bytes::from(builder.build()?.to_vec()))),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = wire.ask(9, &request)?;
    Ok(response.responses[0].partition_responses[0].error_code)
}

fn earliest(wire: &mut Wire) -> Result<i64> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: TOPIC.into(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -2,
                current_leader_epoch: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = wire.ask(5, &request)?;
    Ok(response.topics[0].partitions[0].offset)
}
