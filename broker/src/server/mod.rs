//! The network side: listeners accept, connections frame and order, the dispatch table decodes,
//! handlers (`crate::handlers`) answer.
//!
//! Invariant: a handler reaches only what [`Services`] holds: the image, the owners of partitions,
//! groups and metadata (as cheap handles to their mailboxes), the runtime. Not here: any state of
//! topics, groups or the quorum.

pub mod connection;
pub mod dispatch;
pub mod fetch_sessions;
pub mod listener;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ottla_protocol::{Str, Uuid};

use crate::auth::{Authorizer, Principal};
use crate::config::Config;
use crate::controller::ControllerHandle;
use crate::coordinator::GroupsHandle;
use crate::metrics::Meters;
use crate::partition::PartitionsHandle;
use crate::producer_ids::ProducerIds;
use crate::publish::ImageCell;
use crate::rt::Rt;
use crate::topic_configs::TopicConfigs;
use fetch_sessions::FetchSessions;

/// What a listener is for; decides the table of APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients and other brokers.
    Broker,
    /// The metadata quorum's own port.
    Controller,
}

/// Limits that the network side keeps to; from the settings of the same names.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// `socket.request.max.bytes`
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`
    pub idle_max: Duration,
}

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Node {
    /// `node.id`
    pub id: i32,
    /// The cluster's id, as in `meta.properties`.
    pub cluster_id: Str,
    /// Id of the log directory, as in `meta.properties`.
    pub directory_id: Uuid,
}

/// What handlers may reach: cheap handles to the owners of state.
pub struct Services {
    /// Time, network, randomness.
    pub rt: Rt,
    /// Limits of the network side.
    pub config: ServerConfig,
    /// The process's own configuration file, parsed.
    pub settings: Rc<Config>,
    /// What holds for each topic.
    pub topic_configs: Rc<TopicConfigs>,
    /// Who this process is.
    pub node: Node,
    /// The newest published metadata.
    pub image: ImageCell,
    /// The owner of this shard's partitions.
    pub partitions: PartitionsHandle,
    /// The owner of the groups whose partition of `__consumer_offsets` this broker leads.
    pub groups: GroupsHandle,
    /// The metadata quorum: in this process or behind a connection.
    pub controller: ControllerHandle,
    /// Producer ids handed out one by one from blocks.
    pub producer_ids: ProducerIds,
    /// Incremental fetch sessions (KIP-227).
    pub fetch_sessions: RefCell<FetchSessions>,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// What is counted on the way.
    pub meters: Meters,
}

/// One connection as handlers see it.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Address of the peer.
    pub peer: SocketAddr,
    /// Name of the listener that accepted it.
    pub listener: Str,
    /// What that listener serves.
    pub listener_kind: ListenerKind,
    /// What carries the bytes.
    pub transport: Transport,
    /// Who the peer has proved to be; `User:ANONYMOUS` without a client certificate.
    pub principal: Principal,
}

/// What carries the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The socket itself.
    Plain,
    /// TLS over it. What was written may wait inside of TLS and has to be flushed.
    Tls,
}

/// One request as its handler sees it.
pub struct RequestContext {
    /// Handles to the owners of state.
    pub services: Rc<Services>,
    /// The connection it came by.
    pub connection: Rc<ConnectionInfo>,
    /// On whose behalf; differs from the connection's for forwarded requests.
    pub principal: Principal,
    /// Version of the request, and so of its response.
    pub version: i16,
    /// Ties the response to the request.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Str>,
}
