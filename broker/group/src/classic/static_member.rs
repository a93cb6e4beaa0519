//! A static member that comes back with a new member id (KIP-345, KIP-814): it takes over the place, the assignment and, when
//! nothing else changed, the generation of its former self, so that a restart moves no partitions.

use crate::call::{Reply, Response};
use crate::classic::join::Joiner;
use crate::classic::step::Step;
use crate::classic::{ClassicGroup, Phase};
use crate::in_flight::AfterCommit;
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::{ErrorCode, Str};

/// From this version on the answer can tell a leader that came back not to assign again.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

impl ClassicGroup {
    pub(crate) fn replace_static_member(
        &mut self,
        step: &mut Step<'_>,
        joiner: Joiner<'_>,
        old_id: Str,
        new_id: Str,
    ) {
        let Some(mut member) = self.members.remove(&old_id) else {
            return;
        };
        let former_leader = self.leader.clone();
        step.timers.cancel(&self.session_timer(&old_id));
        let waiting = member.stop_waiting();
        step.answer_waiting(waiting, &old_id, ErrorCode::FENCED_INSTANCE_ID);
        member.id = new_id.clone();
        self.members.insert(member);
        if self.unsynced.remove(&old_id) {
            self.unsynced.insert(new_id.clone());
        }
        if self.leader.as_ref() == Some(&old_id) {
            self.leader = Some(new_id.clone());
        }
        // In CompletingRebalance the old id may already be with the leader, whose assignment would then miss the new one: start over.
        if self.phase != Phase::Stable || !self.keeps_protocol_with(&joiner, &new_id) {
            return self.update_member(step, joiner, &new_id);
        }
        self.restart_session(step, &new_id);
        let response = self.took_over(joiner.call.version, &new_id, former_leader);
        let reply = Reply {
            ticket: joiner.call.ticket,
            response: Response::Join(response),
        };
        let record = self.to_record(|member| member.assignment.clone());
        // Should the append fail, the new id stays here although the log has the old one: the client will join again, and takes over
        // from itself. Its former self was fenced either way.
        step.append(&self.id, record, AfterCommit::Reply(reply));
    }

    /// Takes over what the joiner offers now, and says whether the group would still vote for its protocol.
    fn keeps_protocol_with(&mut self, joiner: &Joiner<'_>, member_id: &Str) -> bool {
        self.members.update(
            member_id,
            joiner.protocols.clone(),
            joiner.rebalance_timeout_ms,
            joiner.session_timeout_ms,
        );
        self.voted_protocol() == self.protocol
    }

    /// A leader that came back must not assign again. Since v9 the answer says so; before, it is kept in the belief that somebody
    /// else leads, by the id of its former self.
    fn took_over(
        &self,
        version: i16,
        new_id: &Str,
        former_leader: Option<Str>,
    ) -> JoinGroupResponse {
        let leads = self.leader.as_ref() == Some(new_id);
        if version >= SKIP_ASSIGNMENT_FROM {
            return JoinGroupResponse {
                skip_assignment: leads,
                ..self.joined(new_id, leads)
            };
        }
        JoinGroupResponse {
            leader: former_leader.unwrap_or_default(),
            ..self.joined(new_id, false)
        }
    }
}
