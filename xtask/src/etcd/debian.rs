//! etcd 3.4 from Debian's packages, unpacked without being installed.

use std::path::Path;
use std::process::Command;

use super::install;
use crate::run::{is_installed, output};

const PACKAGES: [&str; 2] = ["etcd-server", "etcd-client"];

pub(super) fn obtainable() -> Result<String, String> {
    for program in ["apt-get", "dpkg-deb"] {
        if !is_installed(program) {
            return Err(format!("comes from Debian packages, and there is no {program}"));
        }
    }
    Ok(format!("apt-get download {}", PACKAGES.join(" ")))
}

pub(super) fn obtain(version: &str, scratch: &Path, into: &Path) -> Result<(), String> {
    if let Err(first) = download(version, scratch) {
        // A fresh machine has no package lists, which only root can get.
        if !is_root() {
            return Err(first);
        }
        output(Command::new("apt-get").arg("update"))?;
        download(version, scratch)?;
    }
    for package in PACKAGES {
        let archive = find(scratch, package)?;
        output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(scratch.join(package)))?;
    }
    install(&scratch.join("etcd-server/usr/bin/etcd"), into)?;
    install(&scratch.join("etcd-client/usr/bin/etcdctl"), into)
}

fn download(version: &str, scratch: &Path) -> Result<String, String> {
    // As root, apt would drop its rights and then complain that it cannot write to our folder.
    let mut command = Command::new("apt-get");
    command.args(["-o", "APT::Sandbox::User=root", "download"]).current_dir(scratch);
    command.args(PACKAGES.map(|package| format!("{package}={version}*")));
    output(&mut command)
}

fn find(folder: &Path, package: &str) -> Result<std::path::PathBuf, String> {
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let is_archive = |name: &str| name.starts_with(package) && name.ends_with(".deb");
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_archive))
        .ok_or_else(|| format!("apt-get downloaded no {package}"))
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
