//! Which of a name's addresses is tried next.

use std::time::Duration;

use etcdkit_testkit::peer::{Answer, EtcdLike, Peer};

use super::*;
use crate::config::{ClientBuilder, Reconnect};
use crate::service::CallOptions;
use crate::transport::Channel;
use crate::transport::grpc::{H2, H2Connection};

const RANGE: &str = "/etcdserverpb.KV/Range";

/// A name with several addresses, each of which takes connections: whose turn it is gets the next.
struct Addresses {
    h2: H2,
    addresses: Vec<Endpoint>,
}

impl Transport for Addresses {
    type Connection = H2Connection;

    async fn connect(&self, name: &Endpoint) -> Result<H2Connection, Cause> {
        self.h2.connect(&self.addresses[name.turn() % self.addresses.len()]).await
    }
}

fn channel(builder: ClientBuilder, addresses: &[String]) -> Channel<Addresses> {
    let config = builder
        .endpoints(["name"])
        .connect_timeout(Duration::from_secs(1))
        .reconnect(Reconnect::new().first(Duration::from_millis(10)))
        .config()
        .unwrap();
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Channel::new(Addresses { h2: H2::new(&config), addresses }, config).unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let deadline = clock::now() + Duration::from_secs(30);
    clock::until(Some(deadline), future).await.expect("it is still waiting")
}

/// Reads the beginning of what the client says, and closes.
async fn listens_and_closes() -> Peer {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.read_raw().await?;
        conn.close().await
    });
    peer
}

#[tokio::test]
async fn an_address_that_closes_connections_is_not_the_only_one_that_is_tried() {
    let good = EtcdLike::start().await;
    for bad in [Peer::closes().await, Peer::resets().await, listens_and_closes().await] {
        let channel = channel(ClientBuilder::new(), &[bad.endpoint(), good.endpoint()]);
        soon(channel.ready()).await.unwrap();
        assert_eq!(bad.connections(), 1);
    }
}

#[tokio::test]
async fn an_address_that_answers_nothing_is_not_the_only_one_that_is_tried() {
    let (bad, good) = (Peer::silent().await, EtcdLike::start().await);
    let channel = channel(ClientBuilder::new(), &[bad.endpoint(), good.endpoint()]);
    soon(channel.ready()).await.unwrap();
    assert_eq!(bad.connections(), 1);
}

/// Those of the calls and those of the streams.
#[tokio::test]
async fn attempts_side_by_side_do_not_bring_each_other_back_to_an_address_that_answers_nothing() {
    let (bad, good) = (Peer::silent().await, EtcdLike::start().await);
    let channel = channel(ClientBuilder::new(), &[bad.endpoint(), good.endpoint()]);
    let (method, options) = (etcdkit_proto::method::watch::WATCH.info(), CallOptions::new());
    let (ready, stream) =
        soon(async { tokio::join!(channel.ready(), channel.duplex(method, &options)) }).await;
    ready.unwrap();
    stream.map(drop).unwrap();
    assert!(bad.connections() <= 2, "{}", bad.connections());
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[tokio::test]
async fn an_address_that_closes_connections_over_tls_is_not_the_only_one_that_is_tried() {
    use etcdkit_testkit::certs::{ClientAuth, TestCa};

    use crate::config::Tls;

    let ca = TestCa::new();
    let server = ca.server("etcd").server_config(ClientAuth::None);
    let good = EtcdLike::on(Peer::bind().await.with_tls(Arc::clone(&server)));
    let mut after_handshake = Peer::bind().await.with_tls(server);
    after_handshake.run(|conn| conn.close());
    for bad in [Peer::closes().await, Peer::resets().await, after_handshake] {
        let builder = ClientBuilder::new().tls(Tls::new().ca_file(ca.cert_path()));
        let addresses = [bad.endpoint().replace("http:", "https:"), good.endpoint()];
        let channel = channel(builder, &addresses);
        soon(channel.ready()).await.unwrap();
        assert_eq!(bad.connections(), 1);
    }
}

/// It restarts, say.
#[tokio::test]
async fn an_address_that_was_ready_and_closed_is_the_next_to_be_tried() {
    let (other, good) = (Peer::closes().await, EtcdLike::start().await);
    let channel = channel(ClientBuilder::new(), &[good.endpoint(), other.endpoint()]);
    soon(channel.ready()).await.unwrap();
    good.queue(RANGE, Answer::CloseConnection);
    good.queue(RANGE, Answer::message(""));
    let method = etcdkit_proto::method::kv::RANGE;
    soon(channel.raw(method, &Default::default(), &CallOptions::new())).await.unwrap();
    assert_eq!((good.peer().connections(), other.connections()), (2, 0));
}

/// What it lacks is not mended by another connection to it.
#[tokio::test]
async fn an_address_that_is_left_for_another_member_is_passed_over() {
    let (bad, good) = (EtcdLike::start().await, EtcdLike::start().await);
    let channel = channel(ClientBuilder::new(), &[bad.endpoint(), good.endpoint()]);
    let method = etcdkit_proto::method::watch::WATCH;
    let stream = soon(channel.duplex(method.info(), &CallOptions::new())).await.unwrap();
    let (_, _, peer, _) = stream.split();
    peer.leave(Cause::Left("it lags".into()));
    soon(good.peer().wait_connections(1)).await;
    assert_eq!(bad.peer().connections(), 1);
}
