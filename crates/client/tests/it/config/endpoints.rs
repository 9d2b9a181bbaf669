//! Endpoints that change while the client runs.

use std::time::Duration;

use etcdkit::config::Liveness;
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::peer::EtcdLike;
use etcdkit_testkit::proxy::Proxy;

use super::{RANGE, serve_reads};
use crate::kv::members::*;

fn written(client: &Client) -> Vec<String> {
    client.endpoints().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn set_endpoint_and_put() {
    on_every_version(async |_, etcd| {
        let client = tolerant().endpoints(["http://127.0.0.1:1"]).build().unwrap();
        client.set_endpoints([etcd.client_url()]).await.unwrap();
        client.put("set_endpoint_and_put", "bar").await.unwrap();
        assert_eq!(written(&client), [etcd.client_url()]);
    })
    .await;
}

/// From an endpoint that swallows everything to one that works, with a call waiting on the first.
#[tokio::test]
async fn switch_set_endpoints() {
    on_every_version(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        // It is the same member: only that the first connection is given up moves the call.
        let liveness = Liveness::new().probe_timeout(Duration::from_secs(2));
        let client = tolerant().liveness(liveness).endpoints([proxy.addr().to_string()]);
        let client = client.connect().await.unwrap();
        proxy.freeze();
        let patient = client.with_options(within(DEADLINE));
        let switch = async {
            client.set_endpoints([etcd.client_url()]).await.unwrap();
            client.get("switch_set_endpoints").await.unwrap();
        };
        let (waiting, ()) = tokio::join!(patient.get("switch_set_endpoints"), switch);
        waiting.unwrap();
        proxy.unfreeze();
        in_time("the old connection to go", proxy.wait_active(0)).await;
    })
    .await;
}

#[tokio::test]
async fn endpoints_that_make_no_sense_change_nothing() {
    let etcd = EtcdLike::start().await;
    serve_reads(&etcd);
    let client = tolerant().endpoints([etcd.endpoint()]).connect().await.unwrap();
    let table: [(&[&str], &str); 6] = [
        (&[], "no endpoints"),
        (&[""], "host is missing"),
        (&["127.0.0.1:1", "0.0.0.0:2379"], "0.0.0.0"),
        (&["ftp://a:1"], "ftp"),
        (&["http://a:0"], "port 0"),
        (&["inprocess:a"], "connector"),
    ];
    for (endpoints, reason) in table {
        let error = client.set_endpoints(endpoints.iter().copied()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{endpoints:?}: {error}");
        assert!(error.to_string().contains(reason), "{endpoints:?}: {error}");
        assert_eq!(written(&client), [etcd.endpoint()]);
        let built = tolerant().endpoints(endpoints.iter().copied()).build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::InvalidArgument, "{endpoints:?}");
    }
    client.get("a").await.unwrap();
}

/// What stays keeps its connection; what is named twice, in whatever words, is one endpoint.
#[tokio::test]
async fn endpoints_that_stay_keep_their_connection() {
    let [first, second] = [EtcdLike::start().await, EtcdLike::start().await];
    serve_reads(&first);
    serve_reads(&second);
    let client = tolerant().endpoints([first.endpoint()]).connect().await.unwrap();
    client.get("a").await.unwrap();
    let again = format!("{}/path", first.endpoint());
    let urls = [first.endpoint(), second.endpoint(), again];
    client.set_endpoints(urls).await.unwrap();
    assert_eq!(written(&client), [first.endpoint(), second.endpoint()]);
    in_time("the second to be asked", async {
        while second.calls(RANGE) == 0 {
            client.get("a").await.unwrap();
        }
    })
    .await;
    client.set_endpoints([second.endpoint()]).await.unwrap();
    let asked = first.calls(RANGE);
    for _ in 0..10 {
        client.get("a").await.unwrap();
    }
    assert_eq!(first.calls(RANGE), asked, "a call went to an endpoint that was taken out");
    assert_eq!((first.peer().connections(), second.peer().connections()), (1, 1));
}
