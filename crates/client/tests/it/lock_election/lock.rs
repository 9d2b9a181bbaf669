//! Locks.

use std::time::Duration;

use etcdkit::lock::Lock;
use etcdkit::{ErrorKind, LeaseId, ServerError};

use crate::kv::members::*;

/// TestV3LockLockWaiter.
#[tokio::test]
async fn v3_lock_lock_waiter() {
    on_every_version(async |client, _| {
        let name = "v3_lock_lock_waiter";
        let (one, two) = (grant(&client).await, grant(&client).await);
        let held = client.lock(Lock::new(name, one)).await.unwrap();
        let key = String::from_utf8(held.key().to_vec()).unwrap();
        assert_eq!(key, format!("{name}/{:x}", one.get()));
        assert!(held.header().revision.get() > 0);
        let mut second = Box::pin(client.lock(Lock::new(name, two)));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
        assert!(early.is_err(), "locked twice: {early:?}");
        client.unlock(held.key()).await.unwrap();
        let second = in_time("the second lock", second).await.unwrap();
        assert!(second.header().revision > held.header().revision);
        // Twice is none the worse.
        client.unlock(held.key()).await.unwrap();
        client.unlock(second.key()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_lock_without_a_lease_and_one_with_an_unknown_lease() {
    on_every_version(async |client, _| {
        let held = client.lock(Lock::for_a_minute("for_a_minute")).await.unwrap();
        client.unlock(held.key()).await.unwrap();
        let unknown = Lock::new("unknown_lease", LeaseId::new(404).unwrap());
        let error = client.lock(unknown).await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::LeaseNotFound), "{error}");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    })
    .await;
}

/// Giving up waiting leaves the queue: no key stays.
#[tokio::test]
async fn a_cancelled_lock_leaves_no_key() {
    on_every_version(async |client, _| {
        let name = "a_cancelled_lock_leaves_no_key";
        let (one, two) = (grant(&client).await, grant(&client).await);
        let held = client.lock(Lock::new(name, one)).await.unwrap();
        let queue = || client.get(etcdkit::Get::prefix(name));
        let waiting = client.lock(Lock::new(name, two));
        let dropped = tokio::time::timeout(Duration::from_millis(300), waiting).await;
        assert!(dropped.is_err());
        etcdkit_testkit::wait::eventually("the queue to empty", DEADLINE, async || {
            (queue().await.unwrap().count() == 1).then_some(())
        })
        .await;
        client.unlock(held.key()).await.unwrap();
        assert_eq!(queue().await.unwrap().count(), 0);
    })
    .await;
}
