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
         advance 4000
         sync b id=b#3 gen=1
         sync a id=a#1 gen=1 assign=a#1:x,b#3:y
         heartbeat a id=a#1 gen=1
         describe",
        expect![[r#"
            1 join a
              1 -> join MEMBER_ID_REQUIRED me=a#1
            2 join a id=a#1
            3 join b
              3 -> join MEMBER_ID_REQUIRED me=b#3
            advance 2000
            4 join b id=b#3
            advance 4000
              at 6000
              2 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#3=m]
              4 -> joined gen=1 range leader=a#1 me=b#3 []
            5 sync b id=b#3 gen=1
            6 sync a id=a#1 gen=1 assign=a#1:x,b#3:y
              + group g gen=1 protocol=range leader=a#1 [a#1=x b#3=y]
              6 -> sync NONE x
              5 -> sync NONE y
            7 heartbeat a id=a#1 gen=1
              7 -> heartbeat NONE
            8 describe
              8 -> g NONE Stable type="consumer" protocol="range" a#1(a/h)=m/x b#3(b/h)=m/y
        "#]],
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
        expect![[r#"
            1 join a v=3 rebalance=7000
            advance 2900
            2 join b v=3 rebalance=7000
            advance 2900
            3 join c v=3 rebalance=7000
            advance 10000
              at 7000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m c#3=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
              3 -> joined gen=1 range leader=a#1 me=c#3 []
              at 14000
              + group g gen=2 protocol=- leader=- []
        "#]],
    );
}

#[test]
fn a_member_id_is_required_from_v4_only() {
    check(
        "join old v=3
         join new v=4
         join new v=4 id=new#2
         join wrong v=4 id=wrong#9",
        expect![[r#"
            1 join old v=3
            2 join new v=4
              2 -> join MEMBER_ID_REQUIRED me=new#2
            3 join new v=4 id=new#2
            4 join wrong v=4 id=wrong#9
              4 -> join UNKNOWN_MEMBER_ID me=wrong#9
        "#]],
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
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 join b v=4 session=6000
              3 -> join MEMBER_ID_REQUIRED me=b#3
            4 join a v=4 id=a#1 protocols=range:changed
            advance 6000
              at 9000
              4 -> joined gen=2 range leader=a#1 me=a#1 [a#1=changed]
        "#]],
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
        expect![[r#"
            1 join a v=3 protocols=
              1 -> join INCONSISTENT_GROUP_PROTOCOL me=
            2 join a v=3 type=
              2 -> join INCONSISTENT_GROUP_PROTOCOL me=
            3 join a v=3 protocols=range:1,sticky:1
            4 join b v=3 protocols=sticky:2,other:2
            5 join c v=3 protocols=other:3
              5 -> join INCONSISTENT_GROUP_PROTOCOL me=
            6 join d v=3 protocols=sticky:4 type=connect
              6 -> join INCONSISTENT_GROUP_PROTOCOL me=
            advance 6000
              at 6000
              3 -> joined gen=1 sticky leader=a#3 me=a#3 [a#3=1 b#4=2]
              4 -> joined gen=1 sticky leader=a#3 me=b#4 []
        "#]],
    );
}

#[test]
fn the_protocol_with_most_votes_wins() {
    check(
        "join a v=3 protocols=range:1,sticky:1
         join b v=3 protocols=sticky:2,range:2
         join c v=3 protocols=sticky:3,range:3
         advance 6000",
        expect![[r#"
            1 join a v=3 protocols=range:1,sticky:1
            2 join b v=3 protocols=sticky:2,range:2
            3 join c v=3 protocols=sticky:3,range:3
            advance 6000
              at 6000
              1 -> joined gen=1 sticky leader=a#1 me=a#1 [a#1=1 b#2=2 c#3=3]
              2 -> joined gen=1 sticky leader=a#1 me=b#2 []
              3 -> joined gen=1 sticky leader=a#1 me=c#3 []
        "#]],
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
            # A follower with nothing new is told the generation.
            5 join b id=b#2
              5 -> joined gen=1 range leader=a#1 me=b#2 []
            # The leader opens a rebalance, and the follower hears of it.
            6 join a id=a#1
            7 heartbeat b id=b#2 gen=1
              7 -> heartbeat REBALANCE_IN_PROGRESS
            8 sync b id=b#2 gen=1
              8 -> sync REBALANCE_IN_PROGRESS 
            9 join b id=b#2
              6 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=m]
              9 -> joined gen=2 range leader=a#1 me=b#2 []
        "#]],
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
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 join b id=b#2
              3 -> joined gen=1 range leader=a#1 me=b#2 []
            4 join a id=a#1
              4 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
        "#]],
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
        expect![[r#"
            1 join a v=3 rebalance=20000 session=30000
            2 join b v=3 rebalance=20000 session=30000
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            4 sync a id=a#1 gen=1 assign=a#1:x,b#2:y
              + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 join b id=b#2 protocols=range:new rebalance=20000 session=30000
            advance 19999
            advance 1
              at 26000
              5 -> joined gen=2 range leader=b#2 me=b#2 [b#2=new]
            6 heartbeat a id=a#1 gen=1
              6 -> heartbeat UNKNOWN_MEMBER_ID
        "#]],
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
            advance 5000
            5 heartbeat b id=b#2 gen=1
              5 -> heartbeat NONE
            advance 5000
            6 heartbeat b id=b#2 gen=1
              6 -> heartbeat REBALANCE_IN_PROGRESS
            7 heartbeat a id=a#1 gen=1
              7 -> heartbeat UNKNOWN_MEMBER_ID
            8 join b id=b#2
              8 -> joined gen=2 range leader=b#2 me=b#2 [b#2=m]
        "#]],
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
        expect![[r#"
            # In a join …
            1 join a v=3 session=6000 rebalance=60000
            2 join b v=3 session=6000 rebalance=60000
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            4 sync a id=a#1 gen=1 assign=a#1:x,b#2:y
              + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 join b id=b#2 protocols=range:new session=6000 rebalance=60000
            advance 5000
            6 heartbeat a id=a#1 gen=1
              6 -> heartbeat REBALANCE_IN_PROGRESS
            advance 5000
            7 join a id=a#1 session=6000 rebalance=60000
              7 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=new]
              5 -> joined gen=2 range leader=a#1 me=b#2 []
            # … and in a sync.
            8 sync b id=b#2 gen=2
            advance 5000
            9 heartbeat a id=a#1 gen=2
              9 -> heartbeat NONE
            advance 5000
            10 sync a id=a#1 gen=2 assign=b#2:all
              + group g gen=2 protocol=range leader=a#1 [a#1= b#2=all]
              10 -> sync NONE 
              8 -> sync NONE all
        "#]],
    );
}

#[test]
fn a_new_member_that_is_never_answered_is_dropped_after_five_minutes() {
    check(
        "join a v=3 session=600000 rebalance=900000
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         join b v=3 session=6000 rebalance=900000
         advance 299999
         join c v=3 session=6000 rebalance=900000
         advance 1
         join a id=a#1 session=600000 rebalance=900000",
        expect![[r#"
            1 join a v=3 session=600000 rebalance=900000
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 join b v=3 session=6000 rebalance=900000
            advance 299999
            4 join c v=3 session=6000 rebalance=900000
            advance 1
              at 303000
              3 -> join UNKNOWN_MEMBER_ID me=
            5 join a id=a#1 session=600000 rebalance=900000
              5 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m c#4=m]
              4 -> joined gen=2 range leader=a#1 me=c#4 []
        "#]],
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
        expect![[r#"
            1 join a v=0 rebalance=-1 session=10000
            2 join b v=0 rebalance=-1 session=10000
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            4 sync a id=a#1 gen=1 assign=a#1:x,b#2:y
              + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=y]
              4 -> sync NONE x
              3 -> sync NONE y
            5 join b v=0 id=b#2 protocols=range:new rebalance=-1 session=10000
            advance 9000
            6 join a v=0 id=a#1 rebalance=-1 session=10000
              6 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=new]
              5 -> joined gen=2 range leader=a#1 me=b#2 []
        "#]],
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
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 sync b id=b#2 gen=1
            4 join c v=3
              3 -> sync REBALANCE_IN_PROGRESS 
            5 join a id=a#1
            6 join b id=b#2
              5 -> joined gen=2 range leader=a#1 me=a#1 [a#1=m b#2=m c#4=m]
              6 -> joined gen=2 range leader=a#1 me=b#2 []
              4 -> joined gen=2 range leader=a#1 me=c#4 []
            7 sync b id=b#2 gen=2
            8 leave a members=a#1
              7 -> sync REBALANCE_IN_PROGRESS 
              8 -> leave NONE a#1=NONE
            9 join b id=b#2
        "#]],
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
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 leave a members=a#1,b#9
              + group g gen=2 protocol=- leader=- []
              3 -> leave NONE a#1=NONE b#9=UNKNOWN_MEMBER_ID
            4 describe
              4 -> g NONE Empty type="consumer" protocol=""
            5 heartbeat a id=a#1 gen=2
              5 -> heartbeat UNKNOWN_MEMBER_ID
            6 join a v=3
            advance 3000
              at 6000
              6 -> joined gen=3 range leader=a#6 me=a#6 [a#6=m]
        "#]],
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
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 leave b v=2 id=b#9
              2 -> leave UNKNOWN_MEMBER_ID
            3 leave a v=2 id=a#1
              + group g gen=2 protocol=- leader=- []
              3 -> leave NONE
            4 leave a v=2 group=none id=a#1
              4 -> leave UNKNOWN_MEMBER_ID
            5 leave a v=3 group=none members=a#1/i
              5 -> leave NONE a#1/i=UNKNOWN_MEMBER_ID
        "#]],
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
         leave b members=b#3",
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 join b v=4
              3 -> join MEMBER_ID_REQUIRED me=b#3
            4 join a id=a#1 protocols=range:new
            5 leave b members=b#3
              4 -> joined gen=2 range leader=a#1 me=a#1 [a#1=new]
              5 -> leave NONE b#3=NONE
        "#]],
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
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 join a id=a#1 protocols=range:new
            4 leave a members=a#1
              3 -> join UNKNOWN_MEMBER_ID me=
              4 -> leave NONE a#1=NONE
            5 join b id=b#2
              5 -> joined gen=2 range leader=b#2 me=b#2 [b#2=m]
        "#]],
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
    expect![[r#"
        1 join a v=3
        2 join b v=3
        3 join c v=3
          3 -> join GROUP_MAX_SIZE_REACHED me=
        advance 6000
          at 6000
          1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
          2 -> joined gen=1 range leader=a#1 me=b#2 []
        4 join c v=3
          4 -> join GROUP_MAX_SIZE_REACHED me=
        5 sync a id=a#1 gen=1 assign=a#1:x
          + group g gen=1 protocol=range leader=a#1 [a#1=x b#2=]
          5 -> sync NONE x
    "#]]
    .assert_eq(&play_with(config, script));
}

#[test]
fn sessions_have_bounds_and_groups_a_name() {
    check(
        "join a session=5999
         join a session=1800001
         join a group=
         heartbeat a group=
         list",
        expect![[r#"
            1 join a session=5999
              1 -> join INVALID_SESSION_TIMEOUT me=
            2 join a session=1800001
              2 -> join INVALID_SESSION_TIMEOUT me=
            3 join a group=
              3 -> join INVALID_GROUP_ID me=
            4 heartbeat a group=
              4 -> heartbeat INVALID_GROUP_ID
            5 list
              5 -> list
        "#]],
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
        expect![[r#"
            1 join a v=3
            2 join b v=3
            advance 6000
              at 6000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m b#2=m]
              2 -> joined gen=1 range leader=a#1 me=b#2 []
            3 join a id=a#1 protocols=range:new
            4 join a id=a#1 protocols=range:newer
              3 -> join REBALANCE_IN_PROGRESS me=a#1
            5 join b id=b#2
              4 -> joined gen=2 range leader=a#1 me=a#1 [a#1=newer b#2=m]
              5 -> joined gen=2 range leader=a#1 me=b#2 []
        "#]],
    );
}

#[test]
fn who_comes_after_everybody_left_during_the_initial_delay_is_welcome() {
    check(
        "join a v=3
         leave a members=a#1
         advance 2000
         join b v=3 protocols=other:1
         advance 6000",
        expect![[r#"
            1 join a v=3
            2 leave a members=a#1
              1 -> join UNKNOWN_MEMBER_ID me=
              2 -> leave NONE a#1=NONE
            advance 2000
            3 join b v=3 protocols=other:1
            advance 6000
              at 6000
              3 -> joined gen=1 other leader=b#3 me=b#3 [b#3=1]
        "#]],
    );
}
