//! A CA whose certificates and keys are files in one temporary folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use tempfile::TempDir;

/// The passphrase of the keys that [`TestCa::encrypted_key`] and [`TestCa::legacy_encrypted_key`] write.
pub const KEY_PASSPHRASE: &str = "etcdkit";

/// A P-256 key, made for this file by `openssl pkcs8 -topk8 -v2 aes-256-cbc` and used nowhere.
const ENCRYPTED_PKCS8: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi+2skfuvZIbwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEECVWJT9S08h6q3cwjnbr+RoEgZC/
oZaYW8iQQRs9jxjdvxOmJutCLy9SfjzSQ/SYduw+nN1xl8FfFMW1iYiSJeRzCsA/
Q09SW/nhcgiAaiz/lV5+2btrmxHtMNq2INsjqi/8VGVCP7hdu9oVQ/XytY5kPCRh
nUQ2icvk955EkiNGqfjzoOd8NhE7AoQyW6FQI++OFDoD5f0yMZSJhqKg0PiE8lc=
-----END ENCRYPTED PRIVATE KEY-----
";

/// The same key, encrypted by `openssl ec -aes256`.
const ENCRYPTED_LEGACY: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,D915B3D795169F89906026638F0D4E5E

wg10r48lXngZ6xh9J/tjrkdg56wSN6lN6S8No/pRc5YSsZYo1bRh+ndxfZkPpoKe
rfVRZIJCpwCLztPL2zVmvAfQNxp6/WcLMROlYMcio9b/UiXqdcOacgdarMSqz+qg
Aopjx+92ZGQkL9ZuVT4BRMALz+aZY9CEWkp7WoWoo9I=
-----END EC PRIVATE KEY-----
";

const MALFORMED: &str = "\
-----BEGIN PRIVATE KEY-----
This is not base64!
-----END PRIVATE KEY-----
";

/// Numbers the CAs of this process: their names differ, as the names of unrelated CAs do.
static CAS: AtomicU32 = AtomicU32::new(1);

/// A certificate authority of a test's own.
///
/// # Examples
///
/// ```
/// # use etcdkit_testkit::certs::TestCa;
/// let ca = TestCa::new();
/// let server = ca.server("etcd-1");
/// let client = ca.client("root");
/// assert!(ca.cert_path().exists() && server.key_path().exists() && client.cert_path().exists());
/// ```
#[derive(Debug)]
pub struct TestCa {
    dir: Arc<TempDir>,
    common_name: String,
    cert_path: PathBuf,
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
    issued: AtomicU32,
}

impl TestCa {
    /// Makes a CA with a name and a folder of its own.
    ///
    /// # Panics
    ///
    /// If the folder cannot be made or written, as all methods here that write files do.
    #[expect(clippy::new_without_default, reason = "it makes keys and writes files")]
    pub fn new() -> Self {
        Self::named(&format!("etcdkit test CA {}", CAS.fetch_add(1, Ordering::Relaxed)))
    }

    /// Makes another CA with this one's name and a different key: what it signs looks right and fails on its signature.
    #[must_use]
    pub fn impostor(&self) -> Self {
        Self::named(&self.common_name)
    }

    fn named(common_name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("etcdkit-certs-").tempdir();
        let dir = dir.expect("a temporary folder can be made");
        let key = generate_key();
        let mut params = params(common_name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let cert_pem = params.self_signed(&key).expect("the parameters are valid").pem();
        let cert_path = dir.path().join("ca.pem");
        write(&cert_path, &cert_pem);
        Self {
            dir: Arc::new(dir),
            common_name: common_name.to_owned(),
            cert_path,
            cert_pem,
            issuer: Issuer::new(params, key),
            issued: AtomicU32::new(0),
        }
    }

    /// The path of the CA's certificate, `ca.pem`.
    pub fn cert_path(&self) -> &Path {
        &self.cert_path
    }

    /// The CA's certificate in PEM.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The temporary folder that all files are in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Issues a server certificate for 127.0.0.1, ::1, localhost and `name`, which is also its common name.
    ///
    /// It may also be used as a client's certificate: etcd dials itself and its peers with it.
    #[must_use]
    pub fn server(&self, name: &str) -> Identity {
        self.issue(server_params(name, &["127.0.0.1", "::1", "localhost", name]))
    }

    /// Issues a server certificate that is valid for exactly `names` (DNS names or IP addresses).
    #[must_use]
    pub fn server_for(&self, names: &[&str]) -> Identity {
        self.issue(server_params(names.first().unwrap_or(&"nobody"), names))
    }

    /// Issues a client certificate; etcd's certificate authentication takes the common name as the user.
    #[must_use]
    pub fn client(&self, common_name: &str) -> Identity {
        self.issue(client_params(common_name))
    }

    /// Issues what [`server`](Self::server) does, expired long ago.
    #[must_use]
    pub fn expired_server(&self, name: &str) -> Identity {
        let params = server_params(name, &["127.0.0.1", "::1", "localhost", name]);
        self.issue(expired(params))
    }

    /// Issues what [`client`](Self::client) does, expired long ago.
    #[must_use]
    pub fn expired_client(&self, common_name: &str) -> Identity {
        self.issue(expired(client_params(common_name)))
    }

    /// Writes a list of revoked certificates, each of which this CA issued.
    pub fn revocations(&self, revoked: &[&Identity]) -> PathBuf {
        let revoked_certs = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2120, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("the parameters are valid");
        self.file("revoked.crl", list.pem().expect("a list is text"))
    }

    /// Writes a key in encrypted PKCS #8 (`BEGIN ENCRYPTED PRIVATE KEY`), with [`KEY_PASSPHRASE`].
    pub fn encrypted_key(&self) -> PathBuf {
        self.file("encrypted-key.pem", ENCRYPTED_PKCS8)
    }

    /// Writes a key in OpenSSL's older encrypted form (`Proc-Type: 4,ENCRYPTED`), with [`KEY_PASSPHRASE`].
    pub fn legacy_encrypted_key(&self) -> PathBuf {
        self.file("legacy-encrypted-key.pem", ENCRYPTED_LEGACY)
    }

    /// Writes a key file whose PEM block is not base64.
    pub fn malformed_key(&self) -> PathBuf {
        self.file("malformed-key.pem", MALFORMED)
    }

    /// Writes any file into the folder.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        write(&path, contents);
        path
    }

    fn issue(&self, mut params: CertificateParams) -> Identity {
        let key = generate_key();
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let serial = SerialNumber::from(u64::from(number) + 1);
        params.serial_number = Some(serial.clone());
        let cert = params.signed_by(&key, &self.issuer).expect("the parameters are valid");
        let dir = self.dir.path().join(number.to_string());
        std::fs::create_dir(&dir).expect("the temporary folder can be written");
        let identity = Identity {
            cert_path: dir.join("cert.pem"),
            key_path: dir.join("key.pem"),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            ca_pem: self.cert_pem.clone(),
            serial,
            _dir: Arc::clone(&self.dir),
        };
        write(&identity.cert_path, &identity.cert_pem);
        write(&identity.key_path, &identity.key_pem);
        identity
    }
}

/// A certificate with its key, from a [`TestCa`].
#[derive(Clone)]
pub struct Identity {
    cert_path: PathBuf,
    key_path: PathBuf,
    cert_pem: String,
    key_pem: String,
    ca_pem: String,
    serial: SerialNumber,
    _dir: Arc<TempDir>,
}

impl Identity {
    /// The path of the certificate, `cert.pem`.
    pub fn cert_path(&self) -> &Path {
        &self.cert_path
    }

    /// The path of the key, `key.pem` (PKCS #8).
    pub fn key_path(&self) -> &Path {
        &self.key_path
    }

    /// The certificate in PEM.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The key in PEM (PKCS #8).
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate, in PEM, of the CA that issued this.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("cert_path", &self.cert_path).finish_non_exhaustive()
    }
}

fn generate_key() -> KeyPair {
    KeyPair::generate().expect("the provider makes P-256 keys")
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are DNS names or addresses");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
    params
}

fn server_params(common_name: &str, names: &[&str]) -> CertificateParams {
    let mut params = leaf_params(common_name, names);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn client_params(common_name: &str) -> CertificateParams {
    let mut params = leaf_params(common_name, &[]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn leaf_params(common_name: &str, names: &[&str]) -> CertificateParams {
    let mut params = params(common_name, names);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    params
}

fn write(path: &Path, contents: impl AsRef<[u8]>) {
    std::fs::write(path, contents).expect("the temporary folder can be written");
}
