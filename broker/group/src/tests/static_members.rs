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
        expect![[r#"
            1 join a instance=i
            2 join b instance=k
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m k#2=m]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 join b instance=k
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#5=y]
              5 -> joined gen=1 range leader=i#1 me=k#5 []
            6 sync b id=k#5 instance=k gen=1
              6 -> sync NONE y
            # The former self is fenced, whatever it asks.
            7 heartbeat b id=k#2 instance=k gen=1
              7 -> heartbeat FENCED_INSTANCE_ID
            8 sync b id=k#2 instance=k gen=1
              8 -> sync FENCED_INSTANCE_ID 
            9 join b id=k#2 instance=k
              9 -> join FENCED_INSTANCE_ID me=k#2
            10 commit b id=k#2 instance=k gen=1 t-0=1
              10 -> commit t-0=FENCED_INSTANCE_ID
            11 heartbeat b id=k#5 instance=k gen=1
              11 -> heartbeat NONE
        "#]],
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
             sync a id=i#7 instance=i gen=1"
        ),
        expect![[r#"
            1 join a instance=i
            2 join b instance=k
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m k#2=m]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            # Since v9 it is told so …
            5 join a instance=i v=9
              + group g gen=1 protocol=range leader=i#5 [i#5=x k#2=y]
              5 -> joined gen=1 range leader=i#5 me=i#5 [i#5=m k#2=m] skip
            6 sync a id=i#5 instance=i gen=1
              6 -> sync NONE x
            # … before, it is made to believe that its former self leads.
            7 join a instance=i v=8
              + group g gen=1 protocol=range leader=i#7 [i#7=x k#2=y]
              7 -> joined gen=1 range leader=i#5 me=i#7 []
            8 sync a id=i#7 instance=i gen=1
              8 -> sync NONE x
        "#]],
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
        expect![[r#"
            1 join a instance=i protocols=range:1,sticky:1
            2 join b instance=k protocols=range:2,sticky:2
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=1 k#2=2]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 join b instance=k protocols=sticky:3
            6 heartbeat a id=i#1 instance=i gen=1
              6 -> heartbeat REBALANCE_IN_PROGRESS
            7 join a id=i#1 instance=i protocols=range:1,sticky:1
              7 -> joined gen=2 sticky leader=i#1 me=i#1 [i#1=1 k#5=3]
              5 -> joined gen=2 sticky leader=i#1 me=k#5 []
        "#]],
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
        expect![[r#"
            1 join a instance=i
            2 join b instance=k
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m k#2=m]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 join b instance=k
              3 -> sync FENCED_INSTANCE_ID 
            5 join a id=i#1 instance=i
              5 -> joined gen=2 range leader=i#1 me=i#1 [i#1=m k#4=m]
              4 -> joined gen=2 range leader=i#1 me=k#4 []
        "#]],
    );
}

#[test]
fn a_come_back_while_a_join_is_parked_fences_the_parked_one() {
    check(
        "join a instance=i
         join a instance=i
         advance 6000",
        expect![[r#"
            1 join a instance=i
            2 join a instance=i
              1 -> join FENCED_INSTANCE_ID me=i#1
            advance 6000
              at 3000
              2 -> joined gen=1 range leader=i#2 me=i#2 [i#2=m]
        "#]],
    );
}

#[test]
fn static_members_that_are_away_keep_their_place_until_the_session_ends() {
    check(
        "join a instance=i rebalance=2000 session=30000
         join b instance=k rebalance=2000 session=40000
         advance 3000
         sync b id=k#2 instance=k gen=1
         sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
         # The end of the join phase does not put them out …
         join c v=3 rebalance=2000 session=60000
         advance 2000
         sync c id=c#5 gen=2 assign=c#5:x,i#1:y,k#2:z
         # … nor does another, when the only member that is here goes away: the group waits for them.
         leave c members=c#5
         advance 2000
         advance 60000",
        expect![[r#"
            1 join a instance=i rebalance=2000 session=30000
            2 join b instance=k rebalance=2000 session=40000
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m k#2=m]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            # The end of the join phase does not put them out …
            5 join c v=3 rebalance=2000 session=60000
            advance 2000
              at 5000
              5 -> joined gen=2 range leader=c#5 me=c#5 [c#5=m i#1=m k#2=m]
            6 sync c id=c#5 gen=2 assign=c#5:x,i#1:y,k#2:z
              + group g gen=2 protocol=range leader=c#5 [c#5=x i#1=y k#2=z]
              6 -> sync NONE x
            # … nor does another, when the only member that is here goes away: the group waits for them.
            7 leave c members=c#5
              7 -> leave NONE c#5=NONE
            advance 2000
            advance 60000
              at 45000
              + group g gen=3 protocol=- leader=- []
        "#]],
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
        expect![[r#"
            1 join a instance=i
            2 join b instance=k
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m k#2=m]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 leave admin members=/k,/unknown,k#2/i,i#1/i
              + group g gen=2 protocol=- leader=- []
              5 -> leave NONE /k=NONE /unknown=UNKNOWN_MEMBER_ID k#2/i=FENCED_INSTANCE_ID i#1/i=NONE
            6 describe
              6 -> g NONE Empty type="consumer" protocol=""
        "#]],
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
        expect![[r#"
            1 join a instance=i
            2 join b instance=k
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m k#2=m]
              2 -> joined gen=1 range leader=i#1 me=k#2 []
            3 sync b id=k#2 instance=k gen=1
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x,k#2:y
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 join b instance=k
              append fails
              5 -> join COORDINATOR_NOT_AVAILABLE me=k#5
            6 join b instance=k
              + group g gen=1 protocol=range leader=i#1 [i#1=x k#6=y]
              6 -> joined gen=1 range leader=i#1 me=k#6 []
            reload
            7 heartbeat b id=k#6 instance=k gen=1
              7 -> heartbeat NONE
        "#]],
    );
}
