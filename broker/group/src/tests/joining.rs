//! Joining, rebalancing, sessions and leaving of dynamic members.

use super::{play, play_with};
use crate::GroupConfig;
use expect_test::{Expect, expect};

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

#[test]
fn two_members_form_a_generation() {
    check(
        "join a
         join a id=a#1
         join b
         advance 2000
         join b id=b#3
         advance 3000
         sync b id=b#3 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#3:y
         heartbeat a id=a#1 gen=1
         describe",
        expect![[""]],
    );
}

#[test]
fn the_initial_delay_grows_while_members_come_but_not_beyond_the_rebalance_timeout() {
    check(
        "join a v=3 rebalance=7000
         advance 2900
         join b v=3 rebalance=7000
         advance 2900
         join c v=3 rebalance=7000
         advance 10000",
        expect![[""]],
    );
}

#[test]
fn a_member_id_is_required_from_v4_only() {
    check(
        "join old v=3
         join new v=4
         join new v=4 id=new#2
         join wrong v=4 id=wrong#9",
        expect![[""]],
    );
}

#[test]
fn a_promised_member_holds_the_rebalance_until_its_session_is_over() {
    check(
        "join a v=3
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         join b v=4 session=6000
         join a v=4 id=a#1 protocols=range:changed
         advance 6000",
        expect![[""]],
    );
}

#[test]
fn protocols_must_have_something_in_common() {
    check(
        "join a v=3 protocols=
         join a v=3 type=
         join a v=3 protocols=range:1,sticky:1
         join b v=3 protocols=sticky:2,other:2
         join c v=3 protocols=other:3
         join d v=3 protocols=sticky:4 type=connect
         advance 6000",
        expect![[""]],
    );
}

#[test]
fn the_protocol_with_most_votes_wins() {
    check(
        "join a v=3 protocols=range:1,sticky:1
         join b v=3 protocols=sticky:2,range:2
         join c v=3 protocols=sticky:3,range:3
         advance 6000",
        expect![[""]],
    );
}

#[test]
fn a_leader_that_joins_again_rebalances_a_follower_only_when_it_changed() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         sync b id=b#2 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y
         # A follower with nothing new is told the generation.
         join b id=b#2
         # The leader opens a rebalance, and the follower hears of it.
         join a id=a#1
         heartbeat b id=b#2 gen=1
         sync b id=b#2 gen=1
         join b id=b#2",
        expect![[""]],
    );
}

#[test]
fn a_join_lost_on_the_way_back_is_answered_again_while_the_leader_assigns() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         join b id=b#2
         join a id=a#1",
        expect![[""]],
    );
}

#[test]
fn who_does_not_come_back_in_time_is_out() {
    check(
        "join a v=3 rebalance=20000 session=30000
         join b v=3 rebalance=20000 session=30000
         advance 6000
         sync b id=b#2 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y
         join b id=b#2 protocols=range:new rebalance=20000 session=30000
         advance 19999
         advance 1
         heartbeat a id=a#1 gen=1",
        expect![[""]],
    );
}

#[test]
fn a_session_that_is_over_starts_a_rebalance_and_takes_the_leadership_along() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         sync b id=b#2 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y
         advance 5000
         heartbeat b id=b#2 gen=1
         advance 5000
         heartbeat b id=b#2 gen=1
         heartbeat a id=a#1 gen=1
         join b id=b#2",
        expect![[""]],
    );
}

#[test]
fn no_session_ends_while_its_member_is_parked() {
    check(
        "# In a join …
         join a v=3 session=6000 rebalance=60000
         join b v=3 session=6000 rebalance=60000
         advance 6000
         sync b id=b#2 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y
         join b id=b#2 protocols=range:new session=6000 rebalance=60000
         advance 5000
         heartbeat a id=a#1 gen=1
         advance 5000
         join a id=a#1 session=6000 rebalance=60000
         # … and in a sync.
         sync b id=b#2 gen=2
         advance 5000
         heartbeat a id=a#1 gen=2
         advance 5000
         sync a id=a#1 gen=2 assign=b#2:all",
        expect![[""]],
    );
}

#[test]
fn a_new_member_that_is_never_answered_is_dropped_after_five_minutes() {
    check(
        "join a v=3 session=6000 rebalance=600000
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         join b v=3 session=6000 rebalance=600000
         advance 5000
         heartbeat a id=a#1 gen=1
         advance 5000
         heartbeat a id=a#1 gen=1
         describe
         advance 1000
         join c v=3 session=6000 rebalance=600000",
        expect![[""]],
    );
}

#[test]
fn v0_has_no_rebalance_timeout_and_uses_its_session() {
    check(
        "join a v=0 rebalance=-1 session=10000
         join b v=0 rebalance=-1 session=10000
         advance 6000
         sync b id=b#2 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#2:y
         join b v=0 id=b#2 protocols=range:new rebalance=-1 session=10000
         advance 9000
         join a v=0 id=a#1 rebalance=-1 session=10000",
        expect![[""]],
    );
}

#[test]
fn a_newcomer_and_a_leaver_rebalance_a_group_that_syncs() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         sync b id=b#2 gen=1
         join c v=3
         join a id=a#1
         join b id=b#2
         sync b id=b#2 gen=2
         leave a members=a#1
         join b id=b#2",
        expect![[""]],
    );
}

#[test]
fn the_last_to_leave_empties_the_group() {
    check(
        "join a v=3
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         leave a members=a#1,b#9
         describe
         heartbeat a id=a#1 gen=2
         join a v=3
         advance 3000",
        expect![[""]],
    );
}

#[test]
fn leaving_before_v3_has_one_member_and_one_error() {
    check(
        "join a v=3
         advance 3000
         leave b v=2 id=b#9
         leave a v=2 id=a#1
         leave a v=2 group=none id=a#1
         leave a v=3 group=none members=a#1/i",
        expect![[""]],
    );
}

#[test]
fn leaving_with_a_promised_id_lets_the_others_go_on() {
    check(
        "join a v=3
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         join b v=4
         join a id=a#1 protocols=range:new
         leave b members=b#4",
        expect![[""]],
    );
}

#[test]
fn leaving_while_a_join_is_parked_answers_the_join() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         join a id=a#1 protocols=range:new
         leave a members=a#1
         join b id=b#2",
        expect![[""]],
    );
}

#[test]
fn a_full_group_refuses() {
    let config = GroupConfig {
        members_max: 2,
        ..GroupConfig::default()
    };
    let script = "join a v=3
         join b v=3
         join c v=3
         advance 6000
         join c v=3
         sync a id=a#1 gen=1 assign=a#1:x";
    expect![[""]].assert_eq(&play_with(config, script));
}

#[test]
fn sessions_have_bounds_and_groups_a_name() {
    check(
        "join a session=5999
         join a session=1800001
         join a group=
         heartbeat a group=
         list",
        expect![[""]],
    );
}

#[test]
fn a_second_join_of_the_same_member_answers_the_first() {
    check(
        "join a v=3
         join b v=3
         advance 6000
         join a id=a#1 protocols=range:new
         join a id=a#1 protocols=range:newer
         join b id=b#2",
        expect![[""]],
    );
}

#[test]
fn everybody_gone_during_the_initial_delay_leaves_an_empty_group() {
    check(
        "join a v=3
         leave a members=a#1
         advance 2000
         join b v=3 protocols=other:1
         advance 6000",
        expect![[""]],
    );
}
