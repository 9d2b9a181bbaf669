//! From PEM to the TLS library's own configuration.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::pem::Pem;
use super::settings::{Identity, Tls};
use crate::config::Endpoint;
use crate::error::{Error, Result};
use crate::task;

/// Makes TLS configurations, and a new one only if what it is made of has changed.
pub(crate) struct TlsLoader {
    tls: Tls,
    last: Mutex<Option<(Material, Arc<ClientConfig>)>>,
}

/// What a configuration was made of.
#[derive(Clone, PartialEq, Eq)]
struct Material {
    authorities: Vec<Pem>,
    identity: Option<(Pem, Pem)>,
}

impl TlsLoader {
    pub(crate) fn new(tls: Tls) -> Self {
        Self { tls, last: Mutex::new(None) }
    }

    /// Reads all files and returns the configuration they make.
    pub(crate) fn load(&self) -> Result<Arc<ClientConfig>> {
        if let Some(name) = &self.tls.server_name {
            parse_name(name)?;
        }
        let material = Material::read(&self.tls)?;
        // Held while a configuration is made, so that connections which start together make one.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_of, config)) = &*last
            && *made_of == material
        {
            return Ok(config.clone());
        }
        let config = Arc::new(material.client_config(self.tls.skip_verification)?);
        *last = Some((material, config.clone()));
        Ok(config)
    }

    /// The same without blocking the runtime on files.
    pub(crate) async fn load_for_connection(self: &Arc<Self>) -> Result<Arc<ClientConfig>> {
        if !self.tls.uses_files()
            && let Some((_, config)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
        {
            return Ok(config.clone());
        }
        let loader = self.clone();
        task::blocking(move || loader.load()).await?
    }

    /// The name that the certificate of the server at `endpoint` has to be for.
    pub(crate) fn server_name(&self, endpoint: &Endpoint) -> Result<ServerName<'static>> {
        parse_name(self.tls.server_name.as_deref().unwrap_or_else(|| endpoint.server_name()))
            .map_err(|error| match self.tls.server_name {
                Some(_) => error,
                None => Error::invalid(format!("endpoint `{endpoint}`: {error}")),
            })
    }

    /// Whether the authorities are the user's own, rather than the system's.
    pub(crate) fn has_own_authorities(&self) -> bool {
        !self.tls.authorities.is_empty()
    }

    /// Whether a client certificate is shown.
    pub(crate) fn has_identity(&self) -> bool {
        self.tls.identity.is_some()
    }
}

impl fmt::Debug for TlsLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::invalid(format!(
            "`{name}` is no name that a certificate can be for: set `Tls::server_name` to one of \
             the certificate's"
        ))
    })
}

impl Material {
    fn read(tls: &Tls) -> Result<Self> {
        let read = |source| Pem::read("CA", source);
        let identity = match &tls.identity {
            None => None,
            Some(Identity { certificate, key }) => {
                Some((Pem::read("client certificate", certificate)?, Pem::read("client key", key)?))
            }
        };
        Ok(Self { authorities: tls.authorities.iter().map(read).collect::<Result<_>>()?, identity })
    }

    fn client_config(&self, skip_verification: bool) -> Result<ClientConfig> {
        let provider = provider()?;
        // Read even if not used: a wrong path should not come to light only once verification is switched on again.
        let roots = self.roots(skip_verification)?;
        let verifier: Arc<dyn ServerCertVerifier> = match roots {
            Some(roots) => {
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
                    .build()
                    .map_err(|error| Error::internal(format!("TLS: {error}")).with_source(error))?
            }
            None => Arc::new(Unverified(provider.clone())),
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Error::internal(format!("TLS: {error}")).with_source(error))?
            // No verification is skipped here unless `Unverified` was chosen above.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificate.certificates()?;
                let key_der = key.key()?;
                check_pair(&provider, certificate, &chain, key, &key_der)?;
                builder.with_client_auth_cert(chain, key_der).map_err(|error| {
                    certificate.error(format_args!("can't be used: {error}")).with_source(error)
                })?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session shows no certificates: a rotated or revoked one would not be noticed, on either side.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// Whom to trust; `None` is everyone.
    fn roots(&self, skip_verification: bool) -> Result<Option<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for pem in &self.authorities {
            for certificate in pem.certificates()? {
                roots.add(certificate).map_err(|error| {
                    pem.error(format_args!("holds a certificate that can't be used: {error}"))
                        .with_source(error)
                })?;
            }
        }
        if skip_verification {
            return Ok(None);
        }
        if self.authorities.is_empty() {
            // The system's collection may have odd members; those that can be used are enough.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Error::invalid(
                    "the system trusts no certificate authority (none was found; SSL_CERT_FILE or \
                     SSL_CERT_DIR may be wrong): name the cluster's with `Tls::ca_file`",
                ));
            }
        }
        Ok(Some(roots))
    }
}

/// Tells a key that can't be used, and one that belongs to another certificate, from a bad certificate.
fn check_pair(
    provider: &CryptoProvider,
    certificate: &Pem,
    chain: &[CertificateDer<'static>],
    key: &Pem,
    key_der: &PrivateKeyDer<'static>,
) -> Result<()> {
    let signing = provider.key_provider.load_private_key(key_der.clone_key()).map_err(|error| {
        key.error(format_args!("holds a private key that can't be used: {error}"))
            .with_source(error)
    })?;
    match rustls::sign::CertifiedKey::new(chain.to_vec(), signing).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(key
            .error(format_args!("holds the key of another certificate than {certificate:?} does"))),
        Err(rustls::Error::InvalidCertificate(error)) => Err(certificate
            .error(format_args!("holds a certificate that can't be used: {error}"))
            .with_source(rustls::Error::InvalidCertificate(error))),
        // A key that can't tell its public half is taken at its word.
        _ => Ok(()),
    }
}

/// The cryptography in use: given explicitly, never installed for the whole process, which is the application's to
/// decide.
#[cfg(feature = "aws-lc-rs")]
fn provider() -> Result<Arc<CryptoProvider>> {
    Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn provider() -> Result<Arc<CryptoProvider>> {
    Ok(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
fn provider() -> Result<Arc<CryptoProvider>> {
    Err(Error::unsupported(
        "etcdkit was compiled without TLS: enable its feature `aws-lc-rs` (default) or `ring` for \
         https and unixs endpoints",
    ))
}

/// Lets any certificate pass. That the server holds the certificate's key is checked all the same, for what it is
/// worth.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
