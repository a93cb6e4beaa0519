//! ListGroups, DescribeGroups, DeleteGroups.

use super::play;
use expect_test::{Expect, expect};

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

#[test]
fn groups_are_listed_by_state_and_type() {
    check(
        "join a v=3 group=joining
         join b v=3 group=stable
         commit c group=simple t-0=1
         advance 3000
         sync b group=stable id=b#2 gen=1 assign=b#2:x
         join d v=3 group=preparing
         list
         list states=stable,EMPTY
         list states=Unheard
         list types=Classic
         list types=consumer",
        expect![[r#"
            1 join a v=3 group=joining
            2 join b v=3 group=stable
            3 commit c group=simple t-0=1
              + offset simple/t-0 = 1 at 0
              3 -> commit t-0=NONE
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
              2 -> joined gen=1 range leader=b#2 me=b#2 [b#2=m]
            4 sync b group=stable id=b#2 gen=1 assign=b#2:x
              + group stable gen=1 protocol=range leader=b#2 [b#2=x]
              4 -> sync NONE x
            5 join d v=3 group=preparing
            6 list
              6 -> list joining(CompletingRebalance, classic, consumer) preparing(PreparingRebalance, classic, consumer) simple(Empty, classic, ) stable(Stable, classic, consumer)
            7 list states=stable,EMPTY
              7 -> list simple(Empty, classic, ) stable(Stable, classic, consumer)
            8 list states=Unheard
              8 -> list
            9 list types=Classic
              9 -> list joining(CompletingRebalance, classic, consumer) preparing(PreparingRebalance, classic, consumer) simple(Empty, classic, ) stable(Stable, classic, consumer)
            10 list types=consumer
              10 -> list
        "#]],
    );
}

#[test]
fn a_group_shows_metadata_when_it_is_stable() {
    check(
        "join a v=3 instance=i
         describe
         advance 3000
         describe
         sync a id=i#1 instance=i gen=1 assign=i#1:x
         describe
         describe group=none
         describe group=none v=5",
        expect![[r#"
            1 join a v=3 instance=i
            2 describe
              2 -> g NONE PreparingRebalance type="consumer" protocol="" i#1(a/h)=/
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=i#1 me=i#1 [i#1=m]
            3 describe
              3 -> g NONE CompletingRebalance type="consumer" protocol="" i#1(a/h)=/
            4 sync a id=i#1 instance=i gen=1 assign=i#1:x
              + group g gen=1 protocol=range leader=i#1 [i#1=x]
              4 -> sync NONE x
            5 describe
              5 -> g NONE Stable type="consumer" protocol="range" i#1(a/h)=m/x
            6 describe group=none
              6 -> none GROUP_ID_NOT_FOUND Dead type="" protocol=""
            7 describe group=none v=5
              7 -> none NONE Dead type="" protocol=""
        "#]],
    );
}

#[test]
fn only_empty_groups_are_deleted() {
    check(
        "join a v=3
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         commit a id=a#1 gen=1 t-0=1 t-1=2
         delete
         leave a members=a#1
         delete
         delete
         delete group=
         fetch a all
         list",
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 commit a id=a#1 gen=1 t-0=1 t-1=2
              + offset g/t-0 = 1 at 3000
              + offset g/t-1 = 2 at 3000
              3 -> commit t-0=NONE t-1=NONE
            4 delete
              4 -> delete NON_EMPTY_GROUP
            5 leave a members=a#1
              + group g gen=2 protocol=- leader=- []
              5 -> leave NONE a#1=NONE
            6 delete
              + offset g/t-0 gone
              + offset g/t-1 gone
              + group g gone
              6 -> delete NONE
            7 delete
              7 -> delete GROUP_ID_NOT_FOUND
            8 delete group=
              8 -> delete GROUP_ID_NOT_FOUND
            9 fetch a all
              9 -> fetch NONE
            10 list
              10 -> list
        "#]],
    );
}
