//! TLS for those who connect, and who they prove to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::error::Error;

/// The certificate of a server, and the authority of its clients'. The files are read when the server starts.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<PathBuf>,
}

impl ServerTls {
    /// A certificate with those that lead to its authority, and its key, as PEM files.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), clients: None }
    }

    /// Demands a certificate of clients, signed by an authority in this PEM file. While authentication is on, a client
    /// without a token is the user that its certificate's common name names.
    pub fn client_ca(mut self, authority: impl Into<PathBuf>) -> Self {
        self.clients = Some(authority.into());
        self
    }

    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable(&self.key, &error))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::setting(format!("TLS: {error}")))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unreadable(path, &error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder
                    .with_client_cert_verifier(verifier.map_err(|error| unreadable(path, &error))?)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| unreadable(&self.certificate, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(path, &error))?;
    if found.is_empty() {
        return Err(Error::setting(format!("{}: there is no certificate in it", path.display())));
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &impl std::fmt::Display) -> Error {
    Error::setting(format!("{}: {error}", path.display()))
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// The object identifier 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common name of a certificate's subject; the last one, if there are several.
pub(crate) fn common_name(certificate: &[u8]) -> Option<Arc<str>> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, algorithm, issuer and validity.
    for _ in 0..4 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, mut subject, _) = element(fields)? else { return None };
    let mut name = None;
    while let Some((_, mut attributes, rest)) = element(subject) {
        subject = rest;
        while let Some((_, attribute, rest)) = element(attributes) {
            attributes = rest;
            let (_, kind, value) = element(attribute)?;
            if kind == COMMON_NAME {
                name = std::str::from_utf8(element(value)?.1).ok();
            }
        }
    }
    name.map(Arc::from)
}

/// The tag and the content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, mut der) = der.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (digits, rest) = der.split_at_checked(usize::from(first & 0x7f))?;
        der = rest;
        // Longer ones are of no certificate.
        length = digits.iter().try_fold(0_usize, |sum, digit| {
            sum.checked_mul(256)?.checked_add(usize::from(*digit))
        })?;
    }
    let (content, rest) = der.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = common_name(&bytes);
        }
    }
}
