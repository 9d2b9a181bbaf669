//! Transports, peers that are no HTTP/2 servers, and scripts that fail.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Client, is_eof};
use crate::certs::{ClientAuth, TestCa};
use crate::peer::{Answer, EtcdLike, Peer, grpc_message};

const RANGE: &str = "/etcdserverpb.KV/Range";

#[tokio::test]
async fn speaks_tls() {
    let ca = TestCa::new();
    let config = ca.server("etcd-1").server_config(ClientAuth::Required);
    let etcd = EtcdLike::on(Peer::bind().await.with_tls(config));
    assert!(etcd.endpoint().starts_with("https://127.0.0.1:"), "{}", etcd.endpoint());
    // A client that never shakes hands holds up nobody.
    let _silent = TcpStream::connect(etcd.addr()).await.unwrap();
    etcd.queue(RANGE, Answer::message(&b"secret"[..]));
    etcd.queue(RANGE, Answer::ResetConnection);
    let tls = TlsConnector::from(ca.client_config(Some(&ca.client("root"))));
    let tcp = TcpStream::connect(etcd.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = Client::over(tls.connect(name, tcp).await.unwrap()).await;
    let response = client.call(RANGE, b"").await.unwrap();
    assert_eq!(response.body, grpc_message(b"secret"));
    let error = client.call(RANGE, b"").await.unwrap_err();
    let kind = error.get_io().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::ConnectionReset), "{error:?}");
}

#[tokio::test]
async fn a_failed_tls_handshake_is_an_outcome() {
    let config = TestCa::new().server("etcd-1").server_config(ClientAuth::None);
    let mut peer = Peer::bind().await.with_tls(config);
    peer.run(|_| async { unreachable!("no script runs") });
    let mut client = TcpStream::connect(peer.addr()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    peer.next_outcome().await.unwrap_err();
}

#[tokio::test]
async fn listens_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etcd.sock");
    let etcd = EtcdLike::on(Peer::bind_unix(&path));
    assert_eq!(etcd.endpoint(), format!("unix://{}", path.display()));
    etcd.queue(RANGE, Answer::message(&b"local"[..]));
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(client.call(RANGE, b"").await.unwrap().body, grpc_message(b"local"));
}

#[tokio::test]
async fn stock_peers_do_what_they_say() {
    let peer = Peer::http1().await;
    let error = Client::connect(&peer).await.call(RANGE, b"").await.unwrap_err();
    assert!(!error.is_io(), "{error:?}");

    let mut answer = String::new();
    let mut client = TcpStream::connect(peer.addr()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\nBad Request"));

    let peer = Peer::closes().await;
    let mut client = TcpStream::connect(peer.addr()).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);

    let peer = Peer::resets().await;
    let mut client = TcpStream::connect(peer.addr()).await.unwrap();
    let error = client.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let peer = Peer::garbage(&b"not HTTP/2"[..]).await;
    let mut client = TcpStream::connect(peer.addr()).await.unwrap();
    let mut received = [0; 10];
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"not HTTP/2");

    let peer = Peer::silent().await;
    let mut client = TcpStream::connect(peer.addr()).await.unwrap();
    client.write_all(b"anybody there?").await.unwrap();
    peer.wait_connections(1).await;
    assert_eq!(client.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_preface_of_another_protocol_is_an_error() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move { conn.handshake(&[]).await });
    for (sent, kind) in [
        (&b"GET / HTTP/1.1\r\nhost: etcd.test\r\n\r\n"[..], io::ErrorKind::InvalidData),
        (b"PRI * HTTP/2.0", io::ErrorKind::UnexpectedEof),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x01\0\0\0\0\x01", io::ErrorKind::InvalidData),
    ] {
        let mut client = TcpStream::connect(peer.addr()).await.unwrap();
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(peer.next_outcome().await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_leaving_client_ends_what_a_script_waits_for() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        conn.next_request().await.map(drop)
    });
    Client::connect(&peer).await.ended().await.unwrap();
    let outcome = peer.next_outcome().await;
    assert!(is_eof(&outcome), "{outcome:?}");
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_panic_in_a_script_reaches_the_test() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let waits_for_it = || {
        runtime.block_on(async {
            let mut peer = Peer::bind().await;
            peer.run(|_| async { panic!("expected in this test") });
            let _client = TcpStream::connect(peer.addr()).await.unwrap();
            let _ = peer.next_outcome().await;
        });
    };
    let only_drops_the_peer = || {
        runtime.block_on(async {
            let mut peer = Peer::bind().await;
            peer.run(|_| -> std::future::Ready<io::Result<()>> { panic!("expected in this test") });
            let mut client = TcpStream::connect(peer.addr()).await.unwrap();
            let _ = client.read(&mut [0]).await;
        });
    };
    std::panic::catch_unwind(AssertUnwindSafe(waits_for_it)).unwrap_err();
    std::panic::catch_unwind(AssertUnwindSafe(only_drops_the_peer)).unwrap_err();
}

#[tokio::test]
async fn dropping_the_peer_ends_its_scripts() {
    let alive = Arc::new(());
    let in_script = Arc::clone(&alive);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let alive = Arc::clone(&in_script);
        async move {
            conn.handshake(&[]).await?;
            conn.wait_close().await?;
            drop(alive);
            Ok(())
        }
    });
    let mut client = Client::connect(&peer).await;
    let call = client.start(RANGE, b"").await.unwrap();
    drop(peer);
    super::finish(call).await.unwrap_err();
    assert_eq!(Arc::strong_count(&alive), 1);
}
