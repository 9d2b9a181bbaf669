//! No answer older than one that was seen before.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering as Memory};
use std::time::Duration;

use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{
    AnyRequest, AnyResponse, AnyStream, AnyStreamRequest, Get, GetStream, Op, OpResponse, Request,
    StreamRequest,
};
use crate::response::{GetResponse, WatchResponse};
use crate::revision::Revision;
use crate::service::{CallOptions, Service, Streaming, Timeout, mismatch};

/// The pause before the second repetition; doubled by each further one. The first goes to another member at once.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A layer that never shows a state older than one it has shown before.
///
/// A [serializable](crate::Get::serializable) read is answered by any one member, which may lag behind: two of them, one
/// after the other, can go back in time. Through this layer they do not. It remembers the highest revision that any answer
/// has told (reads, writes, transactions, locks, events of watches), and repeats a read whose answer is older: at once,
/// then with growing pauses, each time at the next member of the balancer. So a read also sees what was written through
/// the same layer before.
///
/// All clones share what they have seen. A read is held against what had been seen when it began. A history that went back,
/// which is told by [`ClusterChanged`](crate::ErrorKind::ClusterChanged), begins it anew.
///
/// ```
/// use etcdkit::layer::Ordering;
/// use etcdkit::Get;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let client = client.ordered();
///     client.put("/a", "1").await?;
///     // Without asking the cluster, and yet never the state before the put.
///     let answer = client.get(Get::new("/a").serializable()).await?;
///     assert!(!answer.is_empty());
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`Unavailable`](crate::ErrorKind::Unavailable) if after all [attempts](Ordering::attempts) no member that was asked had
/// come so far.
#[derive(Clone, Debug)]
pub struct Ordering<S> {
    inner: S,
    seen: Seen,
    attempts: u32,
}

impl<S: Service> Client<S> {
    /// A client that never shows a state older than one it has shown before: see [`Ordering`].
    pub fn ordered(self) -> Client<Ordering<S>> {
        self.layer(Ordering::new)
    }
}

/// The highest revision of all answers.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<AtomicI64>);

impl Seen {
    fn get(&self) -> Revision {
        Revision::new(self.0.load(Memory::Acquire))
    }

    fn note(&self, revision: Revision) {
        self.0.fetch_max(revision.get(), Memory::AcqRel);
    }

    /// What was seen of a history that went back is not to be seen again.
    fn heed(&self, error: &Error) {
        if error.kind() == ErrorKind::ClusterChanged {
            self.0.store(0, Memory::Release);
        }
    }

    /// Takes in what an answer tells, by `revision`, or that it is an error.
    fn learn<T>(&self, answer: &Result<T>, revision: impl FnOnce(&T) -> Revision) {
        match answer {
            Ok(answer) => self.note(revision(answer)),
            Err(error) => self.heed(error),
        }
    }
}

impl<S: Service> Ordering<S> {
    /// Keeps the answers of `inner` in order.
    pub fn new(inner: S) -> Self {
        Self { inner, seen: Seen::default(), attempts: 15 }
    }

    /// How often a read is made at most until an answer is new enough. Default: 15, which is about two seconds and a call
    /// to each of three members five times over. 0 counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The highest revision that any answer has told, since the history last went back.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.seen.get()
    }

    async fn ask(&self, request: AnyRequest, options: &CallOptions) -> Result<AnyResponse> {
        let answer = request.call_on(&self.inner, options).await;
        self.seen.learn(&answer, revision);
        answer
    }

    /// Makes a read until its answer is not older than what had been seen when it began.
    async fn read(&self, request: AnyRequest, options: &CallOptions) -> Result<AnyResponse> {
        let mut patience = Patience::new(self.seen.get(), self.attempts, options);
        loop {
            let answer = self.ask(request.clone(), options).await?;
            let revision = revision(&answer);
            if revision >= patience.least {
                return Ok(answer);
            }
            patience.stale(revision).await?;
        }
    }

    async fn open_any(
        &self,
        request: AnyStreamRequest,
        options: &CallOptions,
    ) -> Result<AnyStream> {
        let seen = self.seen.clone();
        Ok(match request {
            AnyStreamRequest::GetStream(request) => {
                let stream = self.stream(request, options).await?;
                AnyStream::GetStream(stream.map(move |piece| {
                    seen.learn(&piece, GetResponse::revision);
                    piece
                }))
            }
            AnyStreamRequest::Watch(request) => {
                let stream = self.inner.open(request, options).await?;
                AnyStream::Watch(stream.map(move |response| {
                    seen.learn(&response, last);
                    response
                }))
            }
            AnyStreamRequest::Observe(request) => {
                let stream = self.inner.open(request, options).await?;
                AnyStream::Observe(stream.map(move |leader| {
                    seen.learn(&leader, |leader| leader.header().revision);
                    leader
                }))
            }
            request @ (AnyStreamRequest::KeepAlive(_) | AnyStreamRequest::Snapshot(_)) => {
                request.open_on(&self.inner, options).await?
            }
        })
    }

    /// Opens a streamed read. Of a serializable one nobody knows how old it is before it ends: so it is read at a
    /// revision that is new enough, which only a member that has come so far can do.
    async fn stream(
        &self,
        stream: GetStream,
        options: &CallOptions,
    ) -> Result<Streaming<GetResponse>> {
        let get = stream.get().clone();
        if !get.is_serializable() || get.revision().is_some() {
            return self.inner.open(stream, options).await;
        }
        let mut patience = Patience::new(self.seen.get(), self.attempts, options);
        loop {
            let now = Get::new(get.key_range()).count_only().serializable();
            let answer = self.read(AnyRequest::Get(now), options).await?;
            let revision = revision(&answer);
            let pinned = get.clone().at_revision(revision).streamed();
            match self.inner.open(pinned, options).await {
                // The members do not agree yet, or a compaction came between.
                Err(error)
                    if matches!(error.kind(), ErrorKind::FutureRevision | ErrorKind::Compacted) =>
                {
                    patience.stale(revision).await?;
                }
                opened => return opened,
            }
        }
    }
}

/// How long a read is repeated.
struct Patience {
    least: Revision,
    left: u32,
    pause: Duration,
    deadline: Option<clock::Instant>,
}

impl Patience {
    fn new(least: Revision, attempts: u32, options: &CallOptions) -> Self {
        let deadline = match options.timeout {
            Some(Timeout::After(timeout)) => clock::now().checked_add(timeout),
            Some(Timeout::Never) | None => None,
        };
        Self { least, left: attempts, pause: Duration::ZERO, deadline }
    }

    /// An answer is too old. Pauses before the next attempt, if there may be one.
    async fn stale(&mut self, revision: Revision) -> Result<()> {
        self.left -= 1;
        let next = clock::now() + self.pause;
        if self.left == 0 || self.deadline.is_some_and(|deadline| next >= deadline) {
            let message = format!(
                "no cluster member has a revision as high as one received before: asked for {} or later, the last answer \
                 was of {revision}",
                self.least
            );
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        clock::sleep_until(next).await;
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        Ok(())
    }
}

impl<S: Service> Service for Ordering<S> {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        let request = request.into_any();
        let answer = if is_read(&request) {
            self.read(request, options).await?
        } else {
            self.ask(request, options).await?
        };
        R::response(answer).ok_or_else(mismatch::<R>)
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        let opened = self.open_any(request.into_any(), options).await;
        let stream = opened.inspect_err(|error| self.seen.heed(error))?;
        R::stream(stream).ok_or_else(mismatch::<R>)
    }
}

/// Whether the request can be answered by a member that lags behind, and be made again without harm.
fn is_read(request: &AnyRequest) -> bool {
    match request {
        AnyRequest::Get(_) | AnyRequest::Op(Op::Get(_)) => true,
        AnyRequest::Txn(txn) | AnyRequest::Op(Op::Txn(txn)) => txn.is_read_only(),
        _ => false,
    }
}

/// What a response of a watch says about the present: its events, or that there are none up to a revision.
fn last(response: &WatchResponse) -> Revision {
    match response.events().last() {
        Some(event) => event.revision(),
        None => response.header().revision,
    }
}

/// The revision of the key-value store that an answer tells; [`Revision::NONE`] if it tells none.
fn revision(answer: &AnyResponse) -> Revision {
    use AnyResponse as R;
    match answer {
        R::Get(answer) => answer.revision(),
        R::Put(answer) => answer.revision(),
        R::Delete(answer) => answer.revision(),
        R::Txn(answer) => answer.revision(),
        R::Op(OpResponse::Get(answer)) => answer.revision(),
        R::Op(OpResponse::Put(answer)) => answer.revision(),
        R::Op(OpResponse::Delete(answer)) => answer.revision(),
        R::Op(OpResponse::Txn(answer)) => answer.revision(),
        R::Compact(answer) => answer.header().revision,
        R::Lock(answer) => answer.header().revision,
        R::Campaign(answer) => answer.header().revision,
        R::Leader(answer) => answer.header().revision,
        R::LeaseRevoke(answer) => answer.header().revision,
        R::Unlock(answer) | R::Proclaim(answer) | R::Resign(answer) => answer.header().revision,
        // What is not about keys is in no order with them.
        R::LeaseGrant(_)
        | R::LeaseTimeToLive(_)
        | R::Leases(_)
        | R::KeepAliveOnce(_)
        | R::AuthEnable(_)
        | R::AuthDisable(_)
        | R::AuthStatus(_)
        | R::UserAdd(_)
        | R::UserDelete(_)
        | R::UserChangePassword(_)
        | R::UserGet(_)
        | R::UserList(_)
        | R::UserGrantRole(_)
        | R::UserRevokeRole(_)
        | R::RoleAdd(_)
        | R::RoleDelete(_)
        | R::RoleGet(_)
        | R::RoleList(_)
        | R::RoleGrantPermission(_)
        | R::RoleRevokePermission(_)
        | R::MemberList(_)
        | R::MemberAdd(_)
        | R::MemberRemove(_)
        | R::MemberUpdate(_)
        | R::MemberPromote(_)
        | R::Status(_)
        | R::Alarm(_)
        | R::Defragment(_)
        | R::Hash(_)
        | R::HashKv(_)
        | R::MoveLeader(_)
        | R::Downgrade(_)
        | R::Health(_) => Revision::NONE,
    }
}

#[cfg(test)]
mod tests;
