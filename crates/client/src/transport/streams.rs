//! Streams of answers, opened with the same care as a call.
//!
//! Opening counts as done when the first message is there: until then a failure is retried like that of a read. After
//! it, a failure is the stream's last item, and what to do about it is for whoever reads the stream.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::WireMessage;
use etcdkit_proto::method::{Method, MethodInfo};
use tracing::Instrument;

use super::attempt::Attempting;
use super::call::{self, Call};
use super::channel::Channel;
use super::link::{self, Link};
use super::liveness::Waiting;
use super::pool::{Pool, PoolRef};
use super::traits::{Connection, Failure, Head, Sink, Source, Transport};
use crate::clock::{self, Instant};
use crate::config::Endpoint;
use crate::error::{Attempt, Cause, Error, ErrorKind, Result};
use crate::service::CallOptions;
use crate::telemetry;

type SourceOf<T> = <<T as Transport>::Connection as Connection>::Source;
type SinkOf<T> = <<T as Transport>::Connection as Connection>::Sink;

/// The messages of a server's stream.
pub(crate) struct Messages<T: Transport, Res> {
    source: SourceOf<T>,
    /// The first message, read while opening; `None` inside if the stream had none.
    first: Option<Option<Bytes>>,
    link: Arc<Link<T::Connection>>,
    /// Keeps the connections up as long as the stream is read.
    channel: Channel<T>,
    rpc: &'static str,
    /// How long it may be silent; `None` if its messages wait for somebody else.
    idle: Option<Duration>,
    /// When it has to be over.
    deadline: Option<Instant>,
    waiting: Waiting,
    /// The connections to an endpoint by name, which must not go while the stream is read.
    _visited: Option<Arc<Pool<T>>>,
    /// Until it is over.
    observed: Option<telemetry::Rpc>,
    _response: PhantomData<fn() -> Res>,
}

/// Sends the one request and waits for the first answer.
struct FirstAnswer {
    message: Bytes,
    waiting: Waiting,
    /// Since when it is for this client and the members to get on; `None` while a member that has been asked waits for
    /// somebody else.
    since: Mutex<Option<Instant>>,
}

impl FirstAnswer {
    fn new(message: Bytes, waiting: Waiting) -> Self {
        Self { message, waiting, since: Mutex::new(Some(clock::now())) }
    }

    /// When it comes too late, as far as is known now.
    fn late_at(&self, idle: Duration) -> Instant {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.unwrap_or_else(clock::now) + idle
    }

    /// Notes that a member has been asked, or is not any more.
    fn note(&self, asked: bool) {
        if self.waiting == Waiting::ForOthers {
            let since = (!asked).then(clock::now);
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        }
    }
}

impl<T: Transport> Attempting<T> for FirstAnswer {
    type Output = (SourceOf<T>, Option<Bytes>);

    async fn attempt(
        &self,
        link: &Link<T::Connection>,
        head: Head<'_>,
    ) -> Result<Self::Output, Failure> {
        let (mut sink, mut source) = link.connection.open(head).await?;
        // A refusal shows in the answer, which says more than the failed send.
        let sent = match sink.send(self.message.clone()).await {
            Ok(()) => sink.finish(),
            Err(failure) => Err(failure),
        };
        self.note(true);
        let first = source.next().await;
        self.note(false);
        let first = first?;
        sent?;
        Ok((source, first))
    }
}

impl<T: Transport> Channel<T> {
    /// Opens a stream that answers one request.
    pub(crate) async fn server_stream<Req: WireMessage, Res: WireMessage>(
        &self,
        _method: Method<Req, Res>,
        request: &Req,
        call: &Call<'_, T>,
    ) -> Result<Messages<T, Res>> {
        let message = self.frame(request, call)?;
        let observed = telemetry::Rpc::begin(&call.method);
        observed.sent(1);
        let waiting = call.waiting();
        let first_answer = FirstAnswer::new(message, waiting);
        // Boxed: opening is rare, and the future large.
        let mut opening =
            Box::pin(self.attempts(call, &first_answer).instrument(observed.span().clone()));
        let late_at = || first_answer.late_at(self.stream_idle());
        let opened = loop {
            match clock::until(Some(late_at()), opening.as_mut()).await {
                Some(opened) => break opened,
                None if clock::now() < late_at() => {}
                None => {
                    break Err(Error::new(
                        ErrorKind::Timeout,
                        "the stream had no first answer in time",
                    )
                    .with_rpc(call.method.path)
                    .with_attempts(call.pool.failures()));
                }
            }
        };
        let ((source, first), link) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                observed.end(Some(&error));
                return Err(error);
            }
        };
        observed.served_by(&link.endpoint);
        Ok(Messages {
            observed: Some(observed),
            source,
            first: Some(first),
            link,
            channel: self.clone(),
            rpc: call.method.path,
            idle: (waiting == Waiting::ForMember).then(|| self.stream_idle()),
            deadline: call.deadline,
            waiting,
            _visited: None,
            _response: PhantomData,
        })
    }
}

impl<T: Transport, Res: WireMessage> Messages<T, Res> {
    /// Keeps the connections of `pool` up as long as the stream is read, even if it is an endpoint's that nobody calls
    /// by name any more.
    pub(crate) fn on(mut self, pool: &PoolRef<'_, T>) -> Self {
        self._visited = pool.visited();
        self
    }

    /// The next message; `None` when the server has ended the stream.
    ///
    /// # Errors
    ///
    /// The stream failed, or nothing came for longer than it may be idle.
    pub(crate) async fn next(&mut self) -> Result<Option<Res>> {
        let next = self.step().await;
        match &next {
            Ok(Some(_)) => {
                if let Some(observed) = &self.observed {
                    observed.received();
                }
            }
            Ok(None) => self.ended(None),
            Err(error) => self.ended(Some(error)),
        }
        next
    }

    /// It has said what was wanted of it: to drop it is no cancellation.
    pub(crate) fn enough(mut self) {
        self.ended(None);
    }

    fn ended(&mut self, error: Option<&Error>) {
        if let Some(observed) = self.observed.take() {
            observed.end(error);
        }
    }

    async fn step(&mut self) -> Result<Option<Res>> {
        let message = match self.first.take() {
            Some(first) => first,
            None => {
                let now = clock::now();
                let idle = self.idle.and_then(|idle| now.checked_add(idle));
                let until = [idle, self.deadline].into_iter().flatten().min();
                let outstanding = self.link.liveness.begin(self.waiting, now);
                let next = clock::until(until, self.source.next()).await;
                drop(outstanding);
                let next = next.unwrap_or(Err(Failure::Unknown(Cause::Deadline)));
                if matches!(next, Ok(_) | Err(Failure::Status(_))) {
                    self.link.liveness.answered(clock::now());
                }
                next.map_err(|failure| self.error(failure))?
            }
        };
        let Some(message) = message else { return Ok(None) };
        Res::decode(message).map(Some).map_err(|error| {
            Error::internal("an item of the stream can't be decoded")
                .with_source(error)
                .with_rpc(self.rpc)
        })
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| clock::now() >= deadline)
    }

    fn error(&self, failure: Failure) -> Error {
        if self.channel.is_closed() {
            return Error::closed().with_rpc(self.rpc);
        }
        if self.is_late() && !matches!(failure, Failure::Status(_)) {
            // The server knows the deadline too, and resets the stream of a slow reader then.
            return Error::new(ErrorKind::Timeout, "the stream's deadline passed")
                .with_rpc(self.rpc);
        }
        broken_off(failure, self.link.endpoint.name()).with_rpc(self.rpc)
    }
}

/// Opens a stream, and leaves the talking to whoever asked for it.
struct Opening;

impl<T: Transport> Attempting<T> for Opening {
    type Output = (SinkOf<T>, SourceOf<T>);

    fn attempt(
        &self,
        link: &Link<T::Connection>,
        head: Head<'_>,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send {
        link.connection.open(head)
    }
}

/// A stream in both directions, on a connection that carries nothing but such streams.
pub(crate) struct Duplex<T: Transport> {
    pub(crate) sink: SinkOf<T>,
    pub(crate) source: SourceOf<T>,
    pub(super) link: Arc<Link<T::Connection>>,
    /// Which token it was opened with: what to renew if the server refuses it.
    pub(crate) token: u64,
    observed: telemetry::Rpc,
}

impl<T: Transport> Duplex<T> {
    /// The endpoint of the member that it goes to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.link.endpoint
    }

    /// The two halves, the member, and what is to be told of messages and of the end.
    pub(crate) fn split(self) -> (SinkOf<T>, SourceOf<T>, Peer<T>, telemetry::Rpc) {
        (self.sink, self.source, Peer { link: self.link, token: self.token }, self.observed)
    }
}

/// The member at the other end of a [`Duplex`], for who uses its two halves apart.
pub(crate) struct Peer<T: Transport> {
    link: Arc<Link<T::Connection>>,
    /// Which token the stream was opened with.
    pub(crate) token: u64,
}

impl<T: Transport> Peer<T> {
    /// Has the connection watched like one on which a call waits, until what this returns is dropped.
    pub(crate) fn waiting(&self, now: Instant) -> impl Sized + Send + use<'_, T> {
        self.link.liveness.begin(Waiting::ForMember, now)
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, now: Instant) {
        self.link.liveness.answered(now);
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.link.endpoint
    }

    /// Asks the member for a sign of life, and for its revision, if that is wanted and the member would tell.
    pub(crate) fn probe(
        &self,
        channel: &Channel<T>,
        revision: bool,
    ) -> impl Future<Output = Result<Option<i64>, Cause>> + Send + 'static {
        let link = Arc::clone(&self.link);
        let token = channel.tokens().current();
        async move {
            link::alive(&link.connection).await?;
            if !revision {
                return Ok(None);
            }
            Ok(link::revision(&link.connection, token.as_ref().map(|token| &token.value)).await)
        }
    }

    /// Gives the whole connection up: the next stream goes to another member, if there is one.
    pub(crate) fn leave(&self, cause: Cause) {
        self.link.connection.shut_down(cause);
    }

    /// The error of a stream to this member that failed.
    pub(crate) fn error(&self, failure: Failure) -> Error {
        broken_off(failure, self.link.endpoint.name())
    }
}

/// The error of a stream that failed.
fn broken_off(failure: Failure, endpoint: &Arc<str>) -> Error {
    match failure {
        Failure::Status(status) => call::of_status(&status),
        Failure::NotProcessed(cause) | Failure::Unknown(cause) => {
            let (kind, message) = match cause {
                Cause::Deadline => (ErrorKind::Timeout, "the stream was silent for too long"),
                Cause::Limit(_) => (ErrorKind::ResourceExhausted, "the stream broke a limit"),
                _ => (ErrorKind::Unavailable, "the stream broke off"),
            };
            Error::new(kind, message).with_attempts(vec![Attempt::new(Arc::clone(endpoint), cause)])
        }
    }
}

impl<T: Transport> Channel<T> {
    /// Opens a stream in both directions. That the server accepts it shows only in its first answer.
    pub(crate) async fn duplex(
        &self,
        method: MethodInfo,
        options: &CallOptions,
    ) -> Result<Duplex<T>> {
        self.start_sync();
        let call = self.prepare(self.streams(), method, false, options);
        let observed = telemetry::Rpc::begin(&call.method);
        let opening = self.attempts(&call, &Opening).instrument(observed.span().clone());
        match opening.await {
            Ok(((sink, source), link)) => {
                observed.served_by(&link.endpoint);
                Ok(Duplex { sink, source, link, token: self.tokens().generation(), observed })
            }
            Err(error) => {
                observed.end(Some(&error));
                Err(error)
            }
        }
    }
}
