//! Everything at one revision, and then what happened since.

use std::fmt;
use std::future::Future;

use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::request::{Get, KeyRange, Watch};
use crate::response::{GetResponse, WatchResponse};
use crate::revision::Revision;
use crate::service::{Service, Streaming};
use crate::transport::Channel;
use crate::watch::WatchControl;

/// Reads the keys under a prefix for a copy: all of them at one revision, then every change after it.
///
/// ```
/// use etcdkit::mirror::Syncer;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let mut syncer = Syncer::new(&client, "/config/");
///     let mut base = syncer.base().await?;
///     while let Some(page) = base.next().await {
///         println!("{} keys", page?.kvs().len());
///     }
///     let mut updates = syncer.updates().await?;
///     while let Some(response) = updates.next().await {
///         println!("{} events", response?.events().len());
///     }
///     Ok(())
/// }
/// ```
pub struct Syncer<S = Channel> {
    client: Client<S>,
    range: KeyRange,
    revision: Option<Revision>,
}

impl<S: Service + Clone> Syncer<S> {
    /// Reads the keys under `prefix`; all keys if it is empty.
    pub fn new(client: &Client<S>, prefix: impl Into<ByteString>) -> Self {
        Self { client: client.clone(), range: KeyRange::prefix(prefix), revision: None }
    }

    /// Reads at `revision`, or goes on after it: where a copy was left.
    #[must_use]
    pub fn at_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// The revision of the copy, once it is known.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// All keys at one revision, by key, in pieces: the revision given, or that of now. It takes the permission to read the
    /// range, and no other key.
    ///
    /// # Errors
    ///
    /// See [`Service::open`]. [`Compacted`](crate::ErrorKind::Compacted), also later, if a compaction overtakes it: then
    /// begin again with another syncer.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, nothing is lost.
    pub async fn base(&mut self) -> Result<Streaming<GetResponse>> {
        let revision = match self.revision {
            Some(revision) => revision,
            // Pieces tell their revision at the end, which is too late.
            None => self.client.call(Get::new(self.range.clone()).count_only()).await?.revision(),
        };
        self.revision = Some(revision);
        let all = Get::new(self.range.clone()).at_revision(revision);
        self.client.get_stream(all).await
    }

    /// What happened after the revision of the copy.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the revision is not known: read the [`base`](Self::base)
    /// first, or [name one](Self::at_revision). See [`Client::watch`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, nothing is lost.
    pub fn updates(
        &self,
    ) -> impl Future<Output = Result<Streaming<WatchResponse, WatchControl>>> + Send {
        let watch = self.revision.map(|revision| {
            let watch = Watch::new(self.range.clone()).from_revision(revision.next());
            self.client.watch(watch)
        });
        async move {
            match watch {
                Some(watch) => watch.await,
                None => Err(Error::invalid(
                    "updates of what? Read the base first, or name the revision of the copy",
                )),
            }
        }
    }
}

impl<S> fmt::Debug for Syncer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer")
            .field("range", &self.range)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
