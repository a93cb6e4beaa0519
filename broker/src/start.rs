//! Puts a node together, in the order in which its parts depend on each other:
//!
//! ```text
//!   data directory ─▶ partitions ─▶ metadata log ─▶ quorum (led or followed) ─▶ first image
//!        ─▶ sockets ─▶ registration ─▶ heartbeats ─▶ unfenced ─▶ clients are let in
//! ```
//! An empty directory is formatted on the way. Runs on the real runtime and in the simulator alike.
//! Not here: the operating system's process (`process.rs`).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::{ConfigRules, ControllerOptions, Provenance, Replayer, format_records};
use ottla_broker_raft::{Raft, RaftConfig, ReplicaKey, Voter, VoterEndpoint, VoterSet};
use ottla_broker_storage::{Closed, DirError, LogConfig, LogDir};
use ottla_client::tls::TlsError;
use ottla_client::{Connection, ConnectionOptions, Tls};
use ottla_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_protocol::{Str, Uuid};
use ottla_settings::{SecurityProtocol, TlsSettings};
use tokio::sync::{oneshot, watch};

use crate::auth::Authorizer;
use crate::config::{Config, ListenerConfig};
use crate::controller::{
    self, ActiveConfig, BrokerIdentity, ControllerHandle, Link, METADATA_PARTITION, METADATA_TOPIC,
    MetadataDir, ObserverConfig, QuorumView, Snapshots,
};
use crate::coordinator;
use crate::data_dir::{self, DataDir};
use crate::lifecycle::{self, AdvertisedEndpoint, Registration};
use crate::management::{Parts, Stage, Vitals};
use crate::metrics::Meters;
use crate::partition::{self, Hosted, OwnerConfig, PartitionsHandle, Publication, Request};
use crate::producer_ids::ProducerIds;
use crate::publish::Publisher;
use crate::rt::client_net::client_net;
use crate::rt::tls::Acceptor;
use crate::rt::{Rt, sleep};
use crate::server::fetch_sessions::FetchSessions;
use crate::server::listener::{Listener, accept_forever};
use crate::server::{ListenerKind, Node, ServerConfig, Services};
use crate::topic_configs::{Catalogue, TopicConfigs};

/// Pause between attempts to learn the cluster id from a controller that is not up yet.
const CLUSTER_ID_RETRY: Duration = Duration::from_millis(100);

/// Why a node cannot start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DirError),
    /// A file of the metadata log cannot be used.
    #[error(transparent)]
    File(#[from] controller::FileError),
    /// The metadata log cannot be used.
    #[error(transparent)]
    MetadataLog(#[from] controller::MetadataLogError),
    /// Snapshots and log do not make the metadata.
    #[error(transparent)]
    Recover(#[from] controller::RecoverError),
    /// The quorum is not one that can be served.
    #[error(transparent)]
    Quorum(#[from] ottla_broker_raft::StartError),
    /// A port cannot be bound.
    #[error("cannot listen on {name}://{host}:{port}: {source}{}", port_hint(.source))]
    Listen {
        /// Listener name.
        name: String,
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The stores of a listener or of the link to controllers cannot be used.
    #[error("TLS of {whose}: {source}")]
    Tls {
        /// The listener's name, or `controllers`.
        whose: String,
        /// Why.
        source: TlsError,
    },
    /// The controller refuses this broker.
    #[error(transparent)]
    Lifecycle(#[from] lifecycle::LifecycleError),
    /// A part of this process ended before it was started.
    #[error("the node stopped while it was starting: {0}")]
    Partition(#[from] partition::PartitionError),
}

fn port_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another process has the port: stop it or choose another port in `listeners`"
        }
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need rights: choose a higher one in `listeners`"
        }
        _ => "",
    }
}

/// A node that runs.
pub struct Broker {
    rt: Rt,
    partitions: PartitionsHandle,
    dir: LogDir,
    broker_epoch: Rc<BrokerIdentity>,
    stop_session: watch::Sender<bool>,
    session_ended: Option<oneshot::Receiver<()>>,
    /// The sockets that were bound, by listener name.
    pub listeners: Vec<(Str, SocketAddr)>,
}

impl Broker {
    /// Leaves the cluster in order and closes the data directory, so that the next start (of Apache
    /// Kafka, too) finds everything in place.
    pub async fn stop(mut self) {
        self.stop_session.send_replace(true);
        if let Some(ended) = self.session_ended.take() {
            // A session task that is gone has nothing left to say.
            let _ = ended.await;
        }
        let stopped = self.partitions.ask(Request::Stop).await;
        match stopped {
            Ok(true) => self.close_dir().await,
            Ok(false) | Err(_) => tracing::error!(
                "the data directory could not be closed in order; the next start recovers it"
            ),
        }
    }

    async fn close_dir(&self) {
        match self.dir.close_clean(self.broker_epoch.epoch.get()).await {
            Ok(Closed::ForKafka) => {}
            Ok(Closed::Kept(damages)) => {
                for damage in damages {
                    tracing::error!(
                        damage,
                        "everything is on disk, but Apache Kafka would cut this log"
                    );
                }
            }
            Err(error) => {
                tracing::error!(%error, "the data directory could not be closed in order; the next start recovers it");
            }
        }
    }

    /// The runtime it runs on.
    pub fn rt(&self) -> &Rt {
        &self.rt
    }
}

/// Starts a node; yields when its clients are let in.
pub async fn start(rt: &Rt, config: Config) -> Result<Broker, StartError> {
    start_in_view(rt, config, &Vitals::default()).await
}

/// Starts a node, which shows in `vitals` how far it has come.
pub async fn start_in_view(rt: &Rt, config: Config, vitals: &Vitals) -> Result<Broker, StartError> {
    let config = Rc::new(config);
    let began = rt.now();
    let bound = bind(rt, &config).await?;
    let addresses: Vec<(Str, SocketAddr)> = bound
        .iter()
        .map(|bound| (bound.listener.name.clone(), bound.address))
        .collect();
    let controllers_tls = controllers_tls(&config)?;
    let data = open_data_dir(rt, &config, controllers_tls.as_ref(), vitals).await?;
    let node = Node {
        id: config.node_id,
        cluster_id: data.cluster_id.clone(),
        directory_id: data.directory_id,
    };
    let previous_epoch = data.previous_broker_epoch;
    let dir = data.dir;
    let partitions = partition::start(
        rt,
        OwnerConfig {
            set: data.set,
            found: data.found,
        },
    );
    let topic_configs = Rc::new(TopicConfigs::new(Rc::clone(&config)));
    let groups = coordinator::start(rt, config.groups.clone(), partitions.clone());
    let (publisher, image) = Publisher::new(
        node.id,
        partitions.clone(),
        groups.clone(),
        Rc::clone(&topic_configs),
    );
    let endpoints = advertised(&config, &bound);
    vitals.reach(Stage::Starting("reading the metadata log"));
    let quorum = start_quorum(
        rt,
        &config,
        &node,
        &endpoints,
        partitions.clone(),
        publisher,
        controllers_tls,
    )
    .await?;
    let services = Rc::new(Services {
        rt: Rc::clone(rt),
        config: ServerConfig {
            request_bytes_max: config.request_bytes_max,
            idle_max: config.connection_idle_max,
        },
        node: node.clone(),
        image: image.clone(),
        partitions: partitions.clone(),
        groups,
        controller: quorum.clone(),
        producer_ids: ProducerIds::default(),
        fetch_sessions: RefCell::new(FetchSessions::new(config.fetch_session_slots)),
        authorizer: Authorizer::AllowAll,
        meters: Meters::default(),
        topic_configs,
        settings: Rc::clone(&config),
    });
    vitals.show(Parts {
        services: Rc::clone(&services),
        dir: dir.clone(),
    });
    let open = Rc::new(Cell::new(0));
    let (for_controllers, for_clients): (Vec<Bound>, Vec<Bound>) = bound
        .into_iter()
        .partition(|bound| bound.listener.kind == ListenerKind::Controller);
    let_in(rt, for_controllers, &services, &open);
    let (stop_session, stop_asked) = watch::channel(false);
    let mut session_ended = None;
    if config.roles.broker {
        let registration = Registration {
            cluster_id: node.cluster_id.clone(),
            node_id: node.id,
            incarnation_id: random_uuid(rt),
            endpoints: endpoints
                .into_iter()
                .filter(|endpoint| config.is_client_listener(&endpoint.name))
                .collect(),
            rack: config.rack.clone(),
            directory_id: node.directory_id,
            previous_epoch,
        };
        session_ended = Some(join_cluster(rt, &services, registration, stop_asked, vitals).await?);
        dir.record_broker_epoch(quorum.broker().epoch.get()).await?;
        partitions.send(Request::RetireUnclaimed);
        let_in(rt, for_clients, &services, &open);
    }
    vitals.reach(Stage::Serving);
    let took_ms = (rt.now() - began).as_millis();
    tracing::info!(node = node.id, cluster = %node.cluster_id, took_ms, "serving");
    Ok(Broker {
        rt: Rc::clone(rt),
        partitions,
        dir,
        broker_epoch: quorum.identity(),
        stop_session,
        session_ended,
        listeners: addresses,
    })
}

// ---- sockets

struct Bound {
    listener: Listener,
    address: SocketAddr,
}

async fn bind(rt: &Rt, config: &Config) -> Result<Vec<Bound>, StartError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for ListenerConfig {
        name,
        kind,
        host,
        port,
        tls,
        ..
    } in &config.listeners
    {
        let tls = tls.as_ref().map(|tls| acceptor(name, tls)).transpose()?;
        let failed = |source| StartError::Listen {
            name: name.to_string(),
            host: host.clone(),
            port: *port,
            source,
        };
        let socket = rt.listen(host, *port).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        bound.push(Bound {
            listener: Listener {
                name: name.clone(),
                kind: *kind,
                socket,
                tls,
            },
            address,
        });
    }
    Ok(bound)
}

fn acceptor(name: &Str, settings: &TlsSettings) -> Result<Rc<Acceptor>, StartError> {
    let acceptor = Acceptor::new(name, settings.clone());
    acceptor.map(Rc::new).map_err(|source| StartError::Tls {
        whose: name.to_string(),
        source,
    })
}

/// TLS of the links to controllers in other processes.
fn controllers_tls(config: &Config) -> Result<Option<Tls>, StartError> {
    const WHOSE: &str = "controllers";
    let settings = config.controllers_tls.clone();
    let settings = settings.filter(|_| !config.roles.controller);
    let tls = settings.map(|settings| Tls::new(settings, WHOSE));
    tls.transpose().map_err(|source| StartError::Tls {
        whose: WHOSE.to_owned(),
        source,
    })
}

fn let_in(rt: &Rt, bound: Vec<Bound>, services: &Rc<Services>, open: &Rc<Cell<usize>>) {
    for bound in bound {
        rt.spawn(Box::pin(accept_forever(
            bound.listener,
            Rc::clone(services),
            Rc::clone(open),
        )));
    }
}

/// What is advertised for each listener: as configured, else where it is bound.
fn advertised(config: &Config, bound: &[Bound]) -> Vec<AdvertisedEndpoint> {
    let endpoints = bound.iter().map(|bound| {
        let name = &bound.listener.name;
        let configured = config
            .advertised
            .iter()
            .find(|advertised| advertised.name == *name);
        let own = config
            .listeners
            .iter()
            .find(|listener| listener.name == *name);
        let host = configured
            .map(|advertised| advertised.host.clone())
            .or_else(|| own.map(|own| own.host.clone()));
        let host = host
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| config.host_name.clone());
        // Port 0 is one that the kernel chose.
        let port = configured
            .map(|advertised| advertised.port)
            .filter(|port| *port != 0)
            .unwrap_or(bound.address.port());
        AdvertisedEndpoint {
            name: name.clone(),
            host: Str::from(host),
            port,
            security_protocol: own
                .map_or(SecurityProtocol::Plaintext, |own| own.protocol)
                .wire_code(),
        }
    });
    endpoints.collect()
}

// ---- the data directory

async fn open_data_dir(
    rt: &Rt,
    config: &Config,
    controllers_tls: Option<&Tls>,
    vitals: &Vitals,
) -> Result<DataDir, StartError> {
    // Looked at before the directory is taken into use, so that a refusal leaves it as it was. Whatever else
    // may be wrong is said better by opening it.
    let metadata = MetadataDir::new(rt.disk(), config.log_dir.clone());
    if let Err(damaged @ controller::FileError::QuorumState { .. }) =
        metadata.read_quorum_state().await
    {
        return Err(damaged.into());
    }
    let known = data_dir::cluster_id_of(rt, config).await;
    // What was asked for wins, so that a directory of another cluster is refused instead of served.
    let cluster_id = match config.cluster_id.clone().or(known) {
        Some(cluster_id) => cluster_id,
        None if config.roles.controller => Str::from(random_uuid(rt).to_string()),
        None => {
            vitals.reach(Stage::Starting(
                "asking its controllers for the cluster's id",
            ));
            ask_cluster_id(rt, config, controllers_tls).await
        }
    };
    vitals.reach(Stage::Starting("opening its log directory"));
    Ok(data_dir::open(rt, config, cluster_id, random_uuid(rt)).await?)
}

/// A broker with an empty directory joins the cluster of its controllers, whichever that is.
async fn ask_cluster_id(rt: &Rt, config: &Config, tls: Option<&Tls>) -> Str {
    let net = client_net(rt);
    let mut complained = false;
    loop {
        for address in &config.controllers {
            let options = ConnectionOptions {
                request_timeout: Duration::from_secs(5),
                tls: tls.cloned(),
                ..Default::default()
            };
            let asked = async {
                let connection =
                    Connection::connect(&net, &address.host, address.port, options).await?;
                connection
                    .call(&DescribeClusterRequest {
                        endpoint_type: 2,
                        ..Default::default()
                    })
                    .await
            };
            match asked.await {
                Ok(response) if !response.cluster_id.is_empty() => return response.cluster_id,
                Ok(_) => {}
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::info!(%error, "waiting for a controller of controller.quorum.bootstrap.servers");
                    }
                }
            }
        }
        sleep(rt, CLUSTER_ID_RETRY).await;
    }
}

fn random_uuid(rt: &Rt) -> Uuid {
    Uuid::from_random_bits(u128::from(rt.random()) << 64 | u128::from(rt.random()))
}

// ---- the quorum

async fn start_quorum(
    rt: &Rt,
    config: &Rc<Config>,
    node: &Node,
    endpoints: &[AdvertisedEndpoint],
    partitions: PartitionsHandle,
    publisher: Publisher,
    controllers_tls: Option<Tls>,
) -> Result<ControllerHandle, StartError> {
    let dir = MetadataDir::new(rt.disk(), config.log_dir.clone());
    host_metadata_log(&partitions, config, None).await?;
    let mut recovered = controller::recover(&dir, &partitions).await?;
    let snapshots = Snapshots::new(
        rt,
        dir.clone(),
        config.metadata_snapshots,
        recovered.snapshots,
        recovered.record_bytes,
    );
    let quorum_state = dir.read_quorum_state().await?;
    let view = Rc::new(QuorumView::default());
    view.leader_id.set(-1);
    let me = ReplicaKey {
        id: node.id,
        directory_id: node.directory_id,
    };
    let identity = lifecycle::identity(node.id);
    let raft_config = RaftConfig {
        me,
        may_lead: config.roles.controller,
    };
    if !config.roles.controller {
        let voters = recovered.voters.take().unwrap_or_default();
        view.voters.replace(voters.clone());
        let raft = Raft::start(
            raft_config,
            quorum_state,
            voters,
            true,
            recovered.bounds,
            &mut Vec::new(),
        )?;
        publish_recovered(&mut recovered.replayer, recovered.provenance, &publisher);
        let link = Link::new(
            client_net(rt),
            format!("broker-{}", node.id),
            config.controllers.clone(),
            controllers_tls,
        );
        let observer = ObserverConfig {
            cluster_id: node.cluster_id.clone(),
            node_id: node.id,
            directory_id: node.directory_id,
            dir,
            replayer: recovered.replayer,
            raft,
            snapshots,
            snapshot_fetch_bytes_max: config.snapshot_fetch_bytes_max,
        };
        let caught_up = controller::start_observer(
            rt,
            observer,
            link.clone(),
            partitions,
            publisher,
            Rc::clone(&view),
        );
        // The loop lives as long as the shard.
        let _ = caught_up.await;
        return Ok(ControllerHandle::there(link, view, identity));
    }
    let own = own_voter(config, node, endpoints);
    let (voters, voters_in_log) = match recovered.voters.take() {
        // A controller that has moved to other ports says so in its log.
        Some(voters) => match voters.get(me.id) {
            Some(known)
                if *known != own && known.directory_id == own.directory_id && voters.len() == 1 =>
            {
                (VoterSet::of_one(me.id, own), false)
            }
            _ => (voters, true),
        },
        None => (bootstrap_voters(rt, &dir, me.id, own).await?, false),
    };
    let bootstrap = match dir.read_bootstrap_records().await? {
        Some(records) => records,
        None => format_records().to_vec(),
    };
    let mut raft_outputs = Vec::new();
    let raft = Raft::start(
        raft_config,
        quorum_state,
        voters,
        voters_in_log,
        recovered.bounds,
        &mut raft_outputs,
    )?;
    host_metadata_log(&partitions, config, Some(raft.epoch())).await?;
    publish_recovered(&mut recovered.replayer, recovered.provenance, &publisher);
    let active = ActiveConfig {
        options: ControllerOptions {
            cluster_id: node.cluster_id.clone(),
            node_id: node.id,
            default_partitions: config.num_partitions,
            default_replication_factor: config.default_replication_factor,
            replication_factor_max: 1,
            topic_deletion_enabled: config.delete_topic_enable,
            session_timeout_ms: config.broker_session_timeout.as_millis() as i64,
            configs: ConfigRules(Arc::new(Catalogue::new(config))),
        },
        dir,
        bootstrap,
        min_insync_replicas: config.min_insync_replicas,
        replayer: recovered.replayer,
        raft,
        raft_outputs,
        snapshots,
    };
    let commands =
        controller::start_active(rt, active, partitions, publisher, Rc::clone(&view)).await?;
    Ok(ControllerHandle::here(commands, view, identity))
}

/// Hosts the metadata log: led under `epoch`, or followed.
async fn host_metadata_log(
    partitions: &PartitionsHandle,
    config: &Config,
    epoch: Option<i32>,
) -> Result<(), StartError> {
    let hosted = Hosted {
        partition: METADATA_PARTITION,
        topic_name: Str::from(METADATA_TOPIC),
        leads: epoch.is_some(),
        leader_epoch: epoch.unwrap_or(0),
        config: LogConfig {
            retention: None,
            segment_bytes: config.metadata_segment_bytes,
            may_use_reserve: true,
            file_delete_delay_ms: config.metadata_delete_delay_ms,
            ..Default::default()
        },
    };
    let publication = Publication {
        hosted: vec![hosted],
        dropped: Vec::new(),
    };
    Ok(partitions
        .ask(|done| Request::Publish(publication, done))
        .await?)
}

fn publish_recovered(replayer: &mut Replayer, provenance: Provenance, publisher: &Publisher) {
    if let Some((image, delta)) = replayer.publish(provenance) {
        publisher.publish(image, &delta);
    }
}

fn own_voter(config: &Config, node: &Node, endpoints: &[AdvertisedEndpoint]) -> Voter {
    let endpoints = endpoints
        .iter()
        .filter(|endpoint| !config.is_client_listener(&endpoint.name));
    Voter {
        directory_id: node.directory_id,
        endpoints: endpoints
            .map(|endpoint| VoterEndpoint {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
            })
            .collect(),
        kraft_version_min: 0,
        kraft_version_max: 1,
    }
}

/// The voters that a format left, or those of a new quorum of one, which are written down first.
async fn bootstrap_voters(
    rt: &Rt,
    dir: &MetadataDir,
    id: i32,
    own: Voter,
) -> Result<VoterSet, StartError> {
    if let Some(voters) = dir.read_bootstrap_voters().await? {
        return Ok(voters);
    }
    let voters = VoterSet::of_one(id, own);
    dir.write_bootstrap_voters(&voters, rt.wall_clock_ms())
        .await?;
    dir.write_bootstrap_records(&format_records(), rt.wall_clock_ms())
        .await?;
    Ok(voters)
}

// ---- membership

async fn join_cluster(
    rt: &Rt,
    services: &Services,
    registration: Registration,
    stop_asked: watch::Receiver<bool>,
    vitals: &Vitals,
) -> Result<oneshot::Receiver<()>, StartError> {
    let (quorum, image) = (&services.controller, &services.image);
    vitals.reach(Stage::Starting("registering with the controller"));
    lifecycle::register(rt, quorum, &registration).await?;
    vitals.reach(Stage::Starting(
        "fenced until it has caught up with the metadata log",
    ));
    let (unfenced, is_unfenced) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    let session = lifecycle::keep_session(
        Rc::clone(rt),
        quorum.clone(),
        image.clone(),
        registration.clone(),
        services.settings.heartbeat_interval,
        unfenced,
        stop_asked,
    );
    rt.spawn(Box::pin(async move {
        session.await;
        // Whoever waits for it may be gone.
        let _ = ended.send(());
    }));
    // The session task lives as long as the shard.
    let _ = is_unfenced.await;
    // Clients that are let in must find this broker in its own metadata.
    image
        .wait_for(|image| image.alive_broker(registration.node_id).is_some())
        .await;
    Ok(has_ended)
}
