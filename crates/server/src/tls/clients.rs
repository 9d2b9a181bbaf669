//! Which of the clients with a good certificate are let in.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme};

use crate::error::Error;

/// A verifier that also wants a certificate to be for one of some names.
#[derive(Debug)]
pub(super) struct NamedClients {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl NamedClients {
    /// `inner` alone without names.
    pub(super) fn around(
        inner: Arc<dyn ClientCertVerifier>,
        names: &[String],
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        if names.is_empty() {
            return Ok(inner);
        }
        let parsed = names.iter().map(|name| {
            let wrong = |_| Error::setting(format!("{name:?} is no host name or address"));
            ServerName::try_from(name.clone()).map_err(wrong)
        });
        Ok(Arc::new(Self { inner, names: parsed.collect::<Result<_, _>>()? }))
    }
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self.inner.verify_client_cert(certificate, intermediates, now)?;
        let parsed = ParsedCertificate::try_from(certificate)?;
        let mut refused = None;
        for name in &self.names {
            match verify_server_name(&parsed, name) {
                Ok(()) => return Ok(verified),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(TlsError::General("no client is let in".to_owned())))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
