//! What one step of a group may use and leave behind: the clocks, the timers, and its effects as data.

use crate::call::{Call, Now, Reply, Response, Ticket, join_error};
use crate::classic::member::Waiting;
use crate::config::GroupConfig;
use crate::in_flight::AfterCommit;
use crate::record::Record;
use crate::timers::Timers;
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ErrorCode, Str};

/// What a step wants to happen, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    Reply(Reply),
    Append {
        group: Option<Str>,
        records: Vec<Record>,
        after: AfterCommit,
    },
}

/// The surroundings of one step.
pub(crate) struct Step<'a> {
    pub(crate) config: &'a GroupConfig,
    pub(crate) now: Now,
    pub(crate) timers: &'a mut Timers,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Step<'_> {
    pub(crate) fn reply(&mut self, ticket: Ticket, response: Response) {
        self.effects.push(Effect::Reply(Reply { ticket, response }));
    }

    pub(crate) fn refuse_join(&mut self, call: &Call, member_id: Str, error: ErrorCode) {
        self.reply(
            call.ticket,
            Response::Join(join_error(call.version, member_id, error)),
        );
    }

    pub(crate) fn append(&mut self, group: &Str, record: Record, after: AfterCommit) {
        self.effects.push(Effect::Append {
            group: Some(group.clone()),
            records: vec![record],
            after,
        });
    }

    /// Replies together with the records of this step, if it has any that nobody waits for yet, else at once.
    pub(crate) fn reply_with_records(&mut self, reply: Reply) {
        for effect in self.effects.iter_mut().rev() {
            if let Effect::Append {
                after: after @ AfterCommit::Nothing,
                ..
            } = effect
            {
                *after = AfterCommit::Reply(reply);
                return;
            }
        }
        self.effects.push(Effect::Reply(reply));
    }

    /// Ends the wait of a member with an error; the member id goes back to those who wait in a join.
    pub(crate) fn answer_waiting(&mut self, waiting: Waiting, member_id: &Str, error: ErrorCode) {
        match waiting {
            Waiting::Nothing => {}
            Waiting::Join { ticket, version } => self.reply(
                ticket,
                Response::Join(join_error(version, member_id.clone(), error)),
            ),
            Waiting::Sync { ticket } => {
                self.reply(
                    ticket,
                    Response::Sync(SyncGroupResponse {
                        error_code: error,
                        ..Default::default()
                    }),
                );
            }
        }
    }

    pub(crate) fn after_ms(&self, delay_ms: i32) -> i64 {
        self.now
            .monotonic_ms
            .saturating_add(i64::from(delay_ms.max(0)))
    }
}
