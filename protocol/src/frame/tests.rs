//! Frames, byte by byte.

use super::*;
use crate::ErrorCode;
use crate::messages::api_versions_request::ApiVersionsRequest;
use crate::messages::api_versions_response::ApiVersionsResponse;
use crate::messages::heartbeat_response::HeartbeatResponse;

#[test]
fn a_request_has_length_header_and_body() {
    let request = ApiVersionsRequest {
        client_software_name: "ottla".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let frame = encode_request(ApiKey::ApiVersions, 3, 7, Some("me".into()), &request)
        .unwrap()
        .into_bytes();
    assert_eq!(
        frame,
        b"\x00\x00\x00\x16\x00\x12\x00\x03\x00\x00\x00\x07\x00\x02me\x00\x06ottla\x021\x00"[..]
    );
    let body = frame.slice(4..);
    assert_eq!(request_prefix(&body), Ok((18, 3, 7)));
    let mut reader = Reader::new(body);
    let header = decode_request_header(&mut reader, ApiKey::ApiVersions, 3).unwrap();
    assert_eq!(
        (header.correlation_id, header.client_id),
        (7, Some("me".into()))
    );
    assert_eq!(ApiVersionsRequest::decode(&mut reader, 3), Ok(request));
    assert_eq!(reader.expect_end(), Ok(()));
}

#[test]
fn response_headers_follow_the_key() {
    // ApiVersions keeps the old header even where its body is flexible.
    let versions = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        ..Default::default()
    };
    let frame = encode_response(ApiKey::ApiVersions, 3, 9, &versions)
        .unwrap()
        .into_bytes();
    assert_eq!(frame[..10], [0, 0, 0, 12, 0, 0, 0, 9, 0, 35]);
    assert_eq!(
        decode_response(ApiKey::ApiVersions, 3, frame.slice(4..)),
        Ok((9, versions))
    );
    let heartbeat = HeartbeatResponse::default();
    let frame = encode_response(ApiKey::Heartbeat, 4, 9, &heartbeat)
        .unwrap()
        .into_bytes();
    assert_eq!(
        frame[..9],
        [0, 0, 0, 12, 0, 0, 0, 9, 0],
        "correlation id, then no tags"
    );
    assert_eq!(
        decode_response(ApiKey::Heartbeat, 4, frame.slice(4..)),
        Ok((9, heartbeat))
    );
    let longer = [&frame[4..], &[0]].concat();
    let read = decode_response::<HeartbeatResponse>(ApiKey::Heartbeat, 4, longer.into());
    assert_eq!(read, Err(DecodeError::TrailingBytes(1)));
}
