//! rustls configurations from a test's certificates.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Identity, TestCa};

/// Whether a server asks its clients for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients show no certificate.
    None,
    /// Clients must show a certificate from the CA that also issued the server's.
    Required,
}

impl Identity {
    /// A server's configuration that shows this certificate and speaks `h2`.
    pub fn server_config(&self, client_auth: ClientAuth) -> Arc<ServerConfig> {
        self.server_config_with_alpn(client_auth, &["h2"])
    }

    /// A server's configuration that shows this certificate and speaks the `alpn` protocols.
    ///
    /// # Panics
    ///
    /// Never: certificates and keys were made by a [`TestCa`].
    pub fn server_config_with_alpn(
        &self,
        client_auth: ClientAuth,
        alpn: &[&str],
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions");
        let builder = match client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Required => {
                let roots = Arc::new(roots(self.ca_pem()));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
            }
        };
        let (chain, key) = self.chain_and_key();
        let mut config =
            builder.with_single_cert(chain, key).expect("the key is the certificate's");
        config.alpn_protocols = alpn.iter().map(|&name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    fn chain_and_key(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let cert = CertificateDer::from_pem_slice(self.cert_pem().as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key_pem().as_bytes());
        (vec![cert.expect("a certificate in PEM")], key.expect("a key in PEM"))
    }
}

impl TestCa {
    /// A client's configuration that trusts this CA alone, speaks `h2` and shows `identity`'s certificate, if any.
    ///
    /// # Panics
    ///
    /// Never: certificates and keys were made by a [`TestCa`].
    pub fn client_config(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions")
            .with_root_certificates(roots(self.cert_pem()));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.chain_and_key();
                builder.with_client_auth_cert(chain, key).expect("the key is the certificate's")
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

fn roots(ca_pem: &str) -> RootCertStore {
    let cert = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a certificate in PEM");
    let mut roots = RootCertStore::empty();
    roots.add(cert).expect("a CA's certificate");
    roots
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
