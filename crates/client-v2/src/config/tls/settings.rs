//! What a user says about TLS.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How connections to `https://` endpoints are made: whom the client trusts, and how it shows who it is.
///
/// TLS 1.3 and 1.2 are spoken, nothing older. Files are read when the client is built, so that mistakes show at once,
/// and again for each new connection: a rotated certificate is used from the next connection on.
///
/// ```no_run
/// use etcdkit_v2::{Client, Tls};
///
/// # fn main() -> etcdkit_v2::Result<()> {
/// let tls = Tls::new()
///     .ca_file("/etc/etcd/ca.crt")
///     .client_certificate_files("/etc/etcd/client.crt", "/etc/etcd/client.key");
/// let client = Client::builder().endpoints(["https://etcd-0.example.com:2379"]).tls(tls).build()?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Empty: the system's.
    pub(super) authorities: Vec<Source>,
    /// Certificate and key.
    pub(super) identity: Option<(Source, Source)>,
    pub(super) server_name: Option<String>,
}

/// Where PEM comes from.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

impl Tls {
    /// Trusts the authorities that the system trusts, and shows no client certificate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in a PEM file, instead of the system's. Can be repeated: all are trusted.
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authorities.push(Source::file(path));
        self
    }

    /// Trusts the certificates in this PEM text, instead of the system's. Can be repeated: all are trusted.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(Source::Memory(pem.into().into()));
        self
    }

    /// Shows the certificate in one PEM file, whose private key is in another, or in the same.
    #[must_use]
    pub fn client_certificate_files(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.identity = Some((Source::file(certificate), Source::file(key)));
        self
    }

    /// Shows the certificate in this PEM text.
    #[must_use]
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        let memory = |pem: Vec<u8>| Source::Memory(pem.into());
        self.identity = Some((memory(certificate.into()), memory(key.into())));
        self
    }

    /// Expects the servers' certificates to be for `name`, whatever the endpoints are called. Default: each endpoint's
    /// own host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Whether something has to be read again for each connection.
    pub(super) fn uses_files(&self) -> bool {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        identity.chain(&self.authorities).any(|source| matches!(source, Source::File(_)))
    }
}

impl Source {
    fn file(path: impl AsRef<Path>) -> Self {
        Self::File(path.as_ref().to_owned())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Memory(_) => f.write_str("(in memory)"),
        }
    }
}
