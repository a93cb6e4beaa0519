//! The lab's network: one bridge on the host, one cable per room, and routes between the pods of
//! different nodes. Invariant: nothing of the host's own network is changed, there is no way out
//! of the lab, and everything goes away with the bridge and the rooms. Not here: Services (the nodes'
//! kube-proxy), addresses of pods (CNI).

use anyhow::Result;

use super::room::Room;
use crate::process;

pub const BRIDGE: &str = "ottla-lab";
/// Cables are called like this and a number.
pub const CABLE: &str = "ottla-lab-";

/// The host, on the bridge.
const HOST: &str = "10.210.0.1";
/// The room of the control plane: API server, cluster DNS.
pub const CONTROL: &str = "10.210.0.2";
/// Clients of Services outside of this range get an answer by way of the node they asked.
pub const PODS: &str = "10.211.0.0/16";
pub const SERVICES: &str = "10.212.0.0/16";
/// The first address of the Services: the API server's.
pub const API_SERVICE: &str = "10.212.0.1";

/// The address of a node, counted from 0.
pub fn node_address(index: usize) -> String {
    format!("10.210.0.{}", 11 + index)
}

/// The addresses of a node's pods.
pub fn node_pods(index: usize) -> String {
    format!("10.211.{}.0/24", 1 + index)
}

/// Makes the bridge; pods and Services can be reached from the host through the nodes.
pub fn make_bridge() -> Result<()> {
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", &format!("{HOST}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

/// Host's routes to pods of all nodes, and to Services by way of the first.
pub fn add_host_routes(nodes: usize) -> Result<()> {
    for (to, via) in routes(nodes, None) {
        ip(&["route", "add", &to, "via", &via, "dev", BRIDGE])?;
    }
    Ok(())
}

/// Gives a room its end of a cable. `number` tells the cables apart; `node` is the room's index
/// among `nodes`, or None for the control plane.
pub fn connect(room: &Room, number: usize, node: Option<usize>, nodes: usize) -> Result<()> {
    let cable = format!("{CABLE}{number}");
    let pid = room.pid().to_string();
    ip(&[
        "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &pid,
    ])?;
    ip(&["link", "set", &cable, "master", BRIDGE, "up"])?;
    inside(room, &["link", "set", "lo", "up"])?;
    let address = format!("{}/24", room.address);
    inside(room, &["address", "add", &address, "dev", "eth0"])?;
    inside(room, &["link", "set", "eth0", "up"])?;
    // A node's own Services are answered before routes are looked at, if there is a route at all.
    inside(room, &["route", "add", "default", "via", HOST])?;
    for (to, via) in routes(nodes, node) {
        inside(room, &["route", "add", &to, "via", &via])?;
    }
    Ok(())
}

/// Where pods of other nodes are, and for who is no node the way to Services.
fn routes(nodes: usize, own: Option<usize>) -> Vec<(String, String)> {
    let mut routes: Vec<_> = (0..nodes)
        .filter(|index| Some(*index) != own)
        .map(|index| (node_pods(index), node_address(index)))
        .collect();
    if own.is_none() {
        routes.push((SERVICES.to_owned(), node_address(0)));
    }
    routes
}

/// Removes the bridge and cables whose room is already gone. Nothing there is no error.
pub fn remove_bridge() -> Result<()> {
    for name in links()? {
        // A cable goes by itself when the kernel has taken its room's network apart.
        let mut remove = process::command("ip", ["link", "delete", &name]);
        let _ = process::run_quiet(&mut remove);
    }
    Ok(())
}

/// Names of the lab's network devices on the host.
pub fn links() -> Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name == BRIDGE || name.starts_with(CABLE))
        .collect();
    names.sort();
    Ok(names)
}

fn ip(args: &[&str]) -> Result<()> {
    process::run_quiet(&mut process::command("ip", args)).map(|_| ())
}

fn inside(room: &Room, args: &[&str]) -> Result<()> {
    process::run_quiet(room.command("ip").args(args)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_finds_the_pods_of_the_others_and_its_services_itself() {
        let of_second: Vec<String> = routes(3, Some(1)).into_iter().map(|(to, _)| to).collect();
        assert_eq!(of_second, ["10.211.1.0/24", "10.211.3.0/24"]);
        let of_host = routes(3, None);
        assert_eq!(of_host.len(), 4);
        assert_eq!(of_host[3], (SERVICES.to_owned(), node_address(0)));
    }
}
