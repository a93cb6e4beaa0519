//! The shard's part of a scrape: copies what it holds and asks the owners for the rest.
//!
//! Invariant: no owner is asked for more than a page at a time, so that a request waits for a scrape at most as long
//! as a page takes (some 100 µs); nothing is computed from what comes back. Not here: sums, names, text.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_broker_group::GroupFigures;
use ottla_broker_metadata::Image;
use ottla_broker_storage::{CommitFigures, Health, LogDir};
use ottla_protocol::Str;

use super::meters::Figures;
use crate::config::Roles;
use crate::partition::{ReplicaFigures, Request, Survey};
use crate::server::Services;

/// Replicas per question to their owner.
const PAGE: usize = 500;

/// Everything that the shard knows, at about one moment.
pub struct Snapshot {
    /// `node.id`
    pub node_id: i32,
    /// `process.roles`
    pub roles: Roles,
    /// The cluster's id.
    pub cluster_id: Str,
    /// Wall clock.
    pub now_ms: i64,
    /// The newest metadata.
    pub image: Arc<Image>,
    /// The metadata quorum.
    pub quorum: Quorum,
    /// What was counted as requests were served.
    pub figures: Figures,
    /// Replicas here, the metadata log's too.
    pub replicas: Vec<ReplicaFigures>,
    /// What the commit log has done; `None` once its owner has stopped.
    pub commits: Option<CommitFigures>,
    /// Groups coordinated here.
    pub groups: Vec<GroupFigures>,
    /// The log directory.
    pub directory: PathBuf,
    /// Whether it takes appends.
    pub health: Health,
}

/// The metadata quorum as this process sees it.
#[derive(Clone, Copy, Debug)]
pub struct Quorum {
    /// Who leads, −1 if unknown.
    pub leader_id: i32,
    /// In which epoch.
    pub epoch: i32,
    /// Everything below is committed.
    pub high_watermark: i64,
    /// How many vote.
    pub voters: usize,
}

/// Copies and asks. Takes as long as the mailboxes are long.
pub async fn gather(services: &Services, dir: &LogDir) -> Snapshot {
    let (replicas, commits) = replicas(services).await;
    let groups = groups(services).await;
    let image = services.image.load();
    Snapshot {
        node_id: services.node.id,
        roles: services.settings.roles,
        cluster_id: services.node.cluster_id.clone(),
        now_ms: services.rt.wall_clock_ms(),
        quorum: Quorum {
            leader_id: services.controller.leader_id(),
            epoch: services.controller.epoch(),
            high_watermark: services.controller.high_watermark(),
            voters: services.controller.voters().len(),
        },
        figures: services.meters.figures(&image),
        image,
        replicas,
        commits,
        groups,
        directory: dir.path().to_owned(),
        health: dir.health(),
    }
}

async fn replicas(services: &Services) -> (Vec<ReplicaFigures>, Option<CommitFigures>) {
    let (mut all, mut commits): (Vec<ReplicaFigures>, _) = (Vec::new(), None);
    loop {
        let after = all.last().map(|last| last.partition);
        let page = services.partitions.ask(|reply| {
            Request::Survey(Survey {
                after,
                replicas_max: PAGE,
                reply,
            })
        });
        // An owner that has stopped has nothing to tell.
        let Ok(page) = page.await else {
            return (all, None);
        };
        let is_last = page.replicas.len() < PAGE;
        commits.replace(page.commits);
        all.extend(page.replicas);
        if is_last {
            return (all, commits);
        }
    }
}

async fn groups(services: &Services) -> Vec<GroupFigures> {
    let (mut all, mut from) = (Vec::new(), 0);
    while let Some(page) = services.groups.survey(from).await {
        from = page.partition + 1;
        all.extend(page.groups);
    }
    all
}
