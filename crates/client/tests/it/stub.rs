//! Members in memory. Each says what it is, serves reads of nothing and refuses other calls, which is a sign of life as
//! well. Their streams are what a test makes of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use etcdkit::config::Endpoint;
use etcdkit::proto::etcdserverpb::{RangeResponse, ResponseHeader, StatusResponse};
use etcdkit::proto::method;
use etcdkit::transport::{Connection, Failure, Head, Sink, Source, Status, Transport};
use etcdkit::{Cause, Code};
use prost::Message;
use tokio::sync::{mpsc, watch};

/// The revision of the member's store, for ever.
const REVISION: i64 = 1 << 40;

/// What the member says of itself with each answer.
pub(crate) fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 1, revision: REVISION, raft_term: 1 })
}

/// What happens, once, as the client lets go of a stream.
#[derive(Clone, Default)]
pub(crate) struct AtEnd(Arc<Mutex<Option<Act>>>);

type Act = Box<dyn FnOnce() + Send>;

impl AtEnd {
    pub(crate) fn set(&self, act: impl FnOnce() + Send + 'static) {
        *self.0.lock().expect("nothing panics with it") = Some(Box::new(act));
    }

    /// For the stream.
    pub(crate) fn armed(&self) -> Armed {
        Armed(self.clone())
    }
}

/// Does it when it is dropped.
pub(crate) struct Armed(AtEnd);

impl Drop for Armed {
    fn drop(&mut self) {
        let act = self.0.0.lock().expect("nothing panics with it").take();
        if let Some(act) = act {
            act();
        }
    }
}

/// The member behind every endpoint. A stream's answers are what `F` makes of its requests.
pub(crate) struct Member<F>(Arc<F>);

/// A connection to one.
pub(crate) struct Line<F> {
    answers: Arc<F>,
    endpoint: Endpoint,
    /// Answers to calls are one byte each.
    received: AtomicU64,
    /// Why it ended.
    end: watch::Sender<Option<Cause>>,
}

impl<F> Member<F> {
    pub(crate) fn new(answers: F) -> Self {
        Self(Arc::new(answers))
    }
}

impl<F, S> Transport for Member<F>
where
    F: Fn(Requests) -> S + Send + Sync + 'static,
    S: Source,
{
    type Connection = Line<F>;

    async fn connect(&self, endpoint: &Endpoint) -> Result<Line<F>, Cause> {
        let (answers, endpoint) = (Arc::clone(&self.0), endpoint.clone());
        Ok(Line { answers, endpoint, received: AtomicU64::new(0), end: watch::channel(None).0 })
    }
}

impl<F, S> Connection for Line<F>
where
    F: Fn(Requests) -> S + Send + Sync + 'static,
    S: Source,
{
    type Sink = Asking;
    type Source = S;

    async fn unary(&self, head: Head<'_>, _: Bytes) -> Result<Bytes, Failure> {
        self.received.fetch_add(1, Ordering::Relaxed);
        if head.path == method::maintenance::STATUS.path() {
            let (header, version) = (header(), "3.7.1".into());
            let answer = StatusResponse { header, version, ..StatusResponse::default() };
            return Ok(answer.encode_to_vec().into());
        }
        if head.path == method::kv::RANGE.path() {
            let answer = RangeResponse { header: header(), ..RangeResponse::default() };
            return Ok(answer.encode_to_vec().into());
        }
        let message = format!("{} is not served", head.path);
        Err(Failure::Status(Status { code: Code::Unimplemented, message }))
    }

    async fn open(&self, _: Head<'_>) -> Result<(Asking, S), Failure> {
        let (asking, asked) = mpsc::channel(8);
        let requests = Requests { endpoint: self.endpoint.clone(), asked, rest: Bytes::new() };
        Ok((Asking(asking), (self.answers)(requests)))
    }

    async fn ping(&self) -> Result<(), Cause> {
        Ok(())
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    async fn closed(&self) -> Cause {
        let mut end = self.end.subscribe();
        let cause = end.wait_for(Option::is_some).await.expect("the sender is here").clone();
        cause.expect("it was waited for")
    }

    fn shut_down(&self, cause: Cause) {
        self.end.send_replace(Some(cause));
    }
}

/// The client's half of a stream.
pub(crate) struct Asking(mpsc::Sender<Bytes>);

impl Sink for Asking {
    async fn send(&mut self, message: Bytes) -> Result<(), Failure> {
        let gone = |_| Failure::Unknown(Cause::Disconnected("the stream is over".into()));
        self.0.send(message).await.map_err(gone)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What is asked on a stream.
pub(crate) struct Requests {
    /// The endpoint of the member that is asked.
    pub(crate) endpoint: Endpoint,
    asked: mpsc::Receiver<Bytes>,
    /// What was sent in one piece with the last request.
    rest: Bytes,
}

impl Requests {
    /// The next request, once there is one. Cancel-safe.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> M {
        while self.rest.is_empty() {
            match self.asked.recv().await {
                Some(message) => self.rest = message,
                None => std::future::pending().await,
            }
        }
        self.split()
    }

    /// The next request, if there is one.
    pub(crate) fn next_now<M: Message + Default>(&mut self) -> Option<M> {
        if self.rest.is_empty() {
            self.rest = self.asked.try_recv().ok()?;
        }
        Some(self.split())
    }

    fn split<M: Message + Default>(&mut self) -> M {
        assert_eq!(self.rest.get_u8(), 0, "nothing is compressed");
        let length = self.rest.get_u32() as usize;
        M::decode(self.rest.split_to(length)).expect("a request")
    }
}
