//! A connection against a scripted broker at the other end of an in-memory pipe.

use super::{Connection, ConnectionError, ConnectionOptions};
use crate::tcp;
use bytes::Bytes;
use ottla_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::messages::vote_request::VoteRequest;
use ottla_protocol::{ApiKey, ErrorCode, Message, Request, frame};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

struct Peer(DuplexStream);

impl Peer {
    /// The next request: key, version, correlation id.
    async fn request(&mut self) -> (i16, i16, i32) {
        let len = self.0.read_i32().await.unwrap();
        let mut body = vec![0; len as usize];
        self.0.read_exact(&mut body).await.unwrap();
        frame::request_prefix(&Bytes::from(body)).unwrap()
    }

    async fn answer<M: Message>(&mut self, key: ApiKey, version: i16, id: i32, response: &M) {
        let bytes = frame::encode_response(key, version, id, response)
            .unwrap()
            .into_bytes();
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn answer_versions(&mut self) {
        let (key, version, id) = self.request().await;
        assert_eq!(key, ApiKey::ApiVersions as i16);
        self.answer(ApiKey::ApiVersions, version, id, &versions(4))
            .await;
    }
}

fn versions(heartbeat_max: i16) -> ApiVersionsResponse {
    let api = |api: ApiKey, max_version| ApiVersion {
        api_key: api as i16,
        min_version: 0,
        max_version,
        ..Default::default()
    };
    ApiVersionsResponse {
        api_keys: vec![
            api(ApiKey::Heartbeat, heartbeat_max),
            api(ApiKey::ApiVersions, 3),
        ],
        ..Default::default()
    }
}

fn pipe() -> (DuplexStream, Peer) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    (ours, Peer(theirs))
}

fn heartbeat(generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        generation_id,
        ..Default::default()
    }
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(crate::net::NetRef) -> F) {
    tcp::run(test).unwrap();
}

#[test]
fn responses_find_their_requests_in_any_order() {
    run(|net| async move {
        let (ours, mut peer) = pipe();
        let server = async {
            peer.answer_versions().await;
            let (_, version, first) = peer.request().await;
            let (_, _, second) = peer.request().await;
            assert_eq!(version, HeartbeatRequest::VERSIONS.1);
            for (id, error_code) in [(second, ErrorCode(2)), (first, ErrorCode(1))] {
                let response = HeartbeatResponse {
                    error_code,
                    ..Default::default()
                };
                peer.answer(ApiKey::Heartbeat, version, id, &response).await;
            }
        };
        let client = async {
            let connection = Connection::open(&net, ours, ConnectionOptions::default())
                .await
                .unwrap();
            let (first, second) = (
                connection.call(&heartbeat(1)),
                connection.call(&heartbeat(2)),
            );
            let (first, second) = tokio::join!(first, second);
            assert_eq!(first.unwrap().error_code, ErrorCode(1));
            assert_eq!(second.unwrap().error_code, ErrorCode(2));
        };
        tokio::join!(server, client);
    });
}

#[test]
fn an_older_broker_is_asked_again_in_its_own_version() {
    run(|net| async move {
        let (ours, mut peer) = pipe();
        let server = async {
            let (_, version, id) = peer.request().await;
            assert_eq!(version, 4);
            let refusal = ApiVersionsResponse {
                error_code: ErrorCode::UNSUPPORTED_VERSION,
                ..versions(1)
            };
            peer.answer(ApiKey::ApiVersions, 0, id, &refusal).await;
            let (_, version, id) = peer.request().await;
            assert_eq!(version, 3);
            peer.answer(ApiKey::ApiVersions, 3, id, &versions(1)).await;
        };
        let client = async {
            let connection = Connection::open(&net, ours, ConnectionOptions::default())
                .await
                .unwrap();
            assert_eq!(connection.version::<HeartbeatRequest>(), Ok(1));
            let missing = connection.call(&VoteRequest::default()).await.unwrap_err();
            assert_eq!(
                missing.to_string(),
                "Vote is not spoken by both sides (theirs: none, ours: 0..2)"
            );
        };
        tokio::join!(server, client);
    });
}

#[test]
fn the_end_of_the_stream_fails_all_who_wait() {
    run(|net| async move {
        let (ours, mut peer) = pipe();
        let server = async {
            peer.answer_versions().await;
            peer.request().await;
            drop(peer);
        };
        let client = async {
            let connection = Connection::open(&net, ours, ConnectionOptions::default())
                .await
                .unwrap();
            let error = connection.call(&heartbeat(1)).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "the connection was closed: the broker closed it"
            );
            assert!(connection.is_closed());
            assert_eq!(connection.call(&heartbeat(2)).await.unwrap_err(), error);
        };
        tokio::join!(server, client);
    });
}

#[test]
fn a_request_without_an_answer_ends_the_connection() {
    run(|net| async move {
        let (ours, mut peer) = pipe();
        let server = async {
            peer.answer_versions().await;
            peer.request().await;
            // The stream ends because the client closes it.
            assert_eq!(peer.0.read(&mut [0; 1]).await.unwrap(), 0);
        };
        let client = async {
            let connection = Connection::open(&net, ours, ConnectionOptions::default())
                .await
                .unwrap();
            let call = connection.call_within(&heartbeat(1), Duration::from_millis(10));
            let waited = Duration::from_millis(10);
            assert_eq!(
                call.await.unwrap_err(),
                ConnectionError::TimedOut {
                    api: ApiKey::Heartbeat,
                    waited
                }
            );
            assert!(connection.is_closed());
        };
        tokio::join!(server, client);
    });
}

#[test]
fn responses_that_make_no_sense_end_the_connection() {
    for garbage in [
        &[0xff, 0xff, 0xff, 0xff][..],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 2, 1, 2],
        &[0, 0, 0, 4, 0, 0, 0, 99],
        // The right correlation id, and nothing behind it.
        &[0, 0, 0, 4, 0, 0, 0, 1],
    ] {
        run(|net| async move {
            let (ours, mut peer) = pipe();
            let server = async {
                peer.answer_versions().await;
                peer.request().await;
                peer.0.write_all(garbage).await.unwrap();
                assert_eq!(peer.0.read(&mut [0; 1]).await.unwrap(), 0);
            };
            let client = async {
                let connection = Connection::open(&net, ours, ConnectionOptions::default())
                    .await
                    .unwrap();
                connection.call(&heartbeat(1)).await.unwrap_err();
                assert!(connection.is_closed());
            };
            tokio::join!(server, client);
        });
    }
}

#[test]
fn the_last_handle_closes_the_connection() {
    run(|net| async move {
        let (ours, mut peer) = pipe();
        let server = async {
            peer.answer_versions().await;
            assert_eq!(peer.0.read(&mut [0; 1]).await.unwrap(), 0);
        };
        let client = async {
            drop(
                Connection::open(&net, ours, ConnectionOptions::default())
                    .await
                    .unwrap(),
            );
        };
        tokio::join!(server, client);
    });
}

#[test]
fn a_port_where_nobody_listens_is_said() {
    run(|net| async move {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = Connection::connect(&net, "127.0.0.1", port, ConnectionOptions::default())
            .await
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")),
            "{error}"
        );
    });
}
