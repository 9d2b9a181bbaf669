//! A certificate of the server's own, for `--auto-tls`.
//!
//! It is where etcd has it, `fixtures/client/cert.pem` in the data folder, and is made once: clients that trust the file go
//! on trusting the server after a restart.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::log::date;

/// The certificate and its key.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The certificate in the data folder; a new one for these hosts if there is none.
///
/// `now` is the time of day, since 1970.
pub(super) fn own(
    data_dir: &Path,
    hosts: &BTreeSet<String>,
    years: u64,
    now: Duration,
) -> Result<Files, String> {
    let folder = data_dir.join("fixtures").join("client");
    let files = Files { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        format!("--auto-tls cannot make {}: {error}", path.display())
    };
    let (certificate, key) =
        make(hosts, years, now).map_err(|error| failed(&files.certificate, &error))?;
    create_folder(&folder).map_err(|error| failed(&folder, &error))?;
    // The key first: a certificate that is there has its key.
    for (path, content) in [(&files.key, key), (&files.certificate, certificate)] {
        write(path, &content).map_err(|error| failed(path, &error))?;
    }
    Ok(files)
}

fn make(
    hosts: &BTreeSet<String>,
    years: u64,
    now: Duration,
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(hosts.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "etcd");
    let (year, month, day) = date(now.as_secs() / 86_400);
    // No month of another year lacks the 28th.
    let on = |year: u64| {
        let part = |number: u64| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(
            i32::try_from(year).unwrap_or(i32::MAX),
            part(month),
            part(day.min(28)),
        )
    };
    params.not_before = on(year);
    params.not_after = on(year + years);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Folder and files are for the server's user alone.
fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let hosts = BTreeSet::from(["127.0.0.1".to_owned(), "localhost".to_owned()]);
        // The 29th of February 2028.
        let now = Duration::from_secs(1_835_395_200);
        let first = own(folder.path(), &hosts, 1, now).expect("it is made");
        assert_eq!(first.certificate, folder.path().join("fixtures/client/cert.pem"));
        let text = fs::read_to_string(&first.certificate).expect("it is there");
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{text}");
        own(folder.path(), &hosts, 1, now).expect("it is there");
        assert_eq!(fs::read_to_string(&first.certificate).expect("it is there"), text);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("it is written");
        let error = own(&file, &BTreeSet::new(), 1, Duration::ZERO).unwrap_err();
        assert!(error.contains("file/fixtures/client"), "{error}");
    }
}
