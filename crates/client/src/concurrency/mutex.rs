//! A lock that one holds.

use std::fmt;

use bytes::Bytes;

use super::guard::Guard;
use super::places::Place;
use super::served::Served;
use super::session::Session;
use super::turn::{Before, Line, Turn, directory, lease_key};
use super::waiting::PAUSE;
use crate::byte_string::ByteString;
use crate::clock;
use crate::error::{Error, Result};
use crate::request::lock::Lock;
use crate::request::{Compare, Get, Op, Put, Txn};
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::transport::Channel;

/// A lock that one session holds at a time, first come, first served.
///
/// It is the lock of etcd's Go client (`concurrency.Mutex`) and of its lock service: who waits for one waits for the
/// others. Names are told apart as a whole; `a` and `a/b` have nothing to do with each other.
///
/// The session is what holds: while a session holds the lock, another [`lock`](Self::lock) with the same session holds it
/// too, and it is free when both guards are gone.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::concurrency::Mutex;
/// use etcdkit::{Put, Txn};
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let session = client.session(Duration::from_secs(10)).await?;
///     let mutex = Mutex::new(&session, "/locks/report");
///     let guard = mutex.lock().await?;
///     guard.txn(Txn::new().then([Put::new("/report", "written under the lock")])).await?;
///     guard.unlock().await
/// }
/// ```
#[derive(Clone)]
pub struct Mutex<S = Channel> {
    session: Session<S>,
    line: Line,
    key: Bytes,
    served: Option<Served>,
}

impl<S: Service + Clone> Mutex<S> {
    /// The lock `name`, to be held by `session`.
    pub fn new(session: &Session<S>, name: impl Into<ByteString>) -> Self {
        let directory = directory(name.into().into_bytes());
        let key = lease_key(&directory, session.lease());
        Self { session: session.clone(), line: Line::Leases(directory), key, served: None }
    }

    /// The same lock, for which a server waits in line, by etcd's lock service: see the [room](super).
    ///
    /// The server takes every key under `name` and a slash for one in line, so that `a` waits for `a/b` too. When the
    /// server that waits is lost, so is the place in line; [`lock`](Self::lock) then lines up anew.
    ///
    /// ```
    /// use std::time::Duration;
    /// use etcdkit::concurrency::Mutex;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let session = client.session(Duration::from_secs(10)).await?;
    ///     Mutex::on_server(&session, "/locks/report").lock().await?.unlock().await
    /// }
    /// ```
    pub fn on_server(session: &Session<S>, name: impl Into<ByteString>) -> Self {
        let name = name.into().into_bytes();
        let served = Served::Lock(Lock::new(name.clone(), session.lease()));
        Self { served: Some(served), ..Self::new(session, name) }
    }

    /// Waits for the lock, for as long as it takes and the session lives. Compactions, lost connections and other members
    /// that fail are no reason to give up.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the session expired, or somebody deleted its key. See
    /// [`Service::call`] for all calls; after an error nothing is held, and what may have been left is deleted by the
    /// session's task.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the place in line is given up: the session's task deletes the key, also one that a call
    /// under way is only about to make.
    pub async fn lock(&self) -> Result<Guard<S>> {
        self.session.alive(Box::pin(self.stand_in_line())).await
    }

    async fn stand_in_line(&self) -> Result<Guard<S>> {
        let mut place = Place::enter(&self.session, self.key.clone()).await;
        let mut stood = false;
        loop {
            let (mine, before) = match self.line_up(&mut place).await {
                Err(error) if stood && error.is_retryable() => {
                    clock::sleep(PAUSE).await;
                    continue;
                }
                lined_up => lined_up?,
            };
            stood = true;
            let turn = Turn { place: &place, line: &self.line, mine, served: self.served.as_ref() };
            if turn.come(before).await? {
                return Ok(Guard::new(place, mine));
            }
        }
    }

    /// Takes the lock if it is free; `None` if another session holds it, or waits for it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the lock is not held, or given up again.
    pub async fn try_lock(&self) -> Result<Option<Guard<S>>> {
        self.session.alive(Box::pin(self.take_if_free())).await
    }

    async fn take_if_free(&self) -> Result<Option<Guard<S>>> {
        let mut place = Place::enter(&self.session, self.key.clone()).await;
        // If nobody is there, one transaction does it, and no key is made where somebody is.
        let txn = Txn::new()
            .when([Compare::missing(self.line.range())])
            .then([self.put()])
            .or_else([self.line.oldest()]);
        let answer = place.run(txn).await?;
        if answer.succeeded() {
            let mine = answer.revision();
            return Ok(Some(Guard::new(place, mine)));
        }
        let oldest = answer.into_responses().into_iter().find_map(crate::OpResponse::into_get);
        let oldest = oldest.and_then(|answer| answer.into_first());
        match oldest {
            Some(kv) if kv.key() == self.key => {
                let mine = kv.create_revision();
                Ok(Some(Guard::new(place, mine)))
            }
            Some(kv) if self.line.holds(&kv) => Ok(None),
            // What is under the name is no lock.
            _ => self.try_among_others(place).await,
        }
    }

    /// Lines up, and leaves the line at once if somebody else is first.
    async fn try_among_others(&self, mut place: Place<S>) -> Result<Option<Guard<S>>> {
        let (mine, _) = self.line_up(&mut place).await?;
        let answer = self.session.client().call(Get::new(self.line.range())).await?;
        let first = answer.into_kvs().into_iter().filter(|kv| self.line.holds(kv));
        let first = first.min_by_key(KeyValue::create_revision);
        let guard = Guard::new(place, mine);
        if first.is_some_and(|kv| self.is_mine(&kv, mine)) {
            return Ok(Some(guard));
        }
        guard.leave().await?;
        Ok(None)
    }

    fn put(&self) -> Op {
        Put::new(&self.key, "").lease(self.session.lease()).into()
    }

    fn is_mine(&self, kv: &KeyValue, mine: Revision) -> bool {
        kv.key() == self.key && kv.create_revision() == mine
    }

    /// Makes the key unless it exists. Returns since when it is in line, and what is before it.
    async fn line_up(&self, place: &mut Place<S>) -> Result<(Revision, Before)> {
        let txn = Txn::new()
            .when([Compare::missing(&self.key)])
            .then([self.put(), self.line.youngest().into()])
            .or_else([Get::new(&self.key).keys_only()]);
        let answer = place.run(txn).await?;
        let (made, revision) = (answer.succeeded(), answer.revision());
        let read = answer.into_responses().into_iter().find_map(crate::OpResponse::into_get);
        let read = read.ok_or_else(unanswered)?;
        if made {
            return Ok((revision, self.line.before_of(read, revision)));
        }
        let own = read.into_first().ok_or_else(unanswered)?;
        Ok((own.create_revision(), Before::Unknown))
    }
}

fn unanswered() -> Error {
    Error::internal("a key exists and can't be read in one transaction")
}

impl<S> fmt::Debug for Mutex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("key", &self.key).finish_non_exhaustive()
    }
}
