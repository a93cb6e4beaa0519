//! Goal: the numbers on `/metrics` are the true ones, in each dialect, and the page is one that Prometheus takes.
//! Method: kcat produces and consumes known numbers of records; the page is read strictly and compared with what was
//! done, with the log's files, and one dialect with the other.
//! Needs: kcat.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Cluster, Exposition, OttlaBroker, Wire, free_ports, http_get, until};
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};

const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "counted";
const GROUP: &str = "readers \"of\" it";

#[test]
fn known_numbers_come_back_in_every_dialect() -> Result<()> {
    let port = free_ports(1)?[0];
    let address = format!("127.0.0.1:{port}");
    let mut broker = OttlaBroker::new(&[("ottla.metrics.listener", &address)])?;
    broker.start()?;
    create_topic(&broker)?;
    produce(&broker, 0, 600)?;
    produce(&broker, 1, 400)?;
    consume(&broker, 1000)?;
    // The reader's last word, its leave, is behind the end of its process.
    until("the group to be empty", LIMIT, || {
        let page = scrape(port, "")?;
        Ok((page.value("ottla_groups{state=\"Empty\"}")? == 1.0).then_some(()))
    })?;
    produce(&broker, 1, 7)?;
    refused(&broker)?;

    let page = scrape(port, "")?;
    check_traffic(&page, &broker)?;
    check_group(&page)?;
    check_requests(&page)?;
    check_the_rest(&page)?;
    check_dialects(port, &page)?;
    broker.stop()
}

fn check_traffic(page: &Exposition, broker: &OttlaBroker) -> Result<()> {
    for (sample, expected) in [
        ("ottla_topic_records_in_total{topic=\"counted\"}", 1007.0),
        ("ottla_broker_records_in_total", 1007.0),
        (
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"counted\"}",
            1007.0,
        ),
        ("kafka_server_brokertopicmetrics_messagesin_total", 1007.0),
        ("ottla_topic_records_out_total{topic=\"counted\"}", 1000.0),
        ("ottla_topic_produce_errors_total{topic=\"counted\"}", 1.0),
        (
            "kafka_server_brokertopicmetrics_failedproducerequests_total{topic=\"counted\"}",
            1.0,
        ),
        (
            "ottla_partition_log_end_offset{topic=\"counted\",partition=\"0\"}",
            600.0,
        ),
        (
            "ottla_partition_high_watermark{topic=\"counted\",partition=\"1\"}",
            407.0,
        ),
        (
            "kafka_topic_partition_current_offset{topic=\"counted\",partition=\"1\"}",
            407.0,
        ),
        (
            "kafka_topic_partition_oldest_offset{topic=\"counted\",partition=\"1\"}",
            0.0,
        ),
        (
            "kafka_log_log_logendoffset{topic=\"counted\",partition=\"1\"}",
            407.0,
        ),
        (
            "kafka_topic_partition_leader{topic=\"counted\",partition=\"1\"}",
            1.0,
        ),
        (
            "kafka_topic_partition_leader_is_preferred{topic=\"counted\",partition=\"0\"}",
            1.0,
        ),
        (
            "kafka_topic_partition_in_sync_replica{topic=\"counted\",partition=\"0\"}",
            1.0,
        ),
    ] {
        equal(page, sample, expected)?;
    }
    // Batches are stored as they came: bytes in, the log's size, and what the files hold once it is written out.
    let size = |partition: i32| {
        page.value(&format!(
            "ottla_partition_log_size_bytes{{topic=\"{TOPIC}\",partition=\"{partition}\"}}"
        ))
    };
    let stored = size(0)? + size(1)?;
    equal(
        page,
        "ottla_topic_bytes_in_total{topic=\"counted\"}",
        stored,
    )?;
    let out = page.value("ottla_topic_bytes_out_total{topic=\"counted\"}")?;
    ensure!(
        out > 0.0 && out < stored,
        "{out} of {stored} bytes were sent"
    );
    let directory = broker.data();
    let free = format!(
        "ottla_log_directory_free_bytes{{directory=\"{}\"}}",
        directory.display()
    );
    ensure!(page.value(&free)? > 0.0, "the disk is not full");
    Ok(())
}

fn check_group(page: &Exposition) -> Result<()> {
    let of = |name: &str, label: &str, rest: &str| {
        let group = GROUP.replace('"', "\\\"");
        format!("{name}{{{label}=\"{group}\"{rest}}}")
    };
    let partition = ",topic=\"counted\",partition=\"1\"";
    for (sample, expected) in [
        (of("ottla_group_members", "group", ""), 0.0),
        (
            of("ottla_group_committed_offset", "group", partition),
            400.0,
        ),
        (of("ottla_group_lag_records", "group", partition), 7.0),
        (of("ottla_group_lag_unknown_partitions", "group", ""), 0.0),
        (
            of(
                "ottla_group_topic_lag_records",
                "group",
                ",topic=\"counted\"",
            ),
            7.0,
        ),
        (
            of("kafka_consumergroup_lag", "consumergroup", partition),
            7.0,
        ),
        (
            of(
                "kafka_consumergroup_lag_sum",
                "consumergroup",
                ",topic=\"counted\"",
            ),
            7.0,
        ),
        (
            of(
                "kafka_consumergroup_current_offset",
                "consumergroup",
                partition,
            ),
            400.0,
        ),
        (
            of(
                "kafka_consumergroup_current_offset_sum",
                "consumergroup",
                ",topic=\"counted\"",
            ),
            1000.0,
        ),
        (
            "kafka_coordinator_group_groupmetadatamanager_numgroups".to_owned(),
            1.0,
        ),
        (
            "kafka_coordinator_group_groupmetadatamanager_numgroupsempty".to_owned(),
            1.0,
        ),
    ] {
        equal(page, &sample, expected)?;
    }
    Ok(())
}

fn check_requests(page: &Exposition) -> Result<()> {
    equal(page, "ottla_requests_total{api=\"CreateTopics\"}", 1.0)?;
    equal(
        page,
        "ottla_request_seconds_count{api=\"CreateTopics\"}",
        1.0,
    )?;
    equal(
        page,
        "kafka_network_requestmetrics_requestspersec{request=\"CreateTopics\"}",
        1.0,
    )?;
    let errors: Vec<_> = page.of("ottla_request_errors_total").collect();
    let of_produce = errors
        .iter()
        .filter(|(sample, _)| sample.contains("Produce"));
    ensure!(of_produce.count() == 1, "one batch was refused: {errors:?}");
    // The wire of this test and the clients that came and went.
    let accepted = page.value("ottla_connections_accepted_total{listener=\"PLAINTEXT\"}")?;
    let open = page.value("ottla_connections{listener=\"PLAINTEXT\"}")?;
    ensure!(
        accepted >= 5.0 && open < accepted,
        "{open} of {accepted} connections are open"
    );
    equal(
        page,
        "ottla_connections_broken_total{listener=\"PLAINTEXT\"}",
        0.0,
    )
}

fn check_the_rest(page: &Exposition) -> Result<()> {
    for (sample, expected) in [
        ("ottla_broker_ready", 1.0),
        ("ottla_controller_active", 1.0),
        (
            "kafka_controller_kafkacontroller_activecontrollercount",
            1.0,
        ),
        ("ottla_cluster_brokers_active", 1.0),
        ("kafka_brokers", 1.0),
        ("ottla_cluster_brokers_fenced", 0.0),
        ("ottla_cluster_topics", 2.0),
        ("ottla_topic_partitions{topic=\"counted\"}", 2.0),
        // Two of the topic and the four of __consumer_offsets.
        ("ottla_partitions_led", 6.0),
        ("kafka_server_replicamanager_leadercount", 6.0),
        ("ottla_partitions_under_replicated", 0.0),
        ("ottla_cluster_partitions_offline", 0.0),
        ("ottla_partitions_damaged", 0.0),
        ("ottla_log_directories_offline", 0.0),
        ("ottla_quorum_leader_id", 1.0),
        (
            "kafka_server_raftmetrics_current_epoch",
            page.value("ottla_quorum_epoch")?,
        ),
        ("ottla_metadata_apply_lag_records", 0.0),
        (
            "kafka_controller_kafkacontroller_lastappliedrecordlagms",
            0.0,
        ),
        (
            "ottla_quorum_high_watermark",
            page.value("ottla_quorum_log_end_offset")?,
        ),
    ] {
        equal(page, sample, expected)?;
    }
    for sample in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "ottla_commit_log_bytes",
        "ottla_disk_sync_seconds_count",
        "ottla_group_commit_bytes_count",
        "ottla_group_commit_logs_sum",
    ] {
        ensure!(page.value(sample)? > 0.0, "{sample} is 0");
    }
    Ok(())
}

fn check_dialects(port: u16, all: &Exposition) -> Result<()> {
    let native = scrape(port, "?dialect=native")?;
    ensure!(!native.names().iter().any(|name| name.starts_with("kafka_")));
    let others = scrape(port, "?dialect=strimzi,exporter")?;
    ensure!(others.names().iter().all(|name| name.starts_with("kafka_")));
    let apart = native.names().len() + others.names().len();
    ensure!(
        apart == all.names().len(),
        "{apart} names apart, {} together",
        all.names().len()
    );
    let answer = http_get(port, "/metrics?dialect=jolokia")?;
    ensure!(answer.status == 400 && answer.body.contains("native, strimzi, exporter"));
    Ok(())
}

fn equal(page: &Exposition, sample: &str, expected: f64) -> Result<()> {
    let value = page.value(sample)?;
    ensure!(value == expected, "{sample} is {value}, not {expected}");
    Ok(())
}

fn scrape(port: u16, query: &str) -> Result<Exposition> {
    let answer = http_get(port, &format!("/metrics{query}"))?;
    ensure!(answer.status == 200, "{}", answer.body);
    let head = answer.head.to_lowercase();
    ensure!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    Exposition::parse(&answer.body)
}

// ---- what is done

fn create_topic(broker: &OttlaBroker) -> Result<()> {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 2,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = Wire::connect(&broker.bootstrap())?.ask(7, &request)?;
    let code = response.topics[0].error_code;
    ensure!(code.0 == 0, "{code}");
    Ok(())
}

fn produce(broker: &OttlaBroker, partition: i32, records: usize) -> Result<()> {
    let mut kcat = Command::new("kcat")
        .args(["-b", &broker.bootstrap(), "-P", "-t", TOPIC])
        .args(["-p", &partition.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start kcat")?;
    let mut input = kcat.stdin.take().context("kcat has no input")?;
    for record in 0..records {
        writeln!(input, "record {record}")?;
    }
    drop(input);
    let status = kcat.wait()?;
    ensure!(status.success(), "kcat ended with {status}");
    Ok(())
}

fn consume(broker: &OttlaBroker, records: usize) -> Result<()> {
    let output = Command::new("kcat")
        .args(["-b", &broker.bootstrap(), "-G", GROUP, "-q", "-e"])
        .args(["-X", "auto.offset.reset=earliest", TOPIC])
        .stdin(Stdio::null())
        .output()
        .context("cannot start kcat")?;
    let seen = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    ensure!(
        output.status.success() && seen == records,
        "kcat saw {seen} of {records}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A Produce request without records.
fn refused(broker: &OttlaBroker) -> Result<()> {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![PartitionProduceData::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = Wire::connect(&broker.bootstrap())?.ask(9, &request)?;
    let code = response.responses[0].partition_responses[0].error_code;
    ensure!(code.0 != 0, "nothing to append is an error");
    Ok(())
}
