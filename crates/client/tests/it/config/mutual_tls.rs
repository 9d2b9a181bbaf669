//! TLS where clients show certificates: which ones are taken, whom they stand for, and how they are replaced.

use std::time::Duration;

use etcdkit::config::{Reconnect, Tls};
use etcdkit::{ErrorKind, ServerError};
use etcdkit_testkit::certs::{Identity, TestCa};
use etcdkit_testkit::etcd::{Etcd, Tls as ServerTls, Version};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;

use crate::auth::users;
use crate::kv::members::*;

async fn start(version: Version, ca: &TestCa) -> Etcd {
    let server = ca.server("etcd-0");
    let root = ca.client("root");
    let files = ServerTls::new(server.cert_path(), server.key_path(), ca.cert_path())
        .client_certificate(root.cert_path(), root.key_path());
    users::quick(Etcd::builder(version)).tls(files).start().await
}

fn tls(ca: &TestCa, identity: Option<&Identity>) -> Tls {
    let tls = Tls::new().ca_file(ca.cert_path());
    match identity {
        Some(own) => tls.client_certificate_files(own.cert_path(), own.key_path()),
        None => tls,
    }
}

fn builder(url: &str, tls: Tls) -> etcdkit::ClientBuilder {
    let pause = Duration::from_millis(20);
    tolerant().endpoints([url]).tls(tls).reconnect(Reconnect::new().first(pause).max(pause))
}

#[tokio::test]
async fn dial_tls_expired_and_other_client_certificates() {
    for version in Version::available() {
        let _named = Named::new(version);
        let ca = TestCa::new();
        let etcd = start(version, &ca).await;
        let url = etcd.client_url();

        let alice = ca.client("alice");
        let client = builder(&url, tls(&ca, Some(&alice))).connect().await.unwrap();
        client.put("foo", "bar").await.unwrap();
        let in_memory = Tls::new()
            .ca_pem(ca.cert_pem())
            .client_certificate_pem(alice.cert_pem(), alice.key_pem());
        builder(&url, in_memory).connect().await.unwrap().put("foo", "bar").await.unwrap();

        let expired = ca.expired_client("alice");
        let foreign = TestCa::new().client("alice");
        for (case, identity) in
            [("none", None), ("expired", Some(&expired)), ("of another authority", Some(&foreign))]
        {
            let outcome = builder(&url, tls(&ca, identity)).connect().await;
            let Err(error) = outcome else { panic!("a certificate that is {case} is taken") };
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}: {error}");
            let text = error.to_string();
            assert!(text.contains("certificate"), "{case}: does not say why: {text}");
        }
    }
}

/// Files that are replaced take effect with the next connection, without a new client.
#[tokio::test]
async fn client_certificates_are_rotated() {
    for version in Version::available() {
        let _named = Named::new(version);
        let ca = TestCa::new();
        let etcd = start(version, &ca).await;
        let replace = |new: &Identity| {
            let certificate = ca.file("current.pem", new.cert_pem());
            let key = ca.file("current-key.pem", new.key_pem());
            Tls::new().ca_file(ca.cert_path()).client_certificate_files(certificate, key)
        };
        // A client whose certificate has run out.
        let files = replace(&ca.expired_client("alice"));
        let proxy = Proxy::start(etcd.client_addr()).await;
        let url = format!("https://{}", proxy.addr());
        let client = builder(&url, files).build().unwrap();
        let hurried = client.with_options(within(Duration::from_secs(2)));
        eventually("the certificate to be refused", DEADLINE, async || {
            let error = hurried.get("foo").await.unwrap_err();
            error.to_string().contains("certificate").then_some(())
        })
        .await;

        replace(&ca.client("alice"));
        let get = async || hurried.get("foo").await.ok();
        eventually("the new certificate to be used", DEADLINE, get).await;

        // One that is replaced while it is in use: the connection stays, the next one shows the new one.
        replace(&ca.client("bob"));
        client.get("foo").await.unwrap();
        let connections = proxy.connections();
        proxy.reset();
        eventually("a connection with the next certificate", DEADLINE, get).await;
        assert!(proxy.connections() > connections);
    }
}

/// The common name of a certificate is a user's name, where authentication is on.
#[tokio::test]
async fn a_certificate_stands_for_a_user() {
    for version in Version::available() {
        let _named = Named::new(version);
        let ca = TestCa::new();
        let etcd = start(version, &ca).await;
        let url = etcd.client_url();
        let as_user = async |name: &str| {
            builder(&url, tls(&ca, Some(&ca.client(name)))).connect().await.unwrap()
        };
        let root = as_user("root").await;
        users::add(&root, "root", "root").await;
        users::add_with_prefix(&root, "alice", "alice/").await;
        users::enable(&root).await;

        root.put("anything", "bar").await.unwrap();
        let alice = as_user("alice").await;
        alice.put("alice/a", "1").await.unwrap();
        assert_eq!(value(&alice, "alice/a").await.as_deref(), Some("1"));
        let outcome = alice.put("bob/a", "1").await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::PermissionDenied);
        refused(outcome, ServerError::PermissionDenied);
        // Nobody is called so.
        let stranger = as_user("stranger").await;
        let error = stranger.put("alice/a", "2").await.unwrap_err();
        let expected = [ErrorKind::PermissionDenied, ErrorKind::Unauthenticated];
        assert!(expected.contains(&error.kind()), "{error:?}");
        // A name and a password beside the certificate come first.
        let both = builder(&url, tls(&ca, Some(&ca.client("stranger"))));
        let both = both.user("root", "root").connect().await.unwrap();
        both.put("bob/a", "1").await.unwrap();
    }
}
