//! The range assignor: each topic's partitions in a row, split evenly among its subscribers in the order of their ids, as Java's
//! "range" does it, so that any member of a mixed group may be the leader.

use crate::cluster::TopicPartition;
use ottla_protocol::Str;
use std::collections::{BTreeMap, BTreeSet};

/// The name in JoinGroup.
pub(crate) const NAME: &str = "range";

/// One member as the leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Str,
    pub(crate) instance_id: Option<Str>,
    pub(crate) topics: BTreeSet<Str>,
}

/// Divides all partitions of the subscribed topics; `partitions` gives the count of each topic that exists. Every member gets an
/// entry, be it empty.
pub(crate) fn assign(
    mut members: Vec<Member>,
    partitions: &BTreeMap<Str, usize>,
) -> BTreeMap<Str, Vec<TopicPartition>> {
    // Static members by instance id and before others: a member id changes with a restart, the order must not.
    members.sort_by(|one, other| {
        let key = |member: &Member| {
            (
                member.instance_id.is_none(),
                member.instance_id.clone(),
                member.id.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    let mut assigned: BTreeMap<Str, Vec<TopicPartition>> = members
        .iter()
        .map(|member| (member.id.clone(), Vec::new()))
        .collect();
    for (topic, &count) in partitions {
        let subscribers: Vec<&Member> = members
            .iter()
            .filter(|member| member.topics.contains(topic))
            .collect();
        if subscribers.is_empty() {
            continue;
        }
        let (each, more) = (count / subscribers.len(), count % subscribers.len());
        let mut next = 0;
        for (place, member) in subscribers.iter().enumerate() {
            let share = each + usize::from(place < more);
            let range = (next..next + share).map(|partition| (topic.clone(), partition as i32));
            assigned.entry(member.id.clone()).or_default().extend(range);
            next += share;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::{Member, assign};
    use expect_test::{Expect, expect};
    use ottla_protocol::Str;

    /// `id[/instance]:topic+topic` lines and `topic=count` pairs.
    fn check(members: &[&str], topics: &[(&'static str, usize)], expected: Expect) {
        let member = |text: &&str| {
            let (name, topics) = text.split_once(':').unwrap();
            let (id, instance) = name
                .split_once('/')
                .map_or((name, None), |(id, instance)| (id, Some(instance)));
            Member {
                id: id.into(),
                instance_id: instance.map(Str::from),
                topics: topics.split('+').map(Str::from).collect(),
            }
        };
        let topics = topics
            .iter()
            .map(|(topic, count)| (Str::from(*topic), *count))
            .collect();
        let assigned = assign(members.iter().map(member).collect(), &topics);
        let lines = assigned.iter().map(|(id, partitions)| {
            let partitions: Vec<String> = partitions
                .iter()
                .map(|(topic, index)| format!("{topic}{index}"))
                .collect();
            format!("{id}: {}\n", partitions.join(" "))
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn ranges() {
        check(
            &["b:t+u", "a:t+u"],
            &[("t", 3), ("u", 3)],
            expect![[r#"
                a: t0 t1 u0 u1
                b: t2 u2
            "#]],
        );
        check(
            &["a:t", "b:t", "c:t+u", "d:gone"],
            &[("t", 2), ("u", 1)],
            expect![[r#"
                a: t0
                b: t1
                c: u0
                d: 
            "#]],
        );
        // Static members keep their place whatever their member id is.
        check(
            &["z/1:t", "a:t", "b/2:t"],
            &[("t", 5)],
            expect![[r#"
                a: t4
                b: t2 t3
                z: t0 t1
            "#]],
        );
    }
}
