//! The rebalance: opening the join phase, ending it, the vote, and what happens when members go.

use crate::call::Response;
use crate::classic::member::{Member, Waiting};
use crate::classic::step::Step;
use crate::classic::{ClassicGroup, InitialDelay, Phase};
use crate::in_flight::AfterCommit;
use ottla_protocol::{ErrorCode, Str};
use std::collections::BTreeMap;

impl ClassicGroup {
    /// After any change of members: a group at rest starts a rebalance, one that prepares looks whether all have joined.
    pub(crate) fn rebalance_or_complete_join(&mut self, step: &mut Step<'_>) {
        match self.phase {
            Phase::PreparingRebalance { .. } => self.complete_join_if_all_are_here(step),
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => {
                self.prepare_rebalance(step)
            }
        }
    }

    /// Opens the join phase. The first members of an empty group wait a little for company (KIP-134), others until all have joined
    /// or the longest rebalance timeout is over.
    pub(crate) fn prepare_rebalance(&mut self, step: &mut Step<'_>) {
        if self.phase == Phase::CompletingRebalance {
            self.end_sync_with_error(step, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        step.timers.cancel(&self.sync_timer());
        self.unsynced.clear();
        if self.phase == Phase::Empty {
            let slice_ms = step.config.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(slice_ms).max(0);
            let initial = Some(InitialDelay {
                slice_ms,
                remaining_ms,
                somebody_joined: false,
            });
            self.enter(Phase::PreparingRebalance { initial }, step);
            step.timers.set(self.join_timer(), step.after_ms(slice_ms));
            return;
        }
        self.enter(Phase::PreparingRebalance { initial: None }, step);
        step.timers.set(
            self.join_timer(),
            step.after_ms(self.rebalance_timeout_ms()),
        );
        self.complete_join_if_all_are_here(step);
    }

    pub(crate) fn complete_join_if_all_are_here(&mut self, step: &mut Step<'_>) {
        let all_joined = self.members.joining() == self.members.len() && self.promised.is_empty();
        if self.phase == (Phase::PreparingRebalance { initial: None }) && all_joined {
            self.complete_join(step);
        }
    }

    /// The join timer has fired.
    pub(crate) fn join_time_over(&mut self, step: &mut Step<'_>) {
        match self.phase {
            Phase::PreparingRebalance {
                initial: Some(delay),
            } if delay.somebody_joined && delay.remaining_ms > 0 => {
                let slice_ms = step
                    .config
                    .initial_rebalance_delay_ms
                    .min(delay.remaining_ms);
                let remaining_ms = delay.remaining_ms.saturating_sub(delay.slice_ms).max(0);
                self.phase = Phase::PreparingRebalance {
                    initial: Some(InitialDelay {
                        slice_ms,
                        remaining_ms,
                        somebody_joined: false,
                    }),
                };
                step.timers.set(self.join_timer(), step.after_ms(slice_ms));
            }
            Phase::PreparingRebalance { .. } => self.complete_join(step),
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => {}
        }
    }

    /// Ends the join phase: those who did not come are out (static members only when their session ends), a new generation begins.
    fn complete_join(&mut self, step: &mut Step<'_>) {
        step.timers.cancel(&self.join_timer());
        let gone = |member: &&Member| !member.waits_in_join() && member.instance_id.is_none();
        let absent: Vec<Str> = self
            .members
            .iter()
            .filter(gone)
            .map(|member| member.id.clone())
            .collect();
        absent.iter().for_each(|id| self.drop_member(step, id));
        if !self.members.is_empty() && !self.elect_leader_among_joined() {
            // Only static members that are away are left. They hold their places; look again later.
            step.timers.set(
                self.join_timer(),
                step.after_ms(self.rebalance_timeout_ms()),
            );
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.enter(Phase::Empty, step);
            self.subscribed_topics = self.topics_of_members();
            let record = self.to_record(|member| member.assignment.clone());
            return step.append(&self.id, record, AfterCommit::Nothing);
        }
        self.protocol = self.voted_protocol();
        self.enter(Phase::CompletingRebalance, step);
        self.subscribed_topics = self.topics_of_members();
        self.answer_joins(step);
        step.timers.set(
            self.sync_timer(),
            step.after_ms(self.rebalance_timeout_ms()),
        );
    }

    fn answer_joins(&mut self, step: &mut Step<'_>) {
        let ids: Vec<Str> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        for id in ids {
            if let Waiting::Join { ticket, .. } = self.members.wait(&id, Waiting::Nothing) {
                let leads = self.leader.as_ref() == Some(&id);
                step.reply(ticket, Response::Join(self.joined(&id, leads)));
            }
            self.members.greet(&id);
            self.restart_session(step, &id);
            self.unsynced.insert(id);
        }
    }

    /// Keeps the leader if it has joined, else takes the first member that has. False if nobody has.
    fn elect_leader_among_joined(&mut self) -> bool {
        let joined = |id: &Str| self.members.get(id).is_some_and(Member::waits_in_join);
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        match self.members.iter().find(|member| member.waits_in_join()) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Each member votes for the first of its protocols that all understand; most votes win, the first by name on a tie.
    pub(crate) fn voted_protocol(&self) -> Option<Str> {
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for member in self.members.iter() {
            if let Some((name, _)) = member
                .protocols
                .iter()
                .find(|(name, _)| self.members.supported_by_all(name))
            {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max().copied()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name.clone())
    }

    fn rebalance_timeout_ms(&self) -> i32 {
        self.members
            .iter()
            .map(|member| member.rebalance_timeout_ms)
            .max()
            .unwrap_or(0)
    }

    /// Takes a member out, answers what it waits for, and passes on its leadership. Does not look at what follows for the group.
    pub(crate) fn drop_member(&mut self, step: &mut Step<'_>, member_id: &Str) {
        self.promised.remove(member_id);
        step.timers.cancel(&self.promise_timer(member_id));
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        step.timers.cancel(&self.session_timer(member_id));
        // With the empty id the client joins again as somebody new, if it is still there.
        let waiting = member.stop_waiting();
        step.answer_waiting(waiting, &Str::default(), ErrorCode::UNKNOWN_MEMBER_ID);
        self.unsynced.remove(member_id);
        if self.leader.as_ref() == Some(member_id) {
            self.leader = self.members.iter().next().map(|member| member.id.clone());
        }
    }
}
