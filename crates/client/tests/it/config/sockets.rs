//! Ways to a member that are not an IPv4 address: IPv6, names, unix sockets, and connectors of the user's own.

use std::io;

use etcdkit::config::Address;
use etcdkit::transport::{ConnectFuture, Connector, Io, duplex};
use etcdkit_testkit::etcd::{Etcd, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::kv::members::*;

#[tokio::test]
async fn ipv6() {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = Etcd::builder(version).ipv6().start().await;
        let port = etcd.client_addr().port();
        for endpoint in [format!("[::1]:{port}"), format!("http://[::1]:{port}/")] {
            let client = tolerant().endpoints([&*endpoint]).connect().await;
            let client = client.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
            client.put("foo", "bar").await.unwrap();
        }
        // A name with several addresses, of which one is listened on. It depends on the machine which it has.
        let mut found = tokio::net::lookup_host(("localhost", port)).await.unwrap();
        if found.any(|address| address.is_ipv6()) {
            let client =
                tolerant().endpoints([format!("localhost:{port}")]).connect().await.unwrap();
            client.get("foo").await.unwrap();
        }
    }
}

/// Whatever addresses `localhost` has, the one that is listened on is found.
#[tokio::test]
async fn names() {
    on_every_version(async |_, etcd| {
        let port = etcd.client_addr().port();
        let client =
            tolerant().endpoints([format!("http://localhost:{port}")]).connect().await.unwrap();
        client.get("foo").await.unwrap();
    })
    .await;
}

/// A server in the same process, here one that hands every connection on to a real member.
#[tokio::test]
async fn in_process() {
    on_every_version(async |_, etcd| {
        let (connector, mut listener) = duplex();
        let address = etcd.client_addr();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(mut near) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(address).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        let client = tolerant().endpoints(["inprocess:m0"]).connector(connector);
        let client = client.connect().await.unwrap();
        client.put("in_process", "bar").await.unwrap();
        assert_eq!(value(&client, "in_process").await.as_deref(), Some("bar"));
        // The listener ends with the client.
        drop(client);
        in_time("the listener to end", tasks.join_next()).await;
    })
    .await;
}

/// Goes to one address, whatever it is asked for.
#[derive(Debug)]
struct Fixed(std::net::SocketAddr);

impl Connector for Fixed {
    fn connect<'a>(&'a self, address: &'a Address) -> ConnectFuture<'a> {
        Box::pin(async move {
            match address {
                Address::Tcp { host, port: 2379 } if host == "etcd.example.com" => {
                    Ok(Box::new(TcpStream::connect(self.0).await?) as Box<dyn Io>)
                }
                other => Err(io::Error::other(format!("no way to {other:?}"))),
            }
        })
    }
}

#[tokio::test]
async fn a_connector_of_ones_own() {
    on_every_version(async |_, etcd| {
        let client = |endpoint: &str| {
            tolerant().endpoints([endpoint]).connector(Fixed(etcd.client_addr())).connect()
        };
        let there = client("http://etcd.example.com").await.unwrap();
        there.put("a_connector", "bar").await.unwrap();
        // What it says becomes part of the error.
        let error = client("http://elsewhere.example.com").await.unwrap_err().to_string();
        assert!(error.contains("no way to"), "{error}");
    })
    .await;
}
