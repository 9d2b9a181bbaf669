//! The task behind the watches of one stream: it carries out what the [machine](super::machine) decides.
//!
//! It reads the stream promptly, whatever the readers of the watches do, so that none of them holds up another. Requests
//! are sent many at a time, while responses go on being read. It holds the channel only as long as something is under
//! way that needs it, and ends when nobody watches any more.

mod outputs;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::WatchResponse;
use etcdkit_proto::method;
use prost::Message;

use super::inbox::{Inbox, Mail, Signal, abandoned};
use super::machine::{Key, Machine};
use super::queue::Queue;
use super::stream::{Stream, Tick};
use super::version;
use crate::clock::{self, Instant};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::request::{Get, WhenFull};
use crate::response::ResponseHeader;
use crate::revision::Revision;
use crate::service::CallOptions;
use crate::transport::{Channel, Duplex, Failure, Peer, Shared, Transport};

pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long a stream without watches stays open: who watches one key after the other needs no new stream for each.
const LINGER: Duration = Duration::from_millis(500);
/// After so many messages in a row the mail is looked at, and requests are sent.
const AT_ONCE: u32 = 16;
/// After so many messages in a row everything else gets its turn, other tasks included.
const BURST: u32 = 128;

pub(super) struct Hub<T: Transport> {
    channel: Weak<Shared<T>>,
    inbox: Arc<Inbox>,
    /// The options that all watches of this stream share.
    options: CallOptions,
    machine: Machine<Reader>,
    stream: Option<Stream<T>>,
    /// The member of the present stream, or of the last one.
    peer: Option<Peer<T>>,
    opening: Option<Job<Result<Duplex<T>>>>,
    reading: Option<Job<Result<Revision>>>,
    renewing: Option<Job<Result<()>>>,
    timer: Option<(Instant, Job<()>)>,
    idle_since: Option<Instant>,
    /// How much came in a row.
    burst: u32,
}

struct Reader {
    queue: Arc<Queue>,
    when_full: WhenFull,
}

enum Event<T: Transport> {
    Mail(Mail),
    /// Messages came, and were taken in already.
    Received,
    Ended(Result<(), Failure>),
    Opened(Result<Duplex<T>>),
    Read(Result<Revision>),
    Renewed(Result<()>),
    Probed(Result<Option<i64>, Cause>),
    Timer,
}

impl<T: Transport> Hub<T> {
    pub(super) fn new(channel: &Channel<T>, inbox: Arc<Inbox>, options: CallOptions) -> Self {
        let policy = channel.retry_policy().clone();
        Self {
            channel: channel.downgrade(),
            inbox,
            options,
            machine: Machine::new(policy, channel.can_authenticate(), clock::rng()),
            stream: None,
            peer: None,
            opening: None,
            reading: None,
            renewing: None,
            timer: None,
            idle_since: None,
            burst: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let Some(deadline) = self.arrange() else { return };
            let event = self.next(deadline).await;
            self.take_in(event);
            self.carry_out();
            if self.burst >= BURST {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Starts what is wanted; the time at which to look again, or `None` if this is the end.
    fn arrange(&mut self) -> Option<Option<Instant>> {
        if self.machine.is_empty() {
            return self.rest();
        }
        self.idle_since = None;
        let mut deadline = self.stream.as_ref().map(|stream| stream.next_tick());
        // All of these are rare; messages come by here with none of them.
        let reads = if self.reading.is_none() { self.machine.wants_read() } else { None };
        let idle = self.renewing.is_none() && self.opening.is_none() && self.stream.is_none();
        let opens = if idle { self.machine.wants_stream() } else { None };
        if reads.is_none() && opens.is_none() {
            return Some(deadline);
        }
        let now = clock::now();
        let channel = Channel::upgrade(&self.channel)?;
        if let Some(at) = reads {
            match at.filter(|at| *at > now) {
                Some(at) => deadline = earlier(deadline, at),
                None => self.begin_read(&channel),
            }
        }
        if let Some(at) = opens {
            match at.filter(|at| *at > now) {
                Some(at) => deadline = earlier(deadline, at),
                None => self.begin_opening(channel, now),
            }
        }
        Some(deadline)
    }

    /// Nobody watches: the stream is closed after a while, and then this ends.
    fn rest(&mut self) -> Option<Option<Instant>> {
        self.opening = None;
        self.reading = None;
        self.renewing = None;
        self.machine.dropped();
        if self.stream.is_some() {
            let now = clock::now();
            let since = *self.idle_since.get_or_insert(now);
            if now < since + LINGER {
                return Some(Some(since + LINGER));
            }
            self.put_stream_away(None);
            self.machine.closed();
        }
        let channel = Channel::upgrade(&self.channel)?;
        // Who adds a watch holds the same lock as who removes a hub.
        if channel.watches().remove_if_idle(&self.inbox) { None } else { Some(None) }
    }

    fn begin_read(&mut self, channel: &Channel<T>) {
        let Some(key) = self.machine.begin_read() else { return };
        let options = CallOptions::new().metadata(self.options.metadata.clone());
        let channel = channel.clone();
        self.reading = Some(Box::pin(async move {
            let get = Get::new(key).count_only();
            channel.unary(get, &options).await.map(|answer| answer.revision())
        }));
    }

    fn begin_opening(&mut self, channel: Channel<T>, now: Instant) {
        self.machine.opening();
        self.inbox.set_status(|status| {
            status.disconnected_since.get_or_insert(now);
        });
        let options = self.options.clone();
        let deadline = now.checked_add(channel.config().timeouts.connect);
        self.opening = Some(Box::pin(async move {
            let opened = channel.duplex(method::watch::WATCH.info(), &options);
            clock::until(deadline, opened).await.unwrap_or_else(|| {
                Err(Error::new(ErrorKind::Unavailable, "no member was ready for watches in time"))
            })
        }));
    }

    /// Waits for whatever is first.
    async fn next(&mut self, deadline: Option<Instant>) -> Event<T> {
        match deadline {
            None => self.timer = None,
            Some(at) if self.timer.as_ref().is_some_and(|(set, _)| *set == at) => {}
            Some(at) => self.timer = Some((at, Box::pin(clock::sleep_until(at)))),
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event<T>> {
        if let Some(stream) = &mut self.stream {
            stream.poll_send(cx);
        }
        if self.burst >= BURST {
            self.burst = 0;
            if let Poll::Ready(event) = self.poll_others(cx) {
                return Poll::Ready(event);
            }
        }
        let mut taken = 0;
        while taken < AT_ONCE
            && let Some(message) = self.poll_message(cx)
        {
            match message {
                Ok(Some(message)) => {
                    self.receive(message);
                    self.carry_out();
                    taken += 1;
                }
                Ok(None) => return Poll::Ready(Event::Ended(Ok(()))),
                Err(failure) => return Poll::Ready(Event::Ended(Err(failure))),
            }
        }
        self.burst += taken;
        if let Poll::Ready(mail) = self.inbox.poll(cx) {
            self.burst += 1;
            return Poll::Ready(Event::Mail(mail));
        }
        if taken > 0 {
            return Poll::Ready(Event::Received);
        }
        self.burst = 0;
        self.poll_others(cx)
    }

    /// Whether one of the things is done that take their time.
    fn poll_others(&mut self, cx: &mut Context<'_>) -> Poll<Event<T>> {
        if let Some(outcome) = self.stream.as_mut().and_then(|stream| stream.poll_probe(cx)) {
            return Poll::Ready(Event::Probed(outcome));
        }
        if let Some(outcome) = poll_job(&mut self.opening, cx) {
            return Poll::Ready(Event::Opened(outcome));
        }
        if let Some(outcome) = poll_job(&mut self.reading, cx) {
            return Poll::Ready(Event::Read(outcome));
        }
        if let Some(outcome) = poll_job(&mut self.renewing, cx) {
            return Poll::Ready(Event::Renewed(outcome));
        }
        let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        Poll::Ready(Event::Timer)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Option<Result<Option<Bytes>, Failure>> {
        use crate::transport::Source;
        let stream = self.stream.as_mut()?;
        let Poll::Ready(message) = pin!(stream.source.next()).poll(cx) else { return None };
        Some(message)
    }

    fn take_in(&mut self, event: Event<T>) {
        match event {
            Event::Received => {}
            Event::Ended(Ok(())) => {
                let ended = Error::new(ErrorKind::Unavailable, "the server ended the stream");
                self.lost(&ended);
            }
            Event::Ended(Err(failure)) => {
                let error = match &self.peer {
                    Some(peer) => peer.error(failure),
                    None => Error::internal("a stream without a member"),
                };
                self.lost(&error);
            }
            Event::Mail(mail) => self.read_mail(mail),
            Event::Opened(Ok(duplex)) => self.opened(duplex),
            Event::Opened(Err(error)) => self.lost(&error),
            Event::Read(outcome) => {
                if let Err(error) = &outcome {
                    self.inbox.set_status(|status| status.trouble = Some(error.clone()));
                }
                self.machine.read_done(outcome, clock::now());
            }
            Event::Renewed(Ok(())) => self.machine.renewed(),
            Event::Renewed(Err(error)) => self.lost(&error),
            Event::Probed(outcome) => self.probed(outcome),
            Event::Timer => self.tick(),
        }
    }

    fn receive(&mut self, message: Bytes) {
        let bytes = message.len();
        let Some(stream) = &mut self.stream else { return };
        stream.received();
        // Room for one event, since most have one: what a vector takes by itself is four times as much.
        let mut response = WatchResponse { events: Vec::with_capacity(1), ..Default::default() };
        if let Err(error) = response.merge(message) {
            // It would come again.
            let error = Error::internal("a response can't be decoded").with_source(error);
            return self.machine.end_all(&error);
        }
        if response.created
            && let Some(channel) = Channel::upgrade(&self.channel)
        {
            let header = ResponseHeader::from(response.header.clone());
            if let Err(error) = channel.check_cluster(&header) {
                return self.machine.end_all(&error);
            }
            // What other calls saw is not far ahead, on a member that is a moment behind.
            self.machine.heard(channel.known_revision().get());
        }
        self.machine.receive(response, bytes);
    }

    fn read_mail(&mut self, mut mail: Mail) {
        // An id that a watch gives back may be what another one waits for.
        let (known, new): (Vec<_>, Vec<_>) =
            mail.signals().partition(|(key, _)| self.machine.contains(*key));
        self.heed(known);
        for addition in mail.additions.drain(..) {
            let reader = Reader { queue: addition.queue, when_full: addition.settings.when_full };
            self.machine.add(addition.key, addition.create, &addition.settings, reader);
        }
        self.heed(new);
        if mail.closing {
            self.machine.end_all(&Error::closed());
            self.stream = None;
        }
    }

    fn heed(&mut self, signals: Vec<(Key, Signal)>) {
        for (key, signal) in signals {
            match signal {
                Signal::Drained => self.machine.resume(key),
                Signal::Progress => self.machine.ask_progress(key),
                Signal::Cancel => self.machine.cancel(key),
            }
        }
    }

    fn opened(&mut self, duplex: Duplex<T>) {
        let now = clock::now();
        let Some(channel) = Channel::upgrade(&self.channel) else { return };
        let version = channel.stream_version(duplex.endpoint());
        let server = version::trust(version.as_deref());
        let (sink, source, peer, observed) = duplex.split();
        let reconnected = self.peer.is_some();
        self.inbox.set_status(|status| {
            status.endpoint = Some(peer.endpoint().clone());
            status.disconnected_since = None;
            status.reconnects += u64::from(reconnected);
        });
        tracing::debug!(endpoint = %peer.endpoint(), "watches have a stream");
        self.peer = Some(peer);
        self.stream = Some(Stream::new(sink, source, observed, &channel.config().liveness, now));
        self.machine.heard(channel.known_revision().get());
        self.machine.opened(server, now);
    }

    fn lost(&mut self, error: &Error) {
        let now = clock::now();
        tracing::debug!(%error, "watches lost their stream");
        self.disconnected(now, error);
        self.machine.lost(error, now);
    }

    /// The stream is ended on purpose; `since` is when those who still watch began to be without one.
    fn put_stream_away(&mut self, since: Option<Instant>) {
        self.stream = None;
        self.inbox.set_status(|status| {
            status.endpoint = None;
            status.disconnected_since = since;
        });
    }

    fn disconnected(&mut self, now: Instant, error: &Error) {
        if let Some(stream) = self.stream.take() {
            stream.failed(error);
        }
        self.inbox.set_status(|status| {
            status.endpoint = None;
            status.disconnected_since.get_or_insert(now);
            status.trouble = Some(error.clone());
        });
    }

    fn tick(&mut self) {
        let now = clock::now();
        let Some(stream) = &mut self.stream else { return };
        let Some(channel) = Channel::upgrade(&self.channel) else { return };
        let goal = channel.known_revision().get().max(self.machine.known());
        let behind = self.machine.shown() < goal;
        match stream.tick(now) {
            Tick::Early => return,
            Tick::Silent => return self.leave(Cause::Frozen),
            Tick::Look { quiet } => {
                if let Some(peer) = &self.peer
                    && (quiet || behind)
                {
                    stream.begin_probe(Box::pin(peer.probe(&channel, behind)), now);
                }
            }
        }
        if stream.is_comparison_due(now) {
            self.machine.compare();
        }
        if stream.is_stale(self.machine.shown(), goal, now) {
            let why = "the member lags behind what the cluster has agreed on";
            return self.leave(Cause::Left(why.into()));
        }
        if stream.is_ignored(self.machine.oldest_creation(), now) {
            let why = "the member answers other calls, and does not create watches";
            return self.leave(Cause::Left(why.into()));
        }
        let asks = self.machine.trusts_progress() || self.machine.wants_progress();
        if asks && self.machine.has_live() {
            self.machine.request_progress();
        }
    }

    fn probed(&mut self, outcome: Result<Option<i64>, Cause>) {
        match outcome {
            Ok(revision) => {
                if let Some(stream) = &mut self.stream {
                    stream.alive();
                }
                self.machine.observed(revision.unwrap_or(0));
            }
            Err(cause) => self.leave(cause),
        }
    }

    /// The member is no good: another one, if there is one.
    fn leave(&mut self, cause: Cause) {
        tracing::warn!(%cause, "watches leave their member");
        let error = Error::new(ErrorKind::Unavailable, format!("watches left the member: {cause}"));
        if let Some(peer) = &self.peer {
            peer.leave(cause);
        }
        self.lost(&error);
    }
}

impl<T: Transport> Drop for Hub<T> {
    /// It ends by itself only when nobody watches: with watches left, its runtime is gone, or it is broken.
    fn drop(&mut self) {
        let mail = self.inbox.end();
        let error = if mail.closing { Error::closed() } else { abandoned() };
        let added = mail.additions.iter().map(|addition| &addition.queue);
        for queue in self.machine.readers().map(|reader| &reader.queue).chain(added) {
            queue.end(error.clone());
        }
    }
}

fn earlier(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// Polls a job that may be under way, and forgets it when it is done.
pub(super) fn poll_job<T>(job: &mut Option<Job<T>>, cx: &mut Context<'_>) -> Option<T> {
    let Poll::Ready(output) = job.as_mut()?.as_mut().poll(cx) else { return None };
    *job = None;
    Some(output)
}
