//! Broker sessions: when each broker was last heard of and how far it has applied the metadata log. Soft
//! state of the active controller, never in a record; a new controller starts it anew.
//!
//! Invariant: an entry belongs to the registration with its epoch. Times are monotonic ms.
//! Not here: what a heartbeat or an expiry leads to (heartbeat.rs, brokers.rs).

use crate::image::{BrokerRegistration, Image};
use std::collections::BTreeMap;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Sessions {
    timeout_ms: i64,
    brokers: BTreeMap<i32, Session>,
}

#[derive(Clone, Debug)]
struct Session {
    epoch: i64,
    /// `None` until the first heartbeat: such a broker is fenced and another may register in its place.
    last_contact_ms: Option<i64>,
    /// Offset of the last record the broker has applied; -1 before its first heartbeat here.
    metadata_offset: i64,
    /// The broker may stop once all active brokers have applied this offset.
    controlled_shutdown_offset: Option<i64>,
}

impl Session {
    fn new(epoch: i64) -> Self {
        Self {
            epoch,
            last_contact_ms: None,
            metadata_offset: -1,
            controlled_shutdown_offset: None,
        }
    }
}

impl Sessions {
    /// `log_end`: offset of the next record.
    pub(crate) fn new(timeout_ms: i64, image: &Image, log_end: i64, now_ms: i64) -> Self {
        let brokers = image.cluster.brokers.values().map(|broker| {
            let session = Session {
                last_contact_ms: (!broker.fenced).then_some(now_ms),
                controlled_shutdown_offset: (!broker.fenced && broker.in_controlled_shutdown)
                    .then_some(log_end - 1),
                ..Session::new(broker.epoch)
            };
            (broker.id, session)
        });
        Self {
            timeout_ms,
            brokers: brokers.collect(),
        }
    }

    /// A heartbeat came in. Call it at once, before the heartbeat is decided upon, so that a busy
    /// controller does not fence brokers that did write. Ignored for a stale epoch.
    pub fn heard(&mut self, broker: i32, epoch: i64, metadata_offset: i64, now_ms: i64) {
        if let Some(session) = self
            .brokers
            .get_mut(&broker)
            .filter(|session| session.epoch == epoch)
        {
            session.last_contact_ms = Some(now_ms);
            session.metadata_offset = metadata_offset;
        }
    }

    /// When the broker was last heard of.
    pub fn last_contact_ms(&self, broker: i32) -> Option<i64> {
        self.brokers.get(&broker)?.last_contact_ms
    }

    /// True while the registration with this epoch is held by a process that is heard of.
    pub(crate) fn is_valid(&self, broker: i32, epoch: i64, now_ms: i64) -> bool {
        self.brokers.get(&broker).is_some_and(|session| {
            session.epoch == epoch
                && session
                    .last_contact_ms
                    .is_some_and(|last| last + self.timeout_ms >= now_ms)
        })
    }

    pub(crate) fn registration_changed(
        &mut self,
        before: Option<&BrokerRegistration>,
        after: Option<&BrokerRegistration>,
    ) {
        match (before, after) {
            (_, Some(after)) => {
                let session = self
                    .brokers
                    .entry(after.id)
                    .or_insert_with(|| Session::new(after.epoch));
                if session.epoch != after.epoch {
                    *session = Session::new(after.epoch);
                }
                if after.fenced {
                    session.controlled_shutdown_offset = None;
                }
            }
            (Some(before), None) => {
                self.brokers.remove(&before.id);
            }
            (None, None) => {}
        }
    }

    pub(crate) fn controlled_shutdown(&mut self, broker: i32, offset: i64) {
        if let Some(session) = self.brokers.get_mut(&broker) {
            session.controlled_shutdown_offset.get_or_insert(offset);
        }
    }

    /// True if every active broker has applied what the shutdown of `broker` changed.
    pub(crate) fn may_stop(&self, broker: i32, image: &Image) -> bool {
        let offset = self
            .brokers
            .get(&broker)
            .and_then(|session| session.controlled_shutdown_offset)
            .unwrap_or(i64::MAX);
        let active = self
            .brokers
            .iter()
            .filter(|(id, _)| image.is_active_broker(**id));
        active
            .map(|(_, session)| session.metadata_offset)
            .min()
            .is_none_or(|lowest| offset <= lowest)
    }

    /// The first unfenced broker whose session is over, and its epoch.
    pub(crate) fn expired(&self, image: &Image, now_ms: i64) -> Option<(i32, i64)> {
        let unfenced = self
            .brokers
            .iter()
            .filter(|(id, _)| image.alive_broker(**id).is_some());
        unfenced
            .map(|(id, session)| (*id, session))
            .find(|(_, session)| {
                session
                    .last_contact_ms
                    .is_none_or(|last| last + self.timeout_ms < now_ms)
            })
            .map(|(id, session)| (id, session.epoch))
    }

    pub(crate) fn next_deadline(&self, image: &Image) -> Option<i64> {
        let unfenced = self
            .brokers
            .iter()
            .filter(|(id, _)| image.alive_broker(**id).is_some());
        unfenced
            .map(|(_, session)| {
                session
                    .last_contact_ms
                    .map_or(i64::MIN, |last| last + self.timeout_ms + 1)
            })
            .min()
    }
}
