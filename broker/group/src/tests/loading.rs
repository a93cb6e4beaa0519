//! What a new coordinator knows: exactly what the log says, which is exactly what the old one had made durable.

use super::{Script, play};
use crate::*;
use expect_test::{Expect, expect};
use ottla_protocol::ErrorCode;

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

#[test]
fn a_stable_group_goes_on_after_a_change_of_coordinator() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         sync b id=b#2 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y
         commit a id=a#1 gen=1 t-0=5
         reload
         heartbeat a id=a#1 gen=1
         sync b id=b#2 gen=1
         fetch a all
         describe
         # Sessions began anew; b stays away.
         advance 9000
         heartbeat a id=a#1 gen=1
         advance 1000
         heartbeat a id=a#1 gen=1",
        expect![[""]],
    );
}

#[test]
fn a_generation_without_assignment_is_forgotten() {
    check(
        "join a v=3
         advance 3000
         reload
         sync a id=a#1 gen=1 assign=a#1:x
         join a id=a#1",
        expect![[""]],
    );
}

#[test]
fn who_waits_is_sent_to_the_next_coordinator() {
    check(
        "join a v=3
         join b v=3 group=h
         advance 3000
         join c v=3
         hold
         commit d group=other t-0=1
         fetch d group=other t-0
         sync b group=h id=b#2 gen=1 assign=b#2:x
         resign",
        expect![[""]],
    );
}

#[test]
fn a_group_beyond_the_limit_is_told_to_rebalance() {
    let mut script = Script::new(GroupConfig::default());
    script.run(
        "join a v=3
         join b v=3
         advance 6000
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y",
    );
    script.config.members_max = 1;
    script.run(
        "reload
         heartbeat a id=a#1 gen=1
         join a id=a#1
         join b id=b#2
         advance 60000",
    );
    expect![[""]].assert_eq(&script.transcript);
}

#[test]
fn nothing_is_served_before_the_log_is_loaded() {
    let mut coordinator = Coordinator::new(GroupConfig::default());
    let call = Call {
        ticket: Ticket(1),
        version: 5,
        client_id: "a".into(),
        client_host: "/h".into(),
        random: 1,
    };
    let mut out = Vec::new();
    coordinator.handle(
        &call,
        Request::List(ListFilter::default()),
        super::now(0),
        &mut out,
    );
    let refused = Response::List(Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    assert_eq!(
        out,
        vec![Output::Reply(Reply {
            ticket: Ticket(1),
            response: refused
        })]
    );
}

/// Live and replayed state are the same thing, whatever happens: random requests, then one look at both.
#[test]
fn replay_arrives_at_the_state_of_the_living() {
    for seed in 1..=200u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let config = GroupConfig {
            offsets_retention_ms: 60_000,
            offsets_retention_check_interval_ms: 20_000,
            ..GroupConfig::default()
        };
        let mut script = Script::new(config);
        for _ in 0..120 {
            let (group, member, number) = (next(3), next(40), next(4));
            let generation = next(4);
            let line = match next(12) {
                0 => format!("join c v=3 group=g{group}"),
                1 => format!("join c v=9 group=g{group}"),
                2 => format!("join s group=g{group} instance=i{number}"),
                3 => format!("join c group=g{group} id=c#{member} protocols=range:{number}"),
                4 => format!(
                    "sync c group=g{group} id=c#{member} gen={generation} assign=c#{member}:{number}"
                ),
                5 => format!("leave c group=g{group} members=c#{member}"),
                6 => format!("commit c group=g{group} t-{number}={member}"),
                7 => format!(
                    "commit c group=g{group} id=c#{member} gen={generation} t-{number}={member}"
                ),
                8 => format!("delete-offsets c group=g{group} t-{number}"),
                9 => format!("delete c group=g{group}"),
                10 => format!(
                    "sync s group=g{group} id=i{number}#{member} instance=i{number} gen={generation}"
                ),
                _ => format!("advance {}", next(9_000)),
            };
            if next(15) == 0 {
                script.run("fail-next");
            }
            script.run(&line);
        }
        let live = script.coordinator.durable();
        script.reload();
        assert_eq!(
            live,
            script.coordinator.durable(),
            "seed {seed}:\n{}",
            script.transcript
        );
    }
}
