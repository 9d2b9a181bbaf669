//! A network that swallows everything, without any keep-alive: etcd's `black_hole_test.go`.
//!
//! There, the first call to the lost endpoint times out and one of the next succeeds. Here, no read fails, and of the
//! writes only those under way.

use etcdkit::{Cause, Client, Compare, Error, Get, Put, Txn};
use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::etcd::Version;

use super::fronts::{Fronts, wait_ready};
use super::{seconds, within};

/// What is called: whether it is a read, and the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    Put,
    Delete,
    Txn,
    LinearizableGet,
    SerializableGet,
}

impl What {
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::LinearizableGet | Self::SerializableGet)
    }

    pub(super) async fn call(self, client: &Client) -> Result<(), Error> {
        match self {
            Self::Put => client.put("foo", "bar").await.map(drop),
            Self::Delete => client.delete("foo").await.map(drop),
            Self::Txn => {
                let txn = Txn::new()
                    .when([Compare::version("foo").eq(0)])
                    .then([Put::new("foo", "bar")])
                    .or_else([Put::new("foo", "baz")]);
                client.txn(txn).await.map(drop)
            }
            Self::LinearizableGet => client.get("foo").await.map(drop),
            Self::SerializableGet => client.get(Get::new("foo").serializable()).await.map(drop),
        }
    }
}

async fn check(fronts: Fronts, what: What) {
    // As upstream: the client begins on one endpoint, which is lost once another is known.
    let client = Client::connect([fronts.endpoint(0)]).await.unwrap();
    what.call(&client).await.unwrap();
    client.set_endpoints([fronts.endpoint(0), fronts.endpoint(1)]).await.unwrap();
    wait_ready(&client, &fronts.endpoint(1), true, seconds(10)).await;

    fronts.proxies[0].freeze();
    let lost = fronts.endpoint(0);
    let mut failed = 0;
    for _ in 0..10 {
        let started = Moment::now();
        match what.call(&client).await {
            Ok(()) => assert!(started.elapsed() <= seconds(2), "{what:?} {:?}", started.elapsed()),
            Err(error) => {
                assert!(!what.is_read(), "{what:?}: {error}");
                assert!(error.maybe_applied(), "{what:?}: {error}");
                assert_eq!(error.endpoint(), Some(lost.as_str()), "{what:?}: {error}");
                assert_eq!(error.attempts()[0].cause(), &Cause::Frozen, "{what:?}: {error}");
                assert!(started.elapsed() <= seconds(3), "{what:?} {:?}", started.elapsed());
                failed += 1;
            }
        }
    }
    assert!(failed <= 1, "{what:?}: {failed} calls went to the lost member");

    // And it comes back when the network does.
    fronts.proxies[0].unfreeze();
    wait_ready(&client, &lost, true, seconds(10)).await;
    what.call(&client).await.unwrap();
}

async fn check_versions(what: What) {
    for version in Version::available() {
        let fronts = Fronts::start(version).await;
        within("the black hole", seconds(60), check(fronts, what)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_blackhole_no_keep_alive_put() {
    check_versions(What::Put).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_blackhole_no_keep_alive_delete() {
    check_versions(What::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_blackhole_no_keep_alive_txn() {
    check_versions(What::Txn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_blackhole_no_keep_alive_linearizable_get() {
    check_versions(What::LinearizableGet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_blackhole_no_keep_alive_serializable_get() {
    check_versions(What::SerializableGet).await;
}
