//! Finding clusters: against a name server of our own, and a discovery service that is a script.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use etcdkit_v2::discovery::{Discovery, SrvLookup};
use etcdkit_v2::{Client, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::server::{Reply, Server, event};

type Zone = fn(&str) -> Vec<(u16, u16, u16, &'static str)>;

/// A name server that answers until it is dropped: over UDP or, if it is `large`, with the hint to ask over TCP.
struct NameServer {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl NameServer {
    async fn start(zone: Zone, large: bool) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (size, from) = udp.recv_from(&mut buffer).await.unwrap();
                // Somebody else's answer, which does not count.
                udp.send_to(&[0; 12], from).await.unwrap();
                let answer = match large {
                    true => answer(&buffer[..size], 0x8200, &[]),
                    false => resolve(&buffer[..size], zone),
                };
                udp.send_to(&answer, from).await.unwrap();
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut query = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut query).await.unwrap();
                let answer = resolve(&query, zone);
                stream.write_u16(answer.len() as u16).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        Self { address, _tasks: tasks }
    }
}

fn encode(name: &str) -> Vec<u8> {
    let labels = name.trim_end_matches('.').split('.');
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

fn resolve(query: &[u8], zone: Zone) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while query[at] != 0 {
        let label = &query[at + 1..=at + usize::from(query[at])];
        name.push_str(std::str::from_utf8(label).unwrap());
        name.push('.');
        at += label.len() + 1;
    }
    let records: Vec<Vec<u8>> = zone(name.trim_end_matches('.'))
        .into_iter()
        .map(|(priority, weight, port, target)| {
            let target = encode(target);
            let numbers = [0xc00c, 33, 1, 0, 60, target.len() as u16 + 6, priority, weight, port];
            let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
            bytes.extend(target);
            bytes
        })
        .collect();
    let flags = if records.is_empty() { 0x8183 } else { 0x8180 };
    answer(query, flags, &records)
}

fn answer(query: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = query.to_vec();
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[7] = records.len() as u8;
    bytes.extend(records.concat());
    bytes
}

async fn lookup(zone: Zone, large: bool, service: Option<&str>) -> Result<Vec<String>, String> {
    let server = NameServer::start(zone, large).await;
    let lookup = SrvLookup::new("example.com.").server(server.address);
    let lookup = match service {
        Some(name) => lookup.service_name(name),
        None => lookup,
    };
    let endpoints = lookup.endpoints().await.map_err(|error| error.to_string())?;
    Ok(endpoints.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn srv_discover() {
    let both: Zone = |name| match name {
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
    let named: Zone = |name| match name {
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
    let good = NameServer::start(|_| vec![(0, 0, 1, "a.b.")], false).await;
    let lookup = SrvLookup::new("b")
        .server(silent.local_addr().unwrap())
        .server(good.address)
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
