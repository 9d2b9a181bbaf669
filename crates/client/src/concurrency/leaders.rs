//! Everyone who leads, one after the other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::turn::Line;
use crate::client::Client;
use crate::error::Result;
use crate::request::Watch;
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::transport::Channel;
use crate::watch::{Resync, ResyncWatch};

/// Who leads an election: now, and after every change of the leader or of what it has to say. From
/// [`Election::observe`](super::Election::observe).
///
/// It goes on over lost connections, and over compactions, by which it misses at most what is not there to be read any
/// more. Between one leader and the next there may be none; that is not told. In memory it keeps all candidates.
///
/// # Cancellation
///
/// [`next`](Self::next) is cancel-safe. Dropping the object ends the watch on the server.
pub struct Leaders<S = Channel> {
    changes: ResyncWatch<S>,
    candidates: Candidates,
    ready: VecDeque<KeyValue>,
}

impl<S: Service + Clone> Leaders<S> {
    pub(super) fn new(client: Client<S>, directory: Bytes) -> Self {
        let line = Line::Leases(directory);
        let changes = client.watch_resync(Watch::new(line.range()));
        Self { changes, candidates: Candidates::new(line), ready: VecDeque::new() }
    }

    /// The next leader, or the same one with something else to say.
    ///
    /// # Errors
    ///
    /// One that reading again would not mend; it is the last item.
    pub async fn next(&mut self) -> Option<Result<KeyValue>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<KeyValue>>> {
        loop {
            if let Some(leader) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(leader)));
            }
            let Poll::Ready(next) = self.changes.poll(cx) else { return Poll::Pending };
            match next {
                Some(Ok(change)) => self.ready = self.candidates.apply(change),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<S: Service + Clone + Unpin> Stream for Leaders<S> {
    type Item = Result<KeyValue>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<S> fmt::Debug for Leaders<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaders").field("said", &self.candidates.said).finish_non_exhaustive()
    }
}

/// All candidates, by the revision that decides between them. Without I/O.
struct Candidates {
    line: Line,
    by_age: BTreeMap<Revision, KeyValue>,
    ages: HashMap<Bytes, Revision>,
    /// When what was told last was made and said.
    said: Option<(Revision, Revision)>,
}

impl Candidates {
    fn new(line: Line) -> Self {
        Self { line, by_age: BTreeMap::new(), ages: HashMap::new(), said: None }
    }

    /// What is to be told after a change.
    fn apply(&mut self, change: Resync) -> VecDeque<KeyValue> {
        let mut told = VecDeque::new();
        match change {
            Resync::State { changed, vanished, .. } => {
                vanished.iter().for_each(|key| self.remove(key));
                changed.into_iter().for_each(|kv| self.insert(kv));
                told.extend(self.tell());
            }
            Resync::Events(events) => {
                let mut revision = None;
                for event in events {
                    // What happened at one revision happened at once.
                    if revision.is_some_and(|revision| revision != event.revision()) {
                        told.extend(self.tell());
                    }
                    revision = Some(event.revision());
                    if event.is_delete() {
                        self.remove(&event.kv().key_bytes());
                    } else {
                        self.insert(event.into_kv());
                    }
                }
                told.extend(self.tell());
            }
        }
        told
    }

    fn insert(&mut self, kv: KeyValue) {
        if !self.line.holds(&kv) {
            return;
        }
        let kv = kv.detached();
        self.remove(&kv.key_bytes());
        self.ages.insert(kv.key_bytes(), kv.create_revision());
        self.by_age.insert(kv.create_revision(), kv);
    }

    fn remove(&mut self, key: &Bytes) {
        if let Some(age) = self.ages.remove(key) {
            self.by_age.remove(&age);
        }
    }

    fn tell(&mut self) -> Option<KeyValue> {
        let (_, leader) = self.by_age.first_key_value()?;
        let now = (leader.create_revision(), leader.mod_revision());
        (self.said.replace(now) != Some(now)).then(|| leader.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Event;
    use crate::revision::LeaseId;

    fn kv(lease: i64, created: i64, modified: i64, value: &str) -> KeyValue {
        KeyValue::new(format!("e/{lease:x}"), value)
            .with_revisions(created, modified)
            .with_lease(LeaseId::new(lease).unwrap())
    }

    fn gone(lease: i64, at: i64) -> Event {
        Event::delete(KeyValue::new(format!("e/{lease:x}"), "").with_revisions(0, at))
    }

    fn values(told: VecDeque<KeyValue>) -> Vec<String> {
        told.iter().map(|kv| kv.value_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn each_leader_and_each_value_is_told_once() {
        let mut all = Candidates::new(Line::Leases("e/".into()));
        let state = |changed, vanished, revision| Resync::State {
            changed,
            vanished,
            revision: Revision::new(revision),
        };
        assert!(all.apply(state(Vec::new(), Vec::new(), 3)).is_empty());
        // A second candidate and a key that is none say nothing; values of the leader do.
        let events = vec![
            Event::put(kv(1, 4, 4, "one")),
            Event::put(kv(2, 5, 5, "two")),
            Event::put(KeyValue::new("e/x/1", "").with_revisions(2, 6)),
            Event::put(kv(1, 4, 7, "one, ready")),
            Event::put(kv(2, 5, 8, "two, ready")),
            gone(1, 9),
            Event::put(kv(3, 10, 10, "three")),
        ];
        let told = values(all.apply(Resync::Events(events)));
        assert_eq!(told, ["one", "one, ready", "two, ready"]);
        // What happens at one revision is one change: nobody in between led.
        let at_once = vec![gone(2, 11), gone(3, 11), Event::put(kv(4, 11, 11, "four"))];
        assert_eq!(values(all.apply(Resync::Events(at_once))), ["four"]);
        // After a gap, what is there then; and nothing twice.
        let five = || kv(5, 20, 25, "five");
        let told = all.apply(state(vec![five()], vec!["e/4".into()], 30));
        assert_eq!(values(told), ["five"]);
        assert!(all.apply(state(vec![five()], Vec::new(), 31)).is_empty());
        assert!(all.apply(Resync::Events(vec![gone(5, 32)])).is_empty());
        // The same lease again is another candidacy.
        let told = all.apply(Resync::Events(vec![Event::put(kv(5, 33, 33, "five"))]));
        assert_eq!(values(told), ["five"]);
    }
}
