//! Endpoints out of the member list.

use std::sync::Arc;
use std::time::Duration;

use etcdkit::config::{Endpoint, Tls};
use etcdkit::proto::etcdserverpb::{Member, MemberListRequest, MemberListResponse};
use etcdkit::transport::{H2, Transport};
use etcdkit::{Cause, Client, ErrorKind, Watch};
use etcdkit_testkit::certs::{ClientAuth, TestCa};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::peer::{EtcdLike, Peer};
use etcdkit_testkit::wait::eventually;
use prost::Message;
use tokio::time::timeout;

use super::{header, message};
use crate::kv::members::*;

const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";

fn member(name: &str, urls: &[&str]) -> Member {
    let client_urls = urls.iter().map(|&url| url.to_owned()).collect();
    Member { name: name.to_owned(), client_urls, ..Member::default() }
}

fn advertise(etcd: &EtcdLike, members: Vec<Member>) {
    let list = MemberListResponse { header: header(), members };
    etcd.answer_with(move |call| (call.path == MEMBER_LIST).then(|| message(&list)));
}

fn sorted(client: &Client) -> Vec<String> {
    let mut endpoints: Vec<String> = client.endpoints().iter().map(ToString::to_string).collect();
    endpoints.sort();
    endpoints
}

#[tokio::test]
async fn sync_filters_members() {
    let etcd = EtcdLike::start().await;
    let learner = Member { is_learner: true, ..member("learner", &["http://127.0.0.1:4"]) };
    let started = member("m0", &["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let everywhere = member("m1", &["http://0.0.0.0:5", "http://[::]:5", "nonsense://x"]);
    let unstarted = member("", &["http://127.0.0.1:3"]);
    advertise(&etcd, vec![started, learner, unstarted, everywhere]);
    let client = tolerant().endpoints([etcd.endpoint()]).connect().await.unwrap();
    client.sync().await.unwrap();
    assert_eq!(sorted(&client), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let asked = etcd.requests(MEMBER_LIST).pop().unwrap().message();
    let asked = MemberListRequest::decode(asked).unwrap();
    assert!(asked.linearizable, "a list may be stale");
}

/// It must not keep the others of the list from being used.
#[tokio::test]
async fn sync_leaves_out_what_a_setting_of_the_client_forbids() {
    let etcd = EtcdLike::start().await;
    advertise(&etcd, vec![member("m0", &["inprocess:m0", "http://127.0.0.1:1"])]);
    let client = tolerant().endpoints([etcd.endpoint()]).connect().await.unwrap();
    client.sync().await.unwrap();
    assert_eq!(sorted(&client), ["http://127.0.0.1:1"]);

    let etcd = EtcdLike::start().await;
    advertise(&etcd, vec![member("m0", &["inprocess:m0"])]);
    let client = tolerant().endpoints([etcd.endpoint()]).connect().await.unwrap();
    let error = client.sync().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("ClientBuilder::connector"), "{error}");
}

/// If nothing of the list can be used, the endpoints stay, and the error says why.
#[tokio::test]
async fn sync_never_leaves_a_client_without_endpoints() {
    let etcd = EtcdLike::start().await;
    let client = tolerant().endpoints([etcd.endpoint()]).connect().await.unwrap();
    for (members, said) in [
        (vec![], "no member"),
        (vec![member("", &["http://127.0.0.1:1"])], "no member"),
        (vec![member("m0", &["http://0.0.0.0:2379"])], "http://0.0.0.0:2379"),
        (vec![member("m0", &["gopher://a"])], "gopher"),
    ] {
        advertise(&etcd, members);
        let error = client.sync().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(sorted(&client), [etcd.endpoint()]);
    }
}

#[tokio::test]
async fn sync_never_turns_https_into_http() {
    let ca = TestCa::new();
    let config = ca.server("etcd-0").server_config(ClientAuth::None);
    let etcd = EtcdLike::on(Peer::bind().await.with_tls(config));
    let tls = Tls::new().ca_file(ca.cert_path());
    let client = tolerant().endpoints([etcd.endpoint()]).tls(tls);
    let client = client.connect().await.unwrap();
    advertise(&etcd, vec![member("m0", &["http://127.0.0.1:1"])]);
    let error = client.sync().await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:1") && error.contains("TLS"), "{error}");
    assert_eq!(sorted(&client), [etcd.endpoint()]);
    // One that is TLS beside it is used.
    let other = etcd.endpoint().replace("127.0.0.1", "localhost");
    advertise(&etcd, vec![member("m0", &["http://127.0.0.1:1", &other])]);
    client.sync().await.unwrap();
    assert_eq!(sorted(&client), [other]);
}

#[tokio::test]
async fn auto_sync() {
    let etcd = EtcdLike::start().await;
    advertise(&etcd, vec![]);
    let client = tolerant().endpoints([etcd.endpoint()]);
    let client = client.auto_sync(Duration::from_millis(10)).connect().await.unwrap();
    // A list that can't be used is asked for again.
    in_time("two lists", etcd.wait_calls(MEMBER_LIST, 2)).await;
    assert_eq!(sorted(&client), [etcd.endpoint()]);
    let urls = ["http://127.0.0.1:1", &etcd.endpoint()];
    advertise(&etcd, vec![member("m0", &urls)]);
    eventually("the new endpoints", DEADLINE, async || {
        (client.endpoints().len() == 2).then_some(())
    })
    .await;
    // It ends with the client.
    client.close().await;
}

/// Whatever the first use is.
#[tokio::test]
async fn auto_sync_of_a_client_that_only_watches_or_waits_until_it_is_ready() {
    for watches in [true, false] {
        let etcd = EtcdLike::start().await;
        advertise(&etcd, vec![member("m0", &[&etcd.endpoint(), "http://127.0.0.1:1"])]);
        let client = tolerant().endpoints([etcd.endpoint()]);
        let client = client.auto_sync(Duration::from_millis(10)).build().unwrap();
        let used = async {
            if watches {
                // Here it is never answered.
                let mut watch = client.watch(Watch::new("k").from_revision(1)).await.unwrap();
                watch.next().await;
            } else {
                client.wait_ready().await.unwrap();
                std::future::pending().await
            }
        };
        let synchronised = eventually("the new endpoints", DEADLINE, async || {
            (client.endpoints().len() == 2).then_some(())
        });
        tokio::select! {
            () = used => panic!("nothing is watched"),
            () = synchronised => {}
        }
    }
}

#[tokio::test]
async fn sync_on_real_etcd() {
    for version in Version::available() {
        let _named = Named::new(version);
        let mut cluster = Cluster::builder(version).members(1).start().await;
        let expected = cluster.endpoints();
        let client = connect(&cluster[0]).await;
        client.sync().await.unwrap();
        assert_eq!(sorted(&client), expected);
        // By another name of the same address.
        let alias = cluster[0].client_url().replace("127.0.0.1", "localhost");
        let synced = tolerant().endpoints([alias]).auto_sync(Duration::from_millis(20));
        let synced = synced.connect().await.unwrap();
        eventually("the advertised endpoint", DEADLINE, async || {
            (sorted(&synced) == expected).then_some(())
        })
        .await;
        // A learner is left out until it votes.
        let learner = cluster.add_learner().await;
        client.sync().await.unwrap();
        assert_eq!(sorted(&client), expected);
        cluster.promote(learner).await;
        let mut expected = cluster.endpoints();
        expected.sort();
        eventually("two endpoints", DEADLINE, async || (sorted(&synced) == expected).then_some(()))
            .await;
        for _ in 0..6 {
            synced.get("foo").await.unwrap();
        }
    }
}

/// A network on which nothing is reached.
struct Outage {
    _used: Arc<()>,
}

impl Transport for Outage {
    type Connection = <H2 as Transport>::Connection;

    async fn connect(&self, _: &Endpoint) -> Result<Self::Connection, Cause> {
        Err(Cause::Connect("unreachable".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn auto_sync_in_an_outage_does_not_outlive_the_last_client() {
    let used = Arc::new(());
    let builder = Client::builder().endpoints(["down:1"]).auto_sync(Duration::from_secs(1));
    let client = builder.build_on(Outage { _used: Arc::clone(&used) }).unwrap();
    let ready = timeout(Duration::from_secs(2), client.wait_ready()).await;
    assert!(ready.is_err(), "{ready:?}");
    drop(client);
    let _ = timeout(Duration::from_secs(2), std::future::pending::<()>()).await;
    assert_eq!(Arc::strong_count(&used), 1, "connections are still tried");
}
