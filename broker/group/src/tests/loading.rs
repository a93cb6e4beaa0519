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
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            4 sync a id=a#1 gen=1 assign=a#1:x,b#2:y
              + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 commit a id=a#1 gen=1 t-0=5
              + offset g/t-0 = 5 at 6000
              5 -> commit t-0=NONE
            reload
            6 heartbeat a id=a#1 gen=1
              6 -> heartbeat NONE
            7 sync b id=b#2 gen=1
              7 -> sync NONE y
            8 fetch a all
              8 -> fetch NONE t-0=5
            9 describe
              9 -> g NONE Stable type="consumer" protocol="range" a#1(a/h)=m/x b#2(b/h)=m/y
            # Sessions began anew; b stays away.
            advance 9000
            10 heartbeat a id=a#1 gen=1
              10 -> heartbeat NONE
            advance 1000
            11 heartbeat a id=a#1 gen=1
              11 -> heartbeat REBALANCE_IN_PROGRESS
        "#]],
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
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            reload
            2 sync a id=a#1 gen=1 assign=a#1:x
              2 -> sync UNKNOWN_MEMBER_ID 
            3 join a id=a#1
              3 -> join UNKNOWN_MEMBER_ID me=a#1
        "#]],
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
        expect![[r#"
            1 join a v=3
            2 join b v=3 group=h
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
              2 -> joined gen=1 range leader=b#2 me=b#2 [b#2=m]
            3 join c v=3
            4 commit d group=other t-0=1
              + offset other/t-0 = 1 at 3000
            5 fetch d group=other t-0
            6 sync b group=h id=b#2 gen=1 assign=b#2:x
              + group h gen=1 protocol=range leader=b#2 [b#2=x]
            resign
              4 -> commit t-0=NOT_COORDINATOR
              5 -> fetch NOT_COORDINATOR
              3 -> join NOT_COORDINATOR me=c#3
              6 -> sync NOT_COORDINATOR 
        "#]],
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
    expect![[r#"
        1 join a v=3
        2 join b v=3
        advance 6000
          at 6000
          1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
          2 -> joined gen=1 range leader=a#1 me=b#2 []
        3 sync a id=a#1 gen=1 assign=a#1:x,b#2:y
          + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=y]
          3 -> sync NONE x
        reload
        4 heartbeat a id=a#1 gen=1
          4 -> heartbeat REBALANCE_IN_PROGRESS
        5 join a id=a#1
        6 join b id=b#2
          6 -> join GROUP_MAX_SIZE_REACHED me=
        advance 60000
          at 66000
          5 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m]
    "#]]
    .assert_eq(&script.transcript);
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
