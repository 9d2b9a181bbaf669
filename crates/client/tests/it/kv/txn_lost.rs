//! Transactions to a member that is down and comes back.

use std::time::Duration;

use etcdkit::{Compare, ErrorKind, Get, Put, Txn};

use super::lost::noticed;
use super::members::*;

#[tokio::test]
async fn txn_write_fail() {
    on_own_member(async |client, etcd| {
        etcd.kill().await;
        noticed(&client).await;
        let hurried = client.with_options(within(Duration::from_millis(300)));
        let error = hurried.txn(Txn::new().then([Put::new("foo", "bar")])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!error.maybe_applied(), "{error}");
        etcd.start().await;
        let patient = client.with_options(within(DEADLINE));
        assert!(patient.get("foo").await.unwrap().is_empty(), "the transaction was replayed");
    })
    .await;
}

#[tokio::test]
async fn txn_read_retry() {
    on_own_member(async |client, etcd| {
        client.put("foo", "bar").await.unwrap();
        let get = || Get::new("foo");
        let txns = [
            Txn::new().then([get()]),
            Txn::new().then([Txn::new().then([get()])]),
            Txn::new().or_else([Txn::new().then([get()])]).when([Compare::missing("foo")]),
            Txn::new().then([Txn::new()]),
            Txn::new(),
        ];
        assert!(txns.iter().all(Txn::is_read_only));
        let [plain, nested, other_way, empty_inner, empty] = txns;
        let patient = client.with_options(within(DEADLINE));
        // Once while it is down, once while it goes down with the requests on their way.
        for sent_before in [false, true] {
            if !sent_before {
                etcd.kill().await;
                noticed(&client).await;
            } else {
                etcd.pause();
            }
            let run = |txn: &Txn| patient.txn(txn.clone());
            let restart = async {
                etcd.kill().await;
                etcd.start().await;
            };
            let (a, b, c, d, e, ()) = tokio::join!(
                run(&plain),
                run(&nested),
                run(&other_way),
                run(&empty_inner),
                run(&empty),
                restart
            );
            let outcomes = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap(), e.unwrap()];
            let succeeded: Vec<bool> = outcomes.iter().map(|done| done.succeeded()).collect();
            assert_eq!(succeeded, [true, true, false, true, true]);
            let found = outcomes[0].responses()[0].as_get().unwrap();
            assert_eq!(found.first().unwrap().value(), b"bar");
        }
    })
    .await;
}
