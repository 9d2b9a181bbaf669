//! The `:authority` that servers see, for each form of endpoint.

use etcdkit::config::Tls;
use etcdkit_testkit::certs::{ClientAuth, TestCa};
use etcdkit_testkit::etcd::{Etcd, Tls as ServerTls, Version};
use etcdkit_testkit::peer::{EtcdLike, Peer};

use super::{RANGE, serve_reads};
use crate::kv::members::*;

/// Reads through `endpoint`; what the server saw as `:authority` and `:scheme`.
async fn seen(etcd: &EtcdLike, endpoint: &str, tls: Option<Tls>) -> (String, String) {
    let builder = tolerant().endpoints([endpoint]);
    let builder = match tls {
        Some(tls) => builder.tls(tls),
        None => builder,
    };
    let client = builder.connect().await.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
    client.get("a").await.unwrap();
    let call = etcd.requests(RANGE).pop().unwrap();
    (call.authority.clone(), call.header(":scheme").unwrap().to_owned())
}

#[tokio::test]
async fn authority_over_tcp() {
    let etcd = EtcdLike::start().await;
    serve_reads(&etcd);
    let port = etcd.addr().port();
    let ca = TestCa::new();
    let tls = || Tls::new().ca_file(ca.cert_path());
    // (what comes before the port, what comes after it, what is seen before the port)
    for (before, after, host) in [
        ("127.0.0.1:", "", "127.0.0.1"),
        ("localhost:", "", "localhost"),
        ("http://127.0.0.1:", "", "127.0.0.1"),
        ("http://localhost:", "/", "localhost"),
        ("http://user:secret@localhost:", "/path?query#fragment", "localhost"),
        ("HTTP://LOCALHOST:", "", "LOCALHOST"),
    ] {
        let endpoint = format!("{before}{port}{after}");
        let expected = (format!("{host}:{port}"), "http".to_owned());
        assert_eq!(seen(&etcd, &endpoint, None).await, expected, "{endpoint}");
        if before.to_lowercase().starts_with("http:") {
            // Plain text, also where TLS is configured.
            assert_eq!(seen(&etcd, &endpoint, Some(tls())).await, expected, "{endpoint} and TLS");
        }
    }
}

#[tokio::test]
async fn authority_over_tls() {
    let ca = TestCa::new();
    let config = ca.server("etcd-0").server_config(ClientAuth::None);
    let etcd = EtcdLike::on(Peer::bind().await.with_tls(config));
    serve_reads(&etcd);
    let port = etcd.addr().port();
    let tls = || Tls::new().ca_file(ca.cert_path());
    for (endpoint, host) in [
        (format!("https://127.0.0.1:{port}"), "127.0.0.1"),
        (format!("https://localhost:{port}/x"), "localhost"),
        // TLS because it is configured.
        (format!("localhost:{port}"), "localhost"),
        (format!("127.0.0.1:{port}"), "127.0.0.1"),
    ] {
        let expected = (format!("{host}:{port}"), "https".to_owned());
        assert_eq!(seen(&etcd, &endpoint, Some(tls())).await, expected, "{endpoint}");
        // The name in the certificate may be another; the authority is what the endpoint says.
        let named = tls().server_name("etcd-0");
        assert_eq!(seen(&etcd, &endpoint, Some(named)).await, expected, "{endpoint}");
    }
}

#[tokio::test]
async fn authority_over_unix_sockets() {
    let folder = TestCa::new();
    for (name, authority) in [
        ("etcd.sock", "etcd.sock"),
        ("localhost:2379", "localhost:2379"),
        // No host may be called so.
        ("a b", "localhost"),
    ] {
        let path = folder.dir().join(name);
        let etcd = EtcdLike::on(Peer::bind_unix(&path));
        serve_reads(&etcd);
        for scheme in ["unix:", "unix://"] {
            let endpoint = format!("{scheme}{}", path.display());
            let expected = (authority.to_owned(), "http".to_owned());
            assert_eq!(seen(&etcd, &endpoint, None).await, expected, "{endpoint}");
        }
    }
}

/// Real servers take what we send, in every form: their HTTP/2 and Go's TLS look at it too.
#[tokio::test]
async fn authority_on_real_etcd() {
    for version in Version::available() {
        let _named = Named::new(version);
        let plain = Etcd::builder(version).unix_socket().start().await;
        let ca = TestCa::new();
        let server = ca.server("etcd-0");
        let files = ServerTls::new(server.cert_path(), server.key_path(), ca.cert_path());
        let secure = Etcd::builder(version).tls(files).unix_socket().start().await;
        let tls = || Tls::new().ca_file(ca.cert_path());
        let socket = |etcd: &Etcd| etcd.unix_socket().unwrap().display().to_string();
        let (port, secure_port) = (plain.client_addr().port(), secure.client_addr().port());
        let table = [
            (format!("127.0.0.1:{port}"), None),
            (format!("http://localhost:{port}"), None),
            (format!("http://127.0.0.1:{port}"), Some(tls())),
            (format!("unix:{}", socket(&plain)), None),
            (format!("unix://{}", socket(&plain)), None),
            (format!("https://127.0.0.1:{secure_port}"), Some(tls())),
            (format!("https://localhost:{secure_port}"), Some(tls())),
            (format!("localhost:{secure_port}"), Some(tls())),
            (format!("unixs:{}", socket(&secure)), Some(tls())),
            (format!("unixs://{}", socket(&secure)), Some(tls())),
            (format!("unix://{}", socket(&secure)), Some(tls())),
        ];
        for (endpoint, tls) in table {
            let builder = tolerant().endpoints([&*endpoint]);
            let builder = match tls {
                Some(tls) => builder.tls(tls),
                None => builder,
            };
            let client = builder.connect().await;
            let client = client.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
            client.put("foo", "bar").await.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
        }
    }
}
