//! Frames on a byte stream: length prefix, then that many bytes. Knows nothing of what is in them.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFIX_LEN: usize = 4;
/// One read takes at least this much; a declared length beyond it is believed only as the bytes arrive.
const READ_LEN: usize = 64 * 1024;
/// Chunks per write; Linux takes up to 1024, but more than this gains nothing.
const WRITE_CHUNKS_MAX: usize = 64;

/// Reads frames. One buffer: a frame is a slice of what was read, not a copy.
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, frame_bytes_max: usize) -> FrameReader<R> {
        FrameReader {
            stream,
            buffer: BytesMut::new(),
            frame_bytes_max,
        }
    }

    /// The next frame, without its length; `None` at an orderly end between two frames.
    /// Errors: of the stream; a negative or too large length; an end inside of a frame. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let missing = match self.take_frame()? {
                Ok(frame) => return Ok(Some(frame)),
                Err(missing) => missing,
            };
            self.buffer.reserve(missing.min(READ_LEN));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "ends inside of a frame",
                ));
            }
        }
    }

    /// The first frame of the buffer, or how many bytes are missing at least.
    fn take_frame(&mut self) -> io::Result<Result<Bytes, usize>> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_LEN>() else {
            return Ok(Err(READ_LEN));
        };
        let declared = i32::from_be_bytes(*prefix);
        let frame_len = usize::try_from(declared)
            .ok()
            .filter(|len| *len <= self.frame_bytes_max);
        let Some(frame_len) = frame_len else {
            // An alert of TLS, which cannot read our request either, begins with 21 and 3.
            let hint = if declared >> 16 == 0x1503 {
                "; that port speaks TLS: security.protocol=SSL is needed"
            } else {
                ""
            };
            let text = format!(
                "a frame of {declared} bytes; at most {} are accepted{hint}",
                self.frame_bytes_max
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        };
        let have = self.buffer.len() - PREFIX_LEN;
        if have < frame_len {
            return Ok(Err((frame_len - have).max(READ_LEN)));
        }
        self.buffer.advance(PREFIX_LEN);
        Ok(Ok(self.buffer.split_to(frame_len).freeze()))
    }
}

/// Writes all chunks, many at a time, and flushes.
pub(crate) async fn write_all<W: AsyncWrite + Unpin>(
    stream: &mut W,
    mut chunks: VecDeque<Bytes>,
) -> io::Result<()> {
    while !chunks.is_empty() {
        let slices: Vec<IoSlice<'_>> = chunks
            .iter()
            .take(WRITE_CHUNKS_MAX)
            .map(|chunk| IoSlice::new(chunk))
            .collect();
        let mut written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(chunk) = chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                break;
            }
            written -= chunk.len();
            chunks.pop_front();
        }
    }
    stream.flush().await
}
