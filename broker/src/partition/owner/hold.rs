//! Which logs the owner holds, and where they begin and end: hosted and dropped as metadata says, cut, and
//! closed in order.
//!
//! Not here: deciding any of it (handlers, controller, publish).

use ottla_broker_storage::{Log, LogId, LogName};

use super::{Cut, Owner, Replica, out_of_range};
use crate::partition::{
    DeleteRecords, Hosted, PartitionError, PartitionId, Publication, StartAt, Truncate,
};

impl Owner {
    pub(super) fn delete_records(&mut self, delete: DeleteRecords) {
        let moved = self.move_log_start(delete.partition, delete.before);
        let _ = delete.reply.send(moved);
    }

    fn move_log_start(
        &mut self,
        partition: PartitionId,
        before: i64,
    ) -> Result<i64, PartitionError> {
        let replica = self.led(partition, -1)?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        let target = if before == -1 {
            log.high_watermark()
        } else {
            before
        };
        if target < 0 || target > log.high_watermark() {
            return Err(out_of_range(target, log));
        }
        let moved = self
            .set
            .delete_records(replica.log, target, self.rt.wall_clock_ms());
        moved.map_err(|error| PartitionError::Storage(error.to_string()))?;
        let log = self.set.log(replica.log).ok_or(PartitionError::NotLeader)?;
        Ok(log.log_start())
    }

    pub(super) fn raise_log_start(
        &mut self,
        partition: PartitionId,
        log_start: i64,
    ) -> Result<(), PartitionError> {
        let log = self.log_of(partition)?.id();
        self.set
            .raise_log_start(log, log_start, self.rt.wall_clock_ms())
            .map_err(|error| PartitionError::Storage(error.to_string()))
    }

    /// Rare, and nothing else may happen to the log meanwhile: the loop waits for it.
    pub(super) async fn cut(&mut self, cut: Cut) {
        let now_ms = self.rt.wall_clock_ms();
        let log = self.log_of(cut.partition()).map(Log::id);
        let (done, reply) = match (log, cut) {
            (
                Err(error),
                Cut::Truncate(Truncate { reply, .. }) | Cut::StartAt(StartAt { reply, .. }),
            ) => {
                let _ = reply.send(Err(error));
                return;
            }
            (Ok(log), Cut::Truncate(Truncate { end, reply, .. })) => (
                self.set.truncate_to(log, end, now_ms).await.map(drop),
                reply,
            ),
            (Ok(log), Cut::StartAt(StartAt { offset, reply, .. })) => (
                self.set
                    .truncate_fully_and_start_at(log, offset, now_ms)
                    .await,
                reply,
            ),
        };
        let _ = reply.send(done.map_err(|error| PartitionError::Storage(error.to_string())));
    }

    pub(super) fn publish(&mut self, publication: Publication) {
        for partition in publication.dropped {
            self.drop_partition(partition);
        }
        for hosted in publication.hosted {
            self.host(hosted);
        }
    }

    fn host(&mut self, hosted: Hosted) {
        let now_ms = self.rt.wall_clock_ms();
        let known = self.hosted.get(&hosted.partition).copied();
        let log = match known {
            Some(replica) => {
                let configured = self.set.configure(replica.log, hosted.config);
                debug_assert!(configured.is_ok(), "a hosted partition has a log");
                replica.log
            }
            None => match self.found.remove(&hosted.partition) {
                Some(found) => self.set.adopt(found, hosted.config),
                None => {
                    let name = LogName::new(hosted.topic_name, hosted.partition.index);
                    self.set
                        .create(name, hosted.partition.topic, hosted.config, now_ms)
                }
            },
        };
        let begins = hosted.leads
            && known
                .is_none_or(|replica| !replica.leads || replica.leader_epoch < hosted.leader_epoch);
        if begins {
            let begun = self.set.begin_epoch(log, hosted.leader_epoch);
            debug_assert!(begun.is_ok(), "the log was just found or made");
            self.lead(log);
        }
        let replica = Replica {
            log,
            leads: hosted.leads,
            leader_epoch: hosted.leader_epoch,
        };
        self.hosted.insert(hosted.partition, replica);
        self.by_log.insert(log, hosted.partition);
        if known.is_some_and(|known| {
            known.leads && !hosted.leads || known.leader_epoch != hosted.leader_epoch
        }) {
            // Whoever waits here must look for the new leader or learn the new epoch.
            self.serve_waiters(hosted.partition);
        }
    }

    /// The only replica leads: all that is durable is committed.
    fn lead(&mut self, log: LogId) {
        let Some(state) = self.set.log(log) else {
            return;
        };
        if let Some(damage) = state.damage() {
            tracing::error!(partition = %state.name(), %damage, "this partition refuses to lead");
        }
        let flushed_end = state.flushed_end();
        let moved = self.set.set_high_watermark(log, flushed_end);
        debug_assert!(moved.is_ok(), "the log was just looked at");
    }

    fn drop_partition(&mut self, partition: PartitionId) {
        let Some(replica) = self.hosted.remove(&partition) else {
            return;
        };
        self.by_log.remove(&replica.log);
        let removed = self.set.remove(replica.log, self.rt.wall_clock_ms());
        debug_assert!(removed.is_ok(), "a hosted partition has a log");
        for waiting in self.unacknowledged.remove(&partition).into_iter().flatten() {
            if let Some(ticket) = self.tickets.get_mut(&waiting.ticket) {
                ticket.outcomes[waiting.entry] = Err(PartitionError::NotLeader);
            }
            self.count_down(waiting.ticket);
        }
        self.serve_waiters(partition);
    }

    /// What the metadata does not know of is kept, but out of the way.
    pub(super) fn retire_unclaimed(&mut self) {
        for (_, found) in std::mem::take(&mut self.found) {
            tracing::warn!(partition = %found.name(), "the metadata does not know this partition; its directory is renamed to -stray");
            let log = self.set.adopt(found, Default::default());
            let retired = self.set.retire_stray(log);
            debug_assert!(retired.is_ok(), "the log was just adopted");
        }
    }

    /// True when everything is written out.
    pub(super) async fn stop(&mut self) -> bool {
        for (_, ticket) in std::mem::take(&mut self.tickets) {
            tracing::debug!(left = ticket.left, "an append is not acknowledged any more");
        }
        match self.set.drain(self.rt.wall_clock_ms()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "not everything could be written out");
                false
            }
        }
    }
}
