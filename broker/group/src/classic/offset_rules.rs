//! What a group says about its committed offsets: who may commit, what may be deleted, and when an offset has had its time.

use crate::classic::{ClassicGroup, Phase};
use ottla_protocol::{ErrorCode, Str};

/// From when on an offset's retention runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetentionStart {
    /// From its commit.
    Commit,
    /// From this moment (wall clock): the group has been empty since.
    Since(i64),
    /// It is in use.
    Never,
}

impl ClassicGroup {
    /// Whether this committer may commit. `generation` < 0 with no member id is somebody outside of group management (an admin
    /// client, a simple consumer); it may commit only while nobody is in the group.
    pub(crate) fn may_commit(
        &self,
        member_id: &Str,
        instance_id: Option<&Str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.identify(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.phase {
            // It knows this generation, so it has joined, and owns nothing yet that it could commit.
            Phase::CompletingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            // A last commit before joining again is welcome.
            Phase::Empty | Phase::PreparingRebalance { .. } | Phase::Stable => Ok(()),
        }
    }

    /// Whether offsets of an active group may be deleted one by one at all (KIP-496): only if its subscriptions are known.
    pub(crate) fn may_delete_offsets(&self) -> Result<(), ErrorCode> {
        if self.is_empty() || self.is_of_consumers() {
            Ok(())
        } else {
            Err(ErrorCode::NON_EMPTY_GROUP)
        }
    }

    pub(crate) fn reads_topic(&self, topic: &Str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// KIP-211. Groups without a protocol type are simple consumers: only commits tell when they were last alive.
    pub(crate) fn retention_start(&self, topic: &Str) -> RetentionStart {
        match (&self.protocol_type, &self.phase) {
            (None, _) => RetentionStart::Commit,
            (Some(_), Phase::Empty) => self
                .state_since_ms
                .map_or(RetentionStart::Commit, RetentionStart::Since),
            (Some(_), Phase::Stable)
                if self.is_of_consumers()
                    && self.subscribed_topics.is_some()
                    && !self.reads_topic(topic) =>
            {
                RetentionStart::Commit
            }
            (
                Some(_),
                Phase::PreparingRebalance { .. } | Phase::CompletingRebalance | Phase::Stable,
            ) => RetentionStart::Never,
        }
    }
}
