//! One client connection: bytes in, requests started, responses out in the order of their requests.
//!
//! ```text
//!             bytes                    frame                     future
//!  socket ──────────▶ read buffer ───────────▶ dispatch::start ─────────▶ in flight (FIFO)
//!  socket ◀────────── outgoing chunks ◀──────────────────────────────────────┘ front is done
//! ```
//! Invariants: responses leave in request order; a request starts only when every earlier one is
//! done, except that Produce requests may follow each other (their appends are ordered by the
//! partition owner's mailbox, so one group commit can carry several). Back-pressure is not reading:
//! with a full pipeline or unsent responses the socket's buffer fills up, not ours. The read buffer
//! grows with the bytes received, never by a declared length. Not here: what requests mean.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_protocol::Frame;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::dispatch::{self, DispatchError, Stage};
use super::{ConnectionInfo, Services, Transport};
use crate::rt::{Instant, LocalFuture, Stream, sleep};

/// Read at least this much at once: two default producer batches and their headers.
const READ_CHUNK_BYTES: usize = 40 * 1024;
/// Produce requests in flight on one connection. The Java client allows five, librdkafka up to a
/// million; more than this only moves the queue from the socket into our memory.
const PIPELINE_MAX: usize = 64;
/// Slices per vectored write; the kernel takes up to 1,024.
const WRITE_SLICES_MAX: usize = 64;

/// Why a connection ended other than by its peer closing it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    /// A frame announces more bytes than `socket.request.max.bytes`.
    #[error(
        "frame of {declared} bytes exceeds socket.request.max.bytes={limit}; {}", other_protocol(*.declared)
    )]
    FrameTooLarge {
        /// The length that the frame announces.
        declared: i64,
        /// The configured limit.
        limit: usize,
    },
    /// A frame cannot be understood as a request.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// Nothing came for `connections.max.idle.ms`.
    #[error("idle for {0:?}")]
    Idle(Duration),
}

/// What the first four bytes look like. A TLS record of a handshake begins with 22, 3 and a minor version.
fn other_protocol(declared: i64) -> &'static str {
    if declared >> 16 == 0x1603 {
        "the peer begins a TLS handshake, and this listener speaks PLAINTEXT: its security.protocol must be PLAINTEXT, or the listener's SSL in listener.security.protocol.map"
    } else {
        "is the peer speaking another protocol?"
    }
}

/// Serves `stream` until the peer closes it or an error ends it.
pub async fn serve(
    stream: Box<dyn Stream>,
    info: Rc<ConnectionInfo>,
    services: Rc<Services>,
) -> Result<(), ConnectionError> {
    let mut connection = Connection {
        idle_timer: None,
        last_activity: services.rt.now(),
        stream,
        info,
        services,
        received: BytesMut::new(),
        in_flight: VecDeque::new(),
        outgoing: VecDeque::new(),
        unflushed: false,
    };
    let ended = connection.run().await;
    if connection.info.transport == Transport::Tls {
        connection.say_goodbye().await;
    }
    ended
}

struct Connection {
    stream: Box<dyn Stream>,
    info: Rc<ConnectionInfo>,
    services: Rc<Services>,
    received: BytesMut,
    in_flight: VecDeque<InFlight>,
    outgoing: VecDeque<Bytes>,
    /// TLS has taken bytes that the socket may not have yet. Never on a plain socket.
    unflushed: bool,
    last_activity: Instant,
    idle_timer: Option<LocalFuture<'static, ()>>,
}

struct InFlight {
    stage: Stage,
    api_key: i16,
    /// When the last byte of it had come, or of what came with it.
    received_at: Instant,
    answer: LocalFuture<'static, dispatch::Answer>,
    done: Option<dispatch::Answer>,
}

enum Event {
    Received,
    PeerClosed,
    Answered(Option<Frame>),
    CloseUnanswered,
    Sent,
    IdleCheck,
}

impl Connection {
    async fn run(&mut self) -> Result<(), ConnectionError> {
        loop {
            match poll_fn(|cx| self.poll_event(cx)).await? {
                Event::PeerClosed => return Ok(()),
                Event::Received => self.last_activity = self.services.rt.now(),
                Event::Answered(None) | Event::Sent => {}
                Event::Answered(Some(frame)) => self.outgoing.extend(frame.chunks),
                Event::CloseUnanswered => return Ok(()),
                Event::IdleCheck => self.check_idle()?,
            }
            self.start_requests()?;
        }
    }

    /// TLS ends with a word (close_notify), so that the peer can tell an end from a cut; said once if the socket
    /// takes it, waited for never.
    async fn say_goodbye(&mut self) {
        poll_fn(|cx| {
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Whatever happens first; answers before writes before reads, so that memory drains first.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, ConnectionError>> {
        if let Poll::Ready(answer) = self.poll_front(cx) {
            return Poll::Ready(Ok(match answer {
                dispatch::Answer::Frame(frame) => Event::Answered(Some(frame)),
                dispatch::Answer::Nothing => Event::Answered(None),
                dispatch::Answer::Close => Event::CloseUnanswered,
            }));
        }
        if !self.outgoing.is_empty() {
            ready!(self.poll_send(cx))?;
            return Poll::Ready(Ok(Event::Sent));
        }
        // Reading goes on while a flush waits: the peer may have to be heard before it takes more.
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        if self.in_flight.len() < PIPELINE_MAX
            && let Poll::Ready(count) = self.poll_receive(cx)?
        {
            return Poll::Ready(Ok(if count == 0 {
                Event::PeerClosed
            } else {
                Event::Received
            }));
        }
        ready!(self.poll_idle_timer(cx));
        Poll::Ready(Ok(Event::IdleCheck))
    }

    /// Polls every request in flight, since each may be waiting for something else, and yields the
    /// first one's answer once it is there.
    fn poll_front(&mut self, cx: &mut Context<'_>) -> Poll<dispatch::Answer> {
        for request in &mut self.in_flight {
            if request.done.is_none()
                && let Poll::Ready(answer) = request.answer.as_mut().poll(cx)
            {
                request.done = Some(answer);
            }
        }
        match self
            .in_flight
            .front_mut()
            .and_then(|request| request.done.take())
        {
            Some(answer) => {
                if let Some(request) = self.in_flight.pop_front() {
                    let took = self.services.rt.now() - request.received_at;
                    let meters = &self.services.meters;
                    meters.answered(request.api_key, answer.size(), took);
                }
                Poll::Ready(answer)
            }
            None => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.outgoing) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        let mut sent =
            ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = self.info.transport == Transport::Tls;
        while let Some(chunk) = self.outgoing.front_mut() {
            if chunk.len() > sent {
                chunk.advance(sent);
                break;
            }
            sent -= chunk.len();
            self.outgoing.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.received.reserve(READ_CHUNK_BYTES);
        let count = ready!(pin!(self.stream.read_buf(&mut self.received)).poll(cx))?;
        Poll::Ready(Ok(count))
    }

    /// Starts every request that is complete in the buffer and may start now.
    fn start_requests(&mut self) -> Result<(), ConnectionError> {
        while self.in_flight.len() < PIPELINE_MAX && self.outgoing.len() < WRITE_SLICES_MAX {
            let Some(length) = self.complete_frame()? else {
                return Ok(());
            };
            let stage = dispatch::stage_of(&self.received[4..]);
            let may_follow = self
                .in_flight
                .iter()
                .all(|earlier| earlier.stage == Stage::Pipelined && stage == Stage::Pipelined);
            if !may_follow {
                return Ok(());
            }
            let frame = self.received.split_to(4 + length).freeze().slice(4..);
            let api_key = dispatch::api_key_of(&frame);
            let answer = dispatch::start(frame, &self.info, &self.services)?;
            self.services.meters.started(api_key, 4 + length);
            self.in_flight.push_back(InFlight {
                stage,
                api_key,
                received_at: self.last_activity,
                answer,
                done: None,
            });
            // Polled at once, so that its first step (for Produce: the append) happens in order.
            if self.poll_new_request() {
                continue;
            }
        }
        Ok(())
    }

    /// Gives the newest request its first turn without registering a waker: `poll_event` polls it
    /// again with one before the connection sleeps.
    fn poll_new_request(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Some(request) = self.in_flight.back_mut()
            && let Poll::Ready(answer) = request.answer.as_mut().poll(&mut cx)
        {
            request.done = Some(answer);
            return true;
        }
        false
    }

    /// The length of the frame at the front of the buffer if all of it is there.
    fn complete_frame(&self) -> Result<Option<usize>, ConnectionError> {
        let Some(prefix) = self.received.first_chunk::<4>() else {
            return Ok(None);
        };
        let declared = i32::from_be_bytes(*prefix);
        let limit = self.services.config.request_bytes_max;
        let length = usize::try_from(declared)
            .ok()
            .filter(|length| *length <= limit)
            .ok_or(ConnectionError::FrameTooLarge {
                declared: i64::from(declared),
                limit,
            })?;
        Ok((self.received.len() >= 4 + length).then_some(length))
    }

    fn poll_idle_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (rt, idle_max) = (&self.services.rt, self.services.config.idle_max);
        let timer = self.idle_timer.get_or_insert_with(|| sleep(rt, idle_max));
        ready!(timer.as_mut().poll(cx));
        self.idle_timer = None;
        Poll::Ready(())
    }

    fn check_idle(&self) -> Result<(), ConnectionError> {
        let idle_max = self.services.config.idle_max;
        let idle = self.services.rt.now() - self.last_activity;
        if idle >= idle_max && self.in_flight.is_empty() {
            return Err(ConnectionError::Idle(idle_max));
        }
        Ok(())
    }
}
