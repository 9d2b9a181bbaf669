//! Endpoints that change, and connecting without end: etcd's `dial_test.go`, without TLS.

use etcdkit::{Client, ErrorKind, Get};
use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::peer::Peer;
use etcdkit_testkit::proxy::Proxy;
use tokio::task::JoinSet;

use super::fronts::Fronts;
use super::{seconds, within};

/// Serializable gets work, whichever of the two members goes away before or after the endpoints are set.
async fn set_endpoints(before: bool) {
    for version in Version::available() {
        let fronts = Fronts::start(version).await;
        let to_kill = 0;
        let client = Client::connect([fronts.endpoint(to_kill)]).await.unwrap();
        if before {
            client.set_endpoints([fronts.endpoint(1), fronts.endpoint(2)]).await.unwrap();
        }
        fronts.cluster[to_kill].kill().await;
        if !before {
            client.set_endpoints([fronts.endpoint(1), fronts.endpoint(2)]).await.unwrap();
        }
        let get = client.get(Get::new("foo").serializable());
        within("a serializable get", seconds(2), get).await.unwrap();
        let endpoints: Vec<String> = client.endpoints().iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, [fronts.endpoint(1), fronts.endpoint(2)]);
    }
}

#[tokio::test]
async fn dial_set_endpoints_before_fail() {
    set_endpoints(true).await;
}

#[tokio::test]
async fn dial_set_endpoints_after_fail() {
    set_endpoints(false).await;
}

/// `TestSwitchSetEndpoints`: from a partitioned member to a disjoint set of healthy ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switch_set_endpoints() {
    for version in Version::available() {
        let fronts =
            Fronts::before(etcdkit_testkit::cluster::Cluster::builder(version).gates()).await;
        let client = Client::connect([fronts.endpoint(0)]).await.unwrap();
        fronts.cluster.isolate(0).await;
        // Under way on the lost member while the endpoints change: it moves over too.
        let mut under_way = JoinSet::new();
        let getter = client.clone();
        under_way.spawn(async move { getter.get("foo").await });
        let started = Moment::now();
        client.set_endpoints([fronts.endpoint(1), fronts.endpoint(2)]).await.unwrap();
        within("a get elsewhere", seconds(10), client.get("foo")).await.unwrap();
        within("the get under way", seconds(10), under_way.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(started.elapsed() <= seconds(7), "{:?}", started.elapsed());
    }
}

/// `TestSetEndpointAndPut`.
#[tokio::test]
async fn set_endpoint_and_put() {
    for version in Version::available() {
        let fronts = Fronts::start(version).await;
        let client = Client::connect([fronts.endpoint(1)]).await.unwrap();
        client.set_endpoints([fronts.endpoint(0)]).await.unwrap();
        within("a put", seconds(5), client.put("foo", "bar")).await.unwrap();
    }
}

/// `TestDialForeignEndpoint`: a member outside a client's endpoints is another client's, made from the same settings.
#[tokio::test]
async fn dial_foreign_endpoint() {
    let fronts = Fronts::start(Version::newest()).await;
    let client = Client::connect([fronts.endpoint(0)]).await.unwrap();
    client.put("foo", "bar").await.unwrap();
    let foreign = Client::connect([fronts.endpoint(1)]).await.unwrap();
    assert_eq!(foreign.get("foo").await.unwrap().first().unwrap().value(), b"bar");
    assert_eq!(fronts.proxies[1].connections(), 1);
    assert_eq!(fronts.proxies[2].connections(), 0);
}

/// `TestDialCancel`: closing ends connecting that would never end, and every call that waits for it, at once.
#[tokio::test]
async fn dial_cancel() {
    let silent = Peer::silent().await;
    let refusing = Proxy::start("127.0.0.1:1").await;
    refusing.refuse().await;
    let endpoints = [silent.endpoint(), format!("http://{}", refusing.addr())];
    let client = Client::builder().endpoints(endpoints).build().unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        waiting.spawn(async move { client.get("foo").await });
    }
    let waiter = client.clone();
    let mut ready = JoinSet::new();
    ready.spawn(async move { waiter.wait_ready().await });
    within("an attempt to connect", seconds(5), silent.wait_connections(1)).await;

    within("closing", seconds(1), client.close()).await;
    let ends = async {
        while let Some(get) = waiting.join_next().await {
            assert_eq!(get.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        }
        let ended = ready.join_next().await.unwrap().unwrap();
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    };
    within("the calls that wait", seconds(1), ends).await;
    assert_eq!(client.get("foo").await.unwrap_err().kind(), ErrorKind::Closed);
}
