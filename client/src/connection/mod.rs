//! One connection to a broker: requests go out in the order in which they are made, any number at a time; responses find their way
//! back by correlation id.
//!
//! Invariant: every request ends: with its response, its timeout, or the end of the connection. A connection that breaks stays
//! broken (`is_closed`); who opened it opens another.
//! Not here: which broker, retries (`cluster`), authentication (a stream that arrives here is ready for requests).

mod error;
mod versions;
mod wire;

pub use error::ConnectionError;
pub use versions::Versions;

use crate::net::{NetRef, Stream, timeout};
use crate::tls::{self, Tls};
use bytes::Bytes;
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::api_versions_response::ApiVersionsResponse;
use ottla_protocol::{ApiKey, ErrorCode, Request, Str, frame};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};
use wire::FrameReader;

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Told to the broker with every request; shown in its logs, quotas and groups.
    pub client_id: Str,
    /// How long a request waits for its response, unless the call says otherwise.
    pub request_timeout: Duration,
    /// Larger responses close the connection.
    pub response_bytes_max: usize,
    /// Whether to ask for the other side's versions first. Without, only [`Connection::call_at`] works.
    pub negotiate: bool,
    /// TLS over what is connected; `None` for plain text.
    pub tls: Option<Tls>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        ConnectionOptions {
            client_id: "ottla".into(),
            request_timeout: Duration::from_secs(30),
            response_bytes_max: 256 * 1024 * 1024,
            negotiate: true,
            tls: None,
        }
    }
}

/// A handle on a connection; clones share it. When the last is dropped, the connection is closed.
#[derive(Clone)]
pub struct Connection {
    net: NetRef,
    link: Rc<Link>,
    options: Rc<ConnectionOptions>,
    versions: Rc<Versions>,
    _last_one_closes: Rc<CloseOnDrop>,
}

/// What the handles and the two tasks of a connection share.
#[derive(Default)]
struct Link {
    /// Why it is closed.
    closed: RefCell<Option<ConnectionError>>,
    waiting: RefCell<BTreeMap<i32, oneshot::Sender<Result<Bytes, ConnectionError>>>>,
    outbox: RefCell<VecDeque<Bytes>>,
    next_correlation_id: Cell<i32>,
    /// There is something in the outbox.
    write: Notify,
    /// The tasks must end. One each, because a permit serves one waiter only.
    stop_writer: Notify,
    stop_reader: Notify,
}

struct CloseOnDrop(Rc<Link>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(ConnectionError::Closed {
            reason: "nobody holds it any more".to_owned(),
        });
    }
}

impl Connection {
    /// Connects to `host:port`, with TLS if the options say so, and negotiates versions; connecting and TLS together, and the
    /// negotiation, within the request timeout each.
    pub async fn connect(
        net: &NetRef,
        host: &str,
        port: u16,
        options: ConnectionOptions,
    ) -> Result<Connection, ConnectionError> {
        let unreachable = |reason: String| ConnectionError::Unreachable {
            address: format!("{host}:{port}"),
            reason,
        };
        let connect = async {
            let stream = net.connect(host, port).await?;
            match &options.tls {
                None => Ok(stream),
                Some(tls) => tls
                    .connect(net.now(), host, stream)
                    .await
                    .map_err(in_handshake),
            }
        };
        let connected = timeout(net, options.request_timeout, connect).await;
        let stream = connected
            .map_err(|_| {
                unreachable(format!(
                    "no answer within {} ms",
                    options.request_timeout.as_millis()
                ))
            })?
            .map_err(|error| match tls::refusal(&error) {
                Some(refusal) => ConnectionError::of_tls(format!("{host}:{port}"), refusal),
                None => unreachable(error.to_string()),
            })?;
        Connection::open(net, stream, options).await
    }

    /// Makes a connection of a stream that is ready for requests; negotiates versions unless the options say no.
    pub async fn open<S: Stream + 'static>(
        net: &NetRef,
        stream: S,
        options: ConnectionOptions,
    ) -> Result<Connection, ConnectionError> {
        let link = Rc::new(Link::default());
        let (reader, writer) = tokio::io::split(stream);
        net.spawn(Box::pin(read_responses(
            link.clone(),
            reader,
            options.response_bytes_max,
        )));
        net.spawn(Box::pin(write_requests(link.clone(), writer)));
        let mut connection = Connection {
            net: net.clone(),
            _last_one_closes: Rc::new(CloseOnDrop(link.clone())),
            link,
            options: Rc::new(options),
            versions: Rc::new(Versions::default()),
        };
        if connection.options.negotiate {
            connection.versions = Rc::new(connection.negotiate().await?);
        }
        Ok(connection)
    }

    /// What the other side speaks.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Whether requests can no longer be made.
    pub fn is_closed(&self) -> bool {
        self.link.closed.borrow().is_some()
    }

    /// Closes the connection for all its handles; requests that wait get `Closed`.
    pub fn close(&self) {
        self.link.close(ConnectionError::Closed {
            reason: "closed by us".to_owned(),
        });
    }

    /// Sends a request in the highest version that both sides speak. It is queued when this function returns, before the future is
    /// polled, so calls made one after another arrive in that order.
    pub fn call<R: Request>(
        &self,
        request: &R,
    ) -> impl Future<Output = Result<R::Response, ConnectionError>> + use<R> {
        self.call_within(request, self.options.request_timeout)
    }

    /// Like `call`, for requests that the broker holds on purpose (JoinGroup, long polls).
    pub fn call_within<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> impl Future<Output = Result<R::Response, ConnectionError>> + use<R> {
        let version = self.version::<R>();
        let sent = version.and_then(|version| Ok((version, self.send(request, version)?)));
        self.receive::<R>(sent, limit)
    }

    /// Sends a request in a version that the caller knows to be right.
    pub fn call_at<R: Request>(
        &self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> impl Future<Output = Result<R::Response, ConnectionError>> + use<R> {
        let sent = self
            .send(request, version)
            .map(|receiver| (version, receiver));
        self.receive::<R>(sent, limit)
    }

    /// Sends a request that has no response (Produce with acks=0).
    pub fn send_only_at<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(), ConnectionError> {
        let correlation_id = self.link.correlation_id();
        self.queue(request, version, correlation_id)
    }

    /// The version in which `call` sends this request.
    pub fn version<R: Request>(&self) -> Result<i16, ConnectionError> {
        self.versions.common(R::KEY).ok_or_else(|| {
            let ours = R::KEY.valid_versions();
            ConnectionError::Unsupported {
                api: R::KEY,
                theirs: self.versions.range(R::KEY),
                ours: (*ours.start(), *ours.end()),
            }
        })
    }

    fn send<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<oneshot::Receiver<Result<Bytes, ConnectionError>>, ConnectionError> {
        let (sender, receiver) = oneshot::channel();
        let correlation_id = self.link.correlation_id();
        self.queue(request, version, correlation_id)?;
        self.link
            .waiting
            .borrow_mut()
            .insert(correlation_id, sender);
        Ok(receiver)
    }

    fn queue<R: Request>(
        &self,
        request: &R,
        version: i16,
        correlation_id: i32,
    ) -> Result<(), ConnectionError> {
        if let Some(error) = &*self.link.closed.borrow() {
            return Err(error.clone());
        }
        let client_id = Some(self.options.client_id.clone());
        let frame = frame::encode_request(R::KEY, version, correlation_id, client_id, request)
            .map_err(|source| ConnectionError::Unwritable {
                api: R::KEY,
                version,
                source,
            })?;
        self.link.outbox.borrow_mut().extend(frame.chunks);
        self.link.write.notify_one();
        Ok(())
    }

    fn receive<R: Request>(
        &self,
        sent: Result<(i16, oneshot::Receiver<Result<Bytes, ConnectionError>>), ConnectionError>,
        limit: Duration,
    ) -> impl Future<Output = Result<R::Response, ConnectionError>> + use<R> {
        let (net, link) = (self.net.clone(), self.link.clone());
        // A future that waits keeps the connection open, even if all handles are gone.
        let keep_open = self._last_one_closes.clone();
        async move {
            let _keep_open = keep_open;
            let (version, receiver) = sent?;
            let answered = timeout(&net, limit, receiver).await.map_err(|_| {
                let error = ConnectionError::TimedOut {
                    api: R::KEY,
                    waited: limit,
                };
                link.close(error.clone());
                error
            })?;
            let frame = answered.unwrap_or_else(|_| Err(link.reason()))?;
            let decoded = frame::decode_response::<R::Response>(R::KEY, version, frame);
            decoded.map(|(_, response)| response).map_err(|source| {
                let error = ConnectionError::Unreadable {
                    api: R::KEY,
                    version,
                    source,
                };
                link.close(error.clone());
                error
            })
        }
    }

    /// ApiVersions in our newest version; a broker that does not know it answers in version 0 and says which it knows (KIP-511).
    async fn negotiate(&self) -> Result<Versions, ConnectionError> {
        let newest = *ApiKey::ApiVersions.valid_versions().end();
        let first = self.ask_versions(newest).await?;
        if first.error_code != ErrorCode::UNSUPPORTED_VERSION {
            return accepted(&first);
        }
        let version = Versions::of(&first)
            .common(ApiKey::ApiVersions)
            .unwrap_or(0);
        accepted(&self.ask_versions(version).await?)
    }

    async fn ask_versions(&self, version: i16) -> Result<ApiVersionsResponse, ConnectionError> {
        let mut request = ApiVersionsRequest::default();
        if ApiKey::ApiVersions.is_flexible(version) {
            request.client_software_name = "ottla".into();
            request.client_software_version = env!("CARGO_PKG_VERSION").into();
        }
        let limit = self.options.request_timeout;
        let receiver = self.send(&request, version)?;
        let answered = timeout(&self.net, limit, receiver).await.map_err(|_| {
            let error = ConnectionError::TimedOut {
                api: ApiKey::ApiVersions,
                waited: limit,
            };
            self.link.close(error.clone());
            error
        })?;
        let bytes = answered.unwrap_or_else(|_| Err(self.link.reason()))?;
        read_versions(version, bytes).inspect_err(|error| self.link.close(error.clone()))
    }
}

/// Reads the answer in the version that was asked for or, as the answer to an unknown version, in version 0.
fn read_versions(version: i16, bytes: Bytes) -> Result<ApiVersionsResponse, ConnectionError> {
    let read = |version| {
        frame::decode_response::<ApiVersionsResponse>(ApiKey::ApiVersions, version, bytes.clone())
    };
    let as_zero = read(0).map(|(_, response)| response);
    match (read(version), as_zero) {
        (_, Ok(refused)) if refused.error_code == ErrorCode::UNSUPPORTED_VERSION => Ok(refused),
        (Ok((_, response)), _) => Ok(response),
        (Err(source), _) => Err(ConnectionError::Unreadable {
            api: ApiKey::ApiVersions,
            version,
            source,
        }),
    }
}

/// A peer that speaks plain text closes when it reads the handshake; it may also have died, so nothing is settled by it.
fn in_handshake(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let text =
            "it closed the connection in the TLS handshake; does that port speak plain text?";
        return io::Error::new(error.kind(), text);
    }
    error
}

fn accepted(response: &ApiVersionsResponse) -> Result<Versions, ConnectionError> {
    match response.error_code {
        ErrorCode::NONE => Ok(Versions::of(response)),
        error => Err(ConnectionError::Refused(error)),
    }
}

impl Link {
    fn correlation_id(&self) -> i32 {
        let id = self.next_correlation_id.get();
        self.next_correlation_id.set(id.wrapping_add(1) & i32::MAX);
        id
    }

    /// Ends everything, once; the first reason stays.
    fn close(&self, error: ConnectionError) {
        if self.closed.borrow().is_some() {
            return;
        }
        *self.closed.borrow_mut() = Some(error.clone());
        self.outbox.borrow_mut().clear();
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for sender in waiting.into_values() {
            // Whoever waited may be gone.
            let _ = sender.send(Err(error.clone()));
        }
        self.stop_writer.notify_one();
        self.stop_reader.notify_one();
    }

    fn reason(&self) -> ConnectionError {
        let closed = self.closed.borrow().clone();
        closed.unwrap_or(ConnectionError::Closed {
            reason: "it went away".to_owned(),
        })
    }

    /// An alert after the handshake is how TLSv1.3 refuses a client.
    fn broken(&self, error: &io::Error) {
        match tls::refusal(error) {
            Some(refusal) => self.close(ConnectionError::of_tls(
                "the other side".to_owned(),
                refusal,
            )),
            None => self.lost(error),
        }
    }

    fn lost(&self, reason: impl std::fmt::Display) {
        self.close(ConnectionError::Closed {
            reason: reason.to_string(),
        });
    }
}

async fn read_responses<S: Stream>(link: Rc<Link>, stream: ReadHalf<S>, bytes_max: usize) {
    let mut frames = FrameReader::new(stream, bytes_max);
    loop {
        let frame = tokio::select! {
            biased;
            () = link.stop_reader.notified() => return,
            frame = frames.next() => frame,
        };
        match frame {
            Ok(Some(frame)) => {
                if !deliver(&link, frame) {
                    return;
                }
            }
            Ok(None) => return link.lost("the broker closed it"),
            Err(error) => return link.broken(&error),
        }
    }
}

/// Hands a response to whoever waits for it. False if nobody asked: then the stream cannot be trusted any more.
fn deliver(link: &Link, frame: Bytes) -> bool {
    let Some(prefix) = frame.first_chunk::<4>() else {
        link.lost("a response without a correlation id");
        return false;
    };
    let correlation_id = i32::from_be_bytes(*prefix);
    let waiting = link.waiting.borrow_mut().remove(&correlation_id);
    match waiting {
        Some(sender) => {
            let _ = sender.send(Ok(frame));
            true
        }
        None => {
            link.lost(format!(
                "a response to request {correlation_id}, which was not made"
            ));
            false
        }
    }
}

async fn write_requests<S: Stream>(link: Rc<Link>, mut stream: WriteHalf<S>) {
    loop {
        let chunks = std::mem::take(&mut *link.outbox.borrow_mut());
        let step = async {
            if chunks.is_empty() {
                link.write.notified().await;
                return Ok(());
            }
            wire::write_all(&mut stream, chunks).await
        };
        let written = tokio::select! {
            biased;
            () = link.stop_writer.notified() => break,
            written = step => written,
        };
        if let Err(error) = written {
            link.lost(error);
            break;
        }
    }
    // Says goodbye if the peer still listens; whether it does changes nothing.
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests;
