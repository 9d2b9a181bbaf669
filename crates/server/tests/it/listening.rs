//! What is answered where, and to whom.

use std::path::Path;

use etcdkit::Client;
#[cfg(feature = "tls")]
use etcdkit::config::Tls;
use etcdkit_server::{Server, ServerBuilder};
#[cfg(feature = "tls")]
use etcdkit_server::{ServerTls, TlsVersion};
#[cfg(feature = "tls")]
use etcdkit_testkit::certs::{Identity, TestCa};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The status of a request over HTTP/1.1; `None` if the connection just ends.
async fn status(socket: &Path, path: &str) -> Option<u16> {
    let mut stream = UnixStream::connect(socket).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    // It may end while it still has what it did not read.
    let _ = stream.read_to_string(&mut answer).await;
    answer.split(' ').nth(1)?.parse().ok()
}

async fn has_grpc(socket: &Path) -> bool {
    let client = Client::connect([format!("unix:{}", socket.display())]).await;
    let Ok(client) = client else { return false };
    client.get("a").await.is_ok()
}

fn quick() -> ServerBuilder {
    Server::builder().bcrypt_cost(4)
}

#[cfg(unix)]
#[tokio::test]
async fn an_address_answers_what_it_is_for_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let socket = |name: &str| folder.path().join(name);
    let url = |name: &str| format!("unix://{}", socket(name).display());

    let server = quick().listen(url("all")).listen_metrics(url("metrics")).start().await.unwrap();
    assert_eq!(server.client_urls(), [url("all")]);
    assert_eq!(status(&socket("all"), "/health").await, Some(200));
    assert_eq!(status(&socket("all"), "/v3/kv/range").await, Some(501));
    for path in ["/health", "/metrics", "/livez", "/version"] {
        assert_eq!(status(&socket("metrics"), path).await, Some(200), "{path}");
    }
    assert_eq!(status(&socket("metrics"), "/v3/kv/range").await, Some(404));
    assert!(has_grpc(&socket("all")).await);
    assert!(!has_grpc(&socket("metrics")).await);
    server.shutdown().await;

    let server = quick().listen(url("grpc")).listen_http(url("http")).start().await.unwrap();
    assert_eq!(status(&socket("grpc"), "/health").await, None);
    assert_eq!(status(&socket("http"), "/health").await, Some(200));
    assert_eq!(status(&socket("http"), "/v3/kv/range").await, Some(501));
    assert!(has_grpc(&socket("grpc")).await);
    assert!(!has_grpc(&socket("http")).await);
    server.shutdown().await;

    let _server = quick().listen(url("bare")).without_gateway().start().await.unwrap();
    assert_eq!(status(&socket("bare"), "/v3/kv/range").await, Some(404));
    assert_eq!(status(&socket("bare"), "/health").await, Some(200));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_url_that_asks_for_tls_needs_a_certificate_and_one_that_does_not_has_none() {
    let authority = TestCa::new();
    let identity = authority.server("127.0.0.1");
    let tls = ServerTls::new(identity.cert_path(), identity.key_path());
    let error = quick().listen("https://127.0.0.1:0").start().await.unwrap_err();
    assert!(error.to_string().contains("there is no certificate"), "{error}");
    let both = quick().listen("http://127.0.0.1:0").listen("https://127.0.0.1:0");
    let server = both.tls(&tls).unwrap().start().await.unwrap();
    let urls = server.client_urls();
    assert!(urls[0].starts_with("http://") && urls[1].starts_with("https://"), "{urls:?}");
    let plain = Client::connect([urls[0].as_str()]).await.unwrap();
    plain.put("a", "1").await.unwrap();
    let trusting = Tls::new().ca_file(authority.cert_path());
    let secure = Client::builder().endpoints([urls[1].as_str()]).tls(trusting).connect();
    assert_eq!(secure.await.unwrap().get("a").await.unwrap().count(), 1);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn clients_that_are_revoked_or_of_another_name_are_refused() {
    let authority = TestCa::new();
    let identity = authority.server("127.0.0.1");
    let (bob, carol) = (authority.server("bob.test"), authority.server("carol.test"));
    let tls = || {
        ServerTls::new(identity.cert_path(), identity.key_path()).client_ca(authority.cert_path())
    };
    let gets_in = async |server: &Server, client: &Identity| {
        let shown = Tls::new()
            .ca_file(authority.cert_path())
            .client_certificate_files(client.cert_path(), client.key_path());
        let connected = Client::builder().endpoints(server.client_urls()).tls(shown).connect();
        connected.await.is_ok()
    };
    let start = async |tls: ServerTls| {
        quick().listen("127.0.0.1:0").tls(&tls).unwrap().start().await.unwrap()
    };

    let server = start(tls().client_revocations(authority.revocations(&[&bob]))).await;
    assert!(!gets_in(&server, &bob).await);
    assert!(gets_in(&server, &carol).await);

    let server = start(tls().client_names(["nobody.test", "bob.test"])).await;
    assert!(gets_in(&server, &bob).await);
    assert!(!gets_in(&server, &carol).await);

    let none = authority.file("none.crl", "");
    let error = quick().tls(&tls().client_revocations(none)).unwrap_err();
    assert!(error.to_string().contains("no revocation list"), "{error}");
    let error = quick().tls(&tls().client_names([" "])).unwrap_err();
    assert!(error.to_string().contains("no host name"), "{error}");
}

/// As with etcd, whose files are read for each handshake: those that were renewed needed a restart here.
#[cfg(feature = "tls")]
#[tokio::test]
async fn renewed_certificates_and_revocations_count_without_a_restart() {
    let (old, new) = (TestCa::new(), TestCa::new());
    let identities = [&old, &new].map(|authority| authority.server("127.0.0.1"));
    let bob = old.client("bob");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let install = |identity: &Identity| {
        std::fs::copy(identity.cert_path(), path("cert.pem")).unwrap();
        std::fs::copy(identity.key_path(), path("key.pem")).unwrap();
    };
    install(&identities[0]);
    std::fs::copy(old.revocations(&[]), path("revoked.pem")).unwrap();
    let tls = ServerTls::new(path("cert.pem"), path("key.pem"))
        .client_ca(old.cert_path())
        .client_revocations(path("revoked.pem"));
    let server = quick().listen("127.0.0.1:0").tls(&tls).unwrap().start().await.unwrap();
    let connect = async |authority: &TestCa| {
        let shown = Tls::new()
            .ca_file(authority.cert_path())
            .client_certificate_files(bob.cert_path(), bob.key_path());
        Client::builder().endpoints(server.client_urls()).tls(shown).connect().await
    };
    let before = connect(&old).await.unwrap();
    assert!(connect(&new).await.is_err());

    // In the midst of it certificate and key do not belong together.
    std::fs::copy(identities[1].cert_path(), path("cert.pem")).unwrap();
    connect(&old).await.unwrap();
    std::fs::write(path("key.pem"), "").unwrap();
    connect(&old).await.unwrap();
    install(&identities[1]);
    connect(&new).await.unwrap();
    assert!(connect(&old).await.is_err());

    std::fs::copy(old.revocations(&[&bob]), path("revoked.pem")).unwrap();
    assert!(connect(&new).await.is_err());
    before.put("a", "1").await.unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn versions_and_cipher_suites_are_those_that_were_asked_for() {
    let authority = TestCa::new();
    let identity = authority.server("127.0.0.1");
    let tls = || ServerTls::new(identity.cert_path(), identity.key_path());
    let trusting = || Tls::new().ca_file(authority.cert_path());
    for (tls, expected) in [
        (tls().versions(TlsVersion::Tls13..=TlsVersion::Tls13), true),
        (tls().versions(TlsVersion::Tls12..=TlsVersion::Tls12), true),
        (tls().cipher_suites(["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]), true),
        // A certificate with another kind of key than this suite is for.
        (
            tls()
                .versions(TlsVersion::Tls12..=TlsVersion::Tls12)
                .cipher_suites(["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]),
            false,
        ),
    ] {
        let server = quick().listen("127.0.0.1:0").tls(&tls).unwrap().start().await.unwrap();
        let connected = Client::builder().endpoints(server.client_urls()).tls(trusting()).connect();
        assert_eq!(connected.await.is_ok(), expected, "{tls:?}");
    }
    for (tls, expected) in [
        (tls().versions(TlsVersion::Tls13..=TlsVersion::Tls12), "newer than the newest"),
        (
            tls().cipher_suites(["TLS_RSA_WITH_RC4_128_SHA"]),
            "TLS_RSA_WITH_RC4_128_SHA is not spoken",
        ),
    ] {
        let error = quick().tls(&tls).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
