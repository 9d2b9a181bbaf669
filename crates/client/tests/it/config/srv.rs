//! Clusters that are found by DNS.

use std::time::Duration;

use etcdkit::config::SrvLookup;
use etcdkit::{Client, ErrorKind, Result};
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::name_server::{NameServer, Zone};

use crate::kv::members::{shared, value};

async fn found(lookup: SrvLookup, zone: impl Zone) -> Result<Vec<String>> {
    let server = NameServer::start(zone).await;
    let endpoints = lookup.server(server.addr()).endpoints().await?;
    Ok(endpoints.iter().map(ToString::to_string).collect())
}

/// Upstream keeps the dot at the end of the targets, which no certificate has.
#[tokio::test]
async fn srv_discover() {
    let zone = |name: &str| match name {
        "_etcd-client-ssl._tcp.example.com" => {
            vec![(2, 0, 2480, "b.example.com."), (1, 0, 2480, "a.example.com.")]
        }
        "_etcd-client._tcp.example.com" => vec![(0, 0, 7001, "c.example.com.")],
        "_etcd-client-prod._tcp.example.com" => vec![(0, 0, 2379, "d.example.com.")],
        _ => vec![],
    };
    // TLS first; of one service by priority.
    let expected =
        ["https://a.example.com:2480", "https://b.example.com:2480", "http://c.example.com:7001"];
    let domain = || SrvLookup::new("example.com.");
    assert_eq!(found(domain(), zone).await.unwrap(), expected);
    // One of both services is enough.
    let prod = found(domain().service_name("prod"), zone).await.unwrap();
    assert_eq!(prod, ["http://d.example.com:2379"]);
    let error = found(domain().service_name("test"), zone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for name in ["_etcd-client-ssl-test._tcp.example.com", "_etcd-client-test._tcp.example.com"] {
        assert!(error.to_string().contains(&format!("{name}: there is no such name")), "{error}");
    }
    let error = found(SrvLookup::new("example..com"), zone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[tokio::test]
async fn a_client_connects_to_what_it_found() {
    let etcd = shared(Version::newest()).await;
    let port = etcd.client_addr().port();
    let server = NameServer::start_large(move |name| match name {
        "_etcd-client._tcp.here" => vec![(0, 0, port, "localhost.")],
        _ => vec![],
    })
    .await;
    let lookup = SrvLookup::new("here").server(server.addr()).timeout(Duration::from_secs(10));
    let client = Client::connect(lookup.endpoints().await.unwrap()).await.unwrap();
    client.put("srv_here", "1").await.unwrap();
    assert_eq!(value(&client, "srv_here").await.as_deref(), Some("1"));
}
