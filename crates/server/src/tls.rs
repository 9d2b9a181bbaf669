//! TLS for those who connect, and who they prove to be.

mod clients;
mod renewal;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};

use self::clients::NamedClients;
use self::renewal::Files;
pub(crate) use self::renewal::Renewed;
use crate::error::Error;

/// The certificate of a server, and the authority of its clients'. The files are read when the server starts, and again for
/// each handshake, so that certificates can be renewed while it runs: those who are connected already stay. As long as what
/// the files hold cannot be used, new connections go by what they held before.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<PathBuf>,
    revoked: Option<PathBuf>,
    client_names: Vec<String>,
    versions: RangeInclusive<TlsVersion>,
    cipher_suites: Vec<String>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl ServerTls {
    /// A certificate with those that lead to its authority, and its key, as PEM files.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            clients: None,
            revoked: None,
            client_names: Vec::new(),
            versions: TlsVersion::Tls12..=TlsVersion::Tls13,
            cipher_suites: Vec::new(),
        }
    }

    /// Demands a certificate of clients, signed by an authority in this PEM file. While authentication is on, a client
    /// without a token is the user that its certificate's common name names.
    pub fn client_ca(mut self, authority: impl Into<PathBuf>) -> Self {
        self.clients = Some(authority.into());
        self
    }

    /// Refuses clients whose certificate is in this PEM file of revocation lists. It means nothing without
    /// [`client_ca`](Self::client_ca).
    pub fn client_revocations(mut self, lists: impl Into<PathBuf>) -> Self {
        self.revoked = Some(lists.into());
        self
    }

    /// Refuses clients whose certificate is for none of these host names or addresses. It means nothing without
    /// [`client_ca`](Self::client_ca).
    pub fn client_names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.client_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The versions that are spoken. Both by default.
    pub fn versions(mut self, versions: RangeInclusive<TlsVersion>) -> Self {
        self.versions = versions;
        self
    }

    /// The cipher suites of TLS 1.2 that are spoken, by their registered names; all that are safe by default. Those of TLS
    /// 1.3 are always spoken.
    pub fn cipher_suites<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.cipher_suites = names.into_iter().map(Into::into).collect();
        self
    }

    fn provider(&self) -> Result<Arc<CryptoProvider>, Error> {
        let mut provider = aws_lc_rs::default_provider();
        if self.cipher_suites.is_empty() {
            return Ok(Arc::new(provider));
        }
        let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite());
        let of_tls12 =
            |suite: &SupportedCipherSuite| suite.version().version == ProtocolVersion::TLSv1_2;
        let known: Vec<String> =
            provider.cipher_suites.iter().filter(|suite| of_tls12(suite)).map(name).collect();
        if let Some(unknown) = self.cipher_suites.iter().find(|suite| !known.contains(suite)) {
            let text =
                format!("cipher suite {unknown} is not spoken: choose from {}", known.join(", "));
            return Err(Error::setting(text));
        }
        provider
            .cipher_suites
            .retain(|suite| !of_tls12(suite) || self.cipher_suites.contains(&name(suite)));
        Ok(Arc::new(provider))
    }

    fn protocols(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
        let known = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
        let spoken: Vec<_> = known
            .into_iter()
            .filter_map(|(version, protocol)| self.versions.contains(&version).then_some(protocol))
            .collect();
        if spoken.is_empty() {
            let text =
                "the oldest version of TLS is newer than the newest one: leave none of them out";
            return Err(Error::setting(text));
        }
        Ok(spoken)
    }

    fn config(&self, files: &Files) -> Result<Arc<ServerConfig>, Error> {
        let provider = self.provider()?;
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|error| unreadable(&self.key, &error))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.protocols()?)
            .map_err(|error| Error::setting(format!("TLS: {error}")))?;
        let builder = match self.clients.as_ref().zip(files.clients.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((path, pem)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, pem)? {
                    roots.add(certificate).map_err(|error| unreadable(path, &error))?;
                }
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if let Some((lists, pem)) = self.revoked.as_ref().zip(files.revoked.as_ref()) {
                    // As etcd looks at them: the client's own certificate, and no list is no revocation.
                    verifier = verifier
                        .with_crls(revocations(lists, pem)?)
                        .only_check_end_entity_revocation()
                        .allow_unknown_revocation_status();
                }
                let verifier = verifier.build().map_err(|error| unreadable(path, &error))?;
                builder
                    .with_client_cert_verifier(NamedClients::around(verifier, &self.client_names)?)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| unreadable(&self.certificate, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unreadable(path, &error))?;
    if found.is_empty() {
        return Err(Error::setting(format!("{}: there is no certificate in it", path.display())));
    }
    Ok(found)
}

fn revocations(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let found = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unreadable(path, &error))?;
    if found.is_empty() {
        let text = format!("{}: there is no revocation list in it", path.display());
        return Err(Error::setting(text));
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
