//! How a cluster stands when no supervisor can be asked: from its folder and its processes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use ottla_client::net::NetRef;
use ottla_operator_plan::{BrokerSeen, Observed, Power, ProcessSeen, StorageSeen, plan};

use super::folder::{ClusterFolder, named, read_json};
use super::memory::{Declared, Memory};
use super::process::Process;
use super::view::{View, view};
use crate::kafka::is_serving;

/// The view of a folder without a supervisor; None when nothing was ever declared there.
pub async fn look(folder: &ClusterFolder, net: &NetRef) -> io::Result<Option<View>> {
    let Some(declared) = read_json::<Declared>(&folder.declared())? else {
        return Ok(None);
    };
    let memory: Memory = read_json(&folder.memory())?.unwrap_or_default();
    let mut observed = observed(folder, &memory)?;
    let mut pids = BTreeMap::new();
    for (id, seen) in &mut observed.brokers {
        let Some(process) = find(folder, *id) else {
            if seen.started_as.is_some() && declared.power == Power::On {
                seen.process = ProcessSeen::Down {
                    exits: 0,
                    cause: Some("it does not run, and no supervisor would bring it back".into()),
                    retry_at_ms: 0,
                };
            }
            continue;
        };
        pids.insert(*id, process.pid());
        seen.process = ProcessSeen::Starting;
        if let Some(address) = client_address(seen)
            && is_serving(net, *id, &address).await
        {
            seen.process = ProcessSeen::Serving;
        }
    }
    // The last view keeps the times of its conditions, and the topics as they were seen then.
    let last: Option<View> = read_json(&folder.status())?;
    if let Some(last) = &last {
        observed.last_status = last.cluster.status.clone();
    }
    let plan = plan(&declared.desired(), &observed, net.wall_clock_ms());
    let view = view(folder, &declared, &observed, &plan, &pids, false, "");
    let mut view = view.with_metrics(&memory);
    if let Some(last) = last {
        view.topics = last.topics;
    }
    Ok(Some(view))
}

/// The manifests that hold in a folder, if any ever did.
pub fn declared_in(folder: &ClusterFolder) -> io::Result<Option<Declared>> {
    read_json(&folder.declared())
}

/// The last view that a supervisor wrote.
pub fn last_view(folder: &ClusterFolder) -> io::Result<Option<View>> {
    read_json(&folder.status())
}

/// What a folder alone tells, for plans that are only shown. Nothing is asked of processes.
pub fn observe_folder(folder: &ClusterFolder) -> io::Result<(Option<Declared>, Observed)> {
    let declared = read_json(&folder.declared())?;
    let memory: Memory = read_json(&folder.memory())?.unwrap_or_default();
    Ok((declared, observed(folder, &memory)?))
}

/// What is remembered, as if nothing ran.
pub(super) fn observed(folder: &ClusterFolder, memory: &Memory) -> io::Result<Observed> {
    let brokers = memory.brokers.iter().map(|(id, remembered)| {
        let seen = BrokerSeen {
            volume: folder.data(*id).is_dir(),
            addresses: remembered.addresses.clone(),
            process: ProcessSeen::Absent,
            started_as: remembered.started_as.clone(),
        };
        (*id, seen)
    });
    Ok(Observed {
        cluster_id: memory.cluster_id.clone(),
        brokers: brokers.collect(),
        owned_topics: memory.owned.topics.clone(),
        owned_config: memory.owned.config.clone(),
        storage: storage(folder, memory),
        ..Observed::default()
    })
}

/// The broker's process, if it runs.
pub(super) fn find(folder: &ClusterFolder, id: i32) -> Option<Process> {
    Process::find(
        &folder.pid(id),
        &folder.properties(id),
        &folder.broker_log(id),
    )
}

/// Where the broker can be asked: its first client listener.
pub(super) fn client_address(seen: &BrokerSeen) -> Option<ottla_operator_plan::Address> {
    seen.started_as.as_ref()?.listeners.first()?.address.clone()
}

/// Room on the file system of a folder that may not exist yet.
fn storage(folder: &ClusterFolder, memory: &Memory) -> Option<StorageSeen> {
    let existing = folder.path().ancestors().find(|path| path.is_dir())?;
    let fs = rustix::fs::statvfs(existing).ok()?;
    let used = memory
        .brokers
        .keys()
        .map(|id| size(&folder.data(*id)).unwrap_or_default())
        .sum();
    Some(StorageSeen {
        place: format!("the file system of {}", existing.display()),
        free_bytes: fs.f_bavail.saturating_mul(fs.f_frsize),
        used_bytes: used,
    })
}

/// Bytes in the files of a directory's tree.
fn size(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(path).map_err(|error| named(path, error))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() {
            size(&entry.path()).unwrap_or_default()
        } else {
            metadata.len()
        };
    }
    Ok(sum)
}
