//! JoinGroup: who is let in, under which id, and whether it starts a rebalance.

use crate::call::{Call, Response};
use crate::classic::member::{Member, Waiting, owned_protocols};
use crate::classic::step::Step;
use crate::classic::{ClassicGroup, Phase};
use bytes::Bytes;
use ottla_protocol::messages::join_group_request::JoinGroupRequest;
use ottla_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_protocol::{ErrorCode, Str};

/// How long a member whose first join is parked may wait. It has no id yet and so no heartbeats; sockets are not watched while a
/// request is parked, and a client that gave up and came again would leave a dead member behind for ever. Kafka's value.
const NEW_MEMBER_WAIT_MS: i32 = 5 * 60 * 1000;

/// From this version on a dynamic member is first told its id and must come again with it (KIP-394). Older clients, kafka-go among
/// them, do not know the error.
const MEMBER_ID_REQUIRED_FROM: i16 = 4;

/// A join as the group looks at it.
pub(crate) struct Joiner<'a> {
    pub(crate) call: &'a Call,
    pub(crate) instance_id: Option<Str>,
    pub(crate) protocol_type: Str,
    pub(crate) protocols: Vec<(Str, Bytes)>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
}

impl<'a> Joiner<'a> {
    fn new(call: &'a Call, request: &JoinGroupRequest) -> Joiner<'a> {
        // v0 has no rebalance timeout and some clients send -1 later; the session timeout stands in, or the first member that joins
        // would end the join phase for all others.
        let rebalance_timeout_ms = if request.rebalance_timeout_ms < 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        };
        Joiner {
            call,
            instance_id: request
                .group_instance_id
                .as_ref()
                .map(|id| Str::from(&**id)),
            protocol_type: Str::from(&*request.protocol_type),
            protocols: owned_protocols(&request.protocols),
            rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
        }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        Waiting::Join {
            ticket: self.call.ticket,
            version: self.call.version,
        }
    }

    /// An id nobody has: the instance id or else the client id, and 122 random bits in the form of Java's random UUIDs.
    fn fresh_member_id(&self) -> Str {
        let first = self.instance_id.as_ref().unwrap_or(&self.call.client_id);
        let bits = (self.call.random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let (a, b, c, d, e) = (
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        );
        Str::from(format!("{}-{a}-{b}-{c}-{d}-{e}", &**first))
    }
}

impl ClassicGroup {
    /// Whether a JoinGroup may create a group that is not there: only when it does not claim a member id already.
    pub(crate) fn may_be_created_by(request: &JoinGroupRequest) -> bool {
        request.member_id.is_empty()
    }

    pub(crate) fn join(&mut self, step: &mut Step<'_>, call: &Call, request: &JoinGroupRequest) {
        let member_id = &request.member_id;
        if !self.has_room_for(member_id, step.config.members_max) {
            self.drop_member(step, member_id);
            return step.refuse_join(call, Str::default(), ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        let joiner = Joiner::new(call, request);
        if !self.understands(&joiner) {
            return step.refuse_join(
                call,
                member_id.clone(),
                ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            );
        }
        if member_id.is_empty() {
            self.join_unknown(step, joiner);
        } else {
            self.join_known(step, joiner, member_id);
        }
    }

    fn join_unknown(&mut self, step: &mut Step<'_>, joiner: Joiner<'_>) {
        let member_id = joiner.fresh_member_id();
        if let Some(instance_id) = &joiner.instance_id {
            return match self.members.id_of_instance(instance_id).cloned() {
                Some(old_id) => self.replace_static_member(step, joiner, old_id, member_id),
                None => self.add_member(step, joiner, member_id),
            };
        }
        if joiner.call.version >= MEMBER_ID_REQUIRED_FROM {
            step.timers.set(
                self.promise_timer(&member_id),
                step.after_ms(joiner.session_timeout_ms),
            );
            self.promised.insert(member_id.clone());
            return step.refuse_join(joiner.call, member_id, ErrorCode::MEMBER_ID_REQUIRED);
        }
        self.add_member(step, joiner, member_id);
    }

    fn join_known(&mut self, step: &mut Step<'_>, joiner: Joiner<'_>, member_id: &Str) {
        if joiner.instance_id.is_none() && self.promised.contains(member_id) {
            return self.add_member(step, joiner, Str::from(&**member_id));
        }
        if let Err(error) = self.identify(member_id, joiner.instance_id.as_ref()) {
            return step.refuse_join(joiner.call, member_id.clone(), error);
        }
        let unchanged = self
            .members
            .get(member_id)
            .is_some_and(|member| member.protocols == joiner.protocols);
        let is_leader = self.leader.as_ref() == Some(member_id);
        match self.phase {
            // It may have lost the first answer; it gets the same again and goes on to sync.
            Phase::CompletingRebalance if unchanged => {
                self.answer_current_generation(step, joiner.call, member_id, is_leader)
            }
            // A leader that joins again wants a new assignment (its topics have changed, say); a follower needs only to be told.
            Phase::Stable if unchanged && !is_leader => {
                self.answer_current_generation(step, joiner.call, member_id, false)
            }
            Phase::Empty => {
                step.refuse_join(joiner.call, member_id.clone(), ErrorCode::UNKNOWN_MEMBER_ID)
            }
            Phase::PreparingRebalance { .. } | Phase::CompletingRebalance | Phase::Stable => {
                self.update_member(step, joiner, member_id);
            }
        }
    }

    fn add_member(&mut self, step: &mut Step<'_>, joiner: Joiner<'_>, member_id: Str) {
        self.promised.remove(&member_id);
        step.timers.cancel(&self.promise_timer(&member_id));
        if self.members.is_empty() {
            self.protocol_type = Some(joiner.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        if let Phase::PreparingRebalance {
            initial: Some(delay),
        } = &mut self.phase
        {
            delay.somebody_joined = true;
        }
        let waiting = joiner.waiting();
        let client_id = Str::from(&*joiner.call.client_id);
        let client_host = Str::from(&*joiner.call.client_host);
        let mut member = Member::new(
            member_id.clone(),
            joiner.instance_id,
            client_id,
            client_host,
        );
        member.rebalance_timeout_ms = joiner.rebalance_timeout_ms;
        member.session_timeout_ms = joiner.session_timeout_ms;
        member.protocols = joiner.protocols;
        self.members.insert(member);
        self.park(step, &member_id, waiting);
        self.rebalance_or_complete_join(step);
    }

    pub(crate) fn update_member(
        &mut self,
        step: &mut Step<'_>,
        joiner: Joiner<'_>,
        member_id: &Str,
    ) {
        let waiting = joiner.waiting();
        self.members.update(
            member_id,
            joiner.protocols,
            joiner.rebalance_timeout_ms,
            joiner.session_timeout_ms,
        );
        self.park(step, member_id, waiting);
        self.rebalance_or_complete_join(step);
    }

    /// Parks a request of a member. Its session rests meanwhile; a new member has five minutes. A request that was parked before is
    /// answered, so that no connection waits for ever; its client has given up on it or it would not have sent another.
    pub(crate) fn park(&mut self, step: &mut Step<'_>, member_id: &Str, waiting: Waiting) {
        let before = self.members.wait(member_id, waiting);
        step.answer_waiting(before, member_id, ErrorCode::REBALANCE_IN_PROGRESS);
        let timer = self.session_timer(member_id);
        if self
            .members
            .get(member_id)
            .is_some_and(|member| member.is_new)
        {
            step.timers.set(timer, step.after_ms(NEW_MEMBER_WAIT_MS));
        } else {
            step.timers.cancel(&timer);
        }
    }

    fn answer_current_generation(
        &mut self,
        step: &mut Step<'_>,
        call: &Call,
        member_id: &Str,
        with_members: bool,
    ) {
        self.restart_session(step, member_id);
        let response = self.joined(member_id, with_members);
        step.reply(call.ticket, Response::Join(response));
    }

    /// The good answer to a join in this generation.
    pub(crate) fn joined(&self, member_id: &Str, with_members: bool) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: Some(self.protocol.clone().unwrap_or_default()),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.clone(),
            members: if with_members {
                self.metadata_of_members()
            } else {
                Vec::new()
            },
            ..Default::default()
        }
    }

    /// What the leader needs for its assignment.
    fn metadata_of_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |member: &Member| JoinGroupResponseMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
            ..Default::default()
        };
        self.members.iter().map(member).collect()
    }

    /// `group.max.size`. A group that grew before the limit was lowered lets its oldest comers back first come, first served.
    fn has_room_for(&self, member_id: &Str, members_max: usize) -> bool {
        match self.phase {
            Phase::Empty => true,
            Phase::PreparingRebalance { .. } => {
                self.members
                    .get(member_id)
                    .is_some_and(Member::waits_in_join)
                    || self.members.joining() < members_max
            }
            Phase::CompletingRebalance | Phase::Stable => {
                self.members.contains(member_id) || self.members.len() < members_max
            }
        }
    }

    /// Whether a joiner shares a protocol with everybody who is here.
    fn understands(&self, joiner: &Joiner<'_>) -> bool {
        if self.phase == Phase::Empty {
            return !joiner.protocol_type.is_empty() && !joiner.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&joiner.protocol_type)
            && joiner
                .protocols
                .iter()
                .any(|(name, _)| self.members.supported_by_all(name))
    }
}
