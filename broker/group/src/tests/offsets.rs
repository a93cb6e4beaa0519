//! Committing, fetching, deleting and expiring offsets.

use super::{Script, now, play, play_with};
use crate::{GroupConfig, Replayed};
use bytes::Bytes;
use expect_test::{Expect, expect};

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

const ONE_MEMBER: &str = "join a v=3 protocols=range:@t
    advance 3000
    sync a id=a#1 gen=1 assign=a#1:x
    ";

#[test]
fn a_simple_consumer_commits_without_a_group() {
    check(
        "commit a t-0=5/note t-1=7 u-0=1
         fetch a t-0 t-2 x-0
         fetch a all
         fetch a group=none t-0
         fetch a group=none all
         commit a gen=4 group=none t-0=1
         commit a gen=4 group=none v=8 t-0=1
         list",
        expect![[r#"
            1 commit a t-0=5/note t-1=7 u-0=1
              + offset g/t-0 = 5 "note" at 0
              + offset g/t-1 = 7 at 0
              + offset g/u-0 = 1 at 0
              1 -> commit t-0=NONE t-1=NONE u-0=NONE
            2 fetch a t-0 t-2 x-0
              2 -> fetch NONE t-0=5/note t-2=-1 x-0=-1
            3 fetch a all
              3 -> fetch NONE t-0=5/note t-1=7 u-0=1
            4 fetch a group=none t-0
              4 -> fetch NONE t-0=-1
            5 fetch a group=none all
              5 -> fetch NONE
            6 commit a gen=4 group=none t-0=1
              6 -> commit t-0=GROUP_ID_NOT_FOUND
            7 commit a gen=4 group=none v=8 t-0=1
              7 -> commit t-0=ILLEGAL_GENERATION
            8 list
              8 -> list g(Empty, classic, )
        "#]],
    );
}

#[test]
fn a_member_commits_in_its_generation_only() {
    check(
        &format!(
            "{ONE_MEMBER}
             commit a id=a#1 gen=1 t-0=5
             commit a id=a#1 gen=0 t-0=6
             commit b id=b#9 gen=1 t-0=7
             # From outside only while nobody is in the group.
             commit admin t-0=8
             leave a members=a#1
             commit admin t-0=9
             commit a id=a#1 gen=1 t-0=10"
        ),
        expect![[r#"
            1 join a v=3 protocols=range:@t
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=........t........]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 commit a id=a#1 gen=1 t-0=5
              + offset g/t-0 = 5 at 3000
              3 -> commit t-0=NONE
            4 commit a id=a#1 gen=0 t-0=6
              4 -> commit t-0=ILLEGAL_GENERATION
            5 commit b id=b#9 gen=1 t-0=7
              5 -> commit t-0=UNKNOWN_MEMBER_ID
            # From outside only while nobody is in the group.
            6 commit admin t-0=8
              6 -> commit t-0=UNKNOWN_MEMBER_ID
            7 leave a members=a#1
              + group g gen=2 protocol=- leader=- []
              7 -> leave NONE a#1=NONE
            8 commit admin t-0=9
              + offset g/t-0 = 9 at 3000
              8 -> commit t-0=NONE
            9 commit a id=a#1 gen=1 t-0=10
              9 -> commit t-0=UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn a_commit_between_join_and_sync_is_told_to_rebalance() {
    check(
        "join a v=3
         advance 3000
         commit a id=a#1 gen=1 t-0=5
         sync a id=a#1 gen=1 assign=a#1:x
         join b v=3
         # Before joining again it may still commit.
         commit a id=a#1 gen=1 t-0=6",
        expect![[r#"
            1 join a v=3
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=m]
            2 commit a id=a#1 gen=1 t-0=5
              2 -> commit t-0=REBALANCE_IN_PROGRESS
            3 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              3 -> sync NONE x
            4 join b v=3
            # Before joining again it may still commit.
            5 commit a id=a#1 gen=1 t-0=6
              + offset g/t-0 = 6 at 3000
              5 -> commit t-0=NONE
        "#]],
    );
}

#[test]
fn a_commit_is_a_sign_of_life() {
    check(
        &format!(
            "{ONE_MEMBER}
             advance 9000
             commit a id=a#1 gen=1 t-0=5
             advance 9000
             heartbeat a id=a#1 gen=1"
        ),
        expect![[r#"
            1 join a v=3 protocols=range:@t
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=........t........]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            advance 9000
            3 commit a id=a#1 gen=1 t-0=5
              + offset g/t-0 = 5 at 12000
              3 -> commit t-0=NONE
            advance 9000
            4 heartbeat a id=a#1 gen=1
              4 -> heartbeat NONE
        "#]],
    );
}

#[test]
fn metadata_that_is_too_long_is_refused_alone() {
    let config = GroupConfig {
        offset_metadata_max: 3,
        ..GroupConfig::default()
    };
    let script = "commit a t-0=1/abcd t-1=2/äöü t-2=3/abc";
    expect![[r#"
        1 commit a t-0=1/abcd t-1=2/äöü t-2=3/abc
          + offset g/t-1 = 2 "äöü" at 0
          + offset g/t-2 = 3 "abc" at 0
          1 -> commit t-0=OFFSET_METADATA_TOO_LARGE t-1=NONE t-2=NONE
    "#]]
    .assert_eq(&play_with(config, script));
}

#[test]
fn nobody_hears_of_an_offset_that_is_not_committed_yet() {
    check(
        "commit a t-0=1
         hold
         commit a t-0=2
         fetch a t-0
         fetch a group=other t-0
         release",
        expect![[r#"
            1 commit a t-0=1
              + offset g/t-0 = 1 at 0
              1 -> commit t-0=NONE
            2 commit a t-0=2
              + offset g/t-0 = 2 at 0
            3 fetch a t-0
            4 fetch a group=other t-0
              4 -> fetch NONE t-0=-1
            release
              2 -> commit t-0=NONE
              3 -> fetch NONE t-0=2
        "#]],
    );
}

#[test]
fn commits_that_fail_or_wait_too_long_say_so() {
    check(
        "fail-next
         commit a t-0=1
         fetch a t-0
         hold
         commit a t-0=2
         fetch a t-0
         advance 4999
         advance 1
         # The record is in the log, and may still be committed.
         release
         fetch a t-0",
        expect![[r#"
            1 commit a t-0=1
              append fails
              1 -> commit t-0=COORDINATOR_NOT_AVAILABLE
            2 fetch a t-0
              2 -> fetch NONE t-0=-1
            3 commit a t-0=2
              + offset g/t-0 = 2 at 0
            4 fetch a t-0
            advance 4999
            advance 1
              at 5000
              3 -> commit t-0=COORDINATOR_NOT_AVAILABLE
              4 -> fetch COORDINATOR_NOT_AVAILABLE
            # The record is in the log, and may still be committed.
            release
            5 fetch a t-0
              5 -> fetch NONE t-0=2
        "#]],
    );
}

#[test]
fn an_offset_of_another_topic_of_the_same_name_does_not_count() {
    check(
        "commit a topic-id=77 t-0=5
         fetch a topic-id=77 t-0
         fetch a topic-id=78 t-0
         fetch a t-0
         topic-gone t topic-id=78
         fetch a t-0
         topic-gone t topic-id=77
         fetch a t-0",
        expect![[r#"
            1 commit a topic-id=77 t-0=5
              + offset g/t-0 = 5 at 0
              1 -> commit t-0=NONE
            2 fetch a topic-id=77 t-0
              2 -> fetch NONE t-0=5
            3 fetch a topic-id=78 t-0
              3 -> fetch NONE t-0=-1
            4 fetch a t-0
              4 -> fetch NONE t-0=5
            topic-gone t topic-id=78
            5 fetch a t-0
              5 -> fetch NONE t-0=5
            topic-gone t topic-id=77
              + offset g/t-0 gone
            6 fetch a t-0
              6 -> fetch NONE t-0=-1
        "#]],
    );
}

#[test]
fn offsets_are_deleted_one_by_one_unless_they_are_read() {
    check(
        &format!(
            "{ONE_MEMBER}
             commit a id=a#1 gen=1 t-0=5 u-0=6
             delete-offsets admin t-0 u-0 u-1
             fetch a all
             delete-offsets admin group=none t-0
             # Without known subscriptions the whole group is in the way.
             join c v=3 group=c type=connect
             delete-offsets admin group=c t-0
             leave a members=a#1
             delete-offsets admin t-0
             fetch a all"
        ),
        expect![[r#"
            1 join a v=3 protocols=range:@t
            advance 3000
              at 3000
              1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=........t........]
            2 sync a id=a#1 gen=1 assign=a#1:x
              + group g gen=1 protocol=range leader=a#1 [a#1=x]
              2 -> sync NONE x
            3 commit a id=a#1 gen=1 t-0=5 u-0=6
              + offset g/t-0 = 5 at 3000
              + offset g/u-0 = 6 at 3000
              3 -> commit t-0=NONE u-0=NONE
            4 delete-offsets admin t-0 u-0 u-1
              + offset g/u-0 gone
              4 -> delete-offsets NONE t-0=GROUP_SUBSCRIBED_TO_TOPIC u-0=NONE u-1=NONE
            5 fetch a all
              5 -> fetch NONE t-0=5
            6 delete-offsets admin group=none t-0
              6 -> delete-offsets GROUP_ID_NOT_FOUND
            # Without known subscriptions the whole group is in the way.
            7 join c v=3 group=c type=connect
            8 delete-offsets admin group=c t-0
              8 -> delete-offsets NON_EMPTY_GROUP
            9 leave a members=a#1
              + group g gen=2 protocol=- leader=- []
              9 -> leave NONE a#1=NONE
            10 delete-offsets admin t-0
              + offset g/t-0 gone
              10 -> delete-offsets NONE t-0=NONE
            11 fetch a all
              11 -> fetch NONE
        "#]],
    );
}

const DAY_MS: i64 = 86_400_000;

#[test]
fn offsets_of_an_empty_group_expire_by_the_time_it_became_empty() {
    let config = GroupConfig {
        offsets_retention_ms: DAY_MS,
        ..GroupConfig::default()
    };
    let script = format!(
        "{ONE_MEMBER}
         commit a id=a#1 gen=1 t-0=5
         advance 5000
         leave a members=a#1
         advance 86399000
         fetch a all
         advance 600000
         fetch a all
         list"
    );
    expect![[r#"
        1 join a v=3 protocols=range:@t
        advance 3000
          at 3000
          1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=........t........]
        2 sync a id=a#1 gen=1 assign=a#1:x
          + group g gen=1 protocol=range leader=a#1 [a#1=x]
          2 -> sync NONE x
        3 commit a id=a#1 gen=1 t-0=5
          + offset g/t-0 = 5 at 3000
          3 -> commit t-0=NONE
        advance 5000
        4 leave a members=a#1
          + group g gen=2 protocol=- leader=- []
          4 -> leave NONE a#1=NONE
        advance 86399000
        5 fetch a all
          5 -> fetch NONE t-0=5
        advance 600000
          at 87000000
          + offset g/t-0 gone
          + group g gone
        6 fetch a all
          6 -> fetch NONE
        7 list
          7 -> list
    "#]]
    .assert_eq(&play_with(config, &script));
}

#[test]
fn a_living_group_keeps_what_it_reads_and_loses_the_rest() {
    let config = GroupConfig {
        offsets_retention_ms: 700_000,
        session_timeout_max_ms: i32::MAX,
        ..GroupConfig::default()
    };
    let script = "join a v=3 protocols=range:@t session=100000000
         advance 3000
         sync a id=a#1 gen=1 assign=a#1:x
         commit a id=a#1 gen=1 t-0=5 u-0=6
         advance 1300000
         fetch a all";
    expect![[r#"
        1 join a v=3 protocols=range:@t session=100000000
        advance 3000
          at 3000
          1 -> joined gen=1 range leader=a#1 me=a#1 [a#1=........t........]
        2 sync a id=a#1 gen=1 assign=a#1:x
          + group g gen=1 protocol=range leader=a#1 [a#1=x]
          2 -> sync NONE x
        3 commit a id=a#1 gen=1 t-0=5 u-0=6
          + offset g/t-0 = 5 at 3000
          + offset g/u-0 = 6 at 3000
          3 -> commit t-0=NONE u-0=NONE
        advance 1300000
          at 1200000
          + offset g/u-0 gone
        4 fetch a all
          4 -> fetch NONE t-0=5
    "#]]
    .assert_eq(&play_with(config, script));
}

#[test]
fn simple_offsets_expire_by_their_commit_or_by_their_own_time() {
    let config = GroupConfig {
        offsets_retention_ms: DAY_MS,
        ..GroupConfig::default()
    };
    let script = "commit a v=2 retention=1000000 t-0=5
         commit a t-1=6
         advance 1200000
         fetch a all
         advance 86400000
         list";
    expect![[r#"
        1 commit a v=2 retention=1000000 t-0=5
          + offset g/t-0 = 5 at 0 expires 1000000
          1 -> commit t-0=NONE
        2 commit a t-1=6
          + offset g/t-1 = 6 at 0
          2 -> commit t-1=NONE
        advance 1200000
          at 1200000
          + offset g/t-0 gone
        3 fetch a all
          3 -> fetch NONE t-1=6
        advance 86400000
          at 86400000
          + offset g/t-1 gone
          + group g gone
        4 list
          4 -> list
    "#]]
    .assert_eq(&play_with(config, script));
}

#[test]
fn staged_offsets_appear_with_their_marker_in_the_order_of_the_log() {
    // A transaction stages t-0=10 and t-1=11 at offsets 0 and 1; a plain commit of t-0 overtakes it before the marker.
    let mut script = Script::new(GroupConfig::default());
    script.run("commit a t-0=10 t-1=11 t-2=12");
    let staged: Vec<(Bytes, Option<Bytes>)> = script
        .log
        .iter()
        .map(|record| (record.key.clone(), record.value.clone()))
        .collect();
    let mut script = Script::new(GroupConfig::default());
    for (offset, (key, value)) in staged.iter().enumerate() {
        let replayed = script
            .coordinator
            .replay(offset as i64, Some(500), key, value.as_ref())
            .unwrap();
        assert_eq!(replayed, Replayed::Applied);
        script.log.push(crate::Record {
            key: key.clone(),
            value: value.clone(),
        });
    }
    script.run(
        "fetch a t-0 t-1
         fetch a t-0 t-1 stable
         commit a t-0=99
         delete-offsets a t-2",
    );
    script.coordinator.replay_marker(500, true);
    script.run("fetch a all stable");
    script.coordinator.replay_marker(500, false);
    expect![[r#"
        1 fetch a t-0 t-1
          1 -> fetch NONE t-0=-1 t-1=-1
        2 fetch a t-0 t-1 stable
          2 -> fetch NONE t-0=-1 UNSTABLE_OFFSET_COMMIT t-1=-1 UNSTABLE_OFFSET_COMMIT
        3 commit a t-0=99
          + offset g/t-0 = 99 at 0
          3 -> commit t-0=NONE
        4 delete-offsets a t-2
          4 -> delete-offsets NONE t-2=NONE
        5 fetch a all stable
          5 -> fetch NONE t-0=99 t-1=11 t-2=12
    "#]]
    .assert_eq(&script.transcript);
}

#[test]
fn records_of_other_kinds_are_passed_over_and_damage_is_named() {
    let mut coordinator = crate::Coordinator::new(GroupConfig::default());
    let consumer_group = Bytes::from_static(&[0, 3, 0, 1, b'g']);
    assert_eq!(
        coordinator.replay(0, None, &consumer_group, None).unwrap(),
        Replayed::Ignored { record_type: 3 }
    );
    let cut = Bytes::from_static(&[0, 1, 0, 9, b'g']);
    assert!(coordinator.replay(1, None, &cut, None).is_err());
    let newer = Bytes::from_static(&[0, 9]);
    let group = Bytes::from_static(&[0, 2, 0, 1, b'g']);
    let error = coordinator
        .replay(2, None, &group, Some(&newer))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a GroupMetadata record has version 9, which this broker does not know"
    );
    coordinator.start(now(0), &mut Vec::new());
}
