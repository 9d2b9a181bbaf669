//! A call that waits for somebody else: its member is not doubted for that, and found all the same when it freezes.

use std::time::Duration;

use etcdkit::lock::{Lock, LockResponse};
use etcdkit::proto::method;
use etcdkit::{Cause, Client, ErrorKind, LeaseId, Result};
use etcdkit_testkit::peer::{Answer, EtcdLike};
use etcdkit_testkit::proxy::Proxy;
use tokio::task::JoinHandle;

use crate::kv::members::{at_most, in_time};

const HEALTH: &str = method::health::CHECK.path();
const PUT: &str = method::kv::PUT.path();
const LOCK: &str = method::lock::LOCK.path();

/// Where every lock is held by somebody else.
async fn locked() -> EtcdLike {
    let etcd = EtcdLike::start().await;
    etcd.answer_with(|call| match &*call.path {
        LOCK => Some(Answer::Hang),
        PUT => Some(Answer::message("")),
        _ => None,
    });
    etcd
}

fn lock() -> Lock {
    Lock::new("a", LeaseId::new(7).expect("not zero"))
}

#[expect(clippy::disallowed_methods, reason = "it waits for as long as the test lasts")]
fn pending_lock(client: &Client) -> JoinHandle<Result<LockResponse>> {
    let client = client.clone();
    tokio::spawn(async move { client.lock(lock()).await })
}

#[expect(clippy::disallowed_methods, reason = "what is tested takes time")]
async fn hold(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[tokio::test]
async fn a_pending_lock_does_not_make_its_member_doubtful() {
    let (one, two) = (locked().await, locked().await);
    let client = Client::builder().endpoints([one.endpoint(), two.endpoint()]);
    let client = client.connect().await.unwrap();
    in_time("both members", async {
        while !client.endpoint_states().iter().all(|state| state.is_ready()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let _pending = pending_lock(&client);
    let waiting = async {
        while one.calls(LOCK) + two.calls(LOCK) == 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time("the lock to be sent", waiting).await;
    let probes = one.calls(HEALTH) + two.calls(HEALTH);
    // Longer than doubt, than a probe, and than what would count as frozen.
    hold(Duration::from_millis(2500)).await;
    assert_eq!(one.calls(HEALTH) + two.calls(HEALTH), probes, "probed for nothing");
    for _ in 0..20 {
        client.put("k", "v").await.unwrap();
    }
    // Both get their share: neither comes last.
    assert_eq!((one.calls(PUT), two.calls(PUT)), (10, 10));
}

#[tokio::test]
async fn a_frozen_member_is_found_under_a_pending_lock() {
    let etcd = locked().await;
    let proxy = Proxy::start(etcd.addr()).await;
    let client = Client::connect([format!("http://{}", proxy.addr())]).await.unwrap();
    let pending = pending_lock(&client);
    in_time("the lock to be sent", etcd.wait_calls(LOCK, 1)).await;
    proxy.freeze();
    let outcome = at_most(Duration::from_secs(10), "finding it", pending).await.unwrap();
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.maybe_applied());
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen);
}

/// With another call waiting beside it, the member is found as fast as ever.
#[tokio::test]
async fn a_pending_lock_hides_no_frozen_member_from_other_calls() {
    let etcd = locked().await;
    let proxy = Proxy::start(etcd.addr()).await;
    let client = Client::connect([format!("http://{}", proxy.addr())]).await.unwrap();
    let _pending = pending_lock(&client);
    in_time("the lock to be sent", etcd.wait_calls(LOCK, 1)).await;
    hold(Duration::from_millis(300)).await;
    proxy.freeze();
    let put = at_most(Duration::from_secs(4), "finding it", client.put("k", "v")).await;
    let error = put.unwrap_err();
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen, "{error}");
}
