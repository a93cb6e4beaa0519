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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    );
}

#[test]
fn metadata_that_is_too_long_is_refused_alone() {
    let config = GroupConfig {
        offset_metadata_max: 3,
        ..GroupConfig::default()
    };
    let script = "commit a t-0=1/abcd t-1=2/äöü t-2=3/abc";
    expect![[""]].assert_eq(&play_with(config, script));
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
    expect![[""]].assert_eq(&play_with(config, &script));
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
    expect![[""]].assert_eq(&play_with(config, script));
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
    expect![[""]].assert_eq(&play_with(config, script));
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
    expect![[""]].assert_eq(&script.transcript);
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
