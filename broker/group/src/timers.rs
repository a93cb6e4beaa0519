//! Deadlines by name. Setting a timer again moves it; a timer that fires is gone. Monotonic milliseconds throughout.

use ottla_protocol::Str;
use std::collections::{BTreeMap, BTreeSet};

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A member's session (or, for a member that has not been answered yet, its five minutes of waiting).
    Session { group: Str, member: Str },
    /// A member id was given out (KIP-394) and has not been used yet.
    Promise { group: Str, member: Str },
    /// The end of the join phase, or of one slice of the initial delay.
    Join { group: Str },
    /// The end of the sync phase.
    Sync { group: Str },
    /// The next look for expired offsets.
    Expiry,
}

/// All deadlines of a coordinator, ordered.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_name: BTreeMap<Timer, i64>,
    by_time: BTreeSet<(i64, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, deadline_ms: i64) {
        self.cancel(&timer);
        self.by_name.insert(timer.clone(), deadline_ms);
        self.by_time.insert((deadline_ms, timer));
    }

    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, deadline_ms)) = self.by_name.remove_entry(timer) {
            self.by_time.remove(&(deadline_ms, timer));
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.by_time.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes the earliest timer that is due at `now_ms`.
    pub(crate) fn pop_due(&mut self, now_ms: i64) -> Option<Timer> {
        if self.next_deadline()? > now_ms {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_name.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::{Timer, Timers};

    #[test]
    fn a_timer_set_again_moves() {
        let mut timers = Timers::default();
        let join = |group: &'static str| Timer::Join {
            group: group.into(),
        };
        timers.set(join("a"), 10);
        timers.set(join("b"), 20);
        timers.set(join("a"), 30);
        assert_eq!(timers.next_deadline(), Some(20));
        assert_eq!(timers.pop_due(19), None);
        assert_eq!(timers.pop_due(40), Some(join("b")));
        timers.cancel(&join("a"));
        assert_eq!(timers.pop_due(40), None);
        assert_eq!(timers.next_deadline(), None);
    }
}
