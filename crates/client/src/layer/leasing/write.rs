//! Writes: first those that own what is written give it back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::table::Id;
use super::{Leasing, Shared};
use crate::clock;
use crate::concurrency::missing;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Compare, Delete, Get, KeyRange, Op, OpResponse, Put, Txn};
use crate::response::{DeleteResponse, KeyValue, PutResponse, ResponseHeader, TxnResponse};
use crate::revision::Revision;
use crate::service::{CallOptions, Service, Timeout};

/// What an owner's key says when somebody wants to write.
pub(super) const REVOKE: &[u8] = b"REVOKE";

/// What etcd takes in one transaction, unless it is set up otherwise.
const MAX_OPS: usize = 128;

/// How long a write without a deadline of its own waits for owners: one that is dead is gone by then, unless its session
/// was made to live longer than sessions usually do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Owned keys that are being written. If nobody says how that ended, they are given up.
struct Writing<S> {
    shared: Arc<Shared<S>>,
    keys: Vec<OwnWrite>,
}

struct OwnWrite {
    key: Bytes,
    owner: Bytes,
    id: Id,
    since: Revision,
}

impl<S> Writing<S> {
    /// Nothing was written.
    fn nothing(mut self) {
        for write in self.keys.drain(..) {
            self.shared.table().end_write(&write.key, write.id, None);
        }
    }

    /// The keys are now so.
    fn done(mut self, found: impl Iterator<Item = Option<KeyValue>>, at: Revision) {
        for (write, kv) in self.keys.drain(..).zip(found) {
            if kv.as_ref().is_some_and(|kv| kv.lease().is_some()) {
                // It can end unseen.
                self.shared.table().drop_holding(&write.key, write.id);
                self.shared.give_up(write.owner, write.since);
                continue;
            }
            let kv = kv.map(|kv| kv.detached());
            self.shared.table().end_write(&write.key, write.id, Some((kv, at)));
        }
    }
}

impl<S> Drop for Writing<S> {
    fn drop(&mut self) {
        for write in self.keys.drain(..) {
            self.shared.table().drop_holding(&write.key, write.id);
            self.shared.give_up(write.owner, write.since);
        }
    }
}

impl<S: Service + Clone> Leasing<S> {
    /// Does a write once nobody else owns what it writes.
    pub(super) async fn change(&self, op: Op, options: &CallOptions) -> Result<OpResponse> {
        Box::pin(self.write(op, options)).await
    }

    async fn write(&self, op: Op, options: &CallOptions) -> Result<OpResponse> {
        let deadline = match options.timeout {
            Some(Timeout::After(timeout)) => clock::now().checked_add(timeout),
            Some(Timeout::Never) => None,
            None => clock::now().checked_add(PATIENCE),
        };
        let mut ranges = Vec::new();
        written(&op, &mut ranges);
        // Around the operation stand a condition and a read for each range, and one read more.
        if weight(&op) + 1 + ranges.len() > MAX_OPS {
            ranges = vec![hull(&ranges)];
        }
        // An empty key is the server's to refuse.
        if ranges.iter().any(|range| range.start().is_empty()) {
            return self.client.service().call(op, options).await;
        }
        loop {
            let writing = self.begin(&ranges);
            let owners = self.owners(&ranges)?;
            let guards = owners.iter().map(|range| {
                let own = writing.keys.iter().find(|own| *range == KeyRange::key(&own.owner));
                match own {
                    Some(own) => Compare::create_revision(&own.owner).eq(own.since),
                    None => Compare::missing(range.clone()),
                }
            });
            let now = writing.keys.iter().map(|own| Op::from(Get::new(&own.key)));
            let txn = Txn::new()
                .when(guards)
                .then([op.clone()])
                .then(now)
                .or_else(owners.iter().cloned().map(Get::new));
            let outcome = self.client.service().call(txn, options).await;
            let answer = match outcome {
                // What became of it nobody knows, or it is certain that nothing did.
                Err(error) if error.maybe_applied() => return Err(error),
                Err(error) => {
                    writing.nothing();
                    return Err(error);
                }
                Ok(answer) => answer,
            };
            let header = answer.header();
            self.shared.note(header);
            let succeeded = answer.succeeded();
            let mut answers = answer.into_responses().into_iter();
            if succeeded {
                let first = answers.next();
                let first = first.ok_or_else(|| Error::internal("a write was not answered"))?;
                let found = answers.map(|answer| answer.into_get().and_then(|it| it.into_first()));
                writing.done(found, header.revision);
                return Ok(restored(first, header));
            }
            // Whatever was owned here is looked at anew.
            drop(writing);
            for owner in answers.filter_map(OpResponse::into_get).flatten() {
                let revoked = clock::until(deadline, Box::pin(self.revoke(&owner))).await;
                revoked.unwrap_or_else(|| {
                    let message =
                        format!("the owner of {:?} has not given it back", owner.key_bytes());
                    Err(Error::new(ErrorKind::Timeout, message))
                })?;
            }
        }
    }

    /// Single keys that are owned here stay so; of ranges, what is owned is given up.
    fn begin(&self, ranges: &[KeyRange]) -> Writing<S> {
        let mut table = self.shared.table();
        let mut keys: Vec<OwnWrite> = Vec::new();
        for range in ranges {
            let key = Bytes::copy_from_slice(range.start());
            let wide = ranges.iter().any(|wide| !wide.is_single_key() && wide.contains(&key));
            if !range.is_single_key() || wide {
                for (key, since) in table.owned(|key| range.contains(key)) {
                    table.drop_key(&key);
                    self.shared.give_up(self.prefix.join(&key), since);
                }
            } else if keys.iter().all(|own| own.key != key)
                && let Some((id, since)) = table.begin_write(&key)
            {
                keys.push(OwnWrite { owner: self.prefix.join(&key), key, id, since });
            }
        }
        drop(table);
        Writing { shared: Arc::clone(&self.shared), keys }
    }

    /// Where the owners' keys of some ranges are, each once.
    fn owners(&self, ranges: &[KeyRange]) -> Result<Vec<KeyRange>> {
        let mut owners: Vec<KeyRange> = Vec::new();
        for range in ranges {
            let range = self.prefix.range_in(range)?;
            if !owners.contains(&range) {
                owners.push(range);
            }
        }
        Ok(owners)
    }

    /// Asks an owner to give its key back, and waits until it has.
    async fn revoke(&self, owner: &KeyValue) -> Result<()> {
        let same = Compare::create_revision(owner.key_bytes()).eq(owner.create_revision());
        let ours = self.shared.session().is_some_and(|it| Some(it.lease()) == owner.lease());
        if ours {
            // Made by a read of ours that is not answered yet, or given up just now. Nobody reads from memory by a key that
            // goes, even if this goes no further.
            if let Some(key) = self.prefix.key_out(&owner.key_bytes()) {
                self.shared.table().gone(&key, owner.create_revision());
            }
            let delete = Txn::new().when([same]).then([Delete::new(owner.key_bytes())]);
            return self.client.call(delete).await.map(drop);
        }
        if owner.value() != REVOKE {
            let ask = Put::new(owner.key_bytes(), REVOKE).keep_lease();
            self.client.call(Txn::new().when([same]).then([ask])).await?;
        }
        missing(&self.client, owner.key()).await
    }
}

/// All that an operation may write.
fn written(op: &Op, ranges: &mut Vec<KeyRange>) {
    match op {
        Op::Get(_) => {}
        Op::Put(put) => ranges.push(KeyRange::key(put.key_bytes())),
        Op::Delete(delete) => ranges.push(delete.key_range()),
        Op::Txn(txn) => txn.success().chain(txn.failure()).for_each(|op| written(&op, ranges)),
    }
}

/// What etcd counts of a transaction: at each level the longest list.
fn weight(op: &Op) -> usize {
    let Op::Txn(txn) = op else { return 0 };
    let lists = [txn.compares().count(), txn.success().count(), txn.failure().count()];
    let below = txn.success().chain(txn.failure()).map(|op| weight(&op)).max();
    lists.into_iter().max().unwrap_or_default() + below.unwrap_or_default()
}

/// From the first key of all ranges to the last.
fn hull(ranges: &[KeyRange]) -> KeyRange {
    let start = ranges.iter().map(KeyRange::start).min().unwrap_or_default().to_vec();
    let end = |range: &KeyRange| match range.end() {
        [] => Some([range.start(), &[0]].concat()),
        [0] => None,
        end => Some(end.to_vec()),
    };
    match ranges.iter().map(end).collect::<Option<Vec<_>>>() {
        Some(ends) => KeyRange::range(start, ends.into_iter().max().unwrap_or_default()),
        None => KeyRange::from_key(start),
    }
}

/// The answer to an operation of a transaction, as it would have been to the same by itself.
fn restored(answer: OpResponse, header: ResponseHeader) -> OpResponse {
    match answer {
        OpResponse::Put(answer) => {
            let put = PutResponse::new(header);
            answer.into_prev_kv().into_iter().fold(put, PutResponse::with_prev_kv).into()
        }
        OpResponse::Delete(answer) => {
            let deleted = DeleteResponse::new(header, answer.deleted());
            deleted.with_prev_kvs(answer.into_prev_kvs()).into()
        }
        OpResponse::Txn(answer) if answer.succeeded() => {
            TxnResponse::success(header, answer.into_responses()).into()
        }
        OpResponse::Txn(answer) => TxnResponse::failure(header, answer.into_responses()).into(),
        OpResponse::Get(answer) => super::with_header(answer, header).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::super::table::Table;
    use super::super::{Held, Prefix};
    use super::*;
    use crate::client::Client;
    use crate::request::{AnyRequest, AnyResponse, Request, StreamRequest};
    use crate::response::GetResponse;
    use crate::service::Streaming;

    /// A cluster in which somebody owns every key, keeps its session, and never gives anything back: as Go's client does
    /// after it was closed.
    #[derive(Clone)]
    struct Stubborn;

    fn owner() -> GetResponse {
        let kv = KeyValue::new("l/key", "").with_revisions(5, 5).with_version(1);
        GetResponse::new(ResponseHeader::at(5), [kv]).with_count(1)
    }

    impl Service for Stubborn {
        async fn call<R: Request>(&self, request: R, _: &CallOptions) -> Result<R::Response> {
            let at = ResponseHeader::at(5);
            let answer = match request.into_any() {
                AnyRequest::Txn(txn) if txn.failure().next().is_some() => {
                    AnyResponse::Txn(TxnResponse::failure(at, [owner().into()]))
                }
                AnyRequest::Txn(_) => {
                    AnyResponse::Txn(TxnResponse::success(at, [PutResponse::new(at).into()]))
                }
                AnyRequest::Get(_) => AnyResponse::Get(owner()),
                other => panic!("unexpected {other:?}"),
            };
            R::response(answer).ok_or_else(|| Error::internal("another response"))
        }

        async fn open<R: StreamRequest>(
            &self,
            _: R,
            _: &CallOptions,
        ) -> Result<Streaming<R::Item, R::Control>> {
            std::future::pending().await
        }
    }

    /// A layer without a session and a task.
    fn leasing<S: Service + Clone>(service: S) -> Leasing<S> {
        let shared = Shared {
            table: Mutex::new(Table::new(1)),
            session: Mutex::new(Held::Closed),
            given_up: Mutex::default(),
            work: Notify::new(),
            seen: Mutex::default(),
        };
        Leasing {
            client: Client::from_service(service),
            prefix: Prefix::new(Bytes::from_static(b"l/")),
            shared: Arc::new(shared),
            _keeper: Arc::new(crate::task::spawn(async {})),
        }
    }

    #[test]
    fn many_ranges_are_one_from_the_first_key_to_the_last() {
        let key = KeyRange::key;
        let table = [
            (vec![key("b"), key("a")], KeyRange::range("a", "b\0")),
            (vec![key("b"), KeyRange::prefix("a")], KeyRange::range("a", "b\0")),
            (vec![KeyRange::range("c", "d"), key("cc")], KeyRange::range("c", "d")),
            (vec![key("b"), KeyRange::from_key("c"), key("z")], KeyRange::from_key("b")),
            (vec![KeyRange::all()], KeyRange::all()),
        ];
        for (ranges, expected) in table {
            assert_eq!(hull(&ranges), expected, "{ranges:?}");
        }
    }

    /// Whoever asks first after a backup was restored is told, and the task may never hear of it.
    #[tokio::test]
    async fn nothing_is_owned_after_a_call_told_that_the_history_went_back() {
        let leasing = leasing(crate::service::service_fn(async |_| {
            Err(Error::new(ErrorKind::ClusterChanged, "the history went back"))
        }));
        let (key, since) = (Bytes::from_static(b"key"), Revision::new(5));
        let id = leasing.shared.table().take(&key, clock::now()).unwrap();
        assert!(leasing.shared.table().taken(&key, id, since, None));
        let told = leasing.call(Get::prefix("elsewhere/"), &CallOptions::new()).await;
        assert_eq!(told.unwrap_err().kind(), ErrorKind::ClusterChanged);
        assert_eq!(leasing.owned(), 0);
        assert_eq!(leasing.shared.take_given_up(), [(Bytes::from_static(b"l/key"), since)]);
    }

    /// A write waited for ever for an owner that keeps its session and does not answer.
    #[tokio::test(start_paused = true)]
    async fn an_owner_that_never_answers_is_not_waited_for_without_end() {
        let leasing = leasing(Stubborn);
        let hurried = CallOptions::new().timeout(Duration::from_secs(3));
        for (options, patience) in
            [(CallOptions::new(), PATIENCE), (hurried, Duration::from_secs(3))]
        {
            let begun = clock::now();
            let refused = leasing.call(Put::new("key", "1"), &options).await.unwrap_err();
            assert_eq!((refused.kind(), refused.maybe_applied()), (ErrorKind::Timeout, false));
            assert_eq!(clock::now() - begun, patience);
            assert!(refused.to_string().contains("l/key"), "{refused}");
        }
    }
}
