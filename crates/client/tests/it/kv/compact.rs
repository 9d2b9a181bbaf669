//! Forgetting history.

use etcdkit::{Client, Compact, ErrorKind, Get, Revision, ServerError};
use etcdkit_testkit::etcd::Etcd;

use super::members::*;

async fn fill(client: &Client) -> Revision {
    let mut revision = Revision::NONE;
    for _ in 0..5 {
        revision = client.put("foo", "bar").await.unwrap().revision();
    }
    assert_eq!(revision, Revision::new(6));
    revision
}

#[tokio::test]
async fn kv_compact_error() {
    on_own_member(async |client, _| {
        let now = fill(&client).await;
        client.compact(now).await.unwrap();
        let outcome = client.compact(now).await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Compacted);
        refused(outcome, ServerError::Compacted);
        let outcome = client.compact(Revision::new(100)).await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::FutureRevision);
        refused(outcome, ServerError::FutureRevision);
    })
    .await;
}

#[tokio::test]
async fn kv_compact() {
    on_own_member(async |client, _| {
        let now = fill(&client).await;
        client.put("foo", "newer").await.unwrap();
        for compact in [Compact::new(now), Compact::new(now.next()).physical()] {
            let answer = client.compact(compact.clone()).await.unwrap();
            assert_eq!(answer.header().revision, now.next());
            let before = Revision::new(compact.revision().get() - 1);
            let outcome = client.get(Get::new("foo").at_revision(before)).await;
            refused(outcome, ServerError::Compacted);
            let at = client.get(Get::new("foo").at_revision(compact.revision())).await.unwrap();
            assert_eq!(at.count(), 1);
        }
    })
    .await;
}

/// The present stays readable after it was compacted to.
#[tokio::test]
async fn v3_compact_current_rev() {
    on_own_member(async |client, etcd: Etcd| {
        let now = fill(&client).await;
        client.compact(now).await.unwrap();
        let check = async || {
            let present = client.get("foo").await.unwrap();
            assert_eq!((present.revision(), present.count()), (now, 1));
            let pinned = client.get(Get::new("foo").at_revision(now)).await.unwrap();
            assert_eq!(pinned.kvs(), present.kvs());
        };
        check().await;
        etcd.restart().await;
        check().await;
    })
    .await;
}

#[tokio::test]
async fn kv_get_stream_compacted_error() {
    on_own_member(async |client, _| {
        let now = fill(&client).await;
        client.compact(now).await.unwrap();
        let old = || Get::new("foo").at_revision(Revision::new(now.get() - 1));
        refused(client.get(old()).await, ServerError::Compacted);
        refused(client.get_all(old()).await, ServerError::Compacted);
        // A stream whose first piece fails does not open.
        let error = client.get_stream(old()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compacted, "{error}");
        assert_eq!(error.server_error(), Some(ServerError::Compacted));
    })
    .await;
}
