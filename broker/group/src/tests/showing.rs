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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    );
}
