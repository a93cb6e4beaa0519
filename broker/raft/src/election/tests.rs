//! A quorum of several voters in memory: scripts with their expected traces, and runs by seed that check
//! what must hold in every one of them.

mod quorum;

use expect_test::{Expect, expect};
use quorum::Quorum;

/// Runs a script; `quiet` before a line keeps its trace out.
fn check(script: &str, expected: Expect) {
    // With this seed node 1 is the first to lose patience, then 2, then 3.
    let mut quorum = Quorum::new(3, 40);
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        quorum.run(line);
    }
    expected.assert_eq(&quorum.trace);
}

#[test]
fn three_voters_elect_one_that_commits() {
    check(
        "start 1 2 3
         timeout 1
         deliver
         fetch 2
         fetch 3
         fetch 2
         append 1 2
         fetch 2
         fetch 2
         show",
        expect![[r#"
            > start 1 2 3
            > timeout 1
              1 asks 2: pre-vote epoch 0 log 0/0
              1 asks 3: pre-vote epoch 0 log 0/0
            > deliver
              2 answers: NONE leader -1 epoch 0, granted
              3 answers: NONE leader -1 epoch 0, granted
              1 persists epoch 1 leader -1 vote 1
              1 asks 2: vote epoch 1 log 0/0
              1 asks 3: vote epoch 1 log 0/0
              2 persists epoch 1 leader -1 vote -1
              2 persists epoch 1 leader -1 vote 1
              2 answers: NONE leader -1 epoch 1, granted
              3 persists epoch 1 leader -1 vote -1
              3 persists epoch 1 leader -1 vote 1
              3 answers: NONE leader -1 epoch 1, granted
              1 persists epoch 1 leader 1 vote 1
              1 leads epoch 1
              1 asks 2: begin epoch 1
              1 asks 3: begin epoch 1
              2 persists epoch 1 leader 1 vote 1
              2 follows 1 in epoch 1
              2 answers: NONE leader 1 epoch 1
              3 persists epoch 1 leader 1 vote 1
              3 follows 1 in epoch 1
              3 answers: NONE leader 1 epoch 1
            > fetch 2
              2 fetches from 0 epoch 0
            > fetch 3
              3 fetches from 0 epoch 0
            > fetch 2
              2 fetches from 1 epoch 1
              1 commits 1
            > append 1 2
            > fetch 2
              2 fetches from 1 epoch 1
              2 commits 1
            > fetch 2
              2 fetches from 3 epoch 1
              1 commits 3
            > show
              1 Leader epoch 1 committed 3 log [1, 1, 1]
              2 Follower { leader_id: 1 } epoch 1 committed 1 log [1, 1, 1]
              3 Follower { leader_id: 1 } epoch 1 committed 0 log [1]
        "#]],
    );
}

#[test]
fn a_leader_that_was_cut_off_steps_down_and_drops_what_nobody_else_had() {
    check(
        "quiet lead 1
         quiet append 1 1
         quiet settle
         cut 1
         append 1 3
         quiet timeout 2
         deliver
         quiet settle
         append 2 1
         quiet settle
         show
         heal 1
         fetch 1
         fetch 1
         fetch 1
         show",
        expect![[r#"
            > cut 1
            > append 1 3
            > deliver
              3 asks 1: pre-vote epoch 1 log 1/2
              3 asks 2: pre-vote epoch 1 log 1/2
              3 answers: NONE leader 1 epoch 1
              2 answers: NONE leader 1 epoch 1, granted
              3 persists epoch 2 leader -1 vote 3
              3 asks 1: vote epoch 2 log 1/2
              3 asks 2: vote epoch 2 log 1/2
              2 persists epoch 2 leader -1 vote -1
              2 persists epoch 2 leader -1 vote 3
              2 answers: NONE leader -1 epoch 2, granted
              3 persists epoch 2 leader 3 vote 3
              3 leads epoch 2
              3 asks 1: begin epoch 2
              3 asks 2: begin epoch 2
              2 persists epoch 2 leader 3 vote 3
              2 follows 3 in epoch 2
              2 answers: NONE leader 3 epoch 2
            > append 2 1
            > show
              1 Leader epoch 1 committed 2 log [1, 1, 1, 1, 1]
              2 Follower { leader_id: 3 } epoch 2 committed 3 log [1, 1, 2]
              3 Leader epoch 2 committed 3 log [1, 1, 2]
            > heal 1
            > fetch 1
              1 persists epoch 2 leader 3 vote -1
              1 leads no longer, epoch 2
              1 follows 3 in epoch 2
            > fetch 1
              1 truncates to 2
            > fetch 1
              1 fetches from 2 epoch 1
              1 commits 3
            > show
              1 Follower { leader_id: 3 } epoch 2 committed 3 log [1, 1, 2]
              2 Follower { leader_id: 3 } epoch 2 committed 3 log [1, 1, 2]
              3 Leader epoch 2 committed 3 log [1, 1, 2]
        "#]],
    );
}

#[test]
fn without_a_majority_of_fetches_a_leader_resigns() {
    check(
        "quiet lead 1
         cut 1
         pass 2999
         pass 1
         pass 2000
         show",
        expect![[r#"
            > cut 1
            > pass 2999
              1 asks 2: begin epoch 1
              1 asks 3: begin epoch 1
              2 asks 1: pre-vote epoch 1 log 1/1
              2 asks 3: pre-vote epoch 1 log 1/1
              3 asks 1: pre-vote epoch 1 log 1/1
              3 asks 2: pre-vote epoch 1 log 1/1
            > pass 1
              1 leads no longer, epoch 1
              1 asks 2: end epoch 1, first [2, 3]
              1 asks 3: end epoch 1, first [2, 3]
            > pass 2000
              1 persists epoch 2 leader -1 vote -1
              2 follows 1 in epoch 1
              3 follows 1 in epoch 1
            > show
              1 Unattached epoch 2 committed 1 log [1]
              2 Follower { leader_id: 1 } epoch 1 committed 1 log [1]
              3 Follower { leader_id: 1 } epoch 1 committed 1 log [1]
        "#]],
    );
}

#[test]
fn a_replica_that_was_cut_off_does_not_disturb_the_others() {
    check(
        "quiet lead 1
         quiet fetch 2
         quiet fetch 3
         cut 3
         timeout 3
         heal 3
         deliver
         show",
        expect![[r#"
            > cut 3
            > timeout 3
              3 asks 1: pre-vote epoch 1 log 1/1
              3 asks 2: pre-vote epoch 1 log 1/1
            > heal 3
            > deliver
              3 answers: NONE leader 1 epoch 1
              1 answers: NONE leader 1 epoch 1
              2 answers: NONE leader 1 epoch 1
              3 follows 1 in epoch 1
            > show
              1 Leader epoch 1 committed 1 log [1]
              2 Follower { leader_id: 1 } epoch 1 committed 1 log [1]
              3 Follower { leader_id: 1 } epoch 1 committed 1 log [1]
        "#]],
    );
}

#[test]
fn who_is_behind_is_not_elected() {
    check(
        "quiet lead 1
         quiet append 1 2
         quiet fetch 2
         quiet fetch 2
         crash 1
         timeout 3
         deliver
         pass 1000
         timeout 2
         deliver
         show",
        expect![[r#"
            > crash 1
            > timeout 3
              3 asks 1: pre-vote epoch 1 log 1/1
              3 asks 2: pre-vote epoch 1 log 1/1
            > deliver
              2 asks 1: pre-vote epoch 1 log 1/3
              2 asks 3: pre-vote epoch 1 log 1/3
              2 answers: NONE leader 1 epoch 1
              3 answers: NONE leader 1 epoch 1, granted
              2 persists epoch 2 leader -1 vote 2
              2 asks 1: vote epoch 2 log 1/3
              2 asks 3: vote epoch 2 log 1/3
              3 persists epoch 2 leader -1 vote -1
              3 persists epoch 2 leader -1 vote 2
              3 answers: NONE leader -1 epoch 2, granted
              2 persists epoch 2 leader 2 vote 2
              2 leads epoch 2
              2 asks 1: begin epoch 2
              2 asks 3: begin epoch 2
              3 persists epoch 2 leader 2 vote 2
              3 follows 2 in epoch 2
              3 answers: NONE leader 2 epoch 2
            > pass 1000
              2 asks 1: begin epoch 2
              2 asks 3: begin epoch 2
            > timeout 2
            > deliver
              3 answers: NONE leader 2 epoch 2
            > show
              1 down, log [1, 1, 1]
              2 Leader epoch 2 committed 4 log [1, 1, 1, 2]
              3 Follower { leader_id: 2 } epoch 2 committed 4 log [1, 1, 1, 2]
        "#]],
    );
}

#[test]
fn a_leader_that_stops_hands_over_to_the_longest_log() {
    check(
        "quiet lead 1
         quiet append 1 2
         quiet fetch 3
         quiet fetch 3
         resign 1
         deliver
         show",
        expect![[r#"
            > resign 1
              1 leads no longer, epoch 1
              1 asks 3: end epoch 1, first [3, 2]
              1 asks 2: end epoch 1, first [3, 2]
            > deliver
              3 asks 1: pre-vote epoch 1 log 1/3
              3 asks 2: pre-vote epoch 1 log 1/3
              3 answers: NONE leader 1 epoch 1
              2 answers: NONE leader 1 epoch 1
              1 answers: NONE leader 1 epoch 1, granted
              2 answers: NONE leader 1 epoch 1
              3 persists epoch 2 leader -1 vote 3
              3 asks 1: vote epoch 2 log 1/3
              3 asks 2: vote epoch 2 log 1/3
              1 persists epoch 2 leader -1 vote -1
              1 persists epoch 2 leader -1 vote 3
              1 answers: NONE leader -1 epoch 2, granted
              2 persists epoch 2 leader -1 vote -1
              2 persists epoch 2 leader -1 vote 3
              2 answers: NONE leader -1 epoch 2, granted
              3 persists epoch 2 leader 3 vote 3
              3 leads epoch 2
              3 asks 1: begin epoch 2
              3 asks 2: begin epoch 2
              1 persists epoch 2 leader 3 vote 3
              1 follows 3 in epoch 2
              1 answers: NONE leader 3 epoch 2
              2 persists epoch 2 leader 3 vote 3
              2 follows 3 in epoch 2
              2 answers: NONE leader 3 epoch 2
            > show
              1 Follower { leader_id: 3 } epoch 2 committed 3 log [1, 1, 1]
              2 Follower { leader_id: 3 } epoch 2 committed 1 log [1]
              3 Leader epoch 2 committed 1 log [1, 1, 1, 2]
        "#]],
    );
}

#[test]
fn a_vote_is_kept_over_a_restart_and_given_once() {
    check(
        "start 1 2 3
         vote 2 for 1 epoch 5
         crash 2
         start 2
         vote 2 for 3 epoch 5
         vote 2 for 1 epoch 5
         vote 2 for 3 epoch 4
         vote 2 for 3 epoch 6",
        expect![[r#"
            > start 1 2 3
            > vote 2 for 1 epoch 5
              2 persists epoch 5 leader -1 vote -1
              2 persists epoch 5 leader -1 vote 1
              2 answers: NONE leader -1 epoch 5, granted
            > crash 2
            > start 2
            > vote 2 for 3 epoch 5
              2 answers: NONE leader -1 epoch 5
            > vote 2 for 1 epoch 5
              2 answers: NONE leader -1 epoch 5, granted
            > vote 2 for 3 epoch 4
              2 answers: FENCED_LEADER_EPOCH leader -1 epoch 5
            > vote 2 for 3 epoch 6
              2 persists epoch 6 leader -1 vote -1
              2 persists epoch 6 leader -1 vote 3
              2 answers: NONE leader -1 epoch 6, granted
        "#]],
    );
}

#[test]
fn a_former_leader_does_not_go_on_after_a_restart() {
    check(
        "quiet lead 1
         quiet append 1 2
         crash 1
         start 1
         show
         pass 2000
         show",
        expect![[r#"
            > crash 1
            > start 1
            > show
              1 Resigned epoch 1 committed 0 log [1, 1, 1]
              2 Follower { leader_id: 1 } epoch 1 committed 1 log [1]
              3 Follower { leader_id: 1 } epoch 1 committed 1 log [1]
            > pass 2000
              1 persists epoch 2 leader -1 vote -1
              2 asks 1: pre-vote epoch 1 log 1/1
              2 asks 3: pre-vote epoch 1 log 1/1
              3 asks 1: pre-vote epoch 1 log 1/1
              3 asks 2: pre-vote epoch 1 log 1/1
            > show
              1 Unattached epoch 2 committed 0 log [1, 1, 1]
              2 Prospective epoch 1 committed 1 log [1]
              3 Prospective epoch 1 committed 1 log [1]
        "#]],
    );
}

#[test]
fn requests_for_others_are_refused_by_name() {
    check(
        "start 1 2 3
         vote 2 for 1 epoch 5 cluster other
         vote 2 for 1 epoch 5 voter 3
         vote 2 for 1 epoch 5 disk 9
         vote 2 for 1 epoch 5 last 5
         vote 2 for -1 epoch 5",
        expect![[r#"
            > start 1 2 3
            > vote 2 for 1 epoch 5 cluster other
              2 answers: INCONSISTENT_CLUSTER_ID
            > vote 2 for 1 epoch 5 voter 3
              2 persists epoch 5 leader -1 vote -1
              2 answers: INVALID_VOTER_KEY leader -1 epoch 5
            > vote 2 for 1 epoch 5 disk 9
              2 answers: INVALID_VOTER_KEY leader -1 epoch 5
            > vote 2 for 1 epoch 5 last 5
              2 answers: INVALID_REQUEST leader -1 epoch 5
            > vote 2 for -1 epoch 5
              2 answers: INVALID_REQUEST leader -1 epoch 5
        "#]],
    );
}

/// Whatever is lost, cut, crashed or late: one leader per epoch, committed records stay, and once all is
/// well again a leader is there and everybody has everything.
#[test]
fn random_faults_never_break_the_promises_and_healed_quorums_go_on() {
    for seed in 0..150 {
        let mut quorum = Quorum::new(if seed % 3 == 0 { 5 } else { 3 }, seed);
        quorum.torment(400);
        quorum.recover();
    }
}
