//! The table of what this broker serves, and the way of one frame through it: header, version
//! check, decode, handler, encode.
//!
//! Invariant: what is not in a table is not advertised (`ApiVersions` reads the same rows), with
//! one exception that a row spells out: Produce is advertised from version 0, since librdkafka
//! before 2.11 otherwise drops compression silently (KAFKA-18659). Not here: what requests mean
//! (`handlers/`), ordering on a connection (`connection.rs`).

use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use ottla_protocol::{ApiKey, DecodeError, EncodeError, Frame, Reader, Request, frame};

use super::{ConnectionInfo, ListenerKind, RequestContext, Services};
use crate::auth::Principal;
use crate::handlers::*;
use crate::rt::LocalFuture;

/// How a request stands to its neighbours on the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Starts when every earlier request is answered; nothing starts before it is answered.
    Exclusive,
    /// May be in flight together with other pipelined requests; its first step is done in order.
    Pipelined,
}

/// One row of a table: an API key and the versions that are served.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The API.
    pub key: ApiKey,
    /// Lowest version that is advertised.
    pub advertised_min: i16,
    /// Lowest version that is served.
    pub min: i16,
    /// Highest version that is served and advertised.
    pub max: i16,
    /// How it stands to its neighbours.
    pub stage: Stage,
}

/// What a handler gives back.
pub enum Reply<T> {
    /// Send this.
    Send(T),
    /// Send nothing (Produce with acks 0).
    Silent,
    /// Send nothing and close the connection: the only way to tell an error to acks 0.
    Close,
}

impl<T> From<T> for Reply<T> {
    fn from(response: T) -> Self {
        Self::Send(response)
    }
}

/// What a request came to, encoded.
pub enum Answer {
    /// A response frame, length prefix included.
    Frame(Frame),
    /// Nothing is sent.
    Nothing,
    /// The connection must be closed.
    Close,
}

impl Answer {
    /// Bytes that are sent.
    pub fn size(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.chunks.iter().map(Bytes::len).sum(),
            Self::Nothing | Self::Close => 0,
        }
    }
}

/// A frame that is not a request we can serve. The connection is closed, as Kafka does: without a
/// known response schema there is nothing that the peer could read.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The bytes break the schema.
    #[error("request cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// A key that this listener does not serve.
    #[error("API key {key} is not served on this listener")]
    Unserved {
        /// The key on the wire.
        key: i16,
    },
    /// A version outside the advertised range.
    #[error("{name} version {version} is not served; versions {min} to {max} are")]
    UnsupportedVersion {
        /// The API's name.
        name: &'static str,
        /// The version on the wire.
        version: i16,
        /// Lowest served version.
        min: i16,
        /// Highest served version.
        max: i16,
    },
}

/// Builds a table and the function that starts a request by its key.
macro_rules! served {
    (
        $(#[$doc:meta])* $table:ident, $start:ident:
        $($key:ident $([advertised from $advertised:literal])? $min:literal..=$max:literal $stage:ident => $handler:path;)*
    ) => {
        $(#[$doc])*
        pub const $table: &[Served] = &[$(
            Served {
                key: ApiKey::$key,
                advertised_min: served!(@advertised $min $($advertised)?),
                min: $min,
                max: $max,
                stage: Stage::$stage,
            },
        )*];

        fn $start(key: ApiKey, ctx: RequestContext, reader: Reader) -> Result<LocalFuture<'static, Answer>, DispatchError> {
            match key {
                $(ApiKey::$key => run(ctx, reader, $handler),)*
                other => Err(DispatchError::Unserved { key: other as i16 }),
            }
        }
    };
    (@advertised $min:literal) => { $min };
    (@advertised $min:literal $advertised:literal) => { $advertised };
}

served! {
    /// What client listeners serve.
    BROKER_APIS, start_on_broker:
    Produce [advertised from 0] 3..=13 Pipelined => produce::produce;
    Fetch 4..=18 Exclusive => fetch::fetch;
    ListOffsets 1..=11 Exclusive => list_offsets::list_offsets;
    Metadata 0..=13 Exclusive => metadata::metadata;
    OffsetCommit 2..=10 Exclusive => groups::offset_commit;
    OffsetFetch 1..=10 Exclusive => groups::offset_fetch;
    FindCoordinator 0..=6 Exclusive => find_coordinator::find_coordinator;
    JoinGroup 0..=9 Exclusive => groups::join_group;
    Heartbeat 0..=4 Exclusive => groups::heartbeat;
    LeaveGroup 0..=5 Exclusive => groups::leave_group;
    SyncGroup 0..=5 Exclusive => groups::sync_group;
    DescribeGroups 0..=6 Exclusive => groups::describe_groups;
    ListGroups 0..=5 Exclusive => groups::list_groups;
    ApiVersions 0..=4 Exclusive => api_versions::api_versions;
    CreateTopics 2..=7 Exclusive => forwarded::create_topics;
    DeleteTopics 1..=6 Exclusive => forwarded::delete_topics;
    DeleteRecords 0..=2 Exclusive => delete_records::delete_records;
    InitProducerId 0..=5 Exclusive => init_producer_id::init_producer_id;
    OffsetForLeaderEpoch 2..=4 Exclusive => offset_for_leader_epoch::offset_for_leader_epoch;
    DescribeConfigs 1..=4 Exclusive => describe_configs::describe_configs;
    AlterConfigs 0..=2 Exclusive => forwarded::alter_configs;
    DescribeLogDirs 1..=5 Exclusive => describe_log_dirs::describe_log_dirs;
    CreatePartitions 0..=3 Exclusive => forwarded::create_partitions;
    DeleteGroups 0..=2 Exclusive => groups::delete_groups;
    IncrementalAlterConfigs 0..=1 Exclusive => forwarded::incremental_alter_configs;
    ListPartitionReassignments 0..=0 Exclusive => forwarded::list_partition_reassignments;
    OffsetDelete 0..=0 Exclusive => groups::offset_delete;
    DescribeQuorum 0..=2 Exclusive => forwarded::describe_quorum;
    UpdateFeatures 0..=2 Exclusive => forwarded::update_features;
    DescribeCluster 0..=2 Exclusive => describe_cluster::describe_cluster;
    UnregisterBroker 0..=0 Exclusive => forwarded::unregister_broker;
    DescribeTopicPartitions 0..=0 Exclusive => describe_topic_partitions::describe_topic_partitions;
}

served! {
    /// What controller listeners serve.
    CONTROLLER_APIS, start_on_controller:
    Fetch 12..=18 Exclusive => quorum::fetch;
    ApiVersions 0..=4 Exclusive => api_versions::api_versions;
    CreateTopics 2..=7 Exclusive => forwarded::create_topics;
    DeleteTopics 1..=6 Exclusive => forwarded::delete_topics;
    AlterConfigs 0..=2 Exclusive => forwarded::alter_configs;
    CreatePartitions 0..=3 Exclusive => forwarded::create_partitions;
    IncrementalAlterConfigs 0..=1 Exclusive => forwarded::incremental_alter_configs;
    ListPartitionReassignments 0..=0 Exclusive => forwarded::list_partition_reassignments;
    DescribeQuorum 0..=2 Exclusive => forwarded::describe_quorum;
    UpdateFeatures 0..=2 Exclusive => forwarded::update_features;
    Envelope 0..=0 Exclusive => quorum::envelope;
    FetchSnapshot 0..=1 Exclusive => fetch_snapshot::fetch_snapshot;
    DescribeCluster 0..=2 Exclusive => describe_cluster::describe_cluster;
    BrokerRegistration 0..=4 Exclusive => quorum::broker_registration;
    BrokerHeartbeat 0..=2 Exclusive => quorum::broker_heartbeat;
    UnregisterBroker 0..=0 Exclusive => forwarded::unregister_broker;
    AllocateProducerIds 0..=0 Exclusive => quorum::allocate_producer_ids;
}

/// What Apache Kafka's brokers pass on to their controller. It is Kafka's list and not that of what we
/// serve: a JVM broker that passes on what we do not serve (it knows our versions only once it has
/// talked to us) is told so in a way that it can tell its client, see `Forwarding`.
const FORWARDABLE: &[ApiKey] = &[
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreateAcls,
    ApiKey::DeleteAcls,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::CreateDelegationToken,
    ApiKey::RenewDelegationToken,
    ApiKey::ExpireDelegationToken,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::AlterClientQuotas,
    ApiKey::AlterUserScramCredentials,
    ApiKey::DescribeQuorum,
    ApiKey::UpdateFeatures,
    ApiKey::UnregisterBroker,
    ApiKey::AllocateProducerIds,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
];

/// The table of a listener.
pub fn table(kind: ListenerKind) -> &'static [Served] {
    match kind {
        ListenerKind::Broker => BROKER_APIS,
        ListenerKind::Controller => CONTROLLER_APIS,
    }
}

/// The API key of the request in `frame`; −1 when it is too short for one.
pub fn api_key_of(frame: &[u8]) -> i16 {
    frame
        .first_chunk()
        .map_or(-1, |key| i16::from_be_bytes(*key))
}

/// The stage of the request that begins at `bytes`; needs only the API key.
pub fn stage_of(bytes: &[u8]) -> Stage {
    const PRODUCE: [u8; 2] = (ApiKey::Produce as i16).to_be_bytes();
    if bytes.starts_with(&PRODUCE) {
        Stage::Pipelined
    } else {
        Stage::Exclusive
    }
}

/// Starts the request in `frame` (without its length prefix). The future yields the encoded answer.
/// Errors: the frame is not a request that `info`'s listener serves.
pub fn start(
    frame: Bytes,
    info: &Rc<ConnectionInfo>,
    services: &Rc<Services>,
) -> Result<LocalFuture<'static, Answer>, DispatchError> {
    let (key, version, correlation_id) = frame::request_prefix(&frame)?;
    let row = table(info.listener_kind)
        .iter()
        .find(|row| row.key as i16 == key)
        .ok_or(DispatchError::Unserved { key })?;
    if version < row.min || version > row.max {
        return unsupported_version(correlation_id, version, row, info.listener_kind);
    }
    let (ctx, reader) = opened(frame, row, version, info, services, info.principal.clone())?;
    match info.listener_kind {
        ListenerKind::Broker => start_on_broker(row.key, ctx, reader),
        ListenerKind::Controller => start_on_controller(row.key, ctx, reader),
    }
}

/// Why a request that came in an Envelope is not started.
#[derive(Debug, thiserror::Error)]
pub enum Forwarding {
    /// Never to be passed on, whatever the controller serves. Kafka: INVALID_REQUEST.
    #[error("{} is not passed on to controllers", .0.name())]
    NotForwardable(ApiKey),
    /// A key or version that this controller does not serve, or bytes that are no such request. Kafka:
    /// UNSUPPORTED_VERSION, on which a JVM broker closes its client's connection, so that the client asks
    /// again which versions there are; those are then limited to ours.
    #[error(transparent)]
    Unsupported(#[from] DispatchError),
}

/// Starts a request that came in an Envelope, on behalf of `principal`.
pub fn start_forwarded(
    data: Bytes,
    principal: Principal,
    outer: &RequestContext,
) -> Result<LocalFuture<'static, Answer>, Forwarding> {
    let row = forwarded_row(&data)?;
    let (_, version, _) = frame::request_prefix(&data).map_err(DispatchError::from)?;
    let (ctx, reader) = opened(
        data,
        row,
        version,
        &outer.connection,
        &outer.services,
        principal,
    )?;
    Ok(start_on_controller(row.key, ctx, reader)?)
}

/// The row that serves the request in an Envelope.
fn forwarded_row(data: &Bytes) -> Result<&'static Served, Forwarding> {
    let (key, version, _) = frame::request_prefix(data).map_err(DispatchError::from)?;
    if let Some(known) = ApiKey::from_i16(key).filter(|known| !FORWARDABLE.contains(known)) {
        return Err(Forwarding::NotForwardable(known));
    }
    let row = CONTROLLER_APIS
        .iter()
        .find(|row| row.key as i16 == key)
        .ok_or(DispatchError::Unserved { key })?;
    if version < row.min || version > row.max {
        return Err(Forwarding::Unsupported(DispatchError::UnsupportedVersion {
            name: row.key.name(),
            version,
            min: row.min,
            max: row.max,
        }));
    }
    Ok(row)
}

/// The request's context, and a reader that stands at its body.
fn opened(
    frame: Bytes,
    row: &Served,
    version: i16,
    connection: &Rc<ConnectionInfo>,
    services: &Rc<Services>,
    principal: Principal,
) -> Result<(RequestContext, Reader), DispatchError> {
    let mut reader = Reader::new(frame);
    let header = frame::decode_request_header(&mut reader, row.key, version)?;
    let ctx = RequestContext {
        services: Rc::clone(services),
        connection: Rc::clone(connection),
        principal,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
    };
    Ok((ctx, reader))
}

/// ApiVersions of a version that we do not know is answered in version 0 with our ranges, so that a
/// newer client can come down (KIP-511); everything else cannot be answered.
fn unsupported_version(
    correlation_id: i32,
    version: i16,
    row: &Served,
    kind: ListenerKind,
) -> Result<LocalFuture<'static, Answer>, DispatchError> {
    if row.key != ApiKey::ApiVersions {
        return Err(DispatchError::UnsupportedVersion {
            name: row.key.name(),
            version,
            min: row.min,
            max: row.max,
        });
    }
    let response = api_versions::unsupported_version(kind);
    let frame = frame::encode_response(ApiKey::ApiVersions, 0, correlation_id, &response);
    Ok(Box::pin(
        async move { encoded(ApiKey::ApiVersions, 0, frame) },
    ))
}

fn run<R, H, F, T>(
    ctx: RequestContext,
    mut reader: Reader,
    handler: H,
) -> Result<LocalFuture<'static, Answer>, DispatchError>
where
    R: Request + 'static,
    H: FnOnce(RequestContext, R) -> F + 'static,
    F: Future<Output = T> + 'static,
    T: Into<Reply<R::Response>>,
{
    let (version, correlation_id) = (ctx.version, ctx.correlation_id);
    let request = R::decode(&mut reader, version)?;
    Ok(Box::pin(async move {
        match handler(ctx, request).await.into() {
            Reply::Send(response) => encoded(
                R::KEY,
                version,
                frame::encode_response(R::KEY, version, correlation_id, &response),
            ),
            Reply::Silent => Answer::Nothing,
            Reply::Close => Answer::Close,
        }
    }))
}

/// A response that its schema refuses is a defect of a handler; the peer gets a closed connection
/// instead of wrong bytes.
fn encoded(key: ApiKey, version: i16, frame: Result<Frame, EncodeError>) -> Answer {
    match frame {
        Ok(frame) => Answer::Frame(frame),
        Err(error) => {
            tracing::error!(api = key.name(), version, %error, "response cannot be encoded; closing the connection");
            Answer::Close
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(key: i16, version: i16) -> Bytes {
        let mut bytes = [key.to_be_bytes(), version.to_be_bytes()].concat();
        bytes.extend([0; 4]);
        Bytes::from(bytes)
    }

    /// What an Envelope comes to, per key of Kafka's list and beyond it.
    #[test]
    fn an_envelope_tells_what_may_never_be_in_it_from_what_is_not_served() {
        for key in FORWARDABLE {
            let versions = key.valid_versions();
            let served = CONTROLLER_APIS.iter().find(|row| row.key == *key);
            let row = forwarded_row(&prefix(*key as i16, *versions.end()));
            match served {
                Some(served) => {
                    assert_eq!(
                        row.ok().map(|row| row.max),
                        Some(served.max),
                        "{}",
                        key.name()
                    );
                }
                None => assert!(
                    matches!(row, Err(Forwarding::Unsupported(_))),
                    "{}",
                    key.name()
                ),
            }
            let newer = forwarded_row(&prefix(*key as i16, versions.end() + 1));
            assert!(matches!(newer, Err(Forwarding::Unsupported(_))));
        }
        for (key, is_unsupported) in [
            (ApiKey::Fetch as i16, false),
            (ApiKey::BrokerHeartbeat as i16, false),
            (ApiKey::Envelope as i16, false),
            // Nobody's key: a newer broker may know it.
            (999, true),
        ] {
            let refused = forwarded_row(&prefix(key, 0)).expect_err("it is not to be passed on");
            assert_eq!(
                matches!(refused, Forwarding::Unsupported(_)),
                is_unsupported
            );
        }
        assert!(matches!(
            forwarded_row(&Bytes::from_static(&[0, 46])),
            Err(Forwarding::Unsupported(DispatchError::Decode(_)))
        ));
    }
}
