//! Finding clusters: against a name server of our own, and a discovery service that is a script.

use std::sync::Mutex;
use std::time::Duration;

use etcdkit_testkit::name_server::{NameServer, Zone};
use etcdkit_v2::discovery::{Discovery, SrvLookup};
use etcdkit_v2::{Client, ErrorKind};
use tokio::net::UdpSocket;

use crate::server::{Reply, Server, event};

async fn start(zone: impl Zone, large: bool) -> NameServer {
    if large { NameServer::start_large(zone).await } else { NameServer::start(zone).await }
}

async fn lookup(
    zone: impl Zone,
    large: bool,
    service: Option<&str>,
) -> Result<Vec<String>, String> {
    let server = start(zone, large).await;
    let lookup = SrvLookup::new("example.com.").server(server.addr());
    let lookup = match service {
        Some(name) => lookup.service_name(name),
        None => lookup,
    };
    let endpoints = lookup.endpoints().await.map_err(|error| error.to_string())?;
    Ok(endpoints.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn srv_discover() {
    let both = |name: &str| match name {
        "_etcd-client-ssl._tcp.example.com" => {
            vec![(2, 0, 2480, "b.example.com"), (1, 0, 2480, "a.example.com.")]
        }
        "_etcd-client._tcp.example.com" => vec![(0, 0, 7001, "c.example.com.")],
        _ => vec![],
    };
    // TLS first; names without the dot at their end.
    let expected =
        ["https://a.example.com:2480", "https://b.example.com:2480", "http://c.example.com:7001"];
    assert_eq!(lookup(both, false, None).await.unwrap(), expected);
    assert_eq!(lookup(both, true, None).await.unwrap(), expected, "over TCP");
    let error = lookup(both, false, Some("prod")).await.unwrap_err();
    assert!(
        error.contains("_etcd-client-ssl-prod._tcp.example.com: there is no such name and"),
        "{error}"
    );
}

#[tokio::test]
async fn get_srv_service() {
    let named = |name: &str| match name {
        "_etcd-client-prod._tcp.example.com" => vec![(0, 0, 2379, "a.example.com.")],
        _ => vec![],
    };
    // One of both is enough.
    assert_eq!(lookup(named, false, Some("prod")).await.unwrap(), ["http://a.example.com:2379"]);
    assert!(lookup(named, false, None).await.is_err());
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_passed_over() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let good = NameServer::start(|_: &str| vec![(0, 0, 1, "a.b.")]).await;
    let lookup = SrvLookup::new("b")
        .server(silent.local_addr().unwrap())
        .server(good.addr())
        .timeout(Duration::from_millis(200));
    assert_eq!(lookup.endpoints().await.unwrap().len(), 2);
    let alone = SrvLookup::new("b").server(silent.local_addr().unwrap());
    let error = alone.timeout(Duration::from_millis(10)).endpoints().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("did not answer in time"), "{error}");
    let error = SrvLookup::new("a..b").endpoints().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn members_find_each_other_by_a_discovery_service() {
    let nodes =
        Mutex::new(vec![r#"{"key":"/tok/b","value":"m1=http://b:1","createdIndex":9}"#.to_owned()]);
    let server = Server::start(move |request| {
        let (path, _) = request.target.split_once('?').unwrap_or((&request.target, ""));
        match (request.method.as_str(), path) {
            ("GET", "/new") => Reply::ok(format!("http://{}/tok\n", request.header("host").unwrap())),
            ("GET", "/tok/_config/size") => Reply::ok(event("get", "2", 1)).with("X-Etcd-Index", 9),
            ("PUT", "/tok/a") => {
                let member = r#"{"key":"/tok/a","value":"m0=http://a:1","createdIndex":11}"#;
                nodes.lock().unwrap().push(member.to_owned());
                Reply::status(201, event("create", "", 11))
            }
            ("GET", "/tok") if request.target.contains("wait=true") => Reply::ok(event("create", "", 11)),
            ("GET", "/tok") => {
                let nodes = nodes.lock().unwrap().join(",");
                let config = r#"{"key":"/tok/_config","dir":true}"#;
                let body = format!(r#"{{"action":"get","node":{{"key":"/tok","dir":true,"nodes":[{nodes},{config}]}}}}"#);
                Reply::ok(body).with("X-Etcd-Index", 11)
            }
            _ => panic!("{request:?}"),
        }
    })
    .await;
    let url = Discovery::create(Client::builder(), server.url(), 2).await.unwrap();
    assert_eq!(url, format!("{}/tok", server.url()));
    let discovery = Discovery::new(Client::builder(), &url).unwrap();
    assert_eq!(discovery.size().await.unwrap(), 2);
    assert_eq!(discovery.members().await.unwrap(), ["m1=http://b:1"]);
    discovery.register("a", "m0=http://a:1").await.unwrap();
    assert_eq!(discovery.wait().await.unwrap(), "m1=http://b:1,m0=http://a:1");
    discovery.register("a", "m0=http://a:1").await.unwrap();
    let error = discovery.register("c", "m2=http://c:1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(Discovery::new(Client::builder(), server.url()).is_err(), "without a token");
}
