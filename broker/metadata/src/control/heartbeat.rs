//! BrokerHeartbeat: what a broker wants, and what it is told.
//!
//! ```text
//!            wants no fence, has applied its registration
//!   fenced ───────────────────────────────────────────────▶ unfenced
//!     │  ▲                 wants fence; session over           │  │ wants shutdown, leads nothing
//!     │  └─────────────────────────────────────────────────────┘  │
//!     │ wants shutdown                     wants shutdown, leads  ▼
//!     └──────────────▶ stop now ◀───────── controlled shutdown ◀──┘
//!                        leads nothing, and all active brokers have applied that
//! ```
//! Not here: noting that the broker is alive ([`super::Sessions::heard`], done first by the caller).

use super::{Controller, Decision};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_protocol::messages::broker_heartbeat_response::BrokerHeartbeatResponse;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ControlledShutdown,
    StopNow,
}

impl Controller {
    /// Decides upon one heartbeat. Errors in the reply: STALE_BROKER_EPOCH (also for an unknown broker:
    /// it must register).
    pub fn broker_heartbeat(
        &self,
        request: &BrokerHeartbeatRequest,
    ) -> Decision<BrokerHeartbeatResponse> {
        let broker = match self.registration(request.broker_id, request.broker_epoch) {
            Ok(broker) => broker,
            Err(refusal) => {
                return Decision::nothing(BrokerHeartbeatResponse {
                    error_code: refusal.code,
                    is_fenced: true,
                    ..Default::default()
                });
            }
        };
        let is_caught_up =
            request.current_metadata_offset >= self.replayer.register_offset(broker.id);
        let state = if broker.fenced {
            State::Fenced
        } else if broker.in_controlled_shutdown {
            State::ControlledShutdown
        } else {
            State::Unfenced
        };
        let next = match state {
            State::Fenced if request.want_shut_down => State::StopNow,
            State::Fenced if !request.want_fence && is_caught_up => State::Unfenced,
            State::Unfenced if request.want_fence && request.want_shut_down => State::StopNow,
            State::Unfenced if request.want_fence => State::Fenced,
            State::Unfenced if request.want_shut_down && self.index.leads(broker.id) => {
                State::ControlledShutdown
            }
            State::Unfenced if request.want_shut_down => State::StopNow,
            State::ControlledShutdown
                if !self.index.leads(broker.id)
                    && self.sessions.may_stop(broker.id, self.image()) =>
            {
                State::StopNow
            }
            other => other,
        };
        let mut records = Vec::new();
        match next {
            _ if next == state => {}
            // A broker that is fenced already need not be fenced again to stop.
            State::StopNow if state == State::Fenced => {}
            State::Fenced | State::StopNow => self.fence(broker, &mut records),
            State::Unfenced => self.unfence(broker, &mut records),
            State::ControlledShutdown => self.start_controlled_shutdown(broker, &mut records),
        }
        self.directories_offline(broker, &request.offline_log_dirs, &mut records);
        self.directories_cordoned(broker, request.cordoned_log_dirs.as_ref(), &mut records);
        let reply = BrokerHeartbeatResponse {
            error_code: ErrorCode::NONE,
            is_caught_up,
            is_fenced: matches!(next, State::Fenced | State::StopNow),
            should_shut_down: next == State::StopNow,
            ..Default::default()
        };
        Decision::in_order(records, reply)
    }
}
