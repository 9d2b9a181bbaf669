//! Who leads.

use std::fmt;

use bytes::Bytes;

use super::guard::{Guard, Loss};
use super::leaders::Leaders;
use super::places::Place;
use super::served::Served;
use super::session::Session;
use super::turn::{Before, Line, Turn, directory, gone, lease_key};
use super::waiting::PAUSE;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, Result};
use crate::request::election::Campaign;
use crate::request::{Compare, Get, Put, Txn};
use crate::response::{KeyValue, TxnResponse};
use crate::revision::Revision;
use crate::service::Service;
use crate::transport::Channel;

/// An election: of those who campaign, the one that came first leads.
///
/// It is the election of etcd's Go client (`concurrency.Election`) and of its election service: all of them elect one.
/// Names are told apart as a whole.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::concurrency::Election;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let session = client.session(Duration::from_secs(10)).await?;
///     let election = Election::new(&session, "/leader");
///     let leadership = election.campaign("node-1").await?;
///     leadership.proclaim("node-1, ready").await?;
///     leadership.resign().await
/// }
/// ```
#[derive(Clone)]
pub struct Election<S = Channel> {
    session: Session<S>,
    directory: Bytes,
    key: Bytes,
    /// The name of the election, if a server is to wait.
    served: Option<Bytes>,
}

/// A leadership, for as long as its key exists; see [`Guard`].
///
/// Dropping it resigns: the session's task deletes the key, as soon as it can.
#[must_use = "a leadership is resigned when it is dropped"]
pub struct Leadership<S = Channel>(Guard<S>);

impl<S: Service + Clone> Election<S> {
    /// The election `name`, in which `session` is to be a candidate.
    pub fn new(session: &Session<S>, name: impl Into<ByteString>) -> Self {
        let directory = directory(name.into().into_bytes());
        let key = lease_key(&directory, session.lease());
        Self { session: session.clone(), directory, key, served: None }
    }

    /// The same election, in which a server waits in line, by etcd's election service: see the [room](super) and
    /// [`Mutex::on_server`](super::Mutex::on_server), whose words on names and lost servers hold here too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use etcdkit::concurrency::Election;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let session = client.session(Duration::from_secs(10)).await?;
    ///     Election::on_server(&session, "/leader").campaign("node-1").await?.resign().await
    /// }
    /// ```
    pub fn on_server(session: &Session<S>, name: impl Into<ByteString>) -> Self {
        let name = name.into().into_bytes();
        Self { served: Some(name.clone()), ..Self::new(session, name) }
    }

    /// Waits until elected, for as long as it takes and the session lives; `value` is what a leader has to say.
    ///
    /// It leads only if its own key is there at the very revision at which no older one is: a candidate whose session
    /// expired while it waited does not lead.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the candidacy is given up.
    pub async fn campaign(&self, value: impl Into<ByteString>) -> Result<Leadership<S>> {
        let value = value.into().into_bytes();
        self.session.alive(Box::pin(self.stand_in_line(value))).await
    }

    async fn stand_in_line(&self, value: Bytes) -> Result<Leadership<S>> {
        let campaign = |name: &Bytes| Campaign::new(name, self.session.lease(), &value);
        let served = self.served.as_ref().map(|name| Served::Campaign(campaign(name)));
        let line = Line::Leases(self.directory.clone());
        let mut place = Place::enter(&self.session, self.key.clone()).await;
        let mut stood = false;
        loop {
            let (mine, before) = match self.stand(&mut place, &line, &value).await {
                Err(error) if stood && error.is_retryable() => {
                    clock::sleep(PAUSE).await;
                    continue;
                }
                standing => standing?,
            };
            stood = true;
            let turn = Turn { place: &place, line: &line, mine, served: served.as_ref() };
            if turn.come(before).await? {
                return Ok(Leadership(Guard::new(place, mine)));
            }
        }
    }

    /// Is a candidate with `value`. Returns since when, and what is before it.
    async fn stand(
        &self,
        place: &mut Place<S>,
        line: &Line,
        value: &Bytes,
    ) -> Result<(Revision, Before)> {
        let put = || Put::new(&self.key, value).lease(self.session.lease());
        let txn = Txn::new()
            .when([Compare::missing(&self.key)])
            .then([put()])
            .then([line.youngest()])
            .or_else([Get::new(&self.key)]);
        let answer = place.run(txn).await?;
        let (made, revision) = (answer.succeeded(), answer.revision());
        let read = answer.into_responses().into_iter().find_map(crate::OpResponse::into_get);
        let read = read.ok_or_else(|| Error::internal("a candidacy was not answered"))?;
        if made {
            return Ok((revision, line.before_of(read, revision)));
        }
        let own = read.into_first().ok_or_else(|| gone(&self.key))?;
        let mine = own.create_revision();
        if own.value() != value {
            proclaim(self.session.client(), Compare::create_revision(&self.key).eq(mine), put())
                .await?;
        }
        Ok((mine, Before::Unknown))
    }

    /// A leadership that was won before, by its key and revision: for a program that was started anew and whose session
    /// [kept its lease](super::SessionOptions::lease). A value that it proclaims is attached to this session's lease.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if that key does not lead. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the leadership stays as it is.
    pub async fn resume(
        &self,
        key: impl Into<ByteString>,
        revision: impl Into<Revision>,
    ) -> Result<Leadership<S>> {
        let (key, revision) = (key.into().into_bytes(), revision.into());
        if !key.starts_with(&self.directory) {
            let message = format!(
                "the key {key:?} is none of this election: its keys begin with {:?}",
                self.directory
            );
            return Err(Error::invalid(message));
        }
        let leader = self.leader().await?;
        if leader.is_none_or(|kv| kv.key() != key || kv.create_revision() != revision) {
            return Err(gone(&key));
        }
        let mut place = Place::enter(&self.session, key).await;
        place.found(revision);
        Ok(Leadership(Guard::new(place, revision)))
    }

    /// Who leads now, with what it has to say; `None` if nobody does.
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn leader(&self) -> Result<Option<KeyValue>> {
        leader(self.session.client(), &Line::Leases(self.directory.clone())).await
    }

    /// Who leads: now, and after every change, also of what the leader has to say. Nothing is left out unless it was
    /// compacted; see [`Leaders`].
    pub fn observe(&self) -> Leaders<S> {
        Leaders::new(self.session.client().clone(), self.directory.clone())
    }
}

impl<S: Service + Clone> Client<S> {
    /// Who leads an election, for those who are no candidates: see [`Election::leader`](super::Election::leader).
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn election_leader(&self, name: impl Into<ByteString>) -> Result<Option<KeyValue>> {
        let line = Line::Leases(directory(name.into().into_bytes()));
        leader(self, &line).await
    }

    /// Who leads an election, now and after every change, for those who are no candidates: see
    /// [`Election::observe`](super::Election::observe).
    pub fn election_leaders(&self, name: impl Into<ByteString>) -> Leaders<S> {
        Leaders::new(self.clone(), directory(name.into().into_bytes()))
    }
}

async fn leader<S: Service>(client: &Client<S>, line: &Line) -> Result<Option<KeyValue>> {
    match client.call(line.oldest()).await?.into_first() {
        Some(kv) if !line.holds(&kv) => {
            let all = client.call(Get::new(line.range())).await?.into_kvs().into_iter();
            Ok(all.filter(|kv| line.holds(kv)).min_by_key(KeyValue::create_revision))
        }
        leader => Ok(leader),
    }
}

/// Does `put` under the condition that its key is the one that was meant.
async fn proclaim<S: Service>(client: &Client<S>, held: Compare, put: Put) -> Result<()> {
    let key = put.key_bytes();
    let answer = client.call(Txn::new().when([held]).then([put])).await?;
    if answer.succeeded() { Ok(()) } else { Err(gone(&key)) }
}

impl<S: Service + Clone> Leadership<S> {
    /// The key and its revision, with all that a lock's guard can do.
    pub fn guard(&self) -> &Guard<S> {
        &self.0
    }

    /// The key that leads.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        self.0.key()
    }

    /// The revision that the key was made at: grows from leader to leader.
    #[must_use]
    pub fn fencing_token(&self) -> Revision {
        self.0.fencing_token()
    }

    /// Does a transaction if this still leads: see [`Guard::txn`].
    ///
    /// # Errors
    ///
    /// As [`Guard::txn`].
    ///
    /// # Cancellation
    ///
    /// As [`Guard::txn`].
    pub async fn txn(&self, txn: Txn) -> Result<TxnResponse> {
        self.0.txn(txn).await
    }

    /// Waits until the leadership is lost: see [`Guard::lost`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> Loss {
        self.0.lost().await
    }

    /// Changes what the leader has to say.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not lead any more. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub async fn proclaim(&self, value: impl Into<ByteString>) -> Result<()> {
        let put = Put::new(self.key(), value).lease(self.0.session().lease());
        proclaim(self.0.session().client(), self.0.held(), put).await
    }

    /// Gives the leadership up, and waits for that. That it was lost before is no error.
    ///
    /// # Errors
    ///
    /// After an error the session's task goes on trying. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the leadership is given up all the same.
    pub async fn resign(self) -> Result<()> {
        self.0.leave().await.map(drop)
    }
}

impl<S> fmt::Debug for Leadership<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership").field(&self.0).finish()
    }
}

impl<S> fmt::Debug for Election<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election").field("key", &self.key).finish_non_exhaustive()
    }
}
