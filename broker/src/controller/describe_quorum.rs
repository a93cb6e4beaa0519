//! The answer to DescribeQuorum: what the leader knows of voters and observers.

use ottla_broker_raft::{Now, Raft, ReplicaView};
use ottla_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use ottla_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use ottla_protocol::{ErrorCode, Uuid};

use super::commands::Forwarded;
use super::files::METADATA_TOPIC;

/// First version that knows directory ids and listeners (KIP-853).
const DIRECTORY_IDS_SINCE: i16 = 2;

/// Answers for the metadata partition; there is no other that is kept by a quorum.
pub(super) fn describe_quorum(
    raft: &Raft,
    now: Now,
    request: &DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let has_directories = version >= DIRECTORY_IDS_SINCE;
    let asks_for_metadata = request.topics.iter().any(|topic| {
        let mut partitions = topic.partitions.iter();
        topic.topic_name == *METADATA_TOPIC
            && partitions.any(|partition| partition.partition_index == 0)
    });
    if !asks_for_metadata {
        return request.refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let state = |replica: ReplicaView| ReplicaState {
        replica_id: replica.key.id,
        replica_directory_id: if has_directories {
            replica.key.directory_id
        } else {
            Uuid::ZERO
        },
        log_end_offset: replica.end_offset,
        last_fetch_timestamp: replica.last_fetch_ms,
        last_caught_up_timestamp: replica.last_caught_up_ms,
        ..Default::default()
    };
    let (voters, observers) = raft.replicas(now);
    let partition = PartitionData {
        partition_index: 0,
        leader_id: raft.leader_id(),
        leader_epoch: raft.epoch(),
        high_watermark: raft.high_watermark(),
        current_voters: voters.into_iter().map(state).collect(),
        observers: observers.into_iter().map(state).collect(),
        ..Default::default()
    };
    DescribeQuorumResponse {
        topics: vec![TopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        nodes: if has_directories {
            nodes(raft)
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

/// The voters and where their controller listeners are.
fn nodes(raft: &Raft) -> Vec<Node> {
    let nodes = raft.voters().iter().map(|(id, voter)| Node {
        node_id: id,
        listeners: voter
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    nodes.collect()
}
