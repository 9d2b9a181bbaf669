//! Watches: streams of what happens to keys, which go on across connections and members.
//!
//! All watches of a client with the same metadata share one stream to one member. Its [`hub`] is the task that reads
//! and feeds it; what it does is decided by the [`machine`], which knows no I/O. Each watch has a bounded [`queue`]
//! between the hub and its reader. [`resync`] puts a read and a watch together into one that never has to end. The
//! reasons are in `docs/design/watch.md`.

mod control;
mod failure;
mod hub;
mod inbox;
mod machine;
mod queue;
mod registry;
mod resync;
mod stream;
mod version;
mod watcher;

pub use control::{WatchControl, WatchState};
pub(crate) use registry::Watches;
pub use resync::{Resync, ResyncWatch};

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use etcdkit_proto::method;
use futures_core::Stream;

use self::inbox::{Addition, Inbox, Signal};
use self::machine::Key;
use self::queue::{Queue, Read};
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Watch;
use crate::response::WatchResponse;
use crate::service::{CallOptions, Service, Streaming};
use crate::transport::{Channel, Transport, frame};

impl<S: Service> Client<S> {
    /// Watches keys: every change of them, in order, none twice and none left out, whatever connections and members do.
    ///
    /// Without [`from_revision`](Watch::from_revision) it begins with what happens after this call: this returns when the
    /// cluster has agreed on the revision that now is, so whatever begins later is seen. With it, it returns at once.
    /// While others write, that revision has passed when the server creates the watch, and etcd looks every 100 ms after
    /// watches that begin in the past: so the first events come up to 100 ms late, and all others at once.
    /// The stream goes on by itself when its connection breaks or its member freezes, falls behind or loses its leader.
    /// It ends with one error, which comes after everything that was received.
    ///
    /// ```no_run
    /// # async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    /// use etcdkit::Watch;
    ///
    /// let mut changes = client.watch(Watch::prefix("/jobs/").prev_kv()).await?;
    /// while let Some(response) = changes.next().await {
    ///     for event in response?.events() {
    ///         println!("{:?} {:?} at {}", event.kind(), event.kv().key(), event.revision());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Of this call: the request makes no sense, or it could not be found out in time which revision now is. Of the
    /// stream, as its last item:
    ///
    /// | kind | |
    /// |---|---|
    /// | [`Compacted`](crate::ErrorKind::Compacted) | what it goes on with is compacted; see [`Error::compact_revision`] |
    /// | [`PermissionDenied`](crate::ErrorKind::PermissionDenied) | the user may not read all of the range |
    /// | [`Unauthenticated`](crate::ErrorKind::Unauthenticated) | no token that the server accepts could be had |
    /// | [`Cancelled`](crate::ErrorKind::Cancelled) | by [`WatchControl::cancel`], or by the server, whose reason is told |
    /// | [`Lagged`](crate::ErrorKind::Lagged) | it was read too slowly, if [`Watch::when_full`] says so |
    /// | [`NoLeader`](crate::ErrorKind::NoLeader) | if [`Watch::end_without_leader`] asks for it |
    /// | [`Unavailable`](crate::ErrorKind::Unavailable) | if [`Watch::max_attempts`] asks for it |
    /// | [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted) | a response is beyond [`max_receive_message`](crate::config::Limits::max_receive_message), or a revision in pieces beyond 2 GiB |
    /// | [`ClusterChanged`](crate::ErrorKind::ClusterChanged) | the history went back, or this is another cluster |
    /// | [`Corrupt`](crate::ErrorKind::Corrupt) | the server broke what etcd promises of watches |
    /// | [`Closed`](crate::ErrorKind::Closed) | the client was closed |
    ///
    /// # Cancellation
    ///
    /// Dropping this future, or the stream, ends the watch on the server.
    pub fn watch(
        &self,
        watch: impl Into<Watch>,
    ) -> impl Future<Output = Result<Streaming<WatchResponse, WatchControl>>> + Send {
        self.open(watch.into())
    }

    /// Watches keys beginning with their present state, and begins anew where a plain watch would have to end.
    ///
    /// The first item is the state of the range; then come events. When the watch can't go on (compaction, a slow reader,
    /// another cluster), the range is read again, and one item tells what changed and what vanished meanwhile. See
    /// [`ResyncWatch`].
    pub fn watch_resync(&self, watch: impl Into<Watch>) -> ResyncWatch<S>
    where
        S: Clone,
    {
        ResyncWatch::new(self.clone(), watch.into())
    }
}

/// Opens a watch on a cluster.
///
/// One future, without others inside that would each keep room for the request: readers often wait in the same task, and
/// what their future takes counts for each watch.
pub(crate) async fn open<T: Transport>(
    channel: &Channel<T>,
    request: Watch,
    options: &CallOptions,
) -> Result<Streaming<WatchResponse, WatchControl>> {
    let rpc = method::watch::WATCH.path();
    let (deadline, responses) =
        begin(channel, request, options).map_err(|error| error.with_rpc(rpc))?;
    let started = clock::until(deadline, poll_fn(|cx| responses.queue.poll_started(cx))).await;
    match started.unwrap_or_else(|| Err(responses.too_late())) {
        Ok(()) => {
            let Responses { key, queue, inbox, .. } = &responses;
            let control = WatchControl::new(*key, Arc::clone(queue), Arc::clone(inbox));
            Ok(Streaming::with_control(responses, control))
        }
        Err(error) => Err(error.with_rpc(rpc)),
    }
}

/// Hands the watch to its hub; until when it has to begin, and its reader's end.
fn begin<T: Transport>(
    channel: &Channel<T>,
    request: Watch,
    options: &CallOptions,
) -> Result<(Option<clock::Instant>, Responses<T>)> {
    request.check()?;
    if options.endpoint.is_some() {
        return Err(Error::unsupported(
            "a watch moves from member to member: it can't be sent to one endpoint",
        ));
    }
    let config = channel.config();
    let settings = request.settings();
    let create = request.into_wire();
    frame(&create, config.limits.max_send_message)
        .map_err(|cause| Error::new(ErrorKind::ResourceExhausted, cause.to_string()))?;
    let mut shared = CallOptions::new().metadata(options.metadata.clone());
    shared.require_leader = settings.require_leader;
    let deadline = match options.timeout {
        Some(crate::service::Timeout::Never) => None,
        Some(crate::service::Timeout::After(after)) => clock::now().checked_add(after),
        None => clock::now().checked_add(config.timeouts.read),
    };

    let queue = Arc::new(Queue::new(&settings));
    let mut key = 0;
    let inbox = channel.watches().add(channel, shared, |inbox| {
        key = inbox.next_key();
        Addition { key, create, settings, queue: Arc::clone(&queue) }
    })?;
    Ok((deadline, Responses { key, queue, inbox, _channel: channel.clone() }))
}

/// What a reader holds of a watch: its end of the buffer. Dropping it ends the watch.
struct Responses<T: Transport> {
    key: Key,
    queue: Arc<Queue>,
    inbox: Arc<Inbox>,
    /// Keeps the connections up as long as the stream is read.
    _channel: Channel<T>,
}

impl<T: Transport> Responses<T> {
    /// It did not begin in time.
    fn too_late(&self) -> Error {
        let message = "it could not be found out in time which revision now is";
        let error = Error::new(ErrorKind::Timeout, message);
        match self.inbox.status().trouble {
            Some(trouble) => error.with_attempts(trouble.attempts().to_vec()).with_source(trouble),
            None => error,
        }
    }
}

impl<T: Transport> Stream for Responses<T> {
    type Item = Result<WatchResponse>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(read) = self.queue.poll_read(cx) else { return Poll::Pending };
        Poll::Ready(match read {
            Read::Response(response) => Some(Ok(response)),
            Read::Drained(response) => {
                self.inbox.signal(self.key, Signal::Drained);
                Some(Ok(response))
            }
            Read::End(error) => error.map(Err),
        })
    }
}

impl<T: Transport> Drop for Responses<T> {
    fn drop(&mut self) {
        self.inbox.signal(self.key, Signal::Cancel);
    }
}

/// A reader ended the watch.
fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the watch was cancelled")
        .with_rpc(method::watch::WATCH.path())
}
