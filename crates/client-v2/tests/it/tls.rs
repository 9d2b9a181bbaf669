//! TLS and client certificates, against real etcd.
#![cfg(any(feature = "aws-lc-rs", feature = "ring"))]

use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::etcd::{self, Etcd, Version};
use etcdkit_v2::{Cause, Client, ErrorKind, Tls};

#[tokio::test]
async fn members_are_verified_and_shown_a_certificate() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let (server, client) = (ca.server("127.0.0.1"), ca.client("root"));
    let tls = etcd::Tls::new(server.cert_path(), server.key_path(), ca.cert_path())
        .client_certificate(client.cert_path(), client.key_path());
    let etcd = Etcd::builder(Version::V3_4).enable_v2().tls(tls).start().await;
    let get = async |tls: Tls| {
        let client = Client::builder().endpoints([etcd.client_url()]).tls(tls).build()?;
        client.keys().set("/k", "v").await?;
        client.keys().get("/k").await
    };
    let files = Tls::new().client_certificate_files(client.cert_path(), client.key_path());
    get(files.clone().ca_file(ca.cert_path())).await.unwrap();
    let memory = Tls::new().client_certificate_pem(client.cert_pem(), client.key_pem());
    get(memory.ca_pem(ca.cert_pem())).await.unwrap();

    let error = get(files.clone().ca_file(other.cert_path())).await.unwrap_err();
    assert!(matches!(error.attempts()[0].cause(), Cause::Tls(_)), "{error:?}");
    assert!(!error.maybe_applied());
    let named = files.ca_file(ca.cert_path()).server_name("etcd.example.com");
    assert!(matches!(get(named).await.unwrap_err().attempts()[0].cause(), Cause::Tls(_)));
    let error = get(Tls::new().ca_file(ca.cert_path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "no certificate was shown: {error}");
    let swapped = Tls::new().client_certificate_files(client.key_path(), client.cert_path());
    let error = get(swapped.ca_file(ca.cert_path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}
