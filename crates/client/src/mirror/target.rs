//! Where the copy is written.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering as Memory};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::plan::{Batch, Extra, Limits, Mark, Merge, Translation, batches};
use super::syncer::Syncer;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::config::RetryPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Get;
use crate::response::{GetResponse, KeyValue};
use crate::revision::Revision;
use crate::service::{Service, Streaming};
use crate::transport::Channel;

/// After so many keys that were compared it is told how far the copy is, whether or not any had to be written.
const TELL_EACH: u64 = 1_000;
/// How many batches of the first copy are under way at a time; they hold different keys.
const AT_ONCE: usize = 8;
/// So often in a row others may have changed what is to be written.
const REFUSALS: u32 = 100;

/// Keeps a copy of the keys under a prefix, in another cluster or under another prefix.
///
/// First it writes what differs from the source at one revision. Then it follows, with each revision of the source done at
/// once (or, if it has more than 127 keys, in parts).
///
/// Of the destination's own keys it overwrites those that the source has too, and leaves the others alone. Deletions are
/// then copied only as they happen, so that it ends where history is missing in which there may have been some. If the
/// destination's prefix belongs to the mirror alone, [`delete_extra`](Self::delete_extra) makes it an exact copy, which no
/// gap stops.
///
/// Keys are copied without their leases, which mean nothing elsewhere: a key whose lease ends is deleted in the source, and
/// then in the copy.
///
/// A write whose answer is lost is done again. If a member that was frozen does the first of the two only later, that changes
/// nothing, as its keys have changed since. But etcd can't tell of a key that it changed if it is gone again: a late write of
/// which all keys were deleted meanwhile brings them back, unless there is a [`checkpoint`](Self::checkpoint). This takes the
/// permission to read what is written.
///
/// ```
/// use etcdkit::mirror::Mirror;
///
/// async fn example(from: etcdkit::Client, to: etcdkit::Client) -> etcdkit::Result<()> {
///     // Nobody else writes under `/copy/`.
///     let mirror = Mirror::new(&from, "/config/", &to, "/copy/").delete_extra();
///     let mirror = mirror.checkpoint("/copy-revision");
///     let endless = mirror.run(|progress| println!("at revision {}", progress.revision));
///     match endless.await? {}
/// }
/// ```
pub struct Mirror<S = Channel, D = Channel> {
    source: Client<S>,
    destination: Client<D>,
    translation: Translation,
    from: Option<Revision>,
    checkpoint: Option<Bytes>,
    keys_per_second: Option<u64>,
    limits: Limits,
    extra: Extra,
    /// The highest revision that the destination answered a write with.
    answered: AtomicI64,
}

/// How far a [`Mirror`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorProgress {
    /// The copy has everything of the source up to this revision; while it is made for the first time or anew, the one that
    /// it will have.
    pub revision: Revision,
    /// Whether the copy is as the source was at that revision.
    pub complete: bool,
    /// How many keys have been written and deleted since the mirror was started.
    pub written: u64,
    /// How many keys of the source have been compared with the copy since it was begun or begun anew. It stays where it is
    /// once the copy is complete.
    pub compared: u64,
}

impl<S: Service + Clone, D: Service + Clone> Mirror<S, D> {
    /// Copies the keys under `from` of `source` to `destination`, with `to` in the place of `from`.
    pub fn new(
        source: &Client<S>,
        from: impl Into<ByteString>,
        destination: &Client<D>,
        to: impl Into<ByteString>,
    ) -> Self {
        let translation =
            Translation { from: from.into().into_bytes(), to: to.into().into_bytes() };
        Self {
            source: source.clone(),
            destination: destination.clone(),
            translation,
            from: None,
            checkpoint: None,
            keys_per_second: None,
            limits: Limits::default(),
            extra: Extra::Kept,
            answered: AtomicI64::new(0),
        }
    }

    /// Deletes all keys under the destination's prefix that the source has not, but for the checkpoint: before it follows, and
    /// whenever it begins anew because the history that it needs was compacted, or because its checkpoint is of another source
    /// or of a history that went back. An empty prefix is all keys of the destination.
    #[must_use]
    pub fn delete_extra(mut self) -> Self {
        self.extra = Extra::Deleted;
        self
    }

    /// Goes on after this revision, which the copy has, without comparing everything first.
    #[must_use]
    pub fn from_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.from = Some(revision.into());
        self
    }

    /// Writes down in this key of the destination, in the same transactions as the copy, how far it has come; and begins
    /// there if the key exists. If the source is another cluster by then, or has come less far because a backup was restored,
    /// everything is copied anew where what is [extra](Self::delete_extra) is deleted; elsewhere that is an error, as is the
    /// checkpoint of a copy that was to delete and is not finished.
    #[must_use]
    pub fn checkpoint(mut self, key: impl Into<ByteString>) -> Self {
        self.checkpoint = Some(key.into().into_bytes());
        self
    }

    /// Writes no more than so many keys in a second. 0 is no limit.
    #[must_use]
    pub fn keys_per_second(mut self, keys: u64) -> Self {
        self.keys_per_second = (keys > 0).then_some(keys);
        self
    }

    /// Writes no more than so many keys in one transaction. Default: 127, one less than etcd takes; a destination with
    /// another `--max-txn-ops` wants one less than that. 0 counts as 1.
    #[must_use]
    pub fn keys_at_once(mut self, keys: usize) -> Self {
        self.limits.ops = keys.max(1);
        self
    }

    /// Copies and follows, and tells how far it has come after each step.
    ///
    /// # Errors
    ///
    /// Unless what is [extra](Self::delete_extra) is deleted: [`Compacted`](ErrorKind::Compacted) if a compaction overtook it or
    /// the revision that it was to go on from, and [`ClusterChanged`](ErrorKind::ClusterChanged) if its checkpoint is of another
    /// source, of a history that went back, or of a copy that was to delete and is not finished. Without that checkpoint it copies
    /// everything anew, and what was deleted meanwhile stays in the copy.
    ///
    /// [`Conflict`](ErrorKind::Conflict) if others change the same keys of the destination as often as they are written. Else
    /// whatever reading or writing fails with. A write whose answer is lost, with its connection or with the leader, is done
    /// again, a few times. It can be run again, and goes on where it was if it has a [checkpoint](Self::checkpoint).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the copy stays as it is: at a revision of the source if it follows, else somewhere on the
    /// way to one.
    pub async fn run(&self, mut tell: impl FnMut(MirrorProgress)) -> Result<Infallible> {
        let (mut written, mut compared) = (0, 0);
        let (mark, mut from) = match &self.checkpoint {
            Some(key) => {
                let (mark, from) = self.resume(key).await?;
                (Some(mark), from)
            }
            None => (None, self.from),
        };
        let mark = mark.as_ref();
        loop {
            let revision = match from.take() {
                Some(revision) => revision,
                None => {
                    let mut counted = |revision, count, so_far| {
                        written += count;
                        compared = so_far;
                        tell(MirrorProgress { revision, complete: false, written, compared });
                    };
                    match self.copy(mark, &mut counted).await {
                        Err(error) if self.begins_anew_after(&error) => continue,
                        copied => copied?,
                    }
                }
            };
            tell(MirrorProgress { revision, complete: true, written, compared });
            let mut counted = |revision, count| {
                written += count;
                tell(MirrorProgress { revision, complete: true, written, compared });
            };
            match self.follow(revision, mark, &mut counted).await {
                Err(error) if self.begins_anew_after(&error) => {}
                Err(error) => return Err(error),
                Ok(never) => match never {},
            }
        }
    }

    /// Whether what it needs was compacted, and everything can be copied anew without keeping what was deleted.
    fn begins_anew_after(&self, error: &Error) -> bool {
        self.extra == Extra::Deleted && error.kind() == ErrorKind::Compacted
    }

    /// Where to go on, by the checkpoint; `None` if everything is to be copied.
    async fn resume(&self, key: &Bytes) -> Result<(Mark, Option<Revision>)> {
        let now = Get::prefix(&self.translation.from).count_only();
        let now = self.source.call(now).await?.header();
        let mark = Mark::new(key.clone(), now);
        let answer = self.destination.call(Get::new(key)).await?;
        let Some(kv) = answer.first() else { return Ok((mark, self.from)) };
        match Mark::read(kv, now) {
            Some(Revision::NONE) if self.extra == Extra::Kept => {
                let what = "is the checkpoint of another source, of a history that went back, or of a copy that is not finished: \
                            delete it to copy everything anew, or have what is extra deleted";
                Err(Error::new(ErrorKind::ClusterChanged, format!("the key {key:?} {what}")))
            }
            Some(revision) => Ok((mark, Some(revision).filter(|it| *it > Revision::NONE))),
            None => Err(Error::invalid(format!(
                "the key {key:?} holds no checkpoint: delete it to copy everything anew"
            ))),
        }
    }

    /// Writes what differs from the source at one revision.
    async fn copy(
        &self,
        mark: Option<&Mark>,
        tell: &mut impl FnMut(Revision, u64, u64),
    ) -> Result<Revision> {
        if mark.is_some() && self.extra == Extra::Deleted {
            // Or a copy that is broken off would go on where the last one was. And what is late of that brings nothing back.
            self.write(&Batch::complete(Revision::NONE), mark).await?;
        }
        let mut syncer = Syncer::new(&self.source, &self.translation.from);
        let mut source = Keys::new(syncer.base().await?);
        let revision = syncer.revision().unwrap_or_default();
        let there = Get::prefix(&self.translation.to);
        let mut there = Keys::new(self.destination.get_stream(there).await?);
        let mut merge =
            Merge::new(self.translation.clone(), self.limits, self.extra, self.checkpoint.clone());
        let mut writes = FuturesUnordered::new();
        let mut compared = 0;
        loop {
            let (left, right) = merge.step(source.peek().await?, there.peek().await?);
            source.advance(left);
            there.advance(right);
            compared += u64::from(left);
            if left && compared % TELL_EACH == 0 {
                tell(revision, 0, compared);
            }
            let over = !left && !right;
            if let Some(batch) = merge.take(over) {
                if writes.len() >= AT_ONCE
                    && let Some(written) = writes.next().await
                {
                    tell(revision, written?, compared);
                }
                self.pace(&batch).await;
                writes.push(Box::pin(async move { self.write(&batch, mark).await }));
            }
            if over {
                break;
            }
        }
        while let Some(written) = writes.next().await {
            tell(revision, written?, compared);
        }
        if mark.is_some() {
            self.write(&Batch::complete(revision), mark).await?;
        }
        Ok(revision)
    }

    async fn follow(
        &self,
        revision: Revision,
        mark: Option<&Mark>,
        tell: &mut impl FnMut(Revision, u64),
    ) -> Result<Infallible> {
        let syncer = Syncer::new(&self.source, &self.translation.from).at_revision(revision);
        let mut updates = syncer.updates().await?;
        while let Some(response) = updates.next().await {
            for batch in batches(response?.events(), &self.translation, self.limits) {
                self.pace(&batch).await;
                let written = self.write(&batch, mark).await?;
                if let Some(revision) = batch.complete {
                    tell(revision, written);
                }
            }
        }
        Err(Error::internal("a watch ended without a reason"))
    }

    /// Writes, and does it again if nobody knows whether it was done: each write says what a key is, not how it changes. What
    /// certainly was not done has been repeated by the call itself.
    ///
    /// Each attempt is on condition that no key of it, nor the checkpoint, changed after the last answer before it. So one that is
    /// late, because a member was frozen, does nothing once it was done again, which changed them. A key that is gone tells
    /// nothing of that; the checkpoint, which changes with every revision that is complete, stays.
    async fn write(&self, batch: &Batch, mark: Option<&Mark>) -> Result<u64> {
        let policy = RetryPolicy::new();
        let (mut failures, mut refusals) = (0, 0);
        loop {
            let seen = Revision::new(self.answered.load(Memory::Relaxed));
            let error = match self.destination.call(batch.txn(mark, seen)).await {
                Ok(answer) => {
                    self.answered.fetch_max(answer.revision().get(), Memory::Relaxed);
                    if answer.succeeded() {
                        return Ok(batch.len());
                    }
                    if answer.revision() <= seen {
                        return Err(Error::internal(
                            "the destination refused a write because of changes that are still to come",
                        ));
                    }
                    // Others wrote there, or an attempt that is late.
                    refusals += 1;
                    if refusals == REFUSALS {
                        let message = "others change the same keys of the destination all the time";
                        return Err(Error::new(ErrorKind::Conflict, message));
                    }
                    continue;
                }
                Err(error) if error.maybe_applied() && error.is_retryable() => error,
                Err(error) => return Err(error),
            };
            failures += 1;
            // A call that took all the time there is wants no other after it.
            if error.kind() == ErrorKind::Timeout || failures >= policy.max_attempts {
                return Err(error);
            }
            clock::sleep(policy.pause(failures - 1, clock::rng().f64())).await;
        }
    }

    async fn pace(&self, batch: &Batch) {
        if let Some(limit) = self.keys_per_second {
            clock::sleep(Duration::from_secs(1).mul_f64(batch.len() as f64 / limit as f64)).await;
        }
    }
}

/// The keys of a stream, one after the other.
struct Keys {
    pieces: Streaming<GetResponse>,
    piece: std::vec::IntoIter<KeyValue>,
    over: bool,
}

impl Keys {
    fn new(pieces: Streaming<GetResponse>) -> Self {
        Self { pieces, piece: Vec::new().into_iter(), over: false }
    }

    async fn peek(&mut self) -> Result<Option<&KeyValue>> {
        while self.piece.as_slice().is_empty() && !self.over {
            match self.pieces.next().await {
                Some(piece) => self.piece = piece?.into_kvs().into_iter(),
                None => self.over = true,
            }
        }
        Ok(self.piece.as_slice().first())
    }

    fn advance(&mut self, advance: bool) {
        if advance {
            self.piece.next();
        }
    }
}

impl<S, D> fmt::Debug for Mirror<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("from", &self.translation.from)
            .field("to", &self.translation.to)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Arc;

    use super::*;
    use crate::response::{ResponseHeader, TxnResponse};
    use crate::service::service_fn;
    use crate::{AnyRequest, AnyResponse};

    #[tokio::test]
    async fn a_write_that_others_are_always_ahead_of_is_given_up() {
        let revisions = Arc::new(AtomicI64::new(1));
        let ahead = move |request| {
            assert!(matches!(request, AnyRequest::Txn(_)), "{request:?}");
            let header = ResponseHeader::at(revisions.fetch_add(1, Memory::Relaxed));
            ready(Ok(AnyResponse::Txn(TxnResponse::failure(header, []))))
        };
        let client = Client::from_service(service_fn(ahead));
        let mirror = Mirror::new(&client, "from/", &client, "to/");
        let error = mirror.write(&Batch::default(), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
}
