//! Reading PEM, with errors that say which file it was and what is to be done.

use std::fmt;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::Source;
use crate::error::{Error, Result};

/// The text of a source, and a name for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    name: String,
    bytes: Bytes,
}

impl Pem {
    /// Reads `source`, which is the `role` of a TLS configuration, such as "client key".
    pub(super) fn read(role: &'static str, source: &Source) -> Result<Self> {
        match source {
            Source::Memory(bytes) => Ok(Self { name: format!("{role} PEM"), bytes: bytes.clone() }),
            Source::File(path) if path.as_os_str().is_empty() => Err(Error::invalid(format!(
                "the path of the {role} file is empty: a client certificate takes both a \
                 certificate and a key"
            ))),
            Source::File(path) => {
                let name = format!("{role} file {}", path.display());
                match std::fs::read(path) {
                    Ok(bytes) => Ok(Self { name, bytes: bytes.into() }),
                    Err(error) => {
                        Err(Error::invalid(format!("{name} can't be read: {error}"))
                            .with_source(error))
                    }
                }
            }
        }
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let certificates = self.items(CertificateDer::pem_slice_iter(&self.bytes))?;
        if certificates.is_empty() {
            return Err(self.error(if self.has("PRIVATE KEY-----") {
                "holds a private key and no certificate (have certificate and key changed places?)"
            } else if self.is_der() {
                "is DER: convert it with `openssl x509 -inform der -in FILE -out FILE.pem`"
            } else {
                "holds no certificate: a line `-----BEGIN CERTIFICATE-----` is expected"
            }));
        }
        Ok(certificates)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>> {
        if self.has("BEGIN ENCRYPTED PRIVATE KEY-----") || self.has("Proc-Type: 4,ENCRYPTED") {
            return Err(self.error(
                "is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.plain` first, and \
                 keep that file readable by the client only",
            ));
        }
        let mut keys = self.items(PrivateKeyDer::pem_slice_iter(&self.bytes))?;
        match (keys.pop(), keys.len()) {
            (Some(key), 0) => Ok(key),
            (Some(_), _) => Err(self.error("holds several private keys: leave one")),
            (None, _) => Err(self.error(if self.has("BEGIN CERTIFICATE-----") {
                "holds a certificate and no private key (have certificate and key changed places?)"
            } else if self.has("OPENSSH PRIVATE KEY-----") {
                "is a key for SSH: TLS needs the key that the certificate was made for"
            } else if self.is_der() {
                "is DER: convert it with `openssl pkey -inform der -in FILE -out FILE.pem`"
            } else {
                "holds no private key: a line `-----BEGIN PRIVATE KEY-----` is expected"
            })),
        }
    }

    /// An error about this text.
    pub(super) fn error(&self, what: impl fmt::Display) -> Error {
        Error::invalid(format!("{} {what}", self.name))
    }

    fn items<T>(
        &self,
        items: impl Iterator<Item = Result<T, rustls::pki_types::pem::Error>>,
    ) -> Result<Vec<T>> {
        use rustls::pki_types::pem::Error as E;
        items.collect::<Result<_, _>>().map_err(|error| match error {
            // The library's own words would show lines of the file, which may be a key.
            E::MissingSectionEnd { .. } => {
                self.error("is cut short: its last `-----END …-----` line is missing")
            }
            E::IllegalSectionStart { .. } => self.error("has a malformed `-----BEGIN …-----` line"),
            E::Base64Decode(_) => self.error("is damaged: its base64 can't be decoded"),
            _ => self.error("is no well-formed PEM"),
        })
    }

    fn has(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Certificates and keys in DER are a sequence of more than 255 bytes, mostly.
    fn is_der(&self) -> bool {
        matches!(self.bytes[..], [0x30, 0x81 | 0x82, ..])
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
