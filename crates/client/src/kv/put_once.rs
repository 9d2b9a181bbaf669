//! A write that is safe to repeat.

use std::fmt;

use crate::byte_string::ByteString;
use crate::error::{Error, ErrorKind, Result, ServerError};
use crate::request::{Compare, Get, OpResponse, Put, Txn};
use crate::response::{GetResponse, KeyValue, TxnResponse};
use crate::revision::{LeaseId, Revision};

/// How often one write is sent at most. Each time already waits for a member and its answer, so that this ends only a
/// run of answers that keep getting lost, or of others that keep writing first.
const SENDS: u32 = 8;

/// A write of one key that is repeated until its outcome is known, and done once for all that.
///
/// It is sent as a transaction that writes only while the key is as it was. Whatever becomes of one attempt, the next
/// can't write a second time, and the key tells it whether the one before did. See
/// [`Client::put_once`](crate::Client::put_once) for what that promises.
///
/// ```
/// use etcdkit::{KeyValue, PutOnce};
///
/// let seen = KeyValue::new("/balance", "10").with_revisions(3, 8).with_version(2);
/// let writes = [
///     PutOnce::new("/balance", "20"),        // whatever it is
///     PutOnce::create("/balance", "20"),     // only if there is none
///     PutOnce::replace(&seen, "20"),         // only if it is as seen
///     PutOnce::new("/balance", "20").if_mod_revision(8), // the same, with a look at it first
/// ];
/// assert!(writes.iter().all(|write| write.key() == b"/balance"));
/// ```
#[derive(Clone, PartialEq)]
pub struct PutOnce {
    put: Put,
    guard: Guard,
}

/// What the key has to be like for the write to happen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Guard {
    /// Whatever it is.
    Any,
    /// Last changed at this revision.
    Revision(Revision),
    /// Exactly so.
    State(State),
}

/// The state of the key that the write follows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    modified: Revision,
    version: i64,
}

impl State {
    const MISSING: Self = Self { modified: Revision::NONE, version: 0 };

    fn of(kv: Option<&KeyValue>) -> Self {
        kv.map_or(Self::MISSING, |kv| Self { modified: kv.mod_revision(), version: kv.version() })
    }
}

impl PutOnce {
    /// Writes `value` to `key`, whatever was there.
    pub fn new(key: impl Into<ByteString>, value: impl Into<ByteString>) -> Self {
        Self { put: Put::new(key, value), guard: Guard::Any }
    }

    /// Writes `value` to `key` if there is no such key.
    pub fn create(key: impl Into<ByteString>, value: impl Into<ByteString>) -> Self {
        Self { put: Put::new(key, value), guard: Guard::State(State::MISSING) }
    }

    /// Writes `value` to the key of `seen` if nobody has changed it since.
    pub fn replace(seen: &KeyValue, value: impl Into<ByteString>) -> Self {
        let guard = Guard::State(State::of(Some(seen)));
        Self { put: Put::new(seen.key_bytes(), value), guard }
    }

    /// Writes only if the key was last changed at `revision`; [`Revision::NONE`] is that there is no such key.
    #[must_use]
    pub fn if_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.guard = match revision.into() {
            Revision::NONE => Guard::State(State::MISSING),
            revision => Guard::Revision(revision),
        };
        self
    }

    /// Attaches the key to `lease`.
    #[must_use]
    pub fn lease(mut self, lease: LeaseId) -> Self {
        self.put = self.put.lease(lease);
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.put.key()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        self.put.value()
    }
}

impl fmt::Debug for PutOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutOnce").field("put", &self.put).field("guard", &self.guard).finish()
    }
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    Read(Get),
    Write(Txn),
    Done(Revision),
}

/// What the key tells of earlier attempts whose answers were lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Applied(Revision),
    NotApplied,
    Unknown,
}

/// One write on its way: told what happened, it says what to do next.
#[derive(Debug)]
pub(super) struct Attempts {
    put: Put,
    guard: Guard,
    /// The state that the present attempts follow.
    followed: State,
    sends: u32,
    /// One of the present attempts is without an answer: it may have written, or may do so yet.
    unknown: bool,
    /// The store had no space left for the last attempt. What it says of having been applied is about those before.
    full: Option<Error>,
}

impl Attempts {
    pub(super) fn new(write: PutOnce) -> Self {
        let followed = match write.guard {
            Guard::State(state) => state,
            Guard::Any | Guard::Revision(_) => State::MISSING,
        };
        Self { put: write.put, guard: write.guard, followed, sends: 0, unknown: false, full: None }
    }

    /// How to begin.
    pub(super) fn begin(&mut self) -> Step {
        match self.guard {
            Guard::State(_) => self.write(),
            Guard::Any | Guard::Revision(_) => Step::Read(Get::new(self.put.key_bytes())),
        }
    }

    /// The key was read, or could not be.
    pub(super) fn read(&mut self, answer: Result<GetResponse>) -> Result<Step> {
        if let Some(full) = self.full.take() {
            return self.settle(full, answer);
        }
        let now = answer?.into_first();
        self.followed = State::of(now.as_ref());
        match self.guard {
            Guard::Revision(expected) if self.followed.modified != expected => {
                Err(self.conflict(expected, now.as_ref()))
            }
            _ => Ok(self.write()),
        }
    }

    /// An attempt was answered.
    pub(super) fn answered(&mut self, answer: TxnResponse) -> Result<Step> {
        if answer.succeeded() {
            return Ok(Step::Done(answer.revision()));
        }
        let found = answer.into_responses().into_iter().next().and_then(OpResponse::into_get);
        let now = found.and_then(GetResponse::into_first);
        let verdict = if self.unknown { self.judge(now.as_ref()) } else { Verdict::NotApplied };
        match verdict {
            Verdict::Applied(revision) => return Ok(Step::Done(revision)),
            Verdict::NotApplied => self.unknown = false,
            Verdict::Unknown => {}
        }
        if self.guard == Guard::Any && !self.unknown && self.sends < SENDS {
            self.followed = State::of(now.as_ref());
            return Ok(self.write());
        }
        Err(self.conflict(self.followed.modified, now.as_ref()))
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, error: Error) -> Result<Step> {
        if error.server_error() == Some(ServerError::NoSpace) {
            // It was applied all the same if it was the one too many. Another attempt would not be.
            self.full = Some(error.with_maybe_applied(self.unknown));
            self.unknown = true;
            return Ok(Step::Read(Get::new(self.put.key_bytes())));
        }
        self.unknown |= error.maybe_applied();
        // Whoever lets an attempt take all the time there is wants no other after it.
        let in_time = error.kind() != ErrorKind::Timeout;
        if error.maybe_applied() && in_time && self.sends < SENDS {
            return Ok(self.write());
        }
        Err(error.with_maybe_applied(self.unknown))
    }

    /// The key was read after the answer that the store is full, by which an attempt is over: it has written, or won't.
    fn settle(&self, full: Error, answer: Result<GetResponse>) -> Result<Step> {
        let Ok(answer) = answer else { return Err(full.with_maybe_applied(true)) };
        let now = answer.into_first();
        if now.is_some() && State::of(now.as_ref()) == self.followed {
            return Err(full);
        }
        match self.judge(now.as_ref()) {
            Verdict::Applied(revision) => Ok(Step::Done(revision)),
            verdict => Err(full.with_maybe_applied(verdict == Verdict::Unknown)),
        }
    }

    /// Time is up. `waiting` is whether an attempt is on its way.
    pub(super) fn out_of_time(&self, waiting: bool) -> Error {
        Error::new(ErrorKind::Timeout, "the deadline passed before the outcome was known")
            .with_maybe_applied(self.unknown || waiting)
    }

    fn write(&mut self) -> Step {
        self.sends += 1;
        let key = self.put.key_bytes();
        Step::Write(
            Txn::new()
                .when([Compare::mod_revision(key.clone()).eq(self.followed.modified)])
                .then([self.put.clone()])
                .or_else([Get::new(key)]),
        )
    }

    /// What the key, as it is now, tells of the attempts so far. It is not as they expected it to be.
    fn judge(&self, now: Option<&KeyValue>) -> Verdict {
        let Some(now) = now else {
            // Deleted: after our write, or instead of it.
            return Verdict::Unknown;
        };
        let missing = self.followed == State::MISSING;
        let same_life = missing || now.create_revision() <= self.followed.modified;
        let next = same_life && now.version() == self.followed.version + 1;
        let ours = now.value() == self.put.value() && now.lease() == self.put.lease_id();
        match (next, ours) {
            (true, true) => Verdict::Applied(now.mod_revision()),
            // Another's write is in the one place where ours could be. Only of a key that did not exist there may have
            // been several lives since, and more to come.
            (true, false) if !missing => Verdict::NotApplied,
            _ => Verdict::Unknown,
        }
    }

    fn conflict(&self, expected: Revision, now: Option<&KeyValue>) -> Error {
        let key = self.put.key_bytes();
        let expected = match expected {
            Revision::NONE => "to be missing".to_owned(),
            revision => format!("to be as of revision {revision}"),
        };
        let found = match now {
            None => "is missing".to_owned(),
            Some(kv) => format!("was changed at revision {}", kv.mod_revision()),
        };
        Error::new(
            ErrorKind::Conflict,
            format!(
                "another client changed the key {key:?}: it was expected {expected}, and {found}"
            ),
        )
        .with_maybe_applied(self.unknown)
    }
}

#[cfg(test)]
mod tests;
