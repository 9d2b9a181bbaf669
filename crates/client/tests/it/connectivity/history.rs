use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use etcdkit::{Client, Error, Get};
use etcdkit_testkit::clock::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Get,
}

/// One call and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// Of a put: the number in its key, which no other put has.
    pub(super) id: u64,
    pub(super) started: Moment,
    pub(super) ended: Moment,
    pub(super) failure: Option<Failure>,
}

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) maybe_applied: bool,
    pub(super) endpoint: String,
    pub(super) text: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            maybe_applied: error.maybe_applied(),
            endpoint: error.endpoint().unwrap_or_default().to_owned(),
            text: error.to_string(),
        }
    }
}

impl Call {
    pub(super) fn took(&self) -> Duration {
        self.ended - self.started
    }

    /// Whether it had begun and not ended.
    pub(super) fn is_open_at(&self, moment: Moment) -> bool {
        self.started <= moment && moment < self.ended
    }
}

/// The calls of one run.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) calls: Vec<Call>,
}

impl History {
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.kind == kind)
    }

    pub(super) fn failed(&self, kind: Kind) -> Vec<&Call> {
        self.of(kind).filter(|call| call.failure.is_some()).collect()
    }

    /// How long the longest call took.
    pub(super) fn longest(&self, kind: Kind) -> Duration {
        self.of(kind).map(Call::took).max().unwrap_or_default()
    }

    pub(super) fn open_at(&self, kind: Kind, moment: Moment) -> usize {
        self.of(kind).filter(|call| call.is_open_at(moment)).count()
    }

    /// How long after `since` the first call succeeded that began after it.
    pub(super) fn first_success(&self, kind: Kind, since: Moment) -> Option<Duration> {
        let after = self.of(kind).filter(|call| call.started >= since && call.failure.is_none());
        Some(after.map(|call| call.ended).min()? - since)
    }

    /// Figures for a failure's message, with the times of failed calls relative to `since`.
    pub(super) fn describe(&self, since: Moment) -> String {
        let mut text = String::new();
        for kind in [Kind::Put, Kind::Get] {
            let mut times: Vec<Duration> = self.of(kind).map(Call::took).collect();
            times.sort_unstable();
            let at = |share: f64| {
                let index = (times.len().saturating_sub(1)) as f64 * share;
                times.get(index as usize).copied().unwrap_or_default()
            };
            let failed = self.failed(kind);
            let _ = writeln!(
                text,
                "{kind:?}: {} calls, {} failed, p50 {:.1?} p99 {:.1?} p99.9 {:.1?} max {:.1?}",
                times.len(),
                failed.len(),
                at(0.5),
                at(0.99),
                at(0.999),
                at(1.0),
            );
            for call in failed.iter().take(30) {
                let failure = call.failure.as_ref().map_or("", |failure| failure.text.as_str());
                let began = (call.started - since).as_millis().cast_signed()
                    - (since - call.started).as_millis().cast_signed();
                let _ = writeln!(text, "  at {began} ms for {:.1?}: {failure}", call.took());
            }
        }
        text
    }

    /// Holds what the calls said against what is in the store.
    ///
    /// # Panics
    ///
    /// When an acknowledged put is missing or was applied twice, or one that is told not to have been applied is
    /// there.
    pub(super) async fn check_store(&self, client: &Client, prefix: &str) {
        let answer = client.get_all(Get::prefix(prefix)).await.expect("the store can be read");
        let mut versions = BTreeMap::new();
        for kv in answer.kvs() {
            let id = kv.key_str().ok().and_then(|key| key.strip_prefix(prefix)?.parse().ok());
            let id: u64 = id.unwrap_or_else(|| panic!("nobody put {kv:?}"));
            assert_eq!(kv.value(), id.to_string().as_bytes(), "nobody put {kv:?}");
            versions.insert(id, kv.version());
        }
        for call in self.of(Kind::Put) {
            match (versions.remove(&call.id), &call.failure) {
                (Some(1), None) | (None, Some(_)) => {}
                (Some(1), Some(failure)) if failure.maybe_applied => {}
                (Some(1), Some(failure)) => {
                    panic!("put {} was applied, though: {}", call.id, failure.text)
                }
                (Some(version), _) => panic!("put {} was applied {version} times", call.id),
                (None, None) => panic!("put {} was acknowledged and is not there", call.id),
            }
        }
        assert!(versions.is_empty(), "nobody put {versions:?}");
    }
}
