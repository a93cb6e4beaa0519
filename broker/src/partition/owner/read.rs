//! The owner's reading side: fetches from memory, those that wait, and questions about offsets and epochs.
//!
//! Invariant: nothing above the high watermark is given to a consumer. Not here: cold reads, which leave
//! the loop (handlers/fetch.rs), waiting itself (`waiters.rs`).

use std::ops::Bound;

use ottla_broker_storage::{Damage, LogId, Read, ReadError};

use super::{Owner, UPKEEP_EVERY, out_of_range};
use crate::partition::{
    EpochEndQuery, Fetch, FetchWant, Fetched, FetchedData, LogBounds, OffsetAnswer, OffsetAt,
    OffsetQuery, PartitionError, PartitionId, ReadLimit, ReplicaFigures, Scan, Survey, Surveyed,
};

impl Owner {
    pub(super) fn fetch(&mut self, fetch: Fetch) {
        let found = self.read_all(&fetch);
        let is_enough =
            found.has_news || found.bytes >= fetch.min_bytes || fetch.deadline <= self.rt.now();
        if is_enough {
            let _ = fetch.reply.send(found.outcomes);
        } else {
            self.waiters.add(fetch);
        }
    }

    fn read_all(&self, fetch: &Fetch) -> Found {
        let mut found = Found {
            outcomes: Vec::with_capacity(fetch.wants.len()),
            bytes: 0,
            has_news: false,
        };
        for want in &fetch.wants {
            let left = fetch.max_bytes.saturating_sub(found.bytes);
            let outcome = self.read(want, fetch.upper, left, found.bytes == 0);
            match &outcome {
                Ok(fetched) => {
                    found.bytes += fetched.data.bytes_expected();
                    found.has_news |= fetched.diverging.is_some();
                }
                Err(_) => found.has_news = true,
            }
            found.outcomes.push(outcome);
        }
        found
    }

    fn read(
        &self,
        want: &FetchWant,
        limit: ReadLimit,
        left: usize,
        at_least_one: bool,
    ) -> Result<Fetched, PartitionError> {
        let replica = self.led(want.partition, want.leader_epoch)?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        let mut fetched = Fetched {
            data: FetchedData::Hot(Vec::new()),
            high_watermark: log.high_watermark(),
            log_start: log.log_start(),
            diverging: None,
        };
        if want.last_fetched_epoch >= 0 {
            let end = log.end_of_epoch(want.last_fetched_epoch);
            match end {
                Some(end) if end.epoch < want.last_fetched_epoch || end.end_offset < want.from => {
                    fetched.diverging = Some((end.epoch, end.end_offset));
                    return Ok(fetched);
                }
                Some(_) => {}
                None => return Err(out_of_range(want.from, log)),
            }
        }
        if want.from < log.log_start() || want.from > log.end() {
            return Err(out_of_range(want.from, log));
        }
        let upper = match limit {
            ReadLimit::HighWatermark => log.high_watermark(),
            ReadLimit::LogEnd => log.end(),
        };
        let max_bytes = want.max_bytes.min(left);
        if want.from >= upper || (max_bytes == 0 && !at_least_one) {
            return Ok(fetched);
        }
        fetched.data = self.read_log(replica.log, want.from, max_bytes, upper)?;
        Ok(fetched)
    }

    fn read_log(
        &self,
        log: LogId,
        from: i64,
        max_bytes: usize,
        upper: i64,
    ) -> Result<FetchedData, PartitionError> {
        match self.set.read(log, from, max_bytes, upper) {
            Ok(Read::Ready(fetched)) => Ok(FetchedData::Hot(fetched.parts)),
            Ok(Read::Cold(read)) => Ok(FetchedData::Cold(read)),
            Err(ReadError::OffsetOutOfRange {
                offset,
                log_start,
                end,
            }) => Err(PartitionError::OffsetOutOfRange {
                offset,
                start: log_start,
                end,
            }),
            Err(error) => Err(PartitionError::Storage(error.to_string())),
        }
    }

    pub(super) fn serve_waiters(&mut self, partition: PartitionId) {
        for id in self.waiters.of(partition) {
            let Some(fetch) = self.waiters.fetch(id) else {
                continue;
            };
            if fetch.reply.is_closed() {
                self.waiters.remove(id);
                continue;
            }
            let found = self.read_all(fetch);
            if (found.has_news || found.bytes >= fetch.min_bytes)
                && let Some(fetch) = self.waiters.remove(id)
            {
                let _ = fetch.reply.send(found.outcomes);
            }
        }
    }

    pub(super) fn pass_time(&mut self) {
        let now = self.rt.now();
        while let Some(fetch) = self.waiters.expired(now) {
            let found = self.read_all(&fetch);
            let _ = fetch.reply.send(found.outcomes);
        }
        self.set.upkeep(self.rt.wall_clock_ms());
        self.upkeep_due = now + UPKEEP_EVERY;
    }

    pub(super) fn bounds(&self, partition: PartitionId) -> Result<LogBounds, PartitionError> {
        let log = self.log_of(partition)?;
        Ok(LogBounds {
            log_start: log.log_start(),
            high_watermark: log.high_watermark(),
            log_end: log.end(),
            bytes: log.size_bytes(),
        })
    }

    pub(super) fn survey(&self, survey: Survey) {
        let from = survey.after.map_or(Bound::Unbounded, Bound::Excluded);
        let replicas = self.hosted.range((from, Bound::Unbounded));
        let replicas = replicas.filter_map(|(partition, replica)| {
            Some(ReplicaFigures {
                partition: *partition,
                leads: replica.leads,
                is_damaged: self.set.log(replica.log)?.damage().is_some(),
                log: self.bounds(*partition).ok()?,
            })
        });
        let _ = survey.reply.send(Surveyed {
            replicas: replicas.take(survey.replicas_max).collect(),
            commits: self.set.commit_figures(),
        });
    }

    pub(super) fn scan(&self, scan: Scan) {
        let read = self.bounds(scan.partition).and_then(|bounds| {
            let replica = self
                .hosted
                .get(&scan.partition)
                .ok_or(PartitionError::NotLeader)?;
            self.read_log(replica.log, scan.from, scan.max_bytes, bounds.log_end)
        });
        let _ = scan.reply.send(read);
    }

    pub(super) fn mark_corrupt(&mut self, partition: PartitionId, damage: Damage) {
        let Some(replica) = self.hosted.get(&partition) else {
            return;
        };
        tracing::error!(%damage, "this partition is damaged on disk and refuses to lead");
        let marked = self.set.mark_damaged(replica.log, damage);
        debug_assert!(marked.is_ok(), "a hosted partition has a log");
    }

    pub(super) fn offset(&self, query: OffsetQuery) {
        let _ = query
            .reply
            .send(self.find_offset(query.partition, query.at, query.leader_epoch));
    }

    fn find_offset(
        &self,
        partition: PartitionId,
        at: OffsetAt,
        epoch: i32,
    ) -> Result<OffsetAnswer, PartitionError> {
        let replica = self.led(partition, epoch)?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        let known = |offset: i64| OffsetAnswer::Known {
            offset,
            timestamp: -1,
            // The end belongs to the leader's epoch: what comes next will carry it.
            leader_epoch: log.epoch_of(offset).unwrap_or(replica.leader_epoch),
        };
        Ok(match at {
            OffsetAt::Latest => known(log.high_watermark()),
            OffsetAt::Earliest => known(log.log_start()),
            OffsetAt::MaxTimestamp | OffsetAt::Timestamp(_) => OffsetAnswer::Lookup {
                reader: Box::new(
                    self.set
                        .reader(replica.log)
                        .map_err(|error| PartitionError::Storage(error.to_string()))?,
                ),
                at,
                upper: log.high_watermark(),
            },
        })
    }

    pub(super) fn epoch_end(&self, query: EpochEndQuery) {
        let end = self
            .led(query.partition, query.current_leader_epoch)
            .and_then(|replica| {
                let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
                let end = log.end_of_epoch(query.leader_epoch);
                Ok(end.map_or((-1, -1), |end| (end.epoch, end.end_offset)))
            });
        let _ = query.reply.send(end);
    }
}

struct Found {
    outcomes: Vec<Result<Fetched, PartitionError>>,
    bytes: usize,
    has_news: bool,
}
