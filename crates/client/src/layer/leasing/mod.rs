//! Reads from memory, of keys that this client owns.
//!
//! `table.rs` knows, without I/O, which keys are owned, and `memory.rs` what a server would answer of them; `write.rs` asks owners to give a key back before it is written;
//! `keeper.rs` is the task that answers those who ask.

mod keeper;
mod memory;
mod table;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use self::table::{Id, Table};
use super::namespace::Prefix;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::concurrency::{Session, SessionOptions};
use crate::error::{Error, ErrorKind, Result, ServerError};
use crate::request::{
    AnyRequest, AnyResponse, Compare, Get, Op, OpResponse, Put, Request, StreamRequest, Txn,
};
use crate::response::{GetResponse, ResponseHeader, TxnResponse};
use crate::revision::Revision;
use crate::service::{CallOptions, Service, Streaming, mismatch};
use crate::task::Task;
use crate::transport::Unary;

/// How many keys a layer owns at most.
const CAPACITY: usize = 10_000;

/// A layer that answers reads of single keys from memory, as good as if it asked the cluster.
///
/// With the first read of a key the client becomes its *owner*: it makes a key with the leasing prefix before it, attached
/// to a session. As long as it has that, it reads the key from memory. Whoever wants to write a key that somebody else owns
/// asks for it, by writing `REVOKE` into the owner's key, and waits until the owner has deleted it, or died: until its
/// deadline, and without one of its own for 60 seconds. So reads cost nothing and writes cost more: for keys that are read often and written seldom.
///
/// **All that write these keys have to do so through such a layer with the same prefix** (Go's `leasing` will do), or owners
/// don't learn of it. Reads are linearizable as far as clocks run at the same speed on owner and server: the owner stops
/// answering when its lease could have ended.
///
/// A transaction is answered from memory too, if its conditions and all that it reads are about keys that are owned, and if
/// it writes nothing on the way that it goes; all of it shows one moment.
///
/// What it does not read from memory it asks the cluster for: ranges, the past, keys that are attached to a lease, keys
/// that others asked for within the last two seconds, and anything while there is no session. It owns 10 000 keys at most.
/// After a gap in what it could watch, and when the history went back, it owns nothing of what it did before.
/// A transaction that, with a look at each key that it writes, would be too large for etcd, has everything given back that
/// lies between the first and the last of them; the largest that it takes has one operation less than etcd's largest.
///
/// ```
/// use std::time::Duration;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let client = client.leasing("/leasing/", Duration::from_secs(10)).await?;
///     client.get("/flags/dark").await?; // Asks the cluster, and owns the key from here on.
///     client.get("/flags/dark").await?; // Asks nobody.
///     client.put("/flags/dark", "on").await?;
///     client.service().close().await
/// }
/// ```
pub struct Leasing<S: Service + Clone> {
    client: Client<S>,
    prefix: Prefix,
    shared: Arc<Shared<S>>,
    _keeper: Arc<Task>,
}

/// What the layer and its task share.
struct Shared<S> {
    table: Mutex<Table>,
    session: Mutex<Held<S>>,
    /// Owners' keys that are to be deleted, with the revision that each was made at.
    given_up: Mutex<Vec<(Bytes, Revision)>>,
    work: Notify,
    /// The highest revision of all answers: what is owned is of that revision too.
    seen: Mutex<ResponseHeader>,
}

/// What everything hangs on.
enum Held<S> {
    Session(Session<S>),
    /// The last one was lost, and the task tries to begin another.
    Lost,
    /// There will be none any more.
    Closed,
}

impl<S: Service + Clone> Client<S> {
    /// A client that reads single keys from memory as long as it owns them: see [`Leasing`].
    ///
    /// # Errors
    ///
    /// As [`Client::session`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, a lease that was granted runs out by itself.
    pub async fn leasing(
        self,
        prefix: impl Into<ByteString>,
        session: impl Into<SessionOptions>,
    ) -> Result<Client<Leasing<S>>> {
        let prefix = prefix.into();
        if prefix.as_ref().is_empty() {
            return Err(Error::invalid(
                "the leasing prefix is empty: owners' keys need a place of their own",
            ));
        }
        let options = session.into();
        let session = self.session(options.clone()).await?;
        let prefix = Prefix::new(prefix.into_bytes());
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(CAPACITY)),
            session: Mutex::new(Held::Session(session.clone())),
            given_up: Mutex::default(),
            work: Notify::new(),
            seen: Mutex::default(),
        });
        let keeper =
            keeper::start(self.clone(), prefix.clone(), session, options, Arc::clone(&shared));
        let layer = Leasing { client: self.clone(), prefix, shared, _keeper: Arc::new(keeper) };
        Ok(self.layer(|_| layer))
    }
}

impl<S> Shared<S> {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held<S>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, if it lives for sure.
    fn session(&self) -> Option<Session<S>> {
        match &*self.held() {
            Held::Session(session) if session.state().is_alive() => Some(session.clone()),
            _ => None,
        }
    }

    /// The session was lost: nothing is owned. `false` if no other is wanted.
    fn lose_session(&self) -> bool {
        let mut held = self.held();
        self.table().close();
        if matches!(*held, Held::Closed) {
            return false;
        }
        *held = Held::Lost;
        true
    }

    /// There is another session; `false` if it is not wanted any more.
    fn begin_session(&self, session: &Session<S>) -> bool {
        let mut held = self.held();
        if matches!(*held, Held::Closed) {
            return false;
        }
        *held = Held::Session(session.clone());
        self.table().reopen();
        true
    }

    /// Owns nothing from here on.
    fn close(&self) -> Option<Session<S>> {
        let held = std::mem::replace(&mut *self.held(), Held::Closed);
        self.table().close();
        match held {
            Held::Session(session) => Some(session),
            Held::Lost | Held::Closed => None,
        }
    }

    /// Has the task delete an owner's key.
    fn give_up(&self, owner: Bytes, since: Revision) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).push((owner, since));
        self.work.notify_one();
    }

    /// Nobody knows what became of the owners' keys: nothing is owned any more.
    fn give_all_up(&self, prefix: &Prefix) {
        let owned = self.table().clear();
        owned.iter().for_each(|(key, since)| self.give_up(prefix.join(key), *since));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = ResponseHeader::default();
    }

    /// Where the history went back, what was read and owned before is void.
    fn heed(&self, error: &Error, prefix: &Prefix) {
        if error.kind() == ErrorKind::ClusterChanged {
            self.give_all_up(prefix);
        }
    }

    fn take_given_up(&self) -> Vec<(Bytes, Revision)> {
        std::mem::take(&mut *self.given_up.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, header: ResponseHeader) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if header.revision > seen.revision {
            *seen = header;
        }
    }

    fn header(&self) -> ResponseHeader {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is being taken; given up when it is dropped.
struct Taking<'a, S> {
    shared: &'a Shared<S>,
    key: Bytes,
    id: Option<Id>,
}

impl<S> Drop for Taking<'_, S> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.table().drop_holding(&self.key, id);
        }
    }
}

impl<S: Service + Clone> Leasing<S> {
    /// How many keys it owns, or is about to.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.shared.table().len()
    }

    /// Gives all keys back, so that others can write them at once. From here on every read asks the cluster.
    ///
    /// # Errors
    ///
    /// As [`Session::close`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the keys are free when the lease ends.
    pub async fn close(&self) -> Result<()> {
        match self.shared.close() {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }

    async fn get(&self, get: Get, options: &CallOptions) -> Result<GetResponse> {
        let range = get.key_range();
        let key = Bytes::copy_from_slice(range.start());
        let ours = range.is_single_key() && !key.is_empty() && get.revision().is_none();
        if !ours {
            return Box::pin(self.pass(get, options)).await;
        }
        let session = self.shared.session();
        if session.is_some()
            && let Some(kv) = self.shared.table().read(&key)
        {
            return Ok(memory::get(&get, kv, self.shared.header()));
        }
        let taking = match &session {
            Some(_) if !get.is_serializable() => self.shared.table().take(&key, clock::now()),
            _ => None,
        };
        match (session, taking) {
            (Some(session), Some(id)) => {
                let taking = Taking { shared: &self.shared, key, id: Some(id) };
                // Boxed, so that a read from memory stays small.
                Box::pin(self.take_or_pass(get, taking, &session, options)).await
            }
            _ => Box::pin(self.pass(get, options)).await,
        }
    }

    async fn pass(&self, get: Get, options: &CallOptions) -> Result<GetResponse> {
        let answer = self.client.service().call(get, options).await?;
        self.shared.note(answer.header());
        Ok(answer)
    }

    /// Reads a key, if possible as its owner. That it could not be owned is no reason for a read to fail.
    async fn take_or_pass(
        &self,
        get: Get,
        taking: Taking<'_, S>,
        session: &Session<S>,
        options: &CallOptions,
    ) -> Result<GetResponse> {
        match self.take(get.clone(), taking, session, options).await {
            Err(error) if is_about_owning(&error) => self.pass(get, options).await,
            done => done,
        }
    }

    /// Reads a key, and becomes its owner if nobody is, and if no lease can end it unseen.
    async fn take(
        &self,
        get: Get,
        mut taking: Taking<'_, S>,
        session: &Session<S>,
        options: &CallOptions,
    ) -> Result<GetResponse> {
        let owner = self.prefix.join(&taking.key);
        let whole = Get::new(&taking.key);
        let txn = Txn::new()
            .when([Compare::missing(&owner), Compare::lease(&taking.key).eq(None)])
            .then([Op::from(whole), Put::new(&owner, "").lease(session.lease()).into()])
            .or_else([get.clone()]);
        let done = self.client.service().call(txn, options).await?;
        let (header, owned) = (done.header(), done.succeeded());
        self.shared.note(header);
        let read = done.into_responses().into_iter().next().and_then(OpResponse::into_get);
        let read = read.ok_or_else(|| Error::internal("a read was not answered"))?;
        if !owned {
            return Ok(with_header(read, header));
        }
        let kv = read.into_first().map(|kv| kv.detached());
        let id = taking.id.take().unwrap_or_default();
        if !self.shared.table().taken(&taking.key, id, header.revision, kv.clone()) {
            self.shared.give_up(owner, header.revision);
        }
        Ok(memory::get(&get, kv, header))
    }

    async fn txn(&self, txn: Txn, options: &CallOptions) -> Result<TxnResponse> {
        txn.check()?;
        if self.shared.session().is_some()
            && let Some(answer) = memory::txn(&txn, &self.shared.table(), self.shared.header())
        {
            return Ok(answer);
        }
        if txn.is_read_only() {
            let answer = Box::pin(self.client.service().call(txn, options)).await?;
            self.shared.note(answer.header());
            return Ok(answer);
        }
        match self.change(txn.into(), options).await? {
            OpResponse::Txn(answer) => Ok(answer),
            other => Err(odd(&other)),
        }
    }
}

/// Whether it says that a key could not be owned, and nothing of reading it: that is repeated, writes nothing, and needs no
/// lease and no permission for the owner's key.
fn is_about_owning(error: &Error) -> bool {
    use ServerError as S;
    error.kind() == ErrorKind::Unavailable && error.maybe_applied()
        || matches!(error.server_error(), Some(S::LeaseNotFound | S::NoSpace | S::PermissionDenied))
}

fn with_header(answer: GetResponse, header: ResponseHeader) -> GetResponse {
    let (count, more) = (answer.count(), answer.more());
    let answer = GetResponse::new(header, answer.into_kvs()).with_count(count);
    if more { answer.with_more() } else { answer }
}

impl<S: Service + Clone> Service for Leasing<S> {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        let answer = self.answer(request.into_any(), options).await;
        let answer = answer.inspect_err(|error| self.shared.heed(error, &self.prefix))?;
        R::response(answer).ok_or_else(mismatch::<R>)
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        let opened = self.client.service().open(request, options).await;
        let stream = opened.inspect_err(|error| self.shared.heed(error, &self.prefix))?;
        // A stream may outlive the layer, and must not keep its session.
        let (shared, prefix) = (Arc::downgrade(&self.shared), self.prefix.clone());
        let heed = move |error: &Error| {
            if let Some(shared) = shared.upgrade() {
                shared.heed(error, &prefix);
            }
        };
        Ok(stream.map(move |item| item.inspect_err(&heed)))
    }
}

impl<S: Service + Clone> Leasing<S> {
    async fn answer(&self, request: AnyRequest, options: &CallOptions) -> Result<AnyResponse> {
        use AnyRequest as Q;
        Ok(match request {
            Q::Get(get) => AnyResponse::Get(self.get(get, options).await?),
            Q::Op(Op::Get(get)) => AnyResponse::Op(OpResponse::Get(self.get(get, options).await?)),
            Q::Put(put) => match self.change(put.into(), options).await? {
                OpResponse::Put(answer) => AnyResponse::Put(answer),
                other => return Err(odd(&other)),
            },
            Q::Delete(delete) => match self.change(delete.into(), options).await? {
                OpResponse::Delete(answer) => AnyResponse::Delete(answer),
                other => return Err(odd(&other)),
            },
            Q::Txn(txn) => AnyResponse::Txn(self.txn(txn, options).await?),
            Q::Op(Op::Txn(txn)) => AnyResponse::Op(OpResponse::Txn(self.txn(txn, options).await?)),
            Q::Op(op) => AnyResponse::Op(self.change(op, options).await?),
            // What writes no keys that could be owned: the keys of a lease are never taken, and
            // those of locks and elections are attached to one.
            request => Box::pin(request.call_on(self.client.service(), options)).await?,
        })
    }
}

fn odd(answer: &OpResponse) -> Error {
    Error::internal(format!("a write was answered by another one's answer: {answer:?}"))
}

impl<S: Service + Clone> Clone for Leasing<S> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            prefix: self.prefix.clone(),
            shared: Arc::clone(&self.shared),
            _keeper: Arc::clone(&self._keeper),
        }
    }
}

impl<S: Service + Clone> fmt::Debug for Leasing<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leasing")
            .field("prefix", self.prefix.as_bytes())
            .field("owned", &self.owned())
            .finish_non_exhaustive()
    }
}
