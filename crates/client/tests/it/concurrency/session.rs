//! Sessions: what they keep, how they end, and what they leave.

use std::time::Duration;

use etcdkit::concurrency::{Mutex, SessionOptions};
use etcdkit::proto::method;
use etcdkit::{Client, ErrorKind, LeaseId, LossReason, Result};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::peer::{Answer, EtcdLike};
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use super::{counted, session};
use crate::kv::members::*;

#[tokio::test]
async fn session_options() {
    on_every_version(async |client, _| {
        // Upstream takes every lease for one of 60 seconds.
        let ttl = Duration::from_secs(90);
        let lease = client.grant(ttl).await.unwrap().id();
        let adopted = client.session(lease).await.unwrap();
        assert_eq!((adopted.lease(), adopted.ttl()), (lease, ttl));
        assert!(adopted.state().is_alive());
        adopted.orphan();
        assert_eq!(in_time("the end", adopted.lost()).await, LossReason::Cancelled);
        drop(adopted);
        assert!(client.time_to_live(lease).await.unwrap().remaining().is_some());

        let unknown = LeaseId::new(404).unwrap();
        let error = client.session(unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    })
    .await;
}

#[tokio::test]
async fn session_ttl_options() {
    on_every_version(async |client, _| {
        let set = client.session(Duration::from_secs(90)).await.unwrap();
        let left = client.time_to_live(set.lease()).await.unwrap().remaining().unwrap();
        assert!(left > Duration::from_secs(70) && left <= Duration::from_secs(90), "{left:?}");
        let default = client.session(SessionOptions::new()).await.unwrap();
        assert_eq!(default.ttl(), Duration::from_secs(60));
        fails(client.session(Duration::from_millis(10)).await, ErrorKind::InvalidArgument);
    })
    .await;
}

/// Upstream's TestSessionCtx: what was begun under the session ends with it.
#[tokio::test]
async fn session_ctx() {
    on_every_version(async |client, _| {
        let session = session(&client).await;
        assert_eq!(session.while_alive(async { 7 }).await, Ok(7));
        let other = session.clone();
        let endless = other.while_alive(std::future::pending::<()>());
        let (ended, ()) = tokio::join!(in_time("the end", endless), async { session.orphan() });
        assert_eq!(ended, Err(LossReason::Cancelled));
    })
    .await;
}

/// Upstream revokes under the context of the session, which a caller may have cancelled before: then the lease lives on.
#[tokio::test]
async fn close_ends_the_lease_also_after_orphan() {
    on_every_version(async |client, _| {
        for orphan in [false, true] {
            let session = session(&client).await;
            if orphan {
                session.orphan();
            }
            session.close().await.unwrap();
            let left = client.time_to_live(session.lease()).await.unwrap();
            assert_eq!(left.remaining(), None, "orphan: {orphan}");
            // Twice is none the worse.
            session.close().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_dropped_takes_its_locks_along() {
    on_every_version(async |client, _| {
        let name = "a_session_that_is_dropped";
        let session = session(&client).await;
        let lease = session.lease();
        let guard = Mutex::new(&session, name).lock().await.unwrap();
        drop(session);
        // The guard holds it.
        assert!(guard.is_held().await.unwrap());
        drop(guard);
        counted(&client, name, 0).await;
        eventually("the lease to end", DEADLINE, async || {
            client.time_to_live(lease).await.unwrap().remaining().is_none().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_reason_of_a_loss_is_told() {
    on_every_version(async |client, etcd| {
        let revoked = session(&client).await;
        client.revoke(revoked.lease()).await.unwrap();
        assert_eq!(in_time("the end", revoked.lost()).await, LossReason::Revoked);
        let other = connect(etcd).await;
        let closed = session(&other).await;
        other.close().await;
        assert_eq!(in_time("the end", closed.lost()).await, LossReason::Closed);
    })
    .await;
}

/// A lease that was granted and can't be kept alive is given back, and not left to its time.
#[tokio::test]
async fn a_lease_that_cannot_be_kept_alive_is_revoked() {
    const GRANT: &str = method::lease::GRANT.path();
    const REVOKE: &str = method::lease::REVOKE.path();
    const KEEP_ALIVE: &str = method::lease::KEEP_ALIVE.path();
    let etcd = EtcdLike::start().await;
    etcd.answer_with(|call| match &*call.path {
        // An id of 7 and a time to live of 60 s.
        GRANT => Some(Answer::message("\x10\x07\x18\x3c")),
        REVOKE => Some(Answer::message("")),
        KEEP_ALIVE => Some(Answer::status(12, "no leases here")),
        _ => None,
    });
    let client = etcdkit::Client::connect([etcd.endpoint()]).await.unwrap();
    let begun = in_time("a refusal", client.session(Duration::from_secs(60))).await;
    assert!(begun.is_err(), "{begun:?}");
    assert_eq!((etcd.calls(GRANT), etcd.calls(REVOKE)), (1, 1));
}

/// Sessions that begin and end while a quorum is lost and comes back: none hangs, and what fails may be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_lease_failure_overlap() {
    async fn begin_and_end(client: Client) -> Result<()> {
        client.session(Duration::from_secs(60)).await?.close().await
    }
    async fn five(client: &Client) -> Vec<Result<()>> {
        let mut sessions = JoinSet::new();
        for _ in 0..5 {
            sessions.spawn(begin_and_end(client.clone()));
        }
        in_time("the sessions", sessions.join_all()).await
    }
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = Cluster::builder(version).start().await;
        let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
        for ended in five(&client).await {
            ended.unwrap();
        }
        tokio::join!(cluster[1].kill(), cluster[2].kill());
        let hurried = client.with_options(within(Duration::from_secs(2)));
        for ended in five(&hurried).await {
            let error = ended.unwrap_err();
            let passing = [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::NoLeader];
            assert!(passing.contains(&error.kind()), "{error}");
        }
        let overlapping = five(&client);
        let (overlapping, ()) = tokio::join!(overlapping, cluster.start_all());
        for error in overlapping.into_iter().filter_map(Result::err) {
            assert!(error.is_retryable(), "{error}");
        }
        for ended in five(&client).await {
            ended.unwrap();
        }
    }
}
