//! Heartbeats, and what happens when they stay away.

use crate::call::{Call, Response};
use crate::classic::step::Step;
use crate::classic::{ClassicGroup, Phase};
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::{ErrorCode, Str};

impl ClassicGroup {
    pub(crate) fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        call: &Call,
        request: &HeartbeatRequest,
    ) {
        let error_code = self
            .verdict_on_heartbeat(request)
            .err()
            .unwrap_or(ErrorCode::NONE);
        // A member that is told of the rebalance is alive as well.
        if matches!(
            error_code,
            ErrorCode::NONE | ErrorCode::REBALANCE_IN_PROGRESS
        ) {
            self.restart_session(step, &request.member_id);
        }
        step.reply(
            call.ticket,
            Response::Heartbeat(HeartbeatResponse {
                error_code,
                ..Default::default()
            }),
        );
    }

    fn verdict_on_heartbeat(&self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        self.identify(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.phase {
            Phase::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::PreparingRebalance { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            // Members heartbeat as soon as they have joined, before the assignment is there.
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
        }
    }

    /// Gives a member another session timeout. One that waits in a request needs none; a new one keeps its five minutes.
    pub(crate) fn restart_session(&mut self, step: &mut Step<'_>, member_id: &Str) {
        let Some(member) = self.members.get(member_id) else {
            return;
        };
        if !member.waits() {
            step.timers.set(
                self.session_timer(member_id),
                step.after_ms(member.session_timeout_ms),
            );
        }
    }

    /// The session timer of a member has fired.
    pub(crate) fn session_over(&mut self, step: &mut Step<'_>, member_id: &Str) {
        if self.members.contains(member_id) {
            self.drop_member(step, member_id);
            self.rebalance_or_complete_join(step);
        }
    }

    /// A promised member id was not used in time.
    pub(crate) fn promise_over(&mut self, step: &mut Step<'_>, member_id: &Str) {
        if self.promised.remove(member_id) {
            self.complete_join_if_all_are_here(step);
        }
    }
}
