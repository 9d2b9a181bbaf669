//! One HTTP/2 connection that carries calls.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::uri::{Authority, Scheme};
use tokio::sync::watch;

use super::answer::exchange;
use super::failure::{HEADERS, cause_of};
use super::head::Template;
use super::keep_alive::{self, OpenStreams};
use super::meter::Metered;
use super::mux::{self, Queue};
use super::stream::{H2Sink, H2Source};
use crate::config::{Endpoint, KeepAlive};
use crate::error::Cause;
use crate::task::{self, Task, race};
use crate::transport::connector::Established;
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
/// Calls that were given up (by a deadline, a hedge, or who made them) may be answered all the same. h2 ignores that for
/// so many streams at a time; frames on others it resets, and by default it ends the connection at the 1024th such reset
/// of the connection's life, with all calls on it.
const REMEMBERED: usize = 1024;
/// Payload that h2 holds for one stream before it asks to wait.
const SEND_BUFFER: usize = 4 << 20;
/// With more calls than this on a connection, its task makes them: from then on that costs less than the callers'
/// contention. Below it, the way through the task would only add a wake-up.
const DIRECT_CALLS: usize = 2;

/// A connection of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Connection {
    send: SendRequest<Bytes>,
    template: Template,
    receive_limit: usize,
    received: Arc<AtomicU64>,
    streams: OpenStreams,
    calls: Calls,
    queue: Arc<Queue>,
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
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(SMALL_FRAME_BUDGET)
            .max_frame_size(FRAME)
            .max_header_list_size(HEADERS)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .max_concurrent_reset_streams(REMEMBERED)
            .max_local_error_reset_streams(None)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|error| cause_of(&error))?;

        let (fate, _) = watch::channel(None);
        let report = fate.clone();
        let streams = OpenStreams::default();
        let pinged = streams.clone();
        let queue = Arc::new(Queue::default());
        let (jobs, sender) = (Arc::clone(&queue), send.clone());
        let driver = task::spawn(async move {
            let pinging = async {
                match keep_alive {
                    Some(settings) => {
                        let cause = keep_alive::keep_alive(&jobs, pinged, settings).await;
                        decide(&report, cause);
                    }
                    None => std::future::pending().await,
                }
            };
            let driving = mux::run(connection, sender, &jobs, &report, receive_limit);
            // Whichever ends first has decided why.
            let _ = race(driving, pinging).await;
        });
        Ok(Self {
            send,
            template: Template::new(scheme, authority),
            receive_limit,
            received,
            streams,
            calls: Calls::default(),
            queue,
            fate,
            driver,
        })
    }

    async fn begin(&self, head: &Head<'_>) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
        let mut send = self.send.clone();
        poll_fn(|cx| send.poll_ready(cx)).await.map_err(|error| self.not_sent(&error))?;
        send.send_request(self.template.request(head), false).map_err(|error| self.not_sent(&error))
    }

    /// Why the connection ended, if it was ended on purpose; what h2 says of it then is only the consequence.
    fn fate(&self) -> Option<Cause> {
        self.fate.borrow().clone()
    }

    /// The connection takes no more calls, though those under way may still finish: the server is going away.
    fn not_sent(&self, error: &h2::Error) -> Failure {
        decide(&self.fate, cause_of(error));
        Failure::NotProcessed(self.fate().unwrap_or_else(|| cause_of(error)))
    }

    /// Leaves a call to the connection's task, and waits for the answer.
    async fn leave(&self, head: &Head<'_>, message: Bytes) -> Result<Bytes, Failure> {
        let request = self.template.request(head);
        let Some(mut left) = self.queue.leave(request, message, head.unsent) else {
            return Err(Failure::NotProcessed(self.over()));
        };
        match left.answered().await {
            Ok(outcome) => outcome.map_err(|failure| self.by_fate(failure)),
            // The task was ended with the call under way.
            Err(_) => Err(Failure::Unknown(self.over())),
        }
    }

    /// Why the connection is over.
    fn over(&self) -> Cause {
        self.fate().unwrap_or_else(|| Cause::Disconnected("the connection's task ended".into()))
    }

    /// A failure that only follows from the connection's end has the cause of that.
    fn by_fate(&self, failure: Failure) -> Failure {
        match (failure, self.fate()) {
            (failure, None | Some(Cause::Refused(_))) => failure,
            (Failure::Unknown(Cause::Disconnected(_)), Some(cause)) => Failure::Unknown(cause),
            (failure, _) => failure,
        }
    }
}

/// Counts the calls that are under way.
#[derive(Debug, Default)]
struct Calls(AtomicUsize);

impl Calls {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> UnderWay<'_> {
        UnderWay { others: self.0.fetch_add(1, Ordering::Relaxed), calls: self }
    }
}

/// One call, with how many others there were when it began.
struct UnderWay<'a> {
    others: usize,
    calls: &'a Calls,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.calls.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first cause of a connection's end is the one that counts.
pub(super) fn decide(fate: &watch::Sender<Option<Cause>>, cause: Cause) {
    fate.send_if_modified(|fate| {
        let first = fate.is_none();
        fate.get_or_insert(cause);
        first
    });
}

impl Connection for H2Connection {
    type Sink = H2Sink;
    type Source = H2Source;

    async fn unary(&self, head: Head<'_>, message: Bytes) -> Result<Bytes, Failure> {
        let call = self.calls.begin();
        if call.others >= DIRECT_CALLS {
            return self.leave(&head, message).await;
        }
        let (response, sending) = self.begin(&head).await?;
        exchange(response, sending, message, self.receive_limit)
            .await
            .map_err(|failure| self.by_fate(failure))
    }

    async fn open(&self, head: Head<'_>) -> Result<(H2Sink, H2Source), Failure> {
        let (response, body) = self.begin(&head).await?;
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

    fn is_full(&self) -> bool {
        self.fate.borrow().is_some() || self.calls.count() + self.streams.count() >= self.capacity()
    }

    fn is_over(&self) -> bool {
        self.driver.is_over()
    }

    async fn ping_turn(&self) {
        self.queue.ping_turn().await;
    }

    async fn ping(&self) -> Result<(), Cause> {
        self.queue.ping().await.map_err(|_| self.over())
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
