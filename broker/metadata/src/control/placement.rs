//! Which brokers get the replicas of new partitions.
//!
//! Brokers stand in a ring in which racks alternate. Partition n of the cluster starts at place n of the
//! ring: its leader. Its followers are the next brokers from a place that shifts by one with every turn
//! of the ring, first from racks that have no replica of the partition yet, then from any; fenced
//! brokers come last and never lead. So leaders are spread to within one partition over brokers, replicas
//! over racks, and a dead broker's leaderships fall to many others.
//!
//! The start follows from the number of partitions in the cluster instead of a random draw (Kafka's
//! striped placer): topics of one partition are spread as evenly as large ones.

use ottla_protocol::Str;
use thiserror::Error;

/// A broker that may get replicas: registered, not shutting down, with a directory that takes replicas.
#[derive(Clone, Debug)]
pub(crate) struct UsableBroker {
    pub(crate) id: i32,
    pub(crate) rack: Option<Str>,
    pub(crate) fenced: bool,
}

/// Why no placement exists.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PlacementError {
    #[error("replication factor {factor} needs as many brokers, {usable} can take replicas")]
    TooFewBrokers { factor: usize, usable: usize },
    #[error(
        "no broker can lead a new partition: all are fenced, shutting down or without a log directory that takes replicas"
    )]
    NoneAlive,
}

/// The ring, ready to place partitions one after the other.
pub(crate) struct Placer {
    alive: Vec<UsableBroker>,
    fenced: Vec<UsableBroker>,
    /// Sequence number of the next partition.
    next: usize,
}

impl Placer {
    /// `placed`: the number of partitions in the cluster so far.
    pub(crate) fn new(brokers: impl Iterator<Item = UsableBroker>, placed: usize) -> Self {
        let (fenced, alive) = brokers.partition(|broker| broker.fenced);
        Self {
            alive: alternate_racks(alive),
            fenced: alternate_racks(fenced),
            next: placed,
        }
    }

    /// Broker ids for one partition, the preferred leader first. `factor` is at least 1.
    pub(crate) fn place(&mut self, factor: usize) -> Result<Vec<i32>, PlacementError> {
        let alive = self.alive.len();
        if alive == 0 {
            return Err(PlacementError::NoneAlive);
        }
        let usable = alive + self.fenced.len();
        if factor > usable {
            return Err(PlacementError::TooFewBrokers { factor, usable });
        }
        let (leader, turn) = (self.next % alive, self.next / alive);
        self.next += 1;
        let mut chosen = vec![&self.alive[leader]];
        // Followers: the ring without the leader, from a place that shifts with each turn.
        let others = alive - 1;
        let shift = if others == 0 { 0 } else { turn % others };
        let ring =
            (0..others).map(|step| &self.alive[(leader + 1 + (shift + step) % others) % alive]);
        let candidates: Vec<_> = ring.chain(&self.fenced).collect();
        for new_rack_only in [true, false] {
            for broker in &candidates {
                let taken = chosen.iter().any(|other| {
                    other.id == broker.id || (new_rack_only && other.rack == broker.rack)
                });
                if chosen.len() < factor && !taken && !(new_rack_only && broker.fenced) {
                    chosen.push(broker);
                }
            }
        }
        Ok(chosen.into_iter().map(|broker| broker.id).collect())
    }
}

/// First of each rack, second of each rack, …; racks by name, brokers by id.
fn alternate_racks(mut brokers: Vec<UsableBroker>) -> Vec<UsableBroker> {
    brokers.sort_by(|a, b| (&a.rack, a.id).cmp(&(&b.rack, b.id)));
    let mut places = Vec::with_capacity(brokers.len());
    let mut place_in_rack = 0;
    for (at, broker) in brokers.iter().enumerate() {
        place_in_rack = if at > 0 && brokers[at - 1].rack == broker.rack {
            place_in_rack + 1
        } else {
            0
        };
        places.push(place_in_rack);
    }
    let mut ring: Vec<_> = places.into_iter().zip(brokers).collect();
    ring.sort_by(|(a_place, a), (b_place, b)| {
        (a_place, &a.rack, a.id).cmp(&(b_place, &b.rack, b.id))
    });
    ring.into_iter().map(|(_, broker)| broker).collect()
}

#[cfg(test)]
mod tests {
    use super::{Placer, UsableBroker};
    use expect_test::{Expect, expect};
    use std::collections::BTreeMap;

    /// `brokers`: `id[@rack][!]`, `!` = fenced.
    fn check(brokers: &str, partitions: usize, factor: usize, expected: Expect) {
        let usable = brokers.split_whitespace().map(|broker| {
            let fenced = broker.ends_with('!');
            let (id, rack) = broker
                .trim_end_matches('!')
                .split_once('@')
                .map_or((broker.trim_end_matches('!'), None), |(id, rack)| {
                    (id, Some(rack))
                });
            UsableBroker {
                id: id.parse().unwrap(),
                rack: rack.map(Into::into),
                fenced,
            }
        });
        let mut placer = Placer::new(usable, 0);
        let mut lines: Vec<String> = Vec::new();
        let mut leaders = BTreeMap::new();
        for _ in 0..partitions {
            match placer.place(factor) {
                Ok(replicas) => {
                    *leaders.entry(replicas[0]).or_insert(0) += 1;
                    lines.push(format!("{replicas:?}"));
                }
                Err(error) => lines.push(error.to_string()),
            }
        }
        if lines.len() > 12 {
            lines = vec![format!("leaders {leaders:?}")];
        }
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn one_replica_goes_round() {
        check(
            "1 2 3",
            4,
            1,
            expect![[r#"
            [1]
            [2]
            [3]
            [1]"#]],
        );
    }

    #[test]
    fn followers_shift_with_each_turn() {
        check(
            "1 2 3",
            6,
            2,
            expect![[r#"
            [1, 2]
            [2, 3]
            [3, 1]
            [1, 3]
            [2, 1]
            [3, 2]"#]],
        );
    }

    #[test]
    fn racks_come_before_neighbours_and_leaders_stay_even() {
        check(
            "1@a 2@a 3@b 4@b 5@c 6@c",
            6,
            3,
            expect![[r#"
            [1, 3, 5]
            [3, 5, 2]
            [5, 2, 4]
            [2, 4, 6]
            [4, 6, 1]
            [6, 1, 3]"#]],
        );
        check(
            "1@a 2@a 3@a 4@b",
            400,
            2,
            expect!["leaders {1: 100, 2: 100, 3: 100, 4: 100}"],
        );
    }

    #[test]
    fn fenced_brokers_follow_only_when_nobody_else_is_left() {
        check(
            "1 2! 3",
            2,
            3,
            expect![[r#"
            [1, 3, 2]
            [3, 1, 2]"#]],
        );
        check(
            "1! 2!",
            1,
            1,
            expect![
                "no broker can lead a new partition: all are fenced, shutting down or without a log directory that takes replicas"
            ],
        );
        check(
            "1 2!",
            1,
            3,
            expect!["replication factor 3 needs as many brokers, 2 can take replicas"],
        );
    }
}
