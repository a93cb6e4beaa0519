//! Whole frames: length, header, body. Not here: reading a frame off a socket (the length is the
//! reader's business: it bounds the buffer before the first byte is believed).

use bytes::Bytes;

use crate::header::{RequestHeader, ResponseHeader};
use crate::{ApiKey, DecodeError, EncodeError, Frame, Message, Reader, Request, Str, Writer};

/// A request with its header and length.
///
/// Errors: the version is not the request's, or cannot carry its fields.
pub fn encode_request<R: Request>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<Str>,
    request: &R,
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        request_api_key: key as i16,
        request_api_version: version,
        correlation_id,
        client_id,
        ..RequestHeader::default()
    };
    encode(
        &header,
        key.request_header_version(version),
        request,
        version,
    )
}

/// A response with its header and length.
///
/// Errors: the version is not the response's, or cannot carry its fields.
pub fn encode_response<M: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Frame, EncodeError> {
    let header = ResponseHeader {
        correlation_id,
        ..ResponseHeader::default()
    };
    encode(
        &header,
        key.response_header_version(version),
        response,
        version,
    )
}

fn encode<H: Message, B: Message>(
    header: &H,
    header_version: i16,
    body: &B,
    version: i16,
) -> Result<Frame, EncodeError> {
    let mut writer = Writer::new();
    writer.i32(0);
    header.encode(&mut writer, header_version)?;
    body.encode(&mut writer, version)?;
    writer.finish_prefixed()
}

/// Reads the header of a request whose key and version are served; `frame` is without its length.
/// The reader stands at the body afterwards. For a key that does not exist, or a version of which
/// nothing is known, see `request_prefix`: its header cannot be read as a whole.
pub fn decode_request_header(
    reader: &mut Reader,
    key: ApiKey,
    version: i16,
) -> Result<RequestHeader, DecodeError> {
    RequestHeader::decode(reader, key.request_header_version(version))
}

/// Key number, version and correlation id: the first eight bytes, the same in every request ever.
pub fn request_prefix(frame: &Bytes) -> Result<(i16, i16, i32), DecodeError> {
    let mut reader = Reader::new(frame.clone());
    Ok((reader.i16()?, reader.i16()?, reader.i32()?))
}

/// Reads a whole response to a request of this key and version; `frame` is without its length.
/// Gives the correlation id too. Errors: also `TrailingBytes`.
pub fn decode_response<M: Message>(
    key: ApiKey,
    version: i16,
    frame: Bytes,
) -> Result<(i32, M), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, key.response_header_version(version))?;
    let response = M::decode(&mut reader, version)?;
    reader.expect_end()?;
    Ok((header.correlation_id, response))
}

#[cfg(test)]
mod tests;
