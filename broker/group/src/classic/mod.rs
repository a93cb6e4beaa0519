//! One group of the classic protocol: who is a member, in which generation, and who waits for what.
//!
//! ```text
//!            first join                  all joined, or time is over
//!  Empty ─────────────────► PreparingRebalance ─────────────────► CompletingRebalance
//!    ▲                        │   ▲      ▲                            │          │
//!    └────── nobody is left ──┘   │      └── join, leave, expiry ─────┘          │ the leader's assignment
//!                                 │                                              ▼ is committed
//!                                 └───────── join, leave, expiry ───────────── Stable
//! ```
//! Invariants: a group is Empty exactly when it has no members and is not preparing; a member that waits in a join or a sync has no
//! session timer (its request is the sign of life), except a new one, which may wait five minutes; the generation only grows.
//! Source: KIP-62, 134, 345, 394, 559, 814 and Apache Kafka 4.3.1's behaviour. Everything here except `recorded` is soft state: a
//! new coordinator starts from the last record, Stable with its members or Empty. Dead is not a state here but absence.

mod describe;
mod join;
mod leave;
mod member;
mod offset_rules;
mod rebalance;
mod session;
mod static_member;
mod step;
mod subscription;
mod sync;

pub(crate) use describe::describe_absent;
pub(crate) use leave::from_unknown_group;
pub(crate) use offset_rules::RetentionStart;
pub(crate) use step::{Effect, Step};

use crate::record;
use crate::timers::Timer;
use member::{Member, Members, Waiting};
use ottla_protocol::coordinator_records::GroupMetadataValue;
use ottla_protocol::{ErrorCode, Str};
use std::collections::BTreeSet;

/// Where the group stands in its rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Empty,
    /// Waiting for members to join. `initial` while the first members of an empty group wait for company.
    PreparingRebalance {
        initial: Option<InitialDelay>,
    },
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    Stable,
}

/// The current slice of the initial delay (KIP-134): each slice in which somebody joined is followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InitialDelay {
    slice_ms: i32,
    /// What the rebalance timeout leaves after this slice.
    remaining_ms: i32,
    somebody_joined: bool,
}

/// A group of the classic protocol, or the empty shell around the offsets of simple consumers (then `protocol_type` is `None`).
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Str,
    phase: Phase,
    /// Wall clock of the last change of phase; unknown for records before v2.
    state_since_ms: Option<i64>,
    generation: i32,
    protocol_type: Option<Str>,
    /// The assignor that the members voted for.
    protocol: Option<Str>,
    leader: Option<Str>,
    members: Members,
    /// Member ids that were given out and not used yet; a rebalance waits for them (KIP-394).
    promised: BTreeSet<Str>,
    /// Members of this generation that have not synced yet.
    unsynced: BTreeSet<Str>,
    /// Topics of all members, when they speak the consumer protocol and it could be read.
    subscribed_topics: Option<BTreeSet<Str>>,
    /// Durable: the last record of this group. Written by replay only.
    recorded: Option<GroupMetadataValue>,
}

impl ClassicGroup {
    pub(crate) fn new(id: Str) -> ClassicGroup {
        ClassicGroup {
            id,
            phase: Phase::Empty,
            state_since_ms: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: Members::default(),
            promised: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            subscribed_topics: None,
            recorded: None,
        }
    }

    /// Replay of a group record: the only writer of durable state.
    pub(crate) fn replay(&mut self, value: GroupMetadataValue) {
        self.recorded = Some(value);
    }

    pub(crate) fn recorded(&self) -> Option<&GroupMetadataValue> {
        self.recorded.as_ref()
    }

    /// Builds the soft state from the last record, when a log has been loaded. Sessions start anew.
    pub(crate) fn restore(&mut self, step: &mut Step<'_>) {
        let Some(value) = self.recorded.clone() else {
            return;
        };
        self.protocol_type =
            Some(value.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        self.generation = value.generation;
        self.protocol = value.protocol;
        self.leader = value.leader;
        self.state_since_ms =
            Some(value.current_state_timestamp).filter(|timestamp| *timestamp != -1);
        for recorded in value.members {
            self.members
                .insert(Member::restored(recorded, self.protocol.as_ref()));
        }
        self.phase = if self.members.is_empty() {
            Phase::Empty
        } else {
            Phase::Stable
        };
        self.subscribed_topics = self.topics_of_members();
        let ids: Vec<Str> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        ids.iter().for_each(|id| self.restart_session(step, id));
        if self.members.len() > step.config.members_max {
            self.prepare_rebalance(step);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    /// How many members are here.
    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is here and nobody is expected.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && self.promised.is_empty()
    }

    /// Name of the phase as Kafka spells it.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::PreparingRebalance { .. } => "PreparingRebalance",
            Phase::CompletingRebalance => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    fn enter(&mut self, phase: Phase, step: &Step<'_>) {
        self.phase = phase;
        self.state_since_ms = Some(step.now.wall_ms);
    }

    /// Whether `member_id` (and `instance_id`, if given) may speak. A static member must come with the id it was given last (KIP-345).
    fn identify(&self, member_id: &Str, instance_id: Option<&Str>) -> Result<(), ErrorCode> {
        match instance_id {
            None if self.members.contains(member_id) => Ok(()),
            None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Some(instance_id) => match self.members.id_of_instance(instance_id) {
                None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if current != member_id => Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => Ok(()),
            },
        }
    }

    /// The record of the group as it stands, with `assignment_of` instead of the assignments in memory.
    fn to_record<'a>(
        &'a self,
        assignment_of: impl Fn(&'a Member) -> bytes::Bytes,
    ) -> record::Record {
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: self
                .members
                .iter()
                .map(|member| member.to_record(self.protocol.as_ref(), assignment_of(member)))
                .collect(),
            ..Default::default()
        };
        record::group_metadata(&self.id, &value)
    }

    fn session_timer(&self, member_id: &Str) -> Timer {
        Timer::Session {
            group: self.id.clone(),
            member: member_id.clone(),
        }
    }

    fn promise_timer(&self, member_id: &Str) -> Timer {
        Timer::Promise {
            group: self.id.clone(),
            member: member_id.clone(),
        }
    }

    fn join_timer(&self) -> Timer {
        Timer::Join {
            group: self.id.clone(),
        }
    }

    fn sync_timer(&self) -> Timer {
        Timer::Sync {
            group: self.id.clone(),
        }
    }

    /// Everybody who waits, each with the error: the coordinator gives up the group.
    pub(crate) fn dismiss_all(&mut self, step: &mut Step<'_>, error: ErrorCode) {
        let ids: Vec<Str> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        for id in ids {
            let waiting = self.members.wait(&id, Waiting::Nothing);
            step.answer_waiting(waiting, &id, error);
        }
    }
}
