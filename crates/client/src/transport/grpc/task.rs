//! The task of a connection: the only one to touch its socket and its HTTP/2.
//!
//! A turn takes what callers left in the [`Queue`], writes all of that at once, reads what has come, and wakes whom it
//! concerns. What HTTP/2 demands is the machine's affair (`etcdkit-http2`), what comes of it that of
//! [`events`](super::events); here is who owns what, and what is left when the connection ends.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::BytesMut;
use etcdkit_http2::client::{Connection, Options, Refused, Sent};
use etcdkit_http2::frame::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::sync::watch;

use super::answer::{Reading, UnaryReading};
use super::events::{Call, Heard, PING};
use super::failure::HEADERS;
use super::head::{Digits, Template};
use super::queue::{Caller, Errand, Job, Queue, Taken};
use super::stream::UNSENT;
use crate::error::Cause;
use crate::transport::connector::{self, IoStream};
use crate::transport::traits::Failure;

/// How much of one answer may be on its way unread. Large enough that a single stream fills a 2 Gbit/s link at 8 ms.
const STREAM_WINDOW: u32 = 2 << 20;
/// The connection's window never limits: each stream's does, so that one that is not read can't hold up the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The largest frame to be received. The usual 16 KiB cost a long answer a hundred times the headers.
const FRAME: u32 = 1 << 20;
/// Bytes that wait for the socket, above which calls stay in the queue, where they are known not to have left.
const OUTPUT: usize = 1 << 20;
/// What is read at once: little at first, and more while that is used up.
const READ_AT_LEAST: usize = 8 << 10;
const READ_AT_MOST: usize = 256 << 10;
/// Slices that one write offers to the socket: the kernel takes 1024, but rarely are there more than these.
const SLICES: usize = 64;
/// Turns after which other tasks have theirs.
const TURNS: usize = 32;
/// Calls at once for which a connection at rest may keep room.
const FEW: usize = 32;

/// Why a connection takes no more calls, once it does not.
pub(super) type Fate = watch::Sender<Option<Cause>>;

/// The first cause of a connection's end is the one that counts. That the server is going away ends no call that is under
/// way, so what does may come after it.
pub(super) fn decide(fate: &Fate, cause: Cause) {
    fate.send_if_modified(|fate| {
        let first = fate.is_none();
        if first || matches!(fate, Some(Cause::Refused(_))) {
            *fate = Some(cause);
        }
        first
    });
}

/// What the callers of a connection see of it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: Arc<Queue>,
    pub(super) fate: Fate,
    /// Bytes that came.
    pub(super) received: AtomicU64,
    /// Streams that may be open at once.
    pub(super) capacity: AtomicUsize,
    /// Streams that are open, those included whose callers have left.
    open: AtomicUsize,
}

/// What the task knows of a connection.
#[derive(Debug)]
pub(super) struct Driver {
    http2: Connection<Call>,
    stream: IoStream,
    input: BytesMut,
    /// How much is read at once.
    room: usize,
    template: Template,
    receive_limit: usize,
    shared: Arc<Shared>,
    taken: Taken,
    heard: Heard,
    unflushed: bool,
    /// Writing failed so. What the server said before it closed may not have been read yet: answers, or why it closed.
    broken: Option<io::Error>,
    /// The most streams that were open at once since there was none.
    busiest: usize,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::default(),
            fate: watch::channel(None).0,
            received: AtomicU64::new(0),
            capacity: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        })
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Why the connection is over.
    pub(super) fn over(&self) -> Cause {
        let fate = self.fate.borrow().clone();
        fate.unwrap_or_else(|| Cause::Disconnected("the connection's task ended".into()))
    }
}

impl Driver {
    pub(super) fn new(
        stream: IoStream,
        template: Template,
        receive_limit: usize,
        shared: Arc<Shared>,
    ) -> Self {
        let mut options = Options::default();
        options.stream_window = STREAM_WINDOW;
        options.connection_window = CONNECTION_WINDOW;
        options.max_frame = FRAME;
        options.max_header_list = HEADERS;
        options.unsent_mark = UNSENT / 2;
        options.max_output = OUTPUT;
        let http2 = Connection::new(options);
        shared.capacity.store(http2.limit(), Ordering::Relaxed);
        let heard = Heard::new(Arc::clone(&shared));
        Self {
            http2,
            stream,
            input: BytesMut::new(),
            room: READ_AT_LEAST,
            template,
            receive_limit,
            shared,
            taken: Taken::default(),
            heard,
            unflushed: false,
            broken: None,
            busiest: 0,
        }
    }

    /// Takes what callers have left.
    fn take(&mut self, cx: &Context<'_>) {
        // What can't be sent for good is to be told so.
        let room = if self.http2.is_going_away() { usize::MAX } else { self.http2.room() };
        self.shared.queue.take(&mut self.taken, room, cx);
        let mut errands = std::mem::take(&mut self.taken.errands);
        for errand in errands.drain(..) {
            self.run(errand);
        }
        self.taken.errands = errands;
        while (self.http2.is_going_away() || self.http2.room() > 0)
            && let Some(job) = self.taken.jobs.pop_front()
        {
            self.begin(job);
        }
        self.busiest = self.busiest.max(self.http2.open_streams());
        if !self.taken.pings.is_empty() {
            if self.heard.pings.is_empty() {
                self.http2.ping(PING);
            }
            self.heard.pings.append(&mut self.taken.pings);
        }
    }

    fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Send { stream, flow, message } => {
                let length = message.len();
                // Of a stream that is over, its receiving half says why.
                let _ = self.http2.send(stream, message, false);
                flow.left(length, self.http2.unsent(stream));
            }
            Errand::Finish(stream) => {
                let _ = self.http2.send(stream, bytes::Bytes::new(), true);
            }
            Errand::Reset(stream) => {
                self.http2.reset(stream, ErrorCode::CANCEL);
            }
            Errand::Release(stream, bytes) => self.http2.release(stream, bytes),
        }
    }

    /// Sends a call, unless it was given up.
    fn begin(&mut self, Job { head, caller }: Job) {
        let place = match &caller {
            Caller::Unary { answer, .. } => &answer.place,
            Caller::Stream(flow) => &flow.place,
        };
        if !place.leave() {
            return;
        }
        let call = match &caller {
            Caller::Unary { answer, .. } => Call::Unary {
                answer: Arc::clone(answer),
                reading: UnaryReading::new(self.receive_limit),
            },
            Caller::Stream(flow) => {
                Call::Stream { flow: Arc::clone(flow), reading: Reading::new(self.receive_limit) }
            }
        };
        let mut digits = Digits::default();
        let prepared = self.template.prepared(&head);
        match self.http2.open(prepared, head.fields(&mut digits), call) {
            Ok(id) => {
                if !place.opened(id) {
                    self.http2.reset(id, ErrorCode::CANCEL);
                    return;
                }
                match caller {
                    Caller::Unary { message, .. } => {
                        self.http2.send(id, message, true).expect("the stream was just opened");
                    }
                    Caller::Stream(flow) => flow.opened(id),
                }
            }
            Err((refused, mut call)) => {
                let cause = self.refusal(refused);
                call.tell(Err(Failure::NotProcessed(cause)));
            }
        }
    }

    /// Why a call was not sent. The connection takes no more, though those under way may finish.
    #[cold]
    fn refusal(&self, refused: Refused) -> Cause {
        let cause = match &self.heard.leaving {
            Some(leaving) => leaving.clone(),
            None => Cause::Refused(refused.to_string()),
        };
        decide(&self.shared.fate, cause.clone());
        cause
    }

    /// Reads what is there; an error says why the connection is over.
    fn hear(&mut self) -> Result<(), Cause> {
        let missing = self
            .http2
            .receive(&mut self.input, &mut self.heard)
            .map_err(|error| Cause::Protocol(format!("the server broke HTTP/2 ({error})")))?;
        self.input.reserve(missing);
        for id in self.heard.over.drain(..) {
            self.http2.reset(id, ErrorCode::CANCEL);
        }
        Ok(())
    }

    /// Tells those who wait with sending that there is room.
    fn tell_writable(&mut self) {
        while let Some((id, call)) = self.http2.next_writable() {
            let Call::Stream { flow, .. } = call else { continue };
            let flow = Arc::clone(flow);
            flow.left(0, self.http2.unsent(id));
        }
    }
    /// Drives the connection until it is over, and decides its fate.
    pub(super) async fn run_to_end(mut self) {
        let cause = poll_fn(|cx| self.turns(cx)).await;
        decide(&self.shared.fate, cause);
        // What the peer is to know of the end, if it takes that at once.
        poll_fn(|cx| {
            if self.broken.is_none() {
                let _ = self.write(cx);
            }
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn turns(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(cause) => return Poll::Ready(cause),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns whether there is something left to do.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Cause> {
        self.take(cx);
        if self.broken.is_none() {
            self.broken = self.write(cx).err();
        }
        let heard = self.read(cx)?;
        self.shared.open.store(self.http2.open_streams(), Ordering::Relaxed);
        if !heard && self.http2.is_finished() && self.http2.output().is_empty() {
            return Err(self.refusal(Refused::GoingAway));
        }
        if !heard {
            self.rest();
        }
        // What has ended, or was written, or the server's word, made room for what waits.
        let held_back = self.taken.held_back || !self.taken.jobs.is_empty();
        Ok(heard || held_back && self.http2.room() > 0)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let output = self.http2.output();
            if output.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = output.slices(&mut slices);
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..used]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => {
                    if !self.stream.takes_nothing_if_it_fails() {
                        let offered = slices[..used].iter().map(|slice| slice.len()).sum();
                        output.advance(offered);
                    }
                    return Err(error);
                }
                Poll::Ready(Ok(written)) => {
                    output.advance(written);
                    self.unflushed = true;
                    self.tell_writable();
                }
                Poll::Pending => return Ok(()),
            }
        }
        if self.unflushed {
            self.unflushed = Pin::new(&mut self.stream).poll_flush(cx)?.is_pending();
        }
        Ok(())
    }

    /// Returns whether something has come.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Cause> {
        self.input.reserve(self.room);
        let offered = self.input.capacity() - self.input.len();
        let read = match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
            Poll::Ready(Ok(read)) if read > 0 => read,
            Poll::Pending if self.broken.is_none() || self.stream.is_socket() => return Ok(false),
            outcome => return Err(self.end_of_input(outcome)),
        };
        self.shared.received.fetch_add(read as u64, Ordering::Relaxed);
        if read == offered {
            self.room = (2 * self.room).min(READ_AT_MOST);
        } else if read < self.room / 4 {
            self.room = (self.room / 2).max(READ_AT_LEAST);
        }
        self.hear()?;
        self.tell_writable();
        Ok(true)
    }

    /// Why there is nothing more to read. After a failed write that is only the consequence, unless it tells more.
    fn end_of_input(&self, outcome: Poll<io::Result<usize>>) -> Cause {
        match (outcome, &self.broken) {
            (Poll::Ready(Err(said)), _) if said.kind() == io::ErrorKind::InvalidData => {
                connector::cause_of(&said)
            }
            (_, Some(broken)) => connector::cause_of(broken),
            (Poll::Ready(Err(error)), None) => connector::cause_of(&error),
            (_, None) => Cause::Disconnected("the server closed the connection".into()),
        }
    }

    /// Gives back what is not needed until something comes: there may be thousands of connections.
    fn rest(&mut self) {
        if self.busiest > FEW && self.http2.open_streams() == 0 {
            self.http2.shrink();
            self.taken.jobs.shrink_to_fit();
            self.shared.queue.shrink();
            self.busiest = 0;
        }
        let kept = if self.http2.open_streams() == 0 { 0 } else { 2 * self.room };
        if self.input.is_empty() && self.input.capacity() > kept {
            self.input = BytesMut::new();
        }
    }
}

/// Whoever still waits learns how it ended, in whichever way: a task that is aborted or panics ends the connection like
/// anything else.
impl Drop for Driver {
    fn drop(&mut self) {
        self.heard.lost = self.shared.over();
        decide(&self.shared.fate, self.heard.lost.clone());
        for job in self.taken.jobs.drain(..).chain(self.shared.queue.close()) {
            let cause = Cause::Disconnected("the connection ended before the request left".into());
            let failure = Failure::NotProcessed(cause);
            match job.caller {
                Caller::Unary { answer, .. } => answer.give(Err(failure)),
                Caller::Stream(flow) => flow.end(Err(failure)),
            }
        }
        if std::thread::panicking() {
            // It may have been the stream, in the midst of a write.
            self.heard.sent = Sent::Part;
        }
        self.http2.lose(&mut self.heard);
    }
}
