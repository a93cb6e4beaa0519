//! Members with an instance id (KIP-345): they come back without moving anything, and their former selves are fenced.

use super::play;
use expect_test::{Expect, expect};

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

const STABLE: &str = "join a instance=i
    join b instance=k
    advance 6000
    sync b id=k#2 instance=k gen=1
    sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
    ";

#[test]
fn a_follower_comes_back_into_its_place() {
    check(
        &format!(
            "{STABLE}
             join b instance=k
             sync b id=k#5 instance=k gen=1
             # The former self is fenced, whatever it asks.
             heartbeat b id=k#2 instance=k gen=1
             sync b id=k#2 instance=k gen=1
             join b id=k#2 instance=k
             commit b id=k#2 instance=k gen=1 t-0=1
             heartbeat b id=k#5 instance=k gen=1"
        ),
        expect![[""]],
    );
}

#[test]
fn a_leader_that_comes_back_does_not_assign_again() {
    check(
        &format!(
            "{STABLE}
             # Since v9 it is told so …
             join a instance=i v=9
             sync a id=i#5 instance=i gen=1
             # … before, it is made to believe that its former self leads.
             join a instance=i v=8
             sync a id=i#8 instance=i gen=1"
        ),
        expect![[""]],
    );
}

#[test]
fn a_come_back_that_changes_the_vote_rebalances() {
    check(
        "join a instance=i protocols=range:1,sticky:1
         join b instance=k protocols=range:2,sticky:2
         advance 6000
         sync b id=k#2 instance=k gen=1
         sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
         join b instance=k protocols=sticky:3
         heartbeat a id=i#1 instance=i gen=1
         join a id=i#1 instance=i protocols=range:1,sticky:1",
        expect![[""]],
    );
}

#[test]
fn a_come_back_while_the_group_syncs_starts_over() {
    check(
        "join a instance=i
         join b instance=k
         advance 6000
         sync b id=k#2 instance=k gen=1
         join b instance=k
         join a id=i#1 instance=i",
        expect![[""]],
    );
}

#[test]
fn a_come_back_while_a_join_is_parked_fences_the_parked_one() {
    check(
        "join a instance=i
         join a instance=i
         advance 6000",
        expect![[""]],
    );
}

#[test]
fn static_members_that_are_away_keep_their_place_until_the_session_ends() {
    check(
        &format!(
            "{STABLE}
             # The rebalance timeout does not put them out …
             join c v=3 rebalance=1000 session=6000
             advance 3000
             heartbeat a id=i#1 instance=i gen=1
             heartbeat b id=k#2 instance=k gen=1
             advance 60000"
        ),
        expect![[""]],
    );
}

#[test]
fn an_administrator_removes_by_instance_id() {
    check(
        &format!(
            "{STABLE}
             leave admin members=/k,/unknown,k#2/i,i#1/i
             describe"
        ),
        expect![[""]],
    );
}

#[test]
fn a_take_over_that_cannot_be_written_is_repeated() {
    check(
        &format!(
            "{STABLE}
             fail-next
             join b instance=k
             join b instance=k
             reload
             heartbeat b id=k#6 instance=k gen=1"
        ),
        expect![[""]],
    );
}
