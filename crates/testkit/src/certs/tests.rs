//! Handshakes with good and broken certificates, and the files on disk.

use std::io;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{ClientAuth, Identity, KEY_PASSPHRASE, TestCa};

/// Shakes hands over a pipe and sends one byte each way, so that a refused client's certificate is noticed by both.
async fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let serve = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(&[1]).await?;
        stream.read_u8().await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Ok(())
    };
    let connect = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_all(&[1]).await?;
        stream.read_u8().await?;
        Ok(())
    };
    tokio::join!(serve, connect)
}

async fn connect(ca: &TestCa, server: &Identity, name: &str) -> io::Result<()> {
    handshake(server.server_config(ClientAuth::None), ca.client_config(None), name).await.1
}

fn certificate_error(result: io::Result<()>) -> CertificateError {
    let error = result.expect_err("the handshake fails");
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(reason)) => reason.clone(),
        _ => panic!("another error: {error:?}"),
    }
}

#[tokio::test]
async fn a_server_is_trusted_under_each_of_its_names() {
    let ca = TestCa::new();
    let server = ca.server("etcd-1");
    for name in ["127.0.0.1", "::1", "localhost", "etcd-1"] {
        connect(&ca, &server, name).await.unwrap();
    }
    let error = certificate_error(connect(&ca, &server, "etcd-2").await);
    assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
    let error = certificate_error(connect(&ca, &ca.server_for(&["etcd-1"]), "127.0.0.1").await);
    assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
}

#[tokio::test]
async fn expired_unknown_and_forged_certificates_fail_each_in_its_way() {
    let ca = TestCa::new();
    let error = certificate_error(connect(&ca, &ca.expired_server("etcd-1"), "localhost").await);
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
    let stranger = TestCa::new().server("etcd-1");
    let error = certificate_error(connect(&ca, &stranger, "localhost").await);
    assert!(matches!(error, CertificateError::UnknownIssuer), "{error:?}");
    let forged = ca.impostor().server("etcd-1");
    let error = certificate_error(connect(&ca, &forged, "localhost").await);
    assert!(matches!(error, CertificateError::BadSignature), "{error:?}");
}

#[tokio::test]
async fn client_certificates_are_checked() {
    let ca = TestCa::new();
    let config = ca.server("etcd-1").server_config(ClientAuth::Required);
    for (client, accepted) in [
        (Some(ca.client("root")), true),
        (Some(ca.server("etcd-2")), true),
        (Some(ca.expired_client("root")), false),
        (Some(TestCa::new().client("root")), false),
        (None, false),
    ] {
        let client = ca.client_config(client.as_ref());
        let (served, connected) = handshake(Arc::clone(&config), client, "localhost").await;
        assert_eq!((served.is_ok(), connected.is_ok()), (accepted, accepted));
    }
}

#[test]
fn files_hold_what_the_strings_do_and_go_with_the_last_owner() {
    let ca = TestCa::new();
    let server = ca.server("etcd-1");
    let client = ca.client("root");
    for (path, pem) in [
        (ca.cert_path(), ca.cert_pem()),
        (server.cert_path(), server.cert_pem()),
        (server.key_path(), server.key_pem()),
        (client.cert_path(), client.cert_pem()),
        (client.key_path(), client.key_pem()),
    ] {
        assert_eq!(std::fs::read_to_string(path).unwrap(), pem);
    }
    let dir = ca.dir().to_owned();
    drop((ca, client));
    assert!(server.cert_path().exists());
    drop(server);
    assert!(!dir.exists());
}

#[test]
fn broken_keys_are_broken() {
    let ca = TestCa::new();
    for path in [ca.encrypted_key(), ca.legacy_encrypted_key(), ca.malformed_key()] {
        let pem = std::fs::read_to_string(&path).unwrap();
        assert!(rcgen::KeyPair::from_pem(&pem).is_err(), "{}", path.display());
    }
}

#[test]
fn encrypted_keys_open_with_the_passphrase() {
    let ca = TestCa::new();
    for path in [ca.encrypted_key(), ca.legacy_encrypted_key()] {
        for (passphrase, opens) in [(KEY_PASSPHRASE, true), ("wrong", false)] {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkey", "-noout", "-passin", &format!("pass:{passphrase}"), "-in"]);
            // A machine without openssl cannot ask it.
            let Ok(output) = openssl.arg(&path).output() else { return };
            assert_eq!(output.status.success(), opens, "{} {passphrase}", path.display());
        }
    }
}
