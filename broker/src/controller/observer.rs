//! The loop of a process that follows the metadata quorum without voting: fetch, append, replay what is
//! committed, publish.
//!
//! Invariant: a record is applied once it is committed and on this disk; the image is published batch
//! by batch. Diverging from the leader truncates by epoch, never below the own high watermark. Where
//! the leader has only a snapshot, that is fetched, the own log begins behind it, and the image is
//! replaced as a whole.
//! Not here: when records count as committed (broker/raft), connections (`link.rs`).

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_metadata::{Delta, Provenance, Replayer};
use ottla_broker_raft::{Input, Output, Raft, SnapshotId};
use ottla_client::{Connection, ConnectionError};
use ottla_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ReplicaState,
};
use ottla_protocol::messages::fetch_response::PartitionData;
use ottla_protocol::messages::fetch_snapshot_request::{
    self, FetchSnapshotRequest, PartitionSnapshot, TopicSnapshot,
};
use ottla_protocol::records::{BatchError, BatchView, batches};
use ottla_protocol::{ErrorCode, Records, Str, Uuid};
use tokio::sync::oneshot;

use super::link::{ControllerAddress, Link};
use super::log::{self, MetadataLogError};
use super::snapshots::{Download, DownloadError, Downloaded, Snapshots};
use super::{FileError, METADATA_PARTITION, METADATA_TOPIC, MetadataDir, QuorumView};
use crate::partition::{PartitionError, PartitionsHandle, Replicate, Request, StartAt, Truncate};
use crate::publish::Publisher;
use crate::rt::{Rt, sleep};

/// Long poll at the leader; Kafka's own bound for the metadata quorum.
const FETCH_WAIT_MS: i32 = 500;
/// Bytes per fetch (`controller.quorum.fetch.max.bytes`).
const FETCH_BYTES_MAX: i32 = 1 << 20;
/// Pause before asking again after a failure: short, since a controller restarts within milliseconds.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Pause before a snapshot is fetched from its beginning: longer, since it may be large.
const DOWNLOAD_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the loop needs from the start of the process.
pub struct ObserverConfig {
    /// The cluster's id, told with every fetch.
    pub cluster_id: Str,
    /// `node.id`
    pub node_id: i32,
    /// Id of the metadata log directory.
    pub directory_id: Uuid,
    /// Where quorum-state lies.
    pub dir: MetadataDir,
    /// The log, replayed.
    pub replayer: Replayer,
    /// Consensus, started.
    pub raft: Raft,
    /// The snapshots on this disk.
    pub snapshots: Snapshots,
    /// `controller.quorum.fetch.snapshot.max.bytes`
    pub snapshot_fetch_bytes_max: i32,
}

/// Why one round of fetching did not work; another follows.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the controller answered {0}")]
    Refused(ErrorCode),
    #[error("the controller sent what is no batch: {0}")]
    Batch(#[from] BatchError),
    #[error("the local metadata log refuses: {0}")]
    Log(#[from] PartitionError),
    #[error("a snapshot cannot be kept here: {0}")]
    File(#[from] FileError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(
        "the controller offers snapshot {offered}, which ends before what is committed here ({committed}); was its metadata directory replaced by an older one?"
    )]
    SnapshotFromThePast { offered: SnapshotId, committed: i64 },
}

/// Who leads, and where, as an answer told.
struct LeaderNews {
    leader_id: i32,
    epoch: i32,
    address: Option<ControllerAddress>,
}

/// Starts the loop on this shard. The receiver yields when the log has been followed to the leader's
/// high watermark for the first time.
pub fn start(
    rt: &Rt,
    config: ObserverConfig,
    link: Link,
    partitions: PartitionsHandle,
    publisher: Publisher,
    view: Rc<QuorumView>,
) -> oneshot::Receiver<()> {
    let (caught_up, is_caught_up) = oneshot::channel();
    let observer = Observer {
        rt: Rc::clone(rt),
        config,
        link,
        partitions,
        publisher,
        view,
        unapplied: Vec::new(),
        download: None,
        caught_up: Some(caught_up),
    };
    rt.spawn(Box::pin(observer.run()));
    is_caught_up
}

struct Observer {
    rt: Rt,
    config: ObserverConfig,
    link: Link,
    partitions: PartitionsHandle,
    publisher: Publisher,
    view: Rc<QuorumView>,
    /// Appended, not yet known to be committed.
    unapplied: Vec<BatchView>,
    /// A snapshot on its way.
    download: Option<Download>,
    caught_up: Option<oneshot::Sender<()>>,
}

impl Observer {
    async fn run(mut self) {
        let mut connection = None;
        let mut complained = false;
        loop {
            match self.round(&mut connection).await {
                Ok(()) => complained = false,
                // The owner of the log is gone: this node stops.
                Err(RoundError::Log(PartitionError::Stopping)) => return,
                Err(error) => {
                    connection = None;
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(%error, "cannot follow the metadata log; trying again");
                    }
                    let pause = match error {
                        RoundError::Download(_) => DOWNLOAD_RETRY_PAUSE,
                        _ => RETRY_PAUSE,
                    };
                    sleep(&self.rt, pause).await;
                }
            }
        }
    }

    async fn round(&mut self, connection: &mut Option<Connection>) -> Result<(), RoundError> {
        let open = match connection.take() {
            Some(open) => open,
            None => self.link.connect().await?,
        };
        let leader_epoch = self.config.raft.epoch();
        let download = self.download.take();
        match download.filter(|download| download.leader_epoch() == leader_epoch) {
            Some(download) => self.fetch_snapshot(&open, download).await?,
            None => self.fetch(&open).await?,
        }
        *connection = Some(open);
        self.config
            .snapshots
            .upkeep(
                &self.publisher.newest(),
                &mut self.config.raft,
                &self.partitions,
            )
            .await;
        Ok(())
    }

    async fn fetch(&mut self, open: &Connection) -> Result<(), RoundError> {
        let response = open.call(&self.fetch_request()).await?;
        if response.error_code != ErrorCode::NONE {
            return Err(RoundError::Refused(response.error_code));
        }
        let partition = response
            .responses
            .into_iter()
            .next()
            .and_then(|topic| topic.partitions.into_iter().next());
        let Some(partition) = partition else {
            return Err(RoundError::Refused(ErrorCode::UNKNOWN_SERVER_ERROR));
        };
        let leader = &partition.current_leader;
        let mut endpoints = response.node_endpoints.iter();
        let endpoint = endpoints.find(|endpoint| endpoint.node_id == leader.leader_id);
        self.hear_of_leader(LeaderNews {
            leader_id: leader.leader_id,
            epoch: leader.leader_epoch,
            address: endpoint.map(|endpoint| ControllerAddress {
                host: endpoint.host.to_string(),
                port: u16::try_from(endpoint.port).unwrap_or(0),
            }),
        })
        .await;
        match partition.error_code {
            ErrorCode::NONE => self.take(partition).await,
            ErrorCode::FENCED_LEADER_EPOCH | ErrorCode::UNKNOWN_LEADER_EPOCH
                if self.config.raft.leader_id() >= 0 =>
            {
                Ok(())
            }
            code => Err(RoundError::Refused(code)),
        }
    }

    /// One piece of the snapshot that the leader named. After a lost connection it goes on where it was;
    /// after a refusal, or under another leader, the next fetch says what to do.
    async fn fetch_snapshot(
        &mut self,
        open: &Connection,
        mut download: Download,
    ) -> Result<(), RoundError> {
        let called = open.call(&self.fetch_snapshot_request(&download)).await;
        let response = match called {
            Ok(response) => response,
            Err(error) => {
                self.download = Some(download);
                return Err(error.into());
            }
        };
        if response.error_code != ErrorCode::NONE {
            return Err(RoundError::Refused(response.error_code));
        }
        let piece = response
            .topics
            .into_iter()
            .next()
            .and_then(|topic| topic.partitions.into_iter().next());
        let Some(piece) = piece else {
            return Err(RoundError::Refused(ErrorCode::UNKNOWN_SERVER_ERROR));
        };
        let leader = &piece.current_leader;
        let mut endpoints = response.node_endpoints.iter();
        let endpoint = endpoints.find(|endpoint| endpoint.node_id == leader.leader_id);
        self.hear_of_leader(LeaderNews {
            leader_id: leader.leader_id,
            epoch: leader.leader_epoch,
            address: endpoint.map(|endpoint| ControllerAddress {
                host: endpoint.host.to_string(),
                port: endpoint.port,
            }),
        })
        .await;
        if download.take(piece).await? {
            match download.finish().await {
                Err(DownloadError::Load(error)) if error.is_not_understood() => {
                    tracing::error!(%error, "the controller's snapshot is not for this version; stopping");
                    std::process::exit(1);
                }
                downloaded => self.go_on_behind(downloaded?).await,
            }
        } else {
            self.download = Some(download);
            Ok(())
        }
    }

    fn fetch_snapshot_request(&self, download: &Download) -> FetchSnapshotRequest {
        let id = download.id();
        let partition = PartitionSnapshot {
            partition: METADATA_PARTITION.index,
            current_leader_epoch: download.leader_epoch(),
            snapshot_id: fetch_snapshot_request::SnapshotId {
                end_offset: id.end_offset,
                epoch: id.epoch,
                ..Default::default()
            },
            position: download.position() as i64,
            replica_directory_id: self.config.directory_id,
            ..Default::default()
        };
        FetchSnapshotRequest {
            cluster_id: Some(self.config.cluster_id.clone()),
            replica_id: self.config.node_id,
            max_bytes: self.config.snapshot_fetch_bytes_max,
            topics: vec![TopicSnapshot {
                name: METADATA_TOPIC.into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    async fn begin_download(&mut self, id: SnapshotId) -> Result<(), RoundError> {
        let committed = self.config.raft.high_watermark();
        if id.end_offset < committed {
            return Err(RoundError::SnapshotFromThePast {
                offered: id,
                committed,
            });
        }
        tracing::info!(snapshot = %id, "the controller's log begins later; fetching its snapshot");
        let dir = self.config.dir.clone();
        let download = Download::begin(dir, id, self.config.raft.epoch()).await?;
        self.download = Some(download);
        Ok(())
    }

    /// The snapshot is durable: the own log begins behind it, and its image takes the place of the old
    /// one. A crash in between is made good at start.
    async fn go_on_behind(&mut self, downloaded: Downloaded) -> Result<(), RoundError> {
        let Downloaded { id, loaded } = downloaded;
        self.partitions
            .ask(|reply| {
                Request::StartAt(StartAt {
                    partition: METADATA_PARTITION,
                    offset: id.end_offset,
                    reply,
                })
            })
            .await??;
        self.unapplied.clear();
        self.config.snapshots.note_loaded(id, loaded.finished);
        self.config.snapshots.forget_before(id).await;
        self.config.replayer = loaded.replayer;
        let voters = loaded.voters.unwrap_or_default();
        self.config.raft.voters_changed(voters.clone());
        self.view.voters.replace(voters);
        let old = self.publisher.newest();
        // Its own delta leads from an empty image.
        if let Some((image, _)) = self.config.replayer.publish(loaded.provenance) {
            let delta = Delta::between(&old, &image);
            self.publisher.publish(image, &delta);
        }
        let mut outputs = Vec::new();
        self.config
            .raft
            .step(Input::SnapshotLoaded(id), &mut outputs);
        self.carry_out(outputs).await;
        tracing::info!(snapshot = %id, bytes = loaded.finished.bytes, "loaded the controller's snapshot");
        Ok(())
    }

    fn fetch_request(&self) -> FetchRequest {
        let claim = self.config.raft.fetch_claim();
        let partition = FetchPartition {
            partition: METADATA_PARTITION.index,
            current_leader_epoch: claim.epoch,
            fetch_offset: claim.fetch_offset,
            last_fetched_epoch: claim.last_fetched_epoch,
            log_start_offset: self.config.raft.log().start,
            partition_max_bytes: FETCH_BYTES_MAX,
            replica_directory_id: self.config.directory_id,
            high_watermark: self.config.raft.high_watermark(),
            ..Default::default()
        };
        FetchRequest {
            cluster_id: Some(self.config.cluster_id.clone()),
            replica_state: ReplicaState {
                replica_id: self.config.node_id,
                replica_epoch: -1,
                ..Default::default()
            },
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 0,
            max_bytes: FETCH_BYTES_MAX,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic_id: METADATA_PARTITION.topic,
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    async fn hear_of_leader(&mut self, news: LeaderNews) {
        let LeaderNews {
            leader_id,
            epoch,
            address,
        } = news;
        if epoch < 0 {
            return;
        }
        if address.is_some() {
            self.link.leader_is(address);
        }
        let mut outputs = Vec::new();
        self.config
            .raft
            .step(Input::LeaderHeard { leader_id, epoch }, &mut outputs);
        self.carry_out(outputs).await;
    }

    /// Takes records, or cuts the own log where it departs from the leader's.
    async fn take(&mut self, partition: PartitionData) -> Result<(), RoundError> {
        if partition.snapshot_id.end_offset >= 0 {
            let id = SnapshotId {
                end_offset: partition.snapshot_id.end_offset,
                epoch: partition.snapshot_id.epoch,
            };
            return self.begin_download(id).await;
        }
        if partition.diverging_epoch.end_offset >= 0 {
            let diverging = &partition.diverging_epoch;
            return self
                .truncate(
                    self.config
                        .raft
                        .truncation_for(diverging.epoch, diverging.end_offset),
                )
                .await;
        }
        let bytes = partition
            .records
            .map(Records::into_bytes)
            .unwrap_or_default();
        if !bytes.is_empty() {
            self.append(bytes).await?;
        }
        let mut outputs = Vec::new();
        self.config.raft.step(
            Input::HighWatermarkHeard(partition.high_watermark),
            &mut outputs,
        );
        self.carry_out(outputs).await;
        let is_caught_up = self.config.raft.high_watermark() >= partition.high_watermark;
        if let (true, Some(caught_up)) = (is_caught_up, self.caught_up.take()) {
            let _ = caught_up.send(());
        }
        Ok(())
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), RoundError> {
        let mut received = Vec::new();
        for batch in batches(bytes.clone()) {
            let batch = batch?;
            batch.check_crc()?;
            received.push(batch);
        }
        let partition = METADATA_PARTITION;
        let end = self
            .partitions
            .ask(|reply| {
                Request::Replicate(Replicate {
                    partition,
                    batches: bytes,
                    reply,
                })
            })
            .await??;
        let mut outputs = Vec::new();
        for batch in received {
            let header = batch.header();
            let appended = Input::Appended {
                epoch: header.partition_leader_epoch,
                start: header.base_offset,
                end: header.next_offset(),
            };
            self.config.raft.step(appended, &mut outputs);
            self.unapplied.push(batch);
        }
        self.config.raft.step(Input::Flushed(end), &mut outputs);
        self.carry_out(outputs).await;
        Ok(())
    }

    async fn truncate(&mut self, end: i64) -> Result<(), RoundError> {
        tracing::warn!(
            end,
            "the metadata log departs from the leader's; cutting it"
        );
        let partition = METADATA_PARTITION;
        self.partitions
            .ask(|reply| {
                Request::Truncate(Truncate {
                    partition,
                    end,
                    reply,
                })
            })
            .await??;
        self.unapplied
            .retain(|batch| batch.header().base_offset < end);
        let mut outputs = Vec::new();
        self.config.raft.step(Input::Truncated(end), &mut outputs);
        self.carry_out(outputs).await;
        Ok(())
    }

    async fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Persist(state) => {
                    if let Err(error) = self.config.dir.write_quorum_state(state).await {
                        tracing::error!(%error, "cannot write quorum-state; stopping");
                        std::process::exit(1);
                    }
                }
                Output::BecameFollower { leader_id, epoch } => {
                    self.view.leader_id.set(leader_id);
                    self.view.epoch.set(epoch);
                    tracing::info!(leader_id, epoch, "following the metadata quorum");
                }
                Output::BecameLeader { epoch, .. } => {
                    unreachable!(
                        "a process without the controller role never leads (epoch {epoch})"
                    )
                }
                Output::Committed(end) => {
                    if let Err(error) = self.apply_committed(end) {
                        // Going on without a record would serve metadata that is not the cluster's.
                        tracing::error!(%error, "stopping");
                        std::process::exit(1);
                    }
                }
            }
        }
    }

    fn apply_committed(&mut self, end: i64) -> Result<(), MetadataLogError> {
        self.view.high_watermark.set(end);
        let committed = self
            .unapplied
            .partition_point(|batch| batch.header().next_offset() <= end);
        for batch in self.unapplied.drain(..committed) {
            if let Some(voters) = log::apply(&mut self.config.replayer, &batch)? {
                self.config.raft.voters_changed(voters.clone());
                self.view.voters.replace(voters);
            }
            self.config.snapshots.note_committed(batch.size());
            let header = batch.header();
            let provenance = Provenance {
                offset: header.last_offset(),
                epoch: header.partition_leader_epoch,
                timestamp_ms: header.max_timestamp,
            };
            if let Some((image, delta)) = self.config.replayer.publish(provenance) {
                self.publisher.publish(image, &delta);
            }
        }
        Ok(())
    }
}
