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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    );
}
