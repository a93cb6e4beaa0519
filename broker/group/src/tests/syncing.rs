//! The sync phase: who waits, who is late, and what happens when the assignment cannot be written.

use super::play;
use expect_test::{Expect, expect};

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

const TWO_MEMBERS: &str = "join a v=3
    join b v=3
    advance 6000
    ";

#[test]
fn the_assignment_is_handed_out_when_it_is_committed() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync b id=b#2 gen=1
             hold
             sync a id=a#1 gen=1 assign=a#1:x,b#2:y
             describe
             release
             sync b id=b#2 gen=1"
        ),
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
            5 describe
              5 -> g NONE CompletingRebalance type="consumer" protocol="" a#1(a/h)=/ b#2(b/h)=/
            release
              4 -> sync NONE x
              3 -> sync NONE y
            6 sync b id=b#2 gen=1
              6 -> sync NONE y
        "#]],
    );
}

#[test]
fn a_member_left_out_by_the_leader_gets_nothing() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync a id=a#1 gen=1 assign=a#1:x
             sync b id=b#2 gen=1"
        ),
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=]
              3 -> sync NONE x
            4 sync b id=b#2 gen=1
              4 -> sync NONE 
        "#]],
    );
}

#[test]
fn an_assignment_that_cannot_be_written_starts_over() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync b id=b#2 gen=1
             fail-next
             sync a id=a#1 gen=1 assign=a#1:x,b#2:y
             join a id=a#1
             join b id=b#2"
        ),
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            4 sync a id=a#1 gen=1 assign=a#1:x,b#2:y
              append fails
              4 -> sync COORDINATOR_NOT_AVAILABLE 
              3 -> sync COORDINATOR_NOT_AVAILABLE 
            5 join a id=a#1
            6 join b id=b#2
              5 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=m]
              6 -> joined gen=2 range leader=a#1 me=b#2 []
        "#]],
    );
}

#[test]
fn an_assignment_that_is_not_committed_in_time_starts_over() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync b id=b#2 gen=1
             hold
             sync a id=a#1 gen=1 assign=a#1:x,b#2:y
             advance 5000
             join a id=a#1
             join b id=b#2
             release"
        ),
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
            advance 5000
              at 11000
              4 -> sync COORDINATOR_NOT_AVAILABLE 
              3 -> sync COORDINATOR_NOT_AVAILABLE 
            5 join a id=a#1
            6 join b id=b#2
              5 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=m]
              6 -> joined gen=2 range leader=a#1 me=b#2 []
            release
        "#]],
    );
}

#[test]
fn a_rebalance_that_overtakes_the_commit_of_an_assignment_wins() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync b id=b#2 gen=1
             hold
             sync a id=a#1 gen=1 assign=a#1:x,b#2:y
             join c v=3
             release
             join a id=a#1
             join b id=b#2"
        ),
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
            5 join c v=3
              4 -> sync REBALANCE_IN_PROGRESS 
              3 -> sync REBALANCE_IN_PROGRESS 
            release
            6 join a id=a#1
            7 join b id=b#2
              6 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=m c#5=m]
              7 -> joined gen=2 range leader=a#1 me=b#2 []
              5 -> joined gen=2 range leader=a#1 me=c#5 []
        "#]],
    );
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync b id=b#2 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             heartbeat a id=a#1 gen=1
             advance 8000
             join b id=b#2"
        ),
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            advance 8000
            4 heartbeat a id=a#1 gen=1
              4 -> heartbeat NONE
            advance 8000
            5 heartbeat a id=a#1 gen=1
              5 -> heartbeat NONE
            advance 8000
            6 heartbeat a id=a#1 gen=1
              6 -> heartbeat NONE
            advance 8000
            7 heartbeat a id=a#1 gen=1
              7 -> heartbeat NONE
            advance 8000
            8 heartbeat a id=a#1 gen=1
              8 -> heartbeat NONE
            advance 8000
            9 heartbeat a id=a#1 gen=1
              9 -> heartbeat NONE
            advance 8000
            10 heartbeat a id=a#1 gen=1
              10 -> heartbeat NONE
            advance 8000
              at 66000
              3 -> sync REBALANCE_IN_PROGRESS 
            11 join b id=b#2
              11 -> joined gen=2 range leader=b#2 me=b#2 [b#2=m]
        "#]],
    );
}

#[test]
fn syncs_are_checked() {
    check(
        &format!(
            "{TWO_MEMBERS}
             sync a id=a#1 gen=2
             sync c id=c#9 gen=1
             sync a id=a#1 gen=1 type=connect
             sync a id=a#1 gen=1 protocol=sticky
             sync a group=none id=a#1 gen=1
             heartbeat a id=a#1 gen=0
             heartbeat c id=c#9 gen=1
             heartbeat a group=none id=a#1 gen=1"
        ),
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync a id=a#1 gen=2
              3 -> sync ILLEGAL_GENERATION 
            4 sync c id=c#9 gen=1
              4 -> sync UNKNOWN_MEMBER_ID 
            5 sync a id=a#1 gen=1 type=connect
              5 -> sync INCONSISTENT_GROUP_PROTOCOL 
            6 sync a id=a#1 gen=1 protocol=sticky
              6 -> sync INCONSISTENT_GROUP_PROTOCOL 
            7 sync a group=none id=a#1 gen=1
              7 -> sync UNKNOWN_MEMBER_ID 
            8 heartbeat a id=a#1 gen=0
              8 -> heartbeat ILLEGAL_GENERATION
            9 heartbeat c id=c#9 gen=1
              9 -> heartbeat UNKNOWN_MEMBER_ID
            10 heartbeat a group=none id=a#1 gen=1
              10 -> heartbeat UNKNOWN_MEMBER_ID
        "#]],
    );
}
