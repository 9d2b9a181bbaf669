//! Answers that come late, and histories that went back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcdkit::layer::Leasing;
use etcdkit::service::{Service, Streaming};
use etcdkit::{AnyRequest, CallOptions, Channel, Client, Delete, Request, Result, StreamRequest};
use etcdkit_testkit::wait::eventually;
use tokio::sync::Notify;

use super::{TTL, leasing, read};
use crate::kv::backup::Backup;
use crate::kv::members::*;

/// Keeps the answers of some transactions back.
#[derive(Clone)]
struct Late {
    inner: Channel,
    /// Of these, counted from 0.
    held: &'static [usize],
    begun: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

/// A leasing client with answers that come when they are told to.
async fn late(client: &Client, held: &'static [usize]) -> (Client<Leasing<Late>>, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let told = Arc::clone(&go);
    let late = client.clone().layer(|inner| Late { inner, held, begun: Arc::default(), go: told });
    (late.leasing("l/", TTL).await.expect("a session begins"), go)
}

impl Service for Late {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        let is_txn = matches!(request.clone().into_any(), AnyRequest::Txn(_));
        let held = is_txn && self.held.contains(&self.begun.fetch_add(1, Ordering::SeqCst));
        let answer = self.inner.call(request, options).await;
        if held {
            self.go.notified().await;
        }
        answer
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        self.inner.open(request, options).await
    }
}

/// A key whose owner is not told yet that it is one was deleted with its range, and read from memory ever after.
#[tokio::test]
async fn a_range_that_is_deleted_while_a_key_in_it_is_taken_is_not_read_from_memory() {
    on_own_member(async |client, _| {
        client.put("a/k", "1").await.unwrap();
        let (owner, go) = late(&client, &[0]).await;
        let reading = read(&owner, "a/k");
        let deleting = async {
            eventually("the owner's key", DEADLINE, async || value(&client, "l/a/k").await).await;
            in_time("a deletion", owner.call(Delete::prefix("a/"))).await.unwrap();
            go.notify_one();
        };
        let (before, ()) = tokio::join!(reading, deleting);
        assert_eq!(before.as_deref(), Some("1"));
        for _ in 0..2 {
            assert_eq!(read(&owner, "a/k").await, None);
        }
    })
    .await;
}

/// The same of a write that is given up half way.
#[tokio::test]
async fn a_write_that_is_given_up_while_its_key_is_taken_leaves_nothing_old_in_memory() {
    on_own_member(async |client, _| {
        client.put("a/k", "1").await.unwrap();
        // The read, and, after a deletion that is refused, that of the owner's key.
        let (owner, go) = late(&client, &[0, 2]).await;
        let reading = read(&owner, "a/k");
        let writing = async {
            eventually("the owner's key", DEADLINE, async || value(&client, "l/a/k").await).await;
            let mut deletion = Box::pin(owner.call(Delete::prefix("a/")));
            let gone = eventually("no owner's key", DEADLINE, async || {
                value(&client, "l/a/k").await.is_none().then_some(())
            });
            tokio::select! {
                () = gone => {}
                done = &mut deletion => panic!("{done:?}"),
            }
            drop(deletion);
            client.put("a/k", "2").await.unwrap();
            go.notify_one();
        };
        tokio::join!(reading, writing);
        for _ in 0..2 {
            assert_eq!(read(&owner, "a/k").await.as_deref(), Some("2"));
        }
    })
    .await;
}

/// What was owned before a backup was restored was read from memory for ever, if the backup has the session.
#[tokio::test]
async fn what_a_backup_took_back_is_not_read_from_memory() {
    on_own_member(async |client, etcd| {
        let (owner, _) = leasing(&client, "l/").await;
        owner.put("k", "old").await.unwrap();
        assert_eq!(read(&owner, "k").await.as_deref(), Some("old"));
        let backup = Backup::of(&etcd).await;
        in_time("a write", owner.put("k", "new")).await.unwrap();
        assert_eq!(read(&owner, "k").await.as_deref(), Some("new"));
        assert_eq!(owner.service().owned(), 1);

        backup.restore().await;
        eventually("what is there", DEADLINE, async || {
            (read(&owner, "k").await.as_deref() == Some("old")).then_some(())
        })
        .await;
        let direct = connect(&etcd).await;
        let (other, _) = leasing(&direct, "l/").await;
        in_time("a write", other.put("k", "newest")).await.unwrap();
        assert_eq!(read(&owner, "k").await.as_deref(), Some("newest"));
    })
    .await;
}
