//! Goal: the probes of `ottla.metrics.listener` say what a person or a kubelet has to know: whether a node may
//! get clients (`/readyz`) and whether a restart would help it (`/healthz`), from the first moment to the last.
//! Method: a controller and a broker as processes of their own; the broker is started first and stopped last, so
//! that each of its states lasts until the test lets it go on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{Properties, Running, free_ports, http_get, ottla_binary, until};

const LIMIT: Duration = Duration::from_secs(30);

struct Node {
    name: &'static str,
    probes: u16,
    running: Running,
}

impl Node {
    fn start(dir: &Path, name: &'static str, probes: u16, properties: Properties) -> Result<Node> {
        let properties = properties
            .with("process.roles", name)
            .with("ottla.metrics.listener", format!("127.0.0.1:{probes}"))
            .with("log.dirs", dir.join(name).display());
        let file = dir.join(format!("{name}.properties"));
        fs::write(&file, properties.to_string())?;
        let mut command = Command::new(ottla_binary()?);
        command.arg("broker").arg(&file);
        let running = Running::start(name, &mut command, &dir.join(format!("{name}.log")))?;
        Ok(Node {
            name,
            probes,
            running,
        })
    }

    /// Waits until `path` answers `status` with a line that has `words` in it.
    fn says(&mut self, path: &str, status: u16, words: &str) -> Result<()> {
        let (name, port) = (self.name, self.probes);
        until(
            format!("{words:?} from {path} of the {name}"),
            LIMIT,
            || {
                self.running.expect_alive()?;
                let answer = http_get(port, path);
                Ok(answer
                    .is_ok_and(|answer| answer.status == status && answer.body.contains(words))
                    .then_some(()))
            },
        )
    }
}

#[test]
fn a_node_says_what_it_waits_for_and_when_it_is_ready() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ports = free_ports(4)?;
    let (clients, controllers) = (ports[0], ports[1]);
    let common = Properties::combined(1, clients, controllers, dir.path());
    let of_broker = common
        .clone()
        .with("node.id", 2)
        .with("listeners", format!("PLAINTEXT://127.0.0.1:{clients}"));
    let of_controller = common
        .with("listeners", format!("CONTROLLER://127.0.0.1:{controllers}"))
        .with(
            "advertised.listeners",
            format!("CONTROLLER://127.0.0.1:{controllers}"),
        );

    let mut broker = Node::start(dir.path(), "broker", ports[2], of_broker)?;
    broker.says(
        "/readyz",
        503,
        "asking its controllers for the cluster's id",
    )?;
    // A restart would not bring the controller.
    broker.says("/healthz", 200, "ok")?;
    let mut controller = Node::start(dir.path(), "controller", ports[3], of_controller)?;
    controller.says("/readyz", 200, "ok")?;
    controller.says("/healthz", 200, "ok")?;
    broker.says("/readyz", 200, "ok")?;
    broker.says("/healthz", 200, "ok")?;

    // Without its controller a broker is still ready, and waits for a while before it goes without leave.
    controller.running.stop(LIMIT)?;
    broker.says("/readyz", 200, "ok")?;
    let id = broker.running.id();
    ensure!(Command::new("kill").arg(id.to_string()).status()?.success());
    broker.says("/readyz", 503, "the broker is stopping")?;
    broker.says("/healthz", 200, "ok")?;
    let status = broker.running.finish(LIMIT)?;
    ensure!(status.success(), "{status}\n{}", broker.running.output());
    Ok(())
}
