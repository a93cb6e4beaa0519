//! The table of settings against Kafka's own definitions. Goal: no key of Kafka 4.3.1 is missing and no fact of a row
//! differs; a value, and a whole `server.properties`, is taken or refused by both.
//! Method: `jvm/SettingsFacts.java` prints what the published `ConfigDef`s say and judges values and files.
//! Needs: jvm.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use ottla_settings::table::{DefaultValue, Importance, Update, all};
use ottla_settings::{BrokerConfig, Kind, Properties, Scope, Setting, Status, Value};

fn facts(arguments: &[&str], input: String) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/jvm/SettingsFacts.java");
    let classpath = ottla_e2e::kafka_classpath().expect("the test runner provides Kafka's classes");
    let mut java = ottla_e2e::java(&classpath)
        .arg(source)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("java is installed");
    let mut stdin = java.stdin.take().expect("piped");
    // Written beside the reading: neither side may wait for a full pipe.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = java.wait_with_output().expect("java ends");
    assert!(output.status.success(), "java failed");
    writer
        .join()
        .expect("the writer ends")
        .expect("java reads its input");
    String::from_utf8(output.stdout).expect("Java prints UTF-8")
}

/// A row in the oracle's words.
fn line(setting: &Setting) -> String {
    let scope = match (setting.scope, setting.update) {
        (Scope::Broker, Update::DynamicOnly) => "broker-dynamic-only",
        (Scope::Broker, _) => "broker",
        (Scope::Topic, _) => "topic",
        (Scope::Group, _) => "group",
    };
    let default = match setting.default {
        DefaultValue::Required => "\0",
        DefaultValue::Null => "\u{1}",
        DefaultValue::Text(text) => text,
    };
    let importance = match setting.importance {
        Importance::High => "HIGH",
        Importance::Medium => "MEDIUM",
        Importance::Low => "LOW",
    };
    let mode = if setting.scope == Scope::Broker {
        setting.update.name()
    } else {
        ""
    };
    let synonyms = if setting.scope == Scope::Broker {
        String::new()
    } else {
        setting.synonyms.join(",")
    };
    let kind = setting.kind.name().to_uppercase();
    [
        scope,
        setting.name,
        &kind,
        default,
        importance,
        &setting.internal.to_string(),
        mode,
        &synonyms,
    ]
    .join("\t")
}

#[test]
fn every_key_of_kafka_is_a_row_with_kafkas_facts() {
    let theirs: BTreeMap<String, String> = facts(&[], String::new())
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            let [
                scope,
                name,
                kind,
                default,
                importance,
                internal,
                _validator,
                mode,
                synonyms,
            ] = fields[..]
            else {
                panic!("{line}")
            };
            // Broker synonyms are compared by what they do, in the crate's own tests.
            let synonyms = if scope.starts_with("broker") {
                ""
            } else {
                synonyms
            };
            let row = [
                scope, name, kind, default, importance, internal, mode, synonyms,
            ]
            .join("\t");
            (format!("{scope}\t{name}"), row)
        })
        .collect();
    assert_eq!(
        theirs
            .keys()
            .filter(|key| key.starts_with("broker\t"))
            .count(),
        360
    );
    assert_eq!(
        theirs
            .keys()
            .filter(|key| key.starts_with("topic\t"))
            .count(),
        34
    );
    let ours: BTreeMap<String, String> = all()
        .filter(|setting| setting.since != Some("ottla"))
        .map(|setting| {
            let line = line(setting);
            (
                line.split('\t').take(2).collect::<Vec<_>>().join("\t"),
                line,
            )
        })
        .collect();
    for (key, theirs) in &theirs {
        assert_eq!(ours.get(key), Some(theirs), "{key}");
    }
    assert_eq!(ours.len(), theirs.len(), "keys that Kafka does not have");
}

#[test]
fn values_are_taken_and_refused_as_by_kafka() {
    const CANDIDATES: &[&str] = &[
        "",
        " ",
        "0",
        "1",
        "-1",
        "-2",
        "-3",
        "5",
        " 7 ",
        "+8",
        "10",
        "17",
        "18",
        "22",
        "23",
        "99",
        "100",
        "500",
        "501",
        "1000",
        "1023",
        "1024",
        "1999",
        "2000",
        "4001",
        "10001",
        "524287",
        "524288",
        "1048575",
        "1048576",
        "8388608",
        "32768",
        "2147483647",
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "0.5",
        "0.51",
        "1.0",
        "1.01",
        "1e3",
        "NaN",
        "Infinity",
        "inf",
        "0x10",
        "5d",
        "true",
        "TRUE",
        "yes",
        "a",
        "A",
        "a,b",
        "a,a",
        "a,,b",
        ",",
        " a , b ",
        "*",
        "*,0:1",
        "0:1,0:1",
        "0:1,2:3",
        "1:x",
        "delete",
        "compact,delete",
        "producer",
        "uncompressed",
        "none",
        "gzip",
        "CreateTime",
        "createtime",
        "PLAINTEXT",
        "plaintext",
        "required",
        "broker",
        "controller,broker",
        "classic,consumer",
        "1@h:1",
        "1@h:1,2@h:2",
        "x@h:1",
        "h:1",
        "h:70000",
        "[::1]:9093",
        "h:1,g:2",
        "upgrade",
        "UPGRADE",
        "es256",
        "latest",
        "earliest",
        "by_duration:PT1H",
        "by_duration:P1DT2H",
        "by_duration:1h",
        "by_duration:PT0S",
        "by_duration:-PT1H",
        "by_duration:PT1.5S",
        "read_committed",
    ];
    let cases: Vec<_> = all()
        .filter(|setting| setting.since != Some("ottla") && setting.update != Update::DynamicOnly)
        // Kafka loads the class.
        .filter(|setting| setting.kind != Kind::Class)
        .flat_map(|setting| CANDIDATES.iter().map(move |text| (setting, *text)))
        .collect();
    let input: String = cases
        .iter()
        .map(|(setting, text)| {
            let scope = format!("{:?}", setting.scope).to_lowercase();
            format!("{scope}\t{}\t{text}\n", setting.name)
        })
        .collect();
    let answers = facts(&["check"], input);
    let mut differences = Vec::new();
    for ((setting, text), theirs) in cases.iter().zip(answers.lines()) {
        let ours =
            Value::parse(setting.kind, text).is_ok_and(|value| setting.valid.check(&value).is_ok());
        if ours != (theirs == "ok") {
            differences.push(format!("{}={text:?}: Kafka says {theirs}", setting.name));
        }
    }
    assert_eq!(answers.lines().count(), cases.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const COMBINED: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
controller.listener.names=CONTROLLER
";
const BROKER: &str = "\
process.roles=broker
node.id=2
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092
controller.listener.names=CONTROLLER
";
const CONTROLLER: &str = "\
process.roles=controller
node.id=3
controller.quorum.bootstrap.servers=localhost:9093
listeners=CONTROLLER://:9093
controller.listener.names=CONTROLLER
";

#[test]
fn files_are_taken_and_refused_as_by_kafka() {
    // Two known differences: names count in upper case here, also where Kafka compares them as written; and Kafka
    // takes broker.heartbeat.interval.ms=0.
    let changes = [
        "",
        "broker.id=1",
        "broker.id=2",
        "broker.id=3",
        "node.id=-1",
        "node.id=x",
        "process.roles=",
        "process.roles=observer",
        "listeners=",
        "listeners=PLAINTEXT://:9092",
        "listeners=A://:1,A://:2",
        "listeners=PLAINTEXT://:9092,CONTROLLER://:9092",
        "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://[::1]:9092",
        "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093",
        "listeners=PLAINTEXT://:0,CONTROLLER://:0",
        "listeners=CONTROLLER://:9093",
        "listeners=CONTROLLER://0.0.0.0:9093",
        "listeners=plaintext://:9092,controller://:9093",
        "listeners=PLAINTEXT//:9092",
        "listeners=PLAINTEXT://h",
        "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
        "advertised.listeners=PLAINTEXT://host:9092",
        "advertised.listeners=OTHER://host:9092",
        "advertised.listeners=CONTROLLER://host:9093",
        "advertised.listeners=PLAINTEXT://host:1,CONTROLLER://host:1",
        "advertised.listeners=",
        "controller.listener.names=",
        "controller.listener.names=PLAINTEXT",
        "controller.listener.names=CONTROLLER,OTHER",
        "controller.listener.names=CONTROLLER,CONTROLLER",
        "controller.quorum.voters=",
        "controller.quorum.voters=9@localhost:9093",
        "controller.quorum.voters=2@localhost:9093",
        "controller.quorum.voters=1@localhost:9093,2@localhost:9094",
        "controller.quorum.bootstrap.servers=",
        "controller.quorum.bootstrap.servers=localhost",
        "inter.broker.listener.name=PLAINTEXT",
        "inter.broker.listener.name=CONTROLLER",
        "inter.broker.listener.name=OTHER",
        "inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.security.protocol.map=plaintext:plaintext,controller:plaintext",
        "listener.security.protocol.map=X",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:TLS",
        "listeners=A://:9092,CONTROLLER://:9093\nlistener.security.protocol.map=A:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners=A://:9092,CONTROLLER://:9093\nlistener.security.protocol.map=A:PLAINTEXT,CONTROLLER:PLAINTEXT\ninter.broker.listener.name=A",
        "listeners=A://:9092\nlistener.security.protocol.map=A:PLAINTEXT,CONTROLLER:PLAINTEXT\ninter.broker.listener.name=a",
        "security.inter.broker.protocol=SSL",
        "ssl.client.auth=maybe",
        "listeners=SSL://:9092,CONTROLLER://:9093\nsecurity.inter.broker.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location=/k",
        "listeners=SSL://:9092,CONTROLLER://:9093\nsecurity.inter.broker.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location=/k\n\
         listener.security.protocol.map=SSL:SSL,CONTROLLER:SSL",
        "listeners=A://:9092,CONTROLLER://:9093\ninter.broker.listener.name=A\nlistener.security.protocol.map=A:SSL,CONTROLLER:PLAINTEXT\n\
         listener.name.a.ssl.keystore.type=PEM\nlistener.name.a.ssl.keystore.location=/k",
        "log.dirs=",
        "log.dirs=/a,/b",
        "log.dirs=/a,/a",
        "metadata.log.dir=/m",
        "log.retention.ms=0",
        "log.retention.ms=-1",
        "log.retention.ms=-5",
        "log.retention.hours=0",
        "log.retention.hours=-1",
        "log.retention.minutes=0",
        "log.roll.ms=0",
        "log.roll.ms=-1",
        "log.roll.jitter.ms=-1",
        "queued.max.request.bytes=1",
        "queued.max.request.bytes=0",
        "queued.max.request.bytes=104857600",
        "max.connections.per.ip=0",
        "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5",
        "max.connections.per.ip.overrides=127.0.0.1",
        "max.connections.per.ip.overrides=127.0.0.1:x",
        "offsets.topic.compression.codec=7",
        "offsets.topic.compression.codec=2",
        "group.min.session.timeout.ms=10\ngroup.max.session.timeout.ms=5",
        "broker.heartbeat.interval.ms=9000",
        "broker.session.timeout.ms=1000",
        "connections.max.idle.ms=50",
        "connections.max.idle.ms=-1",
        "connections.max.idle.ms=100",
        "log.cleaner.dedupe.buffer.size=1048576",
        "log.cleaner.dedupe.buffer.size=1048577",
        "log.cleaner.threads=200",
        "replica.fetch.wait.max.ms=40000",
        "replica.fetch.wait.max.ms=30001",
        "replica.lag.time.max.ms=400",
        "replica.socket.timeout.ms=400",
        "message.max.bytes=-1",
        "num.partitions=0",
        "compression.type=none",
        "unknown.key=1",
        "zookeeper.connect=localhost:2181",
        "group.consumer.min.session.timeout.ms=70000",
        "group.consumer.heartbeat.interval.ms=50000",
        "group.consumer.max.heartbeat.interval.ms=1",
        "group.share.max.record.lock.duration.ms=30000",
        "group.share.min.record.lock.duration.ms=30000\ngroup.share.record.lock.duration.ms=20000",
        "log.message.timestamp.type=x",
        "log.segment.bytes=100",
        "default.replication.factor=0",
        "min.insync.replicas=0",
        "log.index.size.max.bytes=3",
        "transaction.max.timeout.ms=0",
        "early.start.listeners=PLAINTEXT",
        "early.start.listeners=OTHER",
        "cordoned.log.dirs=/a",
        "cordoned.log.dirs=*",
        "log.cleanup.policy=",
        "group.coordinator.rebalance.protocols=consumer",
        "num.replica.fetchers=0",
    ];
    let files: Vec<String> = [COMBINED, BROKER, CONTROLLER]
        .iter()
        .flat_map(|base| {
            changes
                .iter()
                .map(move |change| format!("{base}{change}\n"))
        })
        .collect();
    let answers = facts(
        &["start"],
        files.iter().map(|file| format!("{file}----\n")).collect(),
    );
    let mut differences = Vec::new();
    for (file, theirs) in files.iter().zip(answers.lines()) {
        let ours = Properties::parse(file).expect("all files are well formed");
        let ours = BrokerConfig::from_properties(&ours)
            .map(drop)
            .map_err(|faults| faults.to_string());
        if ours.is_ok() != (theirs == "ok") {
            let lines: Vec<_> = file.lines().collect();
            differences.push(format!(
                "{} + {:?}\n  ours: {ours:?}\n  Kafka: {theirs}",
                lines[0],
                &lines[5..]
            ));
        }
    }
    assert_eq!(answers.lines().count(), files.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_is_refused_is_a_fact_about_ottla_only() {
    // A refused key takes its default, or every JVM cluster's file would have to be edited.
    for setting in all().filter(|setting| matches!(setting.status, Status::Refused(_))) {
        let Some(default) = setting.default.text() else {
            continue;
        };
        let file = format!("{COMBINED}{}={default}\n", setting.name);
        let ours = Properties::parse(&file).expect("well formed");
        if let Err(faults) = BrokerConfig::from_properties(&ours) {
            assert!(setting.scope != Scope::Broker, "{}: {faults}", setting.name);
        }
    }
}
