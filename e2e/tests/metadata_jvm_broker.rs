//! An Apache Kafka broker under our controller. Goal: a JVM broker joins a quorum that Ottla leads as it
//! would join its own: it registers, follows the metadata log, is unfenced, leads partitions, stops in a
//! controlled way, and is fenced when it dies.
//! Method: one Ottla node (broker and controller) and one JVM node that is only a broker; topics spread
//! over both are filled and read through the JVM tools; the JVM node's copy of the metadata log is
//! compared with ours byte by byte. Requests that brokers pass on are sent to each broker by hand.
//! Needs: jvm.

use anyhow::{Context, Result, ensure};
use ottla_e2e::{
    Cluster, JAVA_OPTIONS, OttlaBroker, Running, Wire, answers, free_ports, kafka_classpath, until,
};
use ottla_protocol::messages::add_raft_voter_request::AddRaftVoterRequest;
use ottla_protocol::messages::alter_client_quotas_request::AlterClientQuotasRequest;
use ottla_protocol::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
use ottla_protocol::messages::alter_user_scram_credentials_request::AlterUserScramCredentialsRequest;
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::create_acls_request::CreateAclsRequest;
use ottla_protocol::messages::delete_acls_request::DeleteAclsRequest;
use ottla_protocol::messages::elect_leaders_request::ElectLeadersRequest;
use ottla_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_protocol::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use ottla_protocol::{ApiKey, ErrorCode, Request, frame};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

struct JvmBroker {
    dir: PathBuf,
    address: String,
}

impl JvmBroker {
    /// A node 2 that is only a broker, formatted for the cluster.
    fn new(dir: &Path, cluster_id: &str, controller: &str) -> Result<Self> {
        let port = free_ports(1)?[0];
        let properties = format!(
            "process.roles=broker\nnode.id=2\nlisteners=PLAINTEXT://127.0.0.1:{port}\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.quorum.bootstrap.servers={controller}\nlog.dirs={}\noffsets.topic.replication.factor=1\n",
            dir.join("data").display()
        );
        fs::write(dir.join("server.properties"), properties)?;
        let broker = Self {
            dir: dir.to_owned(),
            address: format!("127.0.0.1:{port}"),
        };
        let format = broker
            .java()?
            .args(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"])
            .arg(dir.join("server.properties"))
            .output()?;
        ensure!(
            format.status.success(),
            "{}",
            String::from_utf8_lossy(&format.stderr)
        );
        Ok(broker)
    }

    fn java(&self) -> Result<Command> {
        let mut java = Command::new("java");
        java.args(JAVA_OPTIONS).args(["-cp", &kafka_classpath()?]);
        Ok(java)
    }

    fn start(&self) -> Result<Running> {
        let log = self.dir.join("kafka.log");
        let mut running = Running::start(
            "Apache Kafka broker",
            self.java()?
                .arg("kafka.Kafka")
                .arg(self.dir.join("server.properties")),
            &log,
        )?;
        until("the JVM broker to serve", START_LIMIT, || {
            running.expect_alive()?;
            Ok(answers(&self.address).then_some(()))
        })?;
        Ok(running)
    }
}

fn tool(class: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut java = ottla_e2e::java(&kafka_classpath()?)
        .arg(class)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    java.stdin
        .take()
        .context("piped")?
        .write_all(input.as_bytes())?;
    let output = java.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{class} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn describe(bootstrap: &str) -> Result<String> {
    tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            bootstrap,
            "--describe",
            "--topic",
            "spread",
        ],
        "",
    )
}

/// What TopicCommand asks a broker of its choice (API 46); each is asked here, before it has passed on
/// anything, when a JVM broker does not know yet what its controller serves.
fn nothing_is_reassigned(broker: &str) -> Result<()> {
    let all = ListPartitionReassignmentsRequest {
        timeout_ms: 10_000,
        topics: None,
        ..Default::default()
    };
    let response = Wire::connect(broker)?.ask(0, &all)?;
    ensure!(
        response.error_code == ErrorCode::NONE && response.topics.is_empty(),
        "{broker}: {response:?}"
    );
    Ok(())
}

/// A request that our controller does not serve: a JVM broker that passes it on learns so, closes its
/// client's connection, and no longer advertises the API. The client then knows that it is unsupported.
fn is_known_to_be_unserved<R: Request>(jvm: &str, request: &R) -> Result<()> {
    let version = *R::KEY.valid_versions().end();
    let mut wire = Wire::connect(jvm)?;
    let asked = frame::encode_request(R::KEY, version, 1, Some("wire".into()), request)?;
    wire.send_raw(&asked.into_bytes())?;
    let answer = wire.receive()?;
    ensure!(answer.is_none(), "{}: {answer:?}", R::KEY.name());
    let advertised = Wire::connect(jvm)?.ask(
        3,
        &ApiVersionsRequest {
            client_software_name: "wire".into(),
            client_software_version: "1".into(),
            ..Default::default()
        },
    )?;
    let keys: Vec<i16> = advertised.api_keys.iter().map(|api| api.api_key).collect();
    ensure!(
        !keys.contains(&(R::KEY as i16))
            && keys.contains(&(ApiKey::ListPartitionReassignments as i16)),
        "{}: {keys:?}",
        R::KEY.name()
    );
    Ok(())
}

#[test]
fn a_jvm_broker_lives_under_our_controller() -> Result<()> {
    let mut ottla = OttlaBroker::new(&[
        ("broker.session.timeout.ms", "4000"),
        ("broker.heartbeat.interval.ms", "500"),
    ])?;
    ottla.start()?;
    let home = ottla
        .data()
        .parent()
        .context("the data directory has a parent")?
        .to_owned();
    let property = |file: &Path, key: &str| -> Result<String> {
        let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .with_context(|| format!("no {key}"))?
            .to_owned())
    };
    let controller = property(
        &home.join("server.properties"),
        "controller.quorum.bootstrap.servers",
    )?;
    let cluster_id = property(&ottla.data().join("meta.properties.ottla"), "cluster.id")?;

    let dir = tempfile::tempdir()?;
    let broker = JvmBroker::new(dir.path(), &cluster_id, &controller)?;
    let mut running = broker.start()?;
    let bootstrap = ottla.bootstrap();
    nothing_is_reassigned(&broker.address)?;
    nothing_is_reassigned(&bootstrap)?;
    is_known_to_be_unserved(&broker.address, &ElectLeadersRequest::default())?;
    is_known_to_be_unserved(
        &broker.address,
        &AlterPartitionReassignmentsRequest::default(),
    )?;
    is_known_to_be_unserved(&broker.address, &AlterClientQuotasRequest::default())?;
    is_known_to_be_unserved(
        &broker.address,
        &AlterUserScramCredentialsRequest::default(),
    )?;
    is_known_to_be_unserved(&broker.address, &CreateAclsRequest::default())?;
    is_known_to_be_unserved(&broker.address, &DeleteAclsRequest::default())?;
    is_known_to_be_unserved(&broker.address, &AddRaftVoterRequest::default())?;
    is_known_to_be_unserved(&broker.address, &RemoveRaftVoterRequest::default())?;
    tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            &broker.address,
            "--create",
            "--topic",
            "spread",
            "--partitions",
            "4",
        ],
        "",
    )?;
    let spread = describe(&bootstrap)?;
    ensure!(
        spread.matches("Leader: 1").count() == 2 && spread.matches("Leader: 2").count() == 2,
        "{spread}"
    );

    let records: Vec<String> = (0..200).map(|n| format!("record-{n}")).collect();
    let all = ["--bootstrap-server", &broker.address, "--topic", "spread"];
    tool(
        "org.apache.kafka.tools.ConsoleProducer",
        &all,
        &(records.join("\n") + "\n"),
    )?;
    let mut read: Vec<String> = tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            &all[..],
            &[
                "--from-beginning",
                "--max-messages",
                "200",
                "--timeout-ms",
                "30000",
            ],
        ]
        .concat(),
        "",
    )?
    .lines()
    .map(str::to_owned)
    .collect();
    let mut expected = records;
    read.sort();
    expected.sort();
    assert_eq!(read, expected);

    let quorum = tool(
        "org.apache.kafka.tools.MetadataQuorumCommand",
        &[
            "--bootstrap-server",
            &broker.address,
            "describe",
            "--replication",
        ],
        "",
    )?;
    ensure!(
        quorum
            .lines()
            .any(|line| line.starts_with('2') && line.contains("Observer")),
        "{quorum}"
    );

    // A controlled stop: its partitions lose their leader (they have no other replica) and nothing else.
    running.stop(STOP_LIMIT)?;
    let stopped = describe(&bootstrap)?;
    ensure!(
        stopped.matches("Leader: none").count() == 2 && stopped.matches("Leader: 1").count() == 2,
        "{stopped}"
    );

    // Back, and killed: fenced when its session is over.
    let mut running = broker.start()?;
    until("the JVM broker to lead again", START_LIMIT, || {
        Ok((describe(&bootstrap)?.matches("Leader: 2").count() == 2).then_some(()))
    })?;
    running.kill()?;
    until("the killed broker to be fenced", START_LIMIT, || {
        Ok((describe(&bootstrap)?.matches("Leader: none").count() == 2).then_some(()))
    })?;
    ottla.stop()?;

    // What the JVM node wrote down of the metadata log is what we wrote.
    let log = |data: &Path| fs::read(data.join("__cluster_metadata-0/00000000000000000000.log"));
    let (ours, theirs) = (log(&ottla.data())?, log(&dir.path().join("data"))?);
    ensure!(
        !theirs.is_empty() && ours.starts_with(&theirs),
        "the JVM broker's metadata log ({} bytes) is no beginning of ours ({})",
        theirs.len(),
        ours.len()
    );
    Ok(())
}
