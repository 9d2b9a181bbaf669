//! Keys: the calls of [`Client`] that read and write them.
//!
//! One method for each request of the key-value API, and what is made of several: a read in pages, a write that is safe
//! to repeat, values as JSON. All of it goes through [`Client::call`], so that it works on every [`Service`].

mod pages;
mod put_once;

pub use put_once::PutOnce;

use std::future::Future;

use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::error::{ErrorKind, Result};
use crate::request::{Compact, Delete, Get, GetStream, Put, Txn};
use crate::response::{DeleteResponse, GetResponse, HeaderResponse, PutResponse, TxnResponse};
use crate::revision::Revision;
use crate::service::{Service, Streaming};

use pages::Pages;
use put_once::{Attempts, Step};

impl<S: Service> Client<S> {
    /// Reads a key, or whatever a [`Get`] says.
    ///
    /// ```
    /// use etcdkit::{Client, Get, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     if let Some(kv) = client.get("/a").await?.first() {
    ///         println!("{:?} since revision {}", kv.value(), kv.mod_revision());
    ///     }
    ///     let jobs = client.get(Get::prefix("/jobs/").keys_only()).await?;
    ///     println!("{} jobs", jobs.count());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A key that does not exist is none: the answer is empty. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn get(&self, get: impl Into<Get>) -> impl Future<Output = Result<GetResponse>> + Send {
        self.call(get.into())
    }

    /// Writes `value` to `key`; for more, [`call`](Self::call) with a [`Put`].
    ///
    /// ```
    /// use etcdkit::{Client, LeaseId, Put, Result};
    ///
    /// async fn example(client: Client, lease: LeaseId) -> Result<()> {
    ///     client.put("/a", "1").await?;
    ///     let before = client.call(Put::new("/a", "2").lease(lease).prev_kv()).await?;
    ///     assert_eq!(before.prev_kv().map(|kv| kv.value()), Some(b"1".as_slice()));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Service::call`]. If [`maybe_applied`](crate::Error::maybe_applied), the value may have been written;
    /// [`put_once`](Self::put_once) finds out.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the value may or may not be written.
    pub fn put(
        &self,
        key: impl Into<ByteString>,
        value: impl Into<ByteString>,
    ) -> impl Future<Output = Result<PutResponse>> + Send {
        self.call(Put::new(key, value))
    }

    /// Deletes a key, or whatever a [`Delete`] says.
    ///
    /// ```
    /// use etcdkit::{Client, Delete, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     client.delete("/a").await?;
    ///     let gone = client.delete(Delete::prefix("/jobs/")).await?;
    ///     println!("{} jobs deleted", gone.deleted());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A key that does not exist is none. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the keys may or may not be deleted.
    pub fn delete(
        &self,
        delete: impl Into<Delete>,
    ) -> impl Future<Output = Result<DeleteResponse>> + Send {
        self.call(delete.into())
    }

    /// Runs a transaction.
    ///
    /// ```
    /// use etcdkit::{Client, Compare, Get, Put, Result, Txn};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     let create = Txn::new()
    ///         .when([Compare::missing("/leader")])
    ///         .then([Put::new("/leader", "me")])
    ///         .or_else([Get::new("/leader")]);
    ///     let outcome = client.txn(create).await?;
    ///     if !outcome.succeeded() {
    ///         let leader = outcome.responses()[0].as_get().and_then(|answer| answer.first());
    ///         println!("led by {leader:?}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That a condition does not hold is none. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the transaction may or may not be done; all of it or nothing.
    pub fn txn(&self, txn: Txn) -> impl Future<Output = Result<TxnResponse>> + Send {
        self.call(txn)
    }

    /// Forgets the history before a revision.
    ///
    /// ```
    /// use etcdkit::{Client, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     let now = client.get("/a").await?.revision();
    ///     client.compact(now).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Compacted`] if the history is gone to there already,
    /// [`ErrorKind::FutureRevision`] if there is no such revision yet. See
    /// [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the history may or may not be forgotten.
    pub fn compact(
        &self,
        compact: impl Into<Compact>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(compact.into())
    }

    /// Reads a range in pieces, for ranges too large to be held in memory at once.
    ///
    /// A [`timeout`](crate::CallOptions::timeout) holds for all of the stream, whether the server streams it or is asked for
    /// page after page.
    ///
    /// ```
    /// use etcdkit::{Client, Get, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     let mut pieces = client.get_stream(Get::prefix("/jobs/")).await?;
    ///     while let Some(piece) = pieces.next().await {
    ///         for kv in &piece? {
    ///             println!("{kv:?}");
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the stream can't be opened. What fails later is the last item of the stream, such as
    /// [`ErrorKind::Compacted`] if the revision that is read was compacted meanwhile.
    ///
    /// # Cancellation
    ///
    /// Dropping the future, or the stream, ends the read.
    pub fn get_stream(
        &self,
        get: impl Into<Get>,
    ) -> impl Future<Output = Result<Streaming<GetResponse>>> + Send {
        self.open(GetStream::from(get.into()))
    }

    /// Reads all keys of a range in pages, as one answer at one revision.
    ///
    /// The same as [`get`](Self::get) for the caller, but no message grows with the range: what neither the server nor a
    /// proxy would let pass in one is read in many, as large as the size of the keys allows. The keys still have to fit
    /// into memory; [`get_stream`](Self::get_stream) is for those that don't.
    ///
    /// A read that the server can't cut before it has seen the whole range (sorted other than by ascending key, or
    /// filtered by revision) is made at once.
    ///
    /// ```
    /// use etcdkit::{Client, Get, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     let all = client.get_all(Get::prefix("/jobs/")).await?;
    ///     assert_eq!(all.kvs().len() as u64, all.count());
    ///     println!("{} jobs at revision {}", all.count(), all.revision());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Compacted`] if the revision of the first page is compacted before the
    /// last is read. See [`Service::call`] for all calls. The deadline holds for each page by itself.
    ///
    /// # Cancellation
    ///
    /// What was read is lost with the future.
    pub fn get_all(&self, get: impl Into<Get>) -> impl Future<Output = Result<GetResponse>> + Send {
        let mut pages = Pages::new(get.into());
        async move {
            loop {
                match self.call(pages.request()).await {
                    Ok(page) => {
                        if let Some(all) = pages.answer(page) {
                            return Ok(all);
                        }
                    }
                    Err(error) => {
                        if error.kind() != ErrorKind::FutureRevision || !pages.ask_all() {
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    /// Writes a key once, however often it takes to be sent; returns the revision of the write.
    ///
    /// A [`put`](Self::put) whose answer gets lost leaves the caller with a choice: to repeat it, and perhaps write over
    /// what another client wrote in between, or to leave it, and perhaps not have written. This is sent as a transaction
    /// that writes only if the key is still as it was, and so may be repeated until an answer arrives.
    ///
    /// What it promises:
    ///
    /// * Success: the value was written at the returned revision, and only there.
    /// * An error of which [`maybe_applied`](crate::Error::maybe_applied) is false: it was not written, and will not be.
    /// * An error of which it is true: it was written once or not at all. That is left when time is up, when answers
    ///   keep getting lost, when another client has changed the key further, which hides whether our write came
    ///   first, and when the store was too full for a new key, which is not there.
    ///
    /// What it does not:
    ///
    /// * After a lost answer, another client's write of the very same value and lease, made in the place of ours, is
    ///   taken for ours.
    /// * Of a key that does not exist, there is no state to compare with but its absence. If another client deletes the
    ///   key right after an attempt whose answer was lost has created it, the next attempt creates it once more; so does
    ///   an attempt that a member held back until then.
    /// * It takes the permission to read the key, and one round trip more than a put, unless the state to follow is
    ///   known: see [`PutOnce::replace`] and [`PutOnce::create`].
    ///
    /// ```
    /// use etcdkit::{Client, ErrorKind, PutOnce, Result};
    ///
    /// async fn withdraw(client: Client) -> Result<()> {
    ///     let answer = client.get("/balance").await?;
    ///     let Some(seen) = answer.first() else { return Ok(()) };
    ///     match client.put_once(PutOnce::replace(seen, "90")).await {
    ///         Ok(revision) => println!("withdrawn at revision {revision}"),
    ///         Err(error) if error.kind() == ErrorKind::Conflict && !error.maybe_applied() => {
    ///             println!("someone was faster")
    ///         }
    ///         Err(error) => return Err(error),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if the key is not, or no longer, as the write expects it. See
    /// [`Service::call`] for all calls. A [`timeout`](crate::CallOptions::timeout) holds for all of it together; without one,
    /// each attempt has the client's default, and the first that uses it up is the last.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the value may or may not be written; never twice.
    pub fn put_once(&self, write: PutOnce) -> impl Future<Output = Result<Revision>> + Send {
        let mut attempts = Attempts::new(write);
        async move {
            let deadline = self.options().deadline();
            let mut step = attempts.begin();
            loop {
                step = match step {
                    Step::Read(get) => match clock::until(deadline, self.call(get)).await {
                        Some(answer) => attempts.read(answer)?,
                        None => return Err(attempts.out_of_time(false)),
                    },
                    Step::Write(txn) => match clock::until(deadline, self.call(txn)).await {
                        Some(Ok(answer)) => attempts.answered(answer)?,
                        Some(Err(error)) => attempts.failed(error)?,
                        None => return Err(attempts.out_of_time(true)),
                    },
                    Step::Done(revision) => return Ok(revision),
                };
            }
        }
    }

    /// Reads the value of a key as JSON; `None` if there is no such key.
    ///
    /// ```
    /// use etcdkit::{Client, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     let limits: Option<Vec<u32>> = client.get_json("/limits").await?;
    ///     println!("{limits:?}");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if the value is not the JSON form of a `T`. See
    /// [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn get_json<T>(
        &self,
        key: impl Into<ByteString>,
    ) -> impl Future<Output = Result<Option<T>>> + Send
    where
        T: serde::de::DeserializeOwned,
    {
        let get = Get::new(key.into());
        async move { self.call(get).await?.first().map(crate::response::KeyValue::json).transpose() }
    }

    /// Writes `value` as JSON to `key`; for more, [`call`](Self::call) with a [`Put::json`].
    ///
    /// ```
    /// use etcdkit::{Client, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     client.put_json("/limits", &[1, 2]).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `value` has no JSON form. See
    /// [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the value may or may not be written.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn put_json<T>(
        &self,
        key: impl Into<ByteString>,
        value: &T,
    ) -> impl Future<Output = Result<PutResponse>> + Send
    where
        T: serde::Serialize + ?Sized,
    {
        let put = Put::json(key, value);
        async move { self.call(put?).await }
    }
}

#[cfg(test)]
mod tests;
