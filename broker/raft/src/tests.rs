//! Scripts for the core: what goes in, what comes out.

use expect_test::{Expect, expect};
use ottla_protocol::Uuid;

use crate::snapshot_id::NotASnapshot;
use crate::*;

const ME: ReplicaKey = ReplicaKey {
    id: 1,
    directory_id: Uuid([7; 16]),
};

fn one_voter() -> VoterSet {
    VoterSet::of_one(
        1,
        Voter {
            directory_id: ME.directory_id,
            endpoints: Vec::new(),
            kraft_version_min: 0,
            kraft_version_max: 1,
        },
    )
}

fn leader(log: LogBounds) -> (Raft, Vec<Output>) {
    let mut out = Vec::new();
    let config = RaftConfig {
        me: ME,
        may_lead: true,
    };
    let raft = Raft::start(
        config,
        QuorumState::default(),
        one_voter(),
        true,
        log,
        &mut out,
    )
    .expect("a quorum of one starts");
    (raft, out)
}

fn check_outputs(outputs: &[Output], expect: Expect) {
    let lines: Vec<String> = outputs
        .iter()
        .map(|output| match output {
            Output::Persist(state) => format!(
                "persist epoch {} leader {} voted {}",
                state.leader_epoch, state.leader_id, state.voted_id
            ),
            Output::BecameLeader {
                epoch,
                bootstrap_voters,
            } => format!(
                "lead epoch {epoch}, voters to log: {}",
                bootstrap_voters.is_some()
            ),
            Output::BecameFollower { leader_id, epoch } => {
                format!("follow {leader_id} in epoch {epoch}")
            }
            Output::Committed(offset) => format!("committed {offset}"),
        })
        .collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn a_quorum_of_one_elects_itself_and_commits_what_is_flushed() {
    let (mut raft, mut out) = leader(LogBounds::default());
    raft.step(
        Input::Appended {
            epoch: 1,
            start: 0,
            end: 3,
        },
        &mut out,
    );
    raft.step(Input::Flushed(3), &mut out);
    check_outputs(
        &out,
        expect![[r#"
        persist epoch 1 leader 1 voted 1
        lead epoch 1, voters to log: false
        committed 3"#]],
    );
}

#[test]
fn records_of_older_epochs_count_only_behind_one_of_the_own_epoch() {
    let epochs = Epochs::new([EpochStart { epoch: 4, start: 0 }]);
    let (mut raft, mut out) = leader(LogBounds {
        start: 0,
        end: 10,
        flushed: 10,
        epochs,
        snapshot: None,
        oldest_snapshot: None,
    });
    raft.step(Input::Flushed(10), &mut out);
    assert_eq!(raft.high_watermark(), 0);
    raft.step(
        Input::Appended {
            epoch: 5,
            start: 10,
            end: 11,
        },
        &mut out,
    );
    raft.step(Input::Flushed(11), &mut out);
    check_outputs(
        &out,
        expect![[r#"
        persist epoch 5 leader 1 voted 1
        lead epoch 5, voters to log: false
        committed 11"#]],
    );
}

#[test]
fn a_replaced_disk_is_not_the_old_voter() {
    let config = RaftConfig {
        me: ReplicaKey {
            id: 1,
            directory_id: Uuid([8; 16]),
        },
        may_lead: true,
    };
    let started = Raft::start(
        config,
        QuorumState::default(),
        one_voter(),
        true,
        LogBounds::default(),
        &mut Vec::new(),
    );
    assert!(matches!(started, Err(StartError::NotAVoter { .. })));
}

#[test]
fn an_observer_follows_whom_it_hears_of_and_commits_what_it_has() {
    let mut out = Vec::new();
    let config = RaftConfig {
        me: ReplicaKey {
            id: 2,
            directory_id: Uuid([9; 16]),
        },
        may_lead: false,
    };
    let mut raft = Raft::start(
        config,
        QuorumState::default(),
        VoterSet::default(),
        false,
        LogBounds::default(),
        &mut out,
    )
    .expect("observers start");
    raft.step(
        Input::LeaderHeard {
            leader_id: 1,
            epoch: 3,
        },
        &mut out,
    );
    raft.step(
        Input::LeaderHeard {
            leader_id: 1,
            epoch: 3,
        },
        &mut out,
    );
    raft.step(
        Input::Appended {
            epoch: 3,
            start: 0,
            end: 5,
        },
        &mut out,
    );
    raft.step(Input::HighWatermarkHeard(9), &mut out);
    raft.step(Input::HighWatermarkHeard(4), &mut out);
    check_outputs(
        &out,
        expect![[r#"
        persist epoch 3 leader 1 voted -1
        follow 1 in epoch 3
        committed 5"#]],
    );
}

#[test]
fn a_fetch_is_judged_by_epoch_then_by_history() {
    let epochs = Epochs::new([
        EpochStart { epoch: 1, start: 0 },
        EpochStart { epoch: 3, start: 8 },
    ]);
    let log = LogBounds {
        start: 0,
        end: 10,
        flushed: 10,
        epochs,
        snapshot: None,
        oldest_snapshot: None,
    };
    let (mut raft, _) = leader(log);
    raft.step(
        Input::Appended {
            epoch: 4,
            start: 10,
            end: 11,
        },
        &mut Vec::new(),
    );
    let judge = |epoch, fetch_offset, last_fetched_epoch| {
        raft.judge_fetch(FetchClaim {
            epoch,
            fetch_offset,
            last_fetched_epoch,
        })
    };
    let cases = [
        judge(3, 10, 3),
        judge(5, 10, 3),
        judge(4, 0, 0),
        judge(4, 10, 3),
        judge(4, 11, 4),
        judge(4, 9, 2),
        judge(4, 12, 3),
        judge(4, 5, 1),
        judge(4, 5, -1),
    ];
    expect![[r#"
        [Refuse(FENCED_LEADER_EPOCH), Refuse(UNKNOWN_LEADER_EPOCH), Serve, Serve, Serve, Diverging { epoch: 1, end_offset: 8 }, Diverging { epoch: 3, end_offset: 10 }, Serve, Refuse(INVALID_REQUEST)]"#]]
    .assert_eq(&format!("{cases:?}"));
}

#[test]
fn who_starts_from_nothing_gets_the_snapshot() {
    let snapshot = SnapshotId {
        end_offset: 6,
        epoch: 2,
    };
    let epochs = Epochs::new([EpochStart { epoch: 2, start: 6 }]);
    let (raft, _) = leader(LogBounds {
        start: 6,
        end: 9,
        flushed: 9,
        epochs,
        snapshot: Some(snapshot),
        oldest_snapshot: Some(snapshot),
    });
    let epoch = raft.epoch();
    let judge = |fetch_offset, last_fetched_epoch| {
        raft.judge_fetch(FetchClaim {
            epoch,
            fetch_offset,
            last_fetched_epoch,
        })
    };
    assert_eq!(judge(0, 0), FetchVerdict::Snapshot(snapshot));
    assert_eq!(judge(6, 2), FetchVerdict::Serve);
    assert_eq!(judge(6, 1), FetchVerdict::Snapshot(snapshot));
}

#[test]
fn the_oldest_snapshot_says_who_is_too_far_behind_and_the_newest_is_offered() {
    let epochs = Epochs::new([
        EpochStart { epoch: 1, start: 0 },
        EpochStart { epoch: 2, start: 6 },
        EpochStart {
            epoch: 4,
            start: 12,
        },
    ]);
    let (mut raft, mut out) = leader(LogBounds {
        start: 0,
        end: 20,
        flushed: 20,
        epochs,
        ..LogBounds::default()
    });
    let epoch = raft.epoch();
    raft.step(
        Input::Appended {
            epoch,
            start: 20,
            end: 21,
        },
        &mut out,
    );
    raft.step(Input::Flushed(21), &mut out);
    let id = |end_offset, epoch| SnapshotId { end_offset, epoch };
    raft.step(Input::SnapshotMade(id(8, 2)), &mut out);
    raft.step(Input::SnapshotMade(id(15, 4)), &mut out);
    let judge = |raft: &Raft, fetch_offset, last_fetched_epoch| {
        raft.judge_fetch(FetchClaim {
            epoch,
            fetch_offset,
            last_fetched_epoch,
        })
    };
    // Both are kept, and so is the whole log.
    let newest = FetchVerdict::Snapshot(id(15, 4));
    assert_eq!(judge(&raft, 0, 0), newest);
    assert_eq!(judge(&raft, 4, 1), newest);
    assert_eq!(judge(&raft, 7, 2), FetchVerdict::Serve);
    assert_eq!(judge(&raft, 13, 4), FetchVerdict::Serve);

    raft.step(Input::SnapshotsRetired { oldest: id(15, 4) }, &mut out);
    assert_eq!(raft.log().start, 15);
    assert_eq!(judge(&raft, 13, 4), newest);
    assert_eq!(judge(&raft, 15, 2), newest);
    assert_eq!(judge(&raft, 15, 4), FetchVerdict::Serve);
    assert_eq!(judge(&raft, 21, epoch), FetchVerdict::Serve);
    assert_eq!(
        judge(&raft, 21, 4),
        FetchVerdict::Diverging {
            epoch: 4,
            end_offset: 20
        }
    );
}

#[test]
fn quorum_state_is_kafkas_json() {
    let state = QuorumState {
        leader_id: 1,
        leader_epoch: 7,
        voted_id: 1,
        voted_directory_id: Uuid([7; 16]),
    };
    assert_eq!(
        QuorumState::parse(&state.to_json()).expect("what was written can be read"),
        state
    );
    let v0 = r#"{"clusterId":"","leaderId":3,"leaderEpoch":4,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":3}],"data_version":0}"#;
    assert_eq!(
        QuorumState::parse(v0)
            .expect("version 0 is read")
            .leader_epoch,
        4
    );
    let refused = [
        r#"{"leaderId":1"#,
        r#"{"leaderId":1,"leaderEpoch":2,"votedId":-1,"data_version":1}"#,
        r#"{"data_version":2}"#,
    ];
    assert!(
        refused
            .into_iter()
            .all(|json| QuorumState::parse(json).is_err())
    );
}

#[test]
fn snapshot_names_are_kafkas() {
    let id = SnapshotId {
        end_offset: 1234,
        epoch: 5,
    };
    assert_eq!(id.file_name(), "00000000000000001234-0000000005.checkpoint");
    assert_eq!(id.file_name().parse(), Ok(id));
    assert_eq!(
        "00000000000000001234-0000000005.checkpoint.part".parse::<SnapshotId>(),
        Err(NotASnapshot)
    );
}
