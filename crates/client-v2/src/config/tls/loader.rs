//! From PEM to the TLS library's own configuration.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::settings::{Source, Tls};
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
use crate::error::ErrorKind;
use crate::error::{Error, Result};

/// Makes TLS configurations of what a user named.
pub(crate) struct TlsLoader {
    tls: Tls,
    /// Kept if no file is named: sessions are resumed within one.
    last: Mutex<Option<Arc<ClientConfig>>>,
}

impl TlsLoader {
    pub(crate) fn new(tls: Tls) -> Self {
        Self { tls, last: Mutex::new(None) }
    }

    /// Reads all files and returns the configuration they make.
    pub(crate) fn load(&self) -> Result<Arc<ClientConfig>> {
        let config = Arc::new(client_config(&self.tls)?);
        if !self.tls.uses_files() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.clone());
        }
        Ok(config)
    }

    /// The same without blocking the runtime on files.
    pub(crate) async fn load_for_connection(self: &Arc<Self>) -> Result<Arc<ClientConfig>> {
        if let Some(config) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(config.clone());
        }
        let loader = self.clone();
        match tokio::task::spawn_blocking(move || loader.load()).await {
            Ok(loaded) => loaded,
            Err(error) => Err(Error::internal("loading certificates failed").with_source(error)),
        }
    }

    /// The name that the certificate of the server at `host` has to be for.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>> {
        Self::name_of(self.tls.server_name.as_deref().unwrap_or(host))
    }

    /// `name` as a certificate has it.
    pub(crate) fn name_of(name: &str) -> Result<ServerName<'static>> {
        ServerName::try_from(name.to_owned()).map_err(|_| {
            Error::invalid(format!(
                "`{name}` is no name that a certificate can be for: set `Tls::server_name` to one \
                 of the certificate's"
            ))
        })
    }
}

impl fmt::Debug for TlsLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()?)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Error::internal(format!("TLS: {error}")).with_source(error))?
        .with_root_certificates(roots(tls)?);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates("client certificate", certificate)?;
            let key = private_key(key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let text = format!("the client certificate and its key can't be used: {error}");
                Error::invalid(text).with_source(error)
            })?
        }
    };
    // Without it, a member that also speaks HTTP/2 might choose that.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Whom to trust.
fn roots(tls: &Tls) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for source in &tls.authorities {
        for certificate in certificates("CA", source)? {
            roots.add(certificate).map_err(|error| {
                let text = format!("the CA {source:?} holds a certificate that can't be used");
                Error::invalid(text).with_source(error)
            })?;
        }
    }
    if tls.authorities.is_empty() {
        // The system's collection may have odd members; those that can be used are enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::invalid(
                "the system trusts no certificate authority: name the cluster's with `Tls::ca_file`",
            ));
        }
    }
    Ok(roots)
}

fn certificates(role: &str, source: &Source) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(role, source)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Error::invalid(format!(
            "the {role} {source:?} holds no certificate in PEM: a line `-----BEGIN \
             CERTIFICATE-----` is expected"
        ))),
    }
}

fn private_key(source: &Source) -> Result<PrivateKeyDer<'static>> {
    // The library's own words are left out: they could show lines of the key.
    PrivateKeyDer::from_pem_slice(&read("client key", source)?).map_err(|_| {
        Error::invalid(format!(
            "the client key {source:?} holds no private key in PEM (an encrypted one has to be \
             decrypted first)"
        ))
    })
}

fn read(role: &str, source: &Source) -> Result<Vec<u8>> {
    match source {
        Source::Memory(bytes) => Ok(bytes.to_vec()),
        Source::File(path) => std::fs::read(path).map_err(|error| {
            let text = format!("the {role} file {} can't be read: {error}", path.display());
            Error::invalid(text).with_source(error)
        }),
    }
}

/// The cryptography in use: given explicitly, never installed for the whole process, which is the application's to
/// decide.
fn provider() -> Result<Arc<CryptoProvider>> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    let provider = Err(Error::new(
        ErrorKind::Unsupported,
        "etcdkit-v2 was compiled without TLS: enable its feature `aws-lc-rs` (default) or `ring` \
         for https endpoints",
    ));
    provider
}
