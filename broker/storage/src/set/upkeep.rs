//! The owner's two other calls: the disk's answers, and the passing of time.

use std::io;

use super::commit::Flushed;
use super::flight::{Answer, Flight, Progress};
use super::{LogSet, Removal};
use crate::dir::DirError;
use crate::disk::{DiskOp, DiskOutcome, Lane, Space};
use crate::entry::{Durability, LogId};

/// Space is looked at this often while there is enough, and while there is not.
const SPACE_CHECK_MS: i64 = 2000;
const FULL_CHECK_MS: i64 = 250;

/// With less than this it is looked at after every append: more than is appended while the disk answers.
const SPACE_LOW_BYTES: u64 = 16 << 20;

/// Producers are looked through this often (`producer.id.expiration.check.interval.ms`).
const EXPIRY_CHECK_MS: i64 = 600_000;

impl LogSet {
    /// Resolves when the disk has answered something; give the answer to [`LogSet::apply`]. Dropping the future loses
    /// nothing. Never resolves while nothing is under way.
    pub async fn next(&mut self) -> Progress {
        match self.untold.is_empty() {
            true => self.flights.next().await,
            false => Progress::none(),
        }
    }

    /// Takes the disk's answers in and sends on what they allow. Returns the logs that are durable further than before.
    /// `Err`: the directory has just died; what was not flushed is lost.
    pub fn apply(&mut self, progress: Progress, now_ms: i64) -> Result<Vec<Flushed>, DirError> {
        let mut flushed = std::mem::take(&mut self.untold);
        for answer in progress.0 {
            self.take_answer(answer, now_ms, &mut flushed)?;
        }
        self.begin_checkpoint(now_ms);
        self.checkpoint_step(now_ms);
        self.submit(now_ms);
        Ok(flushed)
    }

    fn take_answer(
        &mut self,
        Answer { flight, result }: Answer,
        now_ms: i64,
        flushed: &mut Vec<Flushed>,
    ) -> Result<(), DirError> {
        match (flight, step_results(result)) {
            (Flight::Commit, Ok(_)) => {
                self.group_is_durable(flushed);
                self.evict();
            }
            // Only the write can want for space: a group that was not synced is simply written again.
            (Flight::Commit, Err(failed)) if failed.is_full && failed.steps_done == 0 => {
                self.wait_for_space();
                self.found_no_space();
            }
            (Flight::WriteOut, Ok(_)) => self.written_out(now_ms, flushed),
            (Flight::WriteOut, Err(failed)) if failed.is_full => {
                self.put_back();
                self.found_no_space();
            }
            (Flight::Manifest, Ok(_)) => self.checkpoint_is_done(),
            (Flight::Manifest, Err(failed)) if failed.is_full => {
                self.checkpoint_is_lost();
                self.found_no_space();
            }
            (Flight::Sync(_), Ok(_)) => {}
            // A log that was deleted meanwhile has its directory under another name; nothing of it is wanted any more.
            (Flight::Sync(Some(id)), Err(failed))
                if failed.error.kind() == io::ErrorKind::NotFound
                    && !self.logs.contains_key(&id) => {}
            (Flight::Retiring(_), Ok(_)) => {}
            // A log that was never written to has no directory.
            (Flight::Retiring(_), Err(failed))
                if failed.error.kind() == io::ErrorKind::NotFound && failed.steps_done == 0 => {}
            (Flight::Chunk(chunk), Ok(_)) => self.ring.add(chunk),
            // Without a further chunk the log goes on in those that it has. What was made of this one is room that
            // everything else needs.
            (Flight::Chunk(chunk), Err(failed)) if failed.is_full => {
                self.remove_failed_chunk(chunk);
                self.found_no_space();
            }
            (Flight::FailedChunk, _) => {}
            (Flight::Space, Ok(Some(DiskOutcome::Space(space)))) => {
                // What was acknowledged and is not written out yet has its place already.
                let free = space.free.saturating_sub(self.behind_bytes as u64);
                self.space_left = Some(self.dir.note_space(Space { free, ..space }));
                // On a small disk the records come first.
                let small = (space.total / 8).max(4 * self.limits.chunk_bytes_first);
                self.commit_log_bytes_max = self.limits.commit_log_bytes_max.min(small);
                if self.has_no_space && !self.dir.health().is_full() {
                    self.has_no_space = false;
                    self.write_again();
                }
            }
            (Flight::Space, _) | (Flight::Tidying, _) => {}
            (_, Err(failed)) => return Err(self.dir.kill(flight_name(flight), failed.error)),
        }
        Ok(())
    }

    fn found_no_space(&mut self) {
        self.has_no_space = true;
        self.dir.set_full();
    }

    /// Time has passed. Call it a few times a second, at the latest at [`LogSet::next_deadline_ms`].
    pub fn upkeep(&mut self, now_ms: i64) {
        if self.health().is_dead() {
            return;
        }
        if now_ms >= self.next_retention_ms {
            self.next_retention_ms = now_ms.saturating_add(self.limits.retention_check_ms);
            self.retain(now_ms);
        }
        if now_ms >= self.next_expiry_ms {
            self.next_expiry_ms = now_ms.saturating_add(EXPIRY_CHECK_MS);
            for log in self.logs.values_mut() {
                let expiration_ms = log.config().producer_expiration_ms;
                log.entry.state.producers.expire(now_ms, expiration_ms);
            }
        }
        let wants_sync = |id| {
            let log: &super::Log = &self.logs[id];
            let waited = now_ms.saturating_sub(log.unsynced_since_ms) >= log.config().flush_ms;
            log.config().durability == Durability::PageCache && log.unsynced_records > 0 && waited
        };
        if self
            .changed
            .iter()
            .filter(|id| self.logs.contains_key(id))
            .any(wants_sync)
        {
            self.checkpoint.hurry();
        }
        self.look_at_space(now_ms);
        self.remove_due(now_ms);
        self.submit(now_ms);
        self.begin_checkpoint(now_ms);
        self.checkpoint_step(now_ms);
    }

    /// The disk owes no answer.
    pub fn is_quiet(&self) -> bool {
        self.flights.is_empty() && self.untold.is_empty()
    }

    /// When [`LogSet::upkeep`] has something to do next, in wall-clock ms; only a hint, calls in between are fine.
    pub fn next_deadline_ms(&self, now_ms: i64) -> i64 {
        let mut next = self.next_retention_ms.min(self.next_expiry_ms);
        next = next.min(
            self.removals
                .iter()
                .map(|removal| removal.due_ms)
                .min()
                .unwrap_or(i64::MAX),
        );
        if !self.changed.is_empty() {
            next = next.min(now_ms.saturating_add(SPACE_CHECK_MS));
        }
        if !self.behind.is_empty() {
            next = next.min(now_ms.saturating_add(self.limits.write_out_ms));
        }
        if self.dir.health().is_full() {
            next = next.min(now_ms.saturating_add(FULL_CHECK_MS));
        }
        next.max(now_ms)
    }

    fn look_at_space(&mut self, now_ms: i64) {
        let is_full = self.dir.health().is_full();
        let every = if is_full {
            FULL_CHECK_MS
        } else {
            SPACE_CHECK_MS
        };
        let is_wanted = is_full || self.space_left.is_none() || !self.changed.is_empty();
        if is_wanted && now_ms.saturating_sub(self.space_seen_ms) >= every {
            self.ask_for_space(now_ms);
        }
    }

    fn ask_for_space(&mut self, now_ms: i64) {
        if self.flights.count(|flight| *flight == Flight::Space) > 0 {
            return;
        }
        self.space_seen_ms = now_ms;
        let op = DiskOp::Space(self.dir.path().to_owned());
        self.flights
            .start(Flight::Space, self.dir.disk().submit(Lane::Any, op));
    }

    /// Bytes are taken of the disk. Before they are too many it is asked again; when they are, appends stop.
    pub(super) fn take_space(&mut self, bytes: u64, now_ms: i64) {
        let Some(left) = &mut self.space_left else {
            return;
        };
        *left = left.saturating_sub(bytes);
        if *left == 0 {
            self.dir.set_full();
        }
        if *left < SPACE_LOW_BYTES {
            self.ask_for_space(now_ms);
        }
    }

    fn remove_due(&mut self, now_ms: i64) {
        let durable = self.queue.durable();
        let (due, later) =
            std::mem::take(&mut self.removals)
                .into_iter()
                .partition(|removal: &Removal| {
                    let is_written = |(id, due): (LogId, u64)| {
                        self.logs.get(&id).is_none_or(|log| log.dues_written >= due)
                    };
                    removal.due_ms <= now_ms
                        && removal.after_group <= durable
                        && (!removal.after_checkpoint || removal.after_group <= self.released)
                        && removal.after_due.is_none_or(is_written)
                });
        self.removals = later;
        for removal in due {
            self.tidy(if removal.is_dir {
                DiskOp::RemoveTree(removal.path)
            } else {
                DiskOp::RemoveFile(removal.path)
            });
        }
    }

    /// A clean stop: everything is committed, written out, synced, and each log gets the files that Apache Kafka wants. When all
    /// sets of a directory are drained, [`crate::dir::LogDir::close_clean`] makes it Kafka's.
    pub async fn drain(&mut self, now_ms: i64) -> Result<(), DirError> {
        self.removals
            .iter_mut()
            .for_each(|removal| removal.due_ms = i64::MIN);
        self.settle(now_ms).await?;
        self.remove_due(now_ms);
        // Kafka takes a log's start from its first segment, so a power cut must not bring a removed one back. Every log that
        // lost segments is stale, and what is written for Kafka is synced with the log's directory: after the removals.
        self.answers(now_ms).await?;
        self.finish_for_kafka(now_ms);
        self.settle(now_ms).await
    }

    /// Takes in every answer that the disk still owes.
    async fn answers(&mut self, now_ms: i64) -> Result<(), DirError> {
        while !self.flights.is_empty() {
            let progress = self.flights.next().await;
            let flushed = self.apply(progress, now_ms)?;
            self.untold.extend(flushed);
        }
        Ok(())
    }

    /// Drives everything that is queued to its end, with a checkpoint behind it.
    pub(super) async fn settle(&mut self, now_ms: i64) -> Result<(), DirError> {
        self.checkpoint.hurry();
        loop {
            self.submit(now_ms);
            self.begin_checkpoint(now_ms);
            self.checkpoint_step(now_ms);
            if self.flights.is_empty() {
                let is_done =
                    self.queue.is_idle() && self.behind.is_empty() && self.checkpoint.is_idle();
                return match is_done {
                    true => Ok(()),
                    false => Err(self.dir.cannot_settle()),
                };
            }
            let progress = self.flights.next().await;
            let flushed = self.apply(progress, now_ms)?;
            self.untold.extend(flushed);
            if self.has_no_space {
                return Err(DirError::Full {
                    path: self.dir.path().to_owned(),
                });
            }
        }
    }
}

struct Failed {
    error: io::Error,
    is_full: bool,
    steps_done: usize,
}

/// The outcome of an operation or the first failure in a sequence of them.
fn step_results(result: io::Result<DiskOutcome>) -> Result<Option<DiskOutcome>, Failed> {
    let (error, steps_done) = match result {
        Ok(DiskOutcome::Sequence { failed: None, .. }) => return Ok(None),
        Ok(DiskOutcome::Sequence {
            failed: Some(error),
            done,
        }) => (error, done.len()),
        Ok(other) => return Ok(Some(other)),
        Err(error) => (error, 0),
    };
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    Err(Failed {
        error,
        is_full,
        steps_done,
    })
}

fn flight_name(flight: Flight) -> &'static str {
    match flight {
        Flight::Commit => "writing the commit log",
        Flight::WriteOut => "writing segments",
        Flight::Sync(_) => "syncing segments",
        Flight::Manifest => "writing the manifest",
        Flight::Chunk(_) => "making room for the commit log",
        Flight::FailedChunk => "removing a chunk of the commit log",
        Flight::Space => "asking for free space",
        Flight::Retiring(_) => "renaming the directory of a deleted log",
        Flight::Tidying => "removing old files",
    }
}
