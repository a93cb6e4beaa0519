//! The loop of a process that leads the metadata quorum: select an event, apply it, upkeep.
//!
//! Invariants: records are appended, then replayed, then (once flushed) committed, then published, and
//! only then is the reply released; everything that a decision saw was decided before it. A refused
//! append (disk full) takes the controller back to the last committed image and refuses what was
//! pending; a damaged log ends the process.
//! Not here: what to decide (broker/metadata), when records count as committed (broker/raft).

use std::collections::VecDeque;
use std::rc::Rc;

use ottla_broker_metadata::{
    Controller, ControllerOptions, Decision, Delta, Image, Provenance, Replayer, VersionedRecord,
};
use ottla_broker_raft::{
    FetchClaim, FetchVerdict, Input, Now, Output, PeerInput, Raft, ReplicaKey, SnapshotId,
};
use ottla_broker_storage::Origin;
use ottla_protocol::records::BatchView;
use ottla_protocol::{ErrorCode, Uuid};
use tokio::sync::{mpsc, oneshot};

use super::commands::{Command, Forwarded};
use super::describe_quorum::describe_quorum;
use super::files::MetadataDir;
use super::snapshots::Snapshots;
use super::{Judgement, METADATA_PARTITION, QuorumView, SnapshotJudgement, log};
use crate::partition::{Append, AppendEntry, Appended, PartitionError, PartitionsHandle, Request};
use crate::publish::Publisher;
use crate::rt::{Instant, Rt};

/// Records of a long decision per batch; Kafka's limit.
const RECORDS_PER_BATCH_MAX: usize = 10_000;

/// What the loop needs from the start of the process.
pub struct ActiveConfig {
    /// The controller's own settings.
    pub options: ControllerOptions,
    /// Where quorum-state and snapshots lie.
    pub dir: MetadataDir,
    /// Records that a new cluster begins with.
    pub bootstrap: Vec<VersionedRecord>,
    /// `min.insync.replicas` of server.properties, which a new cluster with ELR keeps in its log.
    pub min_insync_replicas: i32,
    /// The log, replayed.
    pub replayer: Replayer,
    /// Consensus, started.
    pub raft: Raft,
    /// What its start asked for.
    pub raft_outputs: Vec<Output>,
    /// The snapshots on this disk.
    pub snapshots: Snapshots,
}

/// Starts the loop on this shard; yields when the epoch's first records are committed.
pub async fn start(
    rt: &Rt,
    config: ActiveConfig,
    partitions: PartitionsHandle,
    publisher: Publisher,
    view: Rc<QuorumView>,
) -> Result<mpsc::UnboundedSender<Command>, log::MetadataLogError> {
    let (commands, requests) = mpsc::unbounded_channel();
    let (ends, append_ends) = mpsc::unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let committed = config.replayer.image().clone();
    let end = config.raft.log().end;
    let mut active = Active {
        controller: Controller::activate(
            config.options.clone(),
            config.replayer,
            end,
            rt.now().ms(),
        ),
        rt: Rc::clone(rt),
        options: config.options,
        dir: config.dir,
        raft: config.raft,
        partitions,
        publisher,
        view,
        committed,
        pending: VecDeque::new(),
        snapshots: config.snapshots,
        ends,
        generation: 0,
        ready: Some(ready),
    };
    active.carry_out(config.raft_outputs).await;
    let opening = active
        .controller
        .activation_records(&config.bootstrap, config.min_insync_replicas);
    if !opening.is_empty() {
        active.append(&opening, Vec::new());
    }
    rt.spawn(Box::pin(active.run(requests, append_ends)));
    // The loop lives as long as the shard; a dropped sender means that the shard is ending.
    let _ = is_ready.await;
    Ok(commands)
}

struct Active {
    rt: Rt,
    options: ControllerOptions,
    controller: Controller,
    raft: Raft,
    dir: MetadataDir,
    partitions: PartitionsHandle,
    publisher: Publisher,
    view: Rc<QuorumView>,
    /// The image as of the last commit: where a refused append leads back to.
    committed: Image,
    pending: VecDeque<Pending>,
    snapshots: Snapshots,
    ends: mpsc::UnboundedSender<AppendEnd>,
    /// Appends of an earlier generation were refused together.
    generation: u64,
    ready: Option<oneshot::Sender<()>>,
}

/// What waits for a commit.
struct Pending {
    /// Committed at this high watermark.
    end: i64,
    /// Length of the batch.
    bytes: usize,
    publish: Option<(Image, Delta)>,
    replies: Vec<Release>,
}

/// Releases a reply (`Ok`) or refuses it.
type Release = Box<dyn FnOnce(Result<(), ErrorCode>)>;

struct AppendEnd {
    generation: u64,
    outcome: Result<Appended, PartitionError>,
}

impl Active {
    async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Command>,
        mut append_ends: mpsc::UnboundedReceiver<AppendEnd>,
    ) {
        let rt = Rc::clone(&self.rt);
        loop {
            self.snapshots
                .upkeep(&self.publisher.newest(), &mut self.raft, &self.partitions)
                .await;
            let session = self.controller.next_deadline().map(Instant::from_ms);
            let deadline = session
                .into_iter()
                .chain(self.snapshots.next_deadline())
                .min();
            let wake = rt.sleep_until(deadline.unwrap_or(Instant::from_nanos(u64::MAX / 4)));
            tokio::select! {
                biased;
                end = append_ends.recv() => match end {
                    Some(end) => self.append_ended(end).await,
                    None => return,
                },
                command = requests.recv() => match command {
                    Some(command) => self.apply(command),
                    None => return,
                },
                () = self.snapshots.write_ended() => {}
                () = wake, if deadline.is_some() => self.expire_sessions(),
            }
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::CreateTopics(_, request, reply) => {
                let rt = Rc::clone(&self.rt);
                let mut new_id = || {
                    Uuid::from_random_bits(u128::from(rt.random()) << 64 | u128::from(rt.random()))
                };
                let decision = self
                    .controller
                    .create_topics(&request, &mut new_id, &|_| true);
                self.settle(&request, decision, reply);
            }
            Command::DeleteTopics(_, request, reply) => {
                let decision = self.controller.delete_topics(&request);
                self.settle(&request, decision, reply);
            }
            Command::CreatePartitions(_, request, reply) => {
                let decision = self.controller.create_partitions(&request);
                self.settle(&request, decision, reply);
            }
            Command::AlterConfigs(_, request, reply) => {
                let decision = self.controller.alter_configs(&request);
                self.settle(&request, decision, reply);
            }
            Command::IncrementalAlterConfigs(_, request, reply) => {
                let decision = self.controller.incremental_alter_configs(&request);
                self.settle(&request, decision, reply);
            }
            Command::UpdateFeatures(caller, request, reply) => {
                let decision = self.controller.update_features(&request, caller.version);
                self.settle(&request, decision, reply);
            }
            Command::UnregisterBroker(_, request, reply) => {
                let decision = self.controller.unregister_broker(&request);
                self.settle(&request, decision, reply);
            }
            Command::BrokerRegistration(_, request, reply) => {
                let (end, now_ms) = (self.raft.log().end, self.rt.now().ms());
                let decision =
                    self.controller
                        .register_broker(&request, end, log::KRAFT_VERSION, now_ms);
                self.settle(&request, decision, reply);
            }
            Command::BrokerHeartbeat(_, request, reply) => {
                let now_ms = self.rt.now().ms();
                let sessions = self.controller.sessions_mut();
                sessions.heard(
                    request.broker_id,
                    request.broker_epoch,
                    request.current_metadata_offset,
                    now_ms,
                );
                let decision = self.controller.broker_heartbeat(&request);
                self.settle(&request, decision, reply);
            }
            Command::AllocateProducerIds(_, request, reply) => {
                let decision = self.controller.allocate_producer_ids(&request);
                self.settle(&request, decision, reply);
            }
            Command::ListPartitionReassignments(_, request, reply) => {
                let response = self.controller.list_partition_reassignments(&request);
                self.settle(&request, Decision::nothing(response), reply);
            }
            Command::DescribeQuorum(caller, request, reply) => {
                let response = describe_quorum(&self.raft, self.now(), &request, caller.version);
                // The asker may have gone.
                let _ = reply.send(response);
            }
            Command::JudgeFetch {
                replica,
                claim,
                reply,
            } => {
                let _ = reply.send(self.judge_fetch(replica, claim));
            }
            Command::JudgeSnapshot {
                replica,
                epoch,
                id,
                reply,
            } => {
                let _ = reply.send(self.judge_snapshot_fetch(replica, epoch, id));
            }
        }
    }

    /// Appends what a decision wants and releases its reply at the commit of its last record. A decision
    /// without records still waits for those before it, which it may have seen.
    fn settle<R: Forwarded>(
        &mut self,
        request: &R,
        decision: Decision<R::Response>,
        reply: oneshot::Sender<R::Response>,
    ) {
        let refused = |error: ErrorCode| request.refused(error);
        let on_refusal = refused(ErrorCode::KAFKA_STORAGE_ERROR);
        let response = decision.reply;
        let release: Release = Box::new(move |outcome| {
            // The asker may have gone.
            let _ = reply.send(if outcome.is_ok() {
                response
            } else {
                on_refusal
            });
        });
        if decision.records.is_empty() {
            match self.pending.back_mut() {
                Some(last) => last.replies.push(release),
                None => release(Ok(())),
            }
            return;
        }
        self.append_all(&decision.records, decision.atomic, release);
    }

    fn append_all(&mut self, records: &[VersionedRecord], atomic: bool, release: Release) {
        let per_batch = if atomic {
            records.len()
        } else {
            RECORDS_PER_BATCH_MAX
        };
        let mut batches = records.chunks(per_batch).peekable();
        let mut release = Some(release);
        while let Some(batch) = batches.next() {
            let replies = if batches.peek().is_none() {
                release.take().into_iter().collect()
            } else {
                Vec::new()
            };
            self.append(batch, replies);
        }
    }

    /// Appends one batch and replays it at once.
    fn append(&mut self, records: &[VersionedRecord], replies: Vec<Release>) {
        let (base, epoch) = (self.raft.log().end, self.raft.epoch());
        let now_ms = self.rt.wall_clock_ms();
        let batch = log::batch_of(records, epoch, base, now_ms)
            .expect("decisions are made in versions that can be written");
        let end = base + records.len() as i64;
        let replayed = self
            .controller
            .replay(base, records.iter().map(|record| &record.record));
        replayed.expect("what was decided on an image can be applied to it");
        let publish = self.controller.publish(Provenance {
            offset: end - 1,
            epoch,
            timestamp_ms: now_ms,
        });
        let bytes = batch.size();
        self.append_batch(batch, epoch, base, end);
        self.pending.push_back(Pending {
            end,
            bytes,
            publish,
            replies,
        });
    }

    fn append_batch(&mut self, batch: BatchView, epoch: i32, start: i64, end: i64) {
        let mut outputs = Vec::new();
        self.raft
            .step(Input::Appended { epoch, start, end }, &mut outputs);
        assert!(
            outputs.is_empty(),
            "nothing is committed before it is flushed"
        );
        let entry = AppendEntry {
            partition: METADATA_PARTITION,
            batch,
            leader_epoch: epoch,
            origin: Origin::Replication,
        };
        let appended = self.partitions.ask(|reply| {
            Request::Append(Append {
                entries: vec![entry],
                reply,
            })
        });
        let (ends, generation) = (self.ends.clone(), self.generation);
        self.rt.spawn(Box::pin(async move {
            let outcome = appended
                .await
                .and_then(|mut outcomes| outcomes.pop().unwrap_or(Err(PartitionError::Stopping)));
            let _ = ends.send(AppendEnd {
                generation,
                outcome,
            });
        }));
    }

    async fn append_ended(&mut self, end: AppendEnd) {
        if end.generation != self.generation {
            return;
        }
        match end.outcome {
            Ok(appended) => {
                let mut outputs = Vec::new();
                self.raft
                    .step(Input::Flushed(appended.end_offset), &mut outputs);
                self.carry_out(outputs).await;
            }
            Err(PartitionError::Stopping) => self.refuse_pending(ErrorCode::NOT_CONTROLLER),
            Err(error) => self.go_back(&error),
        }
    }

    /// The log refused a batch, so nothing of it or after it is there: back to the last commit.
    fn go_back(&mut self, error: &PartitionError) {
        tracing::error!(%error, "the metadata log refuses writes; changes are refused until it takes them again");
        self.generation += 1;
        let end = self.raft.high_watermark();
        let mut outputs = Vec::new();
        self.raft.step(Input::Truncated(end), &mut outputs);
        let replayer = Replayer::new(self.committed.clone());
        self.controller =
            Controller::activate(self.options.clone(), replayer, end, self.rt.now().ms());
        self.refuse_pending(ErrorCode::KAFKA_STORAGE_ERROR);
    }

    fn refuse_pending(&mut self, error: ErrorCode) {
        for pending in std::mem::take(&mut self.pending) {
            pending
                .replies
                .into_iter()
                .for_each(|release| release(Err(error)));
        }
    }

    async fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Persist(state) => {
                    if let Err(error) = self.dir.write_quorum_state(state).await {
                        // An epoch that is not remembered could be voted in twice.
                        tracing::error!(%error, "cannot write quorum-state; stopping");
                        std::process::exit(1);
                    }
                }
                Output::BecameLeader {
                    epoch,
                    bootstrap_voters,
                } => self.open_epoch(epoch, bootstrap_voters.as_ref()),
                Output::BecameFollower { leader_id, epoch } => {
                    tracing::warn!(
                        leader_id,
                        epoch,
                        "another node claims to lead a quorum of one"
                    );
                }
                Output::Committed(end) => self.committed(end),
            }
        }
    }

    fn open_epoch(
        &mut self,
        epoch: i32,
        bootstrap_voters: Option<&ottla_protocol::messages::voters_record::VotersRecord>,
    ) {
        let (base, me) = (self.raft.log().end, self.options.node_id);
        let now_ms = self.rt.wall_clock_ms();
        let batch = log::epoch_opening(
            epoch,
            base,
            me,
            self.raft.voters(),
            bootstrap_voters,
            now_ms,
        )
        .expect("control records can be written");
        let end = batch.header().next_offset();
        let bytes = batch.size();
        self.append_batch(batch, epoch, base, end);
        self.pending.push_back(Pending {
            end,
            bytes,
            publish: None,
            replies: Vec::new(),
        });
        self.view.leader_id.set(me);
        self.view.epoch.set(epoch);
        self.view.voters.replace(self.raft.voters().clone());
        tracing::info!(epoch, "leading the metadata quorum");
    }

    fn committed(&mut self, high_watermark: i64) {
        self.view.high_watermark.set(high_watermark);
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.end <= high_watermark)
        {
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            self.snapshots.note_committed(pending.bytes);
            if let Some((image, delta)) = pending.publish {
                self.committed = image.clone();
                self.publisher.publish(image, &delta);
            }
            pending
                .replies
                .into_iter()
                .for_each(|release| release(Ok(())));
        }
        if let (true, Some(ready)) = (self.pending.is_empty(), self.ready.take()) {
            let _ = ready.send(());
        }
    }

    fn expire_sessions(&mut self) {
        while let Some(decision) = self.controller.expire(self.rt.now().ms()) {
            tracing::warn!(
                broker = decision.reply,
                "no heartbeat within broker.session.timeout.ms; fencing the broker"
            );
            self.append_all(&decision.records, decision.atomic, Box::new(|_| {}));
        }
    }

    fn judge_fetch(&mut self, replica: ReplicaKey, claim: FetchClaim) -> Judgement {
        let verdict = self.raft.judge_fetch(claim);
        if verdict == FetchVerdict::Serve {
            let offset = claim.fetch_offset;
            self.hear_from(PeerInput::Fetched { replica, offset });
        }
        Judgement {
            verdict,
            leader_id: self.raft.leader_id(),
            epoch: self.raft.epoch(),
            high_watermark: self.raft.high_watermark(),
            log_start: self.raft.log().start,
        }
    }

    fn judge_snapshot_fetch(
        &mut self,
        replica: ReplicaKey,
        epoch: i32,
        id: SnapshotId,
    ) -> SnapshotJudgement {
        let file = self.raft.leads_in(epoch).and_then(|()| {
            self.hear_from(PeerInput::FetchedSnapshot { replica });
            let found = self.snapshots.find(id);
            found.ok_or(ErrorCode::SNAPSHOT_NOT_FOUND)
        });
        SnapshotJudgement {
            file,
            leader_id: self.raft.leader_id(),
            epoch: self.raft.epoch(),
        }
    }

    fn hear_from(&mut self, input: PeerInput) {
        let mut outputs = Vec::new();
        self.raft.peer(input, self.now(), &mut outputs);
        assert!(
            outputs.is_empty(),
            "who only observes a quorum of one decides nothing in it"
        );
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: self.rt.now().ms(),
            wall_ms: self.rt.wall_clock_ms(),
        }
    }
}
