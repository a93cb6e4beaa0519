//! SyncGroup: the leader brings the assignment, everybody takes their part home. The assignment is handed out when its record is
//! committed, so that no member ever works on one that a new coordinator would not know.

use crate::call::{Call, Response};
use crate::classic::member::Waiting;
use crate::classic::step::Step;
use crate::classic::{ClassicGroup, Phase};
use crate::in_flight::AfterCommit;
use bytes::Bytes;
use ottla_protocol::messages::sync_group_request::SyncGroupRequest;
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ErrorCode, Str};
use std::collections::BTreeMap;

impl ClassicGroup {
    pub(crate) fn sync(&mut self, step: &mut Step<'_>, call: &Call, request: &SyncGroupRequest) {
        if let Err(error) = self.may_sync(request) {
            return step.reply(
                call.ticket,
                Response::Sync(SyncGroupResponse {
                    error_code: error,
                    ..Default::default()
                }),
            );
        }
        let member_id = &request.member_id;
        self.note_synced(step, member_id);
        if self.phase == Phase::Stable {
            self.restart_session(step, member_id);
            let response = self.assigned(member_id);
            return step.reply(call.ticket, Response::Sync(response));
        }
        self.park(
            step,
            member_id,
            Waiting::Sync {
                ticket: call.ticket,
            },
        );
        if self.leader.as_ref() == Some(member_id) {
            let assignments: BTreeMap<Str, Bytes> = request
                .assignments
                .iter()
                .map(|assignment| {
                    (
                        assignment.member_id.clone(),
                        Bytes::copy_from_slice(&assignment.assignment),
                    )
                })
                .collect();
            let record =
                self.to_record(|member| assignments.get(&member.id).cloned().unwrap_or_default());
            let after = AfterCommit::Assignment {
                generation: self.generation,
                assignments,
            };
            step.append(&self.id, record, after);
        }
    }

    fn may_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.identify(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        // Since v5 the member says what it believes the group speaks (KIP-559); before, it is silent, which is agreement.
        let differs = |said: &Option<Str>, ours: &Option<Str>| matches!((said, ours), (Some(said), Some(ours)) if said != ours);
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.phase {
            Phase::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::PreparingRebalance { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
        }
    }

    fn note_synced(&mut self, step: &mut Step<'_>, member_id: &Str) {
        self.unsynced.remove(member_id);
        if self.unsynced.is_empty() {
            step.timers.cancel(&self.sync_timer());
        }
    }

    fn assigned(&self, member_id: &Str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
            ..Default::default()
        }
    }

    /// The leader's record is committed. If the group has moved on meanwhile there is nothing to do: who waited has been answered.
    pub(crate) fn assignment_committed(
        &mut self,
        step: &mut Step<'_>,
        generation: i32,
        assignments: &BTreeMap<Str, Bytes>,
    ) {
        if self.phase != Phase::CompletingRebalance || self.generation != generation {
            return;
        }
        self.enter(Phase::Stable, step);
        let ids: Vec<Str> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        for id in ids {
            self.members
                .assign(&id, assignments.get(&id).cloned().unwrap_or_default());
            if let Waiting::Sync { ticket } = self.members.wait(&id, Waiting::Nothing) {
                self.restart_session(step, &id);
                let response = self.assigned(&id);
                step.reply(ticket, Response::Sync(response));
            }
        }
    }

    /// The leader's record could not be written (or nobody knows): tell those who wait, and start over.
    pub(crate) fn assignment_failed(
        &mut self,
        step: &mut Step<'_>,
        generation: i32,
        error: ErrorCode,
    ) {
        if self.phase != Phase::CompletingRebalance || self.generation != generation {
            return;
        }
        self.end_sync_with_error(step, error);
        self.prepare_rebalance(step);
    }

    /// The sync timer has fired: who has not synced by now will not.
    pub(crate) fn sync_time_over(&mut self, step: &mut Step<'_>) {
        match self.phase {
            Phase::CompletingRebalance | Phase::Stable => {
                let late: Vec<Str> = self.unsynced.iter().cloned().collect();
                late.iter().for_each(|id| self.drop_member(step, id));
                if !late.is_empty() {
                    self.prepare_rebalance(step);
                }
            }
            Phase::Empty | Phase::PreparingRebalance { .. } => {}
        }
    }

    /// Answers all parked syncs with an error. Assignments are void from here on.
    pub(crate) fn end_sync_with_error(&mut self, step: &mut Step<'_>, error: ErrorCode) {
        let ids: Vec<Str> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        for id in ids {
            self.members.assign(&id, Bytes::new());
            let waits_in_sync = self
                .members
                .get(&id)
                .is_some_and(|member| member.waits() && !member.waits_in_join());
            if waits_in_sync {
                let waiting = self.members.wait(&id, Waiting::Nothing);
                step.answer_waiting(waiting, &id, error);
                self.restart_session(step, &id);
            }
        }
    }
}
