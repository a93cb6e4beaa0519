//! The members of a group, with the counts that the rebalance asks for on every join kept up to date (a group may have thousands).
//!
//! Invariant of `Members`: `by_instance` names exactly the members with an instance id, `supporters` counts for each protocol name
//! the members that offer it, `joining` the members that wait in a join.

use crate::call::Ticket;
use bytes::Bytes;
use ottla_protocol::Str;
use ottla_protocol::coordinator_records::group_metadata_value::MemberMetadata;
use ottla_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use std::collections::BTreeMap;

/// The request of a member that is parked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Nothing,
    Join { ticket: Ticket, version: i16 },
    Sync { ticket: Ticket },
}

/// What a member said in its last join, and what it was given.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Str,
    pub(crate) instance_id: Option<Str>,
    pub(crate) client_id: Str,
    pub(crate) client_host: Str,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// Offered protocols with their metadata, in the member's order of preference; no name twice.
    pub(crate) protocols: Vec<(Str, Bytes)>,
    pub(crate) assignment: Bytes,
    /// True until its first join has been answered: until then it cannot heartbeat, because it may not know its id.
    pub(crate) is_new: bool,
    waiting: Waiting,
}

impl Member {
    pub(crate) fn new(
        id: Str,
        instance_id: Option<Str>,
        client_id: Str,
        client_host: Str,
    ) -> Member {
        Member {
            id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: 0,
            session_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            is_new: true,
            waiting: Waiting::Nothing,
        }
    }

    /// A member as a record tells it. Of its protocols only the chosen one is known; that is enough until it joins again.
    pub(crate) fn restored(recorded: MemberMetadata, protocol: Option<&Str>) -> Member {
        let rebalance_timeout_ms = if recorded.rebalance_timeout == -1 {
            recorded.session_timeout
        } else {
            recorded.rebalance_timeout
        };
        Member {
            rebalance_timeout_ms,
            session_timeout_ms: recorded.session_timeout,
            protocols: protocol
                .map(|name| (name.clone(), recorded.subscription))
                .into_iter()
                .collect(),
            assignment: recorded.assignment,
            is_new: false,
            ..Member::new(
                recorded.member_id,
                recorded.group_instance_id,
                recorded.client_id,
                recorded.client_host,
            )
        }
    }

    pub(crate) fn to_record(&self, protocol: Option<&Str>, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: protocol.map(|name| self.metadata(name)).unwrap_or_default(),
            assignment,
            ..Default::default()
        }
    }

    /// Its metadata for `protocol`; empty if it does not offer it.
    pub(crate) fn metadata(&self, protocol: &Str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// For a member that is not in `Members` any more: what it waited for.
    pub(crate) fn stop_waiting(&mut self) -> Waiting {
        std::mem::replace(&mut self.waiting, Waiting::Nothing)
    }

    pub(crate) fn waits_in_join(&self) -> bool {
        matches!(self.waiting, Waiting::Join { .. })
    }

    pub(crate) fn waits(&self) -> bool {
        self.waiting != Waiting::Nothing
    }
}

/// The protocols of a request as a member keeps them: copied, so that they do not hold the request's frame, and no name twice.
pub(crate) fn owned_protocols(offered: &[JoinGroupRequestProtocol]) -> Vec<(Str, Bytes)> {
    let mut protocols: Vec<(Str, Bytes)> = Vec::with_capacity(offered.len());
    for protocol in offered {
        if !protocols.iter().any(|(name, _)| *name == protocol.name) {
            protocols.push((
                Str::from(&*protocol.name),
                Bytes::copy_from_slice(&protocol.metadata),
            ));
        }
    }
    protocols
}

/// All members of a group.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_id: BTreeMap<Str, Member>,
    by_instance: BTreeMap<Str, Str>,
    supporters: BTreeMap<Str, usize>,
    joining: usize,
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn contains(&self, id: &Str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn get(&self, id: &Str) -> Option<&Member> {
        self.by_id.get(id)
    }

    /// In the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    pub(crate) fn id_of_instance(&self, instance_id: &Str) -> Option<&Str> {
        self.by_instance.get(instance_id)
    }

    /// How many wait in a join.
    pub(crate) fn joining(&self) -> usize {
        self.joining
    }

    /// True for any protocol while nobody is here.
    pub(crate) fn supported_by_all(&self, protocol: &Str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.by_id.len()
    }

    pub(crate) fn insert(&mut self, member: Member) {
        self.remove(&member.id.clone());
        if let Some(instance_id) = &member.instance_id {
            self.by_instance
                .insert(instance_id.clone(), member.id.clone());
        }
        self.count_protocols(&member, 1);
        self.joining += usize::from(member.waits_in_join());
        self.by_id.insert(member.id.clone(), member);
    }

    pub(crate) fn remove(&mut self, id: &Str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        if let Some(instance_id) = &member.instance_id
            && self.by_instance.get(instance_id) == Some(id)
        {
            self.by_instance.remove(instance_id);
        }
        self.count_protocols(&member, -1);
        self.joining -= usize::from(member.waits_in_join());
        Some(member)
    }

    /// Takes over what a member says in a new join.
    pub(crate) fn update(
        &mut self,
        id: &Str,
        protocols: Vec<(Str, Bytes)>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
    ) {
        let Some(mut member) = self.remove(id) else {
            return;
        };
        member.protocols = protocols;
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        self.insert(member);
    }

    pub(crate) fn assign(&mut self, id: &Str, assignment: Bytes) {
        if let Some(member) = self.by_id.get_mut(id) {
            member.assignment = assignment;
        }
    }

    /// Notes that the member's first join has been answered.
    pub(crate) fn greet(&mut self, id: &Str) {
        if let Some(member) = self.by_id.get_mut(id) {
            member.is_new = false;
        }
    }

    /// Parks a request of a member (or ends its wait) and gives back the one that was parked before.
    pub(crate) fn wait(&mut self, id: &Str, waiting: Waiting) -> Waiting {
        let Some(member) = self.by_id.get_mut(id) else {
            return waiting;
        };
        self.joining -= usize::from(member.waits_in_join());
        let before = std::mem::replace(&mut member.waiting, waiting);
        self.joining += usize::from(member.waits_in_join());
        before
    }

    fn count_protocols(&mut self, member: &Member, by: isize) {
        for (name, _) in &member.protocols {
            let count = self
                .supporters
                .get(name)
                .copied()
                .unwrap_or(0)
                .saturating_add_signed(by);
            if count == 0 {
                self.supporters.remove(name);
            } else {
                self.supporters.insert(name.clone(), count);
            }
        }
    }
}
