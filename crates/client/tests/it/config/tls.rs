//! TLS where only the server shows a certificate, and what is said when the two sides do not agree.

use std::time::Duration;

use etcdkit::config::Tls;
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::certs::{ClientAuth, TestCa};
use etcdkit_testkit::etcd::{Etcd, Tls as ServerTls, Version};
use etcdkit_testkit::peer::{EtcdLike, Peer};
use tokio::task::JoinSet;

use super::{RANGE, serve_reads};
use crate::kv::members::*;

async fn connect_to(endpoint: &str, tls: Option<Tls>) -> etcdkit::Result<Client> {
    let builder = tolerant().endpoints([endpoint]).connect_timeout(Duration::from_secs(20));
    match tls {
        Some(tls) => builder.tls(tls).connect().await,
        None => builder.connect().await,
    }
}

#[tokio::test]
async fn tls_of_the_server() {
    for version in Version::available() {
        let _named = Named::new(version);
        let ca = TestCa::new();
        let server = ca.server("etcd-0");
        let files = ServerTls::new(server.cert_path(), server.key_path(), ca.cert_path());
        let etcd = Etcd::builder(version).tls(files).start().await;
        let url = etcd.client_url();
        let port = etcd.client_addr().port();
        let foreign = TestCa::new();
        let impostor = ca.impostor();
        let right = || Tls::new().ca_file(ca.cert_path());

        let fine = [
            (url.clone(), right()),
            (format!("https://localhost:{port}"), right()),
            (format!("127.0.0.1:{port}"), right()),
            (url.clone(), Tls::new().ca_pem(ca.cert_pem())),
            (url.clone(), right().ca_file(foreign.cert_path())),
            (url.clone(), right().server_name("etcd-0")),
            (url.clone(), Tls::new().danger_skip_verification()),
        ];
        for (endpoint, tls) in fine {
            let client = connect_to(&endpoint, Some(tls.clone())).await;
            let client = client.unwrap_or_else(|error| panic!("{endpoint} {tls:?}: {error}"));
            client.put("foo", "bar").await.unwrap();
        }

        let plain = format!("http://127.0.0.1:{port}");
        let bare = format!("127.0.0.1:{port}");
        let wrong: [(&str, Option<Tls>, &str); 6] = [
            // TestDialTLSNoConfig: an https endpoint, and nothing that says whom to trust.
            (&url, None, "certificate"),
            (&url, Some(Tls::new().ca_file(foreign.cert_path())), "certificate"),
            (&url, Some(Tls::new().ca_file(impostor.cert_path())), "certificate"),
            (&url, Some(right().server_name("etcd-9")), "etcd-9"),
            // Plain text to a port that speaks TLS.
            (&plain, Some(right()), "TLS"),
            (&bare, None, "TLS"),
        ];
        for (endpoint, tls, said) in wrong {
            let case = format!("{endpoint} {tls:?}");
            let outcome = in_time(&case, connect_to(endpoint, tls)).await;
            let Err(error) = outcome else { panic!("{case} connects") };
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}: {error}");
            let text = error.to_string();
            assert!(text.contains(said) && text.contains(endpoint), "{case}: {text}");
        }
    }
}

/// TLS to a port that speaks plain text.
#[tokio::test]
async fn tls_to_a_plain_port() {
    on_every_version(async |_, etcd| {
        let endpoint = format!("https://{}", etcd.client_addr());
        let outcome = connect_to(&endpoint, Some(Tls::new())).await;
        let text = fails(outcome.map(drop), ErrorKind::Unavailable);
        assert!(
            text.contains("TLS") && text.contains("http://"),
            "does not say what to do: {text}"
        );
    })
    .await;
}

/// Files that can't be used are refused before anything is connected to, by name.
#[tokio::test]
async fn tls_files_that_can_not_be_used() {
    let ca = TestCa::new();
    let client = ca.client("alice");
    let other = ca.client("bob");
    let with_key =
        |key: &std::path::Path| Tls::new().client_certificate_files(client.cert_path(), key);
    let table = [
        (Tls::new().ca_file("/nonexistent/ca.pem"), "/nonexistent/ca.pem"),
        (Tls::new().ca_file(ca.file("empty.pem", "")), "empty.pem"),
        (with_key(&ca.encrypted_key()), "encrypted-key.pem"),
        (with_key(&ca.legacy_encrypted_key()), "legacy-encrypted-key.pem"),
        (with_key(&ca.malformed_key()), "malformed-key.pem"),
        (with_key("/nonexistent/key.pem".as_ref()), "/nonexistent/key.pem"),
        (with_key(other.key_path()), "key.pem"),
    ];
    for (tls, named) in table {
        let built = tolerant().endpoints(["https://127.0.0.1:1"]).tls(tls.clone()).build();
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{tls:?}: {error}");
        assert!(error.to_string().contains(named), "{tls:?}: {error}");
    }
}

/// A file that nobody writes to yet holds up the one who connects, and nothing else in its runtime.
#[cfg(unix)]
#[tokio::test]
async fn connecting_reads_no_file_on_the_runtimes_own_thread() {
    let ca = TestCa::new();
    let slow = ca.file("slow.pem", "");
    std::fs::remove_file(&slow).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&slow).status().unwrap().success());
    let builder = tolerant().endpoints(["https://127.0.0.1:1"]).tls(Tls::new().ca_file(&slow));
    let mut connecting = JoinSet::new();
    connecting.spawn(builder.connect());

    let (turned, turns) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        // It opens as soon as somebody reads.
        let pipe = std::fs::File::options().write(true).open(slow).unwrap();
        let turned = turns.recv_timeout(Duration::from_secs(10));
        drop(pipe);
        turned
    });
    tokio::task::yield_now().await;
    turned.send(()).unwrap();
    let connected = in_time("the end of the file", connecting.join_next()).await.unwrap();
    let error = connected.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("slow.pem"), "{error}");
    assert_eq!(writer.join().unwrap(), Ok(()), "the runtime stood still");
}

/// Each endpoint goes by its own scheme, whichever comes first, now and when they are set later.
#[tokio::test]
async fn tls_is_decided_per_endpoint() {
    let ca = TestCa::new();
    let config = ca.server("etcd-0").server_config(ClientAuth::None);
    let secure = EtcdLike::on(Peer::bind().await.with_tls(config));
    let plain = EtcdLike::start().await;
    serve_reads(&secure);
    serve_reads(&plain);
    let tls = Tls::new().ca_file(ca.cert_path());
    let client = tolerant().endpoints([plain.endpoint(), secure.endpoint()]).tls(tls);
    let client = client.connect().await.unwrap();
    let both = async |client: &Client| {
        let before = (plain.calls(RANGE), secure.calls(RANGE));
        in_time("both to be asked", async {
            while plain.calls(RANGE) == before.0 || secure.calls(RANGE) == before.1 {
                client.get("a").await.unwrap();
            }
        })
        .await;
    };
    both(&client).await;
    client.set_endpoints([secure.endpoint()]).await.unwrap();
    client.set_endpoints([secure.endpoint(), plain.endpoint()]).await.unwrap();
    both(&client).await;
    let scheme = |etcd: &EtcdLike| etcd.requests(RANGE)[0].header(":scheme").map(str::to_owned);
    assert_eq!(scheme(&plain).as_deref(), Some("http"));
    assert_eq!(scheme(&secure).as_deref(), Some("https"));
}
