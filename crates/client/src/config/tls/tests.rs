//! What is wrong with certificates and keys is said in words that name the file.

use std::path::Path;
use std::sync::Arc;

use etcdkit_testkit::certs::TestCa;

use super::*;
use crate::error::ErrorKind;

#[test]
fn good_material_is_taken_from_files_and_from_memory() {
    let ca = TestCa::new();
    let client = ca.client("alice");
    let both = ca.file("both.pem", format!("{}{}", client.key_pem(), client.cert_pem()));
    for tls in [
        Tls::new().ca_file(ca.cert_path()),
        Tls::new().ca_pem(ca.cert_pem()).ca_pem(TestCa::new().cert_pem()),
        Tls::new()
            .ca_pem(ca.cert_pem())
            .client_certificate_files(client.cert_path(), client.key_path()),
        Tls::new()
            .ca_pem(ca.cert_pem())
            .client_certificate_pem(client.cert_pem(), client.key_pem()),
        Tls::new().ca_pem(ca.cert_pem()).client_certificate_files(&both, &both),
        Tls::new().ca_pem(ca.cert_pem()).server_name("etcd").danger_skip_verification(),
        Tls::new().danger_skip_verification(),
    ] {
        tls.validate().unwrap_or_else(|error| panic!("{tls:?}: {error}"));
    }
}

#[test]
fn bad_material_is_named() {
    let ca = TestCa::new();
    let client = ca.client("alice");
    let other = ca.client("bob");
    let cert = client.cert_path();
    let key = client.key_path();
    let ca_only = |path: &Path| Tls::new().ca_file(path);
    let pair = |cert: &Path, key: &Path| {
        Tls::new().ca_pem(ca.cert_pem()).client_certificate_files(cert, key)
    };
    let missing = ca.dir().join("missing.pem");
    let empty = ca.file("empty.pem", "");
    let cut = ca.file("cut.pem", &client.cert_pem()[..200]);
    let begin = ca.file("begin.pem", "-----BEGIN CERTIFICATE--\nAAAA\n-----END CERTIFICATE-----\n");
    let base64 =
        ca.file("base64.pem", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n");
    let no_cert =
        ca.file("no-cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let no_key =
        ca.file("no-key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let ssh = ca.file(
        "ssh.pem",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    let der = ca.file("cert.der", [0x30, 0x82, 1, 2]);
    let keys = ca.file("keys.pem", format!("{}{}", client.key_pem(), other.key_pem()));
    for (tls, file, reason) in [
        (ca_only(&missing), &*missing, "can't be read: No such file"),
        (ca_only(ca.dir()), ca.dir(), "can't be read"),
        (ca_only(&empty), &empty, "holds no certificate"),
        (ca_only(&cut), &cut, "is cut short"),
        (ca_only(&begin), &begin, "malformed `-----BEGIN"),
        (ca_only(&base64), &base64, "is damaged"),
        (ca_only(&no_cert), &no_cert, "holds a certificate that can't be used"),
        (ca_only(key), key, "holds a private key and no certificate"),
        (ca_only(&der), &der, "openssl x509 -inform der"),
        (ca_only(&missing).danger_skip_verification(), &missing, "can't be read"),
        (ca_only(&empty).danger_skip_verification(), &empty, "holds no certificate"),
        (pair(&missing, key), &missing, "client certificate file"),
        (pair(cert, &missing), &missing, "client key file"),
        (pair(&empty, key), &empty, "holds no certificate"),
        (pair(&no_cert, key), &no_cert, "holds a certificate that can't be used"),
        (pair(cert, &empty), &empty, "holds no private key"),
        (pair(cert, cert), cert, "have certificate and key changed places?"),
        (pair(key, cert), key, "have certificate and key changed places?"),
        (
            pair(cert, &ca.encrypted_key()),
            &ca.encrypted_key(),
            "is encrypted: decrypt it with `openssl pkey",
        ),
        (pair(cert, &ca.legacy_encrypted_key()), &ca.legacy_encrypted_key(), "is encrypted"),
        (pair(cert, &ca.malformed_key()), &ca.malformed_key(), "is damaged"),
        (pair(cert, &no_key), &no_key, "a private key that can't be used"),
        (pair(cert, &ssh), &ssh, "a key for SSH"),
        (pair(cert, &der), &der, "openssl pkey -inform der"),
        (pair(cert, &keys), &keys, "several private keys"),
        (pair(cert, other.key_path()), other.key_path(), "the key of another certificate"),
        (
            pair(cert, Path::new("")),
            Path::new("client key file is empty"),
            "takes both a certificate and a key",
        ),
    ] {
        let error = tls.validate().unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(text.contains(file.to_str().unwrap()), "{}: {text}", file.display());
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let ca = TestCa::new();
    let client = ca.client("alice");
    let tls =
        Tls::new().ca_pem("AUTHORITY").client_certificate_pem(client.cert_pem(), client.key_pem());
    let shown = format!("{tls:?} {:?}", TlsLoader::new(tls.clone()));
    assert!(!shown.contains("BEGIN") && !shown.contains("AUTH"), "{shown}");

    // A key without its last line, and one with a broken line.
    let cut = &client.key_pem()[..client.key_pem().len() - 30];
    let broken = client.key_pem().replacen('\n', "\n*", 2);
    for key in [cut, &broken] {
        let tls = Tls::new().ca_pem(ca.cert_pem()).client_certificate_pem(client.cert_pem(), key);
        let error = tls.validate().unwrap_err();
        let secret = client.key_pem().lines().nth(1).unwrap();
        assert!(!format!("{error} {error:?}").contains(&secret[..8]), "{error:?}");
    }
}

#[test]
fn a_configuration_is_made_anew_only_when_a_file_has_changed() {
    let ca = TestCa::new();
    let (alice, bob) = (ca.client("alice"), ca.client("bob"));
    let cert = ca.file("rotated-cert.pem", alice.cert_pem());
    let key = ca.file("rotated-key.pem", alice.key_pem());
    let loader =
        TlsLoader::new(Tls::new().ca_file(ca.cert_path()).client_certificate_files(&cert, &key));
    let first = loader.load().unwrap();
    assert!(Arc::ptr_eq(&first, &loader.load().unwrap()));

    // Between the two writes of a rotation, certificate and key do not match.
    ca.file("rotated-cert.pem", bob.cert_pem());
    assert!(loader.load().is_err());
    ca.file("rotated-key.pem", bob.key_pem());
    let second = loader.load().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));

    ca.file("ca.pem", TestCa::new().cert_pem());
    assert!(!Arc::ptr_eq(&second, &loader.load().unwrap()));
}

#[test]
fn the_name_is_the_endpoints_unless_set() {
    let endpoint = "https://[::1]:2379".parse().unwrap();
    let name = |tls| TlsLoader::new(tls).server_name(&endpoint).unwrap().to_str().into_owned();
    assert_eq!(name(Tls::new()), "::1");
    assert_eq!(name(Tls::new().server_name("etcd.example.com")), "etcd.example.com");
}
