//! A broker's life with the controller: register, heartbeat, be unfenced, and leave in order.
//!
//! ```text
//!   register ─▶ fenced ──(image has our registration)──▶ unfenced ─▶ serving
//!                                                            │ stop asked
//!                             leave ◀── controller agrees ◀──┘ controlled shutdown
//! ```
//! Invariants: a heartbeat names the offset of the published image, never of what was only fetched;
//! the broker epoch is that of the newest registration. Not here: what the controller decides
//! (broker/metadata).

use std::rc::Rc;
use std::time::Duration;

use ottla_broker_metadata::levels;
use ottla_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_protocol::messages::broker_registration_request::{
    BrokerRegistrationRequest, Feature, Listener,
};
use ottla_protocol::{ErrorCode, Str, Uuid};
use tokio::sync::{oneshot, watch};

use crate::auth::Principal;
use crate::controller::{Caller, ControllerHandle};
use crate::publish::ImageCell;
use crate::rt::{Rt, sleep};

/// Pause after a registration that was refused for a while (the session of an earlier life).
const REGISTRATION_RETRY: Duration = Duration::from_millis(100);
/// Heartbeats follow each other this fast until the broker is unfenced or while it leaves: each is an
/// answer that somebody waits for.
const IMPATIENT: Duration = Duration::from_millis(5);

/// A broker that is asked to stop waits this long for a controller that does not answer; then it goes
/// without leave, as it would in a crash, which loses nothing that was acknowledged.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Who registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The cluster's id.
    pub cluster_id: Str,
    /// `node.id`
    pub node_id: i32,
    /// Drawn at each start of the process.
    pub incarnation_id: Uuid,
    /// Advertised endpoints.
    pub endpoints: Vec<AdvertisedEndpoint>,
    /// `broker.rack`
    pub rack: Option<Str>,
    /// Id of the log directory.
    pub directory_id: Uuid,
    /// Broker epoch of the life before, if nothing acknowledged was lost since; −1 otherwise.
    pub previous_epoch: i64,
}

/// Where clients reach this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedEndpoint {
    /// Listener name.
    pub name: Str,
    /// Host that clients connect to.
    pub host: Str,
    /// Port that clients connect to.
    pub port: u16,
    /// 0 is PLAINTEXT, 1 is SSL.
    pub security_protocol: i16,
}

/// Why a broker cannot be part of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The controller will never accept this registration.
    #[error("the controller refuses this broker: {code}{}", hint(*.code))]
    Refused {
        /// What it said.
        code: ErrorCode,
    },
}

fn hint(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::INCONSISTENT_CLUSTER_ID => "; the data directory belongs to another cluster",
        ErrorCode::INVALID_REGISTRATION => {
            "; listeners, log directories and features are checked by the controller's log"
        }
        ErrorCode::UNSUPPORTED_VERSION => {
            "; a finalized feature of the cluster is not served by this version"
        }
        _ => "",
    }
}

/// Registers until the controller accepts; yields the broker epoch. Errors: a refusal for ever.
pub async fn register(
    rt: &Rt,
    controller: &ControllerHandle,
    registration: &Registration,
) -> Result<i64, LifecycleError> {
    let mut complained = false;
    loop {
        let response = controller
            .decide(between_nodes(4), request(registration))
            .await;
        match response.error_code {
            ErrorCode::NONE => {
                controller.broker().epoch.set(response.broker_epoch);
                return Ok(response.broker_epoch);
            }
            ErrorCode::INCONSISTENT_CLUSTER_ID
            | ErrorCode::INVALID_REGISTRATION
            | ErrorCode::UNSUPPORTED_VERSION
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
                return Err(LifecycleError::Refused {
                    code: response.error_code,
                });
            }
            code => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::info!(answer = %code, "not registered yet; asking again");
                }
                sleep(rt, REGISTRATION_RETRY).await;
            }
        }
    }
}

/// Keeps the session with the controller. `unfenced` yields once when the broker serves; `stop` asks to
/// leave in order, after which this function returns.
pub async fn keep_session(
    rt: Rt,
    controller: ControllerHandle,
    image: ImageCell,
    registration: Registration,
    interval: Duration,
    unfenced: oneshot::Sender<()>,
    mut stop: watch::Receiver<bool>,
) {
    let mut unfenced = Some(unfenced);
    let mut leave_by = None;
    loop {
        let wants_stop = *stop.borrow();
        if wants_stop && rt.now() >= *leave_by.get_or_insert_with(|| rt.now() + LEAVE_WAIT_MAX) {
            tracing::warn!("the controller does not let this broker go; going without leave");
            return;
        }
        let request = BrokerHeartbeatRequest {
            broker_id: registration.node_id,
            broker_epoch: controller.broker().epoch.get(),
            current_metadata_offset: image.load().provenance.offset,
            want_fence: false,
            want_shut_down: wants_stop,
            ..Default::default()
        };
        let response = controller.decide(between_nodes(1), request).await;
        match response.error_code {
            ErrorCode::NONE if response.should_shut_down => return,
            ErrorCode::NONE if !response.is_fenced => {
                if let Some(unfenced) = unfenced.take() {
                    // Whoever waits for it may have given up.
                    let _ = unfenced.send(());
                }
            }
            ErrorCode::STALE_BROKER_EPOCH | ErrorCode::BROKER_ID_NOT_REGISTERED if wants_stop => {
                return;
            }
            ErrorCode::STALE_BROKER_EPOCH | ErrorCode::BROKER_ID_NOT_REGISTERED => {
                tracing::warn!(
                    "the controller does not know this registration any more; registering again"
                );
                if let Err(error) = register(&rt, &controller, &registration).await {
                    tracing::error!(%error, "stopping");
                    std::process::exit(1);
                }
                continue;
            }
            _ => {}
        }
        let pause = if unfenced.is_some() || wants_stop {
            IMPATIENT
        } else {
            interval
        };
        let wake = sleep(&rt, pause);
        tokio::select! {
            biased;
            _ = stop.changed(), if !wants_stop => {}
            () = wake => {}
        }
    }
}

fn request(registration: &Registration) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest {
        broker_id: registration.node_id,
        cluster_id: registration.cluster_id.clone(),
        incarnation_id: registration.incarnation_id,
        listeners: registration
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
                ..Default::default()
            })
            .collect(),
        features: levels::SUPPORTED
            .iter()
            .map(|(name, range)| Feature {
                name: (*name).into(),
                min_supported_version: range.min,
                max_supported_version: range.max,
                ..Default::default()
            })
            .collect(),
        rack: registration.rack.clone(),
        log_dirs: vec![registration.directory_id],
        previous_broker_epoch: registration.previous_epoch,
        ..Default::default()
    }
}

fn between_nodes(version: i16) -> Caller {
    Caller {
        principal: Principal::anonymous(),
        version,
    }
}

/// The identity that requests between nodes are made under; shared with the controller's handle.
pub fn identity(node_id: i32) -> Rc<crate::controller::BrokerIdentity> {
    Rc::new(crate::controller::BrokerIdentity {
        id: node_id,
        epoch: std::cell::Cell::new(-1),
    })
}
