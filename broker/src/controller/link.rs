//! The way to a controller in another process: finding the leader, one connection for requests, and
//! Envelopes for what clients asked.
//!
//! Invariant: a request is sent once; when its connection breaks before an answer, the asker hears of
//! it and decides (heartbeats and registrations are repeated by their loops, a client's request is
//! answered REQUEST_TIMED_OUT, because it may have been carried out).
//! Not here: fetching the metadata log (`observer.rs` has a connection of its own, since its long
//! polls would hold up everything behind them).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_client::net::NetRef;
use ottla_client::{Connection, ConnectionError, ConnectionOptions, Tls};
use ottla_protocol::messages::default_principal_data::DefaultPrincipalData;
use ottla_protocol::messages::envelope_request::EnvelopeRequest;
use ottla_protocol::{
    DecodeError, EncodeError, ErrorCode, Message, Reader, Request, Writer, frame,
};

use super::commands::{Caller, Forwarded};
use crate::auth::Principal;

/// How long a request to the controller may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Version prefix of the principal in an Envelope.
const PRINCIPAL_VERSION: i16 = 0;

/// Where a controller listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerAddress {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A shared link; cheap to clone.
#[derive(Clone)]
pub struct Link {
    inner: Rc<Inner>,
}

struct Inner {
    net: NetRef,
    client_id: String,
    bootstrap: Vec<ControllerAddress>,
    tls: Option<Tls>,
    leader: RefCell<Option<ControllerAddress>>,
    connection: RefCell<Option<Connection>>,
}

impl Link {
    /// A link that begins at the addresses of `controller.quorum.bootstrap.servers`, over TLS if `tls` is there.
    pub fn new(
        net: NetRef,
        client_id: String,
        bootstrap: Vec<ControllerAddress>,
        tls: Option<Tls>,
    ) -> Self {
        let inner = Inner {
            net,
            client_id,
            bootstrap,
            tls,
            leader: RefCell::new(None),
            connection: RefCell::new(None),
        };
        Self {
            inner: Rc::new(inner),
        }
    }

    /// The leader is known to be here (`None`: unknown again); an open connection elsewhere is given up.
    pub fn leader_is(&self, address: Option<ControllerAddress>) {
        if *self.inner.leader.borrow() != address {
            self.inner.leader.replace(address);
            self.inner.connection.replace(None);
        }
    }

    /// A fresh connection to the leader, or while it is unknown to any controller.
    pub async fn connect(&self) -> Result<Connection, ConnectionError> {
        let known = self.inner.leader.borrow().clone();
        let candidates: Vec<ControllerAddress> = match known {
            Some(leader) => vec![leader],
            None => self.inner.bootstrap.clone(),
        };
        let mut last = ConnectionError::Unreachable {
            address: "controller.quorum.bootstrap.servers".to_owned(),
            reason: "the list is empty".to_owned(),
        };
        for address in candidates {
            let options = ConnectionOptions {
                client_id: self.inner.client_id.as_str().into(),
                request_timeout: REQUEST_TIMEOUT,
                tls: self.inner.tls.clone(),
                ..Default::default()
            };
            match Connection::connect(&self.inner.net, &address.host, address.port, options).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        self.inner.leader.replace(None);
        Err(last)
    }

    /// Sends a request between nodes over the shared connection.
    pub async fn send<R: Request>(&self, request: &R) -> Result<R::Response, ConnectionError> {
        let connection = self.shared().await?;
        let response = connection.call(request).await;
        if response.is_err() {
            self.inner.connection.replace(None);
        }
        response
    }

    /// Has the leader decide upon `request`, in an Envelope unless it is one between nodes.
    pub async fn forward<R: Forwarded>(&self, caller: Caller, request: R) -> R::Response {
        let outcome = if R::BETWEEN_NODES {
            self.send(&request).await.map_err(ForwardError::from)
        } else {
            self.send_in_envelope(&caller, &request).await
        };
        match outcome {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(api = R::KEY.name(), %error, "the controller did not answer");
                request.refused(error.code())
            }
        }
    }

    async fn send_in_envelope<R: Forwarded>(
        &self,
        caller: &Caller,
        request: &R,
    ) -> Result<R::Response, ForwardError> {
        let inner = frame::encode_request(R::KEY, caller.version, 0, None, request)?.into_bytes();
        let envelope = EnvelopeRequest {
            request_data: inner.slice(4..),
            request_principal: Some(encode_principal(&caller.principal)?),
            client_host_address: Bytes::from_static(&[127, 0, 0, 1]),
            ..Default::default()
        };
        let response = self.send(&envelope).await?;
        if response.error_code != ErrorCode::NONE {
            return Err(ForwardError::Refused(response.error_code));
        }
        let data = response.response_data.unwrap_or_default();
        let (_, response) = frame::decode_response::<R::Response>(R::KEY, caller.version, data)?;
        Ok(response)
    }

    async fn shared(&self) -> Result<Connection, ConnectionError> {
        let open = self
            .inner
            .connection
            .borrow()
            .clone()
            .filter(|connection| !connection.is_closed());
        if let Some(connection) = open {
            return Ok(connection);
        }
        let connection = self.connect().await?;
        self.inner.connection.replace(Some(connection.clone()));
        Ok(connection)
    }
}

#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    #[error("the answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Refused(ErrorCode),
}

impl ForwardError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Connection(_) => ErrorCode::REQUEST_TIMED_OUT,
            Self::Encode(_) | Self::Decode(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
            Self::Refused(code) => *code,
        }
    }
}

/// A principal as it travels in an Envelope: version, then the message.
pub fn encode_principal(principal: &Principal) -> Result<Bytes, EncodeError> {
    let data = DefaultPrincipalData {
        type_: principal.kind.clone(),
        name: principal.name.clone(),
        token_authenticated: false,
        ..Default::default()
    };
    let mut writer = Writer::new();
    data.encode(&mut writer, PRINCIPAL_VERSION)?;
    let body = writer.finish().into_bytes();
    let mut bytes = BytesMut::with_capacity(2 + body.len());
    bytes.put_i16(PRINCIPAL_VERSION);
    bytes.extend_from_slice(&body);
    Ok(bytes.freeze())
}

/// The principal out of an Envelope.
pub fn decode_principal(bytes: Bytes) -> Result<Principal, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    let data = DefaultPrincipalData::decode(&mut reader, version)?;
    Ok(Principal {
        kind: data.type_,
        name: data.name,
    })
}
