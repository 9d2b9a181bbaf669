//! A room that so many enter together, and leave together.

use std::fmt;

use bytes::Bytes;

use super::places::Place;
use super::session::Session;
use super::turn::{Line, directory, gone, join, two};
use super::waiting;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Compare, Delete, Get, Op, Put, Txn, Watch};
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::transport::Channel;

/// A room that a number of participants enter together and leave together. That of etcd's Go client
/// (`recipe.DoubleBarrier`).
///
/// Who dies inside, or before everybody was there, is left out: its key goes with its session.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::concurrency::DoubleBarrier;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let session = client.session(Duration::from_secs(10)).await?;
///     let inside = DoubleBarrier::new(&session, "/round-1", 3).enter().await?;
///     // All three are here.
///     inside.leave().await
/// }
/// ```
#[derive(Clone)]
pub struct DoubleBarrier<S = Channel> {
    session: Session<S>,
    directory: Bytes,
    participants: usize,
}

/// One that has entered a [`DoubleBarrier`].
///
/// Dropping it leaves without waiting for the others.
#[must_use = "dropping it leaves without waiting for the others"]
pub struct Inside<S = Channel> {
    place: Place<S>,
    barrier: DoubleBarrier<S>,
}

impl<S: Service + Clone> DoubleBarrier<S> {
    /// The room `key` for so many participants, of which `session` is to be one.
    pub fn new(session: &Session<S>, key: impl Into<ByteString>, participants: usize) -> Self {
        let directory = directory(key.into().into_bytes());
        Self { session: session.clone(), directory, participants }
    }

    fn client(&self) -> &Client<S> {
        self.session.client()
    }

    fn line(&self) -> Line {
        Line::Numbers(self.directory.clone(), &["waiters/"])
    }

    fn ready(&self) -> Bytes {
        join(&self.directory, b"ready")
    }

    /// Those in line in a list of keys.
    fn waiters(&self, kvs: Vec<KeyValue>) -> Vec<KeyValue> {
        let line = self.line();
        kvs.into_iter().filter(|kv| line.holds(kv)).collect()
    }

    /// Waits until all participants are there.
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](ErrorKind::ResourceExhausted) if as many as there may be have come before.
    /// [`NotFound`](ErrorKind::NotFound) if the session expired. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, this one is no participant.
    pub async fn enter(&self) -> Result<Inside<S>> {
        self.session.alive(Box::pin(self.come_in())).await
    }

    async fn come_in(&self) -> Result<Inside<S>> {
        let number = clock::rng().i64(1..=i64::MAX);
        let key = join(&self.directory, format!("waiters/{number}").as_bytes());
        let mut place = Place::enter(&self.session, key.clone()).await;
        let put = Put::new(&key, "").lease(self.session.lease());
        let all = Get::new(self.line().range());
        let txn = Txn::new().when([Compare::missing(&key)]).then([Op::from(put), all.into()]);
        let answer = place.run(txn).await?;
        if !answer.succeeded() {
            let message = "two participants drew the same number of 63 bits: enter again";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let mine = answer.revision();
        let all = answer.into_responses().into_iter().find_map(crate::OpResponse::into_get);
        let all = all.ok_or_else(|| Error::internal("a read was not answered"))?;
        let count = self.waiters(all.into_kvs()).len();
        if count > self.participants {
            place.leave(Txn::new().then([Delete::new(&key)])).await?;
            let message = format!("too many clients: the barrier is for {}", self.participants);
            return Err(Error::new(ErrorKind::ResourceExhausted, message));
        }
        if count == self.participants {
            // Only one that still is there can be the one that was missing.
            let here = Compare::create_revision(&key).eq(mine);
            let say = Txn::new().when([here]).then([Put::new(self.ready(), "")]);
            if !self.client().call(say).await?.succeeded() {
                return Err(gone(&key));
            }
        } else {
            self.made_ready(&key, mine).await?;
        }
        Ok(Inside { place, barrier: self.clone() })
    }

    /// Waits until somebody who came later has said that all are there.
    async fn made_ready(&self, key: &Bytes, mine: Revision) -> Result<()> {
        let ready = self.ready();
        loop {
            let look = Txn::new().then([Get::new(&ready), Get::new(key)]);
            let answer = waiting::patiently(|| self.client().call(look.clone())).await?;
            let since = answer.revision().next();
            let (said, own) = two(answer)?;
            // What was said before this one came is about others.
            if said.first().is_some_and(|kv| kv.mod_revision() > mine) {
                return Ok(());
            }
            if own.is_empty() {
                return Err(gone(key));
            }
            let watch = Watch::new(&ready).from_revision(since).only_puts();
            waiting::happens(self.client(), watch).await?;
        }
    }
}

impl<S: Service + Clone> Inside<S> {
    /// Waits until all that are inside want to leave.
    ///
    /// # Errors
    ///
    /// See [`Service::call`]. After an error this one has left.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, this one leaves without waiting for the others.
    pub async fn leave(self) -> Result<()> {
        Box::pin(self.leave_together()).await
    }

    /// The oldest waits for the youngest, again and again, and each other one goes and waits for the oldest: so the
    /// oldest is the last, or whoever is left when it dies.
    async fn leave_together(self) -> Result<()> {
        let Self { place, barrier } = self;
        let client = barrier.client();
        let key = place.key().clone();
        let delete = || Txn::new().then([Delete::new(&key)]);
        let mut place = Some(place);
        loop {
            let all = client.call(Get::new(barrier.line().range())).await?.into_kvs();
            let mut waiters = barrier.waiters(all);
            waiters.sort_unstable_by_key(KeyValue::create_revision);
            let (Some(oldest), Some(youngest)) = (waiters.first(), waiters.last()) else { break };
            if oldest.key() == key && youngest.key() == key {
                break;
            }
            if oldest.key() == key {
                waiting::missing(client, youngest.key()).await?;
                continue;
            }
            if let Some(place) = place.take() {
                place.leave(delete()).await?;
            }
            waiting::missing(client, oldest.key()).await?;
        }
        if let Some(place) = place.take() {
            place.leave(delete()).await?;
        }
        // Nobody is left to whom it would say anything, unless somebody has entered anew.
        let over = Compare::missing(barrier.line().range());
        let over = Txn::new().when([over]).then([Delete::new(barrier.ready())]);
        client.call(over).await.map(drop)
    }
}

impl<S> fmt::Debug for DoubleBarrier<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoubleBarrier")
            .field("directory", &self.directory)
            .field("participants", &self.participants)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Inside<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").field("barrier", &self.barrier).finish_non_exhaustive()
    }
}
