//! What the active controller can be asked, and how each question travels: as a command within the
//! process, or as a request to another one.

use ottla_broker_raft::{FetchClaim, ReplicaKey, SnapshotId};
use ottla_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_protocol::messages::allocate_producer_ids_response::AllocateProducerIdsResponse;
use ottla_protocol::messages::alter_configs_request::AlterConfigsRequest;
use ottla_protocol::messages::alter_configs_response::{self, AlterConfigsResponse};
use ottla_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_protocol::messages::broker_heartbeat_response::BrokerHeartbeatResponse;
use ottla_protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use ottla_protocol::messages::broker_registration_response::BrokerRegistrationResponse;
use ottla_protocol::messages::create_partitions_request::CreatePartitionsRequest;
use ottla_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use ottla_protocol::messages::create_topics_request::CreateTopicsRequest;
use ottla_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponse,
};
use ottla_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use ottla_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponse,
};
use ottla_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use ottla_protocol::messages::describe_quorum_response::DescribeQuorumResponse;
use ottla_protocol::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequest;
use ottla_protocol::messages::incremental_alter_configs_response::{
    self, IncrementalAlterConfigsResponse,
};
use ottla_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_protocol::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_protocol::messages::update_features_request::UpdateFeaturesRequest;
use ottla_protocol::messages::update_features_response::UpdateFeaturesResponse;
use ottla_protocol::{ErrorCode, Request};
use tokio::sync::oneshot;

use super::{Judgement, SnapshotJudgement};
use crate::auth::Principal;

/// On whose behalf, and in which version, a request is decided.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's principal.
    pub principal: Principal,
    /// Version of the client's request.
    pub version: i16,
}

/// A request that only the controller decides upon.
pub trait Forwarded: Request + 'static {
    /// As a command to the loop of this process.
    fn into_command(self, caller: Caller, reply: oneshot::Sender<Self::Response>) -> Command;

    /// The response that refuses everything in the request with one error.
    fn refused(&self, error: ErrorCode) -> Self::Response;

    /// Whether it is sent as it is (between nodes) rather than in an Envelope (for a client).
    const BETWEEN_NODES: bool = false;
}

/// A question to the active controller.
pub enum Command {
    /// See [`Forwarded`]; so are all that carry a [`Caller`].
    CreateTopics(
        Caller,
        CreateTopicsRequest,
        oneshot::Sender<CreateTopicsResponse>,
    ),
    /// Deletes topics.
    DeleteTopics(
        Caller,
        DeleteTopicsRequest,
        oneshot::Sender<DeleteTopicsResponse>,
    ),
    /// Adds partitions.
    CreatePartitions(
        Caller,
        CreatePartitionsRequest,
        oneshot::Sender<CreatePartitionsResponse>,
    ),
    /// Replaces overrides.
    AlterConfigs(
        Caller,
        AlterConfigsRequest,
        oneshot::Sender<AlterConfigsResponse>,
    ),
    /// Changes single overrides.
    IncrementalAlterConfigs(
        Caller,
        IncrementalAlterConfigsRequest,
        oneshot::Sender<IncrementalAlterConfigsResponse>,
    ),
    /// Moves feature levels.
    UpdateFeatures(
        Caller,
        UpdateFeaturesRequest,
        oneshot::Sender<UpdateFeaturesResponse>,
    ),
    /// Forgets a broker.
    UnregisterBroker(
        Caller,
        UnregisterBrokerRequest,
        oneshot::Sender<UnregisterBrokerResponse>,
    ),
    /// Lists partitions on their way to other replicas.
    ListPartitionReassignments(
        Caller,
        ListPartitionReassignmentsRequest,
        oneshot::Sender<ListPartitionReassignmentsResponse>,
    ),
    /// Describes voters and observers.
    DescribeQuorum(
        Caller,
        DescribeQuorumRequest,
        oneshot::Sender<DescribeQuorumResponse>,
    ),
    /// A broker starts.
    BrokerRegistration(
        Caller,
        BrokerRegistrationRequest,
        oneshot::Sender<BrokerRegistrationResponse>,
    ),
    /// A broker lives.
    BrokerHeartbeat(
        Caller,
        BrokerHeartbeatRequest,
        oneshot::Sender<BrokerHeartbeatResponse>,
    ),
    /// A broker needs producer ids.
    AllocateProducerIds(
        Caller,
        AllocateProducerIdsRequest,
        oneshot::Sender<AllocateProducerIdsResponse>,
    ),
    /// How to answer a fetch of the metadata log.
    JudgeFetch {
        /// Who fetches.
        replica: ReplicaKey,
        /// What it claims to have.
        claim: FetchClaim,
        /// The judgement.
        reply: oneshot::Sender<Judgement>,
    },
    /// How to answer a fetch of a snapshot.
    JudgeSnapshot {
        /// Who fetches.
        replica: ReplicaKey,
        /// Epoch in which the fetcher believes that we lead.
        epoch: i32,
        /// What it wants.
        id: SnapshotId,
        /// The judgement.
        reply: oneshot::Sender<SnapshotJudgement>,
    },
}

macro_rules! forwarded {
    ($($request:ident as $command:ident: $response:ident { $this:ident, $error:ident => $refused:expr } $(between nodes $between:literal)?;)*) => {$(
        impl Forwarded for $request {
            fn into_command(self, caller: Caller, reply: oneshot::Sender<$response>) -> Command {
                Command::$command(caller, self, reply)
            }

            fn refused(&self, $error: ErrorCode) -> $response {
                let $this = self;
                $refused
            }

            $(const BETWEEN_NODES: bool = $between;)?
        }
    )*};
}

forwarded! {
    CreateTopicsRequest as CreateTopics: CreateTopicsResponse { request, error_code =>
        CreateTopicsResponse {
            topics: request.topics.iter().map(|topic| CreatableTopicResult {
                name: topic.name.clone(), error_code, ..Default::default()
            }).collect(),
            ..Default::default()
        }
    };
    DeleteTopicsRequest as DeleteTopics: DeleteTopicsResponse { request, error_code => {
        let by_name = request.topic_names.iter().map(|name| DeletableTopicResult {
            name: Some(name.clone()), error_code, ..Default::default()
        });
        let by_state = request.topics.iter().map(|topic| DeletableTopicResult {
            name: topic.name.clone(), topic_id: topic.topic_id, error_code, ..Default::default()
        });
        DeleteTopicsResponse { responses: by_name.chain(by_state).collect(), ..Default::default() }
    }};
    CreatePartitionsRequest as CreatePartitions: CreatePartitionsResponse { request, error_code =>
        CreatePartitionsResponse {
            results: request.topics.iter().map(|topic| CreatePartitionsTopicResult {
                name: topic.name.clone(), error_code, ..Default::default()
            }).collect(),
            ..Default::default()
        }
    };
    AlterConfigsRequest as AlterConfigs: AlterConfigsResponse { request, error_code =>
        AlterConfigsResponse {
            responses: request.resources.iter().map(|resource| alter_configs_response::AlterConfigsResourceResponse {
                resource_type: resource.resource_type, resource_name: resource.resource_name.clone(), error_code,
                ..Default::default()
            }).collect(),
            ..Default::default()
        }
    };
    IncrementalAlterConfigsRequest as IncrementalAlterConfigs: IncrementalAlterConfigsResponse { request, error_code =>
        IncrementalAlterConfigsResponse {
            responses: request.resources.iter().map(|resource| incremental_alter_configs_response::AlterConfigsResourceResponse {
                resource_type: resource.resource_type, resource_name: resource.resource_name.clone(), error_code,
                ..Default::default()
            }).collect(),
            ..Default::default()
        }
    };
    UpdateFeaturesRequest as UpdateFeatures: UpdateFeaturesResponse { _request, error_code =>
        UpdateFeaturesResponse { error_code, ..Default::default() }
    };
    UnregisterBrokerRequest as UnregisterBroker: UnregisterBrokerResponse { _request, error_code =>
        UnregisterBrokerResponse { error_code, ..Default::default() }
    };
    ListPartitionReassignmentsRequest as ListPartitionReassignments: ListPartitionReassignmentsResponse { _request, error_code =>
        ListPartitionReassignmentsResponse { error_code, ..Default::default() }
    };
    DescribeQuorumRequest as DescribeQuorum: DescribeQuorumResponse { _request, error_code =>
        DescribeQuorumResponse { error_code, ..Default::default() }
    };
    BrokerRegistrationRequest as BrokerRegistration: BrokerRegistrationResponse { _request, error_code =>
        BrokerRegistrationResponse { error_code, broker_epoch: -1, ..Default::default() }
    } between nodes true;
    BrokerHeartbeatRequest as BrokerHeartbeat: BrokerHeartbeatResponse { _request, error_code =>
        BrokerHeartbeatResponse { error_code, is_fenced: true, ..Default::default() }
    } between nodes true;
    AllocateProducerIdsRequest as AllocateProducerIds: AllocateProducerIdsResponse { _request, error_code =>
        AllocateProducerIdsResponse { error_code, ..Default::default() }
    } between nodes true;
}
