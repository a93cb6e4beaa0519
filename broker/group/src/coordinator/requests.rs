//! One request: checked, sent to its group, answered or parked. Requests that change records leave a decision, not a change.

use crate::call::{Call, ListFilter, Now, Reply, Request, Response, Ticket};
use crate::classic::{ClassicGroup, Effect, describe_absent, from_unknown_group};
use crate::coordinator::Coordinator;
use crate::in_flight::AfterCommit;
use crate::offsets;
use crate::record::{self, Record, STRING_MAX};
use ottla_protocol::messages::delete_groups_response::DeletableGroupResult;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::messages::join_group_request::JoinGroupRequest;
use ottla_protocol::messages::list_groups_response::ListedGroup;
use ottla_protocol::messages::offset_commit_request::OffsetCommitRequest;
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ErrorCode, Str};

/// From this version of OffsetCommit on an unknown group has an error of its own; before, it is told as a wrong generation.
const GROUP_ID_NOT_FOUND_FROM: i16 = 9;

/// From this version on SyncGroup must say which protocol the member believes to be chosen.
const SYNC_NAMES_PROTOCOL_FROM: i16 = 5;

impl Coordinator {
    /// Errors that need no look at the group.
    pub(super) fn refusal(&self, call: &Call, request: &Request) -> Option<ErrorCode> {
        if !self.started {
            return Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        // Said before anything else is looked at: KIP-559 made both mandatory.
        if let Request::Sync(sync) = request
            && call.version >= SYNC_NAMES_PROTOCOL_FROM
            && (sync.protocol_type.is_none() || sync.protocol_name.is_none())
        {
            return Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let too_long = |text: &Str| text.len() > STRING_MAX;
        if let Some(group_id) = request.group_id()
            && (too_long(group_id) || (group_id.is_empty() && !request.allows_empty_group_id()))
        {
            return Some(ErrorCode::INVALID_GROUP_ID);
        }
        match request {
            Request::Join(join) => {
                let sessions =
                    self.config.session_timeout_min_ms..=self.config.session_timeout_max_ms;
                let names = join.protocols.iter().map(|protocol| &protocol.name);
                let texts = [&join.protocol_type, &call.client_id, &call.client_host];
                if names
                    .chain(texts)
                    .chain(&join.group_instance_id)
                    .any(too_long)
                {
                    return Some(ErrorCode::INVALID_REQUEST);
                }
                (!sessions.contains(&join.session_timeout_ms))
                    .then_some(ErrorCode::INVALID_SESSION_TIMEOUT)
            }
            Request::OffsetCommit(commit) => commit
                .topics
                .iter()
                .any(|topic| too_long(&topic.name))
                .then_some(ErrorCode::INVALID_REQUEST),
            _ => None,
        }
    }

    pub(super) fn dispatch(
        &mut self,
        call: &Call,
        request: Request,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let reply = |response| {
            Effect::Reply(Reply {
                ticket: call.ticket,
                response,
            })
        };
        let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
        match request {
            Request::Join(request) => self.join(call, &request, now, effects),
            Request::Sync(request) => {
                if !self.step_group(&request.group_id, now, effects, |group, step| {
                    group.sync(step, call, &request)
                }) {
                    effects.push(reply(Response::Sync(SyncGroupResponse {
                        error_code: unknown,
                        ..Default::default()
                    })));
                }
            }
            Request::Heartbeat(request) => {
                if !self.step_group(&request.group_id, now, effects, |group, step| {
                    group.heartbeat(step, call, &request)
                }) {
                    effects.push(reply(Response::Heartbeat(HeartbeatResponse {
                        error_code: unknown,
                        ..Default::default()
                    })));
                }
            }
            Request::Leave(request) => {
                if !self.step_group(&request.group_id, now, effects, |group, step| {
                    group.leave(step, call, &request)
                }) {
                    effects.push(reply(Response::Leave(from_unknown_group(
                        call.version,
                        &request,
                    ))));
                }
            }
            Request::OffsetCommit(request) => self.commit_offsets(call, &request, now, effects),
            Request::OffsetFetch {
                group,
                require_stable,
            } => {
                let response = offsets::fetch(&self.offsets, &group, require_stable);
                self.reply_to_read(
                    &group.group_id,
                    call.ticket,
                    Response::OffsetFetch(response),
                    now,
                    effects,
                );
            }
            Request::OffsetDelete(request) => {
                let group = self.groups.get(&request.group_id);
                let (records, response) = offsets::decide_delete(&self.offsets, group, &request);
                append_and_reply(
                    &request.group_id,
                    records,
                    call.ticket,
                    Response::OffsetDelete(response),
                    effects,
                );
            }
            Request::Describe(group_id) => {
                let described = match self.groups.get(&group_id) {
                    Some(group) => group.describe(),
                    None => describe_absent(call.version, &group_id),
                };
                effects.push(reply(Response::Describe(described)));
            }
            Request::DeleteGroup(group_id) => self.delete_group(call, group_id, effects),
            Request::List(filter) => effects.push(reply(Response::List(Ok(self.list(&filter))))),
        }
    }

    fn join(
        &mut self,
        call: &Call,
        request: &JoinGroupRequest,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if !self.groups.contains_key(&request.group_id) {
            if !ClassicGroup::may_be_created_by(request) {
                let response = Request::Join(request.clone())
                    .refused_at(call.version, ErrorCode::UNKNOWN_MEMBER_ID);
                return effects.push(Effect::Reply(Reply {
                    ticket: call.ticket,
                    response,
                }));
            }
            self.group_or_new(&request.group_id);
        }
        self.step_group(&request.group_id, now, effects, |group, step| {
            group.join(step, call, request)
        });
    }

    fn commit_offsets(
        &mut self,
        call: &Call,
        request: &OffsetCommitRequest,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let (group_id, generation) = (&request.group_id, request.generation_id_or_member_epoch);
        let verdict = match self.groups.get(group_id) {
            Some(group) => group.may_commit(
                &request.member_id,
                request.group_instance_id.as_ref(),
                generation,
            ),
            None if generation < 0 => Ok(()),
            None if call.version >= GROUP_ID_NOT_FOUND_FROM => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            None => Err(ErrorCode::ILLEGAL_GENERATION),
        };
        if let Err(error) = verdict {
            let response = Request::OffsetCommit(request.clone()).refused(error);
            return effects.push(Effect::Reply(Reply {
                ticket: call.ticket,
                response,
            }));
        }
        // A commit is a sign of life.
        self.step_group(group_id, now, effects, |group, step| {
            group.restart_session(step, &request.member_id)
        });
        let (records, response) = offsets::decide_commit(request, now.wall_ms, &self.config);
        append_and_reply(
            group_id,
            records,
            call.ticket,
            Response::OffsetCommit(response),
            effects,
        );
    }

    fn delete_group(&mut self, call: &Call, group_id: Str, effects: &mut Vec<Effect>) {
        let error_code = match self.groups.get(&group_id) {
            None => ErrorCode::GROUP_ID_NOT_FOUND,
            Some(group) if !group.is_empty() => ErrorCode::NON_EMPTY_GROUP,
            Some(_) => ErrorCode::NONE,
        };
        let mut records = Vec::new();
        if error_code == ErrorCode::NONE {
            records = offsets::decide_delete_all(&self.offsets, &group_id);
            records.push(record::group_tombstone(&group_id));
        }
        let result = DeletableGroupResult {
            group_id: group_id.clone(),
            error_code,
            ..Default::default()
        };
        append_and_reply(
            &group_id,
            records,
            call.ticket,
            Response::DeleteGroup(result),
            effects,
        );
    }

    fn list(&self, filter: &ListFilter) -> Vec<ListedGroup> {
        self.groups
            .values()
            .filter_map(|group| group.list(filter))
            .collect()
    }

    /// A read that may have seen records which are not committed yet waits for them.
    fn reply_to_read(
        &mut self,
        group: &Str,
        ticket: Ticket,
        response: Response,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let deadline_ms = now
            .monotonic_ms
            .saturating_add(self.config.commit_timeout_ms);
        let at_once =
            self.in_flight
                .wait_with_newest(group, Reply { ticket, response }, deadline_ms);
        effects.extend(at_once.map(Effect::Reply));
    }
}

fn append_and_reply(
    group: &Str,
    records: Vec<Record>,
    ticket: Ticket,
    response: Response,
    effects: &mut Vec<Effect>,
) {
    let reply = Reply { ticket, response };
    if records.is_empty() {
        effects.push(Effect::Reply(reply));
    } else {
        effects.push(Effect::Append {
            group: Some(group.clone()),
            records,
            after: AfterCommit::Reply(reply),
        });
    }
}
