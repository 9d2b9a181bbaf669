//! Clients with TLS and without: `Example`, `ExampleConfig_withTLS` and `ExampleConfig_insecure`.

use etcdkit::config::Tls;
use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::etcd::{Etcd, Tls as ServerTls, Version};

use crate::kv::members::{Named, on_every_version, tolerant};

#[tokio::test]
async fn example() {
    on_every_version(async |_, etcd| {
        let client = tolerant().endpoints([etcd.client_url()]).connect().await.unwrap();
        client.put("example/foo", "bar").await.unwrap();
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn example_config_insecure() {
    on_every_version(async |_, etcd| {
        // No scheme and no TLS configured: plain text.
        let endpoint = etcd.client_addr().to_string();
        let client = tolerant().endpoints([endpoint]).connect().await.unwrap();
        client.put("example_config_insecure/foo", "bar").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn example_config_with_tls() {
    for version in Version::available() {
        let _named = Named::new(version);
        let ca = TestCa::new();
        let (server, own) = (ca.server("etcd-0"), ca.client("example"));
        let files = ServerTls::new(server.cert_path(), server.key_path(), ca.cert_path())
            .client_certificate(own.cert_path(), own.key_path());
        let etcd = Etcd::builder(version).tls(files).start().await;
        let tls = Tls::new()
            .ca_file(ca.cert_path())
            .client_certificate_files(own.cert_path(), own.key_path());
        let client = tolerant().endpoints([etcd.client_url()]).tls(tls);
        let client = client.connect().await.unwrap();
        client.put("foo", "bar").await.unwrap();
    }
}
