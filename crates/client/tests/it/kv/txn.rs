//! Transactions: what they do, what they may hold, and what the server refuses.

use std::time::Duration;

use etcdkit::proto::etcdserverpb::{RequestOp, TxnRequest};
use etcdkit::proto::method;
use etcdkit::{Compare, Delete, ErrorKind, Get, KeyRange, Op, Put, Revision, ServerError, Txn};
use tokio::time::timeout;

use super::members::*;

fn put(key: impl Into<String>) -> Op {
    Put::new(key.into(), "bar").into()
}

#[tokio::test]
async fn txn_error() {
    on_every_version(async |client, _| {
        let twice = Txn::new().then([put("txn_error/foo"), put("txn_error/foo")]);
        refused(client.txn(twice).await, ServerError::DuplicateKey);
        let many = (0..129).map(|index| put(format!("txn_error/{index}")));
        refused(client.txn(Txn::new().then(many)).await, ServerError::TooManyOps);
        assert_eq!(client.get(Get::prefix("txn_error/")).await.unwrap().count(), 0);
    })
    .await;
}

#[tokio::test]
async fn txn_success() {
    on_every_version(async |client, _| {
        let done = client.txn(Txn::new().then([put("txn_success/foo")])).await.unwrap();
        assert!(done.succeeded());
        assert_eq!(done.responses().len(), 1);
        let kv = client.get("txn_success/foo").await.unwrap().into_first().unwrap();
        assert_eq!((kv.value(), kv.mod_revision()), (&b"bar"[..], done.revision()));
        // Nothing at all is a transaction too.
        let nothing = client.txn(Txn::new()).await.unwrap();
        assert!(nothing.succeeded() && nothing.responses().is_empty());
    })
    .await;
}

#[tokio::test]
async fn txn_nested() {
    on_every_version(async |client, _| {
        let prefix = "txn_nested/";
        let key = |name: &str| format!("{prefix}{name}");
        let txn = Txn::new()
            .when([Compare::missing(key("foo"))])
            .then([
                put(key("foo")),
                Txn::new().then([put(key("abc"))]).or_else([put(key("never"))]).into(),
            ])
            .or_else([put(key("never"))]);
        let done = client.txn(txn).await.unwrap();
        assert!(done.succeeded());
        assert_eq!(done.responses().len(), 2);
        let inner = done.responses()[1].as_txn().unwrap();
        assert!(inner.succeeded() && inner.responses()[0].as_put().is_some());
        let found = client.get(Get::prefix(prefix)).await.unwrap();
        assert_eq!(keys(&found), [key("abc"), key("foo")]);
        // All writes share one revision.
        assert!(found.kvs().iter().all(|kv| kv.mod_revision() == done.revision()));
    })
    .await;
}

#[tokio::test]
async fn v3_txn_too_many_ops() {
    const LIMIT: u32 = 8;
    on_own_member_with(
        |etcd| etcd.max_txn_ops(LIMIT),
        async |client, _| {
            let puts = |count: u32| (0..count).map(|index| put(format!("k{index}")));
            let compares =
                |count: u32| (0..count).map(|index| Compare::missing(format!("k{index}")));
            let deep = |count| {
                let innermost = Txn::new().then(puts(count));
                Txn::new().then([Txn::new().or_else([innermost])])
            };
            for txn in [
                Txn::new().when(compares(LIMIT + 1)),
                Txn::new().then(puts(LIMIT + 1)),
                Txn::new().or_else(puts(LIMIT + 1)),
                Txn::new().then([Txn::new().then(puts(LIMIT))]),
                deep(LIMIT + 1),
            ] {
                refused(client.txn(txn).await, ServerError::TooManyOps);
            }
            let most = Txn::new().when(compares(LIMIT)).then(puts(LIMIT)).or_else(puts(LIMIT));
            assert!(client.txn(most).await.unwrap().succeeded());
        },
    )
    .await;
}

#[tokio::test]
async fn v3_txn_duplicate_keys() {
    on_every_version(async |client, _| {
        let key = |name: &str| format!("v3_txn_duplicate_keys/{name}");
        let abc = || put(key("abc"));
        let delete = |name: &str| Op::from(Delete::new(key(name)));
        let all = || Op::from(Delete::prefix(key("")));
        let either = || Op::from(Txn::new().then([abc()]).or_else([abc()]));
        let nested = |op: Op| Op::from(Txn::new().then([op]));
        let table: Vec<(Vec<Op>, bool)> = vec![
            (vec![abc(), abc()], false),
            (vec![abc(), delete("abc")], false),
            (vec![delete("abc"), abc()], false),
            (vec![abc(), all()], false),
            (vec![abc(), either()], false),
            (vec![nested(abc()), nested(abc())], false),
            (vec![nested(all()), abc()], false),
            // The two ways of one transaction never go together.
            (vec![either()], true),
            (vec![abc(), delete("xyz")], true),
            (vec![abc(), put(key("xyz"))], true),
            // Nor does etcd look for deletes of one beside puts of another.
            (vec![nested(abc()), nested(delete("abc"))], true),
            // Deleting twice does not change a key twice.
            (vec![delete("abc"), all()], true),
            // Reads don't count.
            (vec![abc(), Get::new(key("abc")).into(), Get::prefix(key("")).into()], true),
        ];
        for (ops, fine) in table {
            let outcome = client.txn(Txn::new().then(ops.clone())).await;
            if fine {
                outcome.unwrap_or_else(|error| panic!("{ops:?}: {error}"));
            } else {
                refused(outcome, ServerError::DuplicateKey);
            }
        }
    })
    .await;
}

/// A transaction makes a revision if it changes something, and only then.
#[tokio::test]
async fn v3_txn_revision() {
    on_own_member(async |client, _| {
        client.put("abc", "123").await.unwrap();
        let nothing_there = || Op::from(Delete::new("none"));
        for (ops, steps) in [
            (vec![nothing_there()], 0),
            (vec![nothing_there(), nothing_there()], 0),
            (vec![Get::new("abc").into()], 0),
            (vec![put("abc")], 1),
            (vec![put("abc"), put("def"), nothing_there()], 1),
            (vec![Delete::new("def").into()], 1),
            (vec![Delete::new("def").into()], 0),
        ] {
            let before = revision(&client).await;
            let done = client.txn(Txn::new().then(ops.clone())).await.unwrap();
            assert_eq!(done.revision().get() - before.get(), steps, "{ops:?}");
            assert_eq!(revision(&client).await, done.revision(), "{ops:?}");
        }
    })
    .await;
}

/// What a concurrent reader is told fits to what it is told it when.
#[tokio::test]
async fn v3_txn_cmp_header_rev() {
    on_every_version(async |client, _| {
        let key = "v3_txn_cmp_header_rev";
        for _ in 0..10 {
            let guarded = Txn::new()
                .when([Compare::mod_revision(key).eq(Revision::new(1))])
                .then([Put::new(key, "never")])
                .or_else([Get::new(key)]);
            let (put, txn) = tokio::join!(client.put(key, "b"), client.txn(guarded));
            let (put, txn) = (put.unwrap(), txn.unwrap());
            let seen = txn.responses()[0].as_get().unwrap().first().map(|kv| kv.mod_revision());
            if txn.revision() >= put.revision() {
                assert_eq!(seen, Some(put.revision()), "its revision has the put, so it sees it");
            } else {
                assert!(seen < Some(put.revision()));
            }
        }
    })
    .await;
}

/// Of nested transactions, exactly the operations on the path that the conditions lead along are done.
#[tokio::test]
async fn v3_txn_nested_path() {
    const DEPTH: u32 = 6;
    on_every_version(async |client, _| {
        let prefix = "v3_txn_nested_path/";
        for path in [0, 0b01_0110, 0b11_1111, 0b10_1010] {
            client.delete(Delete::prefix(prefix)).await.unwrap();
            let mut txn = Txn::new();
            for level in 0..DEPTH {
                let goes_then = path >> level & 1 == 1;
                let condition = match goes_then {
                    true => Compare::missing(prefix),
                    false => Compare::exists(prefix),
                };
                let then = put(format!("{prefix}{level}/then"));
                let or_else = put(format!("{prefix}{level}/else"));
                // The one on the wrong side must not be taken along.
                let wrong = Txn::new().then([put(format!("{prefix}{level}/wrong"))]);
                txn = match goes_then {
                    true => Txn::new().when([condition]).then([then, txn.into()]).or_else([wrong]),
                    false => {
                        Txn::new().when([condition]).then([wrong]).or_else([or_else, txn.into()])
                    }
                };
            }
            let mut done = client.txn(txn).await.unwrap();
            let found = client.get(Get::prefix(prefix)).await.unwrap();
            let expected: Vec<String> = (0..DEPTH)
                .map(|level| {
                    let side = if path >> level & 1 == 1 { "then" } else { "else" };
                    format!("{prefix}{level}/{side}")
                })
                .collect();
            assert_eq!(keys(&found), expected, "path {path:b}");
            for level in (0..DEPTH).rev() {
                assert_eq!(done.succeeded(), path >> level & 1 == 1, "path {path:b}");
                let mut responses = done.into_responses();
                assert_eq!(responses.len(), 2);
                done = responses.pop().unwrap().into_txn().unwrap();
            }
            assert!(done.succeeded() && done.responses().is_empty());
        }
    })
    .await;
}

/// A range at a revision that can't be read fails all of the transaction.
#[tokio::test]
async fn v3_txn_invalid_range() {
    on_own_member(async |client, _| {
        for _ in 0..3 {
            client.put("foo", "bar").await.unwrap();
        }
        client.compact(Revision::new(3)).await.unwrap();
        let before = revision(&client).await;
        let read = |revision: i64| Op::from(Get::new("foo").at_revision(revision));
        for (ops, expected) in [
            (vec![put("foo"), read(1000)], ServerError::FutureRevision),
            (vec![put("foo"), read(1)], ServerError::Compacted),
            (vec![put("foo"), Txn::new().then([read(1)]).into()], ServerError::Compacted),
        ] {
            refused(client.txn(Txn::new().then(ops)).await, expected);
        }
        assert_eq!(revision(&client).await, before);
    })
    .await;
}

/// What our own types can't say, or the client refuses itself.
#[tokio::test]
async fn transactions_that_make_no_sense() {
    on_every_version(async |client, _| {
        let empty = TxnRequest { success: vec![RequestOp::default()], ..TxnRequest::default() };
        refused(client.raw(method::kv::TXN, &empty).await, ServerError::KeyNotFound);
        for txn in [
            Txn::new().then([Put::new("", "x")]),
            Txn::new().or_else([Get::new("")]),
            Txn::new().when([Compare::missing("")]),
            Txn::new().then([Txn::new().or_else([Delete::new(KeyRange::range("a", ""))])]),
        ] {
            let error = client.txn(txn.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{txn:?}: {error}");
        }
    })
    .await;
}

/// etcd 3.5.1 panics when a transaction of reads is given up while it is looked up, whoever's client does so.
#[tokio::test]
async fn a_transaction_of_reads_that_is_given_up_does_not_bring_a_member_down() {
    on_own_member(async |client, _| {
        for number in 0..500 {
            client.put(format!("many/{number}"), "").await.unwrap();
        }
        let looks = [(); 100].map(|()| Op::from(Get::prefix("many/")));
        for round in 0..100 {
            // At any point of it: whether it is answered by then is all the same.
            let look = client.call(Txn::new().then(looks.clone()));
            let _ = timeout(Duration::from_micros(100 * round), look).await;
        }
        assert_eq!(client.get(Get::prefix("many/").count_only()).await.unwrap().count(), 500);
    })
    .await;
}
