//! A member in memory. It says what it is, serves reads of nothing and refuses other calls, which is a sign of life as well.
//! Its streams are what a test makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use etcdkit::config::Endpoint;
use etcdkit::proto::etcdserverpb::{RangeResponse, ResponseHeader, StatusResponse};
use etcdkit::proto::method;
use etcdkit::transport::{Connection, Failure, Head, Sink, Source, Status, Transport};
use etcdkit::{Cause, Code};
use prost::Message;
use tokio::sync::mpsc;

/// The revision of the member's store, for ever.
const REVISION: i64 = 1 << 40;

/// What the member says of itself with each answer.
pub(crate) fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 1, revision: REVISION, raft_term: 1 })
}

/// The member, and every connection to it. A stream's answers are what `F` makes of its requests.
pub(crate) struct Member<F> {
    answers: Arc<F>,
    /// The calls that were answered.
    answered: AtomicU64,
}

impl<F> Member<F> {
    pub(crate) fn new(answers: F) -> Self {
        Self::connection(Arc::new(answers))
    }

    fn connection(answers: Arc<F>) -> Self {
        Self { answers, answered: AtomicU64::new(0) }
    }
}

impl<F, S> Transport for Member<F>
where
    F: Fn(Requests) -> S + Send + Sync + 'static,
    S: Source,
{
    type Connection = Self;

    async fn connect(&self, _: &Endpoint) -> Result<Self, Cause> {
        Ok(Self::connection(Arc::clone(&self.answers)))
    }
}

impl<F, S> Connection for Member<F>
where
    F: Fn(Requests) -> S + Send + Sync + 'static,
    S: Source,
{
    type Sink = Asking;
    type Source = S;

    async fn unary(&self, head: Head<'_>, _: Bytes) -> Result<Bytes, Failure> {
        self.answered.fetch_add(1, Ordering::Relaxed);
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
        Ok((Asking(asking), (self.answers)(Requests { asked, rest: Bytes::new() })))
    }

    async fn ping(&self) -> Result<(), Cause> {
        Ok(())
    }

    fn received(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    async fn closed(&self) -> Cause {
        std::future::pending().await
    }

    fn shut_down(&self, _: Cause) {}
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
