//! The room of the control plane: etcd, API server, controller manager, scheduler, cluster DNS,
//! and the controllers of the lab's storage. Reached from the host and from nodes at one address
//! of the bridge; etcd only from inside.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::room::Room;
use super::state::State;
use super::{Lab, certificates, kubectl, network, templates, wait};
use crate::{process, workspace};

pub const NAME: &str = "lab-control";
const LIMIT: Duration = Duration::from_secs(120);

/// Opens the room and starts what needs nobody else.
pub fn start(lab: &Lab, binaries: &Path, state: &mut State) -> Result<Room> {
    let folder = lab.path("control");
    let room = Room::open(NAME, network::CONTROL, &binaries.join("pause"), &folder)?;
    state.add(room.clone())?;
    room.furnish(&folder)?;
    network::connect(&room, 0, None, super::nodes::NAMES.len())?;
    network::add_host_routes(super::nodes::NAMES.len())?;
    let pki = lab.path("pki");
    certificates::kubeconfig(&pki, "admin", &lab.kubeconfig())?;
    for part in ["controller-manager", "scheduler", "coredns", "storage"] {
        certificates::kubeconfig(&pki, part, &folder.join(format!("{part}.kubeconfig")))?;
    }
    templates::write("audit-policy.yaml", &folder.join("audit-policy.yaml"), &[])?;
    templates::write(
        "Corefile",
        &folder.join("Corefile"),
        &[("DNS", network::CONTROL)],
    )?;
    let etcd = etcd_arguments();
    room.spawn(Path::new("etcd"), &etcd, &lab.path("logs/etcd.log"))?;
    for (part, arguments) in [
        ("kube-apiserver", api_server_arguments(&pki)),
        (
            "kube-controller-manager",
            controller_manager_arguments(&pki),
        ),
        ("kube-scheduler", scheduler_arguments()),
    ] {
        room.spawn(
            &binaries.join(part),
            &arguments,
            &lab.path(&format!("logs/{part}.log")),
        )?;
    }
    Ok(room)
}

fn etcd_arguments() -> Vec<String> {
    words(&[
        "--data-dir=/run/lab/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=default=http://127.0.0.1:2380",
        // A lab is thrown away; its disk is busy with brokers.
        "--unsafe-no-fsync",
    ])
}

fn api_server_arguments(pki: &Path) -> Vec<String> {
    let pki = pki.display();
    let mut arguments = words(&[
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--allow-privileged=true",
        "--audit-policy-file=/run/lab/audit-policy.yaml",
        "--audit-log-path=/run/lab/audit.log",
    ]);
    arguments.extend([
        format!("--advertise-address={}", network::CONTROL),
        format!("--service-cluster-ip-range={}", network::SERVICES),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
        format!("--kubelet-client-certificate={pki}/apiserver-client.crt"),
        format!("--kubelet-client-key={pki}/apiserver-client.key"),
        format!("--service-account-key-file={pki}/service-accounts.pub"),
        format!("--service-account-signing-key-file={pki}/service-accounts.key"),
    ]);
    arguments
}

fn controller_manager_arguments(pki: &Path) -> Vec<String> {
    let pki = pki.display();
    let mut arguments = words(&[
        "--kubeconfig=/run/lab/controller-manager.kubeconfig",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        // Made when it is not there; the default place is the machine's.
        "--flex-volume-plugin-dir=/run/lab/volume-plugins",
        "--allocate-node-cidrs=false",
        // A node whose room has ended is NotReady soon enough for a scenario to wait for it.
        "--node-monitor-period=2s",
        "--node-monitor-grace-period=16s",
    ]);
    arguments.extend([
        format!("--service-account-private-key-file={pki}/service-accounts.key"),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
    ]);
    arguments
}

fn scheduler_arguments() -> Vec<String> {
    words(&[
        "--kubeconfig=/run/lab/scheduler.kubeconfig",
        "--leader-elect=false",
    ])
}

/// Waits for the API server to say that it is ready, and for the account that pods need.
pub fn wait_for_api(lab: &Lab, binaries: &Path, room: &Room) -> Result<()> {
    wait::until(
        "the API server (its log is logs/kube-apiserver.log)",
        LIMIT,
        || {
            if !room.is_alive() {
                anyhow::bail!("the room of the control plane has ended");
            }
            Ok(kubectl::run(lab, binaries, &["get", "--raw", "/readyz"])
                .map(|_| ())
                .map_err(|error| format!("{error:#}")))
        },
    )
}

/// Gives the cluster the lab's objects.
pub fn apply(lab: &Lab, binaries: &Path) -> Result<()> {
    let folder = workspace::root().join("e2e/lab/manifests");
    let folder = folder.to_string_lossy();
    kubectl::run(
        lab,
        binaries,
        &["apply", "--server-side", "--filename", &folder],
    )
    .map(|_| ())
}

/// Starts what is a client of the API server with rights that have just been given: cluster DNS
/// and the controllers of storage.
pub fn start_clients(lab: &Lab, binaries: &Path, room: &Room) -> Result<()> {
    let volumes = lab.path("volumes");
    std::fs::create_dir_all(&volumes)?;
    let mut csi = words(&[
        "-socket=/run/csi.sock",
        "-kubeconfig=/run/lab/storage.kubeconfig",
    ]);
    csi.push(format!("-volumes={}", volumes.display()));
    room.spawn(
        &binaries.join("csi"),
        &csi,
        &lab.path("logs/csi-controller.log"),
    )?;
    wait::until("the storage driver's socket", LIMIT, || {
        let mut test = room.command("test");
        Ok(process::run_quiet(test.args(["-S", "/run/csi.sock"]))
            .map(|_| ())
            .map_err(|_| "it is not there".to_owned()))
    })?;
    room.spawn(
        &binaries.join("csi-resizer"),
        &words(&[
            "--csi-address=/run/csi.sock",
            "--kubeconfig=/run/lab/storage.kubeconfig",
            "--leader-election=false",
            // A volume grows while it is used; the resizer needs not watch for pods to go.
            "--handle-volume-inuse-error=false",
        ]),
        &lab.path("logs/csi-resizer.log"),
    )?;
    room.spawn(
        &binaries.join("coredns"),
        &words(&["-conf=/run/lab/Corefile"]),
        &lab.path("logs/coredns.log"),
    )
}

/// Waits for cluster DNS to have seen the cluster.
pub fn wait_for_dns(room: &Room) -> Result<()> {
    wait::until("cluster DNS (its log is logs/coredns.log)", LIMIT, || {
        let mut ask = room.command("bash");
        // Ready answers over HTTP inside the room, where the host's tools but no ports of it are.
        ask.args([
            "-c",
            "exec 3<>/dev/tcp/127.0.0.1/8181 && printf 'GET /ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3",
        ]);
        Ok(match process::run_quiet(&mut ask) {
            Ok(answer) if answer.contains(" 200 ") => Ok(()),
            Ok(answer) => Err(answer),
            Err(error) => Err(format!("{error:#}")),
        })
    })
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
