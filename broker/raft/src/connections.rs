//! One request at a time to each voter, with a time limit and a pause after a failure.
//! Invariant: an answer counts only while its request is in flight; late ones are dropped.

use std::collections::BTreeMap;

/// Names a request from its leaving to its answer.
pub type Token = u64;

#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    by_voter: BTreeMap<i32, Connection>,
    last_token: Token,
}

/// Times are monotonic ms.
#[derive(Clone, Copy, Debug)]
enum Connection {
    InFlight { token: Token, deadline: i64 },
    Pausing { until: i64 },
}

impl Connections {
    /// True if a request may leave now. One over its time limit counts as lost.
    pub(crate) fn is_ready(&self, voter: i32, now: i64) -> bool {
        match self.by_voter.get(&voter) {
            None => true,
            Some(
                Connection::InFlight {
                    deadline: until, ..
                }
                | Connection::Pausing { until },
            ) => *until <= now,
        }
    }

    pub(crate) fn sent(&mut self, voter: i32, deadline: i64) -> Token {
        self.last_token += 1;
        self.by_voter.insert(
            voter,
            Connection::InFlight {
                token: self.last_token,
                deadline,
            },
        );
        self.last_token
    }

    /// Who answered; `None` if nobody waits for this answer any more.
    pub(crate) fn answered(&mut self, token: Token) -> Option<i32> {
        let voter = self.voter_of(token)?;
        self.by_voter.remove(&voter);
        Some(voter)
    }

    /// No answer came, or a useless one.
    pub(crate) fn failed(&mut self, token: Token, until: i64) {
        if let Some(voter) = self.voter_of(token) {
            self.pause(voter, until);
        }
    }

    pub(crate) fn pause(&mut self, voter: i32, until: i64) {
        self.by_voter.insert(voter, Connection::Pausing { until });
    }

    /// A new role starts afresh.
    pub(crate) fn reset(&mut self) {
        self.by_voter.clear();
    }

    /// When a request may leave that may not now.
    pub(crate) fn next_deadline(&self, now: i64) -> Option<i64> {
        let deadlines = self.by_voter.values().map(|connection| match connection {
            Connection::InFlight {
                deadline: until, ..
            }
            | Connection::Pausing { until } => *until,
        });
        deadlines.filter(|deadline| *deadline > now).min()
    }

    fn voter_of(&self, token: Token) -> Option<i32> {
        let found = self.by_voter.iter().find(|(_, connection)| {
            matches!(connection, Connection::InFlight { token: known, .. } if *known == token)
        });
        found.map(|(voter, _)| *voter)
    }
}
