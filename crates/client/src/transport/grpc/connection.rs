//! One HTTP/2 connection that carries calls.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::uri::{Authority, Scheme};
use tokio::sync::watch;

use super::head::Template;
use super::keep_alive::{self, OpenStreams};
use super::message::Assembler;
use super::meter::Metered;
use super::status::{self, Opening};
use super::stream::{H2Sink, H2Source};
use crate::config::{Endpoint, KeepAlive};
use crate::error::Cause;
use crate::task::{self, Either, Task, race};
use crate::transport::connector::{self, Established};
use crate::transport::traits::{Connection, Failure, Head};

/// How much of one answer may be on its way unread. Large enough that a single stream fills a 2 Gbit/s link at 8 ms.
const STREAM_WINDOW: u32 = 2 << 20;
/// The connection's window never limits: each stream's does, so that one that is not read can't hold up the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// h2 charges every unread DATA frame below 256 bytes to a budget of half the connection's window and kills the
/// connection when it is spent. Etcd's answers and watch events are that small, so the budget is set, not left to
/// follow from the window.
const SMALL_FRAME_BUDGET: usize = 64 << 20;
/// The largest frame to be received. h2's default of 16 KiB costs a long answer a hundred times the headers.
const FRAME: u32 = 1 << 20;
/// Response headers and trailers are short; a status text may be long.
const HEADERS: u32 = 64 << 10;
/// Payload that h2 holds for one stream before it asks to wait.
const SEND_BUFFER: usize = 4 << 20;
/// Answers up to this size are left for h2 to account for when the stream is dropped, which saves a lock each.
const RELEASED_ON_DROP: usize = 64 << 10;

/// A connection of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Connection {
    send: SendRequest<Bytes>,
    template: Template,
    receive_limit: usize,
    received: Arc<AtomicU64>,
    streams: OpenStreams,
    fate: watch::Sender<Option<Cause>>,
    driver: Task,
}

impl H2Connection {
    /// Starts HTTP/2 on an established stream. That the peer speaks it shows only once it answers.
    pub(super) async fn start(
        endpoint: &Endpoint,
        established: Established,
        receive_limit: usize,
        keep_alive: Option<KeepAlive>,
    ) -> Result<Self, Cause> {
        let authority = Authority::try_from(endpoint.authority()).map_err(|error| {
            Cause::Connect(format!("{:?} is no authority: {error}", endpoint.authority()))
        })?;
        let scheme = if established.encrypted { Scheme::HTTPS } else { Scheme::HTTP };
        let (stream, received) = Metered::new(established.stream);
        let (send, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(SMALL_FRAME_BUDGET)
            .max_frame_size(FRAME)
            .max_header_list_size(HEADERS)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|error| cause_of(&error))?;

        let (fate, _) = watch::channel(None);
        let report = fate.clone();
        let streams = OpenStreams::default();
        // Only for those who want pings: h2 then looks after them on every turn.
        let pings = keep_alive.and_then(|settings| Some((settings, connection.ping_pong()?)));
        let pinged = streams.clone();
        let driver = task::spawn(async move {
            let pinging = async {
                match pings {
                    Some((settings, pings)) => {
                        keep_alive::keep_alive(pings, pinged, settings).await
                    }
                    None => std::future::pending().await,
                }
            };
            let cause = match race(connection, pinging).await {
                Either::First(Ok(())) => {
                    Cause::Disconnected("the server closed the connection".into())
                }
                Either::First(Err(error)) => cause_of(&error),
                Either::Second(cause) => cause,
            };
            decide(&report, cause);
        });
        Ok(Self {
            send,
            template: Template::new(scheme, authority),
            receive_limit,
            received,
            streams,
            fate,
            driver,
        })
    }

    async fn begin(&self, head: &Head<'_>, message: Option<Bytes>) -> Result<Begun, Failure> {
        let mut send = self.send.clone();
        poll_fn(|cx| send.poll_ready(cx)).await.map_err(|error| self.not_sent(&error))?;
        let (response, mut body) = send
            .send_request(self.template.request(head), false)
            .map_err(|error| self.not_sent(&error))?;
        if let Some(message) = message {
            body.send_data(message, true).map_err(|error| self.failure(&error))?;
        }
        Ok(Begun { response, body })
    }

    /// Why the connection ended, if it was ended on purpose; what h2 says of it then is only the consequence.
    fn fate(&self) -> Option<Cause> {
        self.fate.borrow().clone()
    }

    fn not_sent(&self, error: &h2::Error) -> Failure {
        Failure::NotProcessed(self.fate().unwrap_or_else(|| cause_of(error)))
    }

    fn failure(&self, error: &h2::Error) -> Failure {
        failure_of(error, self.fate())
    }
}

/// The first cause of a connection's end is the one that counts.
fn decide(fate: &watch::Sender<Option<Cause>>, cause: Cause) {
    fate.send_if_modified(|fate| {
        let first = fate.is_none();
        fate.get_or_insert(cause);
        first
    });
}

struct Begun {
    response: ResponseFuture,
    body: h2::SendStream<Bytes>,
}

impl Connection for H2Connection {
    type Sink = H2Sink;
    type Source = H2Source;

    async fn unary(&self, head: Head<'_>, message: Bytes) -> Result<Bytes, Failure> {
        // The sending half stays alive until the answer is there: dropping it early resets the stream.
        let Begun { response, body: _sending } = self.begin(&head, Some(message)).await?;
        let (parts, mut body) = response.await.map_err(|error| self.failure(&error))?.into_parts();
        if status::check_response(parts.status, &parts.headers)? == Opening::Status {
            status::of_trailers(&parts.headers)?;
            return Err(unary_answers(0));
        }

        let mut assembler = Assembler::new(self.receive_limit);
        let mut answer: Option<Bytes> = None;
        let mut unreleased = 0;
        while let Some(payload) = poll_fn(|cx| body.poll_data(cx)).await {
            let payload = payload.map_err(|error| self.failure(&error))?;
            unreleased += payload.len();
            if unreleased > RELEASED_ON_DROP {
                body.flow_control()
                    .release_capacity(unreleased)
                    .map_err(|error| self.failure(&error))?;
                unreleased = 0;
            }
            assembler.push(payload);
            while let Some(message) = assembler.next().map_err(Failure::Unknown)? {
                if answer.replace(message).is_some() {
                    return Err(unary_answers(2));
                }
            }
        }
        match poll_fn(|cx| body.poll_trailers(cx)).await {
            Ok(Some(trailers)) => status::of_trailers(&trailers)?,
            Ok(None) => return Err(status::missing()),
            Err(error) => return Err(self.failure(&error)),
        }
        match answer {
            Some(answer) if assembler.held() == 0 => Ok(answer),
            Some(_) => Err(truncated()),
            None if assembler.held() > 0 => Err(truncated()),
            None => Err(unary_answers(0)),
        }
    }

    async fn open(&self, head: Head<'_>) -> Result<(H2Sink, H2Source), Failure> {
        let Begun { response, body } = self.begin(&head, None).await?;
        let fate = self.fate.subscribe();
        let open = self.streams.open();
        Ok((
            H2Sink::new(body, fate.clone()),
            H2Source::new(response, self.receive_limit, fate, open),
        ))
    }

    fn capacity(&self) -> usize {
        self.send.current_max_send_streams()
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    async fn closed(&self) -> Cause {
        let mut fate = self.fate.subscribe();
        match fate.wait_for(Option::is_some).await {
            Ok(fate) => fate.clone().unwrap_or(Cause::Frozen),
            Err(_) => Cause::Disconnected("its task ended".into()),
        }
    }

    fn shut_down(&self, cause: Cause) {
        decide(&self.fate, cause);
        self.driver.abort();
    }
}

/// The server promised one message and sent another number of them.
fn unary_answers(number: usize) -> Failure {
    let what = if number == 0 { "no message" } else { "more than one message" };
    Failure::Unknown(Cause::Protocol(format!("the server answered a unary call with {what}")))
}

pub(super) fn truncated() -> Failure {
    Failure::Unknown(Cause::Protocol("the answer ends in the middle of a message".into()))
}

/// What an h2 error says about the request it hit.
///
/// A stream that fails by the server's own GOAWAY lies beyond the last one that the server will look at (RFC 9113 §6.8;
/// h2 fails no other stream with it), and REFUSED_STREAM means the same (§8.7). All else leaves the outcome unknown.
pub(super) fn failure_of(error: &h2::Error, fate: Option<Cause>) -> Failure {
    let refused = error.is_remote()
        && (error.is_go_away()
            || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)));
    if refused {
        return Failure::NotProcessed(cause_of(error));
    }
    Failure::Unknown(fate.unwrap_or_else(|| cause_of(error)))
}

fn cause_of(error: &h2::Error) -> Cause {
    let reason = error.reason();
    if error.is_remote() && error.is_go_away() {
        return Cause::Refused(format!("the server is going away ({error})"));
    }
    if error.is_remote() && error.is_reset() {
        if reason == Some(Reason::REFUSED_STREAM) {
            return Cause::Refused("the server refused the stream".into());
        }
        return Cause::Reset(format!("by the server ({error})"));
    }
    if let Some(io) = error.get_io() {
        return connector::cause_of(io);
    }
    if error.is_library() && error.is_reset() {
        return Cause::Protocol(format!(
            "the answer breaks HTTP/2, or its headers have more than {HEADERS} bytes ({error})"
        ));
    }
    if error.is_library() && error.is_go_away() {
        return Cause::Protocol(format!("the server broke HTTP/2 ({error})"));
    }
    Cause::Protocol(format!("HTTP/2: {error}"))
}
