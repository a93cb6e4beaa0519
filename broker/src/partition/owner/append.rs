//! The owner's writing side: appends join the next group commit, and leave an acknowledgement when it is
//! durable.
//!
//! Invariant: a request is answered once, when each of its entries is flushed or refused; nothing that was
//! not flushed is acknowledged, ever. Not here: validation (handlers), files (broker/storage).

use ottla_protocol::records::batches;

use super::{Owner, Ticket, TicketReply, Unacknowledged};
use crate::partition::{Append, AppendEntry, Appended, PartitionError, PartitionId, Replicate};

impl Owner {
    pub(super) fn append(&mut self, append: Append) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut outcomes = Vec::with_capacity(append.entries.len());
        let mut left = 0;
        for (index, entry) in append.entries.into_iter().enumerate() {
            match self.append_entry(entry) {
                Ok((partition, appended)) => {
                    outcomes.push(Ok(appended));
                    if self.is_flushed(partition, appended.end_offset) {
                        continue;
                    }
                    left += 1;
                    let waiting = Unacknowledged {
                        end: appended.end_offset,
                        ticket,
                        entry: index,
                    };
                    self.unacknowledged
                        .entry(partition)
                        .or_default()
                        .push_back(waiting);
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        let ticket_state = Ticket {
            outcomes,
            left,
            reply: TicketReply::Append(append.reply),
        };
        self.hold_or_answer(ticket, ticket_state);
    }

    fn append_entry(
        &mut self,
        entry: AppendEntry,
    ) -> Result<(PartitionId, Appended), PartitionError> {
        let partition = entry.partition;
        let replica = self.led(partition, entry.leader_epoch)?;
        let origin = entry.origin;
        let stamps = entry.batch.header().attributes.timestamp_type();
        let log_append_time_ms = match stamps {
            ottla_protocol::records::TimestampType::LogAppendTime => {
                entry.batch.header().max_timestamp
            }
            ottla_protocol::records::TimestampType::CreateTime => -1,
        };
        let now_ms = self.rt.wall_clock_ms();
        let appended = self.set.append_as_leader(
            replica.log,
            vec![entry.batch],
            replica.leader_epoch,
            origin,
            now_ms,
        )?;
        Ok((
            partition,
            Appended {
                base_offset: appended.first_offset,
                end_offset: appended.last_offset + 1,
                log_append_time_ms,
                log_start: appended.log_start,
            },
        ))
    }

    pub(super) fn replicate(&mut self, replicate: Replicate) {
        let appended = self.replicate_batches(&replicate);
        match appended {
            Ok(end) if self.is_flushed(replicate.partition, end) => {
                let _ = replicate.reply.send(Ok(end));
            }
            Ok(end) => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                let waiting = Unacknowledged {
                    end,
                    ticket,
                    entry: 0,
                };
                self.unacknowledged
                    .entry(replicate.partition)
                    .or_default()
                    .push_back(waiting);
                let appended = Appended {
                    base_offset: end,
                    end_offset: end,
                    log_append_time_ms: -1,
                    log_start: -1,
                };
                let state = Ticket {
                    outcomes: vec![Ok(appended)],
                    left: 1,
                    reply: TicketReply::Replicate(replicate.reply),
                };
                self.tickets.insert(ticket, state);
            }
            Err(error) => {
                let _ = replicate.reply.send(Err(error));
            }
        }
    }

    fn replicate_batches(&mut self, replicate: &Replicate) -> Result<i64, PartitionError> {
        let replica = self
            .hosted
            .get(&replicate.partition)
            .ok_or(PartitionError::NotLeader)?;
        let mut views = Vec::new();
        for batch in batches(replicate.batches.clone()) {
            views.push(batch.map_err(|error| PartitionError::Storage(error.to_string()))?);
        }
        let appended = self
            .set
            .append_as_follower(replica.log, views, self.rt.wall_clock_ms())?;
        Ok(appended.last_offset + 1)
    }

    fn hold_or_answer(&mut self, id: u64, ticket: Ticket) {
        if ticket.left == 0 {
            answer(ticket);
        } else {
            self.tickets.insert(id, ticket);
        }
    }

    pub(super) fn acknowledge(&mut self, partition: PartitionId, flushed_end: i64) {
        let Some(queue) = self.unacknowledged.get_mut(&partition) else {
            return;
        };
        let mut done = Vec::new();
        while queue
            .front()
            .is_some_and(|waiting| waiting.end <= flushed_end)
        {
            done.extend(queue.pop_front());
        }
        if queue.is_empty() {
            self.unacknowledged.remove(&partition);
        }
        for waiting in done {
            self.count_down(waiting.ticket);
        }
    }

    pub(super) fn count_down(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id) else {
            return;
        };
        ticket.left -= 1;
        if ticket.left == 0 {
            self.tickets.remove(&id).into_iter().for_each(answer);
        }
    }

    /// Nothing that was not flushed is acknowledged, ever.
    pub(super) fn refuse_unacknowledged(&mut self, reason: &str) {
        for (_, queue) in std::mem::take(&mut self.unacknowledged) {
            for waiting in queue {
                if let Some(ticket) = self.tickets.get_mut(&waiting.ticket) {
                    ticket.outcomes[waiting.entry] =
                        Err(PartitionError::Storage(reason.to_owned()));
                }
                self.count_down(waiting.ticket);
            }
        }
    }

    pub(super) fn take_up_deferred(&mut self) {
        while !self.set.backlogged() {
            let Some(request) = self.deferred.pop_front() else {
                return;
            };
            self.apply(request);
            self.set.submit(self.rt.wall_clock_ms());
        }
    }
}

fn answer(ticket: Ticket) {
    match ticket.reply {
        TicketReply::Append(reply) => {
            let _ = reply.send(ticket.outcomes);
        }
        TicketReply::Replicate(reply) => {
            let end = ticket
                .outcomes
                .into_iter()
                .next()
                .map(|outcome| outcome.map(|appended| appended.end_offset));
            let _ = reply.send(end.unwrap_or(Err(PartitionError::Stopping)));
        }
    }
}
