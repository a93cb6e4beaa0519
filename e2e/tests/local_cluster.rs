//! Goal: a local cluster behaves as its user expects: up twice, a changed manifest, a refused one, a broker
//! killed, its supervisor killed, a port taken, status, down, purge. Method: the `ottla` command as a user
//! types it, in an empty folder; conditions are polled with a deadline.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{User, free_ports, http_get, is_alive, until};

const LIMIT: Duration = Duration::from_secs(30);

const MANIFEST: &str = "\
apiVersion: ottla.io/v1alpha1
kind: KafkaCluster
metadata:
  name: lifecycle
spec:
  replicas: 1
  storage:
    type: persistent-claim
    size: 1Gi
  listeners:
    - name: plain
      port: 9092
      type: internal
      tls: false
---
apiVersion: ottla.io/v1alpha1
kind: KafkaTopic
metadata:
  name: words
spec:
  clusterRef:
    name: lifecycle
  partitions: 3
  replicas: 1
";

#[test]
fn a_cluster_lives_on_a_laptop() -> Result<()> {
    let user = User::new()?;
    user.writes(MANIFEST)?;
    user.brings_up()?.well("first up")?;
    ensure!(user.sees_ready()?);
    user.types_with(&["produce", "words"], "one\ntwo\nthree\n")?
        .well("produce")?;
    let up = user.brings_up()?.well("second up")?;
    let metrics = serves_metrics(&up.output)?;

    let broker = user.kills_broker()?;
    until("the killed broker to be replaced", LIMIT, || {
        let other = user.broker().ok().filter(|id| *id != broker);
        Ok(other.filter(|_| user.sees_ready().is_ok_and(|ready| ready)))
    })?;
    let status = user.types(&["status"])?.well("status")?;
    ensure!(
        serves_metrics(&status.output)? == metrics,
        "a broker that comes back serves its metrics elsewhere"
    );
    let mut lines = reads_back(&user)?;
    lines.sort();
    ensure!(
        lines == ["one", "three", "two"],
        "after the kill: {lines:?}"
    );

    user.writes(&MANIFEST.replace("partitions: 3", "partitions: 5"))?;
    user.brings_up()?.well("grown")?;
    user.writes(&MANIFEST.replace("partitions: 3", "partitions: 2"))?;
    let decrease = user.brings_up()?.differs(4, &["cannot decrease"]);
    ensure!(decrease.is_none(), "{decrease:?}");
    user.writes(&MANIFEST.replace("replicas: 1\n  storage", "replica: 1\n  storage"))?;
    let typo = user.brings_up()?.differs(2, &["did you mean"]);
    ensure!(typo.is_none(), "{typo:?}");

    user.types(&["down"])?.well("down")?;
    user.writes(&MANIFEST.replace("partitions: 3", "partitions: 5"))?;
    user.brings_up()?.well("up on kept data")?;
    ensure!(
        reads_back(&user)?.len() == 3,
        "the data is gone after down and up"
    );
    user.types(&["down", "--purge"])?.well("purge")?;
    let left = user.files()?;
    ensure!(left.is_empty(), "a purge leaves {left:?}");
    Ok(())
}

/// The port in the column `metrics` of the first broker, whose page is that of a broker that is ready.
fn serves_metrics(table: &str) -> Result<u16> {
    let header = table.lines().find(|line| line.contains("BOOTSTRAP"));
    let at = header.and_then(|header| header.find("METRICS"));
    let at = at.with_context(|| format!("no column metrics in {table}"))?;
    let rows = table.lines().skip_while(|line| !line.contains("BOOTSTRAP"));
    let cell = rows
        .filter_map(|row| row.get(at..)?.split_whitespace().next())
        .find_map(|cell| cell.strip_prefix("127.0.0.1:"));
    let port = cell
        .with_context(|| format!("no address in {table}"))?
        .parse()?;
    let answer = http_get(port, "/metrics?dialect=native")?;
    ensure!(
        answer.body.contains("\nottla_broker_ready 1\n"),
        "{}",
        answer.body
    );
    Ok(port)
}

/// The three records that were written.
fn reads_back(user: &User) -> Result<Vec<String>> {
    let read = user
        .types(&["consume", "words", "--from-beginning", "--max", "3"])?
        .well("consume")?;
    Ok(read.output.lines().map(str::to_owned).collect())
}

#[test]
fn a_killed_supervisor_takes_nothing_along() -> Result<()> {
    let user = User::new()?;
    user.writes(MANIFEST)?;
    user.brings_up()?.well("up")?;
    let broker = user.broker()?;

    user.kills_supervisor()?;
    let status = user.types(&["status"])?;
    let faults = status.differs(0, &["no supervisor watches over these", "`ottla up FILE`"]);
    ensure!(faults.is_none(), "{faults:?}");
    ensure!(user.sees_ready()?, "the broker goes on");
    let topics = user.types(&["topic", "list"])?.well("topic list")?;
    ensure!(topics.output.contains("words"), "{topics:?}");
    user.brings_up()?.well("up with a broker to adopt")?;
    ensure!(
        user.broker()? == broker,
        "an adopted broker is not restarted"
    );
    let status = user.types(&["status"])?.well("status")?;
    ensure!(!status.text.contains("no supervisor"), "{status:?}");

    // Both at once: nobody is there to bring the broker back until the next `up`.
    user.kills_supervisor()?;
    user.kills_broker()?;
    let status = user.types(&["status"])?;
    let faults = status.differs(0, &["no supervisor would bring it back"]);
    ensure!(faults.is_none(), "{faults:?}");
    ensure!(!user.sees_ready()?, "no broker runs");
    user.brings_up()?.well("up after both were killed")?;
    ensure!(user.sees_ready()?);

    user.kills_supervisor()?;
    let broker = user.broker()?;
    let down = user.types(&["down"])?.differs(0, &["lifecycle is stopped"]);
    ensure!(down.is_none(), "{down:?}");
    ensure!(!is_alive(broker), "down leaves the broker running");
    let down = user.types(&["down"])?.differs(0, &["was not running"]);
    ensure!(down.is_none(), "{down:?}");

    user.brings_up()?.well("up again")?;
    user.kills_supervisor()?;
    let broker = user.broker()?;
    user.types(&["down", "--purge"])?.well("purge")?;
    ensure!(!is_alive(broker), "a purge leaves the broker running");
    let left = user.files()?;
    ensure!(left.is_empty(), "a purge leaves {left:?}");
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_passed_over_and_said() -> Result<()> {
    let port = free_ports(1)?[0];
    let manifest = MANIFEST.replace("port: 9092", &format!("port: {port}"));
    let (first, second) = (User::new()?, User::new()?);
    first.writes(&manifest)?;
    second.writes(&manifest)?;
    let up = first.brings_up()?.well("the first")?;
    ensure!(!up.text.contains("is taken"), "{up:?}");
    let up = second.brings_up()?.well("the second")?;
    let note = format!("port {port} is taken on this machine: listener plain of broker-");
    ensure!(up.text.contains(&note), "{up:?}");
    ensure!(first.sees_ready()? && second.sees_ready()?);
    Ok(())
}
