//! The nodes: each a room with its own containerd, kubelet, kube-proxy and storage driver, on
//! their ordinary paths and ports. Nodes differ in name, address and the range of their pods.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::control::words;
use super::room::Room;
use super::state::State;
use super::{Lab, certificates, kubectl, network, templates, wait};
use crate::process;

/// Names of the nodes, and of their rooms.
pub const NAMES: &[&str] = &["lab-1", "lab-2", "lab-3"];
const LIMIT: Duration = Duration::from_secs(120);

/// Whether a room is a node and not the control plane.
pub fn is_node(room: &Room) -> bool {
    NAMES.contains(&room.name.as_str())
}

/// Opens the rooms and starts what needs no API server.
pub fn start(lab: &Lab, binaries: &Path, state: &mut State) -> Result<Vec<Room>> {
    let mut rooms = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let folder = lab.path(&format!("nodes/{name}"));
        let address = network::node_address(index);
        let room = Room::open(name, &address, &binaries.join("pause"), &folder)?;
        state.add(room.clone())?;
        room.furnish(&folder)?;
        network::connect(&room, index + 1, Some(index), NAMES.len())?;
        configure(lab, &folder, name, index)?;
        room.spawn(
            Path::new("containerd"),
            &words(&["--config=/run/lab/containerd.toml"]),
            &lab.path(&format!("logs/{name}-containerd.log")),
        )?;
        rooms.push(room);
    }
    Ok(rooms)
}

fn configure(lab: &Lab, folder: &Path, name: &str, index: usize) -> Result<()> {
    let pki = lab.path("pki");
    let kubelet = format!("kubelet-{name}");
    certificates::client(
        &pki,
        &kubelet,
        &format!("system:node:{name}"),
        "system:nodes",
    )?;
    certificates::kubeconfig(&pki, &kubelet, &folder.join("kubelet.kubeconfig"))?;
    certificates::kubeconfig(&pki, "kube-proxy", &folder.join("kube-proxy.kubeconfig"))?;
    fs::write(
        folder.join("resolv.conf"),
        format!("nameserver {}\n", network::CONTROL),
    )?;
    let pods = network::node_pods(index);
    let pki = pki.to_string_lossy();
    let values = [
        ("NODE", name),
        ("NODE_PODS", &pods),
        ("PODS", network::PODS),
        ("DNS", network::CONTROL),
        ("PKI", &pki),
        ("CNI", CNI_PROGRAMS),
    ];
    for (from, to) in [
        ("kubelet.yaml", "kubelet.yaml"),
        ("kube-proxy.yaml", "kube-proxy.yaml"),
        ("containerd.toml", "containerd.toml"),
        ("cni.conflist", "cni/ottla-lab.conflist"),
    ] {
        templates::write(from, &folder.join(to), &values)?;
    }
    Ok(())
}

/// Where Debian's containernetworking-plugins puts them.
pub const CNI_PROGRAMS: &str = "/usr/lib/cni";

/// Starts what talks to the API server; images are imported by now.
pub fn start_kubelets(lab: &Lab, binaries: &Path, rooms: &[Room]) -> Result<()> {
    for (index, room) in rooms.iter().enumerate() {
        let name = &room.name;
        let log = |part: &str| lab.path(&format!("logs/{name}-{part}.log"));
        let mut kubelet = words(&[
            "--config=/run/lab/kubelet.yaml",
            "--kubeconfig=/run/lab/kubelet.kubeconfig",
            "--root-dir=/var/lib/kubelet",
        ]);
        kubelet.extend([
            format!("--hostname-override={name}"),
            format!("--node-ip={}", room.address),
            format!(
                "--node-labels=topology.kubernetes.io/zone=zone-{}",
                index + 1
            ),
        ]);
        room.spawn(&binaries.join("kubelet"), &kubelet, &log("kubelet"))?;
        room.spawn(
            &binaries.join("kube-proxy"),
            &words(&["--config=/run/lab/kube-proxy.yaml"]),
            &log("kube-proxy"),
        )?;
        process::run_quiet(room.command("mkdir").args([
            "-p",
            "/var/lib/kubelet/plugins/volumes.lab.ottla.io",
            "/var/lib/kubelet/plugins_registry",
        ]))?;
        let mut csi = words(&[
            "-socket=/var/lib/kubelet/plugins/volumes.lab.ottla.io/csi.sock",
            "-registration=/var/lib/kubelet/plugins_registry/volumes.lab.ottla.io-reg.sock",
        ]);
        csi.push(format!("-node={name}"));
        csi.push(format!("-volumes={}", lab.path("volumes").display()));
        room.spawn(&binaries.join("csi"), &csi, &log("csi"))?;
    }
    Ok(())
}

/// Waits for every node to be Ready and to have the storage driver, and for the account that
/// pods are given.
pub fn wait_ready(lab: &Lab, binaries: &Path, rooms: &[Room]) -> Result<()> {
    wait::until("all nodes to be Ready (logs/*-kubelet.log)", LIMIT, || {
        if let Some(room) = rooms.iter().find(|room| !room.is_alive()) {
            bail!("the room of {} has ended", room.name);
        }
        let nodes = kubectl::json(lab, binaries, &["nodes"])?;
        let drivers = kubectl::json(lab, binaries, &["csinodes"])?;
        let ready = count(&nodes, is_ready);
        let served = count(&drivers, has_driver);
        if ready < NAMES.len() || served < NAMES.len() {
            return Ok(Err(format!("{ready} are Ready, {served} have storage")));
        }
        let account = ["serviceaccount", "default", "--namespace=default"];
        Ok(kubectl::json(lab, binaries, &account)
            .map(|_| ())
            .map_err(|error| format!("{error:#}")))
    })
}

fn count(list: &Value, holds: fn(&Value) -> bool) -> usize {
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter(|item| holds(item)).count()
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}

fn has_driver(node: &Value) -> bool {
    node["spec"]["drivers"]
        .as_array()
        .is_some_and(|drivers| !drivers.is_empty())
}
