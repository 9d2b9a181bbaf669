//! Whose turn it is: of keys in line, the oldest's.
//!
//! A line is all keys under one name that have the shape of its kind. What stands under the name by chance (the lock `a/b`
//! under the lock `a`) is no part of it.

use std::io::Write;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::places::Place;
use super::served::Served;
use super::waiting;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Get, KeyRange, Op, SortOrder, SortTarget, Txn, Watch};
use crate::response::{GetResponse, KeyValue, TxnResponse};
use crate::revision::{LeaseId, Revision};
use crate::service::Service;
use crate::task::{Either, race};

/// When who waits looks again by itself. A member sees to watches that begin at a revision of the past only every 100 ms, and
/// of a lock that often changes hands every watch does: until then asking is faster, and from then on the watch is.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
];

/// `name` with the slash that ends it.
pub(super) fn directory(name: Bytes) -> Bytes {
    let mut directory = BytesMut::with_capacity(name.len() + 1);
    directory.put_slice(&name);
    directory.put_u8(b'/');
    directory.freeze()
}

pub(super) fn join(directory: &[u8], rest: &[u8]) -> Bytes {
    Bytes::from([directory, rest].concat())
}

/// The key of a session in a line of locks or of an election: the lease in lower hexadecimal digits, without padding.
pub(super) fn lease_key(directory: &[u8], lease: LeaseId) -> Bytes {
    let mut key = directory.to_vec();
    let sign = if lease.get() < 0 { "-" } else { "" };
    write!(key, "{sign}{:x}", lease.get().unsigned_abs()).expect("memory can be written to");
    Bytes::from(key)
}

/// Which keys are in line.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Those that are named after the lease they are attached to.
    Leases(Bytes),
    /// Those that are numbered, under one of these directories.
    Numbers(Bytes, &'static [&'static str]),
    /// Those that are numbered under a number.
    Levels(Bytes),
}

impl Line {
    /// What holds all of the line, and maybe more.
    pub(super) fn range(&self) -> KeyRange {
        match self {
            Self::Leases(directory) | Self::Levels(directory) => KeyRange::prefix(directory),
            Self::Numbers(directory, [one]) => KeyRange::prefix(join(directory, one.as_bytes())),
            Self::Numbers(directory, _) => KeyRange::prefix(directory),
        }
    }

    /// Whether a key is in line. It must not have been read with [`Get::keys_only`]: etcd 3.7 leaves the lease out
    /// then, since its index does not know it.
    pub(super) fn holds(&self, kv: &KeyValue) -> bool {
        match self {
            Self::Leases(directory) => {
                kv.lease().is_some_and(|lease| lease_key(directory, lease) == kv.key())
            }
            Self::Numbers(directory, kinds) => {
                let Some(rest) = kv.key().strip_prefix(&directory[..]) else { return false };
                let number = kinds.iter().find_map(|kind| rest.strip_prefix(kind.as_bytes()));
                number.is_some_and(is_number)
            }
            Self::Levels(directory) => {
                let Some(rest) = kv.key().strip_prefix(&directory[..]) else { return false };
                let mut numbers = rest.split(|byte| *byte == b'/');
                let two = [numbers.next(), numbers.next()];
                two.into_iter().all(|number| number.is_some_and(is_number))
                    && numbers.next().is_none()
            }
        }
    }

    /// Reads the oldest key that may be in line.
    pub(super) fn oldest(&self) -> Get {
        let get = Get::new(self.range()).sort(SortTarget::CreateRevision, SortOrder::Ascend);
        get.limit(1)
    }

    /// Reads the two youngest keys that may be in line: the own one, if it has just been made, and the one before it.
    pub(super) fn youngest(&self) -> Get {
        let get = Get::new(self.range()).sort(SortTarget::CreateRevision, SortOrder::Descend);
        get.limit(2)
    }

    /// What is before a key that was made at `mine`, by what [`youngest`](Self::youngest) read then.
    pub(super) fn before_of(&self, answer: GetResponse, mine: Revision) -> Before {
        let more = answer.more();
        match answer.into_kvs().into_iter().find(|kv| kv.create_revision() < mine) {
            Some(kv) if self.holds(&kv) => Before::Key(kv),
            None if !more => Before::Nobody,
            _ => Before::Unknown,
        }
    }

    /// Reads the youngest key of those that are older than `mine` and may be in line.
    fn before(&self, mine: Revision) -> Get {
        Get::new(self.range())
            .sort(SortTarget::CreateRevision, SortOrder::Descend)
            .max_create_revision(mine.get() - 1)
    }
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// What is known of who is before a key in line.
#[derive(Debug)]
pub(super) enum Before {
    Nobody,
    /// The next one.
    Key(KeyValue),
    Unknown,
}

/// Where in line a key stands.
pub(super) struct Turn<'a, S> {
    pub(super) place: &'a Place<S>,
    pub(super) line: &'a Line,
    /// The revision that the key was made at.
    pub(super) mine: Revision,
    /// The server's wait, where it is to wait.
    pub(super) served: Option<&'a Served>,
}

impl<S: Service + Clone> Turn<'_, S> {
    /// Waits until no older key is in line, and the own one still is. `false` if the server's wait broke: then the place in
    /// line may be lost, and is to be taken again.
    pub(super) async fn come(&self, before: Before) -> Result<bool> {
        let mut before = match before {
            Before::Nobody => None,
            Before::Key(kv) => Some(kv),
            Before::Unknown => waiting::patiently(|| self.look()).await?,
        };
        while let Some(kv) = before {
            before = match self.served {
                None => waiting::patiently(|| self.outlast(&kv)).await?,
                Some(served) if served.wait(self.place).await? => {
                    let before = waiting::patiently(|| self.look()).await?;
                    self.place.set_served(false);
                    before
                }
                Some(_) => return Ok(false),
            };
        }
        Ok(true)
    }

    /// The key before the own one, which must be in line itself.
    async fn look(&self) -> Result<Option<KeyValue>> {
        // In one revision: an own key that is gone must not be found to be the first.
        let look = [Op::from(Get::new(self.place.key()).keys_only()), self.one().into()];
        let (own, before) = two(self.client().call(Txn::new().then(look)).await?)?;
        if own.first().is_none_or(|kv| kv.create_revision() != self.mine) {
            return Err(gone(self.place.key()));
        }
        match before.into_first() {
            Some(kv) if !self.line.holds(&kv) => self.search().await,
            before => Ok(before),
        }
    }

    fn client(&self) -> &Client<S> {
        self.place.session().client()
    }

    fn one(&self) -> Get {
        self.line.before(self.mine).limit(1)
    }

    /// The youngest key in line before the own one, where others stand between.
    async fn search(&self) -> Result<Option<KeyValue>> {
        let answer = self.client().call(self.line.before(self.mine)).await?;
        Ok(answer.into_kvs().into_iter().find(|kv| self.line.holds(kv)))
    }

    /// Waits until a key is deleted: what is before the own one then.
    async fn outlast(&self, kv: &KeyValue) -> Result<Option<KeyValue>> {
        let watch = Watch::new(kv.key()).only_deletes();
        let mut watching = waiting::begin(self.client(), watch).await?;
        let mut pauses = PAUSES.into_iter();
        loop {
            // What happened before the watch began, and what it is slow to tell at first.
            let now = self.look().await?;
            let same = |now: &KeyValue| {
                (now.key(), now.create_revision()) == (kv.key(), kv.create_revision())
            };
            if !now.as_ref().is_some_and(same) {
                return Ok(now);
            }
            let happened = waiting::happened(&mut watching);
            match pauses.next() {
                Some(pause) => match race(happened, clock::sleep(pause)).await {
                    Either::First(seen) => seen?,
                    Either::Second(()) => continue,
                },
                None => happened.await?,
            };
            return self.look().await;
        }
    }
}

/// The answers to two reads of a transaction.
pub(super) fn two(answer: TxnResponse) -> Result<(GetResponse, GetResponse)> {
    let mut answers = answer.into_responses().into_iter().filter_map(crate::OpResponse::into_get);
    match (answers.next(), answers.next()) {
        (Some(one), Some(other)) => Ok((one, other)),
        _ => Err(Error::internal("a transaction was not answered as it was asked")),
    }
}

/// The own key is gone: its lease has ended, or somebody deleted it.
pub(super) fn gone(key: &Bytes) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the session is expired, or somebody else deleted its key {key:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, lease: i64) -> KeyValue {
        let kv = KeyValue::new(key, "");
        LeaseId::new(lease).into_iter().fold(kv, KeyValue::with_lease)
    }

    #[test]
    fn keys_are_named_after_their_lease() {
        for (lease, key) in [(0x0af, "a/af"), (i64::MAX, "a/7fffffffffffffff"), (-0x1f, "a/-1f")] {
            assert_eq!(lease_key(b"a/", LeaseId::new(lease).unwrap()), key);
        }
    }

    #[test]
    fn who_is_before_a_new_key_is_known_at_once_unless_others_stand_between() {
        let line = Line::Leases("a/".into());
        let at = |key: &str, lease: i64, made: i64| kv(key, lease).with_revisions(made, made);
        let own = || at("a/7", 7, 9);
        let before = |answer: GetResponse| line.before_of(answer, Revision::new(9));
        let answer = |kvs: Vec<KeyValue>| GetResponse::default().with_keys(kvs);
        assert!(matches!(before(answer(vec![own()])), Before::Nobody));
        assert!(matches!(before(answer(vec![])), Before::Nobody));
        let one = before(answer(vec![own(), at("a/5", 5, 8)]).with_more());
        assert!(matches!(one, Before::Key(kv) if kv.key() == b"a/5"));
        let stranger = before(answer(vec![own(), at("a/b/5", 5, 8)]).with_more());
        assert!(matches!(stranger, Before::Unknown));
        assert!(matches!(before(answer(vec![own()]).with_more()), Before::Unknown));
    }

    #[test]
    fn names_that_are_prefixes_of_others_have_lines_of_their_own() {
        let locks = Line::Leases(directory("a".into()));
        let table = [
            ("a/77", 0x77, true),
            // The lock `a/b`, and one that looks like a lease.
            ("a/b/77", 0x77, false),
            ("a/1f/77", 0x77, false),
            // Keys that are no locks at all.
            ("a/77", 0x78, false),
            ("a/77", 0, false),
            ("a/", 0x77, false),
            ("a/0077", 0x77, false),
        ];
        for (key, lease, expected) in table {
            assert_eq!(locks.holds(&kv(key, lease)), expected, "{key} on {lease:x}");
        }
        let directory = directory("a".into());
        let all = Line::Numbers(directory.clone(), &["read/", "write/"]);
        let writers = Line::Numbers(directory, &["write/"]);
        let table = [
            ("a/read/12", true, false),
            ("a/write/12", true, true),
            ("a/write/12/read/5", false, false),
            ("a/write/", false, false),
            ("a/writer/12", false, false),
        ];
        for (key, of_all, of_writers) in table {
            let kv = kv(key, 7);
            assert_eq!((all.holds(&kv), writers.holds(&kv)), (of_all, of_writers), "{key}");
        }
        let levels = Line::Levels("a/".into());
        for (key, expected) in [("a/00007/12", true), ("a/00007", false), ("a/7/8/9", false)] {
            assert_eq!(levels.holds(&kv(key, 0)), expected, "{key}");
        }
        assert_eq!(writers.range(), KeyRange::prefix("a/write/"));
        assert_eq!(all.range(), KeyRange::prefix("a/"));
    }
}
