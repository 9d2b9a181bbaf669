//! A server whose certificate is replaced while it runs: etcd reads it anew for each handshake.

use std::fs;
use std::time::Duration;

use etcdkit::ErrorKind;
use etcdkit::config::{Reconnect, Tls};
use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::etcd::{Etcd, Tls as ServerTls, Version};
use etcdkit_testkit::wait::eventually;

use crate::kv::members::*;

/// `TestTLSReloadAtomicReplace` and `TestTLSReloadCopy`, seen from the client: one that runs out of good certificates
/// says so, and comes back by itself when there is one.
#[tokio::test]
async fn tls_reload() {
    for version in Version::available() {
        let _named = Named::new(version);
        let ca = TestCa::new();
        let (good, expired) = (ca.server("etcd-0"), ca.expired_server("etcd-0"));
        let certificate = ca.file("server.pem", good.cert_pem());
        let key = ca.file("server-key.pem", good.key_pem());
        let files = ServerTls::new(&certificate, &key, ca.cert_path());
        let etcd = Etcd::builder(version).tls(files).start().await;
        let pause = Duration::from_millis(20);
        let client = || {
            let client = tolerant()
                .endpoints([etcd.client_url()])
                .tls(Tls::new().ca_file(ca.cert_path()))
                .reconnect(Reconnect::new().first(pause).max(pause))
                .build();
            client.unwrap().with_options(within(Duration::from_secs(5)))
        };
        let before = client();
        before.put("foo", "bar").await.unwrap();

        for (name, contents) in
            [("server.pem", expired.cert_pem()), ("server-key.pem", expired.key_pem())]
        {
            // By a name of its own first, so that nobody reads half of it.
            let new = ca.file(&format!("{name}.new"), contents);
            fs::rename(new, ca.dir().join(name)).unwrap();
        }
        // The connection there is stays. One that goes on from an earlier session would show no certificate either,
        // which is why the new one takes a new client to be seen.
        before.get("foo").await.unwrap();
        let after = client();
        eventually("the new certificate to be refused", DEADLINE, async || {
            let error = after.get("foo").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let text = error.to_string();
            (text.contains("certificate") && text.contains("expired")).then_some(())
        })
        .await;

        ca.file("server.pem", good.cert_pem());
        ca.file("server-key.pem", good.key_pem());
        eventually("the old certificate to be taken again", DEADLINE, async || {
            after.get("foo").await.ok()
        })
        .await;
    }
}
