//! Goal: who uses the `ottla` command wrongly is told cause and next step, scripts can tell by the exit code
//! what happened, and nothing is left behind. Method: tables of what is typed, the code and the words; what
//! a plan refuses is refused before a folder or a process is made.

use anyhow::{Result, ensure};
use ottla_e2e::User;

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

/// What is typed, the exit code, and what must be said.
type Wrong = (&'static [&'static str], i32, &'static [&'static str]);

/// In a folder with a manifest and no cluster.
const WRONG_FROM_THE_START: &[Wrong] = &[
    (
        &["upp", "cluster.yaml"],
        2,
        &["unrecognized subcommand", "'up'"],
    ),
    (&["up", "cluster.yaml", "--detatch"], 2, &["'--detach'"]),
    (
        &["up", "nothing.yaml"],
        3,
        &["there is no file nothing.yaml", "a KafkaCluster"],
    ),
    (&["up", "."], 2, &[". is a directory", "a KafkaCluster"]),
    (
        &["up", "cluster.yaml", "--dir", "cluster.yaml"],
        2,
        &["--dir", "it is no directory"],
    ),
    (
        &["up", "cluster.yaml", "--dir", "/proc/nowhere"],
        3,
        &["cannot make /proc/nowhere/lifecycle", "--dir names another"],
    ),
    (
        &["up", "cluster.yaml", "--timeout", "5x"],
        2,
        &["use ms, s, m or h"],
    ),
    (&["plan", "-f", "nothing.yaml"], 3, &["there is no file"]),
    (&["status"], 3, &["no cluster in .ottla", "`ottla up FILE`"]),
    (&["down"], 3, &["no cluster in .ottla", "`ottla up FILE`"]),
    (&["down", "--purge"], 3, &["no cluster in .ottla"]),
    (
        &["topic", "list"],
        3,
        &["no cluster runs in .ottla", "--bootstrap-server"],
    ),
    (
        &["topic", "list", "--bootstrap-server", "127.0.0.1:1"],
        6,
        &["no broker answers at 127.0.0.1:1", "Is the address right"],
    ),
    (
        &["topic", "list", "--bootstrap-server", "127.0.0.1"],
        2,
        &["is not host:port", "localhost:9092"],
    ),
    (&["broker", "nothing"], 3, &["there is no file", "log.dirs"]),
    (&["broker", "."], 2, &["is a directory", "log.dirs"]),
    (
        &["dump-log", "nothing"],
        3,
        &["no file or directory nothing"],
    ),
];

/// In a folder whose cluster runs, with the topic `words`.
const WRONG_OF_A_CLUSTER: &[Wrong] = &[
    (
        &["topic", "describe", "nosuch"],
        3,
        &["there is no such topic", "`ottla topic list`"],
    ),
    (&["topic", "delete", "nosuch"], 3, &["does not exist"]),
    (&["topic", "create", "words"], 4, &["exists", "topic alter"]),
    (
        &["topic", "create", "words", "more"],
        7,
        &["more is created"],
    ),
    (&["topic", "create", "a/b"], 2, &["it has '/'"]),
    (
        &["topic", "alter", "words", "--partitions", "1"],
        2,
        &["has 3 partitions, 1 would not be more"],
    ),
    (
        &["consume", "nosuch", "--max", "1"],
        3,
        &["there is no such topic", "`ottla topic list`"],
    ),
    (
        &["group", "describe", "nosuch"],
        3,
        &["nosuch not found", "`ottla group list`"],
    ),
    (&["group", "delete", "nosuch"], 3, &["`ottla group list`"]),
    (&["status", "nosuch"], 3, &["there is lifecycle"]),
    (&["down", "nosuch"], 3, &["there is lifecycle"]),
];

#[test]
fn before_there_is_a_cluster() -> Result<()> {
    let user = User::new()?;
    user.writes(MANIFEST)?;
    is_told(&user, WRONG_FROM_THE_START)?;
    let left = user.files()?;
    ensure!(left.is_empty(), "wrong uses leave {left:?}");
    Ok(())
}

#[test]
fn of_a_cluster_that_runs() -> Result<()> {
    let user = User::new()?;
    user.writes(MANIFEST)?;
    user.brings_up()?.well("up")?;
    is_told(&user, WRONG_OF_A_CLUSTER)
}

fn is_told(user: &User, uses: &[Wrong]) -> Result<()> {
    let mut faults = Vec::new();
    for (arguments, code, words) in uses {
        let fault = user.types(arguments)?.differs(*code, words);
        faults.extend(fault.map(|fault| format!("{arguments:?}: {fault}")));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn what_a_plan_refuses_leaves_nothing_behind() -> Result<()> {
    let user = User::new()?;
    let wrong = MANIFEST.replace(
        "  listeners:",
        "  config:\n    num.partitons: 3\n  listeners:",
    );
    let sound = MANIFEST
        .replace("lifecycle", "sound")
        .replace("name: words", "name: sentences");
    // Not for the cluster that is wrong, and not for another beside it.
    let two = format!("{sound}---\n{wrong}");
    for (manifest, line) in [(&wrong, 11), (&two, 11 + sound.lines().count() + 1)] {
        user.writes(manifest)?;
        let place = format!("cluster.yaml:{line}:5: spec.config.num.partitons: ");
        for arguments in [
            &["up", "cluster.yaml"][..],
            &["up", "cluster.yaml", "--detach"],
            &["plan", "-f", "cluster.yaml"],
        ] {
            let refused = user.types(arguments)?;
            let fault = refused.differs(2, &[&place, "did you mean num.partitions?"]);
            ensure!(fault.is_none(), "{arguments:?}: {fault:?}");
            let left = user.files()?;
            ensure!(left.is_empty(), "{arguments:?} leaves {left:?}");
        }
    }
    Ok(())
}
