//! One watch after the other on the same range, each compared with the replay as both go on.
//!
//! The nine properties of etcd's watches and where they are held: Ordered, Unique, Atomic and Bookmarkable in
//! `Checker::take`; Filter, Resumable, Reliable, IsCreate and PrevKV in `Checker::compare`, since what came has to be
//! what the replay has for the range, all of it, from the first revision on.

use std::collections::VecDeque;

use etcdkit::{Event, KeyRange};

use super::replay::Change;
use super::*;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    /// With the value before.
    with_previous: u64,
    pub(super) progress: u64,
    pub(super) reconnects: u64,
    /// Watches that were given up to begin others, at some revision or now.
    begun: u64,
    /// Watches that a compaction overtook, and that said so.
    overtaken: u64,
    /// The longest time in which a watch that was read yielded nothing.
    silence: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.with_previous += other.with_previous;
        self.progress += other.progress;
        self.reconnects += other.reconnects;
        self.begun += other.begun;
        self.overtaken += other.overtaken;
        self.silence = self.silence.max(other.silence);
    }
}

#[derive(Clone, Copy, Debug)]
enum Begin {
    At(i64),
    Now,
}

pub(super) struct Follower {
    number: usize,
    range: KeyRange,
    client: Client,
    shared: Arc<Shared>,
    random: fastrand::Rng,
    tally: Tally,
}

impl Follower {
    pub(super) fn new(
        number: usize,
        range: KeyRange,
        client: Client,
        shared: Arc<Shared>,
        random: fastrand::Rng,
    ) -> Self {
        Self { number, range, client, shared, random, tally: Tally::default() }
    }

    pub(super) async fn run(mut self, first: i64) -> Tally {
        let mut begin = Some(Begin::At(first));
        while let Some(at) = begin {
            begin = self.watch(at).await;
        }
        self.tally
    }

    /// One watch; with which one to go on.
    async fn watch(&mut self, begin: Begin) -> Option<Begin> {
        let mut request = Watch::new(self.range.clone()).prev_kv();
        if self.number.is_multiple_of(2) {
            request = request.progress_notify();
        }
        if let Begin::At(revision) = begin {
            request = request.from_revision(revision);
        }
        let begun = now();
        // To begin now takes a quorum, which may be away for a moment.
        let mut stream = loop {
            match self.client.watch(request.clone()).await {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < DEADLINE, "{begin:?}: {error}"),
            }
            pause(Duration::from_millis(20)).await;
        };
        self.tally.begun += 1;
        let start = match begin {
            Begin::At(revision) => revision,
            Begin::Now => stream.control().state().bookmark.get() + 1,
        };
        let mut checker = Checker::new(self.range.clone(), start);
        let lasts = Duration::from_millis(self.random.u64(5_000..60_000));
        let (begun, mut heard) = (now(), now());
        let end = loop {
            let bookmark = stream.control().state().bookmark.get();
            self.shared.positions[self.number].store(bookmark, Ordering::Release);
            checker.compare(&self.shared.replay);
            let over = self.shared.over.load(Ordering::Acquire);
            if over != 0 && bookmark >= over {
                break None;
            }
            if over == 0 && begun.elapsed() > lasts {
                break Some(self.elsewhere(bookmark).await);
            }
            if self.random.u64(0..100) == 0 {
                stream.control().request_progress();
            }
            let Ok(response) = tokio::time::timeout(DEADLINE * 2, stream.next()).await else {
                panic!("{begin:?}: stuck at {bookmark}, over {over}: {:?}", stream.control());
            };
            self.tally.silence = self.tally.silence.max(heard.elapsed());
            heard = now();
            match response.expect("it goes on") {
                Ok(response) => checker.take(&response),
                Err(error) => {
                    let bookmark = stream.control().state().bookmark.get();
                    break Some(self.overtaken(&error, bookmark));
                }
            }
        };
        let state = stream.control().state();
        drop(stream);
        checker.finish(&self.shared, state.bookmark.get()).await;
        self.tally.events += checker.events;
        self.tally.with_previous += checker.with_previous;
        self.tally.progress += checker.progresses;
        self.tally.reconnects += state.reconnects;
        end
    }

    /// The only end that a watch may come to here, and only if it is true.
    fn overtaken(&mut self, error: &Error, bookmark: i64) -> Begin {
        let at = error.compact_revision().unwrap_or_else(|| panic!("{error} after {bookmark}"));
        let overtaking = self.shared.overtaking.load(Ordering::Acquire);
        assert!(
            at.get() > bookmark + 1 && at.get() <= overtaking,
            "{error} after {bookmark}, compacted at {overtaking}"
        );
        self.tally.overtaken += 1;
        self.shared.positions[self.number].store(at.get() - 1, Ordering::Release);
        Begin::At(at.get())
    }

    /// Another watch: one that goes on, one that goes back, one that waits for a revision to come, one from now on.
    async fn elsewhere(&mut self, bookmark: i64) -> Begin {
        let compacted = self.shared.compaction.lock().await;
        let at = match self.random.u64(0..4) {
            0 => bookmark + 1,
            1 => (bookmark + 1 - self.random.i64(0..2000)).max(*compacted).max(1),
            2 => bookmark + 1 + self.random.i64(0..200),
            _ => return Begin::Now,
        };
        self.shared.positions[self.number].store(at - 1, Ordering::Release);
        Begin::At(at)
    }
}

/// What one watch showed, as far as it has not been compared.
struct Checker {
    range: KeyRange,
    /// The first revision that has not been compared.
    next: i64,
    pending: VecDeque<(i64, Vec<Change>)>,
    last: i64,
    progress: i64,
    events: u64,
    with_previous: u64,
    progresses: u64,
}

impl Checker {
    fn new(range: KeyRange, start: i64) -> Self {
        let pending = VecDeque::new();
        let (last, progress) = (0, 0);
        let (events, with_previous, progresses) = (0, 0, 0);
        Self { range, next: start, pending, last, progress, events, with_previous, progresses }
    }

    fn take(&mut self, response: &WatchResponse) {
        if response.is_progress() {
            let at = response.header().revision.get();
            assert!(at >= self.progress, "Bookmarkable: progress {at} after {}", self.progress);
            assert!(at >= self.last, "Bookmarkable: progress {at} after {}", self.last);
            self.progress = at;
            self.progresses += 1;
            return;
        }
        let before = self.last;
        for event in response.events() {
            let at = event.revision().get();
            assert!(at > before, "Atomic: {at} came in two responses");
            assert!(at >= self.last, "Ordered: {at} after {}", self.last);
            assert!(at > self.progress, "Bookmarkable: {at} after progress {}", self.progress);
            let change = change(event);
            self.events += 1;
            self.with_previous += u64::from(change.previous.is_some());
            if self.last == at {
                let (_, changes) = self.pending.back_mut().expect("its first event came just now");
                let again = changes.iter().any(|other| other.key == change.key);
                assert!(!again, "Unique: {change:?} again at {at}");
                changes.push(change);
            } else {
                self.pending.push_back((at, vec![change]));
            }
            self.last = at;
        }
    }

    /// Compares what the replay has read by now.
    fn compare(&mut self, replay: &Replay) {
        let read = replay.read.load(Ordering::Acquire);
        // Some at a time: the replay's lock is everybody's. The last revision seen may not be complete in `pending`
        // only if it is in this very response, which is taken as a whole.
        if self.last - self.next > 100 {
            self.compare_to(replay, read.min(self.last));
        }
    }

    fn compare_to(&mut self, replay: &Replay, last: i64) {
        let expected = replay.expected(&self.range, self.next, last);
        let mut expected = expected.iter();
        while self.pending.front().is_some_and(|(at, _)| *at <= last) {
            let (at, mut changes) = self.pending.pop_front().expect("there is a first");
            changes.sort_by(|one, other| one.key.cmp(&other.key));
            for mut seen in changes {
                let Some((revision, change)) = expected.next() else {
                    panic!("{:?}: {seen:?} at {at}, which nobody wrote", self.range);
                };
                // The value before may be compacted; what is told of it has to be true.
                if seen.previous.is_none() {
                    seen.previous.clone_from(&change.previous);
                }
                assert_eq!((at, &seen), (*revision, change), "{:?}", self.range);
            }
        }
        if let Some(lost) = expected.next() {
            panic!("{:?}: lost {lost:?}, between {} and {last}", self.range, self.next);
        }
        self.next = self.next.max(last + 1);
    }

    /// Everything up to the bookmark was seen, and nothing after it.
    async fn finish(&mut self, shared: &Shared, bookmark: i64) {
        assert!(bookmark >= self.last, "bookmark {bookmark} after {}", self.last);
        let begun = now();
        loop {
            // What comes after the end is not recorded.
            let over = shared.over.load(Ordering::Acquire);
            let last = if over == 0 { bookmark } else { bookmark.min(over) };
            if shared.replay.read.load(Ordering::Acquire) >= last {
                return self.compare_to(&shared.replay, last);
            }
            assert!(begun.elapsed() < DEADLINE * 2, "the replay does not come to {last}");
            pause(Duration::from_millis(20)).await;
        }
    }
}

fn change(event: &Event) -> Change {
    let kv = event.kv();
    let value = event.is_put().then(|| kv.value_str().unwrap().to_owned());
    let previous = event.previous().map(|kv| kv.value_str().unwrap().to_owned());
    Change { key: kv.key_str().unwrap().to_owned(), value, create: event.is_create(), previous }
}
