//! A read and a watch as one: what is there, what happens, and after a gap what changed and what vanished.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::WatchControl;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Get, Watch, WhenFull};
use crate::response::WatchResponse;
use crate::response::{Event, KeyValue};
use crate::revision::Revision;
use crate::service::{Service, Streaming};

/// One item of a [`ResyncWatch`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Resync {
    /// The range was read: at the beginning, and after a gap in what could be watched.
    State {
        /// What the range holds, as far as it is new or has changed since the last item.
        changed: Vec<KeyValue>,
        /// The keys that were there before and are no more.
        vanished: Vec<Bytes>,
        /// The revision that this is the state of.
        revision: Revision,
    },
    /// What happened since.
    Events(Vec<Event>),
}

/// Keys and what happens to them, beginning with their present state: from
/// [`Client::watch_resync`](crate::Client::watch_resync).
///
/// Whoever applies each item to a map of the range has, after each, the state of the range at one revision. Nothing is
/// yielded twice, but steps between are left out where the watch had a gap: then an item says what changed over it.
///
/// It ends only with an error that reading again would not mend, such as a permission that is missing, endpoints that
/// lead to another cluster, or a client that is closed. In memory it keeps the keys of the range with the revision of their last change, but no values: it is
/// bounded by the size of the range. `only_puts`, `only_deletes`, a start revision and the buffer's policy of the
/// [`Watch`] don't count here; its buffer's size does.
///
/// ```no_run
/// # async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
/// use etcdkit::{Resync, Watch};
/// use std::collections::BTreeMap;
///
/// let mut jobs = BTreeMap::new();
/// let mut changes = client.watch_resync(Watch::prefix("/jobs/"));
/// while let Some(item) = changes.next().await {
///     match item? {
///         Resync::State { changed, vanished, .. } => {
///             jobs.extend(changed.into_iter().map(etcdkit::KeyValue::into_parts));
///             vanished.iter().for_each(|key| drop(jobs.remove(key)));
///         }
///         Resync::Events(events) => {
///             for event in events {
///                 let delete = event.is_delete();
///                 let (key, value) = event.into_kv().into_parts();
///                 if delete { jobs.remove(&key) } else { jobs.insert(key, value) };
///             }
///         }
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// [`next`](Self::next) is cancel-safe. Dropping the object ends the watch on the server.
pub struct ResyncWatch<S> {
    client: Client<S>,
    watch: Watch,
    /// Keys that were yielded, with the revision of their last change.
    known: HashMap<Bytes, Revision>,
    /// Revisions of before mean nothing.
    void: bool,
    resyncs: u64,
    phase: Phase,
}

enum Phase {
    Reading(Pin<Box<dyn Future<Output = Read> + Send>>),
    Watching(Streaming<WatchResponse, WatchControl>),
    Over,
    /// The range is to be read.
    Gap,
}

/// What reading and beginning to watch came to.
type Read = Result<Begun>;

struct Begun {
    kvs: Vec<KeyValue>,
    revision: Revision,
    stream: Streaming<WatchResponse, WatchControl>,
    /// The history went back while it was read.
    void: bool,
}

/// Between two attempts to read, and for a gap that follows a gap.
const PAUSE: Duration = Duration::from_millis(100);
/// A history that went back is told to the reads that saw the longer one; a cluster that is another one is told to all.
const TURNS: u32 = 3;

impl<S: Service + Clone> ResyncWatch<S> {
    pub(super) fn new(client: Client<S>, watch: Watch) -> Self {
        Self { client, watch, known: HashMap::new(), void: false, resyncs: 0, phase: Phase::Gap }
    }

    /// The next item; `None` once it is over.
    ///
    /// # Errors
    ///
    /// One that reading again would not mend; it is the last item.
    pub async fn next(&mut self) -> Option<Result<Resync>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// How often the range was read, the first time included.
    #[must_use]
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// How the watch fares, while there is one.
    #[must_use]
    pub fn control(&self) -> Option<&WatchControl> {
        match &self.phase {
            Phase::Watching(stream) => Some(stream.control()),
            _ => None,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Resync>>> {
        loop {
            match &mut self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Gap => self.read(),
                Phase::Reading(read) => {
                    let Poll::Ready(read) = read.as_mut().poll(cx) else { return Poll::Pending };
                    match read {
                        Ok(begun) => {
                            self.resyncs += 1;
                            self.void |= begun.void;
                            self.phase = Phase::Watching(begun.stream);
                            return Poll::Ready(Some(Ok(self.compare(begun.kvs, begun.revision))));
                        }
                        Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
                    }
                }
                Phase::Watching(stream) => {
                    let next = Pin::new(stream).poll_next(cx);
                    let Poll::Ready(next) = next else { return Poll::Pending };
                    match next {
                        Some(Ok(response)) if response.events().is_empty() => {}
                        Some(Ok(response)) => {
                            let events = response.into_events();
                            self.note(&events);
                            return Poll::Ready(Some(Ok(Resync::Events(events))));
                        }
                        Some(Err(error)) if is_gap(&error) => {
                            self.void |= error.kind() == ErrorKind::ClusterChanged;
                            self.phase = Phase::Gap;
                        }
                        Some(Err(error)) => return Poll::Ready(Some(Err(self.fail(error)))),
                        None => self.phase = Phase::Over,
                    }
                }
            }
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.phase = Phase::Over;
        error
    }

    fn read(&mut self) {
        let (client, watch) = (self.client.clone(), self.watch.clone());
        let again = self.resyncs > 0;
        self.phase = Phase::Reading(Box::pin(async move {
            if again {
                clock::sleep(PAUSE).await;
            }
            let mut turns = 0;
            loop {
                let error = match begin(&client, &watch).await {
                    Ok(begun) => return Ok(Begun { void: turns > 0, ..begun }),
                    Err(error) => error,
                };
                turns += u32::from(error.kind() == ErrorKind::ClusterChanged);
                // What was read may be compacted before it is watched, and a member may be out of reach for a while.
                if turns > TURNS || !is_gap(&error) && !error.is_retryable() {
                    return Err(error);
                }
                clock::sleep(PAUSE).await;
            }
        }));
    }

    /// What differs between what was yielded and what is there now.
    fn compare(&mut self, kvs: Vec<KeyValue>, revision: Revision) -> Resync {
        let before = std::mem::take(&mut self.known);
        let void = std::mem::take(&mut self.void);
        let mut changed = Vec::new();
        for kv in kvs {
            let same = before.get(kv.key()).is_some_and(|known| *known == kv.mod_revision());
            self.known.insert(Bytes::copy_from_slice(kv.key()), kv.mod_revision());
            if !same || void {
                changed.push(kv);
            }
        }
        let gone = |key: &Bytes| !self.known.contains_key(key);
        let mut vanished: Vec<Bytes> = before.into_keys().filter(gone).collect();
        vanished.sort_unstable();
        Resync::State { changed, vanished, revision }
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            if event.is_delete() {
                self.known.remove(event.key());
            } else {
                // A copy, lest one small key keeps the whole response in memory.
                self.known.insert(Bytes::copy_from_slice(event.key()), event.revision());
            }
        }
    }
}

/// Reads the range, and watches it from there on.
async fn begin<S: Service>(client: &Client<S>, watch: &Watch) -> Read {
    let answer = client.get_all(Get::new(watch.key_range())).await?;
    let revision = answer.revision();
    let watch =
        watch.clone().every_kind().from_revision(revision.next()).when_full(WhenFull::Discard);
    let stream = client.watch(watch).await?;
    Ok(Begun { kvs: answer.into_kvs(), revision, stream, void: false })
}

/// Whether reading the range again mends it.
fn is_gap(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Compacted | ErrorKind::Lagged | ErrorKind::ClusterChanged)
}

impl<S> fmt::Debug for ResyncWatch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResyncWatch")
            .field("watch", &self.watch)
            .field("keys", &self.known.len())
            .field("resyncs", &self.resyncs)
            .finish_non_exhaustive()
    }
}

impl<S: Service + Clone + Unpin> Stream for ResyncWatch<S> {
    type Item = Result<Resync>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}
