//! Messages between voters: Vote, BeginQuorumEpoch, EndQuorumEpoch, always for the one partition there is.
//! The generated messages have the same fields under different types, so what is common to them is said by
//! macros. Not here: what they do (election.rs), and Fetch, which the shell sends and answers.

use ottla_protocol::messages::begin_quorum_epoch_request as begin;
use ottla_protocol::messages::begin_quorum_epoch_response as begun;
use ottla_protocol::messages::end_quorum_epoch_request as end;
use ottla_protocol::messages::end_quorum_epoch_response as ended;
use ottla_protocol::messages::vote_request as vote;
use ottla_protocol::messages::vote_response as voted;
use ottla_protocol::{ApiKey, ErrorCode, Request as _, Str, Uuid};

use crate::voters::{ReplicaKey, VoterEndpoint};

/// Name of the metadata log.
const TOPIC: &str = "__cluster_metadata";

/// A request of one voter to another.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are Kafka's")]
pub enum PeerRequest {
    Vote(vote::VoteRequest),
    BeginQuorumEpoch(begin::BeginQuorumEpochRequest),
    EndQuorumEpoch(end::EndQuorumEpochRequest),
}

/// Its answer.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are Kafka's")]
pub enum PeerResponse {
    Vote(voted::VoteResponse),
    BeginQuorumEpoch(begun::BeginQuorumEpochResponse),
    EndQuorumEpoch(ended::EndQuorumEpochResponse),
}

impl PeerRequest {
    /// The key that it is sent with.
    pub fn key(&self) -> ApiKey {
        match self {
            Self::Vote(_) => vote::VoteRequest::KEY,
            Self::BeginQuorumEpoch(_) => begin::BeginQuorumEpochRequest::KEY,
            Self::EndQuorumEpoch(_) => end::EndQuorumEpochRequest::KEY,
        }
    }
}

/// What a Vote asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ballot {
    pub(crate) candidate: ReplicaKey,
    pub(crate) epoch: i32,
    pub(crate) last_epoch: i32,
    pub(crate) end_offset: i64,
    pub(crate) is_pre_vote: bool,
}

/// What BeginQuorumEpoch and EndQuorumEpoch tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) leader_id: i32,
    pub(crate) epoch: i32,
    pub(crate) endpoints: Vec<VoterEndpoint>,
    /// EndQuorumEpoch: who should try first.
    pub(crate) candidates: Vec<ReplicaKey>,
}

/// Whom a request is meant for, and from which cluster it comes; unset fields match everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addressee {
    pub(crate) cluster_id: Option<Str>,
    pub(crate) voter: ReplicaKey,
}

/// What every answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) error: ErrorCode,
    pub(crate) leader_id: i32,
    pub(crate) epoch: i32,
    pub(crate) is_granted: bool,
    /// Host and port of the leader at the listener that was asked.
    pub(crate) leader_at: Option<(Str, u16)>,
}

pub(crate) fn vote_request(cluster_id: &Str, voter: ReplicaKey, ballot: Ballot) -> PeerRequest {
    let partition = vote::PartitionData {
        partition_index: 0,
        replica_epoch: ballot.epoch,
        replica_id: ballot.candidate.id,
        replica_directory_id: ballot.candidate.directory_id,
        voter_directory_id: voter.directory_id,
        last_offset_epoch: ballot.last_epoch,
        last_offset: ballot.end_offset,
        pre_vote: ballot.is_pre_vote,
        ..Default::default()
    };
    PeerRequest::Vote(vote::VoteRequest {
        cluster_id: Some(cluster_id.clone()),
        voter_id: voter.id,
        topics: vec![vote::TopicData {
            topic_name: TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    })
}

pub(crate) fn begin_request(cluster_id: &Str, voter: ReplicaKey, told: &Told) -> PeerRequest {
    let partition = begin::PartitionData {
        partition_index: 0,
        voter_directory_id: voter.directory_id,
        leader_id: told.leader_id,
        leader_epoch: told.epoch,
        ..Default::default()
    };
    let endpoints = told.endpoints.iter().map(|endpoint| begin::LeaderEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    });
    PeerRequest::BeginQuorumEpoch(begin::BeginQuorumEpochRequest {
        cluster_id: Some(cluster_id.clone()),
        voter_id: voter.id,
        topics: vec![begin::TopicData {
            topic_name: TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        leader_endpoints: endpoints.collect(),
        ..Default::default()
    })
}

pub(crate) fn end_request(cluster_id: &Str, told: &Told) -> PeerRequest {
    let candidates = told.candidates.iter().map(|key| end::ReplicaInfo {
        candidate_id: key.id,
        candidate_directory_id: key.directory_id,
        ..Default::default()
    });
    let partition = end::PartitionData {
        partition_index: 0,
        leader_id: told.leader_id,
        leader_epoch: told.epoch,
        preferred_successors: told.candidates.iter().map(|key| key.id).collect(),
        preferred_candidates: candidates.collect(),
        ..Default::default()
    };
    let endpoints = told.endpoints.iter().map(|endpoint| end::LeaderEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    });
    PeerRequest::EndQuorumEpoch(end::EndQuorumEpochRequest {
        cluster_id: Some(cluster_id.clone()),
        topics: vec![end::TopicData {
            topic_name: TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        leader_endpoints: endpoints.collect(),
        ..Default::default()
    })
}

/// The one partition of a request; leaves the function with `None` if it names another than there is.
macro_rules! only_partition {
    ($request:expr) => {{
        let [topic] = $request.topics.as_slice() else {
            return None;
        };
        let [partition] = topic.partitions.as_slice() else {
            return None;
        };
        if topic.topic_name != *TOPIC || partition.partition_index != 0 {
            return None;
        }
        partition
    }};
}

/// Where the leader listens, as a request tells it.
macro_rules! leader_endpoints {
    ($request:expr) => {
        $request
            .leader_endpoints
            .iter()
            .map(|endpoint| VoterEndpoint {
                name: endpoint.name.detached(),
                host: endpoint.host.detached(),
                port: endpoint.port,
            })
            .collect()
    };
}

/// Reads a Vote; `None` if it names another partition than the one there is.
pub(crate) fn read_vote(request: &vote::VoteRequest) -> Option<(Addressee, Ballot)> {
    let partition = only_partition!(request);
    let ballot = Ballot {
        candidate: ReplicaKey {
            id: partition.replica_id,
            directory_id: partition.replica_directory_id,
        },
        epoch: partition.replica_epoch,
        last_epoch: partition.last_offset_epoch,
        end_offset: partition.last_offset,
        is_pre_vote: partition.pre_vote,
    };
    Some((
        addressee(
            request.cluster_id.as_ref(),
            request.voter_id,
            partition.voter_directory_id,
        ),
        ballot,
    ))
}

/// Reads a BeginQuorumEpoch; `None` as in [`read_vote`].
pub(crate) fn read_begin(request: &begin::BeginQuorumEpochRequest) -> Option<(Addressee, Told)> {
    let partition = only_partition!(request);
    let told = Told {
        leader_id: partition.leader_id,
        epoch: partition.leader_epoch,
        endpoints: leader_endpoints!(request),
        candidates: Vec::new(),
    };
    Some((
        addressee(
            request.cluster_id.as_ref(),
            request.voter_id,
            partition.voter_directory_id,
        ),
        told,
    ))
}

/// Reads an EndQuorumEpoch; `None` as in [`read_vote`]. It is meant for whoever gets it.
pub(crate) fn read_end(request: &end::EndQuorumEpochRequest) -> Option<(Addressee, Told)> {
    let partition = only_partition!(request);
    // Version 0 knows ids only.
    let candidates = if partition.preferred_candidates.is_empty() {
        partition
            .preferred_successors
            .iter()
            .map(|id| ReplicaKey {
                id: *id,
                directory_id: Uuid::ZERO,
            })
            .collect()
    } else {
        let named = partition.preferred_candidates.iter();
        named
            .map(|info| ReplicaKey {
                id: info.candidate_id,
                directory_id: info.candidate_directory_id,
            })
            .collect()
    };
    let told = Told {
        leader_id: partition.leader_id,
        epoch: partition.leader_epoch,
        endpoints: leader_endpoints!(request),
        candidates,
    };
    Some((addressee(request.cluster_id.as_ref(), -1, Uuid::ZERO), told))
}

fn addressee(cluster_id: Option<&Str>, id: i32, directory_id: Uuid) -> Addressee {
    Addressee {
        cluster_id: cluster_id.cloned(),
        voter: ReplicaKey { id, directory_id },
    }
}

/// The answer to `request`, which came in this version (endpoints exist from version 1 on).
pub(crate) fn respond(request: &PeerRequest, version: i16, answer: Answer) -> PeerResponse {
    let Answer {
        error: error_code,
        leader_id,
        epoch: leader_epoch,
        is_granted: vote_granted,
        leader_at,
    } = answer;
    let leader_at = leader_at.filter(|_| version >= 1);
    macro_rules! respond {
        ($kind:ident($messages:ident::$response:ident) $(, $only_here:ident)?) => {{
            let partition = $messages::PartitionData {
                error_code,
                leader_id,
                leader_epoch,
                $($only_here,)?
                ..Default::default()
            };
            let endpoint = |(host, port)| $messages::NodeEndpoint {
                node_id: leader_id,
                host,
                port,
                ..Default::default()
            };
            PeerResponse::$kind($messages::$response {
                topics: vec![$messages::TopicData {
                    topic_name: TOPIC.into(),
                    partitions: vec![partition],
                    ..Default::default()
                }],
                node_endpoints: leader_at.map(endpoint).into_iter().collect(),
                ..Default::default()
            })
        }};
    }
    match request {
        PeerRequest::Vote(_) => respond!(Vote(voted::VoteResponse), vote_granted),
        PeerRequest::BeginQuorumEpoch(_) => {
            respond!(BeginQuorumEpoch(begun::BeginQuorumEpochResponse))
        }
        PeerRequest::EndQuorumEpoch(_) => {
            respond!(EndQuorumEpoch(ended::EndQuorumEpochResponse))
        }
    }
}

/// The answer that refuses the request as a whole.
pub(crate) fn refuse(request: &PeerRequest, error_code: ErrorCode) -> PeerResponse {
    match request {
        PeerRequest::Vote(_) => PeerResponse::Vote(voted::VoteResponse {
            error_code,
            ..Default::default()
        }),
        PeerRequest::BeginQuorumEpoch(_) => {
            PeerResponse::BeginQuorumEpoch(begun::BeginQuorumEpochResponse {
                error_code,
                ..Default::default()
            })
        }
        PeerRequest::EndQuorumEpoch(_) => {
            PeerResponse::EndQuorumEpoch(ended::EndQuorumEpochResponse {
                error_code,
                ..Default::default()
            })
        }
    }
}

/// Reads an answer; `None` if it refuses the request as a whole or is not of this partition.
pub(crate) fn read_answer(response: &PeerResponse) -> Option<Answer> {
    macro_rules! read {
        ($response:expr, $granted:expr) => {{
            let partition = $response
                .topics
                .first()
                .and_then(|topic| topic.partitions.first());
            let partition = partition.filter(|_| $response.error_code == ErrorCode::NONE)?;
            let at = $response
                .node_endpoints
                .iter()
                .find(|endpoint| endpoint.node_id == partition.leader_id);
            Some(Answer {
                error: partition.error_code,
                leader_id: partition.leader_id,
                epoch: partition.leader_epoch,
                is_granted: $granted(partition),
                leader_at: at.map(|endpoint| (endpoint.host.detached(), endpoint.port)),
            })
        }};
    }
    match response {
        PeerResponse::Vote(response) => {
            read!(response, |partition: &voted::PartitionData| partition
                .vote_granted)
        }
        PeerResponse::BeginQuorumEpoch(response) => {
            read!(response, |_: &begun::PartitionData| false)
        }
        PeerResponse::EndQuorumEpoch(response) => read!(response, |_: &ended::PartitionData| false),
    }
}
