//! What a user says about TLS.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::config::TlsLoader;
use crate::error::Result;

/// How TLS connections are made: whom the client trusts, and how it shows who it is.
///
/// TLS 1.3 and 1.2 are spoken, nothing older. It holds for `https://` and `unixs:` endpoints and for those without a
/// scheme; `http://` endpoints stay plain text, see [`Endpoint`](crate::config::Endpoint). `https://` endpoints of a
/// client without a `Tls` behave as with `Tls::new()`.
///
/// Files are read when the client is built, so that mistakes show at once, and again for each new connection: a rotated
/// certificate, key or CA is used from the next connection on, without a restart.
///
/// ```no_run
/// use etcdkit::Client;
/// use etcdkit::config::Tls;
///
/// # fn main() -> etcdkit::Result<()> {
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
    pub(super) identity: Option<Identity>,
    pub(super) server_name: Option<String>,
    pub(super) skip_verification: bool,
}

/// Where PEM comes from.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Memory(Bytes),
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: Source,
    pub(super) key: Source,
}

impl Tls {
    /// Trusts the authorities that the system trusts, and shows no client certificate.
    ///
    /// Where the system keeps them is found out as OpenSSL does, `SSL_CERT_FILE` and `SSL_CERT_DIR` included.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in a PEM file, instead of the system's. Can be repeated: all are trusted.
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authorities.push(Source::File(path.as_ref().to_owned()));
        self
    }

    /// Trusts the certificates in this PEM text, instead of the system's. Can be repeated: all are trusted.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(Source::Memory(pem.into().into()));
        self
    }

    /// Shows the certificate in one PEM file (with those of intermediate authorities behind it, if there are any),
    /// whose private key is in another, or in the same.
    ///
    /// etcd takes the certificate's common name for a user name if it runs with `--client-cert-auth` and
    /// authentication is enabled.
    #[must_use]
    pub fn client_certificate_files(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.identity = Some(Identity {
            certificate: Source::File(certificate.as_ref().to_owned()),
            key: Source::File(key.as_ref().to_owned()),
        });
        self
    }

    /// Shows the certificate in this PEM text, see [`client_certificate_files`](Self::client_certificate_files).
    #[must_use]
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some(Identity {
            certificate: Source::Memory(certificate.into().into()),
            key: Source::Memory(key.into().into()),
        });
        self
    }

    /// Expects the servers' certificates to be for `name`, a DNS name or an IP address, whatever the endpoints are
    /// called. Default: each endpoint's own [`server_name`](crate::config::Endpoint::server_name).
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Takes any certificate from any server: **whoever sits between the client and etcd can read and change
    /// everything**, passwords and tokens included.
    ///
    /// For a look at a test cluster. Where the problem is a self-signed certificate, [`ca_file`](Self::ca_file) with
    /// that very certificate is the cure; where it is a name, [`server_name`](Self::server_name).
    #[must_use]
    pub fn danger_skip_verification(mut self) -> Self {
        self.skip_verification = true;
        self
    }

    /// Reads everything that is named here and checks that it can be used, as building a client does.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the file that is missing, malformed, encrypted
    /// or does not match, and what to do about it; [`Unsupported`](crate::ErrorKind::Unsupported) if the crate was
    /// compiled without TLS.
    pub fn validate(&self) -> Result<()> {
        TlsLoader::new(self.clone()).load().map(drop)
    }

    /// Whether something has to be read again for each connection.
    pub(super) fn uses_files(&self) -> bool {
        let sources =
            self.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
        sources.chain(&self.authorities).any(|source| matches!(source, Source::File(_)))
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
