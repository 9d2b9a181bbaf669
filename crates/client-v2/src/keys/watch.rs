//! Watching, by long polls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;

use super::response::{self, Response};
use super::{Get, Keys, Node, Wire};
use crate::clock::{now, sleep, within};
use crate::error::{Error, ErrorCode, Result};
use crate::http::Outgoing;

/// A poll that ends sooner than this without an event is followed by a pause of the same length: a member without a
/// leader may end polls at once.
const PAUSE: Duration = Duration::from_millis(100);

/// What to watch, and from when.
///
/// ```
/// use etcdkit_v2::Watch;
///
/// let watch = Watch::new("/hosts").recursive().after_index(7).resync();
/// assert_eq!(Watch::from("/hosts"), Watch::new("/hosts"));
/// # let _ = watch;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is given to `Keys::watch`"]
pub struct Watch {
    key: String,
    recursive: bool,
    after_index: Option<u64>,
    resync: bool,
    require_leader: bool,
}

impl Watch {
    /// Watches `key`, from the first call of [`Watcher::next`] on.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            recursive: false,
            after_index: None,
            resync: false,
            require_leader: false,
        }
    }

    /// And everything below it.
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    /// Every event after this index of the store, past ones too: [`Response::index`] of a read, or
    /// [`Node::modified_index`](super::Node::modified_index) of an event.
    pub fn after_index(mut self, index: u64) -> Self {
        self.after_index = Some(index);
        self
    }

    /// When events were lost, since etcd keeps only the last 1000, reads the key by quorum and returns it as an event
    /// with the action [`Get`](super::Action::Get), then goes on from there. Default: the call fails with
    /// [`IndexCleared`](crate::ErrorKind::IndexCleared).
    pub fn resync(mut self) -> Self {
        self.resync = true;
        self
    }

    /// Leaves a member that is cut off from the others, whose watches would otherwise stay silent whatever happens in
    /// the cluster. Each probe then takes a decision of the cluster. Default: a member only has to be alive.
    pub fn require_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }
}

impl<K: Into<String>> From<K> for Watch {
    fn from(key: K) -> Self {
        Self::new(key)
    }
}

/// A watch under way. Made by [`Keys::watch`].
///
/// It waits at one member, and goes on at another when that one fails, is frozen, or (if
/// [asked for](Watch::require_leader)) has no leader. No event is missed or seen twice thereby: each poll says which
/// index it goes on from, one that began "now" included.
///
/// ```no_run
/// # async fn example(client: etcdkit_v2::Client) -> etcdkit_v2::Result<()> {
/// use etcdkit_v2::Watch;
///
/// let mut watcher = client.keys().watch(Watch::new("/hosts").recursive());
/// loop {
///     let event = watcher.next().await?;
///     if let Some(node) = event.node() {
///         println!("{}: {}", event.action(), node.key());
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watcher {
    keys: Keys,
    watch: Watch,
    /// The index that the next poll begins with; 0 is now.
    next: AtomicU64,
}

/// How a poll ended.
enum Polled {
    Event(Box<Response>),
    /// Without an event up to an index of the store.
    Nothing(Option<u64>),
}

impl Watcher {
    pub(super) fn new(keys: Keys, watch: Watch) -> Self {
        let next = AtomicU64::new(watch.after_index.map_or(0, |index| index.saturating_add(1)));
        Self { keys, watch, next }
    }

    /// Waits for the next event.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the poll and loses nothing: the next call goes on from the same index.
    ///
    /// # Errors
    ///
    /// [`IndexCleared`](crate::ErrorKind::IndexCleared) if events were lost: read the key, and watch again
    /// [after](Watch::after_index) the index of that answer. Any other error may be followed by another call, which goes
    /// on from the same index.
    pub async fn next(&mut self) -> Result<Response> {
        loop {
            let begin = now();
            match self.poll().await {
                Ok(Polled::Event(event)) => {
                    let index = event.node().map_or_else(|| event.index(), Node::modified_index);
                    self.advance(index.saturating_add(1));
                    return Ok(*event);
                }
                Ok(Polled::Nothing(seen)) => {
                    if let Some(seen) = seen {
                        self.advance(seen.saturating_add(1));
                    }
                    if now().duration_since(begin) < PAUSE {
                        sleep(PAUSE).await;
                    }
                }
                Err(error) if self.watch.resync && is_cleared(&error) => {
                    let state = self.read().await?;
                    self.next.store(state.index().saturating_add(1), Ordering::Relaxed);
                    return Ok(state);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The index after which the next event is looked for: what [`Watch::after_index`] continues this watch with.
    /// `None` if it has not begun.
    #[must_use]
    pub fn after_index(&self) -> Option<u64> {
        self.next.load(Ordering::Relaxed).checked_sub(1)
    }

    fn advance(&self, next: u64) {
        self.next.fetch_max(next, Ordering::Relaxed);
    }

    async fn poll(&self) -> Result<Polled> {
        let outgoing = self.outgoing()?;
        let client = &self.keys.client;
        let seen = AtomicU64::new(0);
        let on_head = |headers: &http::HeaderMap| {
            let Some(index) = response::index(headers) else { return };
            // "Now" was then: whatever becomes of this poll, the next one begins there.
            let _ = self.next.compare_exchange(
                0,
                index.saturating_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            seen.store(index, Ordering::Relaxed);
        };
        let limit = client.cluster().config.timeouts.watch_poll;
        let waiting = client.wait(&outgoing, self.watch.require_leader, &on_head);
        // A poll that is begun anew proves nothing: an event may have been lost on its way, and is asked for again.
        let Some(answer) = within(limit, waiting).await else { return Ok(Polled::Nothing(None)) };
        let answer = answer?;
        if answer.status == 200 && answer.body.is_empty() {
            // A member looks into its history before it waits, and says up to where that went: nothing was there.
            let seen = seen.into_inner();
            return Ok(Polled::Nothing((seen != 0).then_some(seen)));
        }
        Ok(Polled::Event(Box::new(response::decode(&answer)?)))
    }

    fn outgoing(&self) -> Result<Outgoing> {
        self.keys.outgoing(Wire {
            method: Method::GET,
            key: self.watch.key.clone(),
            query: vec![
                ("recursive", self.watch.recursive.to_string()),
                ("wait", "true".to_owned()),
                ("waitIndex", self.next.load(Ordering::Relaxed).to_string()),
            ],
            form: None,
            repeatable: true,
        })
    }

    /// The key as it is now, or that there is none.
    async fn read(&self) -> Result<Response> {
        let get = Get::new(&self.watch.key).quorum();
        match self.keys.get(if self.watch.recursive { get.recursive() } else { get }).await {
            Ok(state) => Ok(state),
            Err(error) if error.error_code() == Some(ErrorCode::KEY_NOT_FOUND) => {
                Ok(Response::resynced(error.index().unwrap_or_default()))
            }
            Err(error) => Err(error),
        }
    }
}

fn is_cleared(error: &Error) -> bool {
    error.error_code() == Some(ErrorCode::EVENT_INDEX_CLEARED)
}
