//! Handshakes that succeed and fail, against servers in the test.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use etcdkit_testkit::certs::{ClientAuth, Identity, TestCa};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{Endpoint, Tls};
use crate::error::Cause;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn settings(tls: Tls) -> ConnectSettings {
    ConnectSettings::new(Some(tls), None)
}

async fn connect(endpoint: &str, settings: &ConnectSettings) -> Result<Established, Cause> {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    timeout(Duration::from_secs(10), establish(&endpoint, settings)).await.expect("no hanging")
}

/// Connects to a TLS server, which sends `pong` if the handshake succeeds, and reads that.
async fn over_tls(
    endpoint_host: &str,
    tls: Tls,
    server: Arc<ServerConfig>,
) -> Result<String, Cause> {
    let (listener, address) = listen().await;
    let port = address.rsplit_once(':').unwrap().1;
    let endpoint = format!("https://{endpoint_host}:{port}");
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(server).accept(stream).await {
            // Fails where the client refuses what was agreed on.
            let _ = stream.write_all(b"pong").await;
            let _ = stream.shutdown().await;
        }
    };
    let settings = settings(tls);
    let dial = async {
        let mut established = connect(&endpoint, &settings).await?;
        assert!(established.encrypted);
        let mut text = String::new();
        match established.stream.read_to_string(&mut text).await {
            Ok(_) => Ok(text),
            Err(error) => Err(cause_of(&error)),
        }
    };
    tokio::join!(serve, dial).1
}

fn trusting(ca: &TestCa) -> Tls {
    Tls::new().ca_file(ca.cert_path())
}

fn tls_1_2(identity: &Identity) -> Arc<ServerConfig> {
    let template = identity.server_config(ClientAuth::None);
    let provider = template.crypto_provider().clone();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(template.cert_resolver.clone());
    config.alpn_protocols.clone_from(&template.alpn_protocols);
    Arc::new(config)
}

#[tokio::test]
async fn handshakes_that_should_succeed_do() {
    let ca = TestCa::new();
    let server = ca.server("etcd");
    let foreign = ca.server_for(&["elsewhere.example.com"]);
    let client = ca.client("alice");
    let open = || server.server_config(ClientAuth::None);
    let closed = || server.server_config(ClientAuth::Required);
    for (host, tls, config) in [
        ("127.0.0.1", trusting(&ca), open()),
        ("localhost", trusting(&ca), open()),
        ("localhost", Tls::new().ca_pem(ca.cert_pem()), open()),
        ("127.0.0.1", trusting(&ca), tls_1_2(&server)),
        ("127.0.0.1", trusting(&TestCa::new()).ca_file(ca.cert_path()), open()),
        (
            "127.0.0.1",
            trusting(&ca).server_name("elsewhere.example.com"),
            foreign.server_config(ClientAuth::None),
        ),
        (
            "127.0.0.1",
            trusting(&ca).client_certificate_files(client.cert_path(), client.key_path()),
            closed(),
        ),
        (
            "127.0.0.1",
            trusting(&ca).client_certificate_pem(client.cert_pem(), client.key_pem()),
            closed(),
        ),
        ("127.0.0.1", Tls::new().danger_skip_verification(), open()),
        ("127.0.0.1", Tls::new().danger_skip_verification(), tls_1_2(&foreign)),
    ] {
        let shown = format!("{host} {tls:?}");
        assert_eq!(over_tls(host, tls, config).await.as_deref(), Ok("pong"), "{shown}");
    }
}

#[tokio::test]
async fn failed_handshakes_say_what_to_do() {
    let ca = TestCa::new();
    let server = ca.server("etcd");
    let foreign = ca.server_for(&["a.example.com", "10.1.2.3"]);
    let expired_client = ca.expired_client("alice");
    let stranger = TestCa::new().client("mallory");
    let with = |identity: &Identity| {
        trusting(&ca).client_certificate_pem(identity.cert_pem(), identity.key_pem())
    };
    let open = |identity: &Identity| identity.server_config(ClientAuth::None);
    let closed = || server.server_config(ClientAuth::Required);
    for (tls, config, reason) in [
        (trusting(&ca), open(&ca.expired_server("etcd")), "the server's certificate expired "),
        (trusting(&ca), open(&ca.expired_server("etcd")), " days ago: renew it"),
        (trusting(&TestCa::new()), open(&server), "not signed by the configured CA"),
        (trusting(&ca.impostor()), open(&server), "not signed by the configured CA"),
        (
            trusting(&ca),
            open(&foreign),
            "is for a.example.com, 10.1.2.3, not for 127.0.0.1: connect to `https://127.0.0.1:",
        ),
        (trusting(&ca).server_name("etcd-9"), open(&server), "not for etcd-9"),
        (trusting(&ca), open(&ca.server_for(&[])), "is for no name at all"),
        (
            trusting(&ca),
            closed(),
            "wants a client certificate: give one with `Tls::client_certificate_files`",
        ),
        (with(&expired_client), closed(), "the client certificate has expired"),
        (with(&stranger), closed(), "the server refused the client certificate"),
        (
            trusting(&ca),
            server.server_config_with_alpn(ClientAuth::None, &["http/1.1"]),
            "does not speak HTTP/2",
        ),
        (
            trusting(&ca),
            server.server_config_with_alpn(ClientAuth::None, &[]),
            "did not agree on HTTP/2",
        ),
    ] {
        match over_tls("127.0.0.1", tls, config).await {
            Err(Cause::Tls(text)) => assert!(text.contains(reason), "{reason}: {text}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_without_authority_of_the_system_is_not_trusted() {
    let ca = TestCa::new();
    let server = ca.server("etcd").server_config(ClientAuth::None);
    if let Err(error) = Tls::new().validate() {
        // A machine without any authorities: nothing to test but that it is said.
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
        return;
    }
    let cause = over_tls("localhost", Tls::new(), server).await.unwrap_err();
    assert!(cause.to_string().contains("name the cluster's with `Tls::ca_file`"), "{cause}");
}

/// Answers whatever comes with `answer`, and closes.
async fn rude(listener: TcpListener, answer: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut first = [0; 64];
    let _ = stream.read(&mut first).await.unwrap();
    stream.write_all(answer).await.unwrap();
    stream.shutdown().await.unwrap();
    // Reads to the end, or the answer might be lost in a reset.
    while stream.read(&mut first).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn tls_to_a_plain_text_server_is_recognised() {
    let ca = TestCa::new();
    for (answer, reason) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "the server speaks plain text where TLS was expected",
        ),
        (b"\0\0\x12\x04\0\0\0\0\0", "the server speaks plain text where TLS was expected"),
        (b"", "closed the connection during the TLS handshake"),
    ] {
        let (listener, address) = listen().await;
        let (endpoint, settings) = (format!("https://{address}"), settings(trusting(&ca)));
        match tokio::join!(rude(listener, answer), connect(&endpoint, &settings)).1 {
            // A server that only closes may be stopping: that is no lasting cause.
            Err(Cause::Disconnected(text)) if answer.is_empty() => {
                assert!(text.contains(reason) && text.contains("http://"), "{text}");
            }
            Err(Cause::Tls(text)) => {
                assert!(text.contains(reason) && text.contains("http://"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn plain_text_to_a_tls_server_is_recognised() {
    let server = TestCa::new().server("etcd").server_config(ClientAuth::None);
    let settings = ConnectSettings::new(None, None);

    let (listener, address) = listen().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(TlsAcceptor::from(server).accept(stream).await.is_err());
    };
    let (_, cause) = tokio::join!(serve, speak_plain(&address, &settings));
    assert!(cause.to_string().contains("use https://"), "{cause}");

    for (answer, reason) in [
        (
            &b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"[..],
            "TLS: the server answers in HTTP/1: it expects TLS (https://)",
        ),
        (b"", "connection lost: the server closed it before it said anything: does it expect TLS"),
    ] {
        let (listener, address) = listen().await;
        let serve = rude(listener, answer);
        let (_, cause) = tokio::join!(serve, speak_plain(&address, &settings));
        assert!(cause.to_string().starts_with(reason), "{cause}");
    }
}

#[tokio::test]
async fn only_the_first_read_is_looked_at() {
    let (listener, address) = listen().await;
    let settings = ConnectSettings::new(None, None);
    let mut stream = connect(&address, &settings).await.unwrap().stream;
    let (mut accepted, _) = listener.accept().await.unwrap();
    for text in [&b"\0first"[..], b"HTTP/1", b"\x15alert"] {
        accepted.write_all(text).await.unwrap();
        let mut seen = vec![0; text.len()];
        stream.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, text);
    }
    drop(accepted);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

async fn speak_plain(address: &str, settings: &ConnectSettings) -> Cause {
    let mut established = connect(&format!("http://{address}"), settings).await.unwrap();
    assert!(!established.encrypted);
    established.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    cause_of(&established.stream.read_u8().await.unwrap_err())
}

#[tokio::test]
async fn a_rotated_certificate_is_used_from_the_next_connection_on() {
    let ca = TestCa::new();
    let server = ca.server("etcd").server_config(ClientAuth::Required);
    let (alice, bob) = (ca.client("alice"), ca.client("bob"));
    let cert = ca.file("cert.pem", alice.cert_pem());
    let key = ca.file("key.pem", alice.key_pem());
    let settings = settings(trusting(&ca).client_certificate_files(&cert, &key));
    let (listener, address) = listen().await;
    let endpoint = format!("https://{address}");
    let seen = async || {
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(server.clone()).accept(stream).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].clone()
        };
        let (shown, established) = tokio::join!(serve, connect(&endpoint, &settings));
        established.unwrap();
        shown
    };
    let first = seen().await;
    assert_eq!(first, seen().await);
    ca.file("cert.pem", bob.cert_pem());
    ca.file("key.pem", bob.key_pem());
    assert_ne!(first, seen().await);

    std::fs::remove_file(&key).unwrap();
    let (_, result) = tokio::join!(listener.accept(), connect(&endpoint, &settings));
    let cause = result.unwrap_err();
    assert!(matches!(&cause, Cause::Tls(text) if text.contains(key.to_str().unwrap())), "{cause}");
}

#[tokio::test]
async fn tls_is_spoken_over_the_users_own_connector() {
    let ca = TestCa::new();
    let server = ca.server("etcd").server_config(ClientAuth::None);
    let (connector, mut listener) = duplex();
    let settings = ConnectSettings::new(Some(trusting(&ca)), Some(Arc::new(connector)));
    let serve = async {
        let stream = listener.accept().await.unwrap();
        TlsAcceptor::from(server).accept(stream).await.unwrap();
    };
    let (_, established) = tokio::join!(serve, connect("https://etcd:1", &settings));
    let established = established.unwrap();
    assert!(established.encrypted);
    assert_eq!(format!("{:?}", established.stream), "IoStream(TLS over a connector's stream)");

    let established = connect("inprocess:m0", &settings).await.unwrap();
    assert!(!established.encrypted);
    assert!(listener.accept().await.is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn sockets_speak_tls_under_their_file_name() {
    let ca = TestCa::new();
    let server = ca.server("etcd-7").server_config(ClientAuth::None);
    let path = ca.dir().join("etcd-7:2379");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let settings = settings(trusting(&ca));
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(server).accept(stream).await.unwrap();
    };
    let endpoint = format!("unixs://{}", path.display());
    let (_, established) = tokio::join!(serve, connect(&endpoint, &settings));
    assert!(established.unwrap().encrypted);
}

/// The connection's task leaves it to the stream to put the pieces of a batch into one call of the system.
#[tokio::test]
async fn pieces_of_one_write_leave_together() {
    let (listener, address) = listen().await;
    let settings = ConnectSettings::new(None, None);
    let mut established = connect(&address, &settings).await.unwrap();
    assert!(established.stream.is_write_vectored());
    let (mut accepted, _) = listener.accept().await.unwrap();
    let pieces = [IoSlice::new(b"head"), IoSlice::new(b", "), IoSlice::new(b"message")];
    assert_eq!(established.stream.write_vectored(&pieces).await.unwrap(), 13);
    let mut got = [0; 13];
    accepted.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"head, message");
}
