//! LeaveGroup: members say goodbye, or an administrator says it for them by instance id (KIP-345), many at once from v3.

use crate::call::{Call, Reply, Response};
use crate::classic::ClassicGroup;
use crate::classic::step::Step;
use ottla_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use ottla_protocol::{ErrorCode, Str};

/// From this version on the request has a list of members and the answer an error for each.
const BATCH_FROM: i16 = 3;

impl ClassicGroup {
    pub(crate) fn leave(&mut self, step: &mut Step<'_>, call: &Call, request: &LeaveGroupRequest) {
        let members = leaving(call.version, request);
        let mut somebody_left = false;
        let mut answers = Vec::with_capacity(members.len());
        for member in members {
            let verdict = self.leave_one(step, &member);
            somebody_left |= verdict.is_ok();
            answers.push(MemberResponse {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
                error_code: verdict.err().unwrap_or(ErrorCode::NONE),
                ..Default::default()
            });
        }
        if somebody_left && !self.is_empty() {
            self.rebalance_or_complete_join(step);
        }
        step.reply_with_records(Reply {
            ticket: call.ticket,
            response: Response::Leave(response(call.version, answers)),
        });
    }

    fn leave_one(&mut self, step: &mut Step<'_>, member: &MemberIdentity) -> Result<(), ErrorCode> {
        let member_id = if member.member_id.is_empty() {
            let instance_id = member
                .group_instance_id
                .as_ref()
                .ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            self.members
                .id_of_instance(instance_id)
                .cloned()
                .ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
        } else {
            if !self.promised.contains(&member.member_id) {
                self.identify(&member.member_id, member.group_instance_id.as_ref())?;
            }
            member.member_id.clone()
        };
        self.drop_member(step, &member_id);
        Ok(())
    }
}

/// The answer for a group that is not there: everybody in it is unknown.
pub(crate) fn from_unknown_group(version: i16, request: &LeaveGroupRequest) -> LeaveGroupResponse {
    let unknown = |member: MemberIdentity| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: ErrorCode::UNKNOWN_MEMBER_ID,
        ..Default::default()
    };
    response(
        version,
        leaving(version, request).into_iter().map(unknown).collect(),
    )
}

fn leaving(version: i16, request: &LeaveGroupRequest) -> Vec<MemberIdentity> {
    if version >= BATCH_FROM {
        return request.members.clone();
    }
    vec![MemberIdentity {
        member_id: Str::from(&*request.member_id),
        ..Default::default()
    }]
}

fn response(version: i16, members: Vec<MemberResponse>) -> LeaveGroupResponse {
    if version >= BATCH_FROM {
        return LeaveGroupResponse {
            members,
            ..Default::default()
        };
    }
    let error_code = members
        .first()
        .map_or(ErrorCode::NONE, |member| member.error_code);
    LeaveGroupResponse {
        error_code,
        ..Default::default()
    }
}
